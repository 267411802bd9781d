/* SPDX-License-Identifier: GPL-2.0-only */
/* What svm.c and entry.S share: struct svm_switch by its offsets. */
#ifndef KEEL_SVM_SWITCH_H
#define KEEL_SVM_SWITCH_H

#define SWITCH_VMCB_PA		0
#define SWITCH_HOST_PA		8
#define SWITCH_GUEST_SPEC	16
#define SWITCH_HOST_SPEC	20
#define SWITCH_FLAGS		24

/* SPEC_CTRL has to be swapped; the guest may have written it, so read it back. */
#define SWITCH_SPEC_SWAP	1
#define SWITCH_SPEC_READ	2

#ifndef __ASSEMBLY__

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * struct svm_switch - one entry's operands
 * @vmcb_pa: the guest's VMCB
 * @host_pa: page for the state of the host that VMSAVE and VMLOAD move
 * @guest_spec, @host_spec: SPEC_CTRL
 * @flags: SWITCH_*
 */
struct svm_switch {
	u64 vmcb_pa;
	u64 host_pa;
	u32 guest_spec, host_spec;
	u32 flags;
};

static_assert(offsetof(struct svm_switch, vmcb_pa) == SWITCH_VMCB_PA);
static_assert(offsetof(struct svm_switch, host_pa) == SWITCH_HOST_PA);
static_assert(offsetof(struct svm_switch, guest_spec) == SWITCH_GUEST_SPEC);
static_assert(offsetof(struct svm_switch, host_spec) == SWITCH_HOST_SPEC);
static_assert(offsetof(struct svm_switch, flags) == SWITCH_FLAGS);

/* Interrupts off.  0; 1 if SVM is off on this CPU and nothing was done. */
int svm_switch(unsigned long *gpr, struct svm_switch *sw);

#endif
#endif
