/* SPDX-License-Identifier: GPL-2.0-only */
/* The ioctl tables: which locks a handler runs under is data. */
#ifndef KEEL_IOCTL_H
#define KEEL_IOCTL_H

#include <linux/ioctl.h>
#include <linux/kvm.h>

struct keel_vm;
struct keel_vcpu;

/* What the dispatcher takes before the handler and drops after it, outermost first. */
#define KEEL_IOC_VCPU	BIT(0)	/* vcpu->mutex */
#define KEEL_IOC_LOCK	BIT(2)	/* vm->lock */
#define KEEL_IOC_SLOTS	BIT(3)	/* vm->slots_lock */
/* The argument is passed as it is, a number or a user pointer; no copying. */
#define KEEL_IOC_RAW	BIT(8)
/* The argument goes in and nothing comes out, whatever the number's direction bits claim. */
#define KEEL_IOC_IN	BIT(9)

/**
 * struct keel_ioctl - one row of a table
 * @cmd: the whole number, direction and size included
 * @flags: KEEL_IOC_*
 * @handler: @obj is the object of the file (struct keel_vm, struct keel_vcpu, or NULL);
 *	@arg a kernel copy of the argument of _IOC_SIZE(@cmd) bytes, zeroed if the ioctl
 *	only reads (and written back if the handler returns >= 0), or the raw argument.
 *	Returns the ioctl's result.
 */
struct keel_ioctl {
	unsigned int cmd;
	u32 flags;
	long (*handler)(void *obj, void *arg);
};

/* A table ends with an empty row and is searched from its start: what is hot comes first. */
#define KEEL_IOC(c, f, h)	{ .cmd = (c), .flags = (f), .handler = (h) }

/* ioctl_sys.c */
struct kvm_msrs;
long keel_msrs_ioctl(struct kvm_msrs __user *u, void *obj,
		     int (*fn)(void *obj, u32 index, u64 *data), bool get);

extern const struct keel_ioctl keel_sys_ioctls[];
extern const struct keel_ioctl keel_vm_ioctls[];
extern const struct keel_ioctl keel_vcpu_ioctls[];

#endif
