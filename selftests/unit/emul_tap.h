/* SPDX-License-Identifier: GPL-2.0-only */
/* TAP output for the tests of the emulator, which need nothing but a C library. */
#ifndef EMUL_TAP_H
#define EMUL_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned int tap_count, tap_failures;
static bool tap_this_failed;

/* A failed check is a diagnostic; the test as a whole gets one line. */
__attribute__((format(printf, 1, 2), unused))
static void tap_fail(const char *fmt, ...)
{
	va_list ap;

	tap_this_failed = true;
	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

__attribute__((format(printf, 1, 2), unused))
static void tap_result(const char *fmt, ...)
{
	va_list ap;

	tap_failures += tap_this_failed;
	printf("%s %u - ", tap_this_failed ? "not ok" : "ok", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	tap_this_failed = false;
}

__attribute__((unused))
static int tap_done(void)
{
	printf("1..%u\n", tap_count);
	return tap_failures != 0;
}

#define CHECK(cond)							\
	do {								\
		if (!(cond))						\
			tap_fail("%s:%d: %s", __FILE__, __LINE__, #cond);	\
	} while (0)

#define CHECK_EQ(a, b)							\
	do {								\
		unsigned long long a_ = (a), b_ = (b);			\
									\
		if (a_ != b_)						\
			tap_fail("%s:%d: %s is %#llx, want %#llx", __FILE__, __LINE__, #a,	\
				 a_, b_);				\
	} while (0)

#endif /* EMUL_TAP_H */
