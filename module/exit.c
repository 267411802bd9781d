// SPDX-License-Identifier: GPL-2.0-only
/* One handler for each neutral reason to leave the guest. */
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/minmax.h>
#include <linux/sched/stat.h>
#include <asm/cpu.h>
#include <asm/debugreg.h>
#include <asm/msr-index.h>
#include <asm/trapnr.h>

#include "keel.h"
#include "mmio.h"
#include "trace.h"

/*
 * Can the instruction that exited be skipped?  Asked before its effect: where the CPU does
 * not tell the length, the bytes are read again, and another vCPU may have changed them or
 * their mapping since.  1: the guest runs what is there now, or gets an exception that
 * is queued; -EFAULT: it has to exit again.  The exit has no effect either way.
 */
static int check_skip(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	return likely(exit->insn_len) ? 0 : keel_find_length(vcpu, exit);
}

/* What KVM_RUN does where an exit's instruction came to nothing: @ret of a check, not 0. */
static int not_done(int ret)
{
	return ret < 0 ? ret : KEEL_RESUME;
}

/* A register refused the guest's value, or could not be written now: @ret, not 0. */
static int gp_or_error(struct keel_vcpu *vcpu, int ret)
{
	return ret < 0 ? ret : keel_inject_gp(vcpu, 0);
}

/**
 * keel_advance_rip() - an instruction of @len bytes has completed
 * @vcpu: the vCPU
 * @len: its length
 *
 * RF goes with it, and the interrupt shadow.
 */
void keel_advance_rip(struct keel_vcpu *vcpu, u8 len)
{
	unsigned long rip, next;

	/* In one go. */
	keel_need(vcpu, KEEL_R_RIP | KEEL_R_RFLAGS | KEEL_R_SHADOW);
	rip = vcpu->rip;
	next = rip + len;
	/* Outside of 64-bit mode RIP wraps at 4G; asking for the mode is dearer than this. */
	if (unlikely((rip ^ next) >> 32) && !keel_64bit(vcpu))
		next = (u32)next;
	keel_set_rip(vcpu, next);
	if (unlikely(vcpu->rflags & X86_EFLAGS_RF)) {
		vcpu->rflags &= ~X86_EFLAGS_RF;
		keel_dirty(vcpu, KEEL_R_RFLAGS);
	}
	if (unlikely(vcpu->int_shadow)) {
		vcpu->int_shadow = 0;
		keel_dirty(vcpu, KEEL_R_SHADOW);
	}
}

/**
 * keel_queue_step() - the #DB of a guest that single-steps (RFLAGS.TF), after an instruction
 * @vcpu: the vCPU
 * @branch: the instruction was a branch, and taken: with DEBUGCTL.BTF those alone step
 */
void keel_queue_step(struct keel_vcpu *vcpu, bool branch)
{
	keel_need(vcpu, KEEL_R_SYSMSR);
	if (branch || !(vcpu->sysmsr.debugctl & DEBUGCTLMSR_BTF))
		keel_queue_db(vcpu, DR_STEP);
}

static noinline int skip_slowly(struct keel_vcpu *vcpu, u8 len)
{
	keel_advance_rip(vcpu, len);
	if (unlikely(keel_rflags(vcpu) & X86_EFLAGS_TF))
		keel_queue_step(vcpu, false);
	return KEEL_RESUME;
}

static __always_inline int skip(struct keel_vcpu *vcpu, u8 len)
{
	const u32 regs = KEEL_R_RIP | KEEL_R_RFLAGS | KEEL_R_SHADOW;
	unsigned long next = vcpu->rip + len;

	/* What keel_advance_rip() does where nothing is in its way. */
	if (unlikely((vcpu->avail & regs) != regs || vcpu->int_shadow ||
		     (vcpu->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) ||
		     (vcpu->rip ^ next) >> 32))
		return skip_slowly(vcpu, len);
	keel_set_rip(vcpu, next);
	return KEEL_RESUME;
}

/**
 * keel_skip() - past the instruction that exited
 * @vcpu: the vCPU
 * @len: its length
 *
 * Return: KEEL_RESUME.
 */
int keel_skip(struct keel_vcpu *vcpu, u8 len)
{
	return skip(vcpu, len);
}

static int inject_ud(struct keel_vcpu *vcpu)
{
	keel_queue_exception(vcpu, X86_TRAP_UD);
	return KEEL_RESUME;
}

/* ---- instructions ----------------------------------------------------------------- */

static int handle_cpuid(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	vcpu->stats.cpuid_exits++;
	keel_cpuid_exec(vcpu);
	return skip(vcpu, exit->insn_len);
}

static int handle_hlt(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	keel_skip(vcpu, exit->insn_len);
	return keel_vcpu_halt(vcpu);
}

static int handle_io(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	int ret;

	vcpu->stats.io_exits++;
	if (exit->u.io.string)
		return keel_emulate(vcpu, exit);
	ret = check_skip(vcpu, exit);
	return ret ? not_done(ret) : keel_pio(vcpu, exit);
}

static int handle_msr(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	u32 msr = vcpu->gpr[KEEL_RCX];
	u64 data;
	int ret;

	vcpu->stats.msr_exits++;
	if (exit->u.msr.write) {
		data = (u32)vcpu->gpr[KEEL_RAX] | vcpu->gpr[KEEL_RDX] << 32;
		trace_keel_msr(true, msr, 8, data);
		ret = keel_msr_set(vcpu, msr, data, false);
		if (ret)
			return gp_or_error(vcpu, ret);
	} else {
		/* Not to the stack, where the kernel would clear and guard it. */
		if (keel_msr_get(vcpu, msr, &vcpu->msr_data, false))
			return keel_inject_gp(vcpu, 0);
		data = vcpu->msr_data;
		trace_keel_msr(false, msr, 8, data);
		vcpu->gpr[KEEL_RAX] = (u32)data;
		vcpu->gpr[KEEL_RDX] = data >> 32;
	}
	return skip(vcpu, exit->insn_len);
}

static int handle_hypercall(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	int ret;

	vcpu->stats.hypercalls++;
	ret = keel_hypercall(vcpu);
	return ret < 0 ? ret : skip(vcpu, exit->insn_len);
}

/* There is no virtual PMU, so no counter is valid (SDM, 'RDPMC': #GP). */
static int handle_rdpmc(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	return keel_inject_gp(vcpu, 0);
}

/**
 * keel_spin_limit() - how long may the guest spin until its next exit?
 * @limit: how long it has spun until this one
 * @base: where somebody else wants this CPU
 * @max: the limit's own; the unit is the CPU's
 *
 * An exit for a loop around PAUSE is there to give the CPU away, and wasted where nobody waits for
 * it: there each takes twice as long to come as the one before.
 */
u32 keel_spin_limit(u32 limit, u32 base, u32 max)
{
	return single_task_running() ? min(2 * limit, max) : base;
}

static int handle_pause(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	keel_skip(vcpu, exit->insn_len);
	/* The lock's holder may wait for this CPU. */
	if (!single_task_running())
		yield();
	return KEEL_RESUME;
}

/*
 * MONITOR arms nothing and MWAIT waits for nothing, which the architecture allows;
 * a client may have shown MWAIT to its guest all the same (KVM answers so too).
 */
static int handle_monitor(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	if ((vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) &&
	    !keel_guest_has(vcpu, X86_FEATURE_MWAIT))
		return inject_ud(vcpu);
	return keel_skip(vcpu, exit->insn_len);
}

/* All guest memory is coherent with the host's caches: nothing to write back or drop. */
static int handle_invd(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	return keel_skip(vcpu, exit->insn_len);
}

static int handle_forbidden(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	return inject_ud(vcpu);
}

static int handle_xsetbv(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	u64 value = (u32)vcpu->gpr[KEEL_RAX] | vcpu->gpr[KEEL_RDX] << 32;

	if (keel_cpl(vcpu) || keel_set_xcr(vcpu, (u32)vcpu->gpr[KEEL_RCX], value))
		return keel_inject_gp(vcpu, 0);
	return keel_skip(vcpu, exit->insn_len);
}

/* ---- control and debug registers -------------------------------------------------- */

/**
 * keel_cr_set() - the guest writes a control register
 * @vcpu: the vCPU
 * @cr: 0, 3, 4 or 8
 * @val: the new value
 * Return: 0; 1 for #GP, nothing changed; -EFAULT likewise.
 */
int keel_cr_set(struct keel_vcpu *vcpu, u8 cr, unsigned long val)
{
	switch (cr) {
	case 0: return keel_set_cr0(vcpu, val);
	case 3: return keel_set_cr3(vcpu, val);
	case 4: return keel_set_cr4(vcpu, val);
	case 8: return keel_set_cr8(vcpu, val);
	}
	return 1;
}

/**
 * keel_cr_get() - a control register as the guest reads it
 * @vcpu: the vCPU
 * @cr: 0, 2, 3, 4 or 8
 */
unsigned long keel_cr_get(struct keel_vcpu *vcpu, u8 cr)
{
	switch (cr) {
	case 0:
		keel_need(vcpu, KEEL_R_CR0);
		return vcpu->cr0;
	case 2:
		keel_need(vcpu, KEEL_R_CR2);
		return vcpu->cr2;
	case 3:
		keel_need(vcpu, KEEL_R_CR3);
		return vcpu->cr3;
	case 4:
		keel_need(vcpu, KEEL_R_CR4);
		return vcpu->cr4;
	}
	return keel_get_cr8(vcpu);
}

/* Outside of 64-bit mode MOV to and from control registers has 32 bits. */
static unsigned long mode_mask(struct keel_vcpu *vcpu)
{
	return keel_64bit(vcpu) ? ~0UL : U32_MAX;
}

/* LMSW changes CR0's low four bits and cannot clear PE (SDM, 'LMSW'). */
static unsigned long lmsw(struct keel_vcpu *vcpu, u16 value)
{
	unsigned long cr0 = keel_cr_get(vcpu, 0);

	return (cr0 & ~0xeUL) | (value & 0xf);
}

static int handle_cr(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	unsigned long val;
	u8 old_cr8;
	int ret;

	vcpu->stats.cr_exits++;
	if (!exit->u.cr.clts && !exit->u.cr.lmsw && exit->u.cr.gpr >= KEEL_NR_GPRS)
		return keel_emulate(vcpu, exit);
	ret = check_skip(vcpu, exit);
	if (ret)
		return not_done(ret);
	if (exit->u.cr.clts) {
		ret = keel_set_cr0(vcpu, keel_cr_get(vcpu, 0) & ~X86_CR0_TS);
		return ret ? gp_or_error(vcpu, ret) : keel_skip(vcpu, exit->insn_len);
	}
	if (exit->u.cr.lmsw) {
		ret = keel_set_cr0(vcpu, lmsw(vcpu, exit->u.cr.lmsw_value));
		return ret ? gp_or_error(vcpu, ret) : keel_skip(vcpu, exit->insn_len);
	}
	if (!exit->u.cr.write) {
		keel_gpr_set(vcpu, exit->u.cr.gpr, keel_cr_get(vcpu, exit->u.cr.cr) & mode_mask(vcpu));
		return keel_skip(vcpu, exit->insn_len);
	}

	old_cr8 = keel_get_cr8(vcpu);
	val = keel_gpr_get(vcpu, exit->u.cr.gpr) & mode_mask(vcpu);
	ret = keel_cr_set(vcpu, exit->u.cr.cr, val);
	if (ret)
		return gp_or_error(vcpu, ret);
	keel_skip(vcpu, exit->insn_len);
	/* User space's APIC may have something that the lower priority lets in. */
	if (exit->u.cr.cr == 8 && !vcpu->lapic && old_cr8 > val) {
		vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
		return KEEL_TO_USER;
	}
	return KEEL_RESUME;
}

/*
 * A guest that uses one debug register uses several: until the next exit it has them
 * all, live in the CPU, and this access is made again.  Not while an NMI waits: the back
 * end may single-step to its window, and the step would leave DR6.BS to the guest.
 */
static int handle_dr(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	if (vcpu->events.nmi_pending)
		return keel_emulate(vcpu, exit);
	vcpu->dr_open = true;
	return KEEL_RESUME;
}

/* ---- faults and events ------------------------------------------------------------ */

/**
 * keel_exception_exits() - the exceptions that must not go straight to the guest, by vector
 * @vcpu: the vCPU
 *
 * #MC is the host's.  #DB and #AC: a guest can make the delivery of either cause the next one for
 * ever, with no instruction boundary for an interrupt in between (CVE-2015-8104,
 * CVE-2015-5307).  #UD for the other vendor's hypercall instruction, which KVM's guests may
 * use unless the client has turned that quirk off.
 */
u32 keel_exception_exits(const struct keel_vcpu *vcpu)
{
	u32 vectors = BIT(X86_TRAP_MC) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC);

	if (!(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_FIX_HYPERCALL_INSN))
		vectors |= BIT(X86_TRAP_UD);
	return vectors;
}

/*
 * An access to no memory while the CPU was delivering an event: the accesses of the
 * delivery (stack, descriptor tables) cannot be emulated.
 */
static int mmio_in_delivery(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	u64 data[] = {
		exit->vectoring.vector | (u64)exit->vectoring.type << 8,
		exit->hw_reason, exit->hw_info[0], exit->u.fault.gpa,
	};

	return keel_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV, ARRAY_SIZE(data), data);
}

static int handle_tdp_fault(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	int ret;

	vcpu->stats.tdp_faults++;
	ret = keel_mmu_fault(vcpu, exit->u.fault.gpa, exit->u.fault.access);
	trace_keel_fault(vcpu->id, exit->u.fault.gpa, exit->u.fault.access, ret);
	if (ret < 0)
		return ret;
	if (ret == KEEL_FAULT_FIXED) {
		vcpu->stats.tdp_fixed++;
		return KEEL_RESUME;
	}
	if (exit->vectoring.type != KEEL_EVENT_NONE)
		return mmio_in_delivery(vcpu, exit);
	return keel_emulate_mmio(vcpu, exit);
}

/* Can an access of the guest's be #AC by its own settings (SDM, 'Alignment Check Exception')? */
static bool may_check_alignment(struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_CR0);
	return (vcpu->cr0 & X86_CR0_AM) && (keel_rflags(vcpu) & X86_EFLAGS_AC) &&
	       keel_cpl(vcpu) == 3;
}

static int handle_exception(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	switch (exit->u.exception.vector) {
	case X86_TRAP_UD:
		/* The other vendor's hypercall, or really undefined: the emulator knows. */
		return keel_emulate_ud(vcpu, exit);
	case X86_TRAP_DB:
		keel_queue_db(vcpu, exit->u.exception.payload);
		return KEEL_RESUME;
	case X86_TRAP_AC:
		/* The host's split-lock detection: its thread is slowed down, and may go on. */
		if (boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) && !may_check_alignment(vcpu) &&
		    handle_guest_split_lock(keel_rip(vcpu)))
			return KEEL_RESUME;
		break;
	case X86_TRAP_PF:
		keel_queue_page_fault(vcpu, exit->u.exception.payload, exit->u.exception.error);
		return KEEL_RESUME;
	}
	if (exit->u.exception.has_error)
		keel_queue_exception_e(vcpu, exit->u.exception.vector, exit->u.exception.error);
	else
		keel_queue_exception(vcpu, exit->u.exception.vector);
	return KEEL_RESUME;
}

static int handle_host_event(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	vcpu->stats.irq_exits++;
	return KEEL_RESUME;
}

static int handle_irq_window(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	vcpu->stats.irq_window_exits++;
	keel_request(vcpu, KEEL_REQ_EVENT);
	return KEEL_RESUME;
}

static int handle_nmi_window(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	vcpu->stats.nmi_window_exits++;
	keel_request(vcpu, KEEL_REQ_EVENT);
	return KEEL_RESUME;
}

static int handle_timer(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	keel_lapic_timer_exit(vcpu);
	return KEEL_RESUME;
}

static int handle_eoi(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	keel_lapic_eoi_done(vcpu, exit->u.apic.value);
	return KEEL_RESUME;
}

static int handle_apic_write(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	keel_lapic_written(vcpu, exit->u.apic.value);
	return KEEL_RESUME;
}

static int handle_tpr(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	if (!vcpu->lapic) {
		vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
		return KEEL_TO_USER;
	}
	keel_request(vcpu, KEEL_REQ_EVENT);
	return KEEL_RESUME;
}

static int handle_shutdown(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return KEEL_TO_USER;
}

static int handle_fail_entry(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = exit->hw_reason;
	vcpu->run->fail_entry.cpu = vcpu->cpu;
	return KEEL_TO_USER;
}

static int handle_unknown(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	u64 data[] = { exit->hw_reason, vcpu->cpu };

	pr_warn_ratelimited("keel: exit for a reason that was not asked for: 0x%llx\n",
			    exit->hw_reason);
	return keel_internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
				   ARRAY_SIZE(data), data);
}

/* ---- the table -------------------------------------------------------------------- */

/* May be handled with the FPU and the vCPU loaded: does not sleep. */
#define ATOMIC	BIT(0)
/* ... if the CPU told the instruction's length: finding it out reads guest memory. */
#define ATOMIC_IF_LEN	BIT(1)
/* ... if, besides, the MSR is served without guest memory. */
#define ATOMIC_IF_MSR	BIT(2)
/* Not called unless the instruction can be skipped; keel_skip() then works. */
#define SKIPS	BIT(3)
/* As ATOMIC, but for a vCPU with an NMI waiting. */
#define ATOMIC_UNLESS_NMI	BIT(4)
/* ... if, besides, the hypercall's number is one of those that need nobody else. */
#define ATOMIC_IF_CALL	BIT(5)
/* ... if it is no string: that reads guest memory; nor where an eventfd's lock may sleep. */
#define ATOMIC_IF_PIO	BIT(6)
/* Where atomic, takes little time and waits for no other CPU: keel_handle_quickly(). */
#define QUICK	BIT(7)

static const struct {
	keel_exit_fn fn;
	u32 flags;
} handlers[KEEL_EXIT_NR] = {
	[KEEL_EXIT_UNKNOWN]	= { handle_unknown },
	[KEEL_EXIT_HOST_EVENT]	= { handle_host_event, ATOMIC },
	[KEEL_EXIT_EXCEPTION]	= { handle_exception },
	[KEEL_EXIT_CPUID]	= { handle_cpuid, ATOMIC_IF_LEN | SKIPS | QUICK },
	[KEEL_EXIT_HLT]		= { handle_hlt, ATOMIC_IF_LEN | SKIPS },
	[KEEL_EXIT_IO]		= { handle_io, ATOMIC_IF_PIO | QUICK },
	[KEEL_EXIT_MSR]		= { handle_msr, ATOMIC_IF_MSR | SKIPS | QUICK },
	[KEEL_EXIT_CR]		= { handle_cr },
	[KEEL_EXIT_DR]		= { handle_dr, ATOMIC_UNLESS_NMI },
	[KEEL_EXIT_TDP_FAULT]	= { handle_tdp_fault },
	[KEEL_EXIT_HYPERCALL]	= { handle_hypercall, ATOMIC_IF_CALL | SKIPS | QUICK },
	[KEEL_EXIT_RDPMC]	= { handle_rdpmc, ATOMIC | QUICK },
	[KEEL_EXIT_PAUSE]	= { handle_pause, SKIPS },
	[KEEL_EXIT_MONITOR]	= { handle_monitor, ATOMIC_IF_LEN | SKIPS | QUICK },
	[KEEL_EXIT_MWAIT]	= { handle_monitor, ATOMIC_IF_LEN | SKIPS | QUICK },
	[KEEL_EXIT_INVD]	= { handle_invd, ATOMIC_IF_LEN | SKIPS | QUICK },
	[KEEL_EXIT_FORBIDDEN]	= { handle_forbidden, ATOMIC | QUICK },
	[KEEL_EXIT_XSETBV]	= { handle_xsetbv, SKIPS },
	[KEEL_EXIT_IRQ_WINDOW]	= { handle_irq_window, ATOMIC | QUICK },
	[KEEL_EXIT_NMI_WINDOW]	= { handle_nmi_window, ATOMIC | QUICK },
	[KEEL_EXIT_TIMER]	= { handle_timer, ATOMIC | QUICK },
	[KEEL_EXIT_EOI]		= { handle_eoi, ATOMIC | QUICK },
	[KEEL_EXIT_APIC_WRITE]	= { handle_apic_write, ATOMIC | QUICK },
	[KEEL_EXIT_TPR]		= { handle_tpr, ATOMIC | QUICK },
	[KEEL_EXIT_TASK_SWITCH]	= { keel_task_switch },
	[KEEL_EXIT_SHUTDOWN]	= { handle_shutdown, ATOMIC },
	[KEEL_EXIT_FAIL_ENTRY]	= { handle_fail_entry, ATOMIC },
};

static __always_inline bool is_atomic(struct keel_vcpu *vcpu, const struct keel_exit *exit,
				      u32 flags)
{
	if (flags & ATOMIC_IF_LEN)
		return exit->insn_len;
	if (flags & ATOMIC_IF_PIO)
		return exit->insn_len && !exit->u.io.string && !IS_ENABLED(CONFIG_PREEMPT_RT);
	if (flags & ATOMIC_IF_MSR)
		return exit->insn_len && !keel_msr_may_sleep(vcpu->gpr[KEEL_RCX]);
	if (flags & ATOMIC_IF_CALL)
		return exit->insn_len && keel_hypercall_is_atomic(vcpu);
	if (flags & ATOMIC_UNLESS_NMI)
		return !vcpu->events.nmi_pending;
	return flags & ATOMIC;
}

/**
 * keel_exit_is_atomic() - may keel_handle_exit() run with the vCPU still loaded?
 * @vcpu: the vCPU
 * @exit: the exit
 */
bool keel_exit_is_atomic(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	return is_atomic(vcpu, exit, handlers[exit->reason].flags);
}

/*
 * A page that the host has, or a device's register: the rest of keel_handle_exit() is for pages
 * that it has not.
 */
static noinline int fault_quickly(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	int idx, fixed, ret = KEEL_NOT_QUICK;

	/* There locks may sleep. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || current->mm != vcpu->vm->mm)
		return KEEL_NOT_QUICK;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	fixed = keel_mmu_fault_quick(vcpu, exit->u.fault.gpa, exit->u.fault.access);
	if (fixed == KEEL_FAULT_FIXED)
		ret = KEEL_RESUME;
	else if (fixed >= 0)
		ret = keel_mmio_again(vcpu, exit);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (ret == KEEL_NOT_QUICK)
		return ret;
	vcpu->stats.tdp_faults++;
	vcpu->stats.tdp_fixed += fixed == KEEL_FAULT_FIXED;
	trace_keel_fault(vcpu->id, exit->u.fault.gpa, exit->u.fault.access, fixed);
	return ret;
}

/**
 * keel_handle_quickly() - do what the guest left for, if it takes no time
 * @vcpu: the vCPU, loaded; its mutex held, interrupts off
 * @exit: the exit
 *
 * Return: KEEL_NOT_QUICK, and nothing done; KEEL_RESUME or KEEL_TO_USER.
 */
int keel_handle_quickly(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	u32 flags;

	/* The most frequent ones without an indirect branch, nor a look at the table. */
	if (exit->reason == KEEL_EXIT_CPUID && is_atomic(vcpu, exit, ATOMIC_IF_LEN))
		return handle_cpuid(vcpu, exit);
	if (exit->reason == KEEL_EXIT_MSR && is_atomic(vcpu, exit, ATOMIC_IF_MSR))
		return handle_msr(vcpu, exit);
	if (exit->reason == KEEL_EXIT_TDP_FAULT)
		return fault_quickly(vcpu, exit);
	if (exit->reason == KEEL_EXIT_HYPERCALL && is_atomic(vcpu, exit, ATOMIC_IF_CALL))
		return handle_hypercall(vcpu, exit);
	flags = handlers[exit->reason].flags;
	if (!(flags & QUICK) || !is_atomic(vcpu, exit, flags))
		return KEEL_NOT_QUICK;
	return handlers[exit->reason].fn(vcpu, exit);
}

/*
 * KVM_RUN has failed for want of a page of the host's, in an interrupt shadow: the next one handles
 * the same exit, since QEMU's emulated CPU does not load a shadow, and would let an interrupt in.
 */
static int handle_again(struct keel_vcpu *vcpu)
{
	/* The client may have moved the guest elsewhere (reset it, say), or have an exception for it. */
	keel_need(vcpu, KEEL_R_SHADOW);
	if (keel_rip(vcpu) != vcpu->failed_rip || !vcpu->int_shadow ||
	    vcpu->events.exc.injected || vcpu->events.exc.pending)
		return KEEL_RESUME;
	vcpu->exit = vcpu->failed_exit;
	return keel_handle_exit(vcpu, &vcpu->exit);
}

/*
 * @exit could not be handled for want of a page: nothing has been done.  The guest makes it exit
 * again, and gets first what the client has for it meanwhile.
 */
static void put_off(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	/* The emulator goes on in the middle. */
	if (vcpu->complete_io)
		return;
	keel_need(vcpu, KEEL_R_SHADOW);
	if (!vcpu->int_shadow)
		return;
	vcpu->failed_exit = *exit;
	vcpu->failed_rip = keel_rip(vcpu);
	vcpu->complete_io = handle_again;
}

/**
 * keel_handle_exit() - do what the guest left for
 * @vcpu: the vCPU
 * @exit: the exit
 *
 * vcpu->mutex held, interrupts on; preemption off only if keel_exit_is_atomic().
 * Return: KEEL_RESUME, KEEL_TO_USER or -errno.
 */
int keel_handle_exit(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	int ret = 0;

	if (unlikely(!exit->insn_len) && (handlers[exit->reason].flags & SKIPS))
		ret = check_skip(vcpu, exit);
	ret = ret ? not_done(ret) : handlers[exit->reason].fn(vcpu, exit);
	if (unlikely(ret == -EFAULT))
		put_off(vcpu, exit);
	return ret;
}
