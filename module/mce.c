// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine-check registers (SDM vol. 3, "Machine-Check Architecture").
 *
 * They hold what the guest and user space put there; no error of the host ever
 * shows in them.  vcpu->mce_banks: CTL, STATUS, ADDR and MISC of each bank,
 * then one CTL2 a bank.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/mce.h>
#include <asm/trapnr.h>

#include "keel.h"
#include "state.h"

#define KEEL_CTL2_BASE		(4 * KEEL_MCE_BANKS)
#define KEEL_HWCR_MC_STATUS_WR	BIT_ULL(18)

static u32 keel_mce_nr_banks(struct keel_vcpu *vcpu)
{
	return vcpu->mcg_cap & MCG_BANKCNT_MASK;
}

int keel_mce_init(struct keel_vcpu *vcpu)
{
	vcpu->mce_banks = kcalloc(5 * KEEL_MCE_BANKS, sizeof(u64), GFP_KERNEL_ACCOUNT);
	if (!vcpu->mce_banks)
		return -ENOMEM;
	vcpu->mcg_cap = KEEL_MCE_BANKS;
	return 0;
}

void keel_mce_free(struct keel_vcpu *vcpu)
{
	kfree(vcpu->mce_banks);
	vcpu->mce_banks = NULL;
}

/**
 * keel_setup_mce() - KVM_X86_SETUP_MCE
 * @vcpu: the vCPU
 * @mcg_cap: the guest's MCG_CAP
 */
int keel_setup_mce(struct keel_vcpu *vcpu, u64 mcg_cap)
{
	u32 banks = mcg_cap & MCG_BANKCNT_MASK, i;

	if (!banks || banks > KEEL_MCE_BANKS)
		return -EINVAL;
	/* Bits 23:16 count the extended registers, which are user space's to describe. */
	if (mcg_cap & ~(KEEL_MCG_CAP_SUPPORTED | MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK))
		return -EINVAL;
	vcpu->mcg_cap = mcg_cap;
	if (mcg_cap & MCG_CTL_P)
		vcpu->mcg_ctl = ~0ULL;
	for (i = 0; i < banks; i++)
		vcpu->mce_banks[4 * i] = ~0ULL;
	return 0;
}

/* What becomes of an uncorrected error: a machine check, or the end of the machine. */
static void keel_mce_raise(struct keel_vcpu *vcpu, const struct kvm_x86_mce *mce, u64 *bank)
{
	keel_need(vcpu, KEEL_R_CR4);
	if ((vcpu->mcg_status & MCG_STATUS_MCIP) || !(vcpu->cr4 & X86_CR4_MCE)) {
		keel_request_triple_fault(vcpu);
		return;
	}
	bank[1] = mce->status | (bank[1] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0);
	bank[2] = mce->addr;
	bank[3] = mce->misc;
	vcpu->mcg_status = mce->mcg_status;
	keel_queue_exception(vcpu, X86_TRAP_MC);
}

/**
 * keel_set_mce() - KVM_X86_SET_MCE: an error for the guest
 * @vcpu: the vCPU
 * @mce: the error
 *
 * SDM vol. 3, "Machine-Check Architecture", with its overwrite rules: an
 * uncorrected error replaces a corrected one, which is only marked as
 * overwritten by the next of its kind.
 */
int keel_set_mce(struct keel_vcpu *vcpu, struct kvm_x86_mce *mce)
{
	bool uc = mce->status & MCI_STATUS_UC;
	u64 *bank;

	if (mce->bank >= keel_mce_nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->mce_banks[4 * array_index_nospec(mce->bank, KEEL_MCE_BANKS)];

	if (uc) {
		/* Reporting may be off, for all banks or for this one. */
		if (((vcpu->mcg_cap & MCG_CTL_P) && vcpu->mcg_ctl != ~0ULL) || bank[0] != ~0ULL)
			return 0;
		keel_mce_raise(vcpu, mce, bank);
		return 0;
	}
	if ((bank[1] & MCI_STATUS_VAL) && (bank[1] & MCI_STATUS_UC)) {
		bank[1] |= MCI_STATUS_OVER;
		return 0;
	}
	bank[1] = mce->status | (bank[1] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0);
	bank[2] = mce->addr;
	bank[3] = mce->misc;
	return 0;
}

/* Where a bank's register is kept, NULL if the guest has no such bank. */
static u64 *keel_mce_slot(struct keel_vcpu *vcpu, u32 msr)
{
	u32 banks = min_t(u32, keel_mce_nr_banks(vcpu), KEEL_MCE_BANKS), i;

	if (msr >= MSR_IA32_MC0_CTL) {
		i = msr - MSR_IA32_MC0_CTL;
		if (i >= 4 * banks)
			return NULL;
		return &vcpu->mce_banks[array_index_nospec(i, 4 * KEEL_MCE_BANKS)];
	}
	i = msr - MSR_IA32_MC0_CTL2;
	if (i >= banks)
		return NULL;
	return &vcpu->mce_banks[KEEL_CTL2_BASE + array_index_nospec(i, KEEL_MCE_BANKS)];
}

int keel_mce_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	u64 *slot;

	switch (msr) {
	case MSR_IA32_MCG_CAP:
		*data = vcpu->mcg_cap;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*data = vcpu->mcg_status;
		return 0;
	case MSR_IA32_MCG_CTL:
		if (!(vcpu->mcg_cap & MCG_CTL_P) && !host)
			return 1;
		*data = vcpu->mcg_ctl;
		return 0;
	}
	slot = keel_mce_slot(vcpu, msr);
	if (!slot || (msr < MSR_IA32_MC0_CTL && !(vcpu->mcg_cap & MCG_CMCI_P) && !host))
		return 1;
	*data = *slot;
	return 0;
}

static bool keel_mce_bank_valid(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (msr < MSR_IA32_MC0_CTL) {
		if (!(vcpu->mcg_cap & MCG_CMCI_P) && (data || !host))
			return false;
		return !(data & ~(MCI_CTL2_CMCI_EN | MCI_CTL2_CMCI_THRESHOLD_MASK));
	}
	switch (msr & 3) {
	case 0:
		/*
		 * All or nothing, except that some systems leave bit 10 (the
		 * GART walk of the K8's bank 4) or bit 0 clear.
		 */
		return !data || (data | BIT(10) | BIT(0)) == ~0ULL;
	case 1:
		/* Software clears it; AMD lets it be written for tests (HWCR). */
		return host || !data ||
		       (vcpu->cpuid.amd && (vcpu->hwcr & KEEL_HWCR_MC_STATUS_WR));
	default:
		return true;
	}
}

int keel_mce_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	u64 *slot;

	switch (msr) {
	case MSR_IA32_MCG_STATUS:
		vcpu->mcg_status = data;
		return 0;
	case MSR_IA32_MCG_CTL:
		if (!(vcpu->mcg_cap & MCG_CTL_P) && (data || !host))
			return 1;
		if (data && data != ~0ULL)
			return 1;
		vcpu->mcg_ctl = data;
		return 0;
	case MSR_IA32_MCG_CAP:
		return 1;
	}
	slot = keel_mce_slot(vcpu, msr);
	if (!slot || !keel_mce_bank_valid(vcpu, msr, data, host))
		return 1;
	*slot = data;
	return 0;
}

/* ---- the host's ------------------------------------------------------------------- */

#ifdef CONFIG_X86_MCE
/**
 * keel_deliver_machine_check() - a machine check ended a guest's run and is nobody's yet
 *
 * On the CPU that had it, interrupts off.  The next one before MCG_STATUS.MCIP is cleared would
 * shut the machine down.  The host's handler sees it as if user mode had been interrupted,
 * which the guest is to it: this thread may be killed for a poisoned page, the machine goes on
 * (APM vol. 2, 'Exception Intercepts'; SDM vol. 3, 'Machine-Check Architecture').
 */
void keel_deliver_machine_check(void)
{
	struct pt_regs regs = {
		.cs = 3,
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
}
#else
/* As such a kernel does with those of its own. */
void keel_deliver_machine_check(void)
{
	pr_emerg("keel: machine check in a guest on CPU %d: this kernel has no handler for it\n",
		 smp_processor_id());
}
#endif
