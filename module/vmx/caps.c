// SPDX-License-Identifier: GPL-2.0-only
/* What the CPU can do, and turning VMX on and off on one CPU. */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/topology.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/processor.h>
#include <asm/tlbflush.h>

#include "../compat.h"
#include "vmx.h"

#define VMX_BASIC_TRUE_CTLS_BIT	BIT_ULL(55)
#define VMX_BASIC_TYPE(basic)	((basic) >> 50 & 0xf)
#define VMX_BASIC_TYPE_WB	6

struct vmx_caps vmx_caps __ro_after_init;
DEFINE_PER_CPU(struct vmx_cpu, vmx_cpus);

static bool use_apicv = true;
module_param_named(apicv, use_apicv, bool, 0444);
MODULE_PARM_DESC(apicv, "Intel: let the CPU deliver the local APIC's interrupts, where it can (default on)");

static bool use_preempt_timer = true;
module_param_named(preemption_timer, use_preempt_timer, bool, 0444);
MODULE_PARM_DESC(preemption_timer, "Intel: serve TSC deadlines by the VMX-preemption timer, where it is (default on)");

static int use_l1d_flush = -1;
module_param_named(l1d_flush, use_l1d_flush, int, 0444);
MODULE_PARM_DESC(l1d_flush, "Intel: flush the L1 data cache before guests run: 2 always, 1 after what may need it, 0 never, -1 as the host's l1tf= says (default)");

static int use_nx_large = -1;
module_param_named(nx_huge_pages, use_nx_large, int, 0444);
MODULE_PARM_DESC(nx_huge_pages, "Intel: no code in guests' large pages: 1 yes, 0 no, -1 on CPUs with ITLB multihit (default)");

/* Features that need a control that this CPU may lack: filled by find_hidden(), ended by -1. */
static s16 hidden[8];

/* ---- what is required ------------------------------------------------------------------- */

#define PIN_REQUIRED	(PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS)
#define CPU_REQUIRED	(CPU_BASED_HLT_EXITING | CPU_BASED_MWAIT_EXITING |		\
			 CPU_BASED_MONITOR_EXITING | CPU_BASED_RDPMC_EXITING |		\
			 CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING |	\
			 CPU_BASED_MOV_DR_EXITING | CPU_BASED_UNCOND_IO_EXITING |	\
			 CPU_BASED_USE_MSR_BITMAPS | CPU_BASED_USE_TSC_OFFSETTING |	\
			 CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING |	\
			 CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
#define CPU_REFUSED	(CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |	\
			 CPU_BASED_INVLPG_EXITING)
#define EXIT_REQUIRED	(VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_DEBUG_CONTROLS |	\
			 VM_EXIT_LOAD_IA32_EFER | VM_EXIT_LOAD_IA32_PAT)
#define ENTRY_REQUIRED	(VM_ENTRY_LOAD_DEBUG_CONTROLS | VM_ENTRY_IA32E_MODE |		\
			 VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_LOAD_IA32_PAT)

/*
 * A capability MSR's low half: bits that must be 1; high half: bits that may be 1 (SDM vol. 3,
 * appendix 'VMX Capability Reporting Facility').  @refused: bits that must be free to be 0.
 */
static const struct requirement {
	u32 msr, required, refused;
	const char *what;
} requirements[] = {
	{ MSR_IA32_VMX_TRUE_PINBASED_CTLS, PIN_REQUIRED, 0,
	  "exiting for interrupts and NMIs, and virtual NMIs" },
	{ MSR_IA32_VMX_TRUE_PROCBASED_CTLS, CPU_REQUIRED, CPU_REFUSED,
	  "the primary processor-based controls that keel uses" },
	{ MSR_IA32_VMX_PROCBASED_CTLS2, SECONDARY_EXEC_ENABLE_EPT, 0,
	  "extended page tables (EPT)" },
	{ MSR_IA32_VMX_PROCBASED_CTLS2, SECONDARY_EXEC_UNRESTRICTED_GUEST, 0,
	  "unrestricted guest" },
	{ MSR_IA32_VMX_TRUE_EXIT_CTLS, EXIT_REQUIRED, 0,
	  "the VM-exit controls for a 64-bit host, EFER and PAT" },
	{ MSR_IA32_VMX_TRUE_ENTRY_CTLS, ENTRY_REQUIRED, 0,
	  "the VM-entry controls for 64-bit guests, EFER and PAT" },
};

static const struct {
	u64 bits;
	const char *what;
} ept_requirements[] = {
	{ VMX_EPT_PAGE_WALK_4_BIT, "EPT with a walk of 4 levels" },
	{ VMX_EPTP_WB_BIT, "EPT with write-back memory type" },
	{ VMX_EPT_2MB_PAGE_BIT, "EPT with pages of 2M" },
	{ VMX_EPT_INVEPT_BIT, "INVEPT" },
};

static bool control_ok(const struct requirement *r)
{
	u64 cap;

	if (rdmsrl_safe(r->msr, &cap))
		return false;
	return !(r->required & ~upper_32_bits(cap)) && !(r->refused & lower_32_bits(cap));
}

/* What the CPU this runs on lacks, or NULL. */
static const char *find_lack(void)
{
	u64 basic, ept;
	int i;

	if (rdmsrl_safe(MSR_IA32_VMX_BASIC, &basic) || !(basic & VMX_BASIC_TRUE_CTLS_BIT))
		return "the true capability MSRs of VMX controls";
	if (VMX_BASIC_TYPE(basic) != VMX_BASIC_TYPE_WB || vmx_basic_vmcs_size(basic) > PAGE_SIZE)
		return "a VMCS of at most 4096 bytes in write-back memory";
	for (i = 0; i < ARRAY_SIZE(requirements); i++) {
		if (!control_ok(&requirements[i]))
			return requirements[i].what;
	}
	if (rdmsrl_safe(MSR_IA32_VMX_EPT_VPID_CAP, &ept))
		return "the capability MSR of EPT";
	for (i = 0; i < ARRAY_SIZE(ept_requirements); i++) {
		if (!(ept & ept_requirements[i].bits))
			return ept_requirements[i].what;
	}
	if (!(ept & (VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT)))
		return "INVEPT of a context";
	return NULL;
}

/*
 * Of two bits, that counts which is for how the machine was booted, inside of SMX operation or
 * outside; the kernel clears the feature flag of a CPU that has not got that one.
 */
#define FEAT_CTL_VMX	(FEAT_CTL_VMX_ENABLED_INSIDE_SMX | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)

static bool vmx_locked_off(void)
{
	u64 feat_ctl;

	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &feat_ctl) || !(feat_ctl & FEAT_CTL_LOCKED))
		return false;
	return !(feat_ctl & FEAT_CTL_VMX) || !this_cpu_has(X86_FEATURE_VMX);
}

/* A kernel without KVM locks what the firmware has left open, and leaves VMX off. */
#define LOCKED_OFF	(IS_ENABLED(CONFIG_KVM_INTEL) ?						\
	"VMX (VT-x) is disabled by the firmware: turn it on in its setup (IA32_FEATURE_CONTROL)" :	\
	"VMX (VT-x) is disabled (IA32_FEATURE_CONTROL): by the firmware, or by this kernel, which has no KVM for Intel")

/*
 * vmx_ident(): NULL, or what keeps this CPU from running guests
 *
 * SDM vol. 3, 'Discovering Support for VMX', 'Enabling and Entering VMX Operation'.
 */
const char *vmx_ident(void)
{
	static char why[128];
	const char *lack;

	if (!(cpuid_ecx(1) & BIT(5)))
		return "this CPU has no VMX (VT-x): CPUID 1 ECX bit 5 is 0";
	if (vmx_locked_off())
		return LOCKED_OFF;
	if (keel_host_fred())
		return "this kernel takes its events by FRED, whose state keel does not switch: boot with fred=off";
	lack = find_lack();
	if (!lack)
		return NULL;
	snprintf(why, sizeof(why), "this CPU's VMX lacks %s", lack);
	return why;
}

/* ---- what is there ---------------------------------------------------------------------- */

/* @wanted where the CPU allows it, and what it demands. */
static u32 adjust(u32 msr, u32 wanted)
{
	u64 cap;

	if (rdmsrl_safe(msr, &cap))
		return 0;
	return (wanted & upper_32_bits(cap)) | lower_32_bits(cap);
}

/*
 * Early CPUs with the erratum 'VMX-Preemption Timer Does Not Count Down at the Rate Specified',
 * by CPUID 1 EAX: Nehalem, Westmere, and an Ivy Bridge (Intel's specification updates).
 */
static bool timer_has_erratum(void)
{
	static const u32 cpus[] = {
		0x000106a0, 0x000106a1, 0x000106a4, 0x000106a5, 0x000106e4, 0x000106e5,
		0x00020652, 0x00020655, 0x000206c2, 0x000206e6, 0x000306a8,
	};
	/* Without the processor type. */
	u32 eax = cpuid_eax(1) & ~(u32)GENMASK(15, 12);
	int i;

	for (i = 0; i < ARRAY_SIZE(cpus); i++) {
		if (eax == cpus[i])
			return true;
	}
	return false;
}

static void find_controls(void)
{
	struct vmx_caps *c = &vmx_caps;
	const u32 apicv = SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY |
			  SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE;
	u32 cpu, cpu2, pin;

	/* All that a vCPU might turn on, to see what there is. */
	pin = adjust(MSR_IA32_VMX_TRUE_PINBASED_CTLS, ~0U);
	cpu = adjust(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, ~0U);
	cpu2 = adjust(MSR_IA32_VMX_PROCBASED_CTLS2, ~0U);
	/* The parameters show what is in use. */
	use_preempt_timer = use_preempt_timer && (pin & PIN_BASED_VMX_PREEMPTION_TIMER) &&
			    !timer_has_erratum();
	c->preempt_timer = use_preempt_timer;
	c->tpr_shadow = cpu & CPU_BASED_TPR_SHADOW;
	use_apicv = use_apicv && c->tpr_shadow && (cpu2 & apicv) == apicv;
	c->apicv = use_apicv;
	c->vpid = cpu2 & SECONDARY_EXEC_ENABLE_VPID;
	c->ple = cpu2 & SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	c->pml = cpu2 & SECONDARY_EXEC_ENABLE_PML;
	c->tsc_scaling = cpu2 & SECONDARY_EXEC_TSC_SCALING;
	c->encls = cpu2 & SECONDARY_EXEC_ENCLS_EXITING;
	c->rdtscp = cpu2 & SECONDARY_EXEC_ENABLE_RDTSCP;
	c->invpcid = cpu2 & SECONDARY_EXEC_ENABLE_INVPCID;
	c->waitpkg = cpu2 & SECONDARY_EXEC_ENABLE_USR_WAIT_PAUSE;
	c->rdrand_exit = cpu2 & SECONDARY_EXEC_RDRAND_EXITING;
	c->rdseed_exit = cpu2 & SECONDARY_EXEC_RDSEED_EXITING;

	c->pin = adjust(MSR_IA32_VMX_TRUE_PINBASED_CTLS, PIN_REQUIRED);
	c->cpu = adjust(MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
			CPU_BASED_RDPMC_EXITING | CPU_BASED_MOV_DR_EXITING |
			CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_USE_MSR_BITMAPS |
			CPU_BASED_USE_TSC_OFFSETTING | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS);
	c->cpu2 = adjust(MSR_IA32_VMX_PROCBASED_CTLS2,
			 SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST |
			 SECONDARY_EXEC_WBINVD_EXITING | SECONDARY_EXEC_ENCLS_EXITING |
			 SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_TSC_SCALING);
	c->exit = adjust(MSR_IA32_VMX_TRUE_EXIT_CTLS, EXIT_REQUIRED);
	c->entry = adjust(MSR_IA32_VMX_TRUE_ENTRY_CTLS,
			  ENTRY_REQUIRED & ~VM_ENTRY_IA32E_MODE);
}

/* VPID is worth nothing without a way to flush one. */
static void find_invalidation(u64 cap)
{
	struct vmx_caps *c = &vmx_caps;
	u32 vpid = upper_32_bits(cap);

	c->invept_single = cap & VMX_EPT_EXTENT_CONTEXT_BIT;
	c->ept_ad = cap & VMX_EPT_AD_BIT;
	/* The log is of dirty bits being set. */
	c->pml = c->pml && c->ept_ad;
	c->invvpid_single = vpid & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT;
	if (!(vpid & VMX_VPID_INVVPID_BIT) ||
	    !(vpid & (VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT | VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT)))
		c->vpid = false;
	if (!c->vpid)
		c->cpu2 &= ~SECONDARY_EXEC_ENABLE_VPID;
}

/* The CPU says by itself where a VM entry need not flush, be it that a hypervisor below does. */
static enum vmx_l1d_flush l1d_flush_needed(void)
{
	u64 caps = 0;

	if (use_l1d_flush >= 0)
		return min_t(int, use_l1d_flush, L1D_FLUSH_ALWAYS);
	if (!boot_cpu_has_bug(X86_BUG_L1TF) || keel_l1tf_ignored())
		return L1D_FLUSH_NEVER;
	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl_safe(MSR_IA32_ARCH_CAPABILITIES, &caps);
	if (caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH)
		return L1D_FLUSH_NEVER;
	return keel_l1tf_full() ? L1D_FLUSH_ALWAYS : L1D_FLUSH_IF_STALE;
}

/* One page cached with two sizes, by a guest's leave, is a machine check of the host's. */
static bool nx_large_needed(void)
{
	if (use_nx_large >= 0)
		return use_nx_large;
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
}

static void find_others(void)
{
	u64 value;

	rdmsrl(MSR_IA32_VMX_MISC, value);
	vmx_caps.timer_shift = vmx_misc_preemption_timer_rate(value);
	rdmsrl(MSR_IA32_VMX_BASIC, value);
	vmx_caps.revision = vmx_basic_vmcs_revision_id(value);
	vmx_caps.spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	vmx_caps.ibpb = boot_cpu_has(X86_FEATURE_IBPB);
	vmx_caps.debugctl = !rdmsrl_safe(MSR_IA32_DEBUGCTLMSR, &value);
	vmx_caps.pebs = boot_cpu_has(X86_FEATURE_PEBS) &&
			!rdmsrl_safe(MSR_IA32_PEBS_ENABLE, &value);
	vmx_caps.l1d_flush = l1d_flush_needed();
}

static void find_hidden(void)
{
	int n = 0;

	if (!vmx_caps.rdtscp) {
		hidden[n++] = X86_FEATURE_RDTSCP;
		hidden[n++] = X86_FEATURE_RDPID;
	}
	if (!vmx_caps.invpcid)
		hidden[n++] = X86_FEATURE_INVPCID;
	if (!vmx_caps.waitpkg)
		hidden[n++] = X86_FEATURE_WAITPKG;
	hidden[n] = -1;
}

static void free_cpu_pages(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = per_cpu_ptr(&vmx_cpus, cpu);

		free_page((unsigned long)c->vmxon);
		c->vmxon = NULL;
		free_page((unsigned long)c->pml);
		c->pml = NULL;
	}
}

static void *page_near(int cpu)
{
	struct page *page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);

	return page ? page_address(page) : NULL;
}

static int alloc_cpu_pages(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = per_cpu_ptr(&vmx_cpus, cpu);

		INIT_LIST_HEAD(&c->vcpus);
		c->vmxon = page_near(cpu);
		if (vmx_caps.pml)
			c->pml = page_near(cpu);
		if (!c->vmxon || (vmx_caps.pml && !c->pml)) {
			free_cpu_pages();
			return -ENOMEM;
		}
		c->vmxon->revision = vmx_caps.revision;
	}
	return 0;
}

#define ALLOWED_1(bits)	((u64)(bits) << 32)
#define CPU2_OPTIONAL								\
	(SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY |	\
	 SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | SECONDARY_EXEC_ENABLE_VPID |	\
	 SECONDARY_EXEC_PAUSE_LOOP_EXITING | SECONDARY_EXEC_ENABLE_PML |	\
	 SECONDARY_EXEC_TSC_SCALING | SECONDARY_EXEC_ENCLS_EXITING |		\
	 SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID |		\
	 SECONDARY_EXEC_ENABLE_USR_WAIT_PAUSE | SECONDARY_EXEC_RDRAND_EXITING |	\
	 SECONDARY_EXEC_RDSEED_EXITING)
#define EPT_OPTIONAL	(VMX_EPT_1GB_PAGE_BIT | VMX_EPT_AD_BIT | VMX_EPT_PAGE_WALK_5_BIT |	\
			 VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT)
#define VPID_OPTIONAL	(VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT |	\
			 VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT)

/*
 * What keel uses where it is there: the bits of each MSR, and those of them that the first CPU
 * had.  The others must have them too.
 */
static struct {
	u32 msr;
	u64 optional;
	u64 bits;
} boot_cpu_caps[] = {
	{ MSR_IA32_VMX_TRUE_PINBASED_CTLS, ALLOWED_1(PIN_BASED_VMX_PREEMPTION_TIMER) },
	{ MSR_IA32_VMX_TRUE_PROCBASED_CTLS, ALLOWED_1(CPU_BASED_TPR_SHADOW) },
	{ MSR_IA32_VMX_PROCBASED_CTLS2, ALLOWED_1(CPU2_OPTIONAL) },
	{ MSR_IA32_VMX_EPT_VPID_CAP, EPT_OPTIONAL | (u64)VPID_OPTIONAL << 32 },
};

static void read_boot_cpu_caps(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(boot_cpu_caps); i++) {
		rdmsrl(boot_cpu_caps[i].msr, boot_cpu_caps[i].bits);
		boot_cpu_caps[i].bits &= boot_cpu_caps[i].optional;
	}
}

static bool has_boot_cpu_caps(void)
{
	u64 cap;
	int i;

	for (i = 0; i < ARRAY_SIZE(boot_cpu_caps); i++) {
		if (rdmsrl_safe(boot_cpu_caps[i].msr, &cap) || (boot_cpu_caps[i].bits & ~cap))
			return false;
	}
	return true;
}

/*
 * vmx_hw_setup(): read the capabilities and allocate what lasts
 */
int vmx_hw_setup(struct keel_caps *caps)
{
	u64 ept;
	int ret;

	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, ept);
	read_boot_cpu_caps();
	find_controls();
	find_invalidation(ept);
	find_others();
	find_hidden();

	caps->tdp = vmx_ept_setup(ept);
	caps->tdp_levels = caps->tdp->levels;
	caps->tdp_1g = ept & VMX_EPT_1GB_PAGE_BIT;
	caps->tsc_scaling = vmx_caps.tsc_scaling;
	caps->tsc_frac_bits = 48;
	caps->max_tsc_ratio = U64_MAX;
	caps->hidden = hidden;
	caps->pdpte_registers = true;
	/* 'Enable XSAVES/XRSTORS' is always 0. */
	caps->no_xsaves = true;
	caps->nx_large = nx_large_needed();
	caps->pml = vmx_caps.pml;
	caps->apicv = vmx_caps.apicv;
	caps->timed_exit = vmx_caps.preempt_timer;

	ret = alloc_cpu_pages();
	if (ret)
		return ret;
	ret = vmx_l1d_flush_setup();
	if (ret)
		free_cpu_pages();
	return ret;
}

void vmx_hw_teardown(void)
{
	vmx_l1d_flush_free();
	free_cpu_pages();
}

/* ---- one CPU ---------------------------------------------------------------------------- */

/* CPUs of one machine may differ, or the firmware has forgotten one: are the controls there? */
static bool cpu_fits(void)
{
	const struct vmx_caps *c = &vmx_caps;
	u64 basic, misc;

	return (cpuid_ecx(1) & BIT(5)) && !find_lack() && has_boot_cpu_caps() &&
	       !rdmsrl_safe(MSR_IA32_VMX_BASIC, &basic) &&
	       vmx_basic_vmcs_revision_id(basic) == c->revision &&
	       !rdmsrl_safe(MSR_IA32_VMX_MISC, &misc) &&
	       vmx_misc_preemption_timer_rate(misc) == c->timer_shift &&
	       adjust(MSR_IA32_VMX_TRUE_PINBASED_CTLS, c->pin) == c->pin &&
	       adjust(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, c->cpu) == c->cpu &&
	       adjust(MSR_IA32_VMX_PROCBASED_CTLS2, c->cpu2) == c->cpu2 &&
	       adjust(MSR_IA32_VMX_TRUE_EXIT_CTLS, c->exit) == c->exit &&
	       adjust(MSR_IA32_VMX_TRUE_ENTRY_CTLS, c->entry) == c->entry;
}

/* Firmware that has left the register open has left the choice to the first who asks. */
static bool feature_control_ok(void)
{
	u64 feat_ctl;

	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &feat_ctl))
		return false;
	if (!(feat_ctl & FEAT_CTL_LOCKED)) {
		feat_ctl |= FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;
		return !wrmsrl_safe(MSR_IA32_FEAT_CTL, feat_ctl);
	}
	return !vmx_locked_off();
}

/*
 * vmx_cpu_enable(): turn VMX on, on this CPU
 *
 * Interrupts off.  Return: 0; -EBUSY if somebody else has it on; -EIO if the CPU
 * refuses (firmware, or a CPU unlike the one that the module was loaded on).
 */
int vmx_cpu_enable(void)
{
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpus);

	if (native_read_cr4() & X86_CR4_VMXE)
		return cpu->on ? 0 : -EBUSY;
	if (!cpu_fits() || !feature_control_ok())
		return -EIO;

	/* Processor Trace cannot go on in VMX operation on CPUs that say so. */
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	if (vmx_vmxon(__pa(cpu->vmxon))) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		return -EIO;
	}
	/* What somebody who had VMX before left in the TLB has our tags. */
	vmx_flush_all();
	vmx_read_host_msrs(cpu);
	cpu->current_vcpu = NULL;
	cpu->on = true;
	return 0;
}

/*
 * vmx_cpu_disable(): turn VMX off, on this CPU
 *
 * Interrupts off; from anywhere, NMIs and panics included, and any number of times.  A VMCS
 * that the CPU holds in part must be cleared before, or the CPU may write to its page later
 * (SDM vol. 3, 'Software Use of Virtual-Machine Control Structures').  VMX operation blocks
 * INIT, so a machine that reboots with it on does not come back.
 */
void vmx_cpu_disable(void)
{
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpus);
	struct vmx_vcpu *vmx, *next;

	if (!cpu->on)
		return;
	list_for_each_entry_safe(vmx, next, &cpu->vcpus, on_cpu)
		vmx_clear_vmcs(vmx);
	if (native_read_cr4() & X86_CR4_VMXE) {
		vmx_vmxoff();
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
	}
	/* Last: an NMI of a machine that goes down comes here as well, at any moment. */
	cpu->on = false;
}
