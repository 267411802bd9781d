/* SPDX-License-Identifier: GPL-2.0-only */
/* What the floor's files offer each other: one guest, entered and left as cheaply as can be. */
#ifndef KEEL_FLOOR_H
#define KEEL_FLOOR_H

#include <linux/types.h>

/* Rounds of a call; the next one has twice as many, and the difference is free of the rest. */
#define FLOOR_ROUNDS	100

/* As vcpu->gpr in the module, whose macros move them. */
#define FLOOR_NR_GPRS	16

/**
 * struct floor_ticks - what one batch took, by the TSC
 * @once, @twice: FLOOR_ROUNDS rounds, and twice as many
 */
struct floor_ticks {
	u64 once, twice;
};

/**
 * struct floor_cpu - how one make of CPUs does it
 * @name: of the extension
 * @supported: this CPU has it, and the firmware has not locked it
 * @setup, @teardown: memory
 * @batch: interrupts off, in a kernel thread: turns the extension on, runs, turns it off.
 *	0; -EBUSY if somebody else has it on; -EAGAIN if an NMI came in between; -EIO
 */
struct floor_cpu {
	const char *name;
	bool (*supported)(void);
	int (*setup)(void);
	void (*teardown)(void);
	int (*batch)(struct floor_ticks *ticks);
};

extern const struct floor_cpu floor_vmx, floor_svm;

/* The guest's code: CPUID, at which it stays. */
void floor_guest(void);

/* Until @rounds is 0, or the guest stops for something else than CPUID: how many are left. */
u32 floor_vmx_launch(unsigned long *gpr, u32 rounds);
u32 floor_vmx_rounds(unsigned long *gpr, u32 rounds);
u32 floor_svm_rounds(unsigned long *gpr, u32 rounds, const void *vmcb, u64 vmcb_pa);

#endif
