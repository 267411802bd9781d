/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters, shown through KVM_GET_STATS_FD (binary statistics).  All u64, plain
 * increments by the owner, READ_ONCE by readers.  stats.c has the table of names, one for each
 * field in this order.
 */
#ifndef KEEL_STATS_H
#define KEEL_STATS_H

#include <linux/types.h>

struct keel_vm_stats {
	u64 remote_tlb_flush;
	u64 pages_4k, pages_2m, pages_1g;	/* mapped now */
	u64 mmu_zaps;
	u64 tdp_tables;				/* page-table pages now */
};

struct keel_vcpu_stats {
	u64 exits;
	u64 io_exits;
	u64 mmio_exits;
	u64 halt_exits;
	u64 irq_exits;
	u64 irq_window_exits;
	u64 nmi_window_exits;
	u64 request_irq_exits;
	u64 signal_exits;
	u64 hypercalls;
	u64 cpuid_exits;
	u64 msr_exits;
	u64 cr_exits;
	u64 tdp_faults;
	u64 tdp_fixed;		/* faults that mapped something */
	u64 insn_emulation;
	u64 insn_emulation_fail;
	u64 irq_injections;
	u64 nmi_injections;
	u64 exc_injections;
	u64 req_event;
	u64 tlb_flush;
	u64 fpu_loads;
	u64 halt_poll_success_ns;
	u64 halt_poll_fail_ns;
	u64 halt_wait_ns;
	u64 halt_successful_poll;
	u64 halt_attempted_poll;
	u64 halt_poll_invalid;	/* always 0, as KVM's is but on s390: no wake-up is invalid on x86 */
	u64 halt_wakeup;
	u64 preemptions;
	u64 guest_mode;		/* 1 while entered */
};

struct keel_vm;
struct keel_vcpu;
int keel_stats_fd_vm(struct keel_vm *vm);
int keel_stats_fd_vcpu(struct keel_vcpu *vcpu);

#endif
