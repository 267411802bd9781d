// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's state around a guest: what a VM exit loads from the VMCS, and what it leaves
 * to software (SDM vol. 3, 'Host-State Area', 'Loading Host State').
 *
 * A VM exit sets the limits of GDTR, IDTR and TR to their largest, or in TR's case least,
 * value, empties LDTR, and loads selectors that must be of the GDT and of privilege 0.
 */
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <asm/cpu_entry_area.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/segment.h>
#include <asm/special_insns.h>

#include "../compat.h"
#include "vmx.h"

/* ---- fields that are the same for every thread ------------------------------------------ */

/*
 * vmx_init_host_state(): the fields for the CPU that this runs on; the VMCS is current
 *
 * Also after it has moved to another CPU.
 */
void vmx_init_host_state(struct vmx_vcpu *vmx)
{
	int cpu = smp_processor_id();
	struct desc_ptr dt;
	u64 value;

	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	native_store_gdt(&dt);
	vmcs_write(HOST_GDTR_BASE, dt.address);
	store_idt(&dt);
	vmcs_write(HOST_IDTR_BASE, dt.address);
	rdmsrl(MSR_GS_BASE, value);
	vmcs_write(HOST_GS_BASE, value);
	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmcs_write(HOST_IA32_SYSENTER_CS, value);
	rdmsrl(MSR_IA32_SYSENTER_ESP, value);
	vmcs_write(HOST_IA32_SYSENTER_ESP, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmcs_write(HOST_IA32_SYSENTER_EIP, value);
	rdmsrl(MSR_EFER, value);
	vmcs_write(HOST_IA32_EFER, value);
	rdmsrl(MSR_IA32_CR_PAT, value);
	vmcs_write(HOST_IA32_PAT, value);
	vmcs_write(HOST_RIP, (unsigned long)vmx_exit_point);

	/* What the next entry finds different, it writes. */
	vmx->sw.host_rsp = 0;
	vmx->host = (struct vmx_host_state) {};
	vmcs_write(HOST_CR3, 0);
	vmcs_write(HOST_CR4, 0);
	vmcs_write(HOST_FS_BASE, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
}

/* ---- the thread's ----------------------------------------------------------------------- */

/* A selector that may stand in the VMCS: of the GDT, privilege 0; others are put back by hand. */
static u16 loadable(u16 selector)
{
	return selector & 7 ? 0 : selector;
}

/*
 * vmx_load_host_state(): begin a section
 *
 * The thread's FS and GS are as user mode has them, except that GS's base is the kernel's and
 * the user's is in KERNEL_GS_BASE.  64-bit programs have null selectors, and then the bases
 * are all there is.
 */
void vmx_load_host_state(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	struct vmx_host_state *host = &vmx->host;
	unsigned long fs_base;

	native_store_gdt(&cpu->gdt);
	savesegment(fs, cpu->fs);
	savesegment(gs, cpu->gs);
	savesegment(ds, cpu->ds);
	savesegment(es, cpu->es);
	cpu->ldt = 0;
	fs_base = x86_fsbase_read_cpu();
	cpu->kernel_gs_base = keel_rdmsr(MSR_KERNEL_GS_BASE);

	if (unlikely(host->fs != loadable(cpu->fs))) {
		host->fs = loadable(cpu->fs);
		vmcs_write(HOST_FS_SELECTOR, host->fs);
	}
	if (unlikely(host->gs != loadable(cpu->gs))) {
		host->gs = loadable(cpu->gs);
		vmcs_write(HOST_GS_SELECTOR, host->gs);
	}
	if (host->fs_base != fs_base) {
		host->fs_base = fs_base;
		vmcs_write(HOST_FS_BASE, fs_base);
	}
}

/* Selectors that the VMCS could not hold; loading one loads its base as well. */
static void reload_segments(const struct vmx_cpu *cpu, unsigned long fs_base)
{
	if (cpu->ds | cpu->es) {
		loadsegment(ds, cpu->ds);
		loadsegment(es, cpu->es);
	}
	if (cpu->fs & 7) {
		loadsegment(fs, cpu->fs);
		wrmsrl(MSR_FS_BASE, fs_base);
	}
	if (cpu->gs & 7) {
		unsigned long flags;

		/*
		 * The loading swaps KERNEL_GS_BASE in, by which an NMI then tells whose GS base
		 * it meets: it must be the user's already, not the guest's.
		 */
		local_irq_save(flags);
		wrmsrl(MSR_KERNEL_GS_BASE, cpu->kernel_gs_base);
		load_gs_index(cpu->gs);
		local_irq_restore(flags);
	}
}

/*
 * vmx_put_host_state(): end a section
 *
 * KERNEL_GS_BASE is written after the selectors, whose loading changes it.  The IDT's limit
 * stays at its largest: a vector has 8 bits, so nothing can look behind the table's end.
 */
void vmx_put_host_state(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	if (unlikely(cpu->ldt))
		asm volatile("lldt %0" : : "m" (cpu->ldt));
	if (unlikely(cpu->ds | cpu->es | (cpu->fs & 7) | (cpu->gs & 7)))
		reload_segments(cpu, vmx->host.fs_base);
	/* The TSS's limit decides about port accesses of user mode (the I/O bitmap). */
	invalidate_tss_limit();
	keel_wrmsr(MSR_KERNEL_GS_BASE, cpu->kernel_gs_base);
	native_load_gdt(&cpu->gdt);
}

/*
 * vmx_update_host_state(): interrupts off, before entries: what may have changed while they were on
 *
 * CR3: the mm's generation of PCIDs moves on; CR4: others change bits of it by IPI.  LDTR: the
 * exit empties it, and another thread may give the process an LDT, by IPI as well.
 */
void vmx_update_host_state(struct vmx_vcpu *vmx)
{
	struct vmx_host_state *host = &vmx->host;
	unsigned long cr3 = __read_cr3(), cr4 = native_read_cr4();
	u16 ldt;

	store_ldt(ldt);
	if (unlikely(ldt))
		this_cpu_write(vmx_cpus.ldt, ldt);

	if (unlikely(host->cr3 != cr3)) {
		host->cr3 = cr3;
		vmcs_write(HOST_CR3, cr3);
	}
	if (unlikely(host->cr4 != cr4)) {
		host->cr4 = cr4;
		vmcs_write(HOST_CR4, cr4);
	}
}

/* ---- performance monitoring ------------------------------------------------------------- */

/*
 * vmx_stop_host_perf(): before entries, interrupts off
 *
 * VM entry loads DEBUGCTL, and the exit clears it: branch records and traces of the host stop,
 * and go on after the last of them.  Records of PEBS go to a linear address, which in the guest is the guest's:
 * they must not be made there (SDM vol. 3, 'Debug Store (DS) Mechanism', 'Processor Event Based
 * Sampling').  Other counters count on in the guest, and stop for its SMIs if for the host's.
 */
void vmx_stop_host_perf(struct vmx_vcpu *vmx)
{
	struct vmx_host_perf *perf = &vmx->perf;
	u64 freeze;

	perf->debugctl = vmx_caps.debugctl ? keel_rdmsr(MSR_IA32_DEBUGCTLMSR) : 0;
	freeze = perf->debugctl & DEBUGCTLMSR_FREEZE_IN_SMM;
	if (unlikely(freeze != vmx->host_freeze)) {
		vmx->host_freeze = freeze;
		vmcs_write(GUEST_IA32_DEBUGCTL, vmx->vcpu.sysmsr.debugctl | freeze);
	}
	perf->pebs = 0;
	if (!vmx_caps.pebs)
		return;
	perf->pebs = keel_rdmsr(MSR_IA32_PEBS_ENABLE);
	if (unlikely(perf->pebs)) {
		wrmsrl(MSR_IA32_PEBS_ENABLE, 0);
		vmx->stale |= STALE_PEBS;
	}
}

/* vmx_resume_host_perf(): undo it; by itself before an NMI of a counter is served */
void vmx_resume_host_perf(struct vmx_vcpu *vmx)
{
	struct vmx_host_perf *perf = &vmx->perf;

	/* Once: what an NMI's handler changes after that stays. */
	if (unlikely(perf->debugctl)) {
		wrmsrl(MSR_IA32_DEBUGCTLMSR, perf->debugctl);
		perf->debugctl = 0;
	}
	if (unlikely(perf->pebs)) {
		wrmsrl(MSR_IA32_PEBS_ENABLE, perf->pebs);
		perf->pebs = 0;
		vmx->stale &= ~STALE_PEBS;
	}
}

/* ---- the L1 data cache ------------------------------------------------------------------ */

#define L1D_FILL_ORDER	4	/* twice the largest L1 data cache of an affected CPU */

static void *l1d_fill;

/* Without the command to flush it, the cache is filled with something else. */
int vmx_l1d_flush_setup(void)
{
	if (!vmx_caps.l1d_flush || boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		return 0;
	l1d_fill = (void *)__get_free_pages(GFP_KERNEL, L1D_FILL_ORDER);
	if (!l1d_fill)
		return -ENOMEM;
	/* Not one zero page that many translations share, and no page that is merged. */
	memset(l1d_fill, 0xcc, PAGE_SIZE << L1D_FILL_ORDER);
	return 0;
}

void vmx_l1d_flush_free(void)
{
	free_pages((unsigned long)l1d_fill, L1D_FILL_ORDER);
	l1d_fill = NULL;
}

/* Intel, 'L1 Terminal Fault', 'L1D Flush': each page is walked first, so that no walk comes between. */
void vmx_l1d_flush(void)
{
	unsigned long off;

	if (!l1d_fill) {
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
		return;
	}
	for (off = 0; off < PAGE_SIZE << L1D_FILL_ORDER; off += PAGE_SIZE)
		READ_ONCE(*(u8 *)(l1d_fill + off));
	/* Serialises: the loads above are done. */
	cpuid_eax(0);
	for (off = 0; off < PAGE_SIZE << L1D_FILL_ORDER; off += 64)
		READ_ONCE(*(u8 *)(l1d_fill + off));
	asm volatile("lfence" : : : "memory");
}
