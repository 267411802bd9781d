// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor on AMD (APM vol. 2, 'VMRUN Instruction', '#VMEXIT').
 *
 * The guest is the host once more: its page tables and descriptor tables, no nested paging, and
 * nothing that VMSAVE and VMLOAD would have to switch.
 */
#define pr_fmt(fmt) "floor: " fmt

#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/segment.h>
#include <asm/special_insns.h>

#include "../../../module/svm/vmcb.h"
#include "floor.h"

#define CPUID_SVM_LEAF		0x8000000a
#define CPUID_SVM_BIT		BIT(2)	/* 8000_0001h ECX */
#define VM_CR_SVMDIS		BIT_ULL(4)

/* A VMCB's attributes are bits 55:52 and 47:40 of a descriptor. */
#define ATTR_CODE64		0xa9b
#define ATTR_DATA		0xc93
#define ASID			1

static struct vmcb *vmcb;
static void *hsave;
static unsigned long gprs[FLOOR_NR_GPRS];

static bool svm_supported(void)
{
	u64 vm_cr;

	if (cpuid_eax(0x80000000) < CPUID_SVM_LEAF ||
	    !(cpuid_ecx(0x80000001) & CPUID_SVM_BIT) || cpuid_ebx(CPUID_SVM_LEAF) <= ASID)
		return false;
	return rdmsrl_safe(MSR_VM_CR, &vm_cr) || !(vm_cr & VM_CR_SVMDIS);
}

static void svm_teardown(void)
{
	free_page((unsigned long)vmcb);
	free_page((unsigned long)hsave);
}

static int svm_setup(void)
{
	vmcb = (struct vmcb *)get_zeroed_page(GFP_KERNEL);
	hsave = (void *)get_zeroed_page(GFP_KERNEL);
	if (vmcb && hsave)
		return 0;
	svm_teardown();
	return -ENOMEM;
}

/*
 * Interrupts need no exit: the guest's IF is 0.  An NMI does, since it would be served inside of
 * the guest.  What another hypervisor left in the TLB may have the same ASID.
 */
static void write_controls(struct vmcb_control *control)
{
	control->intercept_misc1 = ICPT_NMI | ICPT_CPUID | ICPT_SHUTDOWN;
	control->intercept_misc2 = ICPT_VMRUN;
	control->asid = ASID;
	control->tlb_control = TLB_CTL_FLUSH_ALL;
	control->clean = 0;
}

static void write_guest(struct vmcb_save *save)
{
	struct desc_ptr dt;

	save->cs = (struct vmcb_seg) { __KERNEL_CS, ATTR_CODE64, ~0U, 0 };
	save->ss = (struct vmcb_seg) { __KERNEL_DS, ATTR_DATA, ~0U, 0 };
	native_store_gdt(&dt);
	save->gdtr.base = dt.address;
	save->gdtr.limit = dt.size;
	store_idt(&dt);
	save->idtr.base = dt.address;
	save->idtr.limit = dt.size;
	save->cr0 = read_cr0();
	save->cr3 = __read_cr3();
	save->cr4 = native_read_cr4();
	rdmsrl(MSR_EFER, save->efer);
	save->dr6 = DR6_RESERVED;
	save->dr7 = 0x400;
	save->rflags = X86_EFLAGS_FIXED;
	save->rip = (unsigned long)floor_guest;
}

/* Why the guest stopped, if not for CPUID.  STGI has let the NMI come. */
static int stopped(void)
{
	if (vmcb->control.exit_code == VMEXIT_NMI)
		return -EAGAIN;
	pr_err("the guest stopped, exit code %#llx\n", vmcb->control.exit_code);
	return -EIO;
}

static bool rounds(u32 n)
{
	return !floor_svm_rounds(gprs, n, vmcb, __sme_pa(vmcb));
}

static int run(struct floor_ticks *ticks)
{
	u64 t[3];

	if (!rounds(1))
		return stopped();
	vmcb->control.tlb_control = TLB_CTL_NONE;
	if (boot_cpu_has(X86_FEATURE_VMCBCLEAN))
		vmcb->control.clean = CLEAN_ALL;
	if (!rounds(FLOOR_ROUNDS))
		return stopped();
	t[0] = rdtsc_ordered();
	if (!rounds(FLOOR_ROUNDS))
		return stopped();
	t[1] = rdtsc_ordered();
	if (!rounds(2 * FLOOR_ROUNDS))
		return stopped();
	t[2] = rdtsc_ordered();
	ticks->once = t[1] - t[0];
	ticks->twice = t[2] - t[1];
	return 0;
}

static int svm_batch(struct floor_ticks *ticks)
{
	unsigned long dr7;
	u64 efer;
	int ret;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	if (wrmsrl_safe(MSR_EFER, efer | EFER_SVME))
		return -EIO;
	wrmsrl(MSR_VM_HSAVE_PA, __sme_pa(hsave));
	memset(vmcb, 0, sizeof(*vmcb));
	write_controls(&vmcb->control);
	write_guest(&vmcb->save);
	/* An exit turns break points off. */
	get_debugreg(dr7, 7);
	ret = run(ticks);
	set_debugreg(dr7, 7);
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	wrmsrl(MSR_EFER, efer);
	return ret;
}

const struct floor_cpu floor_svm = {
	.name = "SVM",
	.supported = svm_supported,
	.setup = svm_setup,
	.teardown = svm_teardown,
	.batch = svm_batch,
};
