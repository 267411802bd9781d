// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "irq.h"
#include "util.h"

#define PIC_PINS	8
#define MAX_ENTRIES	(2 * PIC_PINS + IRQ_IOAPIC_PINS + IRQ_MAX_MSI)

static struct kvm_irq_routing_entry *add_entry(struct kvm_irq_routing *table, uint32_t gsi,
					       uint32_t type)
{
	struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];

	entry->gsi = gsi;
	entry->type = type;
	return entry;
}

static void add_pin(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry *entry = add_entry(table, gsi, KVM_IRQ_ROUTING_IRQCHIP);

	entry->u.irqchip.irqchip = chip;
	entry->u.irqchip.pin = pin;
}

/*
 * ISA interrupt 0 is wired to IOAPIC pin 2, as in every PC and as the MADT
 * says; ISA interrupt 2 is the cascade between the PICs and reaches no pin.
 */
static void add_pins(struct kvm_irq_routing *table)
{
	for (uint32_t i = 0; i < PIC_PINS; i++)
		add_pin(table, i, KVM_IRQCHIP_PIC_MASTER, i);
	for (uint32_t i = 0; i < PIC_PINS; i++)
		add_pin(table, PIC_PINS + i, KVM_IRQCHIP_PIC_SLAVE, i);
	for (uint32_t i = 0; i < IRQ_IOAPIC_PINS; i++)
		if (i != 2)
			add_pin(table, i, KVM_IRQCHIP_IOAPIC, i ? i : 2);
}

/* Called with the lock held: the device replaces its whole table each time. */
static void commit(struct irq_router *irq)
{
	struct kvm_irq_routing *table;

	table = xcalloc(1, sizeof(*table) + MAX_ENTRIES * sizeof(table->entries[0]));
	add_pins(table);
	for (unsigned int i = 0; i < irq->nr_msi; i++) {
		struct kvm_irq_routing_entry *entry;

		if (!irq->msi[i].valid)
			continue;
		entry = add_entry(table, IRQ_IOAPIC_PINS + i, KVM_IRQ_ROUTING_MSI);
		entry->u.msi.address_lo = (uint32_t)irq->msi[i].addr;
		entry->u.msi.address_hi = irq->msi[i].addr >> 32;
		entry->u.msi.data = irq->msi[i].data;
	}
	if (ioctl(irq->vm_fd, KVM_SET_GSI_ROUTING, table) < 0)
		fail("KVM_SET_GSI_ROUTING: %s", strerror(errno));
	free(table);
}

void irq_init(struct irq_router *irq, int vm_fd)
{
	memset(irq, 0, sizeof(*irq));
	irq->vm_fd = vm_fd;
	pthread_mutex_init(&irq->lock, NULL);
	commit(irq);
}

void irq_destroy(struct irq_router *irq)
{
	pthread_mutex_destroy(&irq->lock);
}

void irq_set_line(struct irq_router *irq, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (ioctl(irq->vm_fd, KVM_IRQ_LINE, &line) < 0)
		fail("KVM_IRQ_LINE: %s", strerror(errno));
}

unsigned int irq_alloc_msi(struct irq_router *irq)
{
	unsigned int gsi;

	pthread_mutex_lock(&irq->lock);
	if (irq->nr_msi == IRQ_MAX_MSI)
		fail("too many devices: no interrupt is left");
	gsi = IRQ_IOAPIC_PINS + irq->nr_msi++;
	pthread_mutex_unlock(&irq->lock);
	return gsi;
}

void irq_route_msi(struct irq_router *irq, unsigned int gsi, uint64_t addr, uint32_t data)
{
	struct irq_msi *msi = &irq->msi[gsi - IRQ_IOAPIC_PINS];

	pthread_mutex_lock(&irq->lock);
	if (!msi->valid || msi->addr != addr || msi->data != data) {
		*msi = (struct irq_msi) { addr, data, true };
		commit(irq);
	}
	pthread_mutex_unlock(&irq->lock);
}

void irq_attach_fd(struct irq_router *irq, unsigned int gsi, int fd)
{
	struct kvm_irqfd irqfd = { .fd = fd, .gsi = gsi };

	if (ioctl(irq->vm_fd, KVM_IRQFD, &irqfd) < 0)
		fail("KVM_IRQFD: %s", strerror(errno));
}
