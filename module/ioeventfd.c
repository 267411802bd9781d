// SPDX-License-Identifier: GPL-2.0-only
/* ioeventfd: a guest's write to a port or to MMIO signals an eventfd, and nothing else. */
#include <linux/eventfd.h>
#include <linux/slab.h>

#include "compat.h"
#include "keel.h"

/**
 * struct keel_ioeventfd - one eventfd at one address
 * @dev: on the bus
 * @link: in vm->ioeventfds, under vm->slots_lock
 * @ctx: the eventfd
 * @bus: ports or MMIO
 * @addr: of the write
 * @len: of the write; 0: any
 * @datamatch: the value that must be written, unless @wildcard
 * @wildcard: any value
 */
struct keel_ioeventfd {
	struct keel_iodev dev;
	struct list_head link;
	struct eventfd_ctx *ctx;
	enum keel_bus_idx bus;
	u64 addr;
	u32 len;
	u64 datamatch;
	bool wildcard;
};

/* Little-endian, as the bytes lie in memory. */
static u64 value_of(const void *val, int len)
{
	u64 data = 0;

	memcpy(&data, val, min_t(size_t, len, sizeof(data)));
	return data;
}

static int ioeventfd_write(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
			   const void *val)
{
	struct keel_ioeventfd *p = container_of(dev, struct keel_ioeventfd, dev);

	if (addr != p->addr || (p->len && len != p->len))
		return -EOPNOTSUPP;
	if (!p->wildcard && value_of(val, len) != p->datamatch)
		return -EOPNOTSUPP;
	keel_eventfd_signal(p->ctx);
	return p->len || !p->wildcard ? 0 : KEEL_BUS_SIGNALLED;
}

/* Without a read: reads are user space's. */
static const struct keel_iodev_ops ioeventfd_ops = { .write = ioeventfd_write };

static enum keel_bus_idx bus_of(const struct kvm_ioeventfd *args)
{
	return args->flags & KVM_IOEVENTFD_FLAG_PIO ? KEEL_BUS_PIO : KEEL_BUS_MMIO;
}

static bool is_wildcard(const struct kvm_ioeventfd *args)
{
	return !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
}

/* Would one write signal both? */
static bool collide(const struct keel_ioeventfd *a, const struct keel_ioeventfd *b)
{
	if (a->bus != b->bus || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len &&
	       (a->wildcard || b->wildcard || a->datamatch == b->datamatch);
}

/* vm->slots_lock held */
static int add(struct keel_vm *vm, struct keel_ioeventfd *p)
{
	struct keel_ioeventfd *other;
	int ret;

	list_for_each_entry(other, &vm->ioeventfds, link) {
		if (collide(p, other))
			return -EEXIST;
	}
	ret = keel_bus_add(vm, p->bus, p->addr, p->len, &p->dev);
	if (!ret)
		list_add_tail(&p->link, &vm->ioeventfds);
	return ret;
}

static int assign(struct keel_vm *vm, const struct kvm_ioeventfd *args)
{
	struct eventfd_ctx *ctx;
	struct keel_ioeventfd *p;
	int ret;

	ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p) {
		eventfd_ctx_put(ctx);
		return -ENOMEM;
	}
	p->dev.ops = &ioeventfd_ops;
	p->ctx = ctx;
	p->bus = bus_of(args);
	p->addr = args->addr;
	p->len = args->len;
	p->wildcard = is_wildcard(args);
	p->datamatch = p->wildcard ? 0 : args->datamatch;

	mutex_lock(&vm->slots_lock);
	ret = add(vm, p);
	mutex_unlock(&vm->slots_lock);
	if (ret) {
		eventfd_ctx_put(ctx);
		kfree(p);
	}
	return ret;
}

static void free_ioeventfd(struct keel_ioeventfd *p)
{
	eventfd_ctx_put(p->ctx);
	kfree(p);
}

static bool is_the_one(const struct keel_ioeventfd *p, const struct kvm_ioeventfd *args,
		       const struct eventfd_ctx *ctx)
{
	return p->ctx == ctx && p->bus == bus_of(args) && p->addr == args->addr &&
	       p->len == args->len && p->wildcard == is_wildcard(args) &&
	       (p->wildcard || p->datamatch == args->datamatch);
}

static int deassign(struct keel_vm *vm, const struct kvm_ioeventfd *args)
{
	struct keel_ioeventfd *p;
	struct eventfd_ctx *ctx;
	int ret = -ENOENT;

	ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	mutex_lock(&vm->slots_lock);
	list_for_each_entry(p, &vm->ioeventfds, link) {
		if (!is_the_one(p, args, ctx))
			continue;
		keel_bus_remove(vm, p->bus, &p->dev);
		list_del(&p->link);
		free_ioeventfd(p);
		ret = 0;
		break;
	}
	mutex_unlock(&vm->slots_lock);
	eventfd_ctx_put(ctx);
	return ret;
}

static bool args_ok(const struct kvm_ioeventfd *args)
{
	const u32 known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
			  KVM_IOEVENTFD_FLAG_DEASSIGN;

	switch (args->len) {
	case 0:
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return false;
	}
	if (args->addr + args->len < args->addr || args->flags & ~known)
		return false;
	/* Of any length, there is no value to compare. */
	return args->len || is_wildcard(args);
}

/**
 * keel_ioeventfd() - KVM_IOEVENTFD
 * @vm: the VM
 * @args: the ioctl's argument
 *
 * Return: 0; -EINVAL for bad arguments, -EEXIST if a write would signal another one
 * as well, -ENOENT if there is none to take away, -EBADF, -ENOMEM.
 */
int keel_ioeventfd(struct keel_vm *vm, const struct kvm_ioeventfd *args)
{
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return deassign(vm, args);
	return args_ok(args) ? assign(vm, args) : -EINVAL;
}

/**
 * keel_ioeventfd_vm_destroy() - free all; the buses have no readers any more
 * @vm: the VM
 */
void keel_ioeventfd_vm_destroy(struct keel_vm *vm)
{
	struct keel_ioeventfd *p, *tmp;

	list_for_each_entry_safe(p, tmp, &vm->ioeventfds, link) {
		list_del(&p->link);
		free_ioeventfd(p);
	}
}
