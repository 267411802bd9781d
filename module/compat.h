/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file with a kernel version number in it.  What is here has the name
 * and the meaning of the newest kernel that it is built for, and makes older
 * ones look like it.
 */
#ifndef KEEL_COMPAT_H
#define KEEL_COMPAT_H

#include <linux/context_tracking.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/rcutree.h>
#include <linux/smp.h>
#include <linux/version.h>
#include <linux/vtime.h>

/*
 * 6.8 dropped the count from eventfd_signal(): it had always been 1.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
static inline void keel_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx);
}
#else
static inline void keel_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx, 1);
}
#endif

/*
 * 6.2 dropped the CPU's number, which had never been used.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define keel_rcu_note_guest()	rcu_virt_note_context_switch()
#else
#define keel_rcu_note_guest()	rcu_virt_note_context_switch(smp_processor_id())
#endif

/*
 * 6.4 dropped the module argument of class_create(); 6.2 made a misc device's
 * devnode() take a const device.  keel uses neither.
 */

/*
 * 6.13 brought hrtimer_setup(), 6.15 took hrtimer_init() away.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*fn)(struct hrtimer *timer),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
}
#endif

#endif
