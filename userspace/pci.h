/* SPDX-License-Identifier: GPL-2.0-only */
/* PCI bus 0, reached by configuration mechanism #1. */
#ifndef KEEL_PCI_H
#define KEEL_PCI_H

#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"

#define PCI_CONFIG_SIZE		256
#define PCI_MAX_DEVICES		32

struct pci_dev;

/**
 * struct pci_dev_ops - what a device does beyond keeping its registers
 * @config_read: before @size bytes at @offset are read, to refresh them; may be NULL
 * @config_written: after @size bytes at @offset were written; may be NULL
 * @bar_moved: BAR 0 now answers at @addr, or nowhere if @addr is 0
 *
 * All are called with the bus's lock held.
 */
struct pci_dev_ops {
	void (*config_read)(struct pci_dev *pci, unsigned int offset, unsigned int size);
	void (*config_written)(struct pci_dev *pci, unsigned int offset, unsigned int size);
	void (*bar_moved)(struct pci_dev *pci, uint64_t addr);
};

/**
 * struct pci_dev - one function, with one memory BAR at most
 * @config: configuration space
 * @writable: the bits of it that the guest may change
 * @ops: its own behaviour; may be NULL
 * @bar_ops: what answers in BAR 0; NULL if it has none
 * @ctx: for @bar_ops
 * @bar_size: length of BAR 0
 * @bar_addr: where BAR 0 answers now; 0 if nowhere
 * @cap_end: where the next capability goes
 */
struct pci_dev {
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];
	const struct pci_dev_ops *ops;
	const struct bus_ops *bar_ops;
	void *ctx;
	uint32_t bar_size;
	uint64_t bar_addr;
	uint8_t cap_end;
};

/**
 * struct pci_bus - the bus and its host bridge
 * @lock: orders configuration cycles
 * @addr: the address register at port 0xcf8
 * @next_bar: where the next BAR is put, as firmware would
 */
struct pci_bus {
	pthread_mutex_t lock;
	struct bus *mmio;
	uint32_t addr;
	uint64_t next_bar;
	struct pci_dev bridge;
	struct pci_dev *dev[PCI_MAX_DEVICES];
	unsigned int nr;
};

void pci_init(struct pci_bus *pci, struct bus *pio, struct bus *mmio);
void pci_destroy(struct pci_bus *pci);

/** pci_setup() - fill in a function's identity; before its capabilities */
void pci_setup(struct pci_dev *dev, uint16_t vendor, uint16_t device, uint32_t class_code);
/** pci_add_capability() - append a capability; returns its offset */
uint8_t pci_add_capability(struct pci_dev *dev, const void *cap, uint8_t len);
/** pci_add() - put a function on the bus and place its BAR */
void pci_add(struct pci_bus *pci, struct pci_dev *dev);

uint16_t pci_get16(const struct pci_dev *dev, unsigned int offset);
uint32_t pci_get32(const struct pci_dev *dev, unsigned int offset);
void pci_set16(struct pci_dev *dev, unsigned int offset, uint16_t value);
void pci_set32(struct pci_dev *dev, unsigned int offset, uint32_t value);

#endif
