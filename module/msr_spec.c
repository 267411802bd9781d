// SPDX-License-Identifier: GPL-2.0-only
/* MSRs that control or describe speculation. */
#include <linux/kernel.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "keel.h"
#include "msr.h"
#include "state.h"

/* The bits of SPEC_CTRL that the guest's CPUID names and the host has. */
static u64 keel_spec_ctrl_bits(struct keel_vcpu *vcpu, bool host)
{
	static const struct {
		u16 intel, amd;
		u8 bit;
	} names[] = {
		{ X86_FEATURE_SPEC_CTRL, X86_FEATURE_AMD_IBRS, SPEC_CTRL_IBRS },
		{ X86_FEATURE_INTEL_STIBP, X86_FEATURE_AMD_STIBP, SPEC_CTRL_STIBP },
		{ X86_FEATURE_SPEC_CTRL_SSBD, X86_FEATURE_AMD_SSBD, SPEC_CTRL_SSBD },
	};
	u64 bits = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (host ? keel_supported(names[i].intel) || keel_supported(names[i].amd) :
			   keel_guest_has(vcpu, names[i].intel) ||
			   keel_guest_has(vcpu, names[i].amd))
			bits |= names[i].bit;
	return bits;
}

bool keel_guest_has_spec_ctrl(struct keel_vcpu *vcpu)
{
	return keel_spec_ctrl_bits(vcpu, false);
}

bool keel_guest_has_ibpb(struct keel_vcpu *vcpu)
{
	return keel_guest_has(vcpu, X86_FEATURE_SPEC_CTRL) ||
	       keel_guest_has(vcpu, X86_FEATURE_AMD_IBPB);
}

int keel_spec_ctrl_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	if (!keel_spec_ctrl_bits(vcpu, host))
		return 1;
	keel_need(vcpu, KEEL_R_SYSMSR);
	*data = vcpu->sysmsr.spec_ctrl;
	return 0;
}

/*
 * Does the host's CPU take this value?  A guest writes the register without an exit, so that it may
 * hold bits that no CPUID of its names; what has been read must go back.
 */
static bool cpu_takes_spec_ctrl(u64 data)
{
	unsigned long flags;
	bool takes;
	u64 was;

	local_irq_save(flags);
	takes = !rdmsrl_safe(MSR_IA32_SPEC_CTRL, &was) && !wrmsrl_safe(MSR_IA32_SPEC_CTRL, data);
	if (takes)
		wrmsrl(MSR_IA32_SPEC_CTRL, was);
	local_irq_restore(flags);
	return takes;
}

int keel_spec_ctrl_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	u64 bits = keel_spec_ctrl_bits(vcpu, host);

	if (!bits || ((data & ~bits) && !(host && cpu_takes_spec_ctrl(data))))
		return 1;
	keel_need(vcpu, KEEL_R_SYSMSR);
	vcpu->sysmsr.spec_ctrl = data;
	keel_dirty(vcpu, KEEL_R_SYSMSR);
	return 0;
}

int keel_pred_cmd_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (!host && !keel_guest_has_ibpb(vcpu))
		return 1;
	if (data & ~(u64)PRED_CMD_IBPB)
		return 1;
	/* The barrier is for the CPU that the guest runs on: this one. */
	if (!host && data && boot_cpu_has(X86_FEATURE_IBPB))
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return 0;
}

/* What a CPU without the bug says, or would if it were new enough. */
static const struct {
	u32 bug;
	u64 no;
} unaffected[] = {
	{ X86_BUG_CPU_MELTDOWN, ARCH_CAP_RDCL_NO },
	{ X86_BUG_SPEC_STORE_BYPASS, ARCH_CAP_SSB_NO },
	{ X86_BUG_MDS, ARCH_CAP_MDS_NO },
	{ X86_BUG_TAA, ARCH_CAP_TAA_NO },
#ifdef X86_BUG_GDS
	{ X86_BUG_GDS, ARCH_CAP_GDS_NO },
#endif
#ifdef X86_BUG_RFDS
	{ X86_BUG_RFDS, ARCH_CAP_RFDS_NO },
#endif
#ifdef X86_BUG_ITS
	{ X86_BUG_ITS, ARCH_CAP_ITS_NO },
#endif
};

u64 keel_arch_capabilities(void)
{
	u64 data = 0;
	int i;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES)) {
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, data);
		data &= ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA |
			ARCH_CAP_SKIP_VMENTRY_L1DFLUSH | ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO |
			ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO |
			ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR |
			ARCH_CAP_RRSBA | ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO |
			ARCH_CAP_RFDS_NO | ARCH_CAP_RFDS_CLEAR | ARCH_CAP_BHI_NO | ARCH_CAP_ITS_NO;
	}
	/* The page-size-change machine check is the host's to prevent: keel_caps.nx_large. */
	data |= ARCH_CAP_PSCHANGE_MC_NO;
	for (i = 0; i < ARRAY_SIZE(unaffected); i++) {
		if (!boot_cpu_has_bug(unaffected[i].bug))
			data |= unaffected[i].no;
	}
	return data;
}

int keel_arch_caps_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	if (!host && !keel_guest_has(vcpu, X86_FEATURE_ARCH_CAPABILITIES))
		return 1;
	*data = vcpu->arch_caps;
	return 0;
}

int keel_arch_caps_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (!host)
		return 1;
	vcpu->arch_caps = data;
	return 0;
}

u64 keel_de_cfg(void)
{
	return boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
}

int keel_de_cfg_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = keel_de_cfg();
	return 0;
}

int keel_de_cfg_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	/* LFENCE is serialising or not, whatever the guest wants. */
	return data == keel_de_cfg() || (host && !data) ? 0 : 1;
}
