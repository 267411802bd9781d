// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the VMCB's exit fields to struct keel_exit (APM vol. 2, '#VMEXIT',
 * 'Intercept Operation', 'Decode Assists', 'SVM Intercept Exit Codes').
 */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/bitfield.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>

#include "svm.h"

/* Exit codes that need no operands. */
static const u8 plain_reasons[] = {
	[VMEXIT_INTR]		= KEEL_EXIT_HOST_EVENT,
	[VMEXIT_NMI]		= KEEL_EXIT_HOST_EVENT,
	[VMEXIT_SMI]		= KEEL_EXIT_HOST_EVENT,
	[VMEXIT_INIT]		= KEEL_EXIT_HOST_EVENT,
	[VMEXIT_RDPMC]		= KEEL_EXIT_RDPMC,
	[VMEXIT_CPUID]		= KEEL_EXIT_CPUID,
	[VMEXIT_INVD]		= KEEL_EXIT_INVD,
	[VMEXIT_HLT]		= KEEL_EXIT_HLT,
	[VMEXIT_VMMCALL]	= KEEL_EXIT_HYPERCALL,
	[VMEXIT_WBINVD]		= KEEL_EXIT_INVD,
	[VMEXIT_MONITOR]	= KEEL_EXIT_MONITOR,
	[VMEXIT_MWAIT]		= KEEL_EXIT_MWAIT,
	[VMEXIT_MWAIT_COND]	= KEEL_EXIT_MWAIT,
	[VMEXIT_XSETBV]		= KEEL_EXIT_XSETBV,
	/* Instructions that the guest's CPUID does not have. */
	[VMEXIT_INVLPGA]	= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_VMRUN]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_VMLOAD]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_VMSAVE]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_STGI]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_CLGI]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_SKINIT]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_RDTSCP]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_RDPRU]		= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_INVLPGB]	= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_INVLPGB_ILLEGAL] = KEEL_EXIT_FORBIDDEN,
	[VMEXIT_INVPCID]	= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_MCOMMIT]	= KEEL_EXIT_FORBIDDEN,
	[VMEXIT_TLBSYNC]	= KEEL_EXIT_FORBIDDEN,
};
static_assert(KEEL_EXIT_UNKNOWN == 0);

/* The CPU's word for the instruction's length; only instruction intercepts have it. */
static void decode_length(struct svm_vcpu *svm, struct keel_exit *exit)
{
	const struct vmcb *vmcb = svm->vmcb;
	u64 len = vmcb->control.next_rip - vmcb->save.rip;

	if (svm_caps.nrips && vmcb->control.next_rip && len <= 15)
		exit->insn_len = len;
}

static void decode_io(struct svm_vcpu *svm, struct keel_exit *exit)
{
	const struct vmcb_control *c = &svm->vmcb->control;

	exit->reason = KEEL_EXIT_IO;
	exit->u.io.port = FIELD_GET(IOIO_PORT, c->exit_info_1);
	exit->u.io.size = FIELD_GET(IOIO_SIZE, c->exit_info_1);
	exit->u.io.in = c->exit_info_1 & IOIO_IN;
	exit->u.io.string = c->exit_info_1 & IOIO_STRING;
	exit->u.io.rep = c->exit_info_1 & IOIO_REP;
	/* Known on every CPU. */
	if (!exit->insn_len && c->exit_info_2 - svm->vmcb->save.rip <= 15)
		exit->insn_len = c->exit_info_2 - svm->vmcb->save.rip;
}

/*
 * Decode assists name the register of a MOV; CLTS, LMSW and SMSW, and all of them
 * on CPUs without, go to the emulator.
 */
static void decode_cr(struct svm_vcpu *svm, struct keel_exit *exit, u32 code)
{
	u64 info = svm->vmcb->control.exit_info_1;

	exit->reason = KEEL_EXIT_CR;
	exit->u.cr.cr = code == VMEXIT_CR0_SEL_WRITE ? 0 : code & 0xf;
	exit->u.cr.write = code >= VMEXIT_CR0_WRITE;
	exit->u.cr.clts = false;
	exit->u.cr.lmsw = false;
	exit->u.cr.gpr = svm_caps.decode_assists && (info & CR_INFO_MOV) ?
			 info & CR_INFO_GPR : 0xff;
}

static void decode_dr(struct svm_vcpu *svm, struct keel_exit *exit, u32 code)
{
	exit->reason = KEEL_EXIT_DR;
	exit->u.dr.dr = code & 0xf;
	exit->u.dr.write = code >= VMEXIT_DR0_WRITE;
	exit->u.dr.gpr = svm_caps.decode_assists ?
			 svm->vmcb->control.exit_info_1 & CR_INFO_GPR : 0xff;
}

/*
 * A #DB exit leaves its cause in the VMCB's DR6, which was neutral at the entry.
 * The step that svm_nmi_prepare() asked for is not the guest's.
 */
static void decode_debug(struct svm_vcpu *svm, struct keel_exit *exit)
{
	struct vmcb_save *save = &svm->vmcb->save;
	u64 payload = save->dr6 ^ DR6_RESERVED;

	save->dr6 = DR6_RESERVED;
	svm_changed(svm, CLEAN_DRX);
	if (svm->stepped) {
		payload &= ~(u64)DR_STEP;
		if (!payload) {
			exit->reason = KEEL_EXIT_NMI_WINDOW;
			return;
		}
	}
	exit->u.exception.payload = payload;
}

static void decode_exception(struct svm_vcpu *svm, struct keel_exit *exit, u32 code)
{
	const struct vmcb_control *c = &svm->vmcb->control;
	u8 vector = code - VMEXIT_EXCP0;

	/* The machine check was the host's, and has been given to it. */
	if (vector == X86_TRAP_MC) {
		exit->reason = KEEL_EXIT_HOST_EVENT;
		return;
	}
	exit->reason = KEEL_EXIT_EXCEPTION;
	exit->u.exception.vector = vector;
	exit->u.exception.has_error = keel_exception_has_error(vector);
	exit->u.exception.error = exit->u.exception.has_error ? c->exit_info_1 : 0;
	exit->u.exception.payload = 0;
	if (vector == X86_TRAP_DB)
		decode_debug(svm, exit);
	else if (vector == X86_TRAP_PF)
		exit->u.exception.payload = c->exit_info_2;
}

/*
 * The user bit says nothing: every nested access is one.  Instruction bytes come with
 * faults on data only, and some CPUs deliver none where SMAP is on (erratum 1096):
 * then the emulator fetches them itself.
 */
static void decode_npf(struct svm_vcpu *svm, struct keel_exit *exit)
{
	const struct vmcb_control *c = &svm->vmcb->control;
	u32 access = c->exit_info_1 & (KEEL_ACC_PRESENT | KEEL_ACC_WRITE | KEEL_ACC_RSVD |
				       KEEL_ACC_FETCH);

	if (c->exit_info_1 & NPF_GUEST_WALK)
		access |= KEEL_ACC_GUEST_WALK;
	exit->reason = KEEL_EXIT_TDP_FAULT;
	exit->u.fault.gpa = c->exit_info_2;
	exit->u.fault.access = access;
	exit->u.fault.has_linear = false;

	if (svm_caps.decode_assists && !(access & (KEEL_ACC_FETCH | KEEL_ACC_GUEST_WALK))) {
		exit->nr_bytes = min_t(u8, c->insn_len & 0xf, sizeof(c->insn_bytes));
		memcpy(exit->bytes, c->insn_bytes, sizeof(c->insn_bytes));
	}
}

static void decode_iret(struct svm_vcpu *svm, struct keel_exit *exit)
{
	svm->iret_seen = true;
	svm->iret_rip = svm->vmcb->save.rip;
	exit->reason = KEEL_EXIT_NMI_WINDOW;
}

static void decode_pause(struct svm_vcpu *svm, struct keel_exit *exit)
{
	struct vmcb_control *c = &svm->vmcb->control;

	exit->reason = KEEL_EXIT_PAUSE;
	c->pause_count = keel_spin_limit(c->pause_count, PAUSE_COUNT, U16_MAX);
	svm_changed(svm, CLEAN_INTERCEPTS);
}

static void decode_invalid(struct svm_vcpu *svm, struct keel_exit *exit)
{
	exit->reason = KEEL_EXIT_FAIL_ENTRY;
	pr_err_ratelimited("VMRUN failed: %s\n",
			   svm->switched ? svm_find_fault(svm->vmcb) : "SVM is off on this CPU");
}

static void decode_other(struct svm_vcpu *svm, struct keel_exit *exit, u32 code)
{
	switch (code) {
	case VMEXIT_VINTR:
		svm_want_window(&svm->vcpu, svm->windows & ~KEEL_WIN_IRQ);
		exit->reason = KEEL_EXIT_IRQ_WINDOW;
		break;
	case VMEXIT_CR0_SEL_WRITE:
		decode_cr(svm, exit, code);
		break;
	case VMEXIT_IRET:
		decode_iret(svm, exit);
		break;
	case VMEXIT_IOIO:
		decode_io(svm, exit);
		break;
	case VMEXIT_MSR:
		exit->reason = KEEL_EXIT_MSR;
		exit->u.msr.write = svm->vmcb->control.exit_info_1 & 1;
		break;
	case VMEXIT_PAUSE:
		decode_pause(svm, exit);
		break;
	case VMEXIT_SHUTDOWN:
		exit->reason = KEEL_EXIT_SHUTDOWN;
		svm_rebuild(svm);
		break;
	case VMEXIT_NPF:
		decode_npf(svm, exit);
		break;
	default:
		if (code < ARRAY_SIZE(plain_reasons))
			exit->reason = plain_reasons[code];
	}
}

/*
 * svm_decode_exit(): fill @exit after the switch; interrupts off
 */
void svm_decode_exit(struct svm_vcpu *svm, struct keel_exit *exit)
{
	const struct vmcb_control *c = &svm->vmcb->control;
	/* Emulated CPUs leave the upper half alone, even of VMEXIT_INVALID. */
	u32 code = svm->switched ? lower_32_bits(c->exit_code) : VMEXIT_INVALID;

	exit->reason = KEEL_EXIT_UNKNOWN;
	exit->insn_len = 0;
	exit->nr_bytes = 0;
	exit->hw_reason = code;
	exit->hw_info[0] = c->exit_info_1;
	exit->hw_info[1] = c->exit_info_2;

	if (code == VMEXIT_INVALID) {
		/* Nothing was delivered: the event that was to go in still waits. */
		decode_invalid(svm, exit);
		svm_cancel_inject(&svm->vcpu, &exit->vectoring);
		return;
	}
	svm_decode_vectoring(svm, &exit->vectoring);
	decode_length(svm, exit);

	if (code <= VMEXIT_CR15_WRITE)
		decode_cr(svm, exit, code);
	else if (code <= VMEXIT_DR15_WRITE)
		decode_dr(svm, exit, code);
	else if (code <= VMEXIT_EXCP31)
		decode_exception(svm, exit, code);
	else
		decode_other(svm, exit, code);
}
