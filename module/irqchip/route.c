// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a global system interrupt (GSI) goes: pins of the chips in the kernel, or
 * a message (MSI).  And back: from a chip's pin, whose interrupt was acknowledged,
 * to those who want to know.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "chips.h"
#include "lapic_regs.h"

#define NR_CHIPS	3	/* KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE, _IOAPIC */
#define NO_GSI		(-1)

struct route {
	u32 type;
	union {
		struct kvm_irq_routing_irqchip chip;
		struct kvm_irq_routing_msi msi;
	};
};

/**
 * struct keel_routes - a routing table; published whole, read under vm->srcu
 * @nr_gsis: GSIs from 0 that the table knows
 * @gsi_of: from a chip's pin
 * @start: @start[gsi] to @start[gsi + 1] are the entries of a GSI
 * @route: all entries, by GSI
 */
struct keel_routes {
	u32 nr_gsis;
	s16 gsi_of[NR_CHIPS][KEEL_IOAPIC_PINS];
	u16 start[KEEL_NR_GSIS + 1];
	struct route route[];
};

static unsigned int nr_pins(u32 chip)
{
	return chip == KVM_IRQCHIP_IOAPIC ? KEEL_IOAPIC_PINS : KEEL_PIC_PINS / 2;
}

/* ---- a new table ------------------------------------------------------------------- */

static int check_entry(struct keel_vm *vm, const struct kvm_irq_routing_entry *e, bool pins)
{
	if (e->gsi >= KEEL_NR_GSIS)
		return -EINVAL;
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (e->flags || !pins)
			return -EINVAL;
		if (e->u.irqchip.irqchip >= NR_CHIPS ||
		    e->u.irqchip.pin >= nr_pins(e->u.irqchip.irqchip))
			return -EINVAL;
		return 0;
	case KVM_IRQ_ROUTING_MSI:
		/* With 32-bit ids, the low byte of the upper address has no meaning. */
		if (e->flags & ~KVM_MSI_VALID_DEVID ||
		    (vm->x2apic_api_32bit && e->u.msi.address_hi & 0xff))
			return -EINVAL;
		return 0;
	}
	return -EINVAL;
}

/* A GSI is one message, or one pin of each chip. */
static int check_siblings(const struct route *first, const struct route *new)
{
	for (; first < new; first++) {
		if (first->type != KVM_IRQ_ROUTING_IRQCHIP ||
		    new->type != KVM_IRQ_ROUTING_IRQCHIP ||
		    first->chip.irqchip == new->chip.irqchip)
			return -EINVAL;
	}
	return 0;
}

static void fill_route(struct keel_routes *t, struct route *r,
		       const struct kvm_irq_routing_entry *e)
{
	r->type = e->type;
	if (e->type == KVM_IRQ_ROUTING_MSI) {
		r->msi = e->u.msi;
		return;
	}
	r->chip = e->u.irqchip;
	t->gsi_of[r->chip.irqchip][r->chip.pin] = e->gsi;
}

/* Sort the entries by GSI: count, sum up, put each in its place. */
static int fill_table(struct keel_vm *vm, struct keel_routes *t,
		      const struct kvm_irq_routing_entry *e, u32 nr, bool pins)
{
	struct route *first, *slot;
	u32 i, gsi;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = check_entry(vm, &e[i], pins);
		if (ret)
			return ret;
		t->nr_gsis = max(t->nr_gsis, e[i].gsi + 1);
		t->start[e[i].gsi]++;
	}
	for (gsi = 1; gsi <= KEEL_NR_GSIS; gsi++)
		t->start[gsi] += t->start[gsi - 1];
	/* Now start[gsi] is the end of gsi's entries; filling from the back makes it the start. */
	for (i = nr; i-- > 0;) {
		gsi = e[i].gsi;
		slot = &t->route[--t->start[gsi]];
		fill_route(t, slot, &e[i]);
	}
	for (gsi = 0; gsi < t->nr_gsis; gsi++) {
		first = &t->route[t->start[gsi]];
		for (slot = first; slot < &t->route[t->start[gsi + 1]]; slot++) {
			ret = check_siblings(first, slot);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static void publish(struct keel_vm *vm, struct keel_routes *new)
{
	struct keel_irqchip *chip = &vm->irqchip;
	struct keel_routes *old;

	old = rcu_replace_pointer(chip->routes, new, lockdep_is_held(&chip->lock));
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
}

/* @pins: there are chips in the kernel to route to */
static int set_routing(struct keel_vm *vm, const struct kvm_irq_routing_entry *e, u32 nr,
		       bool pins)
{
	struct keel_routes *t;
	int ret;

	if (nr > KEEL_NR_GSIS)
		return -EINVAL;
	t = kvzalloc(struct_size(t, route, nr), GFP_KERNEL_ACCOUNT);
	if (!t)
		return -ENOMEM;
	memset(t->gsi_of, 0xff, sizeof(t->gsi_of));	/* NO_GSI */
	mutex_lock(&vm->irqchip.lock);
	ret = fill_table(vm, t, e, nr, pins);
	if (ret)
		kvfree(t);
	else
		publish(vm, t);
	mutex_unlock(&vm->irqchip.lock);
	return ret;
}

/**
 * keel_set_routing() - KVM_SET_GSI_ROUTING: replace the table
 * @vm: the VM
 * @e: the entries
 * @nr: how many
 *
 * Return: 0, -EINVAL for an entry that cannot be or a GSI routed twice, -ENOMEM.
 */
int keel_set_routing(struct keel_vm *vm, const struct kvm_irq_routing_entry *e, u32 nr)
{
	if (!keel_lapic_in_kernel(&vm->irqchip))
		return -EINVAL;
	return set_routing(vm, e, nr, keel_irqchip_full(&vm->irqchip));
}

/* GSI n is pin n of the IOAPIC, and the first 16 are the PICs' as well. */
static u32 default_entries(struct kvm_irq_routing_entry *e)
{
	u32 gsi, nr = 0;

	for (gsi = 0; gsi < KEEL_IOAPIC_PINS; gsi++) {
		e[nr].gsi = gsi;
		e[nr].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[nr].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e[nr++].u.irqchip.pin = gsi;
		if (gsi >= KEEL_PIC_PINS)
			continue;
		e[nr].gsi = gsi;
		e[nr].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[nr].u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		e[nr++].u.irqchip.pin = gsi & 7;
	}
	return nr;
}

/**
 * keel_routes_default() - the table of a VM with all chips, before they are announced
 * @vm: the VM
 */
int keel_routes_default(struct keel_vm *vm)
{
	struct kvm_irq_routing_entry *e;
	int ret;

	e = kcalloc(KEEL_IOAPIC_PINS + KEEL_PIC_PINS, sizeof(*e), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	ret = set_routing(vm, e, default_entries(e), true);
	kfree(e);
	return ret;
}

int keel_routes_empty(struct keel_vm *vm)
{
	return set_routing(vm, NULL, 0, false);
}

void keel_routes_destroy(struct keel_vm *vm)
{
	kvfree(rcu_dereference_protected(vm->irqchip.routes, true));
	RCU_INIT_POINTER(vm->irqchip.routes, NULL);
}

/* ---- messages ---------------------------------------------------------------------- */

/* SDM vol. 3, 'Message Signalled Interrupts'; the 32-bit ids are KVM_CAP_X2APIC_API's. */
static void msi_to_msg(struct keel_vm *vm, u32 lo, u32 hi, u32 data, struct keel_apic_msg *msg)
{
	*msg = (struct keel_apic_msg) {
		.dest_id = lo >> 12 & 0xff,
		.vector = data & 0xff,
		.delivery = data >> 8 & 7,
		.logical = lo & BIT(2),
		.level = true,
		.trig_level = data & BIT(15),
	};
	if (vm->x2apic_api_32bit)
		msg->dest_id |= hi & 0xffffff00;
	/* The redirection hint: one of the set, the one with the lowest priority. */
	if (lo & BIT(3) && msg->delivery == APIC_DELIVER_FIXED)
		msg->delivery = APIC_DELIVER_LOWEST;
}

/**
 * keel_send_msi() - KVM_SIGNAL_MSI
 * @vm: the VM
 * @msi: the message
 *
 * Return: how many local APICs accepted it, -1 if there is none at the destination,
 * -EINVAL.
 */
int keel_send_msi(struct keel_vm *vm, const struct kvm_msi *msi)
{
	struct keel_apic_msg msg;

	if (!keel_lapic_in_kernel(&vm->irqchip) || msi->flags)
		return -EINVAL;
	if (vm->x2apic_api_32bit && msi->address_hi & 0xff)
		return -EINVAL;
	msi_to_msg(vm, msi->address_lo, msi->address_hi, msi->data, &msg);
	return keel_apic_deliver(vm, NULL, &msg);
}

/* ---- lines ------------------------------------------------------------------------- */

static int set_route(struct keel_vm *vm, const struct route *r, int source, int level)
{
	struct keel_apic_msg msg;

	if (r->type == KVM_IRQ_ROUTING_MSI) {
		if (!level)
			return -1;
		msi_to_msg(vm, r->msi.address_lo, r->msi.address_hi, r->msi.data, &msg);
		return keel_apic_deliver(vm, NULL, &msg);
	}
	switch (r->chip.irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
		return keel_pic_set_irq(vm, r->chip.pin, source, level);
	case KVM_IRQCHIP_PIC_SLAVE:
		return keel_pic_set_irq(vm, r->chip.pin + 8, source, level);
	}
	return keel_ioapic_set_irq(vm, r->chip.pin, source, level);
}

/**
 * keel_set_irq() - a source raises or lowers its hold on a GSI
 * @vm: the VM
 * @source: KEEL_IRQ_SRC_*
 * @gsi: the line
 * @level: 1: it is up
 *
 * Any context, interrupts on or off: the chips' locks are raw, and SRCU may be read
 * in interrupt handlers.
 * Return: >0 delivered to so many, 0 coalesced, <0 masked or not routed.
 */
int keel_set_irq(struct keel_vm *vm, int source, u32 gsi, int level)
{
	const struct keel_routes *t;
	int idx, i, r, ret = -1;

	idx = srcu_read_lock(&vm->srcu);
	t = srcu_dereference(vm->irqchip.routes, &vm->srcu);
	if (t && gsi < t->nr_gsis) {
		gsi = array_index_nospec(gsi, KEEL_NR_GSIS);
		for (i = t->start[gsi]; i < t->start[gsi + 1]; i++) {
			r = set_route(vm, &t->route[i], source, !!level);
			if (r >= 0)
				ret = max(ret, 0) + r;
		}
	}
	srcu_read_unlock(&vm->srcu, idx);
	return ret;
}

static bool is_level_msi(const struct route *r, u8 vector)
{
	return r->type == KVM_IRQ_ROUTING_MSI && r->msi.data & BIT(15) &&
	       (r->msi.data & 0xff) == vector;
}

/**
 * keel_routes_have_level() - does a pin of user space's IOAPIC send this vector,
 * level-triggered?  (Its pins are the first GSIs of a split irqchip.)
 * @vm: the VM
 * @vector: the vector
 */
bool keel_routes_have_level(struct keel_vm *vm, u8 vector)
{
	const struct keel_routes *t;
	bool found = false;
	int idx, i;

	idx = srcu_read_lock(&vm->srcu);
	t = srcu_dereference(vm->irqchip.routes, &vm->srcu);
	if (t) {
		for (i = 0; i < t->start[min(vm->irqchip.split_gsis, t->nr_gsis)] && !found; i++)
			found = is_level_msi(&t->route[i], vector);
	}
	srcu_read_unlock(&vm->srcu, idx);
	return found;
}

/* ---- acknowledgments --------------------------------------------------------------- */

/**
 * keel_ack_register() - have @n->acked called whenever an interrupt of @n->gsi is done
 * @vm: the VM
 * @n: the notifier
 *
 * The callback runs in atomic context, under no lock but vm->srcu; it may raise and
 * lower lines.
 */
void keel_ack_register(struct keel_vm *vm, struct keel_ack_notifier *n)
{
	mutex_lock(&vm->irqchip.lock);
	hlist_add_head_rcu(&n->link, &vm->irqchip.ack_notifiers);
	mutex_unlock(&vm->irqchip.lock);
}

/**
 * keel_ack_unregister() - undo; waits for callbacks that run.  Not under vm->srcu.
 * @vm: the VM
 * @n: the notifier
 */
void keel_ack_unregister(struct keel_vm *vm, struct keel_ack_notifier *n)
{
	mutex_lock(&vm->irqchip.lock);
	hlist_del_init_rcu(&n->link);
	mutex_unlock(&vm->irqchip.lock);
	synchronize_srcu_expedited(&vm->srcu);
}

/**
 * keel_notify_acked() - the guest is done with an interrupt of this pin
 * @vm: the VM
 * @chip: KVM_IRQCHIP_*
 * @pin: of the chip
 */
void keel_notify_acked(struct keel_vm *vm, int chip, unsigned int pin)
{
	const struct keel_routes *t;
	struct keel_ack_notifier *n;
	int idx, gsi;

	if (hlist_empty(&vm->irqchip.ack_notifiers))
		return;
	idx = srcu_read_lock(&vm->srcu);
	t = srcu_dereference(vm->irqchip.routes, &vm->srcu);
	gsi = t ? t->gsi_of[chip][array_index_nospec(pin, KEEL_IOAPIC_PINS)] : NO_GSI;
	if (gsi != NO_GSI) {
		hlist_for_each_entry_srcu(n, &vm->irqchip.ack_notifiers, link,
					  srcu_read_lock_held(&vm->srcu)) {
			if (n->gsi == gsi)
				n->acked(n);
		}
	}
	srcu_read_unlock(&vm->srcu, idx);
}
