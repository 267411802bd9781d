/* SPDX-License-Identifier: GPL-2.0-only */
/* A virtual machine, from one power-on to the next. */
#ifndef KEEL_VM_H
#define KEEL_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "boot.h"
#include "bus.h"
#include "irq.h"
#include "mem.h"
#include "pci.h"
#include "pm.h"
#include "serial.h"
#include "vcpu.h"
#include "virtio.h"

/* APIC IDs in the MADT's short entries have 8 bits, and 255 is broadcast. */
#define VM_MAX_VCPUS	254
#define VM_MAX_DISKS	24
#define VM_MAX_DEVICES	(VM_MAX_DISKS + 3)

/** enum vm_stop - why a VM stopped */
enum vm_stop {
	VM_RUNNING,
	VM_POWEROFF,
	VM_RESET,
	VM_TRIPLE_FAULT,
	VM_GUEST_ERROR,
};

/**
 * struct vm_config - what stays the same over a guest's reboots
 * @device: the path of the device, for messages
 * @device_fd: the device, open
 * @kernel: the kernel's file
 * @initrd: the initrd's file; empty if there is none
 * @cmdline: the kernel's command line
 * @memory: the guest's RAM in bytes
 * @nr_vcpus: how many CPUs the guest has
 * @disks: the disks, open and locked
 * @nr_disks: how many there are
 * @tap_fd: the network's tap; negative if there is none
 * @mac: the guest's address on it
 */
struct vm_config {
	const char *device;
	int device_fd;
	struct file_map kernel;
	struct file_map initrd;
	const char *cmdline;
	uint64_t memory;
	unsigned int nr_vcpus;
	struct disk *disks;
	unsigned int nr_disks;
	int tap_fd;
	uint8_t mac[6];
};

/**
 * struct vm - a machine that is switched on
 * @config: what it is made of
 * @fd: the VM, from the device
 * @stop_lock: guards @report, and writing @stop
 * @stop: why it stops; the first reason wins
 * @stop_fd: eventfd that is signalled with it
 * @report: what to tell the person about it
 */
struct vm {
	const struct vm_config *config;
	int fd;
	struct guest_mem mem;
	struct bus pio;
	struct bus mmio;
	struct irq_router irq;
	struct pci_bus pci;
	struct pm pm;
	struct serial serial;
	struct virtio_dev *devices[VM_MAX_DEVICES];
	unsigned int nr_devices;
	struct boot_entry entry;
	struct vcpu *vcpus;
	pthread_mutex_t stop_lock;
	_Atomic enum vm_stop stop;
	int stop_fd;
	char report[2048];
};

/** vm_open_device() - open and check the device; fail() says what to do about it */
int vm_open_device(const char *path);
/** vm_max_vcpus() - how many vCPUs a VM of this device may have */
unsigned int vm_max_vcpus(int device_fd);

/** vm_power_on() - make the machine, load the kernel, and let it run */
struct vm *vm_power_on(const struct vm_config *config);
/** vm_power_off() - stop and free everything; false if a disk could not be flushed */
bool vm_power_off(struct vm *vm);

/**
 * vm_stop() - ask for the machine to stop; from any thread
 * @vm: the machine
 * @why: the reason, kept if it is the first
 * @report: what to tell the person, or NULL
 */
void vm_stop(struct vm *vm, enum vm_stop why, const char *report);

/** vm_stopping() - whether somebody has called vm_stop() */
bool vm_stopping(struct vm *vm);

#endif
