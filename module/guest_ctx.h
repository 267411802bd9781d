/* SPDX-License-Identifier: GPL-2.0-only */
/* Telling the rest of the kernel that this CPU is about to run a guest. */
#ifndef KEEL_GUEST_CTX_H
#define KEEL_GUEST_CTX_H

#include <linux/context_tracking.h>
#include <linux/ftrace.h>
#include <linux/irqflags.h>
#include <linux/rcupdate.h>
#include <linux/rcutree.h>
#include <linux/vtime.h>

#include "compat.h"

/*
 * Ticks taken from here to keel_guest_time_end() count as guest time.  The end
 * comes after the interrupt that ended the guest's run has been served.
 * Interrupts off.
 *
 * Nothing that RCU guards is in use here, as at a switch to another thread.  To say so once a
 * tick, by *@noted, is as much as a grace period can notice.
 */
static __always_inline void keel_guest_time_begin(unsigned long *noted)
{
	if (*noted != jiffies) {
		*noted = jiffies;
		keel_rcu_note_guest();
	}
	vtime_account_guest_enter();
}

static __always_inline void keel_guest_time_end(void)
{
	vtime_account_guest_exit();
}

/*
 * The guest runs with interrupts enabled as far as this CPU's IRQ tracing is
 * concerned (one ends its run); RCU need not wait for it where context tracking says that it
 * does not, and else by keel_guest_time_begin().  In this order: lock
 * debugging may still trace until context tracking has left the kernel.
 */
static __always_inline void keel_guest_context_enter(void)
{
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	context_tracking_guest_enter();
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void keel_guest_context_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	trace_hardirqs_off_finish();
}

#endif
