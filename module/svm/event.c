// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: injecting them, taking them back, and stopping when one can be taken
 * (APM vol. 2, 'Event Injection', 'Intercepts During IDT Interrupt Delivery',
 * 'Interrupt and Exception Behavior', 'Virtual Interrupts').
 */
#include <linux/bitfield.h>
#include <linux/smp.h>
#include <asm/trapnr.h>

#include "../compat.h"
#include "svm.h"

/* ---- injection -------------------------------------------------------------------------- */

static bool is_soft(const struct keel_event *ev)
{
	return ev->type == KEEL_EVENT_SOFT_INT || ev->type == KEEL_EVENT_SOFT_EXC ||
	       (ev->type == KEEL_EVENT_EXCEPTION &&
		(ev->vector == X86_TRAP_BP || ev->vector == X86_TRAP_OF));
}

/*
 * The return address of INT n, INT3 and INTO is that of the next instruction.  CPUs
 * with NRIP save take it from the VMCB; on the others RIP itself must be there
 * before the injection, and go back if the delivery faults or exits: the
 * instruction is then executed again.  Without a length, that of the plain forms.
 */
static void prepare_soft(struct svm_vcpu *svm, const struct keel_event *ev)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	unsigned long rip = keel_rip(vcpu);
	u8 len = ev->insn_len ?: ev->type == KEEL_EVENT_SOFT_INT ? 2 : 1;

	svm->soft_rip = rip;
	svm->soft_next = rip + len;
	if (svm_caps.nrips) {
		svm->vmcb->control.next_rip = svm->soft_next;
		return;
	}
	svm->soft = true;
	keel_set_rip(vcpu, svm->soft_next);
}

/* RIP back to the instruction that caused the soft event, if software moved it. */
static void undo_soft(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;

	if (!svm->soft)
		return;
	svm->soft = false;
	if (keel_rip(vcpu) == svm->soft_next)
		keel_set_rip(vcpu, svm->soft_rip);
}

/*
 * svm_finish_soft(): after an exit.  A delivery that has come to its end leaves RIP to
 * the handler, which may have returned to just behind the instruction by now.
 */
void svm_finish_soft(struct svm_vcpu *svm)
{
	if (svm->vmcb->control.exit_int_info & EVENT_VALID)
		undo_soft(svm);
	svm->soft = false;
}

static u32 hw_type(const struct keel_event *ev)
{
	switch (ev->type) {
	case KEEL_EVENT_IRQ:
		return EVENT_INTR;
	case KEEL_EVENT_NMI:
		return EVENT_NMI;
	case KEEL_EVENT_SOFT_INT:
		return EVENT_SOFT;
	}
	/* INT3, INTO and INT1 as well: the CPU knows them by their vectors. */
	return EVENT_EXCEPTION;
}

void svm_inject(struct keel_vcpu *vcpu, const struct keel_event *ev)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	if (ev->type == KEEL_EVENT_NONE)
		return;
	if (is_soft(ev))
		prepare_soft(svm, ev);
	/* There is no blocking by NMI in the CPU's guest mode: it is this flag. */
	if (ev->type == KEEL_EVENT_NMI) {
		vcpu->events.nmi_masked = true;
		/* An IRET that was on its way before is not the one that ends this NMI. */
		svm->iret_seen = false;
	}

	c->event_inj_error = ev->error;
	c->event_inj = EVENT_VALID | FIELD_PREP(EVENT_TYPE, hw_type(ev)) | ev->vector |
		       (ev->has_error ? EVENT_HAS_ERROR : 0);
}

/* What the hardware's event word says; soft types are left out where @redo. */
static void read_event(u32 info, u32 error, bool redo, struct keel_event *ev)
{
	*ev = (struct keel_event) { .vector = info & EVENT_VECTOR };
	if (!(info & EVENT_VALID))
		return;

	switch (FIELD_GET(EVENT_TYPE, info)) {
	case EVENT_INTR:
		ev->type = KEEL_EVENT_IRQ;
		break;
	case EVENT_NMI:
		ev->type = KEEL_EVENT_NMI;
		break;
	case EVENT_EXCEPTION:
		if (ev->vector != X86_TRAP_BP && ev->vector != X86_TRAP_OF)
			ev->type = KEEL_EVENT_EXCEPTION;
		else if (!redo)
			ev->type = KEEL_EVENT_SOFT_EXC;
		break;
	case EVENT_SOFT:
		if (!redo)
			ev->type = KEEL_EVENT_SOFT_INT;
		break;
	}
	if (info & EVENT_HAS_ERROR) {
		ev->has_error = true;
		ev->error = error;
	}
}

void svm_cancel_inject(struct keel_vcpu *vcpu, struct keel_event *ev)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	read_event(c->event_inj, c->event_inj_error, false, ev);
	if (ev->type == KEEL_EVENT_SOFT_INT || ev->type == KEEL_EVENT_SOFT_EXC)
		ev->insn_len = svm->soft_next - svm->soft_rip;
	undo_soft(svm);
	c->event_inj = 0;
}

/*
 * svm_decode_vectoring(): the event whose delivery the exit interrupted
 *
 * Soft events are dropped: RIP is at their instruction, which will be executed
 * again.  (What an NMI's or an exception's delivery ran into is of no interest: the
 * event itself is delivered again after the exit has been handled.)
 */
void svm_decode_vectoring(struct svm_vcpu *svm, struct keel_event *ev)
{
	struct vmcb_control *c = &svm->vmcb->control;

	/* Delivered, or given back right here. */
	c->event_inj = 0;
	if (likely(!(c->exit_int_info & EVENT_VALID))) {
		ev->type = KEEL_EVENT_NONE;
		return;
	}
	read_event(c->exit_int_info, c->exit_int_error, true, ev);
}

/* ---- what can be taken ------------------------------------------------------------------ */

bool svm_event_allowed(struct keel_vcpu *vcpu, enum keel_event_type type)
{
	const struct vmcb_control *c = &to_svm(vcpu)->vmcb->control;

	if (c->event_inj & EVENT_VALID)
		return false;
	keel_need(vcpu, KEEL_R_SHADOW);
	if (vcpu->int_shadow)
		return false;
	if (type == KEEL_EVENT_NMI)
		return !vcpu->events.nmi_masked;
	return keel_rflags(vcpu) & X86_EFLAGS_IF;
}

/*
 * The interrupt window is a virtual interrupt of the highest priority that exits
 * instead of being taken; its vector does not matter.
 */
static void set_irq_window(struct svm_vcpu *svm, bool on)
{
	struct vmcb_control *c = &svm->vmcb->control;

	if (on) {
		c->int_ctl |= INT_V_IRQ | INT_V_PRIO | INT_V_IGN_TPR;
		c->intercept_misc1 |= ICPT_VINTR;
	} else {
		c->int_ctl &= ~(INT_V_IRQ | INT_V_PRIO | INT_V_IGN_TPR);
		c->intercept_misc1 &= ~ICPT_VINTR;
	}
	c->int_vector = 0;
	svm_changed(svm, CLEAN_TPR | CLEAN_INTERCEPTS);
}

void svm_want_window(struct keel_vcpu *vcpu, u32 windows)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u32 changed = svm->windows ^ windows;

	if (!changed)
		return;
	svm->windows = windows;
	if (changed & KEEL_WIN_IRQ)
		set_irq_window(svm, windows & KEEL_WIN_IRQ);
	if (changed & (KEEL_WIN_TPR | KEEL_WIN_IRQ))
		svm_update_cr_intercepts(svm);
	/* KEEL_WIN_NMI: svm_nmi_prepare() */
}

/* ---- NMIs ------------------------------------------------------------------------------- */

/*
 * NMIs are blocked until the handler's IRET.  The IRET exit comes before the
 * instruction, and nothing tells of its end: RIP having moved does.  Where an NMI
 * waits for that end, or for the end of an interrupt shadow, the guest is
 * single-stepped over the one instruction.
 */
static void set_iret_intercept(struct svm_vcpu *svm, bool on)
{
	struct vmcb_control *c = &svm->vmcb->control;

	if (!!(c->intercept_misc1 & ICPT_IRET) == on)
		return;
	c->intercept_misc1 ^= ICPT_IRET;
	svm_changed(svm, CLEAN_INTERCEPTS);
}

static void start_step(struct svm_vcpu *svm)
{
	struct vmcb_save *save = &svm->vmcb->save;

	svm->step = true;
	svm->step_tf = save->rflags & X86_EFLAGS_TF;
	save->rflags |= X86_EFLAGS_TF;
}

/*
 * svm_nmi_prepare(): before an entry, all registers pushed
 */
void svm_nmi_prepare(struct svm_vcpu *svm)
{
	const struct vmcb_control *c = &svm->vmcb->control;
	bool masked = svm->vcpu.events.nmi_masked;

	if (!masked)
		svm->iret_seen = false;
	set_iret_intercept(svm, masked && !svm->iret_seen);

	if (!(svm->windows & KEEL_WIN_NMI) || (masked && !svm->iret_seen))
		return;
	/*
	 * TF must not get onto the guest's stack with the event that goes in now.  The
	 * IPI is held back until the guest runs, and ends its run right after the
	 * delivery.
	 */
	if (c->event_inj & EVENT_VALID)
		smp_send_reschedule(smp_processor_id());
	else
		start_step(svm);
}

/*
 * svm_nmi_finish(): after an exit: has the IRET been executed, and TF back
 */
void svm_nmi_finish(struct svm_vcpu *svm)
{
	struct vmcb_save *save = &svm->vmcb->save;
	bool iret_done = svm->iret_seen && save->rip != svm->iret_rip;

	svm->stepped = svm->step && !svm->step_tf;
	/* IRET has loaded a TF of the guest's own. */
	if (svm->stepped && !iret_done)
		save->rflags &= ~(u64)X86_EFLAGS_TF;
	svm->step = false;

	if (iret_done) {
		svm->iret_seen = false;
		svm->vcpu.events.nmi_masked = false;
		keel_request(&svm->vcpu, KEEL_REQ_EVENT);
	}
}

/* svm_nmi_cancel(): undo svm_nmi_prepare(), the entry having failed */
void svm_nmi_cancel(struct svm_vcpu *svm)
{
	if (svm->step && !svm->step_tf)
		svm->vmcb->save.rflags &= ~(u64)X86_EFLAGS_TF;
	svm->step = false;
	svm->stepped = false;
}
