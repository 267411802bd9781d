// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "mem.h"
#include "pci.h"
#include "util.h"

#define CONFIG_ADDRESS		0xcf8
#define CONFIG_DATA		0xcfc
#define CONFIG_ENABLE		(1U << 31)

#define BRIDGE_VENDOR		0x1b36
#define BRIDGE_DEVICE		0x0008
#define BRIDGE_CLASS		0x060000
#define CAP_START		0x40

uint16_t pci_get16(const struct pci_dev *dev, unsigned int offset)
{
	uint16_t value;

	memcpy(&value, dev->config + offset, sizeof(value));
	return value;
}

uint32_t pci_get32(const struct pci_dev *dev, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, dev->config + offset, sizeof(value));
	return value;
}

void pci_set16(struct pci_dev *dev, unsigned int offset, uint16_t value)
{
	memcpy(dev->config + offset, &value, sizeof(value));
}

void pci_set32(struct pci_dev *dev, unsigned int offset, uint32_t value)
{
	memcpy(dev->config + offset, &value, sizeof(value));
}

/* Let BAR 0 answer where its register and the command register say. */
static void update_bar(struct pci_bus *pci, struct pci_dev *dev)
{
	uint64_t addr = 0;

	if (!dev->bar_size)
		return;
	if (pci_get16(dev, PCI_COMMAND) & PCI_COMMAND_MEMORY)
		addr = pci_get32(dev, PCI_BASE_ADDRESS_0) & PCI_BASE_ADDRESS_MEM_MASK & 0xffffffff;
	/*
	 * A guest sizing a BAR writes all ones, and may leave decoding on as it
	 * does. Outside the window nothing may answer: RAM and the APICs are there.
	 */
	if (addr < MEM_PCI_START || addr > MEM_PCI_END - dev->bar_size)
		addr = 0;
	if (addr == dev->bar_addr)
		return;
	if (dev->bar_addr)
		bus_remove(pci->mmio, dev->bar_addr, dev->ctx);
	dev->bar_addr = addr;
	if (addr)
		bus_add(pci->mmio, addr, dev->bar_size, dev->bar_ops, dev->ctx);
	if (dev->ops && dev->ops->bar_moved)
		dev->ops->bar_moved(dev, addr);
}

static void config_write(struct pci_bus *pci, struct pci_dev *dev, unsigned int offset,
			 unsigned int size, uint64_t value)
{
	for (unsigned int i = 0; i < size; i++) {
		uint8_t mask = dev->writable[offset + i];
		uint8_t byte = value >> (8 * i);

		dev->config[offset + i] = (dev->config[offset + i] & ~mask) | (byte & mask);
	}
	update_bar(pci, dev);
	if (dev->ops && dev->ops->config_written)
		dev->ops->config_written(dev, offset, size);
}

/* The function that the address register names, or NULL. Lock held. */
static struct pci_dev *addressed(struct pci_bus *pci)
{
	unsigned int bus = (pci->addr >> 16) & 0xff;
	unsigned int slot = (pci->addr >> 11) & 0x1f;
	unsigned int function = (pci->addr >> 8) & 7;

	if (!(pci->addr & CONFIG_ENABLE) || bus || function)
		return NULL;
	return pci->dev[slot];
}

static uint64_t data_read(void *ctx, uint64_t port_offset, unsigned int size)
{
	struct pci_bus *pci = ctx;
	uint64_t value = bus_mask(size);
	unsigned int offset;
	struct pci_dev *dev;

	pthread_mutex_lock(&pci->lock);
	dev = addressed(pci);
	offset = (pci->addr & 0xfc) + port_offset;
	if (dev && size <= 4) {
		if (dev->ops && dev->ops->config_read)
			dev->ops->config_read(dev, offset, size);
		value = 0;
		memcpy(&value, dev->config + offset, size);
	}
	pthread_mutex_unlock(&pci->lock);
	return value;
}

static void data_write(void *ctx, uint64_t port_offset, unsigned int size, uint64_t value)
{
	struct pci_bus *pci = ctx;
	struct pci_dev *dev;

	pthread_mutex_lock(&pci->lock);
	dev = addressed(pci);
	if (dev && size <= 4)
		config_write(pci, dev, (pci->addr & 0xfc) + port_offset, size, value);
	pthread_mutex_unlock(&pci->lock);
}

static const struct bus_ops data_ops = { data_read, data_write };

static uint64_t address_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct pci_bus *pci = ctx;
	uint64_t value;

	if (offset || size != 4)
		return bus_mask(size);
	pthread_mutex_lock(&pci->lock);
	value = pci->addr;
	pthread_mutex_unlock(&pci->lock);
	return value;
}

/* Only a full doubleword reaches the register; narrower ones belong to others. */
static void address_write(void *ctx, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci_bus *pci = ctx;

	if (offset || size != 4)
		return;
	pthread_mutex_lock(&pci->lock);
	pci->addr = value;
	pthread_mutex_unlock(&pci->lock);
}

static const struct bus_ops address_ops = { address_read, address_write };

void pci_setup(struct pci_dev *dev, uint16_t vendor, uint16_t device, uint32_t class_code)
{
	pci_set16(dev, PCI_VENDOR_ID, vendor);
	pci_set16(dev, PCI_DEVICE_ID, device);
	pci_set32(dev, PCI_CLASS_REVISION, class_code << 8 | 1);
	pci_set16(dev, PCI_SUBSYSTEM_VENDOR_ID, vendor);
	pci_set16(dev, PCI_SUBSYSTEM_ID, device);
	dev->writable[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	dev->writable[PCI_COMMAND + 1] = PCI_COMMAND_INTX_DISABLE >> 8;
	dev->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	dev->writable[PCI_INTERRUPT_LINE] = 0xff;
	dev->cap_end = CAP_START;
}

uint8_t pci_add_capability(struct pci_dev *dev, const void *cap, uint8_t len)
{
	uint8_t at = dev->cap_end;

	memcpy(dev->config + at, cap, len);
	dev->config[at + PCI_CAP_LIST_NEXT] = dev->config[PCI_CAPABILITY_LIST];
	dev->config[PCI_CAPABILITY_LIST] = at;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->cap_end = align_up(at + len, 4);
	return at;
}

void pci_add(struct pci_bus *pci, struct pci_dev *dev)
{
	if (pci->nr == PCI_MAX_DEVICES)
		fail("too many devices for the PCI bus");
	if (dev->bar_size) {
		uint32_t mask = ~(dev->bar_size - 1);

		memcpy(dev->writable + PCI_BASE_ADDRESS_0, &mask, sizeof(mask));
		pci->next_bar = align_up(pci->next_bar, dev->bar_size);
		pci_set32(dev, PCI_BASE_ADDRESS_0, pci->next_bar);
		pci->next_bar += dev->bar_size;
	}
	pci->dev[pci->nr++] = dev;
}

void pci_init(struct pci_bus *pci, struct bus *pio, struct bus *mmio)
{
	memset(pci, 0, sizeof(*pci));
	pthread_mutex_init(&pci->lock, NULL);
	pci->mmio = mmio;
	pci->next_bar = MEM_PCI_START;
	pci_setup(&pci->bridge, BRIDGE_VENDOR, BRIDGE_DEVICE, BRIDGE_CLASS);
	pci_add(pci, &pci->bridge);
	bus_add(pio, CONFIG_ADDRESS, 4, &address_ops, pci);
	bus_add(pio, CONFIG_DATA, 4, &data_ops, pci);
}

void pci_destroy(struct pci_bus *pci)
{
	pthread_mutex_destroy(&pci->lock);
}
