// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the VMCS's exit fields to struct keel_exit (SDM vol. 3, 'VM-Exit Information Fields',
 * 'Basic VM-Exit Information', appendix 'VMX Basic Exit Reasons').  Each reason reads what it
 * needs and no more.
 */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <asm/trapnr.h>

#include "vmx.h"

/* Bits of exit qualifications. */
#define IO_SIZE			GENMASK(2, 0)	/* less 1 */
#define IO_IN			BIT(3)
#define IO_STRING		BIT(4)
#define IO_REP			BIT(5)
#define IO_PORT_SHIFT		16
#define CR_NUMBER		GENMASK(3, 0)
#define CR_GPR_SHIFT		8
#define CR_TYPE_SHIFT		4
#define DR_NUMBER		GENMASK(2, 0)
#define DR_READ			BIT(4)
#define DR_GPR_SHIFT		8
#define DB_CAUSES		(GENMASK(3, 0) | BIT(13) | BIT(14))	/* B0-B3, BD, BS */
#define EPT_NMI_UNBLOCKED	BIT(12)
#define TASK_SOURCE_SHIFT	30

/* Not in all kernels' headers: CPUs with TDX exit for these, whatever the controls say. */
#define SEAMCALL_REASON		76
#define TDCALL_REASON		77

enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

/* Reasons that need no operands but, at most, what an instruction tells. */
enum insn_kind { NO_INSN, INSN, INSN_READS, INSN_WRITES, INSN_BY_MODE };

static const struct plain_reason {
	u8 reason;
	u8 insn;	/* the CPU tells its length */
} plain_reasons[] = {
	[EXIT_REASON_EXTERNAL_INTERRUPT] = { KEEL_EXIT_HOST_EVENT },
	[EXIT_REASON_TRIPLE_FAULT]	= { KEEL_EXIT_SHUTDOWN },
	[EXIT_REASON_INIT_SIGNAL]	= { KEEL_EXIT_HOST_EVENT },
	[EXIT_REASON_INTERRUPT_WINDOW]	= { KEEL_EXIT_IRQ_WINDOW },
	[EXIT_REASON_NMI_WINDOW]	= { KEEL_EXIT_NMI_WINDOW },
	[EXIT_REASON_CPUID]		= { KEEL_EXIT_CPUID, INSN },
	[EXIT_REASON_HLT]		= { KEEL_EXIT_HLT, INSN },
	[EXIT_REASON_INVD]		= { KEEL_EXIT_INVD, INSN },
	[EXIT_REASON_RDPMC]		= { KEEL_EXIT_RDPMC },
	[EXIT_REASON_VMCALL]		= { KEEL_EXIT_HYPERCALL, INSN_BY_MODE },
	[EXIT_REASON_MWAIT_INSTRUCTION]	= { KEEL_EXIT_MWAIT, INSN },
	[EXIT_REASON_MONITOR_INSTRUCTION] = { KEEL_EXIT_MONITOR, INSN },
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = { KEEL_EXIT_TPR },
	[EXIT_REASON_PREEMPTION_TIMER]	= { KEEL_EXIT_TIMER },
	[EXIT_REASON_WBINVD]		= { KEEL_EXIT_INVD, INSN },
	[EXIT_REASON_MSR_READ]		= { KEEL_EXIT_MSR, INSN_READS },
	[EXIT_REASON_MSR_WRITE]		= { KEEL_EXIT_MSR, INSN_WRITES },
	[EXIT_REASON_XSETBV]		= { KEEL_EXIT_XSETBV, INSN },
	/* Instructions that the guest's CPUID does not have. */
	[EXIT_REASON_VMCLEAR]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMLAUNCH]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMPTRLD]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMPTRST]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMREAD]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMRESUME]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMWRITE]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMOFF]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMON]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_INVEPT]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_INVVPID]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_RDRAND]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_INVPCID]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_VMFUNC]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_ENCLS]		= { KEEL_EXIT_FORBIDDEN },
	[EXIT_REASON_RDSEED]		= { KEEL_EXIT_FORBIDDEN },
	[SEAMCALL_REASON]		= { KEEL_EXIT_FORBIDDEN },
	[TDCALL_REASON]			= { KEEL_EXIT_FORBIDDEN },
};
static_assert(KEEL_EXIT_UNKNOWN == 0);

static u64 qualification(struct keel_exit *exit)
{
	exit->hw_info[0] = vmcs_read(EXIT_QUALIFICATION);
	return exit->hw_info[0];
}

/* An instruction that will be skipped, most likely: what that takes, besides. */
static __always_inline void decode_insn(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	exit->insn_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	vcpu->rip = vmcs_read(GUEST_RIP);
	vcpu->rflags = vmcs_read(GUEST_RFLAGS);
	vmx_pull_shadow(vcpu);
	vcpu->avail |= KEEL_R_RIP | KEEL_R_RFLAGS | KEEL_R_SHADOW;
}

/* As vmx_pull_mode(); nothing is known of SS and CS yet. */
static __always_inline void decode_mode(struct keel_vcpu *vcpu)
{
	vcpu->guest_cpl = vmcs_read(GUEST_SS_AR_BYTES) >> 5 & 3;
	vcpu->guest_cs_l = !!(vmcs_read(GUEST_CS_AR_BYTES) & SEG_AR_L);
	vcpu->avail |= KEEL_R_MODE;
}

/* ---- exceptions ------------------------------------------------------------------------- */

/*
 * INT1 is a trap that leaves RIP at its instruction: it goes behind that as the #DB goes into
 * the guest, which finds no cause in DR6.
 *
 * A single step is not held back by STI's shadow, nor a general detect by MOV SS's.  The shadow is
 * still there when the #DB goes in, and then the step must be pending: see push_shadow().
 */
static void decode_debug(struct vmx_vcpu *vmx, struct keel_exit *exit, u32 info)
{
	exit->u.exception.payload = qualification(exit) & DB_CAUSES;
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION) {
		decode_insn(vmx, exit);
		keel_advance_rip(&vmx->vcpu, exit->insn_len);
	}
	keel_need(&vmx->vcpu, KEEL_R_SHADOW);
	if (vmx->vcpu.int_shadow)
		keel_dirty(&vmx->vcpu, KEEL_R_SHADOW);
}

static void decode_exception(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	u32 info = vmx->exit_info;
	u8 vector = info & INTR_INFO_VECTOR_MASK;

	exit->hw_info[1] = info;
	/* An NMI or a machine check was the host's, and has been given to it. */
	exit->reason = KEEL_EXIT_HOST_EVENT;
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR)
		return;
	/* A double fault leaves the blocking undefined, and nothing to go back to. */
	if ((info & INTR_INFO_UNBLOCK_NMI) && vector != X86_TRAP_DF &&
	    exit->vectoring.type == KEEL_EVENT_NONE)
		vmx_note_nmi_unblocked(vmx);
	if (vector == X86_TRAP_MC)
		return;

	exit->reason = KEEL_EXIT_EXCEPTION;
	exit->u.exception.vector = vector;
	exit->u.exception.has_error = info & INTR_INFO_DELIVER_CODE_MASK;
	exit->u.exception.error = exit->u.exception.has_error ?
				  vmcs_read(VM_EXIT_INTR_ERROR_CODE) : 0;
	exit->u.exception.payload = 0;
	if (vector == X86_TRAP_DB)
		decode_debug(vmx, exit, info);
	else if (vector == X86_TRAP_PF)
		exit->u.exception.payload = qualification(exit);
}

/* ---- instructions ----------------------------------------------------------------------- */

static void decode_io(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	u64 qual = qualification(exit);

	decode_insn(vmx, exit);
	exit->reason = KEEL_EXIT_IO;
	exit->u.io.port = qual >> IO_PORT_SHIFT;
	exit->u.io.size = (qual & IO_SIZE) + 1;
	exit->u.io.in = qual & IO_IN;
	exit->u.io.string = qual & IO_STRING;
	exit->u.io.rep = qual & IO_REP;
}

static void decode_cr(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	u64 qual = qualification(exit);
	enum cr_access type = qual >> CR_TYPE_SHIFT & 3;

	decode_insn(vmx, exit);
	exit->reason = KEEL_EXIT_CR;
	exit->u.cr.cr = qual & CR_NUMBER;
	exit->u.cr.gpr = qual >> CR_GPR_SHIFT & 0xf;
	exit->u.cr.write = type != CR_MOV_FROM;
	exit->u.cr.clts = type == CR_CLTS;
	exit->u.cr.lmsw = type == CR_LMSW;
	exit->u.cr.lmsw_value = (qual & LMSW_SOURCE_DATA) >> LMSW_SOURCE_DATA_SHIFT;
}

static void decode_dr(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	u64 qual = qualification(exit);

	decode_insn(vmx, exit);
	exit->reason = KEEL_EXIT_DR;
	exit->u.dr.dr = qual & DR_NUMBER;
	exit->u.dr.gpr = qual >> DR_GPR_SHIFT & 0xf;
	exit->u.dr.write = !(qual & DR_READ);
}

static void decode_pause(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	decode_insn(vmx, exit);
	exit->reason = KEEL_EXIT_PAUSE;
	vmcs_write(PLE_WINDOW,
		   keel_spin_limit(vmcs_read(PLE_WINDOW), PLE_WINDOW_TICKS, PLE_WINDOW_MAX));
}

static void decode_task_switch(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	u64 qual = qualification(exit);

	decode_insn(vmx, exit);
	exit->reason = KEEL_EXIT_TASK_SWITCH;
	exit->u.task.selector = qual;
	exit->u.task.source = qual >> TASK_SOURCE_SHIFT & 3;
}

/* ---- memory ----------------------------------------------------------------------------- */

/*
 * 'Exit Qualification for EPT Violations'.  Without a valid linear address, or with one that
 * is not the access's own, it was an entry of the guest's tables (or its PDPTEs being loaded).
 */
static void decode_ept_violation(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	u64 qual = qualification(exit);
	u32 access = 0;

	if (qual & EPT_VIOLATION_RWX_MASK)
		access |= KEEL_ACC_PRESENT;
	if (qual & EPT_VIOLATION_ACC_WRITE)
		access |= KEEL_ACC_WRITE;
	if (qual & EPT_VIOLATION_ACC_INSTR)
		access |= KEEL_ACC_FETCH;
	if (!(qual & EPT_VIOLATION_GVA_TRANSLATED))
		access |= KEEL_ACC_GUEST_WALK;
	if ((qual & EPT_NMI_UNBLOCKED) && exit->vectoring.type == KEEL_EVENT_NONE)
		vmx_note_nmi_unblocked(vmx);
	exit->reason = KEEL_EXIT_TDP_FAULT;
	exit->u.fault.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->u.fault.access = access;
	exit->u.fault.has_linear = qual & EPT_VIOLATION_GVA_IS_VALID;
	exit->u.fault.linear = vmcs_read(GUEST_LINEAR_ADDRESS);
	exit->hw_info[1] = exit->u.fault.gpa;
}

/* The log is empty again: after_exit(), or here where nobody asked for a log. */
static void decode_pml_full(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	if ((qualification(exit) & EPT_NMI_UNBLOCKED) && exit->vectoring.type == KEEL_EVENT_NONE)
		vmx_note_nmi_unblocked(vmx);
	vmx_pml_empty();
	exit->reason = KEEL_EXIT_HOST_EVENT;
}

/* keel makes no such entry: a bug of its own, told to user space as one. */
static void decode_ept_misconfig(struct keel_exit *exit)
{
	exit->reason = KEEL_EXIT_TDP_FAULT;
	exit->u.fault.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->u.fault.access = KEEL_ACC_RSVD;
	exit->hw_info[1] = exit->u.fault.gpa;
}

/* ---- all -------------------------------------------------------------------------------- */

static void decode_apic(struct keel_exit *exit, u16 reason)
{
	exit->reason = reason;
	exit->u.apic.value = qualification(exit);
}

static void clear_exit(struct keel_exit *exit, u16 reason, u32 hw_reason)
{
	exit->reason = reason;
	exit->insn_len = 0;
	exit->nr_bytes = 0;
	exit->hw_reason = hw_reason;
	exit->hw_info[0] = 0;
	exit->hw_info[1] = 0;
}

/*
 * vmx_decode_failure(): fill @exit after an entry that failed; interrupts off
 */
void vmx_decode_failure(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	const char *why = "VMX is off on this CPU";

	clear_exit(exit, KEEL_EXIT_FAIL_ENTRY, vmx->exit_reason);
	if (vmx->result == SWITCH_FAIL)
		exit->hw_reason = vmcs_read(VM_INSTRUCTION_ERROR);
	if (vmx->result == SWITCH_OFF)
		exit->hw_reason = 0;
	else
		why = vmx_find_fault(vmx->result == SWITCH_FAIL, vmx->exit_reason);
	pr_err_ratelimited("VM entry failed: %s (%s 0x%llx)\n", why,
			   vmx->result == SWITCH_FAIL ? "VM-instruction error" : "exit reason",
			   exit->hw_reason);
	/* Not cleared by an entry that failed. */
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	/* Nothing was delivered: the event that was to go in still waits. */
	vmx_cancel_inject(&vmx->vcpu, &exit->vectoring);
}

static noinline void decode_operands(struct vmx_vcpu *vmx, struct keel_exit *exit, u32 reason)
{
	switch (reason) {
	case EXIT_REASON_IO_INSTRUCTION:
		decode_io(vmx, exit);
		break;
	case EXIT_REASON_EXCEPTION_NMI:
		decode_exception(vmx, exit);
		break;
	case EXIT_REASON_EPT_VIOLATION:
		decode_ept_violation(vmx, exit);
		break;
	case EXIT_REASON_CR_ACCESS:
		decode_cr(vmx, exit);
		break;
	case EXIT_REASON_DR_ACCESS:
		decode_dr(vmx, exit);
		break;
	case EXIT_REASON_TASK_SWITCH:
		decode_task_switch(vmx, exit);
		break;
	case EXIT_REASON_EOI_INDUCED:
		decode_apic(exit, KEEL_EXIT_EOI);
		break;
	case EXIT_REASON_APIC_WRITE:
		decode_apic(exit, KEEL_EXIT_APIC_WRITE);
		break;
	case EXIT_REASON_PML_FULL:
		decode_pml_full(vmx, exit);
		break;
	case EXIT_REASON_EPT_MISCONFIG:
		decode_ept_misconfig(exit);
		break;
	default:
		/* Here and not among the cases, which the frequent ones have to get through. */
		if (reason == EXIT_REASON_PAUSE_INSTRUCTION)
			decode_pause(vmx, exit);
	}
}

static __always_inline void decode_reason(struct vmx_vcpu *vmx, struct keel_exit *exit, u32 reason)
{
	const struct plain_reason *plain = &plain_reasons[reason];

	if (reason >= ARRAY_SIZE(plain_reasons) || plain->reason == KEEL_EXIT_UNKNOWN) {
		decode_operands(vmx, exit, reason);
		return;
	}
	exit->reason = plain->reason;
	if (plain->insn == NO_INSN)
		return;
	decode_insn(vmx, exit);
	if (plain->insn == INSN)
		return;
	if (plain->insn == INSN_BY_MODE)
		decode_mode(&vmx->vcpu);
	else
		exit->u.msr.write = plain->insn == INSN_WRITES;
}

/*
 * vmx_decode_exit(): fill @exit after the guest has run; interrupts off
 */
void vmx_decode_exit(struct vmx_vcpu *vmx, u32 exit_reason, struct keel_exit *exit)
{
	u32 info = vmcs_read(IDT_VECTORING_INFO_FIELD);

	clear_exit(exit, KEEL_EXIT_UNKNOWN, exit_reason);
	vmx->entry_info = 0;
	exit->vectoring.type = KEEL_EVENT_NONE;
	if (unlikely(info & VECTORING_INFO_VALID_MASK))
		vmx_decode_vectoring(vmx, info, &exit->vectoring);
	decode_reason(vmx, exit, (u16)exit_reason);
}
