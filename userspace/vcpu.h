/* SPDX-License-Identifier: GPL-2.0-only */
/* Virtual CPUs: their state at power-on and the loop that runs them. */
#ifndef KEEL_VCPU_H
#define KEEL_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

struct vm;
struct boot_entry;

/* Takes a vCPU thread out of KVM_RUN, and out of a write() that blocks. */
#define VCPU_KICK_SIGNAL	SIGUSR1

/**
 * struct vcpu - one virtual CPU
 * @id: its number, which is its APIC ID too
 * @fd: the vCPU, from the VM
 * @run: the page shared with the device
 */
struct vcpu {
	struct vm *vm;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool running;
};

/** vcpu_setup_signals() - once for the process, before any vCPU starts */
void vcpu_setup_signals(void);
void vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned int id);
/** vcpu_set_entry() - registers of the first CPU, as the boot protocol wants them */
void vcpu_set_entry(struct vcpu *vcpu, const struct boot_entry *entry);
void vcpu_start(struct vcpu *vcpu);
void vcpu_stop(struct vcpu *vcpu);
void vcpu_destroy(struct vcpu *vcpu);

/** cpuid_setup() - what the guest's CPU @id of @nr says of itself; cpuid.c */
void cpuid_setup(int device_fd, int vcpu_fd, unsigned int id, unsigned int nr);
/** cpuid_is_intel() - whether the host's CPU, and so the guest's, is Intel's */
bool cpuid_is_intel(void);

#endif
