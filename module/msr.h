/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of MSRs, for msr.c and msr_list.c. */
#ifndef KEEL_MSR_H
#define KEEL_MSR_H

#include <linux/types.h>

struct keel_vcpu;

#define KEEL_MSR_SAVE		BIT(0)	/* in KVM_GET_MSR_INDEX_LIST: saved and restored */
#define KEEL_MSR_FEATURE	BIT(1)	/* in KVM_GET_MSR_FEATURE_INDEX_LIST */
#define KEEL_MSR_SPEC_CTRL	BIT(2)	/* listed only where the host has the register */
#define KEEL_MSR_WAITPKG	BIT(3)	/* listed only with WAITPKG */
#define KEEL_MSR_BACKEND	BIT(4)	/* the back end is asked first */

/**
 * struct keel_msr - one row: a register or a range of them
 * @first, @last: the numbers
 * @flags: KEEL_MSR_*
 * @get: 0, 1 for #GP, or -EFAULT
 * @set: the same; NULL: read-only
 */
struct keel_msr {
	u32 first, last;
	u32 flags;
	int (*get)(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
	int (*set)(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
};

extern const struct keel_msr keel_msrs[];
extern const int keel_nr_msrs;

/* msr_spec.c */
int keel_spec_ctrl_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int keel_spec_ctrl_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
int keel_pred_cmd_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
int keel_arch_caps_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int keel_arch_caps_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
int keel_de_cfg_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int keel_de_cfg_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);

#endif
