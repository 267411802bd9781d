/* SPDX-License-Identifier: GPL-2.0-only */
/* One instruction on the CPU at hand, with every register given and taken. */
#ifndef DIFF_NATIVE_H
#define DIFF_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

/* Offsets are known to native_stub.S. General registers in the order of instructions. */
struct native_state {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags;
	uint8_t xmm[16][16];
};

/* How it ended: the breakpoint behind the instruction, or another exception. */
struct native_end {
	int vector;
	uint64_t error;
	uint64_t cr2;
};

/* Catch the signals that exceptions become, on a stack of their own. */
void native_setup(void);

/*
 * Run from @in, in 64-bit or in 32-bit code; @out and @end get what the first
 * exception found.
 */
void native_run(bool code32, const struct native_state *in, struct native_state *out,
		struct native_end *end);

#endif /* DIFF_NATIVE_H */
