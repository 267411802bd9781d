// SPDX-License-Identifier: GPL-2.0-only
/* MSRs: the permission map, those of SVM's own, and those that live in the VMCB. */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>

#include "svm.h"

/* ---- the permission map (APM vol. 2, 'MSR Intercepts') --------------------------------- */

#define MSRPM_BYTES		(PAGE_SIZE << SVM_MSRPM_ORDER)
#define MSRPM_RANGE_BYTES	0x800
#define MSRPM_RANGE_MSRS	0x2000

/* Two bits for each MSR, read and write; three ranges of them. */
static const u32 msrpm_bases[] = { 0, 0xc0000000, 0xc0010000 };

/* These the guest may read and write without an exit, always. */
static const u32 open_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* The number of the MSR's read bit, or -1; the write bit is the next. */
static int msrpm_bit(u32 msr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(msrpm_bases); i++) {
		if (msr - msrpm_bases[i] < MSRPM_RANGE_MSRS)
			return i * MSRPM_RANGE_BYTES * 8 + (msr - msrpm_bases[i]) * 2;
	}
	return -1;
}

static void msrpm_set(struct svm_vcpu *svm, u32 msr, bool read, bool write)
{
	int bit = msrpm_bit(msr);

	if (WARN_ON_ONCE(bit < 0))
		return;
	__assign_bit(bit, svm->msrpm, !read);
	__assign_bit(bit + 1, svm->msrpm, !write);
	svm_changed(svm, CLEAN_IOPM);
}

int svm_msrpm_alloc(struct svm_vcpu *svm)
{
	int i;

	svm->msrpm = (void *)__get_free_pages(GFP_KERNEL_ACCOUNT, SVM_MSRPM_ORDER);
	if (!svm->msrpm)
		return -ENOMEM;
	memset(svm->msrpm, 0xff, MSRPM_BYTES);
	for (i = 0; i < ARRAY_SIZE(open_msrs); i++)
		msrpm_set(svm, open_msrs[i], true, true);
	return 0;
}

void svm_msrpm_free(struct svm_vcpu *svm)
{
	free_pages((unsigned long)svm->msrpm, SVM_MSRPM_ORDER);
}

/*
 * svm_msrpm_update(): the guest's CPUID, or what it did with SPEC_CTRL, changed
 *
 * Without V_SPEC_CTRL an open SPEC_CTRL must be read back at each exit, so it stays
 * closed until the guest makes use of it.
 */
void svm_msrpm_update(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	bool spec = svm_caps.spec_ctrl && keel_guest_has_spec_ctrl(vcpu);

	svm->spec_open = spec && (svm_caps.v_spec_ctrl || svm->spec_open ||
				  vcpu->sysmsr.spec_ctrl);
	msrpm_set(svm, MSR_IA32_SPEC_CTRL, svm->spec_open, svm->spec_open);
	/* Write-only: a read must give #GP, which the exit does. */
	msrpm_set(svm, MSR_IA32_PRED_CMD, false, svm_caps.ibpb && keel_guest_has_ibpb(vcpu));
}

/* ---- MSRs that exit --------------------------------------------------------------------- */

/* Last-branch records and single-stepping of branches, where the CPU switches them itself. */
static int set_debugctl(struct svm_vcpu *svm, u64 data)
{
	struct keel_vcpu *vcpu = &svm->vcpu;

	if (data & ~(svm_caps.lbrv ? DEBUGCTLMSR_LBR | DEBUGCTLMSR_BTF : 0))
		return 1;
	keel_need(vcpu, KEEL_R_SYSMSR);
	vcpu->sysmsr.debugctl = data;
	keel_dirty(vcpu, KEEL_R_SYSMSR);
	return 0;
}

/* Whether LFENCE serialises: a guest may say what it is, not change it. */
static u64 de_cfg_bits(void)
{
	return boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
}

int svm_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_save *save = &svm->vmcb->save;

	switch (msr) {
	case MSR_IA32_DEBUGCTLMSR:
		keel_need(vcpu, KEEL_R_SYSMSR);
		*data = vcpu->sysmsr.debugctl;
		return 0;
	case MSR_IA32_LASTBRANCHFROMIP:
		*data = save->br_from;
		return 0;
	case MSR_IA32_LASTBRANCHTOIP:
		*data = save->br_to;
		return 0;
	case MSR_IA32_LASTINTFROMIP:
		*data = save->last_excp_from;
		return 0;
	case MSR_IA32_LASTINTTOIP:
		*data = save->last_excp_to;
		return 0;
	case MSR_AMD64_DE_CFG:
		*data = svm->de_cfg;
		return 0;
	}
	return -ENOENT;
}

int svm_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	switch (msr) {
	case MSR_IA32_DEBUGCTLMSR:
		return set_debugctl(svm, data);
	case MSR_AMD64_DE_CFG:
		if (data & ~de_cfg_bits())
			return 1;
		/* Kept for the guest to read; the CPU does what the host has chosen. */
		svm->de_cfg = data;
		return 0;
	}
	return -ENOENT;
}

/* ---- group KEEL_R_SYSMSR ---------------------------------------------------------------- */

void svm_pull_sysmsr(struct svm_vcpu *svm)
{
	const struct vmcb_save *save = &svm->vmcb->save;
	struct keel_sysmsr *m = &svm->vcpu.sysmsr;

	m->star = save->star;
	m->lstar = save->lstar;
	m->cstar = save->cstar;
	m->sfmask = save->sfmask;
	m->kernel_gs_base = save->kernel_gs_base;
	m->sysenter_cs = save->sysenter_cs;
	m->sysenter_esp = save->sysenter_esp;
	m->sysenter_eip = save->sysenter_eip;
	m->pat = save->g_pat;
	if (svm_caps.v_spec_ctrl)
		m->spec_ctrl = save->spec_ctrl;
	/* BTF goes by itself with each #DB. */
	if (svm->vmcb->control.lbr_ctl & LBR_ENABLE)
		m->debugctl = save->dbgctl;
}

static void write_tsc_aux(struct svm_cpu *cpu, u32 aux)
{
	if (cpu->tsc_aux == aux)
		return;
	wrmsr(MSR_TSC_AUX, aux, 0);
	cpu->tsc_aux = aux;
}

/*
 * svm_prepare_spec_ctrl(): before entries, interrupts off
 *
 * SPEC_CTRL: with V_SPEC_CTRL the CPU adds the guest's to the host's by itself.
 * Otherwise the switch writes it where it differs, and reads it back where the
 * guest may have written it.  SSBD that the host sets for a thread through LS_CFG or
 * VIRT_SPEC_CTRL stays on in the guest, which does not know those MSRs: slower, safe.
 */
void svm_prepare_spec_ctrl(struct svm_vcpu *svm)
{
	struct svm_switch *sw = &svm->sw;

	sw->flags = 0;
	if (!svm_caps.spec_ctrl || svm_caps.v_spec_ctrl)
		return;
	sw->guest_spec = svm->vcpu.sysmsr.spec_ctrl;
	sw->host_spec = spec_ctrl_current();
	if (svm->spec_open)
		sw->flags = SWITCH_SPEC_SWAP | SWITCH_SPEC_READ;
	else if (sw->guest_spec != sw->host_spec)
		sw->flags = SWITCH_SPEC_SWAP;
}

void svm_push_sysmsr(struct svm_vcpu *svm)
{
	struct vmcb_save *save = &svm->vmcb->save;
	const struct keel_sysmsr *m = &svm->vcpu.sysmsr;

	save->star = m->star;
	save->lstar = m->lstar;
	save->cstar = m->cstar;
	save->sfmask = m->sfmask;
	save->kernel_gs_base = m->kernel_gs_base;
	save->sysenter_cs = m->sysenter_cs;
	save->sysenter_esp = m->sysenter_esp;
	save->sysenter_eip = m->sysenter_eip;
	if (save->g_pat != m->pat) {
		save->g_pat = m->pat;
		svm_changed(svm, CLEAN_NP);
	}
	/* With V_SPEC_CTRL the CPU ORs this with the host's for as long as the guest runs. */
	if (svm_caps.v_spec_ctrl)
		save->spec_ctrl = m->spec_ctrl;
	if (m->spec_ctrl && !svm->spec_open)
		svm_msrpm_update(svm);
	svm_prepare_spec_ctrl(svm);
	if (svm_caps.lbrv) {
		save->dbgctl = m->debugctl;
		svm->vmcb->control.lbr_ctl = m->debugctl ? LBR_ENABLE : 0;
		svm_changed(svm, CLEAN_LBR);
	}
	if (svm->vcpu.loaded && svm->use_tsc_aux)
		write_tsc_aux(this_cpu_ptr(&svm_cpus), m->tsc_aux);
}

/*
 * svm_load_msrs(): MSRs that neither VMRUN nor VMLOAD moves
 *
 * TSC_AUX is read by user mode only (RDTSCP, RDPID; the kernel avoids it because of
 * hypervisors), so the guest's may stay until put().  The TSC ratio works in guest
 * mode alone and is never put back.
 */
void svm_load_msrs(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	u64 ratio = svm->vcpu.tsc.ratio ?: SVM_TSC_RATIO_ONE;

	if (svm->use_tsc_aux)
		write_tsc_aux(cpu, svm->vcpu.sysmsr.tsc_aux);
	if (svm_caps.tsc_ratio && cpu->tsc_ratio != ratio) {
		wrmsrl(MSR_AMD64_TSC_RATIO, ratio);
		cpu->tsc_ratio = ratio;
	}
}

void svm_put_msrs(struct svm_cpu *cpu)
{
	if (svm_caps.tsc_aux)
		write_tsc_aux(cpu, cpu->host_tsc_aux);
}
