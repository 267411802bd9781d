/* SPDX-License-Identifier: GPL-2.0-only */
/* An exit from the guest in terms that no vendor owns. */
#ifndef KEEL_EXIT_H
#define KEEL_EXIT_H

#include <linux/types.h>

struct keel_vcpu;

/*
 * What a handler did.  Negative values are errnos and end KVM_RUN with them;
 * KEEL_TO_USER ends it with 0 after kvm_run has been filled in.
 */
enum keel_result {
	KEEL_RESUME = 0,	/* enter the guest again */
	KEEL_TO_USER = 1,	/* go to user space, kvm_run says why */
	KEEL_NOT_QUICK = 2,	/* by keel_handle_quickly() alone: not handled yet */
};

/* Access bits of a guest memory access, in the page-fault error code's places. */
#define KEEL_ACC_PRESENT	BIT(0)
#define KEEL_ACC_WRITE		BIT(1)
#define KEEL_ACC_USER		BIT(2)
#define KEEL_ACC_RSVD		BIT(3)
#define KEEL_ACC_FETCH		BIT(4)
/* Beyond the architectural bits: the fault came while walking the guest's own tables. */
#define KEEL_ACC_GUEST_WALK	BIT(16)
/* An access that the CPU makes as supervisor whatever CPL says (descriptor tables). */
#define KEEL_ACC_IMPLICIT	BIT(17)

/* The neutral reasons.  exit.c has one handler for each. */
enum keel_exit_reason {
	KEEL_EXIT_UNKNOWN,	/* hw_reason holds the vendor's own code */
	KEEL_EXIT_HOST_EVENT,	/* the host's: interrupt, NMI, machine check, full list of dirty pages; dealt with */
	KEEL_EXIT_EXCEPTION,	/* u.exception */
	KEEL_EXIT_CPUID,
	KEEL_EXIT_HLT,
	KEEL_EXIT_IO,		/* u.io */
	KEEL_EXIT_MSR,		/* u.msr, number in RCX */
	KEEL_EXIT_CR,		/* u.cr */
	KEEL_EXIT_DR,		/* u.dr */
	KEEL_EXIT_TDP_FAULT,	/* u.fault */
	KEEL_EXIT_HYPERCALL,
	KEEL_EXIT_RDPMC,
	KEEL_EXIT_PAUSE,
	KEEL_EXIT_MONITOR,
	KEEL_EXIT_MWAIT,
	KEEL_EXIT_INVD,		/* INVD and WBINVD alike */
	KEEL_EXIT_FORBIDDEN,	/* an instruction that the guest does not have: #UD */
	KEEL_EXIT_XSETBV,
	KEEL_EXIT_IRQ_WINDOW,
	KEEL_EXIT_NMI_WINDOW,
	KEEL_EXIT_TIMER,	/* vcpu->exit_at has come, or has to be looked at again */
	KEEL_EXIT_EOI,		/* u.apic: the vector; the APIC itself is done with it */
	KEEL_EXIT_APIC_WRITE,	/* u.apic: offset of the register, which has the value already */
	KEEL_EXIT_TPR,		/* the guest lowered its task priority; user space or the APIC wants to know */
	KEEL_EXIT_TASK_SWITCH,	/* u.task; vectoring if by a gate of the IDT; insn_len if by an instruction */
	KEEL_EXIT_SHUTDOWN,	/* triple fault */
	KEEL_EXIT_FAIL_ENTRY,	/* hw_reason; the vendor has logged which check failed */
	KEEL_EXIT_NR,
};

/* What asked for a task switch. */
enum keel_task_source { KEEL_TASK_CALL, KEEL_TASK_IRET, KEEL_TASK_JMP, KEEL_TASK_GATE };

/* What the CPU was delivering when it exited, or what is to be delivered. */
enum keel_event_type {
	KEEL_EVENT_NONE,
	KEEL_EVENT_IRQ,		/* external interrupt */
	KEEL_EVENT_NMI,
	KEEL_EVENT_EXCEPTION,	/* hardware exception */
	KEEL_EVENT_SOFT_INT,	/* INT n */
	KEEL_EVENT_SOFT_EXC,	/* INT3, INTO */
	KEEL_EVENT_PRIV_EXC,	/* INT1 (ICEBP) */
};

/**
 * struct keel_event - one event for the guest
 * @type: enum keel_event_type
 * @vector: 0..255
 * @has_error: an error code is pushed
 * @error: that code
 * @insn_len: for the soft types, the bytes of the instruction that caused it; 0 unknown
 */
struct keel_event {
	u8 type;
	u8 vector;
	bool has_error;
	u8 insn_len;
	u32 error;
};

/**
 * struct keel_exit - why the guest stopped, filled by the back end's enter()
 * @reason: enum keel_exit_reason
 * @insn_len: bytes of the exiting instruction if the CPU says so, else 0; with 0,
 *	exit.c finds it by decoding before it acts on an instruction that it will skip
 * @nr_bytes: how many of @bytes the CPU delivered, 0 if none
 * @bytes: the instruction's bytes (decode assists)
 * @hw_reason: the vendor's exit code, for tracing, KVM_EXIT_FAIL_ENTRY and internal errors
 * @hw_info: the vendor's qualification, for tracing: two words
 * @vectoring: the event whose delivery the exit interrupted; type NONE if none, the rest undefined
 */
struct keel_exit {
	u16 reason;
	u8 insn_len;
	u8 nr_bytes;
	u8 bytes[16];
	u64 hw_reason;
	u64 hw_info[2];
	struct keel_event vectoring;
	union {
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 payload;	/* CR2 of a #PF, DR6 bits of a #DB */
		} exception;
		struct {
			u16 port;
			u8 size;	/* bytes: 1, 2 or 4 */
			bool in;
			bool string;	/* INS/OUTS: goes to the emulator */
			bool rep;
		} io;
		struct {
			bool write;
		} msr;
		struct {
			u8 cr;
			u8 gpr;		/* register number; 0xff unknown: goes to the emulator */
			bool write;
			bool clts;
			bool lmsw;
			u16 lmsw_value;
		} cr;
		struct {
			u8 dr;
			u8 gpr;		/* 0xff unknown */
			bool write;
		} dr;
		struct {
			u64 gpa;
			u64 linear;	/* with has_linear: of the access itself */
			u32 access;	/* KEEL_ACC_* */
			bool has_linear;
		} fault;
		struct {
			u16 value;
		} apic;
		struct {
			u16 selector;	/* of the TSS */
			u8 source;	/* enum keel_task_source */
		} task;
	} u;
};

/**
 * typedef keel_exit_fn - handle one neutral reason
 *
 * Called with the vCPU's mutex held.  With the vCPU loaded, and so preemption off, only where
 * keel_exit_is_atomic(), which may then be the case or not; with interrupts off only by
 * keel_handle_quickly().
 * Returns KEEL_RESUME, KEEL_TO_USER or a negative errno.
 */
typedef int (*keel_exit_fn)(struct keel_vcpu *vcpu, struct keel_exit *exit);

int keel_handle_exit(struct keel_vcpu *vcpu, struct keel_exit *exit);
bool keel_exit_is_atomic(struct keel_vcpu *vcpu, const struct keel_exit *exit);
int keel_handle_quickly(struct keel_vcpu *vcpu, struct keel_exit *exit);
u32 keel_spin_limit(u32 limit, u32 base, u32 max);	/* for the back ends, interrupts off */

#endif
