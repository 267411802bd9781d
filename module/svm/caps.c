// SPDX-License-Identifier: GPL-2.0-only
/* What the CPU can do, and turning SVM on and off on one CPU. */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/topology.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "svm.h"

#define CPUID_SVM_LEAF		0x8000000a
#define CPUID_SVM_NPT		BIT(0)	/* EDX */
#define CPUID_SVM_BIT		BIT(2)	/* 8000_0001h ECX */
#define VM_CR_SVMDIS		BIT_ULL(4)
#define IOPM_ORDER		2	/* three pages and a bit */

struct svm_caps svm_caps __ro_after_init;
DEFINE_PER_CPU(struct svm_cpu, svm_cpus);
static void *iopm;

/*
 * Features that a guest cannot get: no nested virtualisation and what belongs to it,
 * state that nobody switches (indirect branch tracking, lightweight profiling, performance
 * counters of AMD's own), SSBD through MSRs of old, and system registers in user mode.
 */
static const s16 hidden[] = {
	X86_FEATURE_SVM, X86_FEATURE_SKINIT, X86_FEATURE_OSVW, X86_FEATURE_IBS,
	X86_FEATURE_LWP, X86_FEATURE_PERFCTR_CORE, X86_FEATURE_PERFCTR_NB,
	X86_FEATURE_PERFCTR_LLC, X86_FEATURE_MWAITX, X86_FEATURE_VIRT_SSBD,
	X86_FEATURE_LS_CFG_SSBD, X86_FEATURE_RDPRU, X86_FEATURE_IBT, X86_FEATURE_WAITPKG,
	-1,
};

static bool cpu_has_svm(void)
{
	return cpuid_eax(0x80000000) >= CPUID_SVM_LEAF &&
	       (cpuid_ecx(0x80000001) & CPUID_SVM_BIT);
}

/*
 * svm_ident(): NULL, or what keeps this CPU from running guests
 *
 * APM vol. 2, 'Enabling SVM': CPUID, and VM_CR.SVMDIS, which the firmware may have
 * set and locked.
 */
const char *svm_ident(void)
{
	u64 vm_cr;

	if (!cpu_has_svm())
		return "this CPU has no SVM (AMD-V): CPUID 80000001h ECX bit 2 is 0";
	if (!rdmsrl_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS))
		return "SVM (AMD-V) is disabled by the firmware: turn it on in its setup (VM_CR.SVMDIS is 1)";
	if (!(cpuid_edx(CPUID_SVM_LEAF) & CPUID_SVM_NPT))
		return "this CPU has no nested paging (NPT): CPUID 8000000Ah EDX bit 0 is 0";
	if (cpuid_ebx(CPUID_SVM_LEAF) < 2)
		return "this CPU has no address space identifier for guests: CPUID 8000000Ah EBX is below 2";
	/* Guests could stop the machine by mapping one page at two sizes. */
	if (boot_cpu_has_bug(X86_BUG_AMD_TLB_MMATCH))
		return "this CPU has erratum 383, which keel has no workaround for";
	return NULL;
}

static void find_caps(void)
{
	svm_caps.nrips = boot_cpu_has(X86_FEATURE_NRIPS);
	svm_caps.decode_assists = boot_cpu_has(X86_FEATURE_DECODEASSISTS);
	svm_caps.flush_by_asid = boot_cpu_has(X86_FEATURE_FLUSHBYASID);
	svm_caps.vmcb_clean = boot_cpu_has(X86_FEATURE_VMCBCLEAN);
	svm_caps.pause_filter = boot_cpu_has(X86_FEATURE_PAUSEFILTER);
	svm_caps.pause_threshold = boot_cpu_has(X86_FEATURE_PFTHRESHOLD);
	svm_caps.tsc_ratio = boot_cpu_has(X86_FEATURE_TSCRATEMSR);
	svm_caps.lbrv = boot_cpu_has(X86_FEATURE_LBRV);
	svm_caps.v_spec_ctrl = boot_cpu_has(X86_FEATURE_V_SPEC_CTRL);
	svm_caps.spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	svm_caps.ibpb = boot_cpu_has(X86_FEATURE_IBPB);
	svm_caps.tsc_aux = boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
}

static void free_cpu_pages(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);

		free_page((unsigned long)c->hsave);
		free_page((unsigned long)c->host);
		c->hsave = NULL;
		c->host = NULL;
	}
}

static void *alloc_node_page(int cpu)
{
	struct page *page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);

	return page ? page_address(page) : NULL;
}

static int alloc_cpu_pages(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);

		c->hsave = alloc_node_page(cpu);
		c->host = alloc_node_page(cpu);
		if (!c->hsave || !c->host) {
			free_cpu_pages();
			return -ENOMEM;
		}
		c->host_pa = __sme_pa(c->host);
	}
	return 0;
}

/*
 * svm_hw_setup(): read the capabilities and allocate what lasts
 *
 * One I/O permission map for all guests: every port exits (APM vol. 2, 'IOIO
 * Intercepts').
 */
int svm_hw_setup(struct keel_caps *caps)
{
	int ret;

	iopm = (void *)__get_free_pages(GFP_KERNEL, IOPM_ORDER);
	if (!iopm)
		return -ENOMEM;
	memset(iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
	ret = alloc_cpu_pages();
	if (ret) {
		free_pages((unsigned long)iopm, IOPM_ORDER);
		return ret;
	}

	find_caps();
	svm_caps.iopm_pa = __sme_pa(iopm);

	caps->tdp = svm_npt_setup();
	caps->tdp_levels = caps->tdp->levels;
	caps->tdp_1g = boot_cpu_has(X86_FEATURE_GBPAGES);
	caps->tsc_scaling = svm_caps.tsc_ratio;
	caps->tsc_frac_bits = 32;
	caps->max_tsc_ratio = GENMASK_ULL(39, 0);
	caps->hidden = hidden;
	return 0;
}

void svm_hw_teardown(void)
{
	free_cpu_pages();
	free_pages((unsigned long)iopm, IOPM_ORDER);
}

static void start_asids(struct svm_cpu *cpu)
{
	/*
	 * A new generation voids what vCPUs hold from before, and with the pool
	 * empty the first entry flushes: the TLB may have entries of somebody who
	 * had SVM before (APM vol. 2, 'TLB Control').
	 */
	cpu->asid_gen++;
	cpu->max_asid = cpuid_ebx(CPUID_SVM_LEAF) - 1;
	cpu->next_asid = cpu->max_asid + 1;
}

/*
 * svm_cpu_enable(): turn SVM on, on this CPU
 *
 * Interrupts off.  Return: 0; -EBUSY if somebody else has it on; -EIO if the CPU
 * refuses (firmware, or a hypervisor below that lets it be seen but not used).
 */
int svm_cpu_enable(void)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return cpu->on ? 0 : -EBUSY;
	/* CPUs of one machine may differ, or the firmware has forgotten one. */
	if (!cpu_has_svm() || wrmsrl_safe(MSR_EFER, efer | EFER_SVME))
		return -EIO;

	wrmsrl(MSR_VM_HSAVE_PA, __sme_pa(cpu->hsave));
	start_asids(cpu);
	if (svm_caps.tsc_ratio) {
		wrmsrl(MSR_AMD64_TSC_RATIO, SVM_TSC_RATIO_ONE);
		cpu->tsc_ratio = SVM_TSC_RATIO_ONE;
	}
	if (svm_caps.tsc_aux) {
		u64 aux;

		rdmsrl(MSR_TSC_AUX, aux);
		cpu->host_tsc_aux = aux;
		cpu->tsc_aux = aux;
	}
	cpu->on = true;
	return 0;
}

/* STGI; nothing if SVM is off already (#UD): GIF is 1 then. */
static void force_gif(void)
{
	asm volatile("1: stgi\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "memory");
}

/*
 * svm_cpu_disable(): turn SVM off, on this CPU
 *
 * Interrupts off; from anywhere, NMIs and panics included, and any number of times.
 * GIF must be 1 before SVME goes: with it 0 the CPU would never again take an NMI or
 * an INIT, and STGI is no instruction any more (APM vol. 2, 'Global Interrupt Flag').
 * VM_HSAVE_PA is cleared so that a kernel started by kexec does not find its memory
 * written to by this one's leftovers.
 */
void svm_cpu_disable(void)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	u64 efer;

	if (!cpu->on)
		return;
	cpu->on = false;

	rdmsrl(MSR_EFER, efer);
	if (!(efer & EFER_SVME))
		return;
	force_gif();
	if (svm_caps.tsc_ratio)
		wrmsrl_safe(MSR_AMD64_TSC_RATIO, SVM_TSC_RATIO_ONE);
	wrmsrl_safe(MSR_VM_HSAVE_PA, 0);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}
