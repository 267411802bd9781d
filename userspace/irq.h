/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupt lines, message-signalled interrupts and the table that routes them. */
#ifndef KEEL_IRQ_H
#define KEEL_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define IRQ_COM1		4
#define IRQ_RTC			8
#define IRQ_SCI			9
#define IRQ_IOAPIC_PINS		24
#define IRQ_MAX_MSI		128

struct irq_msi {
	uint64_t addr;
	uint32_t data;
	bool valid;
};

/**
 * struct irq_router - a VM's interrupt inputs
 * @vm_fd: the VM, from its device
 * @lock: guards the rest, and orders the tables handed to the device
 * @msi: message n belongs to GSI IRQ_IOAPIC_PINS + n
 * @nr_msi: how many messages are taken
 */
struct irq_router {
	int vm_fd;
	pthread_mutex_t lock;
	struct irq_msi msi[IRQ_MAX_MSI];
	unsigned int nr_msi;
};

void irq_init(struct irq_router *irq, int vm_fd);
void irq_destroy(struct irq_router *irq);
void irq_set_line(struct irq_router *irq, unsigned int gsi, bool level);
/** irq_alloc_msi() - take a GSI for one message */
unsigned int irq_alloc_msi(struct irq_router *irq);
/** irq_route_msi() - let @gsi send this message from now on */
void irq_route_msi(struct irq_router *irq, unsigned int gsi, uint64_t addr, uint32_t data);
/** irq_attach_fd() - raise @gsi each time the eventfd @fd is written */
void irq_attach_fd(struct irq_router *irq, unsigned int gsi, int fd);

#endif
