/* SPDX-License-Identifier: GPL-2.0-only */
/* The PIT between pit.c (time, interrupts, life) and pit_ports.c (registers). */
#ifndef KEEL_PIT_H
#define KEEL_PIT_H

#include <linux/hrtimer.h>

#include "chips.h"

#define PIT_HZ		1193182
#define PIT_CHANNELS	3

/**
 * struct keel_pit - an 8254
 * @lock: channels and flags; irqs off; the timer's callback does not take it, so that
 *	the timer can be cancelled under it
 * @ch: in the ABI's form; count_load_time is CLOCK_MONOTONIC
 * @flags: KVM_PIT_FLAGS_*
 * @timer: channel 0's
 * @period: of it in ns; 0: one shot.  Changed only while the timer is off
 * @reinject: ticks that the guest has not acknowledged are made up for
 * @pending: those ticks, and the one in flight
 * @acked: the last one has been acknowledged; the next may go out
 * @unacked: ticks since then
 */
struct keel_pit {
	raw_spinlock_t lock;
	struct kvm_pit_channel_state ch[PIT_CHANNELS];
	u32 flags;
	struct hrtimer timer;
	u64 period;
	bool reinject;
	atomic_t pending;
	atomic_t acked;
	unsigned int unacked;
	struct keel_ack_notifier ack;
	struct keel_iodev ports, speaker;
	struct keel_vm *vm;
};

/* pit_ports.c */
extern const struct keel_iodev_ops pit_port_ops, pit_speaker_ops;

/* pit.c; pit->lock held */
void pit_load(struct keel_pit *pit, int channel, u32 count);
void pit_start_timer(struct keel_pit *pit);

#endif
