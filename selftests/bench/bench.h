/* SPDX-License-Identifier: GPL-2.0-only */
/* The benchmark's rows, and what they share: samples, and how one figure comes of them. */
#ifndef KEEL_BENCH_H
#define KEEL_BENCH_H

#include "guest.h"

/* What a row says where it cannot be measured. */
#define NOT_HERE	(~0ULL)

/**
 * struct bench_row - one row of the table
 * @name: how the command line and the table call it
 * @unit: of the figure; "ticks" are of the TSC, which counts instructions in Bochs
 * @text: what is measured
 * @run: measures it once, in a process of its own; the figure, or NOT_HERE
 */
struct bench_row {
	const char *name, *unit, *text;
	u64 (*run)(void);
};

/* One table a file, ended by a row without a name. */
extern const struct bench_row exit_rows[], irq_rows[], mem_rows[], life_rows[];

#define MAX_SAMPLES	512

/* Filled by the guest or by the host. */
struct samples {
	u32 nr;
	u64 ticks[MAX_SAMPLES];
};
extern struct samples samples;

/* The middle one: clear of the host's timer, which falls into some rounds. */
u64 median(struct samples *s);

/*
 * KEEL_BENCH_MAGIC: one round runs between two of Bochs's magic break points, for the emulator's
 * debugger to trace it.
 */
extern bool bench_magic;
#define TRACED_ROUND	8
static inline void magic(u32 round)
{
	if (bench_magic && round == TRACED_ROUND)
		asm volatile("xchg %bx, %bx");
}

static inline void sample(u64 ticks)
{
	if (samples.nr < MAX_SAMPLES)
		samples.ticks[samples.nr++] = ticks;
}

/* Rounds whose first ones are not counted: caches and tables get warm. */
#define WARM_UP		4
#define BENCH_ROUNDS	64

/*
 * In the guest: BENCH_ROUNDS rounds of @n times @what.  The cost of one is bench_per_op() of
 * them, in the host.
 */
#define GUEST_ROUNDS(n, what) do {						\
	u64 __t;								\
										\
	for (u32 __r = 0; __r < BENCH_ROUNDS; __r++) {				\
		magic(__r);							\
		__t = rdtsc();							\
		for (u32 __i = 0; __i < (n); __i++) {				\
			what;							\
		}								\
		__t = rdtsc() - __t;						\
		magic(__r);							\
		if (__r >= WARM_UP)						\
			sample(__t);						\
	}									\
} while (0)

/* A VM with one vCPU at @fn, which runs to its guest_done() through bench_run(). */
struct vcpu *bench_vcpu(unsigned int vm_flags, void (*fn)(), u64 arg);
/* Until guest_done(); exits to user space that the row causes are answered and go on. */
void bench_run(struct vcpu *v);
/* What @fn's rounds cost each, by the median. */
u64 bench_guest(unsigned int vm_flags, void (*fn)(), u64 arg);

#define BENCH_GPA	PAGE_1G		/* where rows put memory, in the identity mapping */

/* A GiB in 4K pages; all are in memory, and in the host's page tables. */
u8 *bench_gib(void);
/* A vCPU that has run, and will map @gib page by page in bench_run(). */
struct vcpu *bench_map(u8 *gib);

#endif
