/* SPDX-License-Identifier: GPL-2.0-only */
/* What vmx.c and entry.S share: struct vmx_switch by its offsets. */
#ifndef KEEL_VMX_SWITCH_H
#define KEEL_VMX_SWITCH_H

#define SWITCH_HOST_RSP		0
#define SWITCH_GUEST_SPEC	8
#define SWITCH_HOST_SPEC	12
#define SWITCH_FLAGS		16

/* VMRESUME, not VMLAUNCH; SPEC_CTRL has to be swapped; the guest may have written it. */
#define SWITCH_LAUNCHED_BIT	0
#define SWITCH_LAUNCHED		1
#define SWITCH_SPEC_SWAP	2
#define SWITCH_SPEC_READ	4

/* What vmx_switch() returns. */
#define SWITCH_EXIT		0	/* the guest ran, or the entry failed by its state */
#define SWITCH_FAIL		1	/* VMfailValid or VMfailInvalid */
#define SWITCH_OFF		2	/* VMX is off on this CPU, nothing was done */

#ifndef __ASSEMBLY__

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * struct vmx_switch - one entry's operands
 * @host_rsp: HOST_RSP as the VMCS has it
 * @guest_spec, @host_spec: SPEC_CTRL
 * @flags: SWITCH_LAUNCHED, SWITCH_SPEC_*
 */
struct vmx_switch {
	unsigned long host_rsp;
	u32 guest_spec, host_spec;
	u32 flags;
};

static_assert(offsetof(struct vmx_switch, host_rsp) == SWITCH_HOST_RSP);
static_assert(offsetof(struct vmx_switch, guest_spec) == SWITCH_GUEST_SPEC);
static_assert(offsetof(struct vmx_switch, host_spec) == SWITCH_HOST_SPEC);
static_assert(offsetof(struct vmx_switch, flags) == SWITCH_FLAGS);

/* Interrupts off.  SWITCH_EXIT, SWITCH_FAIL, SWITCH_OFF. */
int vmx_switch(unsigned long *gpr, struct vmx_switch *sw);
/* HOST_RIP */
void vmx_exit_point(void);

#endif
#endif
