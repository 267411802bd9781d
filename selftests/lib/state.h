/* SPDX-License-Identifier: GPL-2.0-only */
/* The whole state of a VM, read out and put into another one. */
#ifndef KEEL_TEST_STATE_H
#define KEEL_TEST_STATE_H

#include "vm.h"

#define STATE_MAX_MSRS	250

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_mp_state mp;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_cpuid2 *cpuid;
	struct kvm_xsave *xsave;
	struct kvm_msrs *msrs;
};

struct vm_state {
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
};

/* The vCPU must not run; a port or MMIO access must have been completed. */
void vcpu_save(struct vcpu *v, struct vcpu_state *s);
void vcpu_restore(struct vcpu *v, struct vcpu_state *s);
void vcpu_state_free(struct vcpu_state *s);
void vm_save(struct vm *vm, struct vm_state *s);
void vm_restore(struct vm *vm, struct vm_state *s);
struct kvm_cpuid2 *vcpu_get_cpuid(struct vcpu *v);
struct kvm_msr_list *msr_list(unsigned long cmd);
/* Lets an instruction that waits for user space end, without going on. */
void vcpu_complete_io(struct vcpu *v);

#endif
