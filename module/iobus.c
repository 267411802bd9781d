// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports and MMIO ranges that the kernel serves: sorted, searched by bisection, and
 * replaced whole.  A reader is inside vm->srcu.
 */
#include <linux/slab.h>
#include <linux/srcu.h>

#include "keel.h"

/* Accesses are up to 8 bytes (or one string element). */
static bool covers(const struct keel_bus_range *r, gpa_t addr, int len)
{
	/* Of length 0: the address counts, its device looks at the length. */
	if (!r->len)
		return r->addr == addr;
	return addr >= r->addr && addr - r->addr < r->len && len <= r->len - (addr - r->addr);
}

/* Index of the first range that begins after @addr. */
static int upper_bound(const struct keel_bus *bus, gpa_t addr)
{
	int low = 0, high = bus->nr, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (bus->range[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * Ranges may lie in each other (an ioeventfd within a device's registers): going down
 * from the last that begins at or before @addr, the inner comes before the outer, and
 * max_len says where no range can reach @addr any more.
 */
static int next_match(const struct keel_bus *bus, int i, gpa_t addr, int len)
{
	const struct keel_bus_range *r;

	while (--i >= 0) {
		r = &bus->range[i];
		if (addr - r->addr >= bus->max_len)
			return -1;
		if (READ_ONCE(r->dev) && covers(r, addr, len))
			return i;
	}
	return -1;
}

static const struct keel_bus *bus_of(struct keel_vm *vm, enum keel_bus_idx idx)
{
	return srcu_dereference(vm->bus[idx], &vm->srcu);
}

/**
 * keel_bus_read_inside() - keel_bus_read() inside vm->srcu
 * @vcpu: the vCPU
 * @idx: which bus
 * @addr: guest physical address or port
 * @len: 1 to 8 bytes, one access
 * @val: the value
 */
int keel_bus_read_inside(struct keel_vcpu *vcpu, enum keel_bus_idx idx, gpa_t addr, int len,
			 void *val)
{
	const struct keel_bus *bus = bus_of(vcpu->vm, idx);
	struct keel_iodev *dev;
	int i;

	if (idx == KEEL_BUS_MMIO && keel_lapic_mmio_match(vcpu, addr))
		return keel_lapic_mmio_read(vcpu, addr, len, val);
	for (i = next_match(bus, upper_bound(bus, addr), addr, len); i >= 0;
	     i = next_match(bus, i, addr, len)) {
		dev = READ_ONCE(bus->range[i].dev);
		if (dev && dev->ops->read && !dev->ops->read(vcpu, dev, addr, len, val))
			return 0;
	}
	return -EOPNOTSUPP;
}

/**
 * keel_bus_write_inside() - keel_bus_write() inside vm->srcu
 * @vcpu: the vCPU
 * @idx: which bus
 * @addr: guest physical address or port
 * @len: bytes of the access
 * @val: the value
 *
 * Return: as keel_bus_write(), or KEEL_BUS_SIGNALLED.
 */
int keel_bus_write_inside(struct keel_vcpu *vcpu, enum keel_bus_idx idx, gpa_t addr, int len,
			  const void *val)
{
	const struct keel_bus *bus = bus_of(vcpu->vm, idx);
	struct keel_iodev *dev;
	int i, ret;

	if (idx == KEEL_BUS_MMIO && keel_lapic_mmio_match(vcpu, addr))
		return keel_lapic_mmio_write(vcpu, addr, len, val);
	for (i = next_match(bus, upper_bound(bus, addr), addr, len); i >= 0;
	     i = next_match(bus, i, addr, len)) {
		dev = READ_ONCE(bus->range[i].dev);
		ret = dev && dev->ops->write ? dev->ops->write(vcpu, dev, addr, len, val) :
					       -EOPNOTSUPP;
		if (ret >= 0)
			return ret;
	}
	return -EOPNOTSUPP;
}

/**
 * keel_bus_read() - a guest's read of a port or of MMIO
 * @vcpu: the vCPU
 * @bus: which bus
 * @addr: guest physical address or port
 * @len: 1 to 8 bytes, one access
 * @val: the value
 *
 * The vCPU's own thread; does not sleep.
 * Return: 0, @val filled in; -EOPNOTSUPP: user space's turn.
 */
int keel_bus_read(struct keel_vcpu *vcpu, enum keel_bus_idx bus, gpa_t addr, int len, void *val)
{
	int idx, ret;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	ret = keel_bus_read_inside(vcpu, bus, addr, len, val);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return ret;
}

/**
 * keel_bus_write() - a guest's write; see keel_bus_read()
 * @vcpu: the vCPU
 * @bus: which bus
 * @addr: guest physical address or port
 * @len: bytes of the access
 * @val: the value
 */
int keel_bus_write(struct keel_vcpu *vcpu, enum keel_bus_idx bus, gpa_t addr, int len,
		   const void *val)
{
	int idx, ret;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	ret = keel_bus_write_inside(vcpu, bus, addr, len, val);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return min(ret, 0);
}

/* ---- changes ----------------------------------------------------------------------- */

static struct keel_bus *bus_held(struct keel_vm *vm, enum keel_bus_idx idx)
{
	return rcu_dereference_protected(vm->bus[idx], lockdep_is_held(&vm->slots_lock));
}

static void append(struct keel_bus *bus, const struct keel_bus_range *r)
{
	bus->range[bus->nr++] = *r;
	bus->max_len = max3(bus->max_len, r->len, (gpa_t)1);
}

/**
 * keel_bus_add() - put a device on a bus
 * @vm: the VM
 * @idx: which bus
 * @addr: guest physical address or port
 * @len: of the range; 0: accesses of any length to @addr
 * @dev: the device
 *
 * vm->slots_lock held.
 * Return: 0, -EINVAL for a range past the end, -ENOMEM.
 */
int keel_bus_add(struct keel_vm *vm, enum keel_bus_idx idx, gpa_t addr, gpa_t len,
		 struct keel_iodev *dev)
{
	const struct keel_bus_range new_range = { .addr = addr, .len = len, .dev = dev };
	struct keel_bus *old = bus_held(vm, idx), *new;
	bool added = false;
	int i;

	if (addr + len < addr)
		return -EINVAL;
	new = kvzalloc(struct_size(new, range, old->nr + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	for (i = 0; i < old->nr; i++) {
		/* What was removed is left out now. */
		if (!old->range[i].dev)
			continue;
		if (!added && old->range[i].addr > addr) {
			append(new, &new_range);
			added = true;
		}
		append(new, &old->range[i]);
	}
	if (!added)
		append(new, &new_range);
	rcu_assign_pointer(vm->bus[idx], new);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
	return 0;
}

/**
 * keel_bus_remove() - take a device off; nobody is in it any more on return
 * @vm: the VM
 * @idx: which bus
 * @dev: the device
 *
 * Needs no memory, so it cannot fail: the range stays, without a device, until the
 * next one is added.  vm->slots_lock held.
 * Return: 0, -ENOENT if it was not there.
 */
int keel_bus_remove(struct keel_vm *vm, enum keel_bus_idx idx, struct keel_iodev *dev)
{
	struct keel_bus *bus = bus_held(vm, idx);
	int i;

	for (i = 0; i < bus->nr; i++) {
		if (bus->range[i].dev != dev)
			continue;
		WRITE_ONCE(bus->range[i].dev, NULL);
		synchronize_srcu_expedited(&vm->srcu);
		return 0;
	}
	return -ENOENT;
}

/**
 * keel_bus_vm_init() - empty buses for a new VM
 * @vm: the VM
 *
 * Return: 0 or -ENOMEM, nothing left behind then.
 */
int keel_bus_vm_init(struct keel_vm *vm)
{
	struct keel_bus *bus;
	int i;

	for (i = 0; i < KEEL_NR_BUSES; i++) {
		bus = kvzalloc(sizeof(*bus), GFP_KERNEL_ACCOUNT);
		if (!bus) {
			keel_bus_vm_destroy(vm);
			return -ENOMEM;
		}
		rcu_assign_pointer(vm->bus[i], bus);
	}
	return 0;
}

/**
 * keel_bus_vm_destroy() - free them; nobody can reach the VM any more
 * @vm: the VM
 */
void keel_bus_vm_destroy(struct keel_vm *vm)
{
	int i;

	for (i = 0; i < KEEL_NR_BUSES; i++) {
		kvfree(rcu_dereference_protected(vm->bus[i], true));
		RCU_INIT_POINTER(vm->bus[i], NULL);
	}
}
