// SPDX-License-Identifier: GPL-2.0-only
/* MSRs: the bitmap, those of VMX's own, and those that the CPU or the VMCS holds for the guest. */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>

#include "../compat.h"
#include "../irqchip/lapic_regs.h"
#include "vmx.h"

/* ---- the bitmap (SDM vol. 3, 'MSR-Bitmap Address') -------------------------------------- */

/* Bit offsets: reads of 0 and up, reads of C0000000h and up, then writes of both. */
#define BITMAP_READ_LOW		0
#define BITMAP_READ_HIGH	0x2000
#define BITMAP_WRITE		0x4000
#define BITMAP_RANGE		0x2000
#define HIGH_MSRS		0xc0000000u

#define X2APIC_MSR(reg)		(0x800 + ((reg) >> 4))

/* These the guest may read and write without an exit, always. */
static const u32 open_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* These it may read; a write exits, so that nothing has to be read back. */
static const u32 readable_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_IA32_CR_PAT,
};

static void msr_bitmap_set(struct vmx_vcpu *vmx, u32 msr, bool read, bool write)
{
	unsigned int bit = msr >= HIGH_MSRS ? BITMAP_READ_HIGH + (msr - HIGH_MSRS) : msr;

	if (WARN_ON_ONCE((msr >= HIGH_MSRS ? msr - HIGH_MSRS : msr) >= BITMAP_RANGE))
		return;
	__assign_bit(bit, vmx->msr_bitmap, !read);
	__assign_bit(bit + BITMAP_WRITE, vmx->msr_bitmap, !write);
}

int vmx_msr_bitmap_alloc(struct vmx_vcpu *vmx)
{
	int i;

	vmx->msr_bitmap = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->msr_bitmap)
		return -ENOMEM;
	memset(vmx->msr_bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(open_msrs); i++)
		msr_bitmap_set(vmx, open_msrs[i], true, true);
	for (i = 0; i < ARRAY_SIZE(readable_msrs); i++)
		msr_bitmap_set(vmx, readable_msrs[i], true, false);
	return 0;
}

void vmx_msr_bitmap_free(struct vmx_vcpu *vmx)
{
	free_page((unsigned long)vmx->msr_bitmap);
}

/*
 * vmx_msr_bitmap_update(): the guest's CPUID, or what it did with SPEC_CTRL, changed
 *
 * An open SPEC_CTRL must be read back at each exit, so it stays closed until the guest makes
 * use of it.
 */
void vmx_msr_bitmap_update(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;
	bool spec = vmx_caps.spec_ctrl && keel_guest_has_spec_ctrl(vcpu);

	vmx->spec_open = spec && (vmx->spec_open || vcpu->sysmsr.spec_ctrl);
	msr_bitmap_set(vmx, MSR_IA32_SPEC_CTRL, vmx->spec_open, vmx->spec_open);
	/* Write-only: a read must give #GP, which the exit does. */
	msr_bitmap_set(vmx, MSR_IA32_PRED_CMD, false, vmx_caps.ibpb && keel_guest_has_ibpb(vcpu));
}

/*
 * vmx_msr_bitmap_x2apic(): what of the local APIC the CPU itself serves from the virtual-APIC
 * page ('Virtualizing MSR-Based APIC Accesses'): TPR, EOI, self-IPI, and what it keeps there
 */
void vmx_msr_bitmap_x2apic(struct vmx_vcpu *vmx, bool on)
{
	u32 msr;

	msr_bitmap_set(vmx, X2APIC_MSR(LAPIC_TPR), on, on);
	msr_bitmap_set(vmx, X2APIC_MSR(LAPIC_PPR), on, false);
	msr_bitmap_set(vmx, X2APIC_MSR(LAPIC_EOI), false, on);
	msr_bitmap_set(vmx, X2APIC_MSR(LAPIC_SELF_IPI), false, on);
	for (msr = X2APIC_MSR(LAPIC_ISR); msr < X2APIC_MSR(LAPIC_ESR); msr++)
		msr_bitmap_set(vmx, msr, on, false);
}

/* ---- MSRs that exit --------------------------------------------------------------------- */

/*
 * Single-stepping of branches.  LBR is dropped, as the records are the host's; an operating
 * system that uses it looks for a PMU first, and there is none.
 */
static int set_debugctl(struct vmx_vcpu *vmx, u64 data)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	if (data & ~(u64)(DEBUGCTLMSR_BTF | DEBUGCTLMSR_LBR))
		return 1;
	keel_need(vcpu, KEEL_R_SYSMSR);
	vcpu->sysmsr.debugctl = data & DEBUGCTLMSR_BTF;
	keel_dirty(vcpu, KEEL_R_SYSMSR);
	return 0;
}

static bool has_umwait(struct keel_vcpu *vcpu, bool host)
{
	return vmx_caps.waitpkg && (host || keel_guest_has(vcpu, X86_FEATURE_WAITPKG));
}

int vmx_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	switch (msr) {
	case MSR_IA32_DEBUGCTLMSR:
		*data = vcpu->sysmsr.debugctl;
		return 0;
	case MSR_IA32_UMWAIT_CONTROL:
		*data = vmx->umwait_control;
		return has_umwait(vcpu, host) ? 0 : 1;
	}
	return -ENOENT;
}

int vmx_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	switch (msr) {
	case MSR_IA32_DEBUGCTLMSR:
		return set_debugctl(vmx, data);
	case MSR_IA32_UMWAIT_CONTROL:
		if (!has_umwait(vcpu, host) ||
		    (data & (MSR_IA32_UMWAIT_CONTROL_RESERVED | ~(u64)U32_MAX)))
			return 1;
		vmx->umwait_control = data;
		if (vcpu->loaded && vmx->use_umwait)
			wrmsrl(MSR_IA32_UMWAIT_CONTROL, data);
		return 0;
	}
	return -ENOENT;
}

/*
 * vmx_prepare_spec_ctrl(): before entries, interrupts off
 *
 * SPEC_CTRL: the switch writes it where the guest's differs, and reads it back where the guest
 * may have written it.  With IBRS that is not enhanced, the host's must be written after each
 * exit: a bit that was set before does not hold off what the guest trained.
 */
void vmx_prepare_spec_ctrl(struct vmx_vcpu *vmx)
{
	struct vmx_switch *sw = &vmx->sw;

	sw->flags &= SWITCH_LAUNCHED;
	if (!vmx_caps.spec_ctrl)
		return;
	sw->guest_spec = vmx->vcpu.sysmsr.spec_ctrl;
	sw->host_spec = spec_ctrl_current();
	if (vmx->spec_open)
		sw->flags |= SWITCH_SPEC_SWAP | SWITCH_SPEC_READ;
	else if (sw->guest_spec != sw->host_spec || cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS))
		sw->flags |= SWITCH_SPEC_SWAP;
}

static bool has_tsc_aux(void)
{
	return boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
}

/* ---- group KEEL_R_SYSMSR ---------------------------------------------------------------- */

/*
 * The VMCS is current; the section may have ended.  What exits when it is written is in
 * vcpu->sysmsr at all times.
 */
void vmx_pull_sysmsr(struct vmx_vcpu *vmx)
{
	struct keel_sysmsr *m = &vmx->vcpu.sysmsr;

	m->sysenter_cs = vmcs_read(GUEST_SYSENTER_CS);
	m->sysenter_esp = vmcs_read(GUEST_SYSENTER_ESP);
	m->sysenter_eip = vmcs_read(GUEST_SYSENTER_EIP);
	if (vmx->vcpu.loaded)
		rdmsrl(MSR_KERNEL_GS_BASE, m->kernel_gs_base);
}

/* Writing takes longer than looking. */
static __always_inline void switch_msr(u32 msr, u64 from, u64 to)
{
	if (from != to)
		keel_wrmsr(msr, to);
}

/* The host's go, the guest's come. */
static void load_syscall_msrs(struct vmx_vcpu *vmx, const struct vmx_syscall_msrs *host)
{
	const struct keel_sysmsr *m = &vmx->vcpu.sysmsr;

	switch_msr(MSR_STAR, host->star, m->star);
	switch_msr(MSR_LSTAR, host->lstar, m->lstar);
	switch_msr(MSR_CSTAR, host->cstar, m->cstar);
	switch_msr(MSR_SYSCALL_MASK, host->sfmask, m->sfmask);
	if (vmx->use_tsc_aux)
		switch_msr(MSR_TSC_AUX, host->tsc_aux, m->tsc_aux);
}

static void put_syscall_msrs(struct vmx_vcpu *vmx, const struct vmx_syscall_msrs *host)
{
	const struct keel_sysmsr *m = &vmx->vcpu.sysmsr;

	switch_msr(MSR_STAR, m->star, host->star);
	switch_msr(MSR_LSTAR, m->lstar, host->lstar);
	switch_msr(MSR_CSTAR, m->cstar, host->cstar);
	switch_msr(MSR_SYSCALL_MASK, m->sfmask, host->sfmask);
	if (vmx->use_tsc_aux)
		switch_msr(MSR_TSC_AUX, m->tsc_aux, host->tsc_aux);
}

/* From the values of some guest, which are known no more. */
static noinline void write_syscall_msrs(const struct vmx_syscall_msrs *host)
{
	keel_wrmsr(MSR_STAR, host->star);
	keel_wrmsr(MSR_LSTAR, host->lstar);
	keel_wrmsr(MSR_CSTAR, host->cstar);
	keel_wrmsr(MSR_SYSCALL_MASK, host->sfmask);
	if (has_tsc_aux())
		keel_wrmsr(MSR_TSC_AUX, host->tsc_aux);
}

void vmx_push_sysmsr(struct vmx_vcpu *vmx)
{
	const struct keel_sysmsr *m = &vmx->vcpu.sysmsr;
	const struct vmx_syscall_msrs *host;

	vmcs_write(GUEST_SYSENTER_CS, m->sysenter_cs);
	vmcs_write(GUEST_SYSENTER_ESP, m->sysenter_esp);
	vmcs_write(GUEST_SYSENTER_EIP, m->sysenter_eip);
	vmcs_write(GUEST_IA32_PAT, m->pat);
	vmcs_write(GUEST_IA32_DEBUGCTL, m->debugctl | vmx->host_freeze);
	if (m->spec_ctrl && !vmx->spec_open)
		vmx_msr_bitmap_update(vmx);
	vmx_prepare_spec_ctrl(vmx);
	if (!vmx->vcpu.loaded)
		return;
	keel_wrmsr(MSR_KERNEL_GS_BASE, m->kernel_gs_base);
	host = &this_cpu_ptr(&vmx_cpus)->host;
	write_syscall_msrs(host);
	load_syscall_msrs(vmx, host);
}

/* ---- sections --------------------------------------------------------------------------- */

/* vmx_read_host_msrs(): what this CPU has them at, once and for all */
void vmx_read_host_msrs(struct vmx_cpu *cpu)
{
	struct vmx_syscall_msrs *host = &cpu->host;

	rdmsrl(MSR_STAR, host->star);
	rdmsrl(MSR_LSTAR, host->lstar);
	rdmsrl(MSR_CSTAR, host->cstar);
	rdmsrl(MSR_SYSCALL_MASK, host->sfmask);
	host->tsc_aux = 0;
	if (has_tsc_aux())
		rdmsrl(MSR_TSC_AUX, host->tsc_aux);
}

/*
 * vmx_load_msrs(): MSRs that VM entry does not load, after vmx_load_host_state()
 *
 * The kernel itself uses none of them before it goes to user mode, and the MSR-load areas of
 * the VMCS would do it at each entry and exit.
 */
void vmx_load_msrs(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	keel_wrmsr(MSR_KERNEL_GS_BASE, vmx->vcpu.sysmsr.kernel_gs_base);
	load_syscall_msrs(vmx, &cpu->host);
	if (unlikely(vmx->use_umwait)) {
		cpu->umwait = native_read_msr(MSR_IA32_UMWAIT_CONTROL);
		wrmsrl(MSR_IA32_UMWAIT_CONTROL, vmx->umwait_control);
	}
}

/* vmx_put_msrs(): before vmx_put_host_state(), which has the user's KERNEL_GS_BASE */
void vmx_put_msrs(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	if (likely(!(vmx->vcpu.dirty & KEEL_R_SYSMSR))) {
		/* With SWAPGS the guest changes it without an exit. */
		vmx->vcpu.sysmsr.kernel_gs_base = keel_rdmsr(MSR_KERNEL_GS_BASE);
		put_syscall_msrs(vmx, &cpu->host);
	} else {
		/* Newer values wait for an entry. */
		write_syscall_msrs(&cpu->host);
	}
	/* If it is another one, the host has changed its own meanwhile, by an interrupt. */
	if (unlikely(vmx->use_umwait) &&
	    native_read_msr(MSR_IA32_UMWAIT_CONTROL) == vmx->umwait_control)
		wrmsrl(MSR_IA32_UMWAIT_CONTROL, cpu->umwait);
}
