/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor table: all that the common code asks of VMX or SVM.
 *
 * "vcpu loaded" below means: between load() and put() on this CPU, by the
 * thread that holds vcpu->mutex; preemption is off all that time.  A section lasts
 * one exit or several, so load() and put() are cheap where the vCPU comes back
 * to the CPU that it left last.
 */
#ifndef KEEL_BACKEND_H
#define KEEL_BACKEND_H

#include <linux/kvm_types.h>
#include <linux/static_call.h>
#include "exit.h"

struct keel_vm;
struct keel_vcpu;
struct keel_tdp_format;

/* Register groups: the bits of pull() and of vcpu->avail and vcpu->dirty. */
#define KEEL_R_RSP	BIT(0)
#define KEEL_R_RIP	BIT(1)
#define KEEL_R_RFLAGS	BIT(2)
#define KEEL_R_CR0	BIT(3)
#define KEEL_R_CR2	BIT(4)
#define KEEL_R_CR3	BIT(5)
#define KEEL_R_CR4	BIT(6)
#define KEEL_R_EFER	BIT(7)
#define KEEL_R_CS	BIT(8)
#define KEEL_R_SS	BIT(9)	/* with it: CPL */
#define KEEL_R_SEGS	BIT(10)	/* DS ES FS GS */
#define KEEL_R_TABLES	BIT(11)	/* GDTR IDTR LDTR TR */
#define KEEL_R_DR	BIT(12)	/* DR6 DR7; DR0-3 are switched by common code */
#define KEEL_R_SHADOW	BIT(13)	/* interrupt shadow, NMI blocking */
#define KEEL_R_SYSMSR	BIT(14)	/* vcpu->sysmsr: STAR ... KERNEL_GS_BASE, SYSENTER, PAT */
#define KEEL_R_TSC	BIT(15)	/* dirty only: vcpu->tsc.offset, .ratio */
#define KEEL_R_PDPTR	BIT(16)	/* vcpu->pdptr, in PAE paging */
#define KEEL_R_MODE	BIT(17)	/* never dirty: CPL and CS.L; those of SS and CS where they are avail */
#define KEEL_R_ALL	GENMASK(14, 0)	/* but the three above */

/* What the next entry must stop for: want_window(). */
#define KEEL_WIN_IRQ	BIT(0)	/* as soon as an interrupt can be taken */
#define KEEL_WIN_NMI	BIT(1)	/* as soon as an NMI can be taken */
#define KEEL_WIN_TPR	BIT(2)	/* when the guest writes CR8 */

/* How much flush_tlb() is to forget. */
enum keel_flush {
	KEEL_FLUSH_GUEST,	/* what comes from the guest's own tables */
	KEEL_FLUSH_TDP,		/* all that has to do with guest-physical addresses as well */
};

/* What hw_setup() found; for the rest there is the kernel's boot_cpu_has(). */
struct keel_caps {
	u8 tdp_levels;		/* page-table levels of a root: 4 or 5 */
	bool tdp_1g;
	bool tsc_scaling;
	u8 tsc_frac_bits;	/* fraction bits of tsc ratio */
	u64 max_tsc_ratio;
	bool nx_large;		/* code must not be fetched by large pages: a fault splits them */
	bool pdpte_registers;	/* PDPTEs of PAE paging are registers: group KEEL_R_PDPTR */
	bool apicv;		/* the CPU can deliver a local APIC's interrupts: vcpu->apicv */
	bool timed_exit;	/* enter() comes back by vcpu->exit_at */
	bool no_xsaves;		/* XSAVES and XRSTORS are #UD in a guest */
	const struct keel_tdp_format *tdp;
	/*
	 * The CPU lists the pages whose dirty bit it sets.  Common code leaves that bit clear in
	 * 4K entries of logged slots; others are made with it set and so never listed, but for
	 * what is left when logging ends.  The back end hands the list to keel_dirty_mark_gpa()
	 * and empties it at each exit while vm->logging, before enter() returns: with interrupts
	 * off, while vcpu->mode is not OUTSIDE.
	 */
	bool pml;
	/* CPUID features (X86_FEATURE_*) the back end cannot give a guest, ended by -1 */
	const s16 *hidden;
};

/**
 * struct keel_backend - the vendor table, at the end of svm/svm.c and vmx/vmx.c
 * @name: "svm" or "vmx"
 * @vendors: BIT(X86_VENDOR_*) of the CPUs that may have the extension
 * @vm_size: bytes of the vendor's VM struct, whose first member is struct keel_vm
 * @vcpu_size: bytes of the vendor's vCPU struct, whose first member is struct keel_vcpu
 * @ident: does this CPU have the extension?  NULL if it does and is usable; else the
 *	one line for the log that says what is missing.  No side effects, process context.
 * @hw_setup: once at module load: read capabilities, fill @caps, allocate what lasts.
 *	0 or -errno.
 * @hw_teardown: undo hw_setup.
 * @cpu_enable: turn the extension on, on this CPU; interrupts off.  0, -EBUSY if somebody
 *	else has it on, -EIO.
 * @cpu_disable: turn it off, on this CPU; interrupts off (also from CPU hotplug, suspend,
 *	reboot and panic paths).  Nothing if it is not on.
 * @vcpu_create: allocate the vCPU's control structures; called with nothing loaded.
 * @vcpu_free: free them.
 * @vcpu_reset: put the control structures into the state after RESET (@init false) or INIT;
 *	the common code has filled regs and marked all dirty.  The vCPU is not loaded.
 * @load: make this vCPU's control structure and MSRs current on @cpu; preemption off.
 *	Saves those of the host's MSRs that differ by thread; the others were read in
 *	cpu_enable().
 * @put: undo load; preemption off.  Leaves nothing of the guest in MSRs that user space or
 *	the host's kernel uses.
 * @prepare: interrupts off, vCPU loaded, before enter() once or several times: what the host
 *	can have changed while they were on, and the event or window that was asked for.
 * @enter: enter the guest once and come back: push what is dirty, switch, save, and fill
 *	@exit; reads only what the reason needs.  Interrupts off since prepare(), FPU live with
 *	the guest's state.  Brackets the switch itself with
 *	keel_guest_context_enter() and _exit() (guest_ctx.h); between them nothing may be traced.
 *	Host NMIs and machine checks that caused the exit are given to the host before it
 *	returns.  Hazards of speculation are its business.  With vcpu->apicv it delivers what
 *	waits in the local APIC; with vcpu->exit_at not 0 it comes back at that time.
 * @finish: undo prepare(), with interrupts still off.  NULL: nothing to undo.
 * @pull: fetch the groups of @mask into vcpu (called through keel_need() only; vCPU loaded or
 *	not, the latter with interrupts on).
 * @inject: deliver @ev with the next entry.
 * @cancel_inject: the entry did not happen: take back what inject() set up and return it
 *	in @ev (type NONE if nothing); interrupts off.
 * @event_allowed: can the guest take an event of this type (IRQ or NMI) now?
 * @want_window: stop for KEEL_WIN_* at the next entry; a mask of 0 takes all back.
 * @flush_tlb: forget what the CPU has cached for this vCPU of the kind @what, before the next
 *	entry; translations of other vCPUs may go as well.
 * @msr_get, @msr_set: MSRs of the vendor's own, among those with KEEL_MSR_BACKEND in msr.c;
 *	-ENOENT if it is none (then common code decides).  @host: the access is user space's.
 *	1 asks for #GP.
 * @set_intercepts: recompute intercepts from vcpu state (CPUID, disabled exits, quirks, MSR
 *	pass-through).
 */
struct keel_backend {
	const char *name;
	u32 vendors;
	size_t vm_size;
	size_t vcpu_size;
	const char *(*ident)(void);
	int (*hw_setup)(struct keel_caps *caps);
	void (*hw_teardown)(void);
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);
	int (*vcpu_create)(struct keel_vcpu *vcpu);
	void (*vcpu_free)(struct keel_vcpu *vcpu);
	void (*vcpu_reset)(struct keel_vcpu *vcpu, bool init);
	void (*load)(struct keel_vcpu *vcpu, int cpu);
	void (*put)(struct keel_vcpu *vcpu);
	void (*prepare)(struct keel_vcpu *vcpu);
	void (*enter)(struct keel_vcpu *vcpu, struct keel_exit *exit);
	void (*finish)(struct keel_vcpu *vcpu);
	void (*pull)(struct keel_vcpu *vcpu, u32 mask);
	void (*inject)(struct keel_vcpu *vcpu, const struct keel_event *ev);
	void (*cancel_inject)(struct keel_vcpu *vcpu, struct keel_event *ev);
	bool (*event_allowed)(struct keel_vcpu *vcpu, enum keel_event_type type);
	void (*want_window)(struct keel_vcpu *vcpu, u32 windows);
	void (*flush_tlb)(struct keel_vcpu *vcpu, enum keel_flush what);
	int (*msr_get)(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
	int (*msr_set)(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
	void (*set_intercepts)(struct keel_vcpu *vcpu);
};

extern const struct keel_backend svm_backend, vmx_backend;

/* Filled once at load, read-only afterwards. */
extern struct keel_backend keel_ops;
/* Those of each exit: static_call(keel_NAME)(...), which is no indirect branch. */
#define KEEL_STATIC_OPS(op)	op(load) op(put) op(prepare) op(enter) op(finish) op(pull)
#define KEEL_DECLARE_OP(name)	DECLARE_STATIC_CALL(keel_##name, *keel_ops.name);
KEEL_STATIC_OPS(KEEL_DECLARE_OP)
extern struct keel_caps keel_caps;

#endif
