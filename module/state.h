/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the guest's state (cpuid, msr, mtrr, mce, regs, fpu, tsc,
 * kvmclock) offer each other, and nobody else.
 */
#ifndef KEEL_STATE_H
#define KEEL_STATE_H

#include <linux/types.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>

#include "keel.h"

/* fpu.c */
u32 keel_fpu_xsavec_size(u64 xcr0);
void keel_fpu_xcr0_changed(struct keel_vcpu *vcpu);

/* regs.c: the local APIC's base with or without a local APIC; 1: #GP */
int keel_set_apic_base(struct keel_vcpu *vcpu, u64 base, bool host);

/* debugreg.c */
void keel_dr_reset(struct keel_vcpu *vcpu);

/* cpuid.c, cpuid_features.c, cpuid_supported.c */
void keel_cpuid_vcpu_init(struct keel_vcpu *vcpu);
u64 keel_cpuid_cr4_bits(const u32 *words);
u64 keel_cpuid_efer_bits(const u32 *words);
u8 keel_host_maxphyaddr(void);
int keel_cpuid_fill_supported(struct kvm_cpuid_entry2 *e, u32 max, bool emulated);
/* Bits of a word that a guest can have, and those it may be believed to have. */
u32 keel_cpuid_word_given(int word);
u32 keel_cpuid_word_believed(int word);

/* Where one word of the kernel's feature bits comes from in CPUID. */
enum keel_cpuid_reg { KEEL_CPUID_EAX, KEEL_CPUID_EBX, KEEL_CPUID_ECX, KEEL_CPUID_EDX };
struct keel_cpuid_word {
	u32 function, index;
	u8 reg;
	bool valid;
};
extern const struct keel_cpuid_word keel_cpuid_words[NCAPINTS];

static inline u32 *keel_cpuid_reg(struct kvm_cpuid_entry2 *e, u8 reg)
{
	switch (reg) {
	case KEEL_CPUID_EAX:
		return &e->eax;
	case KEEL_CPUID_EBX:
		return &e->ebx;
	case KEEL_CPUID_ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

static inline u32 keel_cpuid_value(const struct kvm_cpuid_entry2 *e, u8 reg)
{
	return *keel_cpuid_reg((struct kvm_cpuid_entry2 *)e, reg);
}

/* msr_spec.c */
u64 keel_arch_capabilities(void);	/* of this host, for a guest */
u64 keel_de_cfg(void);

/* mtrr.c: 0 or 1 */
void keel_mtrr_reset(struct keel_vcpu *vcpu);
int keel_mtrr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int keel_mtrr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
bool keel_pat_valid(u64 pat);

/* mce.c: 0 or 1; keel_setup_mce() is in keel.h */
#define KEEL_MCE_BANKS	32
int keel_mce_init(struct keel_vcpu *vcpu);
void keel_mce_free(struct keel_vcpu *vcpu);
int keel_mce_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int keel_mce_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);

/* tsc.c */
extern u64 keel_tsc_lost;	/* host TSC cycles that suspends took away */
u64 keel_tsc_scale(const struct keel_tsc *tsc, u64 host_tsc);
u64 keel_ns_to_cycles(u32 khz, u64 ns);
void keel_tsc_follow(struct keel_vcpu *vcpu);

/* hostclock.c: the host's clocks and TSC at one instant */
struct keel_instant {
	u64 tsc;
	u64 base_ns;	/* raw monotonic clock plus time in suspend: what kvmclock counts */
	u64 real_ns;
	bool by_tsc;	/* the host's own clock is the TSC, so @tsc is exact */
};
extern u64 keel_suspend_epoch;
u64 keel_host_base_ns(void);
void keel_host_instant(struct keel_instant *i);
void keel_hostclock_init(void);
void keel_hostclock_exit(void);

/* kvmclock.c: a TSC changed: is the whole VM's clock still one? */
void keel_clock_tsc_changed(struct keel_vcpu *vcpu);

/* steal.c */
int keel_steal_set(struct keel_vcpu *vcpu, u64 data, bool host);

#endif
