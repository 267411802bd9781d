// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU on SVM: its VMCB, intercepts, load and put, entering the guest.  The vendor
 * table is at the end.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/debugreg.h>
#include <asm/nospec-branch.h>
#include <asm/trapnr.h>

#include "../guest_ctx.h"
#include "svm.h"

#define PAUSE_THRESHOLD	128	/* PAUSEs no further apart than so many cycles are a loop */

/* ---- intercepts ------------------------------------------------------------------------- */

/*
 * CR0: changes of other bits than TS and MP exit.  CD and NW are kept out of the
 * hardware's CR0 (an uncached guest would stall the machine's caches), so while the
 * guest has them set, all accesses exit and it sees its own.
 * CR4: a machine check with CR4.MCE 0 shuts the CPU down, so MCE is always 1 in
 * hardware, and reads exit while the guest's is 0.
 * CR8: also while a virtual interrupt stands for the interrupt window.  QEMU's TCG aborts
 * where a write of CR8 meets one (helper_write_crN() raises it without the lock that
 * cpu_interrupt() asserts, in 7.2 and later), and the two seldom meet otherwise.
 */
void svm_update_cr_intercepts(struct svm_vcpu *svm)
{
	struct vmcb_control *c = &svm->vmcb->control;
	const struct keel_vcpu *vcpu = &svm->vcpu;
	u16 read = 0, write = BIT(4);

	if (vcpu->cr0 & (X86_CR0_CD | X86_CR0_NW)) {
		read |= BIT(0);
		write |= BIT(0);
	}
	if (!(vcpu->cr4 & X86_CR4_MCE))
		read |= BIT(4);
	if (svm->windows & (KEEL_WIN_TPR | KEEL_WIN_IRQ))
		write |= BIT(8);
	c->intercept_cr_read = read;
	c->intercept_cr_write = write;
	svm_changed(svm, CLEAN_INTERCEPTS);
}

/*
 * FERR_FREEZE is not intercepted: a CPU that waits for the interrupt of an x87 error
 * is woken by the host's interrupts.  Task switches are the CPU's own work under
 * nested paging.  An INIT or SMI that ends the run stays pending and is the host's
 * at STGI.
 */
static u32 misc1_intercepts(struct keel_vcpu *vcpu)
{
	u32 bits = ICPT_INTR | ICPT_NMI | ICPT_SMI | ICPT_INIT | ICPT_CR0_SEL_WRITE | ICPT_RDPMC |
		   ICPT_CPUID | ICPT_INVD | ICPT_INVLPGA | ICPT_IOIO | ICPT_MSR | ICPT_SHUTDOWN;

	if (!(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		bits |= ICPT_HLT;
	if (svm_caps.pause_filter && !(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_PAUSE))
		bits |= ICPT_PAUSE;
	return bits;
}

static u32 misc2_intercepts(struct keel_vcpu *vcpu)
{
	u32 bits = ICPT_VMRUN | ICPT_VMMCALL | ICPT_VMLOAD | ICPT_VMSAVE | ICPT_STGI | ICPT_CLGI |
		   ICPT_SKINIT | ICPT_WBINVD | ICPT_XSETBV | ICPT_RDPRU;

	if (!(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_MWAIT))
		bits |= ICPT_MONITOR | ICPT_MWAIT | ICPT_MWAIT_ARMED;
	if (!keel_guest_has(vcpu, X86_FEATURE_RDTSCP))
		bits |= ICPT_RDTSCP;
	return bits;
}

/* Instructions that the guest does not have, on CPUs that do. */
static u32 misc3_intercepts(struct keel_vcpu *vcpu)
{
	u32 bits = ICPT_INVLPGB | ICPT_INVLPGB_ILLEGAL | ICPT_MCOMMIT | ICPT_TLBSYNC;

	if (boot_cpu_has(X86_FEATURE_INVPCID) && !keel_guest_has(vcpu, X86_FEATURE_INVPCID))
		bits |= ICPT_INVPCID;
	return bits;
}

/* Recompute all intercepts but those of windows that events want (event.c). */
static void update_intercepts(struct svm_vcpu *svm)
{
	struct vmcb_control *c = &svm->vmcb->control;
	struct keel_vcpu *vcpu = &svm->vcpu;

	svm_update_cr_intercepts(svm);
	c->intercept_exceptions = keel_exception_exits(vcpu);
	c->intercept_misc1 = (c->intercept_misc1 & (ICPT_VINTR | ICPT_IRET)) |
			     misc1_intercepts(vcpu);
	c->intercept_misc2 = misc2_intercepts(vcpu);
	c->intercept_misc3 = misc3_intercepts(vcpu);
	svm_changed(svm, CLEAN_INTERCEPTS);
}

static void svm_set_intercepts(struct keel_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->use_tsc_aux = svm_caps.tsc_aux && (keel_guest_has(vcpu, X86_FEATURE_RDTSCP) ||
						keel_guest_has(vcpu, X86_FEATURE_RDPID));
	svm_msrpm_update(svm);
	update_intercepts(svm);
}

/* ---- the VMCB's life -------------------------------------------------------------------- */

/* The control area of a vCPU that has not run since; the save area comes by push(). */
static void init_control(struct svm_vcpu *svm)
{
	struct vmcb_control *c = &svm->vmcb->control;

	memset(c, 0, sizeof(*c));
	c->iopm_pa = svm_caps.iopm_pa;
	c->msrpm_pa = __sme_pa(svm->msrpm);
	c->int_ctl = INT_V_MASKING;
	c->np_ctl = NP_ENABLE;
	c->n_cr3 = __sme_set(svm->vcpu.vm->tdp.root_hpa);
	c->tsc_offset = svm->vcpu.tsc.offset;
	if (svm_caps.pause_filter)
		c->pause_count = PAUSE_COUNT;
	if (svm_caps.pause_threshold)
		c->pause_threshold = PAUSE_THRESHOLD;

	c->intercept_dr_read = 0xffff;
	c->intercept_dr_write = 0xffff;
	svm->dr_opened = false;
	svm->asid_gen = 0;
	svm->windows = 0;
	svm->iret_seen = false;
	svm->step = false;
	svm->stepped = false;
	svm->soft = false;
	svm_set_intercepts(&svm->vcpu);
}

/*
 * svm_rebuild(): the VMCB after a shutdown
 *
 * Its contents are undefined then (APM vol. 2, 'Shutdown').  The control area is made
 * anew.  The guest's registers are kept as they are for whoever wants to print them; if
 * they are nonsense and the client enters again all the same, VMRUN refuses them.
 */
void svm_rebuild(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;

	keel_need(vcpu, KEEL_R_ALL);
	init_control(svm);
	keel_dirty(vcpu, KEEL_R_ALL);
}

static int svm_vcpu_create(struct keel_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb = (struct vmcb *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb)
		return -ENOMEM;
	if (svm_msrpm_alloc(svm)) {
		free_page((unsigned long)svm->vmcb);
		return -ENOMEM;
	}
	svm->sw.vmcb_pa = __sme_pa(svm->vmcb);
	svm->asid_cpu = -1;
	init_control(svm);
	return 0;
}

static void svm_vcpu_free(struct keel_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm_msrpm_free(svm);
	free_page((unsigned long)svm->vmcb);
}

static void svm_vcpu_reset(struct keel_vcpu *vcpu, bool init)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	init_control(svm);
	if (!init)
		svm->de_cfg = 0;
	svm_push(vcpu, vcpu->dirty);
	vcpu->dirty = 0;
}

/* The TLB holds guest-virtual to host-physical under the ASID: all of that goes. */
static void svm_flush_tlb(struct keel_vcpu *vcpu, enum keel_flush what)
{
	to_svm(vcpu)->flush = true;
}

/* ---- load and put ----------------------------------------------------------------------- */

static void svm_load(struct keel_vcpu *vcpu, int cpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);

	svm_load_msrs(svm, c);
	svm->sw.host_pa = c->host_pa;
	if (svm->asid_cpu != cpu) {
		/*
		 * This CPU may have cached an older state of the VMCB, and its ASIDs are its
		 * own (APM vol. 2, 'VMCB State Caching', 'Address Space Identifier').
		 */
		svm->asid_cpu = cpu;
		svm->asid_gen = 0;
		svm_changed(svm, CLEAN_ALL);
	}
}

static void svm_put(struct keel_vcpu *vcpu)
{
	svm_put_msrs(this_cpu_ptr(&svm_cpus));
}

/* ---- entry ------------------------------------------------------------------------------ */

/*
 * Where one ASID cannot be flushed alone, the vCPU takes a fresh one instead; its
 * old entries are dead until the pool runs dry, and then all go (APM vol. 2,
 * 'TLB Management').
 */
static void assign_asid(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	struct vmcb_control *c = &svm->vmcb->control;
	bool fresh = svm->asid_gen == cpu->asid_gen;

	c->tlb_control = TLB_CTL_NONE;
	if (likely(fresh && !svm->flush))
		return;
	svm->flush = false;
	if (fresh && svm_caps.flush_by_asid) {
		c->tlb_control = TLB_CTL_FLUSH_ASID;
		return;
	}
	if (cpu->next_asid > cpu->max_asid) {
		cpu->asid_gen++;
		cpu->next_asid = 1;
		c->tlb_control = TLB_CTL_FLUSH_ALL;
	}
	c->asid = cpu->next_asid++;
	svm->asid_gen = cpu->asid_gen;
	/* A new generation may mean that SVM was off: what the CPU has cached is not to be counted on. */
	svm_changed(svm, fresh ? CLEAN_ASID : CLEAN_ALL);
}

/*
 * The entry failed, and nothing says whether the flush that it was to do has been
 * done: a fresh ASID next time, and where it began a generation, another one.
 */
static void void_asid(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	if (svm->vmcb->control.tlb_control == TLB_CTL_FLUSH_ALL)
		cpu->next_asid = cpu->max_asid + 1;
	svm->asid_gen = 0;
}

/* The virtual TPR that the guest's CR8 is. */
static void load_tpr(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	struct vmcb_control *c = &svm->vmcb->control;
	u8 tpr = vcpu->lapic ? keel_lapic_tpr(vcpu) : vcpu->cr8;

	svm->tpr = tpr & 0xf;
	if ((c->int_ctl & INT_V_TPR) == svm->tpr)
		return;
	c->int_ctl = (c->int_ctl & ~INT_V_TPR) | svm->tpr;
	svm_changed(svm, CLEAN_TPR);
}

static void save_tpr(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	u8 tpr = svm->vmcb->control.int_ctl & 0xf;

	if (likely(tpr == svm->tpr))
		return;
	if (vcpu->lapic)
		keel_lapic_set_tpr(vcpu, tpr);
	else
		vcpu->cr8 = tpr;
}

/*
 * Debug registers: all accesses exit, or, for one run of the guest, none does; then its
 * DR6 is in the hardware, too.
 */
static void open_dr(struct svm_vcpu *svm, bool open)
{
	struct vmcb_control *c = &svm->vmcb->control;

	c->intercept_dr_read = open ? 0 : 0xffff;
	c->intercept_dr_write = open ? 0 : 0xffff;
	svm->vmcb->save.dr6 = open ? svm->vcpu.dr6 : DR6_RESERVED;
	svm->dr_opened = open;
	svm_changed(svm, CLEAN_INTERCEPTS | CLEAN_DRX);
}

static void svm_prepare(struct keel_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (unlikely(vcpu->dr_open != svm->dr_opened))
		open_dr(svm, vcpu->dr_open);
	svm_prepare_spec_ctrl(svm);
}

static void before_entry(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;

	if (vcpu->dirty) {
		svm_push(vcpu, vcpu->dirty);
		vcpu->dirty = 0;
	}
	svm->vmcb->save.rax = vcpu->gpr[KEEL_RAX];
	assign_asid(svm, this_cpu_ptr(&svm_cpus));
	load_tpr(svm);
	if (unlikely(vcpu->events.nmi_masked || svm->windows & KEEL_WIN_NMI ||
		     svm->vmcb->control.intercept_misc1 & ICPT_IRET))
		svm_nmi_prepare(svm);
}

static void after_exit(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	struct vmcb *vmcb = svm->vmcb;

	/* VMRUN loaded the guest's DR6, and #VMEXIT leaves it: the host's next #DB would see it. */
	if (unlikely(vmcb->save.dr6 != DR6_RESERVED))
		set_debugreg(DR6_RESERVED, 6);
	/* VMSCAPE: the client's own branches must not follow the guest's training. */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
	if (svm->sw.flags & SWITCH_SPEC_READ)
		vcpu->sysmsr.spec_ctrl = svm->sw.guest_spec;

	if (unlikely(svm->step || svm->iret_seen || svm->stepped))
		svm_nmi_finish(svm);

	vcpu->gpr[KEEL_RAX] = vmcb->save.rax;
	vcpu->gpr[KEEL_RSP] = vmcb->save.rsp;
	vcpu->rip = vmcb->save.rip;
	vcpu->rflags = vmcb->save.rflags;
	vcpu->int_shadow = svm_shadow(vmcb);
	vcpu->avail = KEEL_R_RSP | KEEL_R_RIP | KEEL_R_RFLAGS | KEEL_R_SHADOW;
	if (unlikely(svm->dr_opened))
		keel_dr_take_back(vcpu, vmcb->save.dr6, vmcb->save.dr7);
	if (unlikely(svm->soft))
		svm_finish_soft(svm);
	save_tpr(svm);
	/*
	 * The interrupt's window is open already, and a host's interrupt came first: no need to go
	 * in once more to hear of it.  Bochs would not tell, either, until RFLAGS.IF has changed.
	 */
	if (unlikely(svm->windows & KEEL_WIN_IRQ) && (vcpu->rflags & X86_EFLAGS_IF) &&
	    !vcpu->int_shadow)
		keel_request(vcpu, KEEL_REQ_EVENT);

	if (svm_caps.vmcb_clean)
		vmcb->control.clean = CLEAN_ALL;
	if (unlikely(vmcb->control.exit_code == VMEXIT_EXCP0 + X86_TRAP_MC))
		keel_deliver_machine_check();
}

/*
 * DR0-3 are the guest's or the host's by common code's doing; VMRUN loads DR7 and
 * #VMEXIT leaves it with all breakpoints off.
 */
static void svm_enter(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	int off;

	before_entry(svm);

	keel_guest_context_enter();
	off = svm_switch(vcpu->gpr, &svm->sw);
	keel_guest_context_exit();

	svm->switched = !off;
	if (likely(!off && lower_32_bits(svm->vmcb->control.exit_code) != VMEXIT_INVALID)) {
		after_exit(svm);
	} else {
		/*
		 * The guest has not run.  Emulated CPUs save the host's registers into the VMCB
		 * all the same when VMRUN fails: what is cached here is the guest's, and goes
		 * back; the rest of the guest's is lost there, as hardware.rst says.
		 */
		svm_nmi_cancel(svm);
		void_asid(svm, this_cpu_ptr(&svm_cpus));
		keel_dirty(vcpu, vcpu->avail);
		svm_changed(svm, CLEAN_ALL);
	}
	svm_decode_exit(svm, exit);
}

const struct keel_backend svm_backend = {
	.name		= "svm",
	.vendors	= BIT(X86_VENDOR_AMD) | BIT(X86_VENDOR_HYGON),
	.vm_size	= sizeof(struct svm_vm),
	.vcpu_size	= sizeof(struct svm_vcpu),
	.ident		= svm_ident,
	.hw_setup	= svm_hw_setup,
	.hw_teardown	= svm_hw_teardown,
	.cpu_enable	= svm_cpu_enable,
	.cpu_disable	= svm_cpu_disable,
	.vcpu_create	= svm_vcpu_create,
	.vcpu_free	= svm_vcpu_free,
	.vcpu_reset	= svm_vcpu_reset,
	.load		= svm_load,
	.put		= svm_put,
	.prepare	= svm_prepare,
	.enter		= svm_enter,
	.pull		= svm_pull,
	.inject		= svm_inject,
	.cancel_inject	= svm_cancel_inject,
	.event_allowed	= svm_event_allowed,
	.want_window	= svm_want_window,
	.flush_tlb	= svm_flush_tlb,
	.msr_get	= svm_msr_get,
	.msr_set	= svm_msr_set,
	.set_intercepts	= svm_set_intercepts,
};
