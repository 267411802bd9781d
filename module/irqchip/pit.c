// SPDX-License-Identifier: GPL-2.0-only
/* The 8254's channel 0 as a source of interrupts, the PIT's life and state. */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/slab.h>

#include "../compat.h"
#include "pit.h"

#define PIT_GSI		0
/* No control word yet; the ABI's value for it. */
#define MODE_NONE	0xff
#define MIN_PERIOD_NS	(200 * NSEC_PER_USEC)
/* Ticks that may be owed to the guest; of a longer pause the rest is forgotten. */
#define MAX_PENDING	10000
/*
 * Ticks without an acknowledgment, after which the guest is taken to have dropped the
 * one that it had (its APIC was reset, say).  One too many does no harm: it falls
 * together with the one that waits.
 */
#define MAX_UNACKED	20

/* ---- ticks ------------------------------------------------------------------------- */

/* An NMI watchdog of old: PIT, LINT0 in NMI mode, everywhere. */
static void nmi_tick(struct keel_vm *vm)
{
	struct keel_vcpu *vcpu;
	int i;

	if (!atomic_read(&vm->irqchip.lvt0_nmi))
		return;
	keel_for_each_vcpu(i, vcpu, vm)
		keel_lapic_pit_nmi(vcpu);
}

static bool may_tick(struct keel_pit *pit)
{
	if (!READ_ONCE(pit->reinject) || atomic_xchg(&pit->acked, 0))
		return true;
	return ++pit->unacked >= MAX_UNACKED;
}

static void tick(struct keel_pit *pit)
{
	int ret;

	if (!may_tick(pit))
		return;
	pit->unacked = 0;
	ret = keel_set_irq(pit->vm, KEEL_IRQ_SRC_PIT, PIT_GSI, 1);
	keel_set_irq(pit->vm, KEEL_IRQ_SRC_PIT, PIT_GSI, 0);
	nmi_tick(pit->vm);
	if (ret < 0) {
		/* Masked everywhere: nobody counts ticks, and none will be acknowledged. */
		atomic_set(&pit->pending, 0);
		atomic_set(&pit->acked, 1);
	}
}

static void tick_acked(struct keel_ack_notifier *n)
{
	struct keel_pit *pit = container_of(n, struct keel_pit, ack);

	atomic_set(&pit->acked, 1);
	if (atomic_dec_if_positive(&pit->pending) > 0)
		tick(pit);
}

static void owe(struct keel_pit *pit, u64 ticks)
{
	if (READ_ONCE(pit->reinject) && atomic_read(&pit->pending) < MAX_PENDING)
		atomic_add(min_t(u64, ticks, MAX_PENDING), &pit->pending);
}

static enum hrtimer_restart timer_fn(struct hrtimer *timer)
{
	struct keel_pit *pit = container_of(timer, struct keel_pit, timer);
	u64 ticks = 1;

	/* From when it should have fired: no drift.  What was missed the guest is owed. */
	if (pit->period)
		ticks = hrtimer_forward_now(timer, ns_to_ktime(pit->period));
	owe(pit, ticks);
	tick(pit);
	return pit->period ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

static void reset_reinject(struct keel_pit *pit)
{
	atomic_set(&pit->pending, 0);
	atomic_set(&pit->acked, 1);
}

/**
 * pit_start_timer() - channel 0 counts from its count_load_time on; pit->lock held
 * @pit: the PIT
 *
 * Modes 2 and 3 are periodic; 0, 1 and 4 fire once (1 as if its gate, which is high,
 * had just risen).
 */
void pit_start_timer(struct keel_pit *pit)
{
	struct kvm_pit_channel_state *c = &pit->ch[0];
	u64 ns = mul_u64_u32_div(c->count, NSEC_PER_SEC, PIT_HZ);
	u64 now = ktime_get_ns(), first = c->count_load_time + ns;

	hrtimer_cancel(&pit->timer);
	pit->period = 0;
	reset_reinject(pit);
	/* The HPET has taken over the line. */
	if (pit->flags & KVM_PIT_FLAGS_HPET_LEGACY || c->mode >= 5)
		return;
	if (c->mode == 2 || c->mode == 3) {
		pit->period = max_t(u64, ns, MIN_PERIOD_NS);
		/* Put in from elsewhere, in the middle of some period: the next boundary. */
		if (first < now)
			first = now + pit->period - (now - first) % pit->period;
	} else if (first < now) {
		return;
	}
	hrtimer_start(&pit->timer, ns_to_ktime(first), HRTIMER_MODE_ABS_HARD);
}

/**
 * pit_load() - a count was written; 0 means 65536.  pit->lock held
 * @pit: the PIT
 * @channel: 0 to 2
 * @count: the value
 */
void pit_load(struct keel_pit *pit, int channel, u32 count)
{
	pit->ch[channel].count = count ?: 0x10000;
	pit->ch[channel].count_load_time = ktime_get_ns();
	if (channel == 0)
		pit_start_timer(pit);
}

/* ---- state ------------------------------------------------------------------------- */

static void copy_out(struct keel_pit *pit, struct kvm_pit_state2 *ps)
{
	unsigned long flags;

	memset(ps, 0, sizeof(*ps));
	raw_spin_lock_irqsave(&pit->lock, flags);
	memcpy(ps->channels, pit->ch, sizeof(ps->channels));
	ps->flags = pit->flags;
	raw_spin_unlock_irqrestore(&pit->lock, flags);
}

/**
 * keel_pit_get() - KVM_GET_PIT2
 * @vm: the VM
 * @ps: its state
 *
 * Return: 0, -ENXIO without a PIT.
 */
int keel_pit_get(struct keel_vm *vm, struct kvm_pit_state2 *ps)
{
	struct keel_pit *pit = smp_load_acquire(&vm->irqchip.pit);

	if (!pit)
		return -ENXIO;
	copy_out(pit, ps);
	return 0;
}

/**
 * keel_pit_get_legacy() - KVM_GET_PIT: the channels alone; all 0 without a PIT
 * @vm: the VM
 * @ps: its state
 */
void keel_pit_get_legacy(struct keel_vm *vm, struct kvm_pit_state *ps)
{
	struct kvm_pit_state2 all;

	memset(ps, 0, sizeof(*ps));
	if (!keel_pit_get(vm, &all))
		memcpy(ps->channels, all.channels, sizeof(ps->channels));
}

/* What a client puts in must be a state that the chip can be in. */
static void sanitise(struct kvm_pit_channel_state *c)
{
	s64 now = ktime_get_ns();

	if (!c->count || c->count > 0x10000)
		c->count = 0x10000;
	if (c->mode > 5)
		c->mode = MODE_NONE;
	c->rw_mode &= 3;
	c->count_latched &= 3;
	c->status_latched &= 1;
	c->bcd &= 1;
	c->gate &= 1;
	c->read_state = min_t(u8, c->read_state, 4);
	c->write_state = min_t(u8, c->write_state, 4);
	/* Never loaded, or by another machine's clock: it starts now. */
	if (c->count_load_time <= 0 || c->count_load_time > now)
		c->count_load_time = now;
}

/**
 * keel_pit_set() - KVM_SET_PIT2; counts go on from their count_load_time
 * @vm: the VM
 * @ps: its state
 *
 * Return: 0, -ENXIO without a PIT.
 */
int keel_pit_set(struct keel_vm *vm, const struct kvm_pit_state2 *ps)
{
	struct keel_pit *pit = smp_load_acquire(&vm->irqchip.pit);
	unsigned long flags;
	int i;

	if (!pit)
		return -ENXIO;
	raw_spin_lock_irqsave(&pit->lock, flags);
	memcpy(pit->ch, ps->channels, sizeof(pit->ch));
	pit->flags = ps->flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	for (i = 0; i < PIT_CHANNELS; i++)
		sanitise(&pit->ch[i]);
	pit_start_timer(pit);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

/**
 * keel_pit_reinject() - KVM_REINJECT_CONTROL
 * @vm: the VM
 * @on: make up for missed ticks
 *
 * Return: 0, -ENXIO without a PIT.
 */
int keel_pit_reinject(struct keel_vm *vm, bool on)
{
	struct keel_pit *pit = smp_load_acquire(&vm->irqchip.pit);

	if (!pit)
		return -ENXIO;
	reset_reinject(pit);
	WRITE_ONCE(pit->reinject, on);
	return 0;
}

/* ---- life -------------------------------------------------------------------------- */

/**
 * keel_pit_stop() - no tick from here on; nobody programs the PIT any more
 * @vm: the VM
 */
void keel_pit_stop(struct keel_vm *vm)
{
	if (vm->irqchip.pit)
		hrtimer_cancel(&vm->irqchip.pit->timer);
}

/**
 * keel_pit_destroy() - free it; nobody is on the bus any more
 * @vm: the VM
 */
void keel_pit_destroy(struct keel_vm *vm)
{
	struct keel_pit *pit = vm->irqchip.pit;

	if (!pit)
		return;
	hrtimer_cancel(&pit->timer);
	keel_ack_unregister(vm, &pit->ack);
	kfree(pit);
	vm->irqchip.pit = NULL;
}

static int plug(struct keel_vm *vm, struct keel_pit *pit, bool speaker)
{
	int ret;

	mutex_lock(&vm->slots_lock);
	ret = keel_bus_add(vm, KEEL_BUS_PIO, 0x40, 4, &pit->ports);
	if (!ret && speaker) {
		ret = keel_bus_add(vm, KEEL_BUS_PIO, 0x61, 1, &pit->speaker);
		if (ret)
			keel_bus_remove(vm, KEEL_BUS_PIO, &pit->ports);
	}
	mutex_unlock(&vm->slots_lock);
	return ret;
}

/* The state after power-up: square waves of 65536 clocks, and not running yet. */
static void init_channels(struct keel_pit *pit)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		pit->ch[i].mode = MODE_NONE;
		pit->ch[i].gate = i != 2;
		pit->ch[i].count = 0x10000;
		pit->ch[i].count_load_time = ktime_get_ns();
	}
}

/**
 * keel_pit_create() - KVM_CREATE_PIT2; vm->lock held
 * @vm: the VM
 * @cfg: the ioctl's argument
 *
 * Return: 0, -EEXIST if there is one, -ENOENT without the chips that it interrupts
 * through, -EINVAL for unknown flags, -ENOMEM.
 */
int keel_pit_create(struct keel_vm *vm, const struct kvm_pit_config *cfg)
{
	struct keel_pit *pit;
	int ret;

	if (vm->irqchip.pit)
		return -EEXIST;
	if (!keel_irqchip_full(&vm->irqchip))
		return -ENOENT;
	if (cfg->flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	raw_spin_lock_init(&pit->lock);
	hrtimer_setup(&pit->timer, timer_fn, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	pit->vm = vm;
	pit->reinject = true;
	pit->ack.gsi = PIT_GSI;
	pit->ack.acked = tick_acked;
	pit->ports.ops = &pit_port_ops;
	pit->speaker.ops = &pit_speaker_ops;
	reset_reinject(pit);
	init_channels(pit);

	ret = plug(vm, pit, cfg->flags & KVM_PIT_SPEAKER_DUMMY);
	if (ret) {
		/* The ports were there for a moment, and a vCPU may have started it. */
		hrtimer_cancel(&pit->timer);
		kfree(pit);
		return ret;
	}
	keel_ack_register(vm, &pit->ack);
	smp_store_release(&vm->irqchip.pit, pit);
	return 0;
}
