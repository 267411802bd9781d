// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's clocks, as the guests' are made of them.
 *
 * kvmclock runs on CLOCK_MONOTONIC_RAW plus the time in suspend: the raw clock
 * is a fixed multiple of the TSC where the TSC is the clock, as a guest's own
 * arithmetic on its kvmclock page is, so the two do not drift apart.
 */
#include <linux/ktime.h>
#include <linux/syscore_ops.h>
#include <linux/timekeeping.h>
#include <asm/msr.h>

#include "keel.h"
#include "state.h"

u64 keel_tsc_lost;
u64 keel_suspend_epoch;
static u64 keel_tsc_at_suspend;

static u64 keel_offset_ns(enum tk_offsets which)
{
	return ktime_to_ns(ktime_mono_to_any(0, which));
}

u64 keel_host_base_ns(void)
{
	return ktime_get_raw_ns() + keel_offset_ns(TK_OFFS_BOOT);
}

/**
 * keel_host_instant() - all clocks at one instant
 * @i: filled
 *
 * The kernel does not say which clock source it reads, but it hands out the
 * value read: one that lies between two TSCs read around it is a TSC.
 */
void keel_host_instant(struct keel_instant *i)
{
	struct system_time_snapshot s;
	u64 before, after, boot;
	unsigned long flags;

	local_irq_save(flags);
	before = rdtsc_ordered();
	ktime_get_snapshot(&s);
	after = rdtsc_ordered();
	boot = keel_offset_ns(TK_OFFS_BOOT);
	local_irq_restore(flags);

	i->by_tsc = s.cycles >= before && s.cycles <= after;
	i->tsc = i->by_tsc ? s.cycles : before + (after - before) / 2;
	i->base_ns = ktime_to_ns(s.raw) + boot;
	i->real_ns = ktime_to_ns(s.real);
}

/* The last one CPU, interrupts off, all user threads frozen: no vCPU is loaded. */
static int keel_hostclock_suspend(void)
{
	keel_tsc_at_suspend = rdtsc();
	return 0;
}

/*
 * Many machines start the TSC anew.  A guest's must not go back: each vCPU
 * adds what was lost when it is loaded next.
 */
static void keel_hostclock_resume(void)
{
	u64 now = rdtsc();

	if (now < keel_tsc_at_suspend)
		keel_tsc_lost += keel_tsc_at_suspend - now;
	keel_suspend_epoch++;
}

static struct syscore_ops keel_hostclock_ops = {
	.suspend = keel_hostclock_suspend,
	.resume = keel_hostclock_resume,
};

void keel_hostclock_init(void)
{
	register_syscore_ops(&keel_hostclock_ops);
}

void keel_hostclock_exit(void)
{
	unregister_syscore_ops(&keel_hostclock_ops);
}
