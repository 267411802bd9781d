/* SPDX-License-Identifier: GPL-2.0-only */
/* Address ranges and the devices behind them; one for ports, one for memory. */
#ifndef KEEL_BUS_H
#define KEEL_BUS_H

#include <pthread.h>
#include <stdint.h>

#define BUS_MAX_RANGES	64

/**
 * struct bus_ops - how a device answers accesses to one of its ranges
 * @read: the value of @size bytes at @offset into the range
 * @write: store @size bytes; @value has no bits above them
 *
 * Both are called from any vCPU thread at any time, so they take the device's
 * own lock. @offset + @size never passes the end of the range. Size is 1, 2, 4
 * or 8.
 */
struct bus_ops {
	uint64_t (*read)(void *ctx, uint64_t offset, unsigned int size);
	void (*write)(void *ctx, uint64_t offset, unsigned int size, uint64_t value);
};

struct bus_range {
	uint64_t base;
	uint64_t size;
	const struct bus_ops *ops;
	void *ctx;
};

/**
 * struct bus - an address space
 * @lock: guards the ranges; never held while a device is called, since a
 *	device may move its own range (a PCI BAR)
 * @range: the ranges; where two overlap, the one added first answers
 * @nr: how many there are
 */
struct bus {
	pthread_rwlock_t lock;
	struct bus_range range[BUS_MAX_RANGES];
	unsigned int nr;
};

void bus_init(struct bus *bus);
void bus_destroy(struct bus *bus);
void bus_add(struct bus *bus, uint64_t base, uint64_t size,
	     const struct bus_ops *ops, void *ctx);
void bus_remove(struct bus *bus, uint64_t base, void *ctx);

/** bus_read() - what the guest sees at @addr: all ones where there is no device */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size);
/** bus_write() - hand a guest's write to its device; dropped if there is none */
void bus_write(struct bus *bus, uint64_t addr, unsigned int size, uint64_t value);

/** bus_mask() - the bits that @size bytes have */
uint64_t bus_mask(unsigned int size);

#endif
