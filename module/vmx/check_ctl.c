// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a VM entry failed, the controls and the host's state: SDM vol. 3, 'Checks on VMX Controls
 * and Host-State Area'.
 */
#include <linux/kernel.h>
#include <linux/mm.h>

#include "check.h"

/* ---- controls --------------------------------------------------------------------------- */

#define EXEC		"VM-Execution Control Fields: "
#define ON_EXIT		"VM-Exit Control Fields: "
#define ON_ENTRY	"VM-Entry Control Fields: "

#define VTPR		0x80

/* A capability MSR's low half: bits that must be 1; high half: bits that may be 1. */
static bool must_be_1(unsigned long field, u64 msr)
{
	return ~vmcs_read(field) & (u32)capability(msr);
}

static bool may_not_be_1(unsigned long field, u64 msr)
{
	return vmcs_read(field) & ~(capability(msr) >> 32);
}

static bool exceeds(unsigned long field, u64 max)
{
	return vmcs_read(field) > max;
}

static bool bad_address(unsigned long field, u64 low_bits)
{
	return vmcs_read(field) & (low_bits | above_phys_width());
}

/* With virtual-interrupt delivery it is not looked at. */
static bool threshold_wide(unsigned long field, u64 unused)
{
	return lacks(CTL_CPU2(VIRTUAL_INTR_DELIVERY)) && vmcs_read(field) >> 4;
}

static bool threshold_above_vtpr(unsigned long field, u64 unused)
{
	u64 page = vmcs_read(VIRTUAL_APIC_PAGE_ADDR);

	if (has(CTL_CPU2(VIRTUAL_INTR_DELIVERY)) || has(CTL_CPU2(VIRTUALIZE_APIC_ACCESSES)) ||
	    !pfn_valid(page >> PAGE_SHIFT))
		return false;
	return (vmcs_read(field) & 0xf) > (*(u8 *)__va(page + VTPR) >> 4);
}

static bool ept_lacks(unsigned long unused, u64 cap)
{
	return !(capability(MSR_IA32_VMX_EPT_VPID_CAP) & cap);
}

static bool bad_ept_type(unsigned long field, u64 mask)
{
	u64 type = vmcs_read(field) & mask;

	return (type != VMX_EPTP_MT_UC || ept_lacks(0, VMX_EPTP_UC_BIT)) &&
	       (type != VMX_EPTP_MT_WB || ept_lacks(0, VMX_EPTP_WB_BIT));
}

static bool bad_ept_walk(unsigned long field, u64 mask)
{
	u64 walk = vmcs_read(field) & mask;

	return (walk != VMX_EPTP_PWL_4 || ept_lacks(0, VMX_EPT_PAGE_WALK_4_BIT)) &&
	       (walk != VMX_EPTP_PWL_5 || ept_lacks(0, VMX_EPT_PAGE_WALK_5_BIT));
}

/* ---- the event to inject ---------------------------------------------------------------- */

/* In IA32_VMX_BASIC: an exception may come with an error code or without, whatever its vector. */
#define BASIC_ANY_ERROR	BIT_ULL(56)

/* Vectors with an error code. */
#define WITH_ERROR	(BIT(8) | GENMASK(14, 10) | BIT(17))
#define CP_VECTOR	21

static u32 event_type(void)
{
	return vmcs_read(VM_ENTRY_INTR_INFO_FIELD) & INTR_INFO_INTR_TYPE_MASK;
}

static u32 event_vector(void)
{
	return vmcs_read(VM_ENTRY_INTR_INFO_FIELD) & INTR_INFO_VECTOR_MASK;
}

static bool bad_event_type(unsigned long unused, u64 unused2)
{
	u64 may = capability(MSR_IA32_VMX_TRUE_PROCBASED_CTLS) >> 32;

	return event_type() == INTR_TYPE_RESERVED ||
	       (event_type() == INTR_TYPE_OTHER_EVENT && !(may & CPU_BASED_MONITOR_TRAP_FLAG));
}

static bool bad_event_vector(unsigned long unused, u64 unused2)
{
	switch (event_type()) {
	case INTR_TYPE_NMI_INTR:
		return event_vector() != 2;
	case INTR_TYPE_HARD_EXCEPTION:
		return event_vector() > 31;
	case INTR_TYPE_OTHER_EVENT:
		return event_vector() != 0;
	}
	return false;
}

static bool protected_exception(void)
{
	return event_type() == INTR_TYPE_HARD_EXCEPTION && has(GUEST_CR0, X86_CR0_PE);
}

static bool vector_in(u64 vectors)
{
	return vectors & BIT_ULL(event_vector() & 63);
}

static bool error_code_missing(unsigned long field, u64 bit)
{
	return protected_exception() && vector_in(WITH_ERROR) && lacks(field, bit) &&
	       !(capability(MSR_IA32_VMX_BASIC) & BASIC_ANY_ERROR);
}

/* The manual's list leaves open how a CPU with CET takes #CP: there, either way is no fault. */
static bool error_code_unfit(unsigned long field, u64 bit)
{
	bool cet = capability(MSR_IA32_VMX_CR4_FIXED1) & X86_CR4_CET;

	if (lacks(field, bit))
		return false;
	return !protected_exception() ||
	       (!vector_in(WITH_ERROR | (cet ? BIT(CP_VECTOR) : 0)) &&
		!(capability(MSR_IA32_VMX_BASIC) & BASIC_ANY_ERROR));
}

static bool error_code_wide(unsigned long field, u64 bit)
{
	return has(field, bit) && has(VM_ENTRY_EXCEPTION_ERROR_CODE, GENMASK(31, 16));
}

static bool bad_event_length(unsigned long field, u64 max)
{
	u64 length = vmcs_read(field);

	if (event_type() < INTR_TYPE_SOFT_INTR || event_type() > INTR_TYPE_SOFT_EXCEPTION)
		return false;
	return length > max ||
	       (!length && !(capability(MSR_IA32_VMX_MISC) & VMX_MISC_ZERO_LEN_INS));
}

/* Controls as keel sets them: the secondary ones are active, so they are what they say. */
const struct vmx_check vmx_control_checks[] = {
	{ ALWAYS, must_be_1, PIN_BASED_VM_EXEC_CONTROL, MSR_IA32_VMX_TRUE_PINBASED_CTLS,
	  EXEC "a pin-based control is 0 that this CPU wants to be 1" },
	{ ALWAYS, may_not_be_1, PIN_BASED_VM_EXEC_CONTROL, MSR_IA32_VMX_TRUE_PINBASED_CTLS,
	  EXEC "a pin-based control is 1 that this CPU does not have" },
	{ ALWAYS, must_be_1, CPU_BASED_VM_EXEC_CONTROL, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	  EXEC "a primary processor-based control is 0 that this CPU wants to be 1" },
	{ ALWAYS, may_not_be_1, CPU_BASED_VM_EXEC_CONTROL, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	  EXEC "a primary processor-based control is 1 that this CPU does not have" },
	{ ALWAYS, lacks, CTL_CPU(ACTIVATE_SECONDARY_CONTROLS),
	  EXEC "'activate secondary controls' is 0, and keel cannot do without" },
	{ ALWAYS, may_not_be_1, SECONDARY_VM_EXEC_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS2,
	  EXEC "a secondary processor-based control is 1 that this CPU does not have" },
	{ ALWAYS, exceeds, CR3_TARGET_COUNT, 4,
	  EXEC "the CR3-target count is greater than 4" },
	{ CTL_CPU(USE_MSR_BITMAPS), bad_address, MSR_BITMAP, ~PAGE_MASK,
	  EXEC "the MSR-bitmap address is not of a page, or too wide" },

	{ CTL_CPU(TPR_SHADOW), bad_address, VIRTUAL_APIC_PAGE_ADDR, ~PAGE_MASK,
	  EXEC "the virtual-APIC address is not of a page, or too wide" },
	{ CTL_CPU(TPR_SHADOW), threshold_wide, TPR_THRESHOLD, 0,
	  EXEC "bits 31:4 of the TPR threshold are not 0" },
	{ CTL_CPU(TPR_SHADOW), threshold_above_vtpr, TPR_THRESHOLD, 0,
	  EXEC "the TPR threshold is greater than bits 7:4 of VTPR" },
	{ CTL_PIN(VIRTUAL_NMIS), lacks, CTL_PIN(NMI_EXITING),
	  EXEC "'virtual NMIs' is 1 and 'NMI exiting' is 0" },
	{ CTL_CPU(NMI_WINDOW_EXITING), lacks, CTL_PIN(VIRTUAL_NMIS),
	  EXEC "'NMI-window exiting' is 1 and 'virtual NMIs' is 0" },
	{ CTL_CPU2(VIRTUALIZE_X2APIC_MODE), lacks, CTL_CPU(TPR_SHADOW),
	  EXEC "'virtualize x2APIC mode' is 1 and 'use TPR shadow' is 0" },
	{ CTL_CPU2(APIC_REGISTER_VIRT), lacks, CTL_CPU(TPR_SHADOW),
	  EXEC "'APIC-register virtualization' is 1 and 'use TPR shadow' is 0" },
	{ CTL_CPU2(VIRTUAL_INTR_DELIVERY), lacks, CTL_CPU(TPR_SHADOW),
	  EXEC "'virtual-interrupt delivery' is 1 and 'use TPR shadow' is 0" },
	{ CTL_CPU2(VIRTUALIZE_X2APIC_MODE), has, CTL_CPU2(VIRTUALIZE_APIC_ACCESSES),
	  EXEC "'virtualize x2APIC mode' and 'virtualize APIC accesses' are both 1" },
	{ CTL_CPU2(VIRTUAL_INTR_DELIVERY), lacks, CTL_PIN(EXT_INTR_MASK),
	  EXEC "'virtual-interrupt delivery' is 1 and 'external-interrupt exiting' is 0" },

	{ CTL_CPU2(ENABLE_VPID), lacks, VIRTUAL_PROCESSOR_ID, U16_MAX, EXEC "the VPID is 0" },
	{ CTL_CPU2(ENABLE_EPT), bad_ept_type, EPT_POINTER, VMX_EPTP_MT_MASK,
	  EXEC "EPTP: this CPU does not have the memory type" },
	{ CTL_CPU2(ENABLE_EPT), bad_ept_walk, EPT_POINTER, VMX_EPTP_PWL_MASK,
	  EXEC "EPTP: this CPU does not have the page-walk length" },
	{ EPT_POINTER, VMX_EPTP_AD_ENABLE_BIT, ept_lacks, 0, VMX_EPT_AD_BIT,
	  EXEC "EPTP: bit 6 is 1, and this CPU has no accessed and dirty flags for EPT" },
	{ CTL_CPU2(ENABLE_EPT), bad_address, EPT_POINTER, GENMASK(11, 7),
	  EXEC "EPTP: bits 11:7 are not 0, or the address is too wide" },
	{ CTL_CPU2(ENABLE_PML), lacks, CTL_CPU2(ENABLE_EPT),
	  EXEC "'enable PML' is 1 and 'enable EPT' is 0" },
	{ CTL_CPU2(ENABLE_PML), bad_address, PML_ADDRESS, ~PAGE_MASK,
	  EXEC "the PML address is not of a page, or too wide" },
	{ CTL_CPU2(UNRESTRICTED_GUEST), lacks, CTL_CPU2(ENABLE_EPT),
	  EXEC "'unrestricted guest' is 1 and 'enable EPT' is 0" },
	{ CTL_CPU2(TSC_SCALING), lacks, TSC_MULTIPLIER, U64_MAX,
	  EXEC "'use TSC scaling' is 1 and the TSC multiplier is 0" },

	{ ALWAYS, must_be_1, VM_EXIT_CONTROLS, MSR_IA32_VMX_TRUE_EXIT_CTLS,
	  ON_EXIT "a VM-exit control is 0 that this CPU wants to be 1" },
	{ ALWAYS, may_not_be_1, VM_EXIT_CONTROLS, MSR_IA32_VMX_TRUE_EXIT_CTLS,
	  ON_EXIT "a VM-exit control is 1 that this CPU does not have" },
	{ CTL_EXIT(SAVE_VMX_PREEMPTION_TIMER), lacks, CTL_PIN(VMX_PREEMPTION_TIMER),
	  ON_EXIT "'save VMX-preemption timer value' is 1 and the timer is not active" },

	{ ALWAYS, must_be_1, VM_ENTRY_CONTROLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS,
	  ON_ENTRY "a VM-entry control is 0 that this CPU wants to be 1" },
	{ ALWAYS, may_not_be_1, VM_ENTRY_CONTROLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS,
	  ON_ENTRY "a VM-entry control is 1 that this CPU does not have" },
	{ EVENT, bad_event_type, 0, 0, ON_ENTRY "the event has a reserved type" },
	{ EVENT, bad_event_vector, 0, 0, ON_ENTRY "the event's vector does not go with its type" },
	{ EVENT, error_code_missing, VM_ENTRY_INTR_INFO_FIELD, INTR_INFO_DELIVER_CODE_MASK,
	  ON_ENTRY "the exception is without an error code, and its vector has one" },
	{ EVENT, error_code_unfit, VM_ENTRY_INTR_INFO_FIELD, INTR_INFO_DELIVER_CODE_MASK,
	  ON_ENTRY "the event is with an error code, and by its type, vector or CR0.PE has none" },
	{ EVENT, has, VM_ENTRY_INTR_INFO_FIELD, INTR_INFO_RESVD_BITS_MASK,
	  ON_ENTRY "bits 30:12 of the interruption information are not 0" },
	{ EVENT, error_code_wide, VM_ENTRY_INTR_INFO_FIELD, INTR_INFO_DELIVER_CODE_MASK,
	  ON_ENTRY "bits 31:16 of the event's error code are not 0" },
	{ EVENT, bad_event_length, VM_ENTRY_INSTRUCTION_LEN, 15,
	  ON_ENTRY "the event's instruction length is 0, or greater than 15" },
	{ ALWAYS, has, VM_ENTRY_CONTROLS, VM_ENTRY_SMM | VM_ENTRY_DEACT_DUAL_MONITOR,
	  ON_ENTRY "'entry to SMM' or 'deactivate dual-monitor treatment' is 1 outside SMM" },
	{}
};

/* ---- the host --------------------------------------------------------------------------- */

#define HOST_CR		"Checks on Host Control Registers and MSRs: "
#define HOST_SEG	"Checks on Host Segment and Descriptor-Table Registers: "
#define SIZE		"Checks Related to Address-Space Size: "

#define SELECTOR(r)	{ ALWAYS, has, HOST_##r##_SELECTOR, 7,				\
			  HOST_SEG "RPL or TI of " #r "'s selector is not 0" }
#define NOT_NULL(r)	{ ALWAYS, lacks, HOST_##r##_SELECTOR, U16_MAX,			\
			  HOST_SEG #r "'s selector is 0" }
#define BASE(r)		{ ALWAYS, noncanonical, HOST_##r##_BASE, 0,			\
			  HOST_SEG "the base of " #r " is not canonical" }

/* Other than for bases, what counts here is the paging that the exit turns to. */
static bool bad_host_rip(unsigned long field, u64 unused)
{
	return !uniform_from(vmcs_read(field), has(HOST_CR4, X86_CR4_LA57) ? 56 : 47);
}

/* 'Host address-space size' is 1, or its own check is the one that fails. */
const struct vmx_check vmx_host_checks[] = {
	{ ALWAYS, bad_fixed, HOST_CR0, MSR_IA32_VMX_CR0_FIXED0,
	  HOST_CR "CR0 has a bit as VMX operation does not allow it" },
	{ ALWAYS, bad_fixed, HOST_CR4, MSR_IA32_VMX_CR4_FIXED0,
	  HOST_CR "CR4 has a bit as VMX operation does not allow it" },
	{ HOST_CR4, X86_CR4_CET, lacks, HOST_CR0, X86_CR0_WP,
	  HOST_CR "CR4.CET is 1 and CR0.WP is 0" },
	{ ALWAYS, bad_cr3, HOST_CR3, 0, HOST_CR "CR3 has bits beyond the physical-address width" },
	{ ALWAYS, noncanonical, HOST_IA32_SYSENTER_ESP, 0,
	  HOST_CR "IA32_SYSENTER_ESP is not canonical" },
	{ ALWAYS, noncanonical, HOST_IA32_SYSENTER_EIP, 0,
	  HOST_CR "IA32_SYSENTER_EIP is not canonical" },
	{ CTL_EXIT(LOAD_IA32_PAT), bad_pat, HOST_IA32_PAT, 0,
	  HOST_CR "IA32_PAT has a reserved memory type" },
	{ CTL_EXIT(LOAD_IA32_EFER), has, HOST_IA32_EFER, EFER_RESERVED,
	  HOST_CR "IA32_EFER has reserved bits" },
	{ CTL_EXIT(LOAD_IA32_EFER), lacks, HOST_IA32_EFER, EFER_LMA,
	  HOST_CR "IA32_EFER.LMA is not as 'host address-space size'" },
	{ CTL_EXIT(LOAD_IA32_EFER), lacks, HOST_IA32_EFER, EFER_LME,
	  HOST_CR "IA32_EFER.LME is not as 'host address-space size'" },

	SELECTOR(CS), SELECTOR(SS), SELECTOR(DS), SELECTOR(ES), SELECTOR(FS), SELECTOR(GS),
	SELECTOR(TR),
	NOT_NULL(CS), NOT_NULL(TR),
	BASE(FS), BASE(GS), BASE(GDTR), BASE(IDTR), BASE(TR),

	{ ALWAYS, lacks, CTL_EXIT(HOST_ADDR_SPACE_SIZE),
	  SIZE "'host address-space size' is 0 in IA-32e mode" },
	{ ALWAYS, lacks, HOST_CR4, X86_CR4_PAE,
	  SIZE "'host address-space size' is 1 and CR4.PAE is 0" },
	{ ALWAYS, bad_host_rip, HOST_RIP, 0, SIZE "RIP is not canonical" },
	{}
};
