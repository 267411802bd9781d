// SPDX-License-Identifier: GPL-2.0-only
/*
 * What clients need to spare 32-bit guests without the CPU's help the exits of their task
 * priority (KVM_SET_VAPIC_ADDR, KVM_TPR_ACCESS_REPORTING; the kernel's api.rst).
 *
 * The client learns where the guest touches its TPR, and patches the guest to use a word
 * of memory instead.  Before each entry that word gets the TPR, the class of the highest
 * interrupt in service and the highest one that waits; the guest's code changes the TPR in
 * it, and makes a hypercall only where that lets something in.  After each exit the TPR is
 * what the word says.
 */
#include "lapic.h"

#define VAPIC_TPR	0x000000ffu
#define VAPIC_ISR_CLASS	8	/* shifts */
#define VAPIC_IRR	24

/**
 * keel_set_vapic_addr() - KVM_SET_VAPIC_ADDR
 * @vcpu: the vCPU
 * @va: where the word is; 0 turns it off, and so does an INIT
 *
 * Return: 0, or -EINVAL without a local APIC in the kernel or without memory there.
 */
int keel_set_vapic_addr(struct keel_vcpu *vcpu, const struct kvm_vapic_addr *va)
{
	struct keel_lapic *apic = vcpu->lapic;
	struct keel_gpa_cache cache = {};

	if (!apic)
		return -EINVAL;
	if (va->vapic_addr) {
		/* Where it is refused, the old one stays. */
		if (keel_gpa_cache_init(vcpu->vm, &cache, va->vapic_addr, sizeof(u32)))
			return -EINVAL;
		apic->vapic_cache = cache;
	}
	vcpu->vapic = va->vapic_addr;
	return 0;
}

/**
 * keel_vapic_sync_to() - before entry, with vcpu->vapic: show the guest its APIC's state
 * @vcpu: the vCPU; comes back not loaded if the guest's page was not there
 */
void keel_vapic_sync_to(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	int irr = keel_lapic_highest_irr(vcpu);
	int isr = lapic_vec_highest(apic->page, LAPIC_ISR);
	u32 word = lapic_get(apic->page, LAPIC_TPR) & VAPIC_TPR;

	if (isr > 0)
		word |= (isr & 0xf0) << VAPIC_ISR_CLASS;
	if (irr > 0)
		word |= (u32)irr << VAPIC_IRR;
	if (vcpu->loaded && !keel_gpa_cache_write_atomic(vcpu, &apic->vapic_cache, &word, 0,
							 sizeof(word)))
		return;
	keel_vcpu_put(vcpu);
	/* If the memory has gone, the guest sees no more of it either. */
	keel_gpa_cache_write(vcpu, &apic->vapic_cache, &word, 0, sizeof(word));
}

/**
 * keel_vapic_sync_from() - after exit, with vcpu->vapic: take the TPR that the guest has set
 * @vcpu: the vCPU; comes back not loaded if the guest's page was not there
 */
void keel_vapic_sync_from(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	u32 word;

	if (!vcpu->loaded || keel_gpa_cache_read_atomic(vcpu->vm, &apic->vapic_cache, &word, 0,
							sizeof(word))) {
		keel_vcpu_put(vcpu);
		if (keel_gpa_cache_read(vcpu->vm, &apic->vapic_cache, &word, 0, sizeof(word)))
			return;
	}
	if ((word & VAPIC_TPR) == lapic_get(apic->page, LAPIC_TPR))
		return;
	lapic_set(apic->page, LAPIC_TPR, word & VAPIC_TPR);
	keel_request(vcpu, KEEL_REQ_EVENT);
}

/**
 * keel_tpr_access_reporting() - KVM_TPR_ACCESS_REPORTING
 * @vcpu: the vCPU; without a local APIC in the kernel there is nothing to report
 * @ctl: on or off
 *
 * Return: 0, or -EINVAL for flags.
 */
int keel_tpr_access_reporting(struct keel_vcpu *vcpu, struct kvm_tpr_access_ctl *ctl)
{
	if (ctl->flags)
		return -EINVAL;
	if (vcpu->lapic)
		vcpu->lapic->tpr_reporting = !!ctl->enabled;
	if (!ctl->enabled)
		clear_bit(KEEL_REQ_TPR_ACCESS, &vcpu->requests);
	return 0;
}

/*
 * lapic_report_tpr(): the guest accesses its TPR, by the instruction at RIP.  The client hears
 * of it when the instruction is over.
 */
void lapic_report_tpr(struct keel_lapic *apic, bool write)
{
	struct keel_vcpu *vcpu = apic->vcpu;

	apic->tpr_access.rip = keel_rip(vcpu);
	apic->tpr_access.is_write = write;
	keel_request(vcpu, KEEL_REQ_TPR_ACCESS);
}

/**
 * keel_exit_tpr_access() - KEEL_REQ_TPR_ACCESS: tell the client
 * @vcpu: the vCPU
 *
 * Return: KEEL_TO_USER.
 */
int keel_exit_tpr_access(struct keel_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_TPR_ACCESS;
	vcpu->run->tpr_access.rip = vcpu->lapic->tpr_access.rip;
	vcpu->run->tpr_access.is_write = vcpu->lapic->tpr_access.is_write;
	return KEEL_TO_USER;
}
