// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 82093AA IOAPIC: 24 pins, each with a redirection entry.  After the data
 * sheet '82093AA I/O Advanced Programmable Interrupt Controller'.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "chips.h"

#define IOAPIC_BASE	0xfec00000
#define IOAPIC_LEN	0x100
#define IOAPIC_VERSION	(0x11 | (KEEL_IOAPIC_PINS - 1) << 16)

#define REG_SELECT	0x00
#define REG_WINDOW	0x10
#define INDEX_ID	0x00
#define INDEX_VERSION	0x01
#define INDEX_ARB	0x02
#define INDEX_ENTRY	0x10

/* A redirection entry, low half. */
#define E_LOGICAL	BIT_ULL(11)
#define E_STATUS	BIT_ULL(12)
#define E_REMOTE_IRR	BIT_ULL(14)
#define E_LEVEL		BIT_ULL(15)
#define E_MASKED	BIT_ULL(16)
#define E_READ_ONLY	(E_STATUS | E_REMOTE_IRR)
#define E_EXISTING	(0xff00000000000000ull | (0x1ffff & ~E_STATUS))

/* So many EOIs in a row with the line still up, and the next interrupt waits a while. */
#define STORM_LIMIT	10000
#define STORM_PAUSE	(HZ / 100)

/**
 * struct keel_ioapic - the chip
 * @lock: all of it; irqs off
 * @select: IOREGSEL
 * @id: IOAPICID
 * @irr: lines that are up (level), or went up and are not down yet (edge)
 * @delivered: of the edge ones, those that were sent
 * @entry: the redirection table
 * @sources: who holds each line, a bit for each KEEL_IRQ_SRC_*
 * @eois: EOIs in a row that found the line still up
 * @vectors: those of all entries; for the EOIs of other vectors nothing needs a look.
 *	Read without the lock.
 * @storm: delivers what a storm held back
 * @dev: on the MMIO bus
 * @vm: the VM
 */
struct keel_ioapic {
	raw_spinlock_t lock;
	u32 select;
	u32 id;
	u32 irr;
	u32 delivered;
	u64 entry[KEEL_IOAPIC_PINS];
	unsigned long sources[KEEL_IOAPIC_PINS];
	u16 eois[KEEL_IOAPIC_PINS];
	DECLARE_BITMAP(vectors, 256);
	struct delayed_work storm;
	struct keel_iodev dev;
	struct keel_vm *vm;
};

/* ---- delivery ---------------------------------------------------------------------- */

/* Send a pin's message; -1 masked, 0 still in service or nobody took it, else by how many. */
static int service(struct keel_ioapic *io, unsigned int pin)
{
	u64 e = io->entry[pin];
	struct keel_apic_msg msg = {
		.dest_id = e >> 56,
		.vector = e & 0xff,
		.delivery = e >> 8 & 7,
		.logical = e & E_LOGICAL,
		.level = true,
		.trig_level = e & E_LEVEL,
	};
	int ret;

	if (e & E_MASKED)
		return -1;
	/* Level, and its EOI is still to come: coalesced with the one before. */
	if (e & E_LEVEL && e & E_REMOTE_IRR)
		return 0;
	if (!(e & E_LEVEL))
		io->delivered |= BIT(pin);
	ret = keel_apic_deliver(io->vm, NULL, &msg);
	if (ret > 0 && e & E_LEVEL)
		io->entry[pin] |= E_REMOTE_IRR;
	return ret;
}

static int set_pin(struct keel_ioapic *io, unsigned int pin, bool level)
{
	u32 mask = BIT(pin);

	if (!level) {
		io->irr &= ~mask;
		return 1;
	}
	if (!(io->entry[pin] & E_LEVEL)) {
		/* An edge needs the line to have been down. */
		if (io->irr & mask)
			return 0;
		io->delivered &= ~mask;
	}
	io->irr |= mask;
	return service(io, pin);
}

/**
 * keel_ioapic_set_irq() - a source raises or lowers its hold on a line
 * @vm: the VM
 * @pin: of the chip
 * @source: KEEL_IRQ_SRC_*
 * @level: 1: it is up
 *
 * Return: as KVM_IRQ_LINE_STATUS: >0 delivered (or lowered), 0 coalesced, <0 masked.
 */
int keel_ioapic_set_irq(struct keel_vm *vm, unsigned int pin, int source, int level)
{
	struct keel_ioapic *io = vm->irqchip.ioapic;
	unsigned long flags;
	int ret;

	if (pin >= KEEL_IOAPIC_PINS)
		return -1;
	pin = array_index_nospec(pin, KEEL_IOAPIC_PINS);
	raw_spin_lock_irqsave(&io->lock, flags);
	__assign_bit(source, &io->sources[pin], level);
	ret = set_pin(io, pin, io->sources[pin]);
	raw_spin_unlock_irqrestore(&io->lock, flags);
	return ret;
}

/* ---- EOI --------------------------------------------------------------------------- */

bool keel_ioapic_has_vector(struct keel_vm *vm, u8 vector)
{
	struct keel_ioapic *io = vm->irqchip.ioapic;

	return keel_irqchip_full(&vm->irqchip) && test_bit(vector, io->vectors);
}

/*
 * The line is still up after an EOI: the next interrupt at once, as the chip does.
 * But a guest whose handler never makes the device quiet would do nothing else from
 * then on; the bus of a real machine is slow enough to let it do some work between.
 */
static void redeliver(struct keel_ioapic *io, unsigned int pin)
{
	if (io->entry[pin] & E_MASKED || !(io->irr & BIT(pin))) {
		io->eois[pin] = 0;
		return;
	}
	if (++io->eois[pin] < STORM_LIMIT) {
		service(io, pin);
		return;
	}
	io->eois[pin] = 0;
	schedule_delayed_work(&io->storm, STORM_PAUSE);
}

static void storm_work(struct work_struct *work)
{
	struct keel_ioapic *io = container_of(to_delayed_work(work), struct keel_ioapic, storm);
	unsigned long flags;
	unsigned int pin;

	raw_spin_lock_irqsave(&io->lock, flags);
	for (pin = 0; pin < KEEL_IOAPIC_PINS; pin++) {
		if (io->entry[pin] & E_LEVEL && io->irr & BIT(pin))
			service(io, pin);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

/*
 * The notifiers come before remote IRR is cleared, and without the lock: they lower
 * the line if its device is done (resampling), so that only a line that is really
 * still up is delivered again.  What is raised meanwhile stays in irr until then.
 */
static void eoi_pin(struct keel_ioapic *io, unsigned int pin, bool level)
{
	unsigned long flags;

	keel_notify_acked(io->vm, KVM_IRQCHIP_IOAPIC, pin);
	if (!level)
		return;
	raw_spin_lock_irqsave(&io->lock, flags);
	if (io->entry[pin] & E_LEVEL) {
		io->entry[pin] &= ~E_REMOTE_IRR;
		redeliver(io, pin);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

/**
 * keel_ioapic_eoi() - a local APIC is done with @vector
 * @vm: the VM
 * @vector: the vector
 * @trigger_level: it came as a level-triggered one
 */
void keel_ioapic_eoi(struct keel_vm *vm, u8 vector, int trigger_level)
{
	struct keel_ioapic *io = vm->irqchip.ioapic;
	unsigned long flags, pins = 0;
	unsigned int pin;

	if (!test_bit(vector, io->vectors))
		return;
	raw_spin_lock_irqsave(&io->lock, flags);
	for (pin = 0; pin < KEEL_IOAPIC_PINS; pin++) {
		if ((io->entry[pin] & 0xff) == vector)
			__set_bit(pin, &pins);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
	for_each_set_bit(pin, &pins, KEEL_IOAPIC_PINS)
		eoi_pin(io, pin, trigger_level);
}

/* ---- registers --------------------------------------------------------------------- */

static void note_vectors(struct keel_ioapic *io)
{
	DECLARE_BITMAP(vectors, 256) = {};
	unsigned int pin, word;

	for (pin = 0; pin < KEEL_IOAPIC_PINS; pin++)
		__set_bit(io->entry[pin] & 0xff, vectors);
	for (word = 0; word < BITS_TO_LONGS(256); word++)
		WRITE_ONCE(io->vectors[word], vectors[word]);
}

static void write_entry(struct keel_ioapic *io, unsigned int pin, bool high, u32 val)
{
	u64 old = io->entry[pin], new;

	if (high)
		new = (u32)old | (u64)val << 32;
	else
		new = (old & ~0xffffffffull) | (val & ~(u32)E_READ_ONLY) | (old & E_READ_ONLY);
	new &= E_EXISTING;
	/*
	 * An entry that becomes edge-triggered loses its remote IRR: the chip has no other
	 * way to clear it, and Linux uses this one.
	 */
	if (!(new & E_LEVEL))
		new &= ~E_REMOTE_IRR;
	io->entry[pin] = new;
	/* A line that is up: a level to be told of in KVM_GET_IRQCHIP, or no edge at all. */
	if (new & E_LEVEL)
		io->delivered &= ~BIT(pin);
	else if (old & E_LEVEL)
		io->delivered |= io->irr & BIT(pin);
	note_vectors(io);
	/* A level line that was up while it was masked. */
	if (new & E_LEVEL && io->irr & BIT(pin))
		service(io, pin);
}

static u32 read_window(struct keel_ioapic *io)
{
	unsigned int pin;

	switch (io->select) {
	case INDEX_VERSION:
		return IOAPIC_VERSION;
	case INDEX_ID:
	case INDEX_ARB:
		return (io->id & 0xf) << 24;
	}
	pin = (io->select - INDEX_ENTRY) >> 1;
	if (io->select < INDEX_ENTRY || pin >= KEEL_IOAPIC_PINS)
		return 0xffffffff;
	pin = array_index_nospec(pin, KEEL_IOAPIC_PINS);
	return io->select & 1 ? io->entry[pin] >> 32 : io->entry[pin];
}

static void write_window(struct keel_ioapic *io, u32 val)
{
	unsigned int pin;

	if (io->select == INDEX_ID) {
		io->id = val >> 24 & 0xf;
		return;
	}
	pin = (io->select - INDEX_ENTRY) >> 1;
	if (io->select < INDEX_ENTRY || pin >= KEEL_IOAPIC_PINS)
		return;
	pin = array_index_nospec(pin, KEEL_IOAPIC_PINS);
	write_entry(io, pin, io->select & 1, val);
}

static int ioapic_read(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		       void *val)
{
	struct keel_ioapic *io = container_of(dev, struct keel_ioapic, dev);
	unsigned long flags;
	u64 data = 0;

	raw_spin_lock_irqsave(&io->lock, flags);
	if ((addr & 0xff) == REG_SELECT)
		data = io->select;
	else if ((addr & 0xff) == REG_WINDOW)
		data = read_window(io);
	raw_spin_unlock_irqrestore(&io->lock, flags);
	memset(val, 0, len);
	memcpy(val, &data, min_t(int, len, sizeof(data)));
	return 0;
}

/* The registers are 32 bits wide: of a narrower write the rest is 0. */
static int ioapic_write(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
			const void *val)
{
	struct keel_ioapic *io = container_of(dev, struct keel_ioapic, dev);
	unsigned long flags;
	u32 data = 0;

	memcpy(&data, val, min_t(int, len, sizeof(data)));
	raw_spin_lock_irqsave(&io->lock, flags);
	if ((addr & 0xff) == REG_SELECT)
		io->select = data & 0xff;
	else if ((addr & 0xff) == REG_WINDOW)
		write_window(io, data);
	raw_spin_unlock_irqrestore(&io->lock, flags);
	return 0;
}

static const struct keel_iodev_ops ioapic_ops = { .read = ioapic_read, .write = ioapic_write };

/* ---- state ------------------------------------------------------------------------- */

/**
 * keel_ioapic_get() - KVM_GET_IRQCHIP
 * @vm: the VM
 * @s: its state
 *
 * An edge that was sent does not show as pending; it would be sent again.
 */
void keel_ioapic_get(struct keel_vm *vm, struct kvm_ioapic_state *s)
{
	struct keel_ioapic *io = vm->irqchip.ioapic;
	unsigned long flags;
	unsigned int pin;

	memset(s, 0, sizeof(*s));
	raw_spin_lock_irqsave(&io->lock, flags);
	s->base_address = IOAPIC_BASE;
	s->ioregsel = io->select;
	s->id = io->id;
	s->irr = io->irr & ~io->delivered;
	for (pin = 0; pin < KEEL_IOAPIC_PINS; pin++)
		s->redirtbl[pin].bits = io->entry[pin];
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

/**
 * keel_ioapic_put() - KVM_SET_IRQCHIP; lines that are up are delivered
 * @vm: the VM
 * @s: its state
 */
void keel_ioapic_put(struct keel_vm *vm, const struct kvm_ioapic_state *s)
{
	struct keel_ioapic *io = vm->irqchip.ioapic;
	unsigned long flags;
	unsigned int pin;

	raw_spin_lock_irqsave(&io->lock, flags);
	io->select = s->ioregsel & 0xff;
	io->id = s->id & 0xf;
	io->irr = 0;
	io->delivered = 0;
	for (pin = 0; pin < KEEL_IOAPIC_PINS; pin++) {
		io->entry[pin] = s->redirtbl[pin].bits & E_EXISTING;
		if (!(io->entry[pin] & E_LEVEL))
			io->entry[pin] &= ~E_REMOTE_IRR;
		io->eois[pin] = 0;
	}
	note_vectors(io);
	for (pin = 0; pin < KEEL_IOAPIC_PINS; pin++) {
		if (s->irr & BIT(pin))
			set_pin(io, pin, true);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

/* ---- life -------------------------------------------------------------------------- */

/**
 * keel_ioapic_stop() - nothing is sent to vCPUs on its own account any more
 * @vm: the VM
 */
void keel_ioapic_stop(struct keel_vm *vm)
{
	if (vm->irqchip.ioapic)
		cancel_delayed_work_sync(&vm->irqchip.ioapic->storm);
}

/**
 * keel_ioapic_unplug() - take it off the bus and wait until nobody is in it
 * @vm: the VM
 */
void keel_ioapic_unplug(struct keel_vm *vm)
{
	keel_bus_remove(vm, KEEL_BUS_MMIO, &vm->irqchip.ioapic->dev);
}

void keel_ioapic_destroy(struct keel_vm *vm)
{
	keel_ioapic_stop(vm);
	kfree(vm->irqchip.ioapic);
	vm->irqchip.ioapic = NULL;
}

/**
 * keel_ioapic_create() - make it, all pins masked, and put it on the bus
 * @vm: the VM
 *
 * vm->slots_lock held.
 * Return: 0 or -errno, nothing left behind then.
 */
int keel_ioapic_create(struct keel_vm *vm)
{
	struct keel_ioapic *io;
	unsigned int pin;
	int ret;

	io = kzalloc(sizeof(*io), GFP_KERNEL_ACCOUNT);
	if (!io)
		return -ENOMEM;
	raw_spin_lock_init(&io->lock);
	INIT_DELAYED_WORK(&io->storm, storm_work);
	io->vm = vm;
	io->dev.ops = &ioapic_ops;
	for (pin = 0; pin < KEEL_IOAPIC_PINS; pin++)
		io->entry[pin] = E_MASKED;
	vm->irqchip.ioapic = io;

	ret = keel_bus_add(vm, KEEL_BUS_MMIO, IOAPIC_BASE, IOAPIC_LEN, &io->dev);
	if (ret)
		keel_ioapic_destroy(vm);
	return ret;
}
