/* SPDX-License-Identifier: GPL-2.0-only */
/* Port and MMIO ranges that the kernel serves itself. */
#ifndef KEEL_IOBUS_H
#define KEEL_IOBUS_H

#include <linux/kvm_types.h>

struct keel_vm;
struct keel_vcpu;
struct keel_iodev;

enum keel_bus_idx { KEEL_BUS_PIO, KEEL_BUS_MMIO, KEEL_NR_BUSES };

/* An eventfd for writes of any length has been signalled: nothing but the address was looked at. */
#define KEEL_BUS_SIGNALLED	1

/*
 * @read, @write (either may be NULL): 0 if the access was the device's, -EOPNOTSUPP if not (the next
 * one is asked); @write also KEEL_BUS_SIGNALLED.  Called inside vm->srcu, may not sleep.
 */
struct keel_iodev_ops {
	int (*read)(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len, void *val);
	int (*write)(struct keel_vcpu *vcpu, struct keel_iodev *dev, gpa_t addr, int len,
		     const void *val);
};

struct keel_iodev {
	const struct keel_iodev_ops *ops;
};

struct keel_bus_range {
	gpa_t addr;
	gpa_t len;		/* 0: any length at addr (ioeventfd) */
	struct keel_iodev *dev;
};

/*
 * Sorted by addr; published whole under vm->slots_lock.  Only a range's dev changes
 * in place: to NULL when it is removed.
 */
struct keel_bus {
	int nr;
	gpa_t max_len;		/* of the longest range, at least 1 */
	struct keel_bus_range range[];
};

int keel_bus_vm_init(struct keel_vm *vm);
void keel_bus_vm_destroy(struct keel_vm *vm);
/* vm->slots_lock held; both wait for readers to leave, so the device may be freed after remove. */
int keel_bus_add(struct keel_vm *vm, enum keel_bus_idx bus, gpa_t addr, gpa_t len,
		 struct keel_iodev *dev);
int keel_bus_remove(struct keel_vm *vm, enum keel_bus_idx bus, struct keel_iodev *dev);
/* 0, or -EOPNOTSUPP: nobody there, user space's turn.  The local APIC page is asked first (MMIO). */
int keel_bus_read(struct keel_vcpu *vcpu, enum keel_bus_idx bus, gpa_t addr, int len, void *val);
int keel_bus_write(struct keel_vcpu *vcpu, enum keel_bus_idx bus, gpa_t addr, int len,
		   const void *val);
/* The same inside vm->srcu. */
int keel_bus_read_inside(struct keel_vcpu *vcpu, enum keel_bus_idx bus, gpa_t addr, int len, void *val);
int keel_bus_write_inside(struct keel_vcpu *vcpu, enum keel_bus_idx bus, gpa_t addr, int len,
			  const void *val);

/* ioeventfd.c */
struct kvm_ioeventfd;
int keel_ioeventfd(struct keel_vm *vm, const struct kvm_ioeventfd *args);
void keel_ioeventfd_vm_destroy(struct keel_vm *vm);

#endif
