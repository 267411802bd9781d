// SPDX-License-Identifier: GPL-2.0-only
#include <stdbool.h>
#include <string.h>

#include "bus.h"
#include "util.h"

void bus_init(struct bus *bus)
{
	pthread_rwlock_init(&bus->lock, NULL);
	bus->nr = 0;
}

void bus_destroy(struct bus *bus)
{
	pthread_rwlock_destroy(&bus->lock);
	bus->nr = 0;
}

void bus_add(struct bus *bus, uint64_t base, uint64_t size,
	     const struct bus_ops *ops, void *ctx)
{
	pthread_rwlock_wrlock(&bus->lock);
	if (bus->nr == BUS_MAX_RANGES)
		fail("too many devices on one bus");
	bus->range[bus->nr++] = (struct bus_range) { base, size, ops, ctx };
	pthread_rwlock_unlock(&bus->lock);
}

void bus_remove(struct bus *bus, uint64_t base, void *ctx)
{
	pthread_rwlock_wrlock(&bus->lock);
	for (unsigned int i = 0; i < bus->nr; i++) {
		if (bus->range[i].base != base || bus->range[i].ctx != ctx)
			continue;
		/* Keep the order: where ranges overlap, the one added first answers. */
		memmove(&bus->range[i], &bus->range[i + 1],
			(--bus->nr - i) * sizeof(bus->range[0]));
		break;
	}
	pthread_rwlock_unlock(&bus->lock);
}

static bool bus_find(struct bus *bus, uint64_t addr, unsigned int size, struct bus_range *found)
{
	bool hit = false;

	pthread_rwlock_rdlock(&bus->lock);
	for (unsigned int i = 0; i < bus->nr && !hit; i++) {
		const struct bus_range *range = &bus->range[i];

		/* An access across the end of a range belongs to nobody. */
		if (addr < range->base || addr - range->base >= range->size ||
		    size > range->size - (addr - range->base))
			continue;
		*found = *range;
		hit = true;
	}
	pthread_rwlock_unlock(&bus->lock);
	return hit;
}

uint64_t bus_mask(unsigned int size)
{
	return size >= 8 ? ~0ULL : (1ULL << (8 * size)) - 1;
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size)
{
	struct bus_range range;

	if (!bus_find(bus, addr, size, &range))
		return bus_mask(size);
	return range.ops->read(range.ctx, addr - range.base, size) & bus_mask(size);
}

void bus_write(struct bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	struct bus_range range;

	if (bus_find(bus, addr, size, &range))
		range.ops->write(range.ctx, addr - range.base, size, value & bus_mask(size));
}
