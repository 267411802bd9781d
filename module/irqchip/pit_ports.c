// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers of the 8254 and the speaker port.  After the data sheet '8254
 * Programmable Interval Timer'.  BCD counting is accepted and counts binary.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/nospec.h>

#include "pit.h"

/* What the next byte of a count is: values of the ABI. */
enum rw_state { RW_LSB = 1, RW_MSB, RW_WORD_LOW, RW_WORD_HIGH };

/* ---- time -------------------------------------------------------------------------- */

/* Clocks since the count was loaded. */
static u64 elapsed(const struct kvm_pit_channel_state *c)
{
	s64 ns = ktime_get_ns() - c->count_load_time;

	return mul_u64_u32_div(max(ns, 0LL), PIT_HZ, NSEC_PER_SEC);
}

static u16 current_count(const struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c);
	u32 rem;

	switch (c->mode) {
	case 2:
		div_u64_rem(d, c->count, &rem);
		return c->count - rem;
	case 3:
		/* Counts down by two, twice a period. */
		div_u64_rem(2 * d, c->count, &rem);
		return c->count - rem;
	}
	return c->count - d;
}

static bool output(const struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c);
	u32 rem;

	switch (c->mode) {
	case 0:
		return d >= c->count;
	case 1:
		return d < c->count;
	case 2:
		div_u64_rem(d, c->count, &rem);
		return !rem && d;
	case 3:
		div_u64_rem(d, c->count, &rem);
		return rem < (c->count + 1) / 2;
	}
	return d == c->count;
}

/* ---- the ports of the timer -------------------------------------------------------- */

static void latch_count(struct kvm_pit_channel_state *c)
{
	if (c->count_latched)
		return;
	c->latched_count = current_count(c);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *c)
{
	if (c->status_latched)
		return;
	c->status = output(c) << 7 | c->rw_mode << 4 | c->mode << 1 | c->bcd;
	c->status_latched = 1;
}

/* The read-back command: bit 5 clear latches counts, bit 4 clear status. */
static void read_back(struct keel_pit *pit, u8 val)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		if (!(val & 2 << i))
			continue;
		if (!(val & 0x20))
			latch_count(&pit->ch[i]);
		if (!(val & 0x10))
			latch_status(&pit->ch[i]);
	}
}

static void write_control(struct keel_pit *pit, u8 val)
{
	struct kvm_pit_channel_state *c;
	unsigned int channel = val >> 6;
	u8 access = val >> 4 & 3;

	if (channel == 3) {
		read_back(pit, val);
		return;
	}
	c = &pit->ch[array_index_nospec(channel, PIT_CHANNELS)];
	if (!access) {
		latch_count(c);
		return;
	}
	c->rw_mode = access;
	c->read_state = access;
	c->write_state = access;
	c->mode = val >> 1 & 7;
	/* 6 and 7 are 2 and 3: the top bit does not count there. */
	if (c->mode > 5)
		c->mode -= 4;
	c->bcd = val & 1;
	c->count_latched = 0;
	c->status_latched = 0;
}

static void write_counter(struct keel_pit *pit, int channel, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->ch[channel];

	switch (c->write_state) {
	case RW_LSB:
		pit_load(pit, channel, val);
		break;
	case RW_MSB:
		pit_load(pit, channel, val << 8);
		break;
	case RW_WORD_LOW:
		c->write_latch = val;
		c->write_state = RW_WORD_HIGH;
		break;
	case RW_WORD_HIGH:
		pit_load(pit, channel, c->write_latch | val << 8);
		c->write_state = RW_WORD_LOW;
		break;
	}
}

static u8 read_latched(struct kvm_pit_channel_state *c)
{
	u16 count = c->latched_count;

	switch (c->count_latched) {
	case RW_WORD_LOW:
		c->count_latched = RW_MSB;
		return count;
	case RW_MSB:
		count >>= 8;
		break;
	}
	c->count_latched = 0;
	return count;
}

static u8 read_counter(struct kvm_pit_channel_state *c)
{
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	switch (c->read_state) {
	case RW_MSB:
		return current_count(c) >> 8;
	case RW_WORD_LOW:
		c->read_state = RW_WORD_HIGH;
		return current_count(c);
	case RW_WORD_HIGH:
		c->read_state = RW_WORD_LOW;
		return current_count(c) >> 8;
	}
	return current_count(c);
}

static int ports_write(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		       const void *val)
{
	struct keel_pit *pit = container_of(dev, struct keel_pit, ports);
	unsigned int port = addr & 3;
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	if (port == 3)
		write_control(pit, *(const u8 *)val);
	else
		write_counter(pit, array_index_nospec(port, PIT_CHANNELS), *(const u8 *)val);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

static int ports_read(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		      void *val)
{
	struct keel_pit *pit = container_of(dev, struct keel_pit, ports);
	unsigned int port = addr & 3;
	unsigned long flags;

	memset(val, 0, len);
	/* The control word is write-only. */
	if (port == 3)
		return 0;
	raw_spin_lock_irqsave(&pit->lock, flags);
	*(u8 *)val = read_counter(&pit->ch[array_index_nospec(port, PIT_CHANNELS)]);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

const struct keel_iodev_ops pit_port_ops = { .read = ports_read, .write = ports_write };

/* ---- port 0x61: gate and output of channel 2 --------------------------------------- */

static void set_gate(struct kvm_pit_channel_state *c, bool gate)
{
	/* A rising edge starts the modes that are triggered by it. */
	if (gate && !c->gate && (c->mode == 1 || c->mode == 2 || c->mode == 3 || c->mode == 5))
		c->count_load_time = ktime_get_ns();
	c->gate = gate;
}

static int speaker_write(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
			 const void *val)
{
	struct keel_pit *pit = container_of(dev, struct keel_pit, speaker);
	u8 data = *(const u8 *)val;
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	if (data & 2)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	else
		pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	set_gate(&pit->ch[2], data & 1);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

/* Bit 4, the refresh clock, toggles: BIOSes measure time by it. */
static int speaker_read(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
			void *val)
{
	struct keel_pit *pit = container_of(dev, struct keel_pit, speaker);
	unsigned long flags;
	u8 data;

	raw_spin_lock_irqsave(&pit->lock, flags);
	data = output(&pit->ch[2]) << 5 | (ktime_get_ns() >> 14 & 1) << 4 |
	       !!(pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON) << 1 | pit->ch[2].gate;
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	memset(val, 0, len);
	*(u8 *)val = data;
	return 0;
}

const struct keel_iodev_ops pit_speaker_ops = { .read = speaker_read, .write = speaker_write };
