// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer: one-shot, periodic, TSC-deadline.  Intel SDM vol. 3,
 * 'APIC Timer'.
 *
 * The hrtimer's callback only notes that time is up (timer.pending) and kicks; the
 * vCPU's own thread puts the interrupt into IRR, in keel_lapic_timer_inject().  So
 * between two KVM_RUNs nothing changes under a client that reads the state out
 * piece by piece: either IRR has the interrupt, or count or deadline still stand
 * for it.
 *
 * The bus clock is 1 GHz, as a guest of KVM expects: a count of 1 with divisor 1
 * is a nanosecond.
 */
#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "../compat.h"
#include "lapic.h"

/* Shorter periods would keep the host in the timer interrupt. */
#define MIN_PERIOD_NS	(200 * NSEC_PER_USEC)

static void timer_expired(struct keel_lapic *apic)
{
	atomic_set(&apic->timer.pending, 1);
	keel_request(apic->vcpu, KEEL_REQ_TIMER);
	keel_vcpu_kick(apic->vcpu);
}

static enum hrtimer_restart timer_fn(struct hrtimer *hrtimer)
{
	struct keel_lapic_timer *t = container_of(hrtimer, struct keel_lapic_timer, hrtimer);
	struct keel_lapic *apic = container_of(t, struct keel_lapic, timer);

	timer_expired(apic);
	/* Mode and period are stable: who changes them cancels the timer first, which waits. */
	if (READ_ONCE(t->mode) != LAPIC_PERIODIC || !t->period)
		return HRTIMER_NORESTART;
	/* From the last target, not from now: no drift; ticks that were missed are one. */
	hrtimer_forward_now(hrtimer, ns_to_ktime(t->period));
	WRITE_ONCE(t->target, hrtimer_get_expires(hrtimer));
	return HRTIMER_RESTART;
}

static void arm(struct keel_lapic *apic, ktime_t when)
{
	WRITE_ONCE(apic->timer.target, when);
	hrtimer_start(&apic->timer.hrtimer, when, HRTIMER_MODE_ABS_PINNED_HARD);
}

/* Guest TSC ticks to ns, rounded up: the guest must not find the TSC short of its deadline. */
static u64 guest_ticks_to_ns(struct keel_vcpu *vcpu, u64 ticks)
{
	u64 hz = vcpu->tsc.khz * 1000ull;
	u64 sec, rest;

	if (!hz)
		return 0;
	sec = div64_u64_rem(ticks, hz, &rest);
	/* Far beyond any uptime, and still clear of ktime_t's end. */
	if (sec > KTIME_SEC_MAX / 4)
		sec = KTIME_SEC_MAX / 4;
	/* In 128 bits: a frequency that a client may ask for takes the product over 64. */
	return sec * NSEC_PER_SEC + mul_u64_u64_div_u64(rest, NSEC_PER_SEC, hz) + !!rest;
}

/* The hrtimer, or as long as the vCPU runs, the CPU's own: see keel_lapic_set_deadline(). */
static void start_deadline(struct keel_lapic *apic)
{
	struct keel_vcpu *vcpu = apic->vcpu;
	u64 deadline = apic->timer.deadline;
	unsigned long flags;
	ktime_t now;
	u64 tsc;

	if (!deadline)
		return;
	/*
	 * TSC first: what passes between the two reads makes the timer later, and never fires it
	 * before the deadline.  No interrupt and no other task, so that it is not much.
	 */
	local_irq_save(flags);
	tsc = keel_guest_tsc(vcpu, rdtsc());
	now = ktime_get();
	local_irq_restore(flags);
	if (tsc >= deadline)
		timer_expired(apic);
	else
		arm(apic, ktime_add_ns(now, guest_ticks_to_ns(vcpu, deadline - tsc)));
}

/* Start counting with @first ns to go; the period is set. */
static void start_count(struct keel_lapic *apic, u64 first)
{
	struct keel_lapic_timer *t = &apic->timer;

	t->running = true;
	arm(apic, ktime_add_ns(ktime_get(), first));
}

/* Initial count times divisor; periodic ones are held above the minimum. */
static void set_period(struct keel_lapic *apic)
{
	struct keel_lapic_timer *t = &apic->timer;

	t->period = (u64)lapic_get(apic->page, LAPIC_TIMER_ICR) * t->divide;
	if (t->period && t->mode == LAPIC_PERIODIC)
		t->period = max_t(u64, t->period, MIN_PERIOD_NS);
}

/* ns until it runs out; 0 if it has, or does not count */
static u64 remaining_ns(struct keel_lapic_timer *t)
{
	s64 left;

	if (!t->running)
		return 0;
	left = ktime_to_ns(ktime_sub(READ_ONCE(t->target), ktime_get()));
	if (left > 0)
		return left;
	/* Periodic, and the callback is late: the counter has been reloaded meanwhile. */
	if (t->mode == LAPIC_PERIODIC && t->period)
		return t->period - (u64)-left % t->period;
	return 0;
}

/**
 * lapic_timer_stop() - no further interrupt from it, one that waits included
 * @apic: the vCPU's local APIC
 */
void lapic_timer_stop(struct keel_lapic *apic)
{
	hrtimer_cancel(&apic->timer.hrtimer);
	apic->vcpu->exit_at = 0;
	apic->timer.running = false;
	atomic_set(&apic->timer.pending, 0);
}

u32 lapic_timer_mode_mask(struct keel_vcpu *vcpu)
{
	return keel_guest_has(vcpu, X86_FEATURE_TSC_DEADLINE_TIMER) ? LAPIC_LVT_TIMER_MODE :
								       1u << 17;
}

/**
 * lapic_timer_lvt() - the LVT timer register was written: follow its mode
 * @apic: the vCPU's local APIC
 *
 * Going to or from TSC-deadline mode disarms the timer; between one-shot and
 * periodic the count goes on.
 */
void lapic_timer_lvt(struct keel_lapic *apic)
{
	struct keel_lapic_timer *t = &apic->timer;
	u32 mode = (lapic_get(apic->page, LAPIC_LVT_TIMER) & LAPIC_LVT_TIMER_MODE) >> 17;
	bool armed;
	u64 left;

	if (mode == t->mode)
		return;
	/* Waits for the callback, which reads the mode. */
	armed = hrtimer_cancel(&t->hrtimer);
	if ((mode == LAPIC_TSC_DEADLINE) != (t->mode == LAPIC_TSC_DEADLINE)) {
		lapic_timer_stop(apic);
		lapic_set(apic->page, LAPIC_TIMER_ICR, 0);
		t->period = 0;
		t->deadline = 0;
		t->mode = mode;
		return;
	}
	left = remaining_ns(t);
	WRITE_ONCE(t->mode, mode);
	set_period(apic);
	if (armed)
		start_count(apic, left);
}

/**
 * lapic_timer_set_count() - write of the initial-count register
 * @apic: the vCPU's local APIC
 * @count: the value
 */
void lapic_timer_set_count(struct keel_lapic *apic, u32 count)
{
	struct keel_lapic_timer *t = &apic->timer;

	if (t->mode == LAPIC_TSC_DEADLINE)
		return;
	lapic_timer_stop(apic);
	lapic_set(apic->page, LAPIC_TIMER_ICR, count);
	set_period(apic);
	if (t->period)
		start_count(apic, t->period);
}

/**
 * lapic_timer_set_divide() - write of the divide register; what is left of the
 * count stays, and takes longer or shorter from here on
 * @apic: the vCPU's local APIC
 * @dcr: the value
 */
void lapic_timer_set_divide(struct keel_lapic *apic, u32 dcr)
{
	struct keel_lapic_timer *t = &apic->timer;
	u32 old = t->divide;
	u64 left;

	lapic_set(apic->page, LAPIC_TIMER_DCR, dcr & 0xb);
	t->divide = lapic_timer_divide(dcr);
	if (t->divide == old || t->mode == LAPIC_TSC_DEADLINE)
		return;
	if (!hrtimer_cancel(&t->hrtimer)) {
		set_period(apic);
		return;
	}
	left = remaining_ns(t);
	set_period(apic);
	/* At most 2^32 counts times 128 each: no overflow. */
	start_count(apic, div_u64(left, old) * t->divide);
}

/**
 * lapic_timer_count() - the current-count register
 * @apic: the vCPU's local APIC
 */
u32 lapic_timer_count(struct keel_lapic *apic)
{
	struct keel_lapic_timer *t = &apic->timer;

	if (t->mode == LAPIC_TSC_DEADLINE)
		return 0;
	return min_t(u64, div_u64(remaining_ns(t), t->divide), U32_MAX);
}

/* ---- the TSC deadline ------------------------------------------------------------- */

u64 keel_lapic_get_deadline(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic || apic->timer.mode != LAPIC_TSC_DEADLINE)
		return 0;
	return apic->timer.deadline;
}

/*
 * The run loop itself leaves the guest when the time has come, without an interrupt of the
 * host's: for a guest's own WRMSR, in that loop.  What ends the run counts ticks of the host's
 * TSC, so the guest's must be as long, and must not be brought forward in steps.
 */
static bool timed_by_exit(struct keel_vcpu *vcpu)
{
	return keel_caps.timed_exit && vcpu->loaded && !vcpu->tsc.catchup &&
	       !keel_tsc_is_scaled(&vcpu->tsc);
}

/**
 * keel_lapic_set_deadline() - WRMSR of IA32_TSC_DEADLINE; 0 disarms.  Ignored in the
 * timer's other modes ('TSC-Deadline Mode').
 * @vcpu: the vCPU
 * @tsc: guest TSC value
 */
void keel_lapic_set_deadline(struct keel_vcpu *vcpu, u64 tsc)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic || !lapic_hw_enabled(apic) || apic->timer.mode != LAPIC_TSC_DEADLINE)
		return;
	lapic_timer_stop(apic);
	apic->timer.deadline = tsc;
	if (timed_by_exit(vcpu))
		vcpu->exit_at = tsc;
	else
		start_deadline(apic);
}

/**
 * keel_lapic_timer_exit() - the back end came back because of vcpu->exit_at
 * @vcpu: the vCPU
 *
 * Its timer may be of few bits, and then the time has not come yet.
 */
void keel_lapic_timer_exit(struct keel_vcpu *vcpu)
{
	if (!vcpu->exit_at || keel_guest_tsc(vcpu, rdtsc()) < vcpu->exit_at)
		return;
	vcpu->exit_at = 0;
	timer_expired(vcpu->lapic);
}

/**
 * keel_lapic_timer_sleep() - no entry is to come soon: leave the deadline to the hrtimer
 * @vcpu: the vCPU
 */
void keel_lapic_timer_sleep(struct keel_vcpu *vcpu)
{
	if (!vcpu->exit_at)
		return;
	vcpu->exit_at = 0;
	start_deadline(vcpu->lapic);
}

/**
 * keel_lapic_timer_restart() - the guest's TSC jumped or runs at another pace
 * @vcpu: the vCPU
 */
void keel_lapic_timer_restart(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic || apic->timer.mode != LAPIC_TSC_DEADLINE || !apic->timer.deadline)
		return;
	vcpu->exit_at = 0;
	hrtimer_cancel(&apic->timer.hrtimer);
	/* Time was up already under the old TSC: it stays so. */
	if (!atomic_read(&apic->timer.pending))
		start_deadline(apic);
}

/* ---- expiry, in the vCPU's thread ------------------------------------------------- */

/**
 * keel_lapic_timer_inject() - put the timer's interrupt into IRR if time is up
 * @vcpu: the vCPU
 *
 * The vCPU's thread (or an ioctl on it); may not be waiting for the timer itself.
 */
void keel_lapic_timer_inject(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	struct keel_lapic_timer *t;

	if (!apic)
		return;
	t = &apic->timer;
	if (!atomic_xchg(&t->pending, 0))
		return;
	if (t->mode == LAPIC_TSC_DEADLINE)
		t->deadline = 0;
	else if (t->mode != LAPIC_PERIODIC)
		t->running = false;
	lapic_local_deliver(apic, LAPIC_LVT_TIMER);
}

/* ---- reading out and putting back ------------------------------------------------- */

/*
 * Hold the timer still, so that IRR and the count go together: an expiry until now
 * is in IRR after this.  TSC-deadline mode is different: the MSR, which is read on
 * its own, stands for the interrupt until the thread runs.
 */
void lapic_timer_freeze(struct keel_lapic *apic)
{
	struct keel_lapic_timer *t = &apic->timer;

	if (t->mode == LAPIC_TSC_DEADLINE)
		return;
	hrtimer_cancel(&t->hrtimer);
	/* Its time came, but the callback did not any more. */
	if (t->running && ktime_compare(ktime_get(), t->target) >= 0) {
		atomic_set(&t->pending, 1);
		if (t->mode == LAPIC_PERIODIC && t->period) {
			hrtimer_forward_now(&t->hrtimer, ns_to_ktime(t->period));
			t->target = hrtimer_get_expires(&t->hrtimer);
		}
	}
	keel_lapic_timer_inject(apic->vcpu);
}

void lapic_timer_thaw(struct keel_lapic *apic)
{
	struct keel_lapic_timer *t = &apic->timer;

	if (t->mode != LAPIC_TSC_DEADLINE && t->running)
		hrtimer_start(&t->hrtimer, t->target, HRTIMER_MODE_ABS_PINNED_HARD);
}

/*
 * The current count for KVM_GET_LAPIC, timer frozen: never 0 while an expiry is
 * still to come, since 0 means that it is in IRR.
 */
u32 lapic_timer_saved_count(struct keel_lapic *apic)
{
	return lapic_timer_count(apic) ?: apic->timer.running;
}

/**
 * lapic_timer_restore() - go on from a register page that was just put in
 * @apic: the vCPU's local APIC
 * @count: its current count; 0 of a one-shot timer: it had run out
 *
 * A TSC deadline is an MSR: it stays as it is if the mode does.
 */
void lapic_timer_restore(struct keel_lapic *apic, u32 count)
{
	struct keel_lapic_timer *t = &apic->timer;
	u32 mode = (lapic_get(apic->page, LAPIC_LVT_TIMER) & LAPIC_LVT_TIMER_MODE) >> 17;
	u64 first;

	lapic_timer_stop(apic);
	if (mode != t->mode)
		t->deadline = 0;
	t->mode = mode;
	t->divide = lapic_timer_divide(lapic_get(apic->page, LAPIC_TIMER_DCR));
	set_period(apic);
	if (mode == LAPIC_TSC_DEADLINE)
		start_deadline(apic);
	if (mode == LAPIC_TSC_DEADLINE || !t->period)
		return;
	first = min_t(u64, (u64)count * t->divide, t->period);
	if (!first && mode == LAPIC_PERIODIC)
		first = t->period;
	if (first)
		start_count(apic, first);
}

void lapic_timer_init(struct keel_lapic *apic)
{
	hrtimer_setup(&apic->timer.hrtimer, timer_fn, CLOCK_MONOTONIC,
		      HRTIMER_MODE_ABS_PINNED_HARD);
	apic->timer.divide = 2;
}
