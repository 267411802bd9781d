// SPDX-License-Identifier: GPL-2.0-only
/* KVM_RUN: the loop around entry and exit, HLT, and what ends the loop. */
#include <linux/kvm_para.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/task_work.h>
#include <asm/debugreg.h>

#include "guest_ctx.h"
#include "keel.h"
#include "trace.h"

/* ---- work of the thread itself ---------------------------------------------------- */

/*
 * Work for which KVM_RUN must go back to user space.  TIF_NOTIFY_RESUME alone does
 * not count (rseq sets it at each preemption, and only the way to user mode needs
 * it); task work that waits for that way does.
 */
static bool must_leave(void)
{
	return signal_pending(current) ||
	       (test_thread_flag(TIF_NOTIFY_RESUME) && task_work_pending(current));
}

/* Called outside of a load section; lets others run. */
static void yield_cpu(struct keel_vcpu *vcpu)
{
	cond_resched();
	if (vcpu->pv.steal_msr & KVM_MSR_ENABLED)
		keel_request(vcpu, KEEL_REQ_STEAL);
}

/* The scheduler wants the CPU: tell the guest first, since put() may lose it. */
static void put_for_resched(struct keel_vcpu *vcpu)
{
	vcpu->stats.preemptions++;
	keel_steal_preempted(vcpu);
	keel_vcpu_put(vcpu);
	yield_cpu(vcpu);
}

/* ---- requests --------------------------------------------------------------------- */

static bool take_request(struct keel_vcpu *vcpu, enum keel_request req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	/* What the request is about was written before it was set. */
	smp_mb__after_atomic();
	return true;
}

static int split_eoi(struct keel_vcpu *vcpu)
{
	u8 vector;

	if (!keel_lapic_take_split_eoi(vcpu, &vector))
		return KEEL_RESUME;
	vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	vcpu->run->eoi.vector = vector;
	return KEEL_TO_USER;
}

/* Those whose service may sleep; outside of a load section. */
static int serve_slow_requests(struct keel_vcpu *vcpu)
{
	int ret;

	if (take_request(vcpu, KEEL_REQ_VM_DEAD))
		return -EIO;
	if (take_request(vcpu, KEEL_REQ_TRIPLE_FAULT)) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return KEEL_TO_USER;
	}
	if (take_request(vcpu, KEEL_REQ_TPR_ACCESS))
		return keel_exit_tpr_access(vcpu);
	if (take_request(vcpu, KEEL_REQ_CLOCK)) {
		ret = keel_clock_update(vcpu);
		if (ret)
			return ret;
	}
	if (take_request(vcpu, KEEL_REQ_STEAL)) {
		ret = keel_steal_update(vcpu);
		if (ret)
			return ret;
	}
	if (take_request(vcpu, KEEL_REQ_APIC_EVENT) && keel_lapic_apic_event_pending(vcpu)) {
		keel_lapic_accept_events(vcpu);
		/* INIT stops it; the loop waits for the SIPI. */
		if (vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
			return KEEL_RESUME;
	}
	if (take_request(vcpu, KEEL_REQ_IOAPIC_EOI))
		return split_eoi(vcpu);
	return KEEL_RESUME;
}

#define FAST_REQUESTS	(BIT(KEEL_REQ_EVENT) | BIT(KEEL_REQ_TLB_FLUSH) | \
			 BIT(KEEL_REQ_GUEST_FLUSH) | BIT(KEEL_REQ_TIMER) | \
			 BIT(KEEL_REQ_UNBLOCK) | BIT(KEEL_REQ_DRAIN))

/* All that waits before an entry.  KEEL_RESUME: enter now. */
static int serve_requests(struct keel_vcpu *vcpu)
{
	int ret;

	if (likely(!READ_ONCE(vcpu->requests) && !READ_ONCE(vcpu->run->request_interrupt_window)))
		return KEEL_RESUME;
	if (READ_ONCE(vcpu->requests) & ~FAST_REQUESTS) {
		keel_vcpu_put(vcpu);
		ret = serve_slow_requests(vcpu);
		/* A vCPU that INIT has stopped is given no event. */
		if (ret != KEEL_RESUME || vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
			return ret;
	}
	if (take_request(vcpu, KEEL_REQ_TLB_FLUSH)) {
		vcpu->stats.tlb_flush++;
		keel_ops.flush_tlb(vcpu, KEEL_FLUSH_TDP);
	}
	if (take_request(vcpu, KEEL_REQ_GUEST_FLUSH)) {
		vcpu->stats.tlb_flush++;
		keel_ops.flush_tlb(vcpu, KEEL_FLUSH_GUEST);
	}
	if (take_request(vcpu, KEEL_REQ_TIMER))
		keel_lapic_timer_inject(vcpu);
	take_request(vcpu, KEEL_REQ_UNBLOCK);
	take_request(vcpu, KEEL_REQ_DRAIN);
	if (take_request(vcpu, KEEL_REQ_EVENT) ||
	    READ_ONCE(vcpu->run->request_interrupt_window)) {
		vcpu->stats.req_event++;
		keel_inject_events(vcpu);
	}
	return KEEL_RESUME;
}

/* ---- one entry -------------------------------------------------------------------- */

/* Something came up between serve_requests() and the entry; interrupts off. */
static bool last_check_fails(struct keel_vcpu *vcpu)
{
	return READ_ONCE(vcpu->requests) || must_leave() || need_resched() ||
	       keel_softirqs_wait() || READ_ONCE(keel_rebooting) || keel_immediate_exit(vcpu->run);
}

/* The entry is off: what inject() handed over comes back into the queue. */
static void abort_entry(struct keel_vcpu *vcpu)
{
	struct keel_event ev;

	keel_ops.cancel_inject(vcpu, &ev);
	keel_events_clear_injected(&vcpu->events);
	keel_events_requeue(&vcpu->events, &ev);
	set_bit(KEEL_REQ_EVENT, &vcpu->requests);
}

/*
 * So many in a row with interrupts off: a CPU that lets an interrupt wait in its guest mode (Bochs
 * does while the guest's RFLAGS.IF is 0) must not do so for as long as the guest likes.
 */
#define QUICK_EXITS	64

/*
 * Something has to be done between any two entries; or an interrupt taken: the back end may open
 * an NMI's window by one of its own.
 */
static bool needs_single_entry(struct keel_vcpu *vcpu)
{
	return vcpu->ring.entry || vcpu->vapic || vcpu->dr_open || vcpu->events.nmi_pending;
}

/* Into the guest and out of it; interrupts off. */
static __always_inline void enter_once(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	if (trace_keel_entry_enabled())
		trace_keel_entry(vcpu->id, keel_rip(vcpu));
	static_call(keel_enter)(vcpu, exit);
	vcpu->stats.exits++;
	keel_events_clear_injected(&vcpu->events);
	if (unlikely(exit->vectoring.type != KEEL_EVENT_NONE)) {
		keel_events_requeue(&vcpu->events, &exit->vectoring);
		set_bit(KEEL_REQ_EVENT, &vcpu->requests);
	}
	if (trace_keel_exit_enabled())
		trace_keel_exit(vcpu->id, keel_rip(vcpu), exit);
}

/* The scheduler's wish, a signal, or work that is to be done at once (io_uring's). */
#define ENDS_QUICK	(_TIF_NEED_RESCHED | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL)

/* After an exit that was handled quickly: may the guest be entered once more? */
static bool may_enter_again(struct keel_vcpu *vcpu)
{
	return !READ_ONCE(vcpu->requests) && !(read_thread_flags() & ENDS_QUICK);
}

/*
 * As run_guest(), where something has to be done after each entry.  If it is an EOI that may have
 * been skipped, only what looks at the APIC has to wait for it; the timer's next deadline does not,
 * which a guest writes right after that EOI.  A loop of its own, so that the others do not pay for
 * the question.
 */
static noinline int run_watched(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	bool once = needs_single_entry(vcpu);
	int ret, left = QUICK_EXITS;

	do {
		enter_once(vcpu, exit);
		if (once || exit->reason != KEEL_EXIT_MSR ||
		    (u32)vcpu->gpr[KEEL_RCX] != MSR_IA32_TSC_DEADLINE)
			return KEEL_NOT_QUICK;
		ret = keel_handle_quickly(vcpu, exit);
	} while (ret == KEEL_RESUME && --left && may_enter_again(vcpu));
	return ret;
}

/*
 * Enter, and handle the exits that need no more than that, with interrupts off all the time.
 * The mode stays IN_GUEST.  What comes meanwhile for this thread or this CPU comes with an
 * interrupt, which ends the guest's next run right after the entry; what the handlers
 * themselves bring up is a request (keel_vcpu_kick() makes one), a thread that they have woken
 * and that is to run here, or something for this thread by a waiter on an eventfd.
 */
static int run_guest(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	int ret, left = QUICK_EXITS;

	static_call(keel_prepare)(vcpu);
	if (unlikely(needs_single_entry(vcpu) || vcpu->pv_eoi_offered)) {
		ret = run_watched(vcpu, exit);
	} else {
		do {
			enter_once(vcpu, exit);
			ret = keel_handle_quickly(vcpu, exit);
		} while (ret == KEEL_RESUME && --left && may_enter_again(vcpu));
	}
	static_call_cond(keel_finish)(vcpu);
	return ret;
}

/*
 * Enter the guest and come back with @exit filled in.  On return the vCPU is loaded and
 * interrupts are on.  KEEL_NOT_QUICK: @exit waits for its handler; KEEL_RESUME: not entered, or
 * handled; or KEEL_TO_USER.
 */
static int enter_guest(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	int ret;

	if (!vcpu->loaded)
		keel_vcpu_load(vcpu);
	if (vcpu->pv_eoi)
		keel_pv_eoi_sync_to(vcpu);

	local_irq_disable();
	/*
	 * The mode first, then the look at what waits: who sets a request and then
	 * finds the mode not IN_GUEST relies on this order (a full barrier on both
	 * sides).  From here on a kick is an IPI, and with interrupts off that IPI
	 * ends the guest's run right after entry.
	 */
	smp_store_mb(vcpu->mode, KEEL_IN_GUEST);
	if (last_check_fails(vcpu)) {
		WRITE_ONCE(vcpu->mode, KEEL_OUTSIDE);
		abort_entry(vcpu);
		local_irq_enable();
		return KEEL_RESUME;
	}

	WRITE_ONCE(vcpu->stats.guest_mode, 1);
	keel_guest_time_begin(&vcpu->rcu_noted);
	if (unlikely(keel_wants_dr(vcpu)))
		keel_switch_guest_dr(vcpu);

	ret = run_guest(vcpu, exit);

	if (unlikely(vcpu->dr_live || hw_breakpoint_active()))
		keel_switch_host_dr(vcpu);
	/* What the guest flushed or mapped before is done with; kicks wake, or wait for nothing. */
	smp_store_release(&vcpu->mode, KEEL_OUTSIDE);
	WRITE_ONCE(vcpu->stats.guest_mode, 0);

	if (exit->reason == KEEL_EXIT_HOST_EVENT) {
		/* The interrupt that ended the run is served here, in what counts as the guest's time. */
		local_irq_enable();
		nop();
		local_irq_disable();
	}
	keel_guest_time_end();
	local_irq_enable();
	return ret;
}

static int run_once(struct keel_vcpu *vcpu)
{
	struct keel_exit *exit = &vcpu->exit;
	int ret;

	if (unlikely(vcpu->ring.entry) && keel_dirty_ring_full(vcpu)) {
		vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
		return KEEL_TO_USER;
	}
	ret = serve_requests(vcpu);
	if (ret != KEEL_RESUME || vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
		return ret;
	if (unlikely(vcpu->vapic))
		keel_vapic_sync_to(vcpu);
	ret = enter_guest(vcpu, exit);
	/* Also without an entry: what made it fail may be an interrupt that needs the EOI. */
	if (vcpu->pv_eoi_offered && !keel_pv_eoi_sync_from(vcpu)) {
		keel_vcpu_put(vcpu);
		keel_pv_eoi_sync_from(vcpu);
	}
	if (unlikely(vcpu->vapic))
		keel_vapic_sync_from(vcpu);
	if (ret != KEEL_NOT_QUICK)
		return ret;
	/* A handler that may sleep gets the thread without the section. */
	if (!keel_exit_is_atomic(vcpu, exit))
		keel_vcpu_put(vcpu);
	return keel_handle_exit(vcpu, exit);
}

/* ---- HLT -------------------------------------------------------------------------- */

static bool irq_ready(struct keel_vcpu *vcpu)
{
	return (vcpu->events.irq.injected || keel_irq_pending(vcpu)) &&
	       keel_ops.event_allowed(vcpu, KEEL_EVENT_IRQ);
}

static bool nmi_ready(struct keel_vcpu *vcpu)
{
	return (vcpu->events.nmi_pending || READ_ONCE(vcpu->events.nmi_queued)) &&
	       keel_ops.event_allowed(vcpu, KEEL_EVENT_NMI);
}

/**
 * keel_vcpu_runnable() - is there a reason for a vCPU in HLT (or INIT) to go on?
 * @vcpu: the vCPU
 *
 * The vCPU's own thread; not loaded.
 */
bool keel_vcpu_runnable(struct keel_vcpu *vcpu)
{
	if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE)
		return true;
	if (keel_lapic_apic_event_pending(vcpu))
		return true;
	/* Waiting for INIT or SIPI, nothing else counts: a kick would keep it spinning here. */
	if (vcpu->mp_state != KVM_MP_STATE_HALTED)
		return READ_ONCE(vcpu->requests) & BIT(KEEL_REQ_VM_DEAD);
	return READ_ONCE(vcpu->pv_unhalted) || vcpu->events.exc.pending ||
	       nmi_ready(vcpu) || irq_ready(vcpu) ||
	       (READ_ONCE(vcpu->requests) & (BIT(KEEL_REQ_UNBLOCK) | BIT(KEEL_REQ_VM_DEAD) |
					     BIT(KEEL_REQ_TRIPLE_FAULT)));
}

static bool poll_may_go_on(void)
{
	return single_task_running() && !need_resched() && !signal_pending(current);
}

/*
 * Poll for a while before sleeping: a wake-up costs more than many short waits.
 * The time adapts: doubled when the event came soon after we gave up, back to
 * nothing when it was far away.
 */
static bool poll_for_event(struct keel_vcpu *vcpu, u64 start)
{
	u64 limit = vcpu->halt_poll_ns, now = start;

	/* A guest that polls by itself has told so (MSR_KVM_POLL_CONTROL). */
	if (!limit || !(vcpu->pv.poll_control & 1))
		return false;
	vcpu->stats.halt_attempted_poll++;
	do {
		if (keel_vcpu_runnable(vcpu)) {
			vcpu->stats.halt_successful_poll++;
			vcpu->stats.halt_poll_success_ns += now - start;
			return true;
		}
		cpu_relax();
		now = ktime_get_ns();
	} while (now - start < limit && poll_may_go_on());
	vcpu->stats.halt_poll_fail_ns += now - start;
	return false;
}

static void adapt_poll(struct keel_vcpu *vcpu, u64 waited, bool polled)
{
	u64 max = READ_ONCE(keel_halt_poll_ns);

	if (waited > max)
		vcpu->halt_poll_ns = 0;
	else if (!polled)
		vcpu->halt_poll_ns = min(max, max_t(u64, 10000, vcpu->halt_poll_ns * 2));
	else
		vcpu->halt_poll_ns = min(max, vcpu->halt_poll_ns);
}

static void sleep_for_event(struct keel_vcpu *vcpu)
{
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (keel_vcpu_runnable(vcpu) || signal_pending(current))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
}

static void wait_for_event(struct keel_vcpu *vcpu)
{
	u64 start = ktime_get_ns(), waited;
	bool polled;

	polled = poll_for_event(vcpu, start);
	if (!polled)
		sleep_for_event(vcpu);
	waited = ktime_get_ns() - start;
	vcpu->stats.halt_wait_ns += polled ? 0 : waited;
	adapt_poll(vcpu, waited, polled);
}

/* The vCPU is halted or waits for INIT or SIPI. */
static int block(struct keel_vcpu *vcpu)
{
	keel_vcpu_put(vcpu);
	keel_lapic_timer_sleep(vcpu);
	if (!keel_vcpu_runnable(vcpu))
		wait_for_event(vcpu);
	if (!keel_vcpu_runnable(vcpu))
		return KEEL_RESUME;	/* a signal, seen by the loop */

	if (keel_lapic_apic_event_pending(vcpu))
		keel_lapic_accept_events(vcpu);
	if (vcpu->mp_state == KVM_MP_STATE_HALTED) {
		WRITE_ONCE(vcpu->pv_unhalted, false);
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
		keel_request(vcpu, KEEL_REQ_EVENT);
	}
	if (READ_ONCE(vcpu->requests) & BIT(KEEL_REQ_VM_DEAD))
		return -EIO;
	return KEEL_RESUME;
}

/**
 * keel_vcpu_halt() - the guest executed HLT (RIP is past it)
 * @vcpu: the vCPU
 *
 * Return: KEEL_RESUME, the loop blocks; or KEEL_TO_USER where the local APIC is
 * user space's, and with it the waiting.
 */
int keel_vcpu_halt(struct keel_vcpu *vcpu)
{
	vcpu->stats.halt_exits++;
	if (vcpu->lapic) {
		vcpu->mp_state = KVM_MP_STATE_HALTED;
		return KEEL_RESUME;
	}
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return KEEL_TO_USER;
}

/* ---- the loop --------------------------------------------------------------------- */

/*
 * May user space, which has the PIC, hand over an interrupt?  Not while something else
 * is on its way into the guest: there is one place for the next event.
 */
static bool takes_user_irq(struct keel_vcpu *vcpu)
{
	return !keel_events_any_injected(&vcpu->events) && !vcpu->events.exc.pending &&
	       keel_user_irq_possible(vcpu) && keel_ops.event_allowed(vcpu, KEEL_EVENT_IRQ);
}

static int run_loop(struct keel_vcpu *vcpu)
{
	int ret;

	for (;;) {
		if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE)
			ret = run_once(vcpu);
		else
			ret = block(vcpu);
		if (ret != KEEL_RESUME)
			return ret;

		if (READ_ONCE(vcpu->run->request_interrupt_window) && takes_user_irq(vcpu)) {
			vcpu->stats.request_irq_exits++;
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			return KEEL_TO_USER;
		}
		if (must_leave() || keel_immediate_exit(vcpu->run)) {
			vcpu->stats.signal_exits++;
			vcpu->run->exit_reason = KVM_EXIT_INTR;
			return -EINTR;
		}
		if (READ_ONCE(keel_rebooting))
			return -EIO;
		if (need_resched()) {
			if (vcpu->loaded)
				put_for_resched(vcpu);
			else
				yield_cpu(vcpu);
		} else if (vcpu->loaded && keel_softirqs_wait()) {
			/* They run as the FPU's section ends. */
			keel_vcpu_put(vcpu);
		}
	}
}

/* An AP that waits for its SIPI: KVM_RUN returns when it has come, so that user space sees it. */
static int wait_for_sipi(struct keel_vcpu *vcpu)
{
	int ret;

	if (keel_immediate_exit(vcpu->run))
		return -EINTR;
	ret = block(vcpu);
	if (ret < 0)
		return ret;
	if (signal_pending(current)) {
		vcpu->stats.signal_exits++;
		vcpu->run->exit_reason = KVM_EXIT_INTR;
		return -EINTR;
	}
	return -EAGAIN;
}

/* What user space reads in kvm_run after each KVM_RUN. */
static void fill_run(struct keel_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(keel_rflags(vcpu) & X86_EFLAGS_IF);
	run->cr8 = keel_get_cr8(vcpu);
	run->apic_base = vcpu->apic_base;
	run->flags = 0;
	run->ready_for_interrupt_injection = keel_irqchip_full(&vcpu->vm->irqchip) ||
					     takes_user_irq(vcpu);
}

static int prepare_and_run(struct keel_vcpu *vcpu)
{
	int (*complete)(struct keel_vcpu *vcpu) = vcpu->complete_io;
	int ret;

	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED)
		return wait_for_sipi(vcpu);
	if (!vcpu->lapic) {
		u64 cr8 = READ_ONCE(vcpu->run->cr8);

		if (cr8 != vcpu->cr8 && keel_set_cr8(vcpu, cr8))
			return -EINVAL;
	}

	if (complete) {
		vcpu->complete_io = NULL;
		ret = complete(vcpu);
		if (ret != KEEL_RESUME)
			return ret;
	}
	if (keel_immediate_exit(vcpu->run))
		return -EINTR;
	return run_loop(vcpu);
}

static void sigset_begin(struct keel_vcpu *vcpu)
{
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);
}

/*
 * real_blocked is what the way to user space restores (set_restore_sigmask is for
 * system calls that end); here the mask goes back at once, signals that it let
 * through having made KVM_RUN return.
 */
static void sigset_end(struct keel_vcpu *vcpu)
{
	if (!vcpu->sigset_active)
		return;
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
}

static void note_thread(struct keel_vcpu *vcpu)
{
	struct pid *old = rcu_dereference_protected(vcpu->pid, lockdep_is_held(&vcpu->mutex));
	struct pid *new;

	if (likely(old == task_pid(current)))
		return;
	new = get_task_pid(current, PIDTYPE_PID);
	rcu_assign_pointer(vcpu->pid, new);
	if (old) {
		synchronize_rcu();
		put_pid(old);
	}
}

/**
 * keel_vcpu_run() - KVM_RUN
 * @vcpu: the vCPU
 *
 * vcpu->mutex held.
 * Return: 0 with kvm_run filled in, or -errno: -EINTR for a signal or
 * immediate_exit, -EAGAIN when an AP has been woken by its first SIPI.
 */
int keel_vcpu_run(struct keel_vcpu *vcpu)
{
	int ret;

	note_thread(vcpu);
	vcpu->has_run = true;
	vcpu->l1d_stale = true;
	sigset_begin(vcpu);
	vcpu->run->flags = 0;
	ret = prepare_and_run(vcpu);
	keel_vcpu_put(vcpu);
	fill_run(vcpu);
	sigset_end(vcpu);
	return ret < 0 ? ret : 0;
}

/* ---- ends and states -------------------------------------------------------------- */

/**
 * keel_request_triple_fault() - the guest is to shut down at its next entry
 * @vcpu: the vCPU
 */
void keel_request_triple_fault(struct keel_vcpu *vcpu)
{
	keel_request(vcpu, KEEL_REQ_TRIPLE_FAULT);
}

/**
 * keel_internal_error() - give up on an instruction or a state that keel cannot handle
 * @vcpu: the vCPU
 * @suberror: KVM_INTERNAL_ERROR_*
 * @ndata: words in @data, at most 16
 * @data: what kvm_run.internal.data shows
 *
 * Return: KEEL_TO_USER.
 */
int keel_internal_error(struct keel_vcpu *vcpu, u32 suberror, int ndata, const u64 *data)
{
	struct kvm_run *run = vcpu->run;
	int i;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = min_t(int, ndata, ARRAY_SIZE(run->internal.data));
	for (i = 0; i < ndata && i < ARRAY_SIZE(run->internal.data); i++)
		run->internal.data[i] = data[i];
	return KEEL_TO_USER;
}

/**
 * keel_get_mp_state() - KVM_GET_MP_STATE; vcpu->mutex held
 * @vcpu: the vCPU
 * @s: out
 */
int keel_get_mp_state(struct keel_vcpu *vcpu, struct kvm_mp_state *s)
{
	/* INIT and SIPI that have come count; what they do belongs to the state. */
	if (keel_lapic_apic_event_pending(vcpu))
		keel_lapic_accept_events(vcpu);
	if ((vcpu->mp_state == KVM_MP_STATE_HALTED) && READ_ONCE(vcpu->pv_unhalted))
		s->mp_state = KVM_MP_STATE_RUNNABLE;
	else
		s->mp_state = vcpu->mp_state;
	return 0;
}

/**
 * keel_set_mp_state() - KVM_SET_MP_STATE; vcpu->mutex held
 * @vcpu: the vCPU
 * @s: in
 *
 * Return: 0; -EINVAL for a state that x86 does not have, or any but RUNNABLE
 * without a local APIC in the kernel.
 */
int keel_set_mp_state(struct keel_vcpu *vcpu, struct kvm_mp_state *s)
{
	switch (s->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (!vcpu->lapic)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	if (s->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		keel_lapic_latch_sipi(vcpu);
	} else {
		vcpu->mp_state = s->mp_state;
	}
	keel_request(vcpu, KEEL_REQ_EVENT);
	return 0;
}
