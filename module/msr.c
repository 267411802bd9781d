// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers.  The vendor's own are asked for first; the rest is
 * one table, sorted by number, with a getter and a setter a row.
 *
 * Getters and setters return 0; 1: #GP for the guest, "not this one" for user
 * space; or -EFAULT where the host lacks a page of the guest's.  @host tells the
 * two apart: user space may read and write what the guest's CPUID does not have,
 * since it restores state before CPUID.
 */
#include <linux/kernel.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "keel.h"
#include "state.h"
#include "msr.h"

#define KEEL_PAT_RESET		0x0007040600070406ULL
#define KEEL_UCODE_AMD		0x01000065ULL
#define KEEL_UCODE_INTEL	0x100000000ULL

static bool keel_canonical(struct keel_vcpu *vcpu, u64 addr, bool host)
{
	bool la57 = host ? keel_supported(X86_FEATURE_LA57) :
			   keel_guest_has(vcpu, X86_FEATURE_LA57);
	int shift = la57 ? 64 - 57 : 64 - 48;

	return ((s64)(addr << shift) >> shift) == (s64)addr;
}

/* ---- rows without much of their own ---- */

static int keel_msr_zero_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = 0;
	return 0;
}

static int keel_msr_ignore_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return 0;
}

static int keel_msr_zero_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return data ? 1 : 0;
}

static int keel_msr_none_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	return 1;
}

static int keel_msr_const_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	switch (msr) {
	case MSR_EBC_FREQUENCY_ID:
		*data = 1 << 24;	/* a 200 MHz bus, says the Pentium 4 */
		return 0;
	case MSR_FSB_FREQ:
		*data = 3;		/* 166 MHz, says the Core */
		return 0;
	case MSR_IA32_PERF_STATUS:
		*data = 4ULL << 40 | 1000;	/* ratio and multiplier old guests divide by */
		return 0;
	case MSR_K7_CLK_CTL:
		*data = 0x20000000;	/* the ramp-up value that Linux looks for on a K7 */
		return 0;
	case MSR_IA32_BBL_CR_CTL3:
		*data = 0xbe702111;	/* level-2 cache present, configured, enabled */
		return 0;
	default:
		return 1;
	}
}

/* ---- registers that the CPU holds for the guest ---- */

static u64 *keel_sysmsr_slot(struct keel_vcpu *vcpu, u32 msr)
{
	struct keel_sysmsr *m = &vcpu->sysmsr;

	switch (msr) {
	case MSR_STAR:
		return &m->star;
	case MSR_LSTAR:
		return &m->lstar;
	case MSR_CSTAR:
		return &m->cstar;
	case MSR_SYSCALL_MASK:
		return &m->sfmask;
	case MSR_KERNEL_GS_BASE:
		return &m->kernel_gs_base;
	case MSR_IA32_SYSENTER_CS:
		return &m->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &m->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &m->sysenter_eip;
	case MSR_IA32_CR_PAT:
		return &m->pat;
	case MSR_IA32_DEBUGCTLMSR:
		return &m->debugctl;
	case MSR_TSC_AUX:
		return &m->tsc_aux;
	default:
		return NULL;
	}
}

static int keel_sysmsr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	u64 *slot = keel_sysmsr_slot(vcpu, msr);

	if (!slot)
		return 1;
	keel_need(vcpu, KEEL_R_SYSMSR);
	*data = *slot;
	return 0;
}

static int keel_sysmsr_put(struct keel_vcpu *vcpu, u32 msr, u64 data)
{
	u64 *slot = keel_sysmsr_slot(vcpu, msr);

	if (!slot)
		return 1;
	keel_need(vcpu, KEEL_R_SYSMSR);
	*slot = data;
	keel_dirty(vcpu, KEEL_R_SYSMSR);
	return 0;
}

static int keel_sysmsr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return keel_sysmsr_put(vcpu, msr, data);
}

/* Addresses: a value that is not canonical is #GP (SDM vol. 2, "WRMSR"). */
static int keel_sysmsr_addr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return keel_canonical(vcpu, data, host) ? keel_sysmsr_put(vcpu, msr, data) : 1;
}

/* Reserved above 32 bits on Intel. */
static int keel_sfmask_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if ((data >> 32) && boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		return 1;
	return keel_sysmsr_put(vcpu, msr, data);
}

static int keel_pat_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return keel_pat_valid(data) ? keel_sysmsr_put(vcpu, msr, data) : 1;
}

static int keel_debugctl_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	/* LBR, BTF and the four pin bits of AMD; nothing else exists for a guest. */
	return data & ~0x3fULL ? 1 : keel_sysmsr_put(vcpu, msr, data);
}

static bool keel_has_tsc_aux(struct keel_vcpu *vcpu, bool host)
{
	return host || keel_guest_has(vcpu, X86_FEATURE_RDTSCP) ||
	       keel_guest_has(vcpu, X86_FEATURE_RDPID);
}

static int keel_tsc_aux_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	return keel_has_tsc_aux(vcpu, host) ? keel_sysmsr_get(vcpu, msr, data, host) : 1;
}

static int keel_tsc_aux_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (!keel_has_tsc_aux(vcpu, host))
		return 1;
	/* Intel has reserved bits there, AMD ignores them. */
	if ((data >> 32) && !vcpu->cpuid.amd)
		return 1;
	return keel_sysmsr_put(vcpu, msr, (u32)data);
}

static int keel_segbase_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	keel_need(vcpu, KEEL_R_SEGS);
	*data = msr == MSR_FS_BASE ? vcpu->fs.base : vcpu->gs.base;
	return 0;
}

static int keel_segbase_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (!keel_canonical(vcpu, data, host))
		return 1;
	keel_need(vcpu, KEEL_R_SEGS);
	if (msr == MSR_FS_BASE)
		vcpu->fs.base = data;
	else
		vcpu->gs.base = data;
	keel_dirty(vcpu, KEEL_R_SEGS);
	return 0;
}

static int keel_efer_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	keel_need(vcpu, KEEL_R_EFER);
	*data = vcpu->efer;
	return 0;
}

static int keel_efer_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return keel_set_efer(vcpu, data, host);
}

static int keel_xss_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->xss;
	return host ? 0 : 1;
}

static int keel_xss_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	/* No supervisor component is given, and so no XSAVES. */
	return host && !data ? 0 : 1;
}

/* ---- identity and control ---- */

static int keel_feat_ctl_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = FEAT_CTL_LOCKED;
	return !host && vcpu->cpuid.amd ? 1 : 0;
}

static int keel_feat_ctl_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return host && data == FEAT_CTL_LOCKED ? 0 : 1;
}

static int keel_ucode_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->microcode;
	return 0;
}

static int keel_ucode_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	/* A guest writes 0 before it reads the revision; it may not choose it. */
	if (host)
		vcpu->microcode = data;
	return 0;
}

static int keel_smi_count_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->smi_count;
	return !host && vcpu->cpuid.amd ? 1 : 0;
}

static int keel_smi_count_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (!host)
		return 1;
	vcpu->smi_count = data;
	return 0;
}

static int keel_platform_info_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->msr_platform_info;
	return 0;
}

static int keel_platform_info_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	/* CPUID faulting is not there, so nobody may promise it. */
	if (!host || (data & MSR_PLATFORM_INFO_CPUID_FAULT))
		return 1;
	vcpu->msr_platform_info = data;
	return 0;
}

static int keel_misc_enable_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->misc_enable;
	return 0;
}

static int keel_misc_enable_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	const u64 ro = MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL;
	u64 changed = data ^ vcpu->misc_enable;

	if (!host) {
		if (changed & ro)
			return 1;
		/* Performance monitoring available: read-only, writes are ignored. */
		data = (data & ~(u64)MSR_IA32_MISC_ENABLE_EMON) |
		       (vcpu->misc_enable & MSR_IA32_MISC_ENABLE_EMON);
	}
	if ((vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT) &&
	    (changed & MSR_IA32_MISC_ENABLE_MWAIT) && !keel_guest_has(vcpu, X86_FEATURE_XMM3))
		return 1;
	vcpu->misc_enable = data;
	return 0;
}

static int keel_hwcr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->hwcr;
	return 0;
}

static int keel_hwcr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	/* TLB cache disable, flush filter disable, IGNNE emulation: no effect here. */
	data &= ~(BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8));
	/* McStatusWrEn is all that is left. */
	if (data & ~BIT_ULL(18))
		return 1;
	vcpu->hwcr = data;
	return 0;
}

/* Erratum workarounds that the guest can be told of: none apply to a guest. */
static int keel_osvw_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	if (!host && !keel_guest_has(vcpu, X86_FEATURE_OSVW))
		return 1;
	*data = 0;
	return 0;
}

static int keel_osvw_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return host ? 0 : 1;
}

/* ---- time and interrupts ---- */

static int keel_tsc_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = keel_guest_tsc(vcpu, rdtsc());
	return 0;
}

static int keel_tsc_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	keel_tsc_write(vcpu, data, host);
	return 0;
}

static int keel_tsc_adjust_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->tsc.adjust;
	return 0;
}

static int keel_tsc_adjust_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (host)
		/* Restoring: the TSC itself is set on its own. */
		vcpu->tsc.adjust = data;
	else if (keel_guest_has(vcpu, X86_FEATURE_TSC_ADJUST))
		keel_tsc_adjust_write(vcpu, data);
	else
		return 1;
	return 0;
}

static int keel_deadline_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	if (!vcpu->lapic || (!host && !keel_guest_has(vcpu, X86_FEATURE_TSC_DEADLINE_TIMER))) {
		*data = 0;
		return host ? 0 : 1;
	}
	*data = keel_lapic_get_deadline(vcpu);
	return 0;
}

static int keel_deadline_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (!vcpu->lapic || (!host && !keel_guest_has(vcpu, X86_FEATURE_TSC_DEADLINE_TIMER)))
		return host ? 0 : 1;
	keel_lapic_set_deadline(vcpu, data);
	return 0;
}

static int keel_apic_base_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	*data = vcpu->apic_base;
	return 0;
}

static int keel_apic_base_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return keel_set_apic_base(vcpu, data, host);
}

static int keel_x2apic_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	return vcpu->lapic ? keel_lapic_msr_read(vcpu, msr, data) : 1;
}

static int keel_x2apic_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	return vcpu->lapic ? keel_lapic_msr_write(vcpu, msr, data) : 1;
}

static int keel_pv_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	return keel_pv_msr_get(vcpu, msr, data) ? 1 : 0;
}

static int keel_pv_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	int ret = keel_pv_msr_set(vcpu, msr, data, host);

	return ret == -EFAULT ? ret : !!ret;
}

/* ---- the table ---- */

#define R(first, last, getter, setter, flags)	{ first, last, flags, getter, setter }
#define M(msr, getter, setter, flags)		R(msr, msr, getter, setter, flags)
#define SAVE	KEEL_MSR_SAVE
#define BACKEND	KEEL_MSR_BACKEND

/* Sorted: keel_msr_search() halves it. */
const struct keel_msr keel_msrs[] = {
	R(MSR_IA32_P5_MC_ADDR, MSR_IA32_P5_MC_TYPE, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_IA32_TSC, keel_tsc_get, keel_tsc_set, SAVE),
	/* The numbers that kvmclock had before its range: the same registers. */
	R(MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, keel_pv_get, keel_pv_set, SAVE),
	M(MSR_IA32_PLATFORM_ID, keel_msr_zero_get, NULL, 0),
	M(MSR_IA32_APICBASE, keel_apic_base_get, keel_apic_base_set, 0),
	M(MSR_IA32_EBL_CR_POWERON, keel_msr_zero_get, NULL, 0),
	M(MSR_EBC_FREQUENCY_ID, keel_msr_const_get, NULL, 0),
	M(MSR_SMI_COUNT, keel_smi_count_get, keel_smi_count_set, SAVE),
	M(MSR_IA32_FEAT_CTL, keel_feat_ctl_get, keel_feat_ctl_set, 0),
	M(MSR_IA32_TSC_ADJUST, keel_tsc_adjust_get, keel_tsc_adjust_set, SAVE),
	M(MSR_IA32_SPEC_CTRL, keel_spec_ctrl_get, keel_spec_ctrl_set, SAVE | KEEL_MSR_SPEC_CTRL),
	M(MSR_IA32_PRED_CMD, keel_msr_none_get, keel_pred_cmd_set, 0),
	M(MSR_IA32_UCODE_WRITE, keel_msr_none_get, keel_msr_ignore_set, 0),
	M(MSR_IA32_UCODE_REV, keel_ucode_get, keel_ucode_set, SAVE | KEEL_MSR_FEATURE),
	R(MSR_P6_PERFCTR0, MSR_P6_PERFCTR1, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_FSB_FREQ, keel_msr_const_get, NULL, 0),
	M(MSR_PLATFORM_INFO, keel_platform_info_get, keel_platform_info_set, SAVE),
	M(MSR_IA32_UMWAIT_CONTROL, keel_msr_none_get, NULL, SAVE | KEEL_MSR_WAITPKG | BACKEND),
	M(MSR_MTRRcap, keel_mtrr_get, NULL, 0),
	M(MSR_IA32_ARCH_CAPABILITIES, keel_arch_caps_get, keel_arch_caps_set,
	  SAVE | KEEL_MSR_FEATURE),
	M(MSR_IA32_BBL_CR_CTL3, keel_msr_const_get, keel_msr_ignore_set, 0),
	M(MSR_MISC_FEATURES_ENABLES, keel_msr_zero_get, keel_msr_zero_set, SAVE),
	M(MSR_IA32_SYSENTER_CS, keel_sysmsr_get, keel_sysmsr_set, SAVE),
	M(MSR_IA32_SYSENTER_ESP, keel_sysmsr_get, keel_sysmsr_addr_set, SAVE),
	M(MSR_IA32_SYSENTER_EIP, keel_sysmsr_get, keel_sysmsr_addr_set, SAVE),
	M(MSR_IA32_MCG_CAP, keel_mce_get, NULL, 0),
	R(MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL, keel_mce_get, keel_mce_set, SAVE),
	R(MSR_P6_EVNTSEL0, MSR_P6_EVNTSEL1, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_IA32_PERF_STATUS, keel_msr_const_get, NULL, 0),
	M(MSR_IA32_PERF_CTL, keel_msr_zero_get, NULL, 0),
	M(MSR_IA32_MISC_ENABLE, keel_misc_enable_get, keel_misc_enable_set, SAVE),
	M(MSR_IA32_DEBUGCTLMSR, keel_sysmsr_get, keel_debugctl_set, SAVE | BACKEND),
	R(MSR_IA32_LASTBRANCHFROMIP, MSR_IA32_LASTINTTOIP, keel_msr_zero_get, NULL, BACKEND),
	R(0x200, 0x20f, keel_mtrr_get, keel_mtrr_set, SAVE),
	M(MSR_MTRRfix64K_00000, keel_mtrr_get, keel_mtrr_set, SAVE),
	R(MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000, keel_mtrr_get, keel_mtrr_set, SAVE),
	R(MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_F8000, keel_mtrr_get, keel_mtrr_set, SAVE),
	M(MSR_IA32_CR_PAT, keel_sysmsr_get, keel_pat_set, SAVE),
	R(MSR_IA32_MC0_CTL2, MSR_IA32_MCx_CTL2(KEEL_MCE_BANKS) - 1, keel_mce_get, keel_mce_set, 0),
	M(MSR_MTRRdefType, keel_mtrr_get, keel_mtrr_set, SAVE),
	M(MSR_IA32_PERF_CAPABILITIES, keel_msr_zero_get, keel_msr_zero_set, KEEL_MSR_FEATURE),
	R(MSR_IA32_MC0_CTL, MSR_IA32_MCx_CTL(KEEL_MCE_BANKS) - 1, keel_mce_get, keel_mce_set, 0),
	M(MSR_RAPL_POWER_UNIT, keel_msr_zero_get, NULL, 0),
	M(MSR_PKG_ENERGY_STATUS, keel_msr_zero_get, NULL, 0),
	M(MSR_DRAM_ENERGY_STATUS, keel_msr_zero_get, NULL, 0),
	M(MSR_PP0_ENERGY_STATUS, keel_msr_zero_get, NULL, 0),
	M(MSR_PP1_ENERGY_STATUS, keel_msr_zero_get, NULL, 0),
	M(MSR_IA32_TSC_DEADLINE, keel_deadline_get, keel_deadline_set, SAVE),
	R(APIC_BASE_MSR, APIC_BASE_MSR + 0xff, keel_x2apic_get, keel_x2apic_set, 0),
	M(MSR_IA32_XSS, keel_xss_get, keel_xss_set, 0),
	R(MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, keel_pv_get, keel_pv_set, SAVE),
	R(MSR_KVM_STEAL_TIME, MSR_KVM_POLL_CONTROL, keel_pv_get, keel_pv_set, SAVE),
	M(MSR_EFER, keel_efer_get, keel_efer_set, 0),
	M(MSR_STAR, keel_sysmsr_get, keel_sysmsr_set, SAVE),
	R(MSR_LSTAR, MSR_CSTAR, keel_sysmsr_get, keel_sysmsr_addr_set, SAVE),
	M(MSR_SYSCALL_MASK, keel_sysmsr_get, keel_sfmask_set, SAVE),
	R(MSR_FS_BASE, MSR_GS_BASE, keel_segbase_get, keel_segbase_set, 0),
	M(MSR_KERNEL_GS_BASE, keel_sysmsr_get, keel_sysmsr_addr_set, SAVE),
	M(MSR_TSC_AUX, keel_tsc_aux_get, keel_tsc_aux_set, SAVE),
	R(MSR_K7_EVNTSEL0, MSR_K7_PERFCTR3, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_AMD64_SYSCFG, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_K7_HWCR, keel_hwcr_get, keel_hwcr_set, SAVE),
	M(MSR_K7_CLK_CTL, keel_msr_const_get, keel_msr_ignore_set, 0),
	M(MSR_AMD64_NB_CFG, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_AMD64_PATCH_LOADER, keel_msr_none_get, keel_msr_ignore_set, 0),
	M(MSR_K8_INT_PENDING_MSG, keel_msr_zero_get, keel_msr_zero_set, 0),
	M(MSR_FAM10H_MMIO_CONF_BASE, keel_msr_zero_get, keel_msr_zero_set, 0),
	R(MSR_K8_TSEG_ADDR, MSR_K8_TSEG_MASK, keel_msr_zero_get, NULL, 0),
	R(MSR_AMD64_OSVW_ID_LENGTH, MSR_AMD64_OSVW_STATUS, keel_osvw_get, keel_osvw_set, 0),
	R(MSR_AMD64_DC_CFG, MSR_AMD64_TW_CFG, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_AMD64_DE_CFG, keel_de_cfg_get, keel_de_cfg_set, KEEL_MSR_FEATURE | BACKEND),
	M(MSR_AMD64_BU_CFG2, keel_msr_zero_get, keel_msr_ignore_set, 0),
	M(MSR_F15H_EX_CFG, keel_msr_zero_get, keel_msr_ignore_set, 0),
};
const int keel_nr_msrs = ARRAY_SIZE(keel_msrs);

static noinline const struct keel_msr *keel_msr_search(u32 msr)
{
	int lo = 0, hi = ARRAY_SIZE(keel_msrs) - 1;

	while (lo <= hi) {
		int mid = (lo + hi) / 2;

		if (msr < keel_msrs[mid].first)
			hi = mid - 1;
		else if (msr > keel_msrs[mid].last)
			lo = mid + 1;
		else
			return &keel_msrs[mid];
	}
	return NULL;
}

/* Which row was found last for a number with these low bits; any value is fine. */
#define HINTS	64
static u8 keel_msr_hints[HINTS];
static_assert(ARRAY_SIZE(keel_msrs) <= U8_MAX);

/* The row, if it is that one and the back end has no say in it; else NULL. */
static __always_inline const struct keel_msr *keel_msr_guess(u32 msr)
{
	const struct keel_msr *m = &keel_msrs[READ_ONCE(keel_msr_hints[msr % HINTS])];

	return likely(msr >= m->first && msr <= m->last && !(m->flags & KEEL_MSR_BACKEND)) ? m : NULL;
}

static const struct keel_msr *keel_msr_find(u32 msr)
{
	const struct keel_msr *m = keel_msr_search(msr);

	if (m)
		WRITE_ONCE(keel_msr_hints[msr % HINTS], m - keel_msrs);
	return m;
}

/**
 * keel_msr_may_sleep() - does an access to this MSR touch guest memory or take a mutex?
 * @msr: its number
 *
 * If not, the guest's RDMSR and WRMSR can be served with its FPU state loaded.
 */
bool keel_msr_may_sleep(u32 msr)
{
	switch (msr) {
	case MSR_IA32_APICBASE:
	case MSR_KVM_WALL_CLOCK ... MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW ... MSR_KVM_POLL_CONTROL:
		return true;
	default:
		return false;
	}
}

static noinline int keel_msr_get_slowly(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	const struct keel_msr *m = keel_msr_find(msr);
	int ret;

	if (!m)
		return 1;
	if (m->flags & KEEL_MSR_BACKEND) {
		ret = keel_ops.msr_get(vcpu, msr, data, host);
		if (ret != -ENOENT)
			return ret;
	}
	return m->get(vcpu, msr, data, host);
}

/**
 * keel_msr_get() - read an MSR
 * @vcpu: the vCPU, its mutex held; loaded or not if keel_msr_may_sleep() says no, else not
 * @msr: its number
 * @data: the value
 * @host: for user space, not for the guest's RDMSR
 *
 * Return: 0; 1 if there is none or the guest may not; -EFAULT.
 */
int keel_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	const struct keel_msr *m = keel_msr_guess(msr);

	return likely(m) ? m->get(vcpu, msr, data, host) : keel_msr_get_slowly(vcpu, msr, data, host);
}

static noinline int keel_msr_set_slowly(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	const struct keel_msr *m = keel_msr_find(msr);
	int ret;

	if (!m)
		return 1;
	if (m->flags & KEEL_MSR_BACKEND) {
		ret = keel_ops.msr_set(vcpu, msr, data, host);
		if (ret != -ENOENT)
			return ret;
	}
	return m->set ? m->set(vcpu, msr, data, host) : 1;
}

/**
 * keel_msr_set() - write an MSR
 * @vcpu: the vCPU, its mutex held; loaded or not if keel_msr_may_sleep() says no, else not
 * @msr: its number
 * @data: the value
 * @host: for user space, not for the guest's WRMSR
 *
 * Return: 0; 1 if there is none, or the value or the writer is wrong; -EFAULT.
 */
int keel_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	const struct keel_msr *m = keel_msr_guess(msr);

	return likely(m && m->set) ? m->set(vcpu, msr, data, host) :
				     keel_msr_set_slowly(vcpu, msr, data, host);
}

/* ---- life ---- */

int keel_msr_vcpu_init(struct keel_vcpu *vcpu)
{
	bool amd = boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
		   boot_cpu_data.x86_vendor == X86_VENDOR_HYGON;

	/* What the registers may hold follows from the features. */
	keel_cpuid_vcpu_init(vcpu);
	vcpu->arch_caps = keel_arch_capabilities();
	vcpu->microcode = amd ? KEEL_UCODE_AMD : KEEL_UCODE_INTEL;
	return keel_mce_init(vcpu);
}

void keel_msr_vcpu_free(struct keel_vcpu *vcpu)
{
	keel_mce_free(vcpu);
}

/**
 * keel_msr_reset() - as RESET or INIT leaves the MSRs
 * @vcpu: the vCPU
 * @init: INIT: all but DEBUGCTL keep their values (SDM vol. 3, "Processor State After Reset")
 */
void keel_msr_reset(struct keel_vcpu *vcpu, bool init)
{
	if (init) {
		keel_need(vcpu, KEEL_R_SYSMSR);
		vcpu->sysmsr.debugctl = 0;
		keel_dirty(vcpu, KEEL_R_SYSMSR);
		return;
	}
	memset(&vcpu->sysmsr, 0, sizeof(vcpu->sysmsr));
	vcpu->sysmsr.pat = KEEL_PAT_RESET;
	keel_dirty(vcpu, KEEL_R_SYSMSR);
	vcpu->misc_enable = MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL;
	vcpu->hwcr = 0;
	vcpu->smi_count = 0;
	keel_mtrr_reset(vcpu);
}
