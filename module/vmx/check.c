// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a VM entry failed, in words for the log; here what it came to, and the guest's registers
 * and other state: SDM vol. 3, 'Checks on the Guest State Area'.
 *
 * An entry that fails leaves the VMCS as it was, the event to inject included ('VM-Entry Failures
 * During or After Loading Guest State').
 */
#include <linux/kernel.h>

#include "check.h"

/* ---- registers -------------------------------------------------------------------------- */

#define CR	"Checks on Guest Control Registers, Debug Registers, and MSRs: "
#define RIP	"Checks on Guest RIP, RFLAGS, and SSP: "

#define DEBUGCTL_RESERVED	(GENMASK_ULL(63, 16) | GENMASK_ULL(5, 3))
#define RFLAGS_RESERVED		(GENMASK_ULL(63, 22) | BIT(15) | BIT(5) | BIT(3))

static bool ia32e(void)
{
	return has(CTL_ENTRY(IA32E_MODE));
}

static bool bad_lma(unsigned long field, u64 lma)
{
	return has(field, lma) != ia32e();
}

static bool lme_unlike_lma(unsigned long field, u64 unused)
{
	return has(field, EFER_LMA) != has(field, EFER_LME);
}

static bool code_64bit(void)
{
	return ia32e() && (vmx_seg_rights(SEG_CS) & VMX_AR_L_MASK);
}

static bool rip_wide(unsigned long field, u64 unused)
{
	return !code_64bit() && vmcs_read(field) >> 32;
}

/* Not quite 'canonical': bit 47 (or 56) may be another, and the guest has its fault by itself. */
static bool rip_uneven(unsigned long field, u64 unused)
{
	return code_64bit() && !uniform_from(vmcs_read(field), linear_width());
}

/* Is an event of this type to be injected? */
static bool injects(unsigned long unused, u64 type)
{
	return has(EVENT) &&
	       (vmcs_read(VM_ENTRY_INTR_INFO_FIELD) & INTR_INFO_INTR_TYPE_MASK) == type;
}

static bool interrupt_without_if(unsigned long field, u64 flag)
{
	return injects(0, INTR_TYPE_EXT_INTR) && lacks(field, flag);
}

/* ---- other state ------------------------------------------------------------------------ */

#define STATE		"Checks on Guest Non-Register State: "
#define BLOCKED(by)	GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_##by
#define SHADOW		GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS

/* What a VM exit's qualification may also name. */
#define LINK_TEXT	STATE "the VMCS link pointer is neither all ones nor of a fitting VMCS"
#define NMI_STI_TEXT	STATE "an NMI in the shadow of STI, as not every CPU takes it"
#define PDPTE_TEXT	"Checks on Guest Page-Directory-Pointer-Table Entries: " \
			"a present entry has reserved bits"

/* Pending debug exceptions: B3 to B0, enabled breakpoint, BS, RTM. */
#define PENDING_BUS_LOCK	BIT(11)
#define PENDING_ENABLED		BIT(12)
#define PENDING_BS		BIT(14)
#define PENDING_RTM		BIT(16)
#define PENDING_KNOWN		(GENMASK(3, 0) | PENDING_ENABLED | PENDING_BS | PENDING_RTM)

/* CPUID 7: EBX, EBX, ECX */
#define HAS_SGX			BIT(2)
#define HAS_RTM			BIT(11)
#define HAS_BUS_LOCK		BIT(24)

#define PDPTE_PRESENT		BIT(0)
#define PDPTE_RESERVED		(GENMASK(2, 1) | GENMASK(8, 5))

/* IA32_VMX_MISC has a bit for each state but the active one. */
static bool bad_activity(unsigned long field, u64 unused)
{
	u64 state = vmcs_read(field);

	return state > GUEST_ACTIVITY_WAIT_SIPI ||
	       (state && !(capability(MSR_IA32_VMX_MISC) & BIT(5 + state)));
}

static bool hlt_in_user_mode(unsigned long field, u64 unused)
{
	return vmcs_read(field) == GUEST_ACTIVITY_HLT && VMX_AR_DPL(vmx_seg_rights(SEG_SS));
}

static bool injects_exception(u32 vector)
{
	return injects(0, INTR_TYPE_HARD_EXCEPTION) &&
	       (vmcs_read(VM_ENTRY_INTR_INFO_FIELD) & INTR_INFO_VECTOR_MASK) == vector;
}

static bool event_blocked(unsigned long field, u64 unused)
{
	bool wakes = injects(0, INTR_TYPE_NMI_INTR) || injects_exception(18);

	switch (vmcs_read(field)) {
	case GUEST_ACTIVITY_ACTIVE:
		return false;
	case GUEST_ACTIVITY_HLT:
		return !wakes && !injects(0, INTR_TYPE_EXT_INTR) && !injects_exception(1) &&
		       !injects(0, INTR_TYPE_OTHER_EVENT);
	case GUEST_ACTIVITY_SHUTDOWN:
		return !wakes;
	}
	return true;
}

static bool bad_enclave(unsigned long unused, u64 unused2)
{
	return has(BLOCKED(MOV_SS)) || !(cpuid_ebx(7) & HAS_SGX);
}

static bool bad_pending(unsigned long field, u64 known)
{
	return has(field, ~(known | (cpuid_ecx(7) & HAS_BUS_LOCK ? PENDING_BUS_LOCK : 0)));
}

/* A single-step trap that waits while it may not be taken. */
static bool bad_pending_bs(unsigned long field, u64 bs)
{
	bool step = has(GUEST_RFLAGS, X86_EFLAGS_TF) && lacks(GUEST_IA32_DEBUGCTL, DEBUGCTLMSR_BTF);

	if (lacks(SHADOW) && vmcs_read(GUEST_ACTIVITY_STATE) != GUEST_ACTIVITY_HLT)
		return false;
	return has(field, bs) != step;
}

static bool bad_pending_rtm(unsigned long field, u64 only)
{
	return differs(field, only) || has(BLOCKED(MOV_SS)) || !(cpuid_ebx(7) & HAS_RTM);
}

/* In EPT's case the VMCS has them, one field behind the other; only PAE paging uses them. */
static bool bad_pdptes(unsigned long first, u64 reserved)
{
	int i;

	if (ia32e() || lacks(GUEST_CR4, X86_CR4_PAE))
		return false;
	for (i = 0; i < 4; i++) {
		u64 pdpte = vmcs_read(first + 2 * i);

		if ((pdpte & PDPTE_PRESENT) && (pdpte & (reserved | above_phys_width())))
			return true;
	}
	return false;
}

/* ---- the checks ------------------------------------------------------------------------- */

const struct vmx_check vmx_guest_checks[] = {
	{ ALWAYS, bad_fixed, GUEST_CR0, MSR_IA32_VMX_CR0_FIXED0,
	  CR "CR0 has a bit as VMX operation does not allow it" },
	{ GUEST_CR0, X86_CR0_PG, lacks, GUEST_CR0, X86_CR0_PE, CR "CR0.PG is 1 and CR0.PE is 0" },
	{ ALWAYS, bad_fixed, GUEST_CR4, MSR_IA32_VMX_CR4_FIXED0,
	  CR "CR4 has a bit as VMX operation does not allow it" },
	{ GUEST_CR4, X86_CR4_CET, lacks, GUEST_CR0, X86_CR0_WP,
	  CR "CR4.CET is 1 and CR0.WP is 0" },
	{ CTL_ENTRY(LOAD_DEBUG_CONTROLS), has, GUEST_IA32_DEBUGCTL, DEBUGCTL_RESERVED,
	  CR "IA32_DEBUGCTL has reserved bits" },
	{ CTL_ENTRY(IA32E_MODE), lacks, GUEST_CR0, X86_CR0_PG,
	  CR "'IA-32e mode guest' is 1 and CR0.PG is 0" },
	{ CTL_ENTRY(IA32E_MODE), lacks, GUEST_CR4, X86_CR4_PAE,
	  CR "'IA-32e mode guest' is 1 and CR4.PAE is 0" },
	{ GUEST_CR4, X86_CR4_PCIDE, lacks, CTL_ENTRY(IA32E_MODE),
	  CR "'IA-32e mode guest' is 0 and CR4.PCIDE is 1" },
	{ ALWAYS, bad_cr3, GUEST_CR3, 0, CR "CR3 has bits beyond the physical-address width" },
	{ CTL_ENTRY(LOAD_DEBUG_CONTROLS), has, GUEST_DR7, GENMASK_ULL(63, 32),
	  CR "bits 63:32 of DR7 are not 0" },
	{ ALWAYS, noncanonical, GUEST_SYSENTER_ESP, 0, CR "IA32_SYSENTER_ESP is not canonical" },
	{ ALWAYS, noncanonical, GUEST_SYSENTER_EIP, 0, CR "IA32_SYSENTER_EIP is not canonical" },
	{ CTL_ENTRY(LOAD_IA32_PAT), bad_pat, GUEST_IA32_PAT, 0,
	  CR "IA32_PAT has a reserved memory type" },
	{ CTL_ENTRY(LOAD_IA32_EFER), has, GUEST_IA32_EFER, EFER_RESERVED,
	  CR "IA32_EFER has reserved bits" },
	{ CTL_ENTRY(LOAD_IA32_EFER), bad_lma, GUEST_IA32_EFER, EFER_LMA,
	  CR "IA32_EFER.LMA is not as 'IA-32e mode guest'" },
	{ GUEST_CR0, X86_CR0_PG, lme_unlike_lma, GUEST_IA32_EFER, 0,
	  CR "CR0.PG is 1 and IA32_EFER.LME is not as LMA" },

	{ ALWAYS, rip_wide, GUEST_RIP, 0, RIP "bits 63:32 of RIP are not 0 outside 64-bit mode" },
	{ ALWAYS, rip_uneven, GUEST_RIP, 0,
	  RIP "bits of RIP beyond the linear-address width are not all the same" },
	{ ALWAYS, has, GUEST_RFLAGS, RFLAGS_RESERVED, RIP "RFLAGS has reserved bits" },
	{ ALWAYS, lacks, GUEST_RFLAGS, X86_EFLAGS_FIXED, RIP "bit 1 of RFLAGS is 0" },
	{ V86, has, CTL_ENTRY(IA32E_MODE), RIP "RFLAGS.VM is 1 in IA-32e mode" },
	{ V86, lacks, GUEST_CR0, X86_CR0_PE, RIP "RFLAGS.VM is 1 and CR0.PE is 0" },
	{ EVENT, interrupt_without_if, GUEST_RFLAGS, X86_EFLAGS_IF,
	  RIP "an external interrupt is injected and RFLAGS.IF is 0" },

	{ ALWAYS, bad_activity, GUEST_ACTIVITY_STATE, 0,
	  STATE "this CPU does not have the activity state" },
	{ ALWAYS, hlt_in_user_mode, GUEST_ACTIVITY_STATE, 0,
	  STATE "the activity state is HLT and SS.DPL is not 0" },
	{ SHADOW, has, GUEST_ACTIVITY_STATE, U32_MAX,
	  STATE "the activity state is not active in the shadow of STI or MOV SS" },
	{ EVENT, event_blocked, GUEST_ACTIVITY_STATE, 0,
	  STATE "the activity state blocks the event that is injected" },
	{ ALWAYS, has, GUEST_INTERRUPTIBILITY_INFO, GENMASK(31, 5),
	  STATE "the interruptibility state has reserved bits" },
	{ BLOCKED(STI), has, BLOCKED(MOV_SS), STATE "blocking by STI and by MOV SS are both 1" },
	{ BLOCKED(STI), lacks, GUEST_RFLAGS, X86_EFLAGS_IF,
	  STATE "blocking by STI is 1 and RFLAGS.IF is 0" },
	{ SHADOW, injects, 0, INTR_TYPE_EXT_INTR,
	  STATE "an external interrupt is injected in the shadow of STI or MOV SS" },
	{ BLOCKED(MOV_SS), injects, 0, INTR_TYPE_NMI_INTR,
	  STATE "an NMI is injected in the shadow of MOV SS" },
	{ ALWAYS, has, BLOCKED(SMI), STATE "blocking by SMI is 1 outside SMM" },
	/* Virtual NMIs are always on. */
	{ BLOCKED(NMI), injects, 0, INTR_TYPE_NMI_INTR,
	  STATE "an NMI is injected and blocking by NMI is 1" },
	{ BLOCKED(ENCLAVE_INTR), bad_enclave, 0, 0,
	  STATE "enclave interruption is 1 with blocking by MOV SS, or without SGX" },
	{ ALWAYS, bad_pending, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_KNOWN,
	  STATE "the pending debug exceptions have reserved bits" },
	{ ALWAYS, bad_pending_bs, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_BS,
	  STATE "BS of the pending debug exceptions is not as RFLAGS.TF and IA32_DEBUGCTL.BTF" },
	{ GUEST_PENDING_DBG_EXCEPTIONS, PENDING_RTM, bad_pending_rtm,
	  GUEST_PENDING_DBG_EXCEPTIONS, PENDING_RTM | PENDING_ENABLED,
	  STATE "RTM of the pending debug exceptions is 1, and what it goes with is not" },
	/* Another VMCS's address would do, but keel has none to put there. */
	{ ALWAYS, differs, VMCS_LINK_POINTER, U64_MAX, LINK_TEXT },

	{ GUEST_CR0, X86_CR0_PG, bad_pdptes, GUEST_PDPTR0, PDPTE_RESERVED, PDPTE_TEXT },
	/* The last, since it is up to the CPU. */
	{ BLOCKED(STI), injects, 0, INTR_TYPE_NMI_INTR, NMI_STI_TEXT },
	{}
};

static const char *first_broken(const struct vmx_check *c)
{
	for (; c->text; c++) {
		if (c->if_bits && lacks(c->if_field, c->if_bits))
			continue;
		if (c->broken(c->field, c->arg))
			return c->text;
	}
	return NULL;
}

/* ---- what failed ------------------------------------------------------------------------ */

#define UNKNOWN	"no check that is known to keel fails"

/* The CPU may check in any order, so that its number need not be that of the only table. */
static const char *instruction_fault(unsigned long error)
{
	switch (error) {
	case VMXERR_VMLAUNCH_NONCLEAR_VMCS:
		return "VMLAUNCH with a VMCS that is launched already";
	case VMXERR_VMRESUME_NONLAUNCHED_VMCS:
		return "VMRESUME with a VMCS that is not launched";
	case VMXERR_VMRESUME_AFTER_VMXOFF:
		return "VMRESUME with a VMCS that was launched before VMXOFF";
	case VMXERR_ENTRY_INVALID_CONTROL_FIELD:
		return first_broken(vmx_control_checks) ?: first_broken(vmx_host_checks) ?:
		       "Checks on VMX Controls: " UNKNOWN;
	case VMXERR_ENTRY_INVALID_HOST_STATE_FIELD:
		return first_broken(vmx_host_checks) ?: first_broken(vmx_control_checks) ?:
		       "Checks on the Host-State Area: " UNKNOWN;
	case VMXERR_ENTRY_EVENTS_BLOCKED_BY_MOV_SS:
		return "Basic VM-Entry Checks: the host is in the shadow of MOV SS";
	}
	return "there is no current VMCS (VMfailInvalid), or the error is none of a VM entry";
}

static const char *guest_fault(void)
{
	switch (vmcs_read(EXIT_QUALIFICATION)) {
	case ENTRY_FAIL_PDPTE:
		return PDPTE_TEXT;
	case ENTRY_FAIL_NMI:
		return NMI_STI_TEXT;
	case ENTRY_FAIL_VMCS_LINK_PTR:
		return LINK_TEXT;
	}
	return first_broken(vmx_segment_checks) ?: first_broken(vmx_guest_checks) ?:
	       "Checks on the Guest State Area: " UNKNOWN;
}

/*
 * vmx_find_fault(): the first check that the current VMCS does not pass, for the log
 * @vmfail: VMLAUNCH or VMRESUME failed; else @exit_reason has bit 31
 */
const char *vmx_find_fault(bool vmfail, u32 exit_reason)
{
	if (vmfail)
		return instruction_fault(vmcs_read(VM_INSTRUCTION_ERROR));

	switch ((u16)exit_reason) {
	case EXIT_REASON_INVALID_STATE:
		return guest_fault();
	case EXIT_REASON_MSR_LOAD_FAIL:
		return "Loading MSRs: an entry cannot be loaded, the exit qualification says which";
	case EXIT_REASON_MCE_DURING_VMENTRY:
		return "Machine-Check Events During VM Entry: there was one";
	}
	return "the exit reason is none of a failed VM entry";
}
