// SPDX-License-Identifier: GPL-2.0-only
/* From the queue of events to the back end, in the order of priority; and the ioctls on the queue. */
#include <linux/kvm.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "irqchip/chips.h"
#include "keel.h"
#include "trace.h"

/* ---- queueing --------------------------------------------------------------------- */

/* Real mode pushes no error codes. */
static bool pushes_error(struct keel_vcpu *vcpu, bool has_error)
{
	if (!has_error)
		return false;
	keel_need(vcpu, KEEL_R_CR0);
	return vcpu->cr0 & X86_CR0_PE;
}

static void queue_exception(struct keel_vcpu *vcpu, u8 vector, bool has_error, u32 error,
			    bool has_payload, u64 payload)
{
	has_error = pushes_error(vcpu, has_error);
	if (keel_events_add_exception(&vcpu->events, vector, has_error, error,
				      has_payload, payload) == KEEL_TRIPLE_FAULT)
		keel_request_triple_fault(vcpu);
	keel_request(vcpu, KEEL_REQ_EVENT);
}

/**
 * keel_queue_exception() - raise an exception without error code; vcpu's own thread
 * @vcpu: the vCPU
 * @vector: its vector
 */
void keel_queue_exception(struct keel_vcpu *vcpu, u8 vector)
{
	queue_exception(vcpu, vector, false, 0, false, 0);
}

/**
 * keel_queue_exception_e() - raise an exception with an error code; vcpu's own thread
 * @vcpu: the vCPU
 * @vector: its vector
 * @error: the code; dropped in real mode
 */
void keel_queue_exception_e(struct keel_vcpu *vcpu, u8 vector, u32 error)
{
	queue_exception(vcpu, vector, true, error, false, 0);
}

/**
 * keel_queue_page_fault() - raise a #PF; CR2 changes when it is delivered, not before
 * @vcpu: the vCPU
 * @addr: CR2 to be
 * @error: error code
 */
void keel_queue_page_fault(struct keel_vcpu *vcpu, u64 addr, u32 error)
{
	queue_exception(vcpu, X86_TRAP_PF, true, error, true, addr);
}

/**
 * keel_queue_db() - raise a #DB
 * @vcpu: the vCPU
 * @dr6_bits: the conditions (DR6's B0-B3, BD, BS, BT), all of active-high sense
 */
void keel_queue_db(struct keel_vcpu *vcpu, unsigned long dr6_bits)
{
	queue_exception(vcpu, X86_TRAP_DB, false, 0, true, dr6_bits);
}

/**
 * keel_inject_gp() - raise a #GP
 * @vcpu: the vCPU
 * @error: error code
 *
 * Return: KEEL_RESUME, for handlers to return.
 */
int keel_inject_gp(struct keel_vcpu *vcpu, u32 error)
{
	keel_queue_exception_e(vcpu, X86_TRAP_GP, error);
	return KEEL_RESUME;
}

/**
 * keel_queue_nmi() - an NMI for this vCPU, from any context
 * @vcpu: the vCPU
 */
void keel_queue_nmi(struct keel_vcpu *vcpu)
{
	/* Saturates: the count that matters is at most 2. */
	if (READ_ONCE(vcpu->events.nmi_queued) < 2)
		atomic_inc((atomic_t *)&vcpu->events.nmi_queued);
	keel_request(vcpu, KEEL_REQ_EVENT);
	keel_vcpu_kick(vcpu);
}

/* ---- giving to the back end ------------------------------------------------------- */

static void hand_over(struct keel_vcpu *vcpu, const struct keel_event *ev, bool again)
{
	trace_keel_inject(vcpu->id, ev, again);
	vcpu->events.given = ev->type;
	keel_ops.inject(vcpu, ev);
}

static void inject_exception(struct keel_vcpu *vcpu, bool again)
{
	const struct keel_events *e = &vcpu->events;
	struct keel_event ev = {
		.type = e->exc.type ?: KEEL_EVENT_EXCEPTION,
		.vector = e->exc.vector,
		/* A client may have given one, or changed CR0 since. */
		.has_error = pushes_error(vcpu, e->exc.has_error),
		.error = e->exc.error,
		.insn_len = e->exc.insn_len,
	};

	vcpu->stats.exc_injections++;
	hand_over(vcpu, &ev, again);
}

static void inject_nmi(struct keel_vcpu *vcpu, bool again)
{
	struct keel_event ev = { .type = KEEL_EVENT_NMI, .vector = X86_TRAP_NMI };

	vcpu->stats.nmi_injections++;
	hand_over(vcpu, &ev, again);
}

static void inject_irq(struct keel_vcpu *vcpu, bool again)
{
	const struct keel_events *e = &vcpu->events;
	struct keel_event ev = {
		.type = e->irq.soft ? KEEL_EVENT_SOFT_INT : KEEL_EVENT_IRQ,
		.vector = e->irq.vector,
		.insn_len = e->irq.insn_len,
	};

	vcpu->stats.irq_injections++;
	hand_over(vcpu, &ev, again);
}

/* CR2 and DR6 change with the delivery of the exception that carries them. */
static void deliver_payload(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;

	if (!e->exc.has_payload)
		return;
	e->exc.has_payload = false;
	if (e->exc.vector == X86_TRAP_PF) {
		vcpu->cr2 = e->exc.payload;
		keel_dirty(vcpu, KEEL_R_CR2);
	} else if (e->exc.vector == X86_TRAP_DB) {
		keel_need(vcpu, KEEL_R_DR);
		/* B0-B3 are replaced, the others accumulate (SDM, 'Debug Status Register (DR6)'). */
		vcpu->dr6 &= ~(unsigned long)KEEL_DR6_B;
		vcpu->dr6 |= KEEL_DR6_FIXED | e->exc.payload;
		/* Any #DB: its handler may use the registers (SDM, 'Debug Control Register (DR7)'). */
		vcpu->dr7 &= ~(unsigned long)KEEL_DR7_GD;
		keel_dirty(vcpu, KEEL_R_DR);
		/* One branch was stepped, no more ('Single-Stepping on Branches'). */
		keel_need(vcpu, KEEL_R_SYSMSR);
		if (vcpu->sysmsr.debugctl & DEBUGCTLMSR_BTF) {
			vcpu->sysmsr.debugctl &= ~(u64)DEBUGCTLMSR_BTF;
			keel_dirty(vcpu, KEEL_R_SYSMSR);
		}
	}
}

/* Faults restart their instruction with RF set, so that its breakpoint does not hit twice. */
static bool is_fault(u8 vector)
{
	const u32 traps = BIT(X86_TRAP_DB) | BIT(X86_TRAP_NMI) | BIT(X86_TRAP_BP) |
			  BIT(X86_TRAP_OF) | BIT(X86_TRAP_DF) | BIT(X86_TRAP_MC);

	return vector < 32 && !(traps & BIT(vector));
}

static void start_exception(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;

	deliver_payload(vcpu);
	if (is_fault(e->exc.vector)) {
		keel_need(vcpu, KEEL_R_RFLAGS);
		vcpu->rflags |= X86_EFLAGS_RF;
		keel_dirty(vcpu, KEEL_R_RFLAGS);
	}
	e->exc.pending = false;
	e->exc.injected = true;
	inject_exception(vcpu, false);
}

/*
 * NMIs that came since: one may wait while another is handled, further ones are
 * lost, as on the CPU's one latch.  With none in progress two may wait.
 */
static void collect_nmis(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;
	unsigned int limit = 2;

	if (!READ_ONCE(e->nmi_queued))
		return;
	keel_need(vcpu, KEEL_R_SHADOW);
	if (e->nmi_masked || e->nmi_injected)
		limit = 1;
	e->nmi_pending = min(e->nmi_pending + xchg(&e->nmi_queued, 0), limit);
}

static void start_nmi(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;

	e->nmi_pending--;
	e->nmi_injected = true;
	inject_nmi(vcpu, false);
}

/* True if one was started. */
static bool start_irq(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;
	int vector = keel_irq_take(vcpu);

	if (vector < 0)
		return false;
	e->irq.injected = true;
	e->irq.soft = false;
	e->irq.vector = vector;
	inject_irq(vcpu, false);
	return true;
}

/* True if an exception goes in: before all else, also if it came up behind it. */
static bool give_exception(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;

	if (e->exc.injected)
		inject_exception(vcpu, true);
	else if (e->exc.pending)
		start_exception(vcpu);
	else
		return false;
	if (e->nmi_injected || e->irq.injected) {
		/* nmi_masked is of this group. */
		keel_need(vcpu, KEEL_R_SHADOW);
		keel_events_behind_exception(e);
		keel_dirty(vcpu, KEEL_R_SHADOW);
	}
	return true;
}

/*
 * Something that must go in again before anything new.  An interrupt whose delivery was
 * broken off could be taken then, and still can; one that an exception's handler or an NMI's
 * was put before has to wait for RFLAGS.IF.
 */
static bool reinject(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;

	if (e->nmi_injected) {
		/* Its handler returns to INT n, which is executed again. */
		if (e->irq.soft)
			e->irq.injected = false;
		inject_nmi(vcpu, true);
	} else if (e->irq.injected &&
		   (e->irq.soft || keel_ops.event_allowed(vcpu, KEEL_EVENT_IRQ))) {
		inject_irq(vcpu, true);
	} else {
		return false;
	}
	return true;
}

/* An interrupt of the controllers, or the one that was taken from them and waits. */
static bool irq_wants_window(struct keel_vcpu *vcpu, bool busy)
{
	struct keel_events *e = &vcpu->events;

	if (e->irq.injected && e->given != KEEL_EVENT_IRQ && e->given != KEEL_EVENT_SOFT_INT)
		return true;
	if (!keel_irq_to_inject(vcpu))
		return false;
	if (busy || !keel_ops.event_allowed(vcpu, KEEL_EVENT_IRQ) || !start_irq(vcpu))
		return true;
	return keel_irq_to_inject(vcpu);
}

/*
 * With the APIC in the kernel, CR8 matters only where a lower value would let an
 * interrupt in that waits now.
 */
static bool tpr_holds_back(struct keel_vcpu *vcpu)
{
	int irr;

	if (!vcpu->lapic || vcpu->apicv)
		return false;
	irr = keel_lapic_highest_irr(vcpu);
	return irr >= 0 && (irr >> 4) <= keel_lapic_tpr(vcpu);
}

/**
 * keel_user_irq_possible() - could an interrupt come by KVM_INTERRUPT at all now?
 * @vcpu: the vCPU
 *
 * Where the answer is no, a window for it would open at each entry, for nobody: the
 * guest would not get on.
 */
bool keel_user_irq_possible(struct keel_vcpu *vcpu)
{
	if (keel_irqchip_full(&vcpu->vm->irqchip))
		return false;
	/* Split: there is place for one, and LVT0 has to let it through. */
	return !vcpu->lapic ||
	       (keel_lapic_accepts_extint(vcpu) && keel_lapic_extint(vcpu, false) < 0);
}

/**
 * keel_inject_events() - hand the next event to the back end and ask for the windows that the
 *	others need
 * @vcpu: the vCPU
 *
 * vcpu's own thread, loaded or not; does not sleep.
 */
void keel_inject_events(struct keel_vcpu *vcpu)
{
	struct keel_events *e = &vcpu->events;
	u32 windows = 0;
	bool busy;

	collect_nmis(vcpu);
	busy = give_exception(vcpu) || reinject(vcpu);

	if (e->nmi_pending) {
		if (!busy && keel_ops.event_allowed(vcpu, KEEL_EVENT_NMI)) {
			start_nmi(vcpu);
			busy = true;
		}
		if (e->nmi_pending)
			windows |= KEEL_WIN_NMI;
	}
	/* The way to the window may be a single step: see handle_dr(). */
	if (windows & KEEL_WIN_NMI)
		vcpu->dr_open = false;
	if (irq_wants_window(vcpu, busy))
		windows |= KEEL_WIN_IRQ;
	if (READ_ONCE(vcpu->run->request_interrupt_window) && keel_user_irq_possible(vcpu))
		windows |= KEEL_WIN_IRQ;
	/* Without a local APIC here, user space's one must hear of each change of CR8. */
	if (!vcpu->lapic || tpr_holds_back(vcpu))
		windows |= KEEL_WIN_TPR;
	keel_ops.want_window(vcpu, windows);
}

/* ---- ioctls ----------------------------------------------------------------------- */

/**
 * keel_interrupt() - KVM_INTERRUPT
 * @vcpu: the vCPU
 * @vector: 0 to 255
 *
 * vcpu->mutex held.
 * Return: 0; -EINVAL for a bad vector; -ENXIO with the PIC in the kernel; -EEXIST if one
 * waits already (split: ExtINT only).
 */
int keel_interrupt(struct keel_vcpu *vcpu, u32 vector)
{
	struct keel_events *e = &vcpu->events;
	int ret;

	if (vector >= 256)
		return -EINVAL;
	if (keel_irqchip_full(&vcpu->vm->irqchip))
		return -ENXIO;
	if (vcpu->lapic) {
		/* Goes in as the PIC's would: through LVT0. */
		ret = keel_lapic_set_extint(vcpu, vector);
		if (ret)
			return ret;
	} else {
		e->irq.injected = true;
		e->irq.soft = false;
		e->irq.vector = vector;
	}
	keel_request(vcpu, KEEL_REQ_EVENT);
	return 0;
}

/**
 * keel_get_vcpu_events() - KVM_GET_VCPU_EVENTS; vcpu->mutex held
 * @vcpu: the vCPU
 * @out: filled
 */
int keel_get_vcpu_events(struct keel_vcpu *vcpu, struct kvm_vcpu_events *out)
{
	struct keel_events *e = &vcpu->events;

	memset(out, 0, sizeof(*out));
	collect_nmis(vcpu);
	keel_need(vcpu, KEEL_R_SHADOW);

	/*
	 * A client that does not know payloads would lose CR2 or DR6 with a pending
	 * exception: it gets them delivered now.
	 */
	if (!vcpu->vm->exception_payload && e->exc.pending)
		deliver_payload(vcpu);

	if (vcpu->vm->exception_payload) {
		out->exception.injected = e->exc.injected;
		out->exception.pending = e->exc.pending;
		out->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	} else {
		out->exception.injected = e->exc.injected || e->exc.pending;
	}
	out->exception.nr = e->exc.vector;
	out->exception.has_error_code = e->exc.has_error;
	out->exception.error_code = e->exc.error;
	out->exception_has_payload = e->exc.has_payload;
	out->exception_payload = e->exc.payload;

	out->interrupt.injected = e->irq.injected && !e->irq.soft;
	out->interrupt.nr = e->irq.vector;
	out->interrupt.shadow = vcpu->int_shadow;

	out->nmi.injected = e->nmi_injected;
	out->nmi.pending = e->nmi_pending;
	out->nmi.masked = e->nmi_masked;
	out->flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	return 0;
}

static bool events_valid(struct keel_vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	const u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			  KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_PAYLOAD;
	bool payload = in->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	if (in->flags & ~known)
		return false;
	if (payload && !vcpu->vm->exception_payload)
		return false;
	if ((in->exception.injected || (payload && in->exception.pending)) &&
	    (in->exception.nr > 31 || in->exception.nr == X86_TRAP_NMI))
		return false;
	if ((in->flags & KVM_VCPUEVENT_VALID_SHADOW) &&
	    (in->interrupt.shadow & ~(KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI)))
		return false;
	return true;
}

/**
 * keel_set_vcpu_events() - KVM_SET_VCPU_EVENTS; vcpu->mutex held
 * @vcpu: the vCPU
 * @in: the new queue
 *
 * Return: 0, -EINVAL and nothing changed.
 */
int keel_set_vcpu_events(struct keel_vcpu *vcpu, struct kvm_vcpu_events *in)
{
	struct keel_events *e = &vcpu->events;
	bool payload = in->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	if (!events_valid(vcpu, in))
		return -EINVAL;

	memset(&e->exc, 0, sizeof(e->exc));
	e->exc.type = KEEL_EVENT_EXCEPTION;
	e->exc.pending = payload && in->exception.pending;
	/* Both at once means pending, as KVM has it. */
	e->exc.injected = in->exception.injected && !e->exc.pending;
	e->exc.vector = in->exception.nr;
	e->exc.has_error = in->exception.has_error_code;
	e->exc.error = in->exception.error_code;
	e->exc.has_payload = e->exc.pending && in->exception_has_payload;
	e->exc.payload = in->exception_payload;

	e->irq.injected = in->interrupt.injected;
	e->irq.vector = in->interrupt.nr;
	e->irq.soft = in->interrupt.soft;
	e->irq.insn_len = 0;
	keel_need(vcpu, KEEL_R_SHADOW);
	if (in->flags & KVM_VCPUEVENT_VALID_SHADOW)
		vcpu->int_shadow = in->interrupt.shadow;

	e->nmi_injected = in->nmi.injected;
	if (in->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		e->nmi_pending = min_t(u32, in->nmi.pending, 2);
		xchg(&e->nmi_queued, 0);
	}
	e->nmi_masked = in->nmi.masked;
	keel_dirty(vcpu, KEEL_R_SHADOW);

	if ((in->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->lapic)
		keel_lapic_set_sipi_vector(vcpu, in->sipi_vector);
	keel_request(vcpu, KEEL_REQ_EVENT);
	return 0;
}
