/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the instruction emulator needs from its surroundings. The same .c files
 * are built in the module, in the unit tests and in the fuzzers; this header
 * is the only one that knows which of them it is.
 */
#ifndef KEEL_EMUL_ENV_H
#define KEEL_EMUL_ENV_H

#ifdef __KERNEL__

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/string.h>
#include <linux/types.h>

#else

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define BIT(n)		(1UL << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define fallthrough	__attribute__((__fallthrough__))
#define BUILD_BUG_ON(x)	_Static_assert(!(x), #x)
#define min_t(t, a, b)	((t)(a) < (t)(b) ? (t)(a) : (t)(b))

/* Nobody speculates against a test. */
#define array_index_nospec(i, n)	((void)(n), (i))

#endif /* __KERNEL__ */

#endif /* KEEL_EMUL_ENV_H */
