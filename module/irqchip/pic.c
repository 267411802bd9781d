// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two cascaded 8259A with the edge/level control registers of the EISA and PIIX
 * chip sets.  After the data sheets 'Intel 8259A Programmable Interrupt Controller'
 * and '82371AB PCI-to-ISA/IDE Xcelerator'.
 */
#include <linux/nospec.h>
#include <linux/slab.h>

#include "chips.h"

#define CASCADE_PIN	2

/**
 * struct keel_pic - both chips
 * @lock: all of it; irqs off
 * @s: master and slave, in the ABI's form
 * @elcr_mask: which pins of each may be level-triggered
 * @sources: who holds each line, a bit for each KEEL_IRQ_SRC_*
 * @acked: pins whose ack notifiers are due; called after @lock is dropped, since they
 *	may come back and lower the line
 * @output: INTR to the processor
 * @rose: it went up; the processor is to be told after @lock is dropped
 * @master: ports 0x20, 0x21
 * @slave: ports 0xa0, 0xa1
 * @elcr: ports 0x4d0, 0x4d1
 * @vm: the VM
 */
struct keel_pic {
	raw_spinlock_t lock;
	struct kvm_pic_state s[2];
	unsigned long sources[KEEL_PIC_PINS];
	unsigned long acked;
	bool output, rose;
	struct keel_iodev master, slave, elcr;
	struct keel_vm *vm;
};

static const u8 elcr_mask[2] = { 0xf8, 0xde };

/* ---- priorities ------------------------------------------------------------------- */

/* 0 is the highest; 8 if no bit is set. */
static int priority_of(const struct kvm_pic_state *s, u8 bits)
{
	int prio = 0;

	if (!bits)
		return 8;
	while (!(bits & 1 << ((prio + s->priority_add) & 7)))
		prio++;
	return prio;
}

static bool is_master(const struct keel_pic *pic, const struct kvm_pic_state *s)
{
	return s == &pic->s[0];
}

/* The pin that asks loudest and is above what is in service; -1 none. */
static int requested_pin(const struct keel_pic *pic, const struct kvm_pic_state *s)
{
	int prio = priority_of(s, s->irr & ~s->imr);
	u8 in_service = s->isr;

	if (prio == 8)
		return -1;
	/* The slave may interrupt its own handler: it sorts its pins out itself. */
	if (s->special_fully_nested_mode && is_master(pic, s))
		in_service &= ~(1 << CASCADE_PIN);
	if (s->special_mask)
		in_service &= ~s->imr;
	if (prio >= priority_of(s, in_service))
		return -1;
	return (prio + s->priority_add) & 7;
}

static int set_pin(struct kvm_pic_state *s, int pin, bool level)
{
	u8 mask = 1 << pin;
	int ret = 1;

	if (s->elcr & mask) {
		if (level) {
			ret = !(s->irr & mask);
			s->irr |= mask;
			s->last_irr |= mask;
		} else {
			s->irr &= ~mask;
			s->last_irr &= ~mask;
		}
	} else if (level) {
		if (!(s->last_irr & mask)) {
			ret = !(s->irr & mask);
			s->irr |= mask;
		}
		s->last_irr |= mask;
	} else {
		s->last_irr &= ~mask;
	}
	return s->imr & mask ? -1 : ret;
}

/* The slave's output is the master's pin 2; the master's is INTR. */
static void update(struct keel_pic *pic)
{
	bool output;

	if (requested_pin(pic, &pic->s[1]) >= 0) {
		/* An edge for each: the slave may have several behind each other. */
		set_pin(&pic->s[0], CASCADE_PIN, true);
		set_pin(&pic->s[0], CASCADE_PIN, false);
	}
	output = requested_pin(pic, &pic->s[0]) >= 0;
	pic->rose |= output && !pic->output;
	WRITE_ONCE(pic->output, output);
}

/* ---- locking, and what is due after it --------------------------------------------- */

/* INTR goes to the processor whose LINT0 lets it through. */
static void wake(struct keel_vm *vm)
{
	struct keel_vcpu *vcpu;
	int i;

	keel_for_each_vcpu(i, vcpu, vm) {
		if (!keel_lapic_accepts_extint(vcpu))
			continue;
		keel_request(vcpu, KEEL_REQ_EVENT);
		keel_vcpu_kick(vcpu);
		return;
	}
}

static unsigned long pic_lock(struct keel_pic *pic)
	__acquires(&pic->lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pic->lock, flags);
	return flags;
}

static void pic_unlock(struct keel_pic *pic, unsigned long flags)
	__releases(&pic->lock)
{
	unsigned long acked = pic->acked;
	bool rose = pic->rose;
	unsigned int pin;

	pic->acked = 0;
	pic->rose = false;
	raw_spin_unlock_irqrestore(&pic->lock, flags);
	if (rose)
		wake(pic->vm);
	for_each_set_bit(pin, &acked, KEEL_PIC_PINS)
		keel_notify_acked(pic->vm, pin < 8 ? KVM_IRQCHIP_PIC_MASTER :
				  KVM_IRQCHIP_PIC_SLAVE, pin & 7);
}

static void note_acked(struct keel_pic *pic, const struct kvm_pic_state *s, u8 pins)
{
	pic->acked |= (unsigned long)pins << (is_master(pic, s) ? 0 : 8);
}

static void clear_isr(struct keel_pic *pic, struct kvm_pic_state *s, int pin)
{
	s->isr &= ~(1 << pin);
	note_acked(pic, s, 1 << pin);
}

/* ---- lines and INTA ---------------------------------------------------------------- */

/**
 * keel_pic_set_irq() - a source raises or lowers its hold on a line
 * @vm: the VM
 * @pin: of the chip
 * @source: KEEL_IRQ_SRC_*
 * @level: 1: it is up
 *
 * Return: >0 newly requested or lowered, 0 was requested already, -1 masked.
 */
int keel_pic_set_irq(struct keel_vm *vm, unsigned int pin, int source, int level)
{
	struct keel_pic *pic = vm->irqchip.pic;
	unsigned long flags;
	int ret;

	if (pin >= KEEL_PIC_PINS)
		return -1;
	pin = array_index_nospec(pin, KEEL_PIC_PINS);
	flags = pic_lock(pic);
	__assign_bit(source, &pic->sources[pin], level);
	ret = set_pin(&pic->s[pin >> 3], pin & 7, pic->sources[pin]);
	update(pic);
	pic_unlock(pic, flags);
	return ret;
}

bool keel_pic_output(struct keel_vm *vm)
{
	return READ_ONCE(vm->irqchip.pic->output);
}

static void intack(struct keel_pic *pic, struct kvm_pic_state *s, int pin)
{
	s->isr |= 1 << pin;
	if (!(s->elcr & 1 << pin))
		s->irr &= ~(1 << pin);
	if (s->auto_eoi) {
		if (s->rotate_on_auto_eoi)
			s->priority_add = (pin + 1) & 7;
		clear_isr(pic, s, pin);
	}
}

/* A request that vanished before INTA shows as pin 7, without a bit in ISR ('spurious'). */
static int ack_chip(struct keel_pic *pic, struct kvm_pic_state *s)
{
	int pin = requested_pin(pic, s);

	if (pin < 0)
		return 7;
	intack(pic, s, pin);
	return pin;
}

/**
 * keel_pic_inta() - the processor acknowledges: the vector
 * @vm: the VM
 */
int keel_pic_inta(struct keel_vm *vm)
{
	struct keel_pic *pic = vm->irqchip.pic;
	unsigned long flags;
	int pin, vector;

	flags = pic_lock(pic);
	pin = ack_chip(pic, &pic->s[0]);
	vector = pic->s[0].irq_base + pin;
	if (pin == CASCADE_PIN)
		vector = pic->s[1].irq_base + ack_chip(pic, &pic->s[1]);
	update(pic);
	pic_unlock(pic, flags);
	return vector & 0xff;
}

/* ---- ports ------------------------------------------------------------------------- */

/* ICW1 starts initialisation: edges are forgotten, lines that are level stay. */
static void write_icw1(struct keel_pic *pic, struct kvm_pic_state *s, u8 val)
{
	u8 edges = (s->irr | s->isr) & ~s->elcr;

	s->init4 = val & 1;
	s->last_irr = 0;
	s->irr &= s->elcr;
	s->imr = 0;
	s->isr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	if (!s->init4) {
		s->special_fully_nested_mode = 0;
		s->auto_eoi = 0;
	}
	s->init_state = 1;
	note_acked(pic, s, edges);
}

static void write_ocw3(struct kvm_pic_state *s, u8 val)
{
	if (val & 0x04)
		s->poll = 1;
	if (val & 0x02)
		s->read_reg_select = val & 1;
	if (val & 0x40)
		s->special_mask = (val >> 5) & 1;
}

/* OCW2: bit 7 rotate, bit 6 specific, bit 5 EOI. */
static void write_ocw2(struct keel_pic *pic, struct kvm_pic_state *s, u8 val)
{
	int pin, prio;

	switch (val >> 5) {
	case 0:
	case 4:
		s->rotate_on_auto_eoi = val >> 7;
		break;
	case 1:
	case 5:
		prio = priority_of(s, s->isr);
		if (prio == 8)
			break;
		pin = (prio + s->priority_add) & 7;
		if (val & 0x80)
			s->priority_add = (pin + 1) & 7;
		clear_isr(pic, s, pin);
		break;
	case 3:
		clear_isr(pic, s, val & 7);
		break;
	case 6:
		s->priority_add = (val + 1) & 7;
		break;
	case 7:
		clear_isr(pic, s, val & 7);
		s->priority_add = (val + 1) & 7;
		break;
	}
}

static void write_data(struct kvm_pic_state *s, u8 val)
{
	switch (s->init_state) {
	case 0:
		s->imr = val;
		break;
	case 1:
		s->irq_base = val & 0xf8;
		s->init_state = 2;
		break;
	case 2:
		/* ICW3: how the chips are wired is known. */
		s->init_state = s->init4 ? 3 : 0;
		break;
	case 3:
		s->special_fully_nested_mode = (val >> 4) & 1;
		s->auto_eoi = (val >> 1) & 1;
		s->init_state = 0;
		break;
	}
}

static void write_chip(struct keel_pic *pic, struct kvm_pic_state *s, bool data, u8 val)
{
	if (data)
		write_data(s, val);
	else if (val & 0x10)
		write_icw1(pic, s, val);
	else if (val & 0x08)
		write_ocw3(s, val);
	else
		write_ocw2(pic, s, val);
	update(pic);
}

/* A read after the poll command is an INTA of its own. */
static u8 read_poll(struct keel_pic *pic, struct kvm_pic_state *s)
{
	int pin = requested_pin(pic, s);

	if (pin < 0)
		return 0x07;
	intack(pic, s, pin);
	return 0x80 | pin;
}

static u8 read_chip(struct keel_pic *pic, struct kvm_pic_state *s, bool data)
{
	u8 val;

	if (s->poll) {
		s->poll = 0;
		val = read_poll(pic, s);
		update(pic);
		return val;
	}
	if (data)
		return s->imr;
	return s->read_reg_select ? s->isr : s->irr;
}

/* Only bytes; wider accesses reach no register. */
static int chip_read(struct keel_vcpu *vcpu, int chip, gpa_t addr, int len, void *val)
{
	struct keel_pic *pic = vcpu->vm->irqchip.pic;
	unsigned long flags;

	memset(val, 0, len);
	if (len != 1)
		return 0;
	flags = pic_lock(pic);
	*(u8 *)val = read_chip(pic, &pic->s[chip], addr & 1);
	pic_unlock(pic, flags);
	return 0;
}

static int chip_write(struct keel_vcpu *vcpu, int chip, gpa_t addr, int len, const void *val)
{
	struct keel_pic *pic = vcpu->vm->irqchip.pic;
	unsigned long flags;

	if (len != 1)
		return 0;
	flags = pic_lock(pic);
	write_chip(pic, &pic->s[chip], addr & 1, *(const u8 *)val);
	pic_unlock(pic, flags);
	return 0;
}

static int master_read(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		       void *val)
{
	return chip_read(vcpu, 0, addr, len, val);
}

static int master_write(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
			const void *val)
{
	return chip_write(vcpu, 0, addr, len, val);
}

static int slave_read(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		      void *val)
{
	return chip_read(vcpu, 1, addr, len, val);
}

static int slave_write(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		       const void *val)
{
	return chip_write(vcpu, 1, addr, len, val);
}

static int elcr_read(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		     void *val)
{
	memset(val, 0, len);
	if (len == 1)
		*(u8 *)val = READ_ONCE(vcpu->vm->irqchip.pic->s[addr & 1].elcr);
	return 0;
}

static int elcr_write(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		      const void *val)
{
	struct keel_pic *pic = vcpu->vm->irqchip.pic;
	unsigned long flags;

	if (len != 1)
		return 0;
	flags = pic_lock(pic);
	WRITE_ONCE(pic->s[addr & 1].elcr, *(const u8 *)val & elcr_mask[addr & 1]);
	pic_unlock(pic, flags);
	return 0;
}

static const struct keel_iodev_ops master_ops = { .read = master_read, .write = master_write };
static const struct keel_iodev_ops slave_ops = { .read = slave_read, .write = slave_write };
static const struct keel_iodev_ops elcr_ops = { .read = elcr_read, .write = elcr_write };

/* ---- state ------------------------------------------------------------------------- */

/**
 * keel_pic_get() - KVM_GET_IRQCHIP of one of the two
 * @vm: the VM
 * @chip: KVM_IRQCHIP_*
 * @s: its state
 */
void keel_pic_get(struct keel_vm *vm, unsigned int chip, struct kvm_pic_state *s)
{
	struct keel_pic *pic = vm->irqchip.pic;
	unsigned long flags;

	flags = pic_lock(pic);
	*s = pic->s[chip & 1];
	pic_unlock(pic, flags);
}

/**
 * keel_pic_put() - KVM_SET_IRQCHIP of one of the two
 * @vm: the VM
 * @chip: KVM_IRQCHIP_*
 * @state: its state
 */
void keel_pic_put(struct keel_vm *vm, unsigned int chip, const struct kvm_pic_state *state)
{
	struct keel_pic *pic = vm->irqchip.pic;
	struct kvm_pic_state *s = &pic->s[chip & 1];
	unsigned long flags;

	flags = pic_lock(pic);
	*s = *state;
	s->priority_add &= 7;
	s->init_state &= 3;
	s->elcr_mask = elcr_mask[chip & 1];
	s->elcr &= s->elcr_mask;
	update(pic);
	pic_unlock(pic, flags);
}

/* ---- life -------------------------------------------------------------------------- */

/**
 * keel_pic_unplug() - take the ports off the bus and wait until nobody is in them
 * @vm: the VM
 */
void keel_pic_unplug(struct keel_vm *vm)
{
	struct keel_pic *pic = vm->irqchip.pic;

	keel_bus_remove(vm, KEEL_BUS_PIO, &pic->elcr);
	keel_bus_remove(vm, KEEL_BUS_PIO, &pic->slave);
	keel_bus_remove(vm, KEEL_BUS_PIO, &pic->master);
}

void keel_pic_destroy(struct keel_vm *vm)
{
	kfree(vm->irqchip.pic);
	vm->irqchip.pic = NULL;
}

/**
 * keel_pic_create() - make both chips and put them on the bus
 * @vm: the VM
 *
 * vm->slots_lock held.
 * Return: 0 or -errno, nothing left behind then.
 */
int keel_pic_create(struct keel_vm *vm)
{
	struct keel_pic *pic;
	int ret;

	pic = kzalloc(sizeof(*pic), GFP_KERNEL_ACCOUNT);
	if (!pic)
		return -ENOMEM;
	raw_spin_lock_init(&pic->lock);
	pic->vm = vm;
	pic->s[0].elcr_mask = elcr_mask[0];
	pic->s[1].elcr_mask = elcr_mask[1];
	pic->master.ops = &master_ops;
	pic->slave.ops = &slave_ops;
	pic->elcr.ops = &elcr_ops;
	vm->irqchip.pic = pic;

	ret = keel_bus_add(vm, KEEL_BUS_PIO, 0x20, 2, &pic->master);
	if (!ret)
		ret = keel_bus_add(vm, KEEL_BUS_PIO, 0xa0, 2, &pic->slave);
	if (!ret)
		ret = keel_bus_add(vm, KEEL_BUS_PIO, 0x4d0, 2, &pic->elcr);
	if (ret) {
		keel_pic_unplug(vm);
		keel_pic_destroy(vm);
	}
	return ret;
}
