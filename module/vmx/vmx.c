// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU on VMX: its VMCS, controls, load and put, entering the guest.  The vendor
 * table is at the end.
 */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/nospec-branch.h>
#include <asm/trapnr.h>

#include "../compat.h"
#include "../guest_ctx.h"
#include "vmx.h"

#define PLE_GAP_TICKS		128	/* PAUSEs no further apart than so many ticks of the TSC */

/* ---- which VMCS is current where -------------------------------------------------------- */

/*
 * vmx_clear_vmcs(): on the CPU where the VMCS is active, interrupts off: write it back to memory
 *
 * First cleared, then out of the list: see vmx_cpu.vcpus.
 */
void vmx_clear_vmcs(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpus);

	vmx_vmclear(__pa(vmx->vmcs));
	if (cpu->current_vcpu == vmx)
		cpu->current_vcpu = NULL;
	list_del(&vmx->on_cpu);
	vmx->sw.flags &= ~SWITCH_LAUNCHED;
	/* Who sees that it is active nowhere makes it active elsewhere. */
	smp_store_release(&vmx->cpu, -1);
}

static void clear_ipi(void *arg)
{
	struct vmx_vcpu *vmx = arg;

	/* The CPU may have gone off and on since. */
	if (vmx->cpu == smp_processor_id())
		vmx_clear_vmcs(vmx);
}

/* Make it active nowhere; the thread that has vcpu->mutex, or the last one; interrupts on. */
static void clear_everywhere(struct vmx_vcpu *vmx)
{
	int cpu = READ_ONCE(vmx->cpu);

	/* A CPU that is not online has cleared what it had as it went. */
	if (cpu >= 0)
		smp_call_function_single(cpu, clear_ipi, vmx, 1);
}

/*
 * vmx_make_current_slowly(): for vmx_make_current(), when it is not
 *
 * A VMCS is active on one CPU at a time ('Software Use of Virtual-Machine Control Structures').
 * Translations that this CPU cached when the vCPU was here last, or for somebody who had its
 * VPID or its root before, may be out of date.
 */
void vmx_make_current_slowly(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpus);
	unsigned long flags;

	if (vmx->cpu == smp_processor_id()) {
		vmx_vmptrld(__pa(vmx->vmcs));
		cpu->current_vcpu = vmx;
		vmx_pml_take(cpu);
		return;
	}
	clear_everywhere(vmx);
	local_irq_save(flags);
	vmx->cpu = smp_processor_id();
	list_add(&vmx->on_cpu, &cpu->vcpus);
	vmx_vmptrld(__pa(vmx->vmcs));
	cpu->current_vcpu = vmx;
	local_irq_restore(flags);
	vmx_pml_take(cpu);
	vmx_init_host_state(vmx);
	vmx->stale |= STALE_EPT_TLB;
}

/* ---- controls --------------------------------------------------------------------------- */

/* All but those of windows and of the TPR shadow (event.c, apicv.c). */
static u32 cpu_controls(const struct vmx_vcpu *vmx)
{
	const u32 others = CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING |
			   CPU_BASED_TPR_SHADOW | CPU_BASED_CR8_LOAD_EXITING |
			   CPU_BASED_CR8_STORE_EXITING;
	u64 disabled = vmx->vcpu.vm->disabled_exits;
	u32 bits = vmx_caps.cpu | (vmx->ctl[VMX_CTL_CPU] & others);

	if (!(disabled & KVM_X86_DISABLE_EXITS_HLT))
		bits |= CPU_BASED_HLT_EXITING;
	if (!(disabled & KVM_X86_DISABLE_EXITS_MWAIT))
		bits |= CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING;
	return bits;
}

/* Instructions that are #UD, or exit and become it, without the guest's feature. */
static u32 cpu2_controls(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;
	u32 bits = vmx_caps.cpu2;

	if (vmx->apicv_on)
		bits |= vmx->ctl[VMX_CTL_CPU2] & (SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |
						  SECONDARY_EXEC_APIC_REGISTER_VIRT |
						  SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY);
	if (!vmx->vpid)
		bits &= ~SECONDARY_EXEC_ENABLE_VPID;
	if (vmx_caps.ple && !(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_PAUSE))
		bits |= SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	if (vmx_caps.pml)
		bits |= SECONDARY_EXEC_ENABLE_PML;
	if (vmx->use_tsc_aux)
		bits |= SECONDARY_EXEC_ENABLE_RDTSCP;
	if (vmx_caps.invpcid && keel_guest_has(vcpu, X86_FEATURE_INVPCID))
		bits |= SECONDARY_EXEC_ENABLE_INVPCID;
	if (vmx->use_umwait)
		bits |= SECONDARY_EXEC_ENABLE_USR_WAIT_PAUSE;
	if (vmx_caps.rdrand_exit && !keel_guest_has(vcpu, X86_FEATURE_RDRAND))
		bits |= SECONDARY_EXEC_RDRAND_EXITING;
	if (vmx_caps.rdseed_exit && !keel_guest_has(vcpu, X86_FEATURE_RDSEED))
		bits |= SECONDARY_EXEC_RDSEED_EXITING;
	return bits;
}

static void vmx_set_intercepts(struct keel_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->use_tsc_aux = vmx_caps.rdtscp && (keel_guest_has(vcpu, X86_FEATURE_RDTSCP) ||
					       keel_guest_has(vcpu, X86_FEATURE_RDPID));
	vmx->use_umwait = vmx_caps.waitpkg && keel_guest_has(vcpu, X86_FEATURE_WAITPKG);
	vmx_msr_bitmap_update(vmx);
	vmx_update_owned(vmx);
	vmx_want(vmx, VMX_CTL_EXCEPTIONS, keel_exception_exits(vcpu));
	vmx_want(vmx, VMX_CTL_CPU, cpu_controls(vmx));
	vmx_want(vmx, VMX_CTL_CPU2, cpu2_controls(vmx));
}

/* Each in its field, when the VMCS is current. */
static const u32 ctl_fields[VMX_NR_CTLS] = {
	[VMX_CTL_PIN]		= PIN_BASED_VM_EXEC_CONTROL,
	[VMX_CTL_CPU]		= CPU_BASED_VM_EXEC_CONTROL,
	[VMX_CTL_CPU2]		= SECONDARY_VM_EXEC_CONTROL,
	[VMX_CTL_ENTRY]		= VM_ENTRY_CONTROLS,
	[VMX_CTL_EXCEPTIONS]	= EXCEPTION_BITMAP,
	[VMX_CTL_TPR_THRESHOLD]	= TPR_THRESHOLD,
};

static void write_controls(struct vmx_vcpu *vmx)
{
	int i;

	for (i = 0; i < VMX_NR_CTLS; i++) {
		if (vmx->stale & STALE_CTL(i))
			vmcs_write(ctl_fields[i], vmx->ctl[i]);
	}
}

/* ---- the VMCS's life -------------------------------------------------------------------- */

/* Fields that stay; the VMCS is current. */
static void write_constant_fields(struct vmx_vcpu *vmx)
{
	vmcs_write(VMCS_LINK_POINTER, ~0UL);
	vmcs_write(MSR_BITMAP, __pa(vmx->msr_bitmap));
	vmcs_write(VM_EXIT_CONTROLS, vmx_caps.exit);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	/* With #PF out of the bitmap, these two let all of them through. */
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	if (vmx->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (vmx_caps.ple) {
		vmcs_write(PLE_GAP, PLE_GAP_TICKS);
		vmcs_write(PLE_WINDOW, PLE_WINDOW_TICKS);
	}
	/* No SGX for guests: each of its instructions exits. */
	if (vmx_caps.encls)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0UL);
	if (vmx_caps.tsc_scaling)
		vmcs_write(TSC_MULTIPLIER, BIT_ULL(48));
}

/* The VMCS of a vCPU that has not run since; the registers come by push(). */
static void init_vmcs(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	preempt_disable();
	vmx_make_current(vmx);
	write_constant_fields(vmx);
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);

	vmx->ctl[VMX_CTL_PIN] = vmx_caps.pin;
	vmx->ctl[VMX_CTL_ENTRY] = vmx_caps.entry;
	vmx->ctl[VMX_CTL_CPU] = vmx_caps.cpu;
	vmx->ctl[VMX_CTL_TPR_THRESHOLD] = 0;
	vmx->timer_armed = false;
	vmx->dr_opened = false;
	vmx->entry_info = 0;
	vmx->windows = 0;
	if (vmx->apicv_on) {
		vmx->apicv_on = false;
		vmx_msr_bitmap_x2apic(vmx, false);
	}
	vmx_apicv_init(vmx);
	vmx_set_intercepts(vcpu);
	vmx->stale |= GENMASK(VMX_NR_CTLS - 1, 0);
	preempt_enable();
}

static void free_pages_of(struct vmx_vcpu *vmx)
{
	vmx_vpid_free(vmx->vpid);
	free_page((unsigned long)vmx->vmcs);
	if (vmx->msr_bitmap)
		vmx_msr_bitmap_free(vmx);
}

static int vmx_vcpu_create(struct keel_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->cpu = -1;
	vmx->vmcs = (struct vmcs *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs || vmx_msr_bitmap_alloc(vmx)) {
		free_pages_of(vmx);
		return -ENOMEM;
	}
	vmx->vpid = vmx_vpid_alloc();
	vmx->vmcs->revision = vmx_caps.revision;
	/* The rest of the page becomes what this CPU model wants it to be. */
	vmx_vmclear(__pa(vmx->vmcs));
	vmx->eptp = vmx_eptp(vcpu->vm->tdp.root_hpa);
	vmx->stale = STALE_EPTP | (vmx_caps.l1d_flush ? STALE_L1D : 0);
	return 0;
}

static void vmx_vcpu_free(struct keel_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	clear_everywhere(vmx);
	free_pages_of(vmx);
}

/* The registers stay in vcpu, all dirty, until the entry. */
static void vmx_vcpu_reset(struct keel_vcpu *vcpu, bool init)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!init)
		vmx->umwait_control = 0;
	init_vmcs(vmx);
}

static void vmx_flush_tlb(struct keel_vcpu *vcpu, enum keel_flush what)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->stale |= what == KEEL_FLUSH_TDP ? STALE_EPT_TLB : STALE_GUEST_TLB;
}

/* ---- load and put ----------------------------------------------------------------------- */

/* Since the last load, this thread has made place for another one. */
static bool was_switched(struct vmx_vcpu *vmx)
{
	unsigned long switches = current->nvcsw + current->nivcsw;

	if (likely(vmx->switches == switches))
		return false;
	vmx->switches = switches;
	return true;
}

static void vmx_load(struct keel_vcpu *vcpu, int cpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_cpu *c = per_cpu_ptr(&vmx_cpus, cpu);

	vmx_make_current(vmx);
	vmx_load_host_state(vmx, c);
	vmx_load_msrs(vmx, c);
	if (vmx_caps.l1d_flush && was_switched(vmx))
		vcpu->l1d_stale = true;
}

static void vmx_put(struct keel_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpus);

	vmx_put_msrs(vmx, c);
	vmx_put_host_state(vmx, c);
}

/* ---- entry ------------------------------------------------------------------------------ */

/*
 * Debug registers: all accesses exit, or, for one run of the guest, none does; then its
 * DR6 is in the hardware, too.
 */
static void open_dr(struct vmx_vcpu *vmx, bool open)
{
	vmx->dr_opened = open;
	vmx_want_bits(vmx, VMX_CTL_CPU, CPU_BASED_MOV_DR_EXITING, !open);
}

/* The guest's TSC deadline, where the CPU's timer is to end its run ('VMX-Preemption Timer'). */
static void arm_timer(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;
	u64 now, ticks = 0, step = BIT_ULL(vmx_caps.timer_shift);
	bool arm = vcpu->exit_at;

	if (arm) {
		now = keel_guest_tsc(vcpu, rdtsc());
		if (vcpu->exit_at > now)
			ticks = (vcpu->exit_at - now + step - 1) >> vmx_caps.timer_shift;
		/* It exits early if the deadline is far; the common code looks at the time. */
		vmcs_write(VMX_PREEMPTION_TIMER_VALUE, min_t(u64, ticks, U32_MAX));
	}
	vmx->timer_armed = arm;
	vmx_want_bits(vmx, VMX_CTL_PIN, PIN_BASED_VMX_PREEMPTION_TIMER, arm);
}

/*
 * L1TF: a guest can read whatever is in the L1 data cache (SDM vol. 3 has the command, Intel's
 * 'L1 Terminal Fault' the rest).  What ran since the last entry counts: user space, other threads,
 * interrupts, and the emulator, which goes where the guest sends it.  As in stock KVM, the other
 * handlers do not: what they read is the guest's memory, or the VM's own.
 */
static void flush_l1d(struct keel_vcpu *vcpu)
{
	if (!vcpu->l1d_stale && !keel_l1d_touched() && vmx_caps.l1d_flush != L1D_FLUSH_ALWAYS)
		return;
	vcpu->l1d_stale = false;
	keel_l1d_clear_touched();
	vmx_l1d_flush();
}

/* What software has changed since the last entry, apart from registers. */
static void write_stale(struct vmx_vcpu *vmx)
{
	if (vmx->stale & STALE_OWNED) {
		vmcs_write(CR0_GUEST_HOST_MASK, ~vmx->cr0_owned);
		vmcs_write(CR4_GUEST_HOST_MASK, ~vmx->cr4_owned);
	}
	if (vmx->stale & STALE_EPTP)
		vmcs_write(EPT_POINTER, vmx->eptp);
	write_controls(vmx);
	if (vmx->stale & (STALE_EPT_TLB | STALE_GUEST_TLB))
		vmx_flush(vmx);
	if (vmx->stale & STALE_PEBS)
		wrmsrl(MSR_IA32_PEBS_ENABLE, 0);
	if (vmx->stale & STALE_L1D)
		flush_l1d(&vmx->vcpu);
	vmx->stale &= STALE_PEBS | STALE_L1D;
}

static void vmx_prepare(struct keel_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_update_host_state(vmx);
	vmx_stop_host_perf(vmx);
	vmx_prepare_spec_ctrl(vmx);
	if (unlikely(vcpu->dr_open != vmx->dr_opened))
		open_dr(vmx, vcpu->dr_open);
	if (unlikely(vmx->dr_opened))
		set_debugreg(vcpu->dr6, 6);
	if (unlikely(READ_ONCE(vcpu->vm->logging) != vmx->logging) && vmx_caps.pml)
		vmx_pml_follow(vmx, !vmx->logging);
	if (vmx_caps.apicv && vcpu->lapic)
		vmx_apicv_sync(vmx);
	if (!vmx->apicv_on)
		vmx_update_tpr_threshold(vmx);
	if (vmx->entry_info)
		vmx_write_event(vmx);
	/*
	 * The shadow that an NMI waits for may end with interrupts off, without a window: it is
	 * looked at again after the first exit.
	 */
	if (unlikely(vmx->windows & KEEL_WIN_NMI))
		keel_request(vcpu, KEEL_REQ_EVENT);
}

static void vmx_finish(struct keel_vcpu *vcpu)
{
	vmx_resume_host_perf(to_vmx(vcpu));
}

static void before_entry(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;
	u32 dirty = vcpu->dirty;

	if (dirty & KEEL_R_RIP)
		vmx_push_rip(vcpu);
	if (dirty & ~KEEL_R_RIP)
		vmx_push_rest(vcpu);
	vcpu->dirty = 0;
	if (vcpu->exit_at || vmx->timer_armed)
		arm_timer(vmx);
	if (vmx->stale)
		write_stale(vmx);
}

/*
 * The host's NMI ended the guest's run and is nobody's yet.  NMIs are blocked by the exit, as
 * by a delivery ('Loading Host State', 'Event Blocking' of exits due to NMIs): the handler
 * is to be entered before anything can execute IRET, and its IRET opens them again.
 */
static void deliver_nmi(void)
{
	asm volatile("int $2");
}

/* What is the host's of an exception or a failed entry; interrupts off. */
static void give_to_host(struct vmx_vcpu *vmx)
{
	u32 info;

	if (vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY) {
		if ((u16)vmx->exit_reason == EXIT_REASON_MCE_DURING_VMENTRY)
			keel_deliver_machine_check();
		return;
	}
	info = vmcs_read(VM_EXIT_INTR_INFO);
	vmx->exit_info = info;
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR) {
		/* It may be that of a counter. */
		vmx_resume_host_perf(vmx);
		deliver_nmi();
	} else if ((info & INTR_INFO_VECTOR_MASK) == X86_TRAP_MC) {
		keel_deliver_machine_check();
	}
}

/* What the guest has changed is in the VMCS; what it cannot change stays known. */
#define STAYS_KNOWN	(KEEL_R_CR2 | KEEL_R_EFER | KEEL_R_DR)

static void after_exit(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	if (unlikely(!(vmx->sw.flags & SWITCH_LAUNCHED)))
		vmx->sw.flags |= SWITCH_LAUNCHED;
	/* VMSCAPE: the client's own branches must not follow the guest's training. */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
	if (vmx->sw.flags & SWITCH_SPEC_READ)
		vcpu->sysmsr.spec_ctrl = vmx->sw.guest_spec;
	vcpu->avail = STAYS_KNOWN;
	if (unlikely(READ_ONCE(vcpu->vm->logging)) && vmx_caps.pml)
		vmx_pml_drain(vmx);
	if (unlikely(vmx->dr_opened)) {
		unsigned long dr6;

		get_debugreg(dr6, 6);
		set_debugreg(DR6_RESERVED, 6);
		keel_dr_take_back(vcpu, dr6, vmcs_read(GUEST_DR7));
	}
}

/*
 * The guest has not run: all is as it was, but for what was to be done before the entry.  The
 * event stays in the VMCS for vmx_find_fault() to look at.
 */
static void entry_failed(struct vmx_vcpu *vmx, struct keel_exit *exit)
{
	vmx->stale |= STALE_EPT_TLB;
	vmx_decode_failure(vmx, exit);
}

/*
 * DR0-3 are the guest's or the host's by common code's doing; VM entry loads DR7 and the exit
 * leaves it with all breakpoints off, and DEBUGCTL 0.
 */
static void vmx_enter(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 reason;

	before_entry(vmx);

	keel_guest_context_enter();
	/* CR2 is in no VMCS.  Nothing that can be traced comes between: it might cause a page fault. */
	if (unlikely(vcpu->cr2 != native_read_cr2()))
		native_write_cr2(vcpu->cr2);
	vmx->result = vmx_switch(vcpu->gpr, &vmx->sw);
	vcpu->cr2 = native_read_cr2();
	keel_guest_context_exit();

	if (unlikely(vmx->result != SWITCH_EXIT)) {
		entry_failed(vmx, exit);
		return;
	}
	reason = vmcs_read(VM_EXIT_REASON);
	vmx->exit_reason = reason;
	/* One test for the rare ones: exceptions are 0, failures negative. */
	if (unlikely((int)reason <= 0)) {
		give_to_host(vmx);
		if (reason & VMX_EXIT_REASONS_FAILED_VMENTRY) {
			entry_failed(vmx, exit);
			return;
		}
	}
	after_exit(vmx);
	vmx_decode_exit(vmx, reason, exit);
}

const struct keel_backend vmx_backend = {
	.name		= "vmx",
	.vendors	= BIT(X86_VENDOR_INTEL) | BIT(X86_VENDOR_CENTAUR) | BIT(X86_VENDOR_ZHAOXIN),
	.vm_size	= sizeof(struct vmx_vm),
	.vcpu_size	= sizeof(struct vmx_vcpu),
	.ident		= vmx_ident,
	.hw_setup	= vmx_hw_setup,
	.hw_teardown	= vmx_hw_teardown,
	.cpu_enable	= vmx_cpu_enable,
	.cpu_disable	= vmx_cpu_disable,
	.vcpu_create	= vmx_vcpu_create,
	.vcpu_free	= vmx_vcpu_free,
	.vcpu_reset	= vmx_vcpu_reset,
	.load		= vmx_load,
	.put		= vmx_put,
	.prepare	= vmx_prepare,
	.enter		= vmx_enter,
	.finish		= vmx_finish,
	.pull		= vmx_pull,
	.inject		= vmx_inject,
	.cancel_inject	= vmx_cancel_inject,
	.event_allowed	= vmx_event_allowed,
	.want_window	= vmx_want_window,
	.flush_tlb	= vmx_flush_tlb,
	.msr_get	= vmx_msr_get,
	.msr_set	= vmx_msr_set,
	.set_intercepts	= vmx_set_intercepts,
};
