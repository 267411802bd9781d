// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C library's versions choose AVX code by what the host has, which a guest
 * cannot run: these take their place in the whole program.
 */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t n)
{
	void *r = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return r;
}

void *memset(void *to, int c, size_t n)
{
	void *r = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return r;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++) {
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}
