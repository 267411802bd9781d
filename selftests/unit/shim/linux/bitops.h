/* SPDX-License-Identifier: GPL-2.0-only */
/* Bit operations on a word, as the local APIC's registers are used. */
#ifndef KEEL_SHIM_LINUX_BITOPS_H
#define KEEL_SHIM_LINUX_BITOPS_H

#include <linux/bits.h>
#include <linux/types.h>

#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, val)	(*(volatile __typeof__(x) *)&(x) = (val))

static inline void set_bit(int nr, unsigned long *word)
{
	__atomic_fetch_or(word, BIT(nr), __ATOMIC_SEQ_CST);
}

static inline void clear_bit(int nr, unsigned long *word)
{
	__atomic_fetch_and(word, ~BIT(nr), __ATOMIC_SEQ_CST);
}

static inline bool test_and_set_bit(int nr, unsigned long *word)
{
	return __atomic_fetch_or(word, BIT(nr), __ATOMIC_SEQ_CST) & BIT(nr);
}

/* The highest bit set, counted from 1; 0 for 0. */
static inline int fls(unsigned int val)
{
	return val ? 32 - __builtin_clz(val) : 0;
}

static inline unsigned int hweight32(u32 val)
{
	return __builtin_popcount(val);
}

#endif
