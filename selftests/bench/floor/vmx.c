// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor on Intel (SDM vol. 3, 'Virtual-Machine Control Structures', 'VM Entries', 'VM Exits').
 *
 * The guest is the host once more: its page tables and descriptor tables, no EPT, no bitmaps and
 * no MSR that has to be switched.  It has a VPID, since entry and exit would empty the TLB else.
 */
#define pr_fmt(fmt) "floor: " fmt

#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <asm/cpu_entry_area.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/segment.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "../../../module/vmx/vmcs.h"
#include "floor.h"

#define VMX_BASIC_TRUE_CTLS_BIT	BIT_ULL(55)
#define VMX_BASIC_REVISION	GENMASK(30, 0)
#define CPUID_1_ECX_VMX		BIT(5)

#define AR_UNUSABLE		0x10000
#define AR_CODE64		0xa09b
#define AR_DATA			0xc093
#define AR_TSS_BUSY		0x8b
#define VPID			1

/* HOST_RIP */
void floor_vmx_exit(void);

static struct vmcs *vmxon, *vmcs;
static unsigned long gprs[FLOOR_NR_GPRS];

/* What an exit leaves to software to put back, in a kernel thread. */
struct host_rest {
	struct desc_ptr gdt, idt;
	u16 ldt;
	unsigned long dr7;
	u64 debugctl;
};

void vmx_write_failed(unsigned long field, unsigned long value)
{
	pr_err("VMWRITE of %#lx to field %#lx failed\n", value, field);
}

static bool vmx_supported(void)
{
	u64 feat_ctl;

	if (!(cpuid_ecx(1) & CPUID_1_ECX_VMX) || rdmsrl_safe(MSR_IA32_FEAT_CTL, &feat_ctl))
		return false;
	return (feat_ctl & FEAT_CTL_LOCKED) && (feat_ctl & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX);
}

static void vmx_teardown(void)
{
	free_page((unsigned long)vmxon);
	free_page((unsigned long)vmcs);
}

static int vmx_setup(void)
{
	vmxon = (struct vmcs *)get_zeroed_page(GFP_KERNEL);
	vmcs = (struct vmcs *)get_zeroed_page(GFP_KERNEL);
	if (vmxon && vmcs)
		return 0;
	vmx_teardown();
	return -ENOMEM;
}

/* @wanted where the CPU allows it, and what it demands. */
static u32 adjust(u32 msr, u32 wanted)
{
	u64 cap;

	if (rdmsrl_safe(msr, &cap))
		return 0;
	return (wanted & upper_32_bits(cap)) | lower_32_bits(cap);
}

/*
 * Interrupts need no exit: the guest's IF is 0.  An NMI does, since it would be served inside of
 * the guest.
 */
static void write_controls(u64 basic)
{
	const u32 to_true = basic & VMX_BASIC_TRUE_CTLS_BIT ?
			    MSR_IA32_VMX_TRUE_PINBASED_CTLS - MSR_IA32_VMX_PINBASED_CTLS : 0;
	u32 cpu, cpu2 = 0;

	cpu = adjust(MSR_IA32_VMX_PROCBASED_CTLS + to_true, CPU_BASED_ACTIVATE_SECONDARY_CONTROLS);
	if (cpu & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		cpu2 = adjust(MSR_IA32_VMX_PROCBASED_CTLS2, SECONDARY_EXEC_ENABLE_VPID);
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL,
		   adjust(MSR_IA32_VMX_PINBASED_CTLS + to_true, PIN_BASED_NMI_EXITING));
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, cpu);
	vmcs_write(VM_EXIT_CONTROLS,
		   adjust(MSR_IA32_VMX_EXIT_CTLS + to_true, VM_EXIT_HOST_ADDR_SPACE_SIZE));
	vmcs_write(VM_ENTRY_CONTROLS,
		   adjust(MSR_IA32_VMX_ENTRY_CTLS + to_true, VM_ENTRY_IA32E_MODE));
	if (cpu & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		vmcs_write(SECONDARY_VM_EXEC_CONTROL, cpu2);
	if (cpu2 & SECONDARY_EXEC_ENABLE_VPID) {
		vmcs_write(VIRTUAL_PROCESSOR_ID, VPID);
		/* What another hypervisor left in the TLB may have the same tag. */
		vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0);
	}
	vmcs_write(EXCEPTION_BITMAP, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(CR0_GUEST_HOST_MASK, 0);
	vmcs_write(CR4_GUEST_HOST_MASK, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
}

/* Guest and host have them in common: @guest and @host are the two fields. */
static void write_both(unsigned long guest, unsigned long host, unsigned long value)
{
	vmcs_write(guest, value);
	vmcs_write(host, value);
}

static void write_msr(unsigned long guest, unsigned long host, u32 msr)
{
	u64 value;

	rdmsrl(msr, value);
	write_both(guest, host, value);
}

static void write_common(const struct host_rest *rest)
{
	write_both(GUEST_CR0, HOST_CR0, read_cr0());
	write_both(GUEST_CR3, HOST_CR3, __read_cr3());
	write_both(GUEST_CR4, HOST_CR4, native_read_cr4());
	write_both(GUEST_CS_SELECTOR, HOST_CS_SELECTOR, __KERNEL_CS);
	write_both(GUEST_SS_SELECTOR, HOST_SS_SELECTOR, __KERNEL_DS);
	write_both(GUEST_DS_SELECTOR, HOST_DS_SELECTOR, 0);
	write_both(GUEST_ES_SELECTOR, HOST_ES_SELECTOR, 0);
	write_both(GUEST_FS_SELECTOR, HOST_FS_SELECTOR, 0);
	write_both(GUEST_GS_SELECTOR, HOST_GS_SELECTOR, 0);
	write_both(GUEST_TR_SELECTOR, HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	write_both(GUEST_TR_BASE, HOST_TR_BASE,
		   (unsigned long)&get_cpu_entry_area(smp_processor_id())->tss.x86_tss);
	write_both(GUEST_GDTR_BASE, HOST_GDTR_BASE, rest->gdt.address);
	write_both(GUEST_IDTR_BASE, HOST_IDTR_BASE, rest->idt.address);
	write_msr(GUEST_FS_BASE, HOST_FS_BASE, MSR_FS_BASE);
	write_msr(GUEST_GS_BASE, HOST_GS_BASE, MSR_GS_BASE);
	write_msr(GUEST_SYSENTER_CS, HOST_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_CS);
	write_msr(GUEST_SYSENTER_ESP, HOST_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_ESP);
	write_msr(GUEST_SYSENTER_EIP, HOST_IA32_SYSENTER_EIP, MSR_IA32_SYSENTER_EIP);
	vmcs_write(HOST_RIP, (unsigned long)floor_vmx_exit);
}

static void write_guest(const struct host_rest *rest)
{
	vmcs_write(GUEST_CS_LIMIT, ~0U);
	vmcs_write(GUEST_CS_AR_BYTES, AR_CODE64);
	vmcs_write(GUEST_CS_BASE, 0);
	vmcs_write(GUEST_SS_LIMIT, ~0U);
	vmcs_write(GUEST_SS_AR_BYTES, AR_DATA);
	vmcs_write(GUEST_SS_BASE, 0);
	vmcs_write(GUEST_DS_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_ES_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_FS_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_GS_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_LDTR_SELECTOR, 0);
	vmcs_write(GUEST_LDTR_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_TR_LIMIT, __KERNEL_TSS_LIMIT);
	vmcs_write(GUEST_TR_AR_BYTES, AR_TSS_BUSY);
	vmcs_write(GUEST_GDTR_LIMIT, rest->gdt.size);
	vmcs_write(GUEST_IDTR_LIMIT, rest->idt.size);
	vmcs_write(GUEST_RIP, (unsigned long)floor_guest);
	vmcs_write(GUEST_RSP, 0);
	vmcs_write(GUEST_RFLAGS, X86_EFLAGS_FIXED);
	vmcs_write(GUEST_DR7, 0x400);
	vmcs_write(GUEST_IA32_DEBUGCTL, 0);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(VMCS_LINK_POINTER, ~0UL);
}

static void save_rest(struct host_rest *rest)
{
	native_store_gdt(&rest->gdt);
	store_idt(&rest->idt);
	store_ldt(rest->ldt);
	get_debugreg(rest->dr7, 7);
	rdmsrl(MSR_IA32_DEBUGCTLMSR, rest->debugctl);
}

static void restore_rest(const struct host_rest *rest)
{
	native_load_gdt(&rest->gdt);
	native_load_idt(&rest->idt);
	if (rest->ldt)
		asm volatile("lldt %0" : : "m" (rest->ldt));
	/* The exit's limit of the TSS is without the I/O bitmap. */
	invalidate_tss_limit();
	set_debugreg(rest->dr7, 7);
	if (rest->debugctl)
		wrmsrl(MSR_IA32_DEBUGCTLMSR, rest->debugctl);
}

/* Why the guest stopped, if not for CPUID.  The handler's IRET opens NMIs again. */
static int stopped(void)
{
	u32 reason = vmcs_read(VM_EXIT_REASON);

	if (reason == EXIT_REASON_EXCEPTION_NMI &&
	    (vmcs_read(VM_EXIT_INTR_INFO) & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR) {
		asm volatile("int $2");
		return -EAGAIN;
	}
	pr_err("the guest stopped, exit reason %#x, instruction error %lu\n", reason,
	       vmcs_read(VM_INSTRUCTION_ERROR));
	return -EIO;
}

static int run(struct floor_ticks *ticks)
{
	u64 t[3];

	if (floor_vmx_launch(gprs, 1) || floor_vmx_rounds(gprs, FLOOR_ROUNDS))
		return stopped();
	t[0] = rdtsc_ordered();
	if (floor_vmx_rounds(gprs, FLOOR_ROUNDS))
		return stopped();
	t[1] = rdtsc_ordered();
	if (floor_vmx_rounds(gprs, 2 * FLOOR_ROUNDS))
		return stopped();
	t[2] = rdtsc_ordered();
	ticks->once = t[1] - t[0];
	ticks->twice = t[2] - t[1];
	return 0;
}

static int run_on_vmcs(struct floor_ticks *ticks, u64 basic)
{
	struct host_rest rest;
	int ret;

	memset(vmcs, 0, PAGE_SIZE);
	vmcs->revision = basic & VMX_BASIC_REVISION;
	if (vmx_vmclear(__pa(vmcs)) || vmx_vmptrld(__pa(vmcs)))
		return -EIO;
	save_rest(&rest);
	write_controls(basic);
	write_common(&rest);
	write_guest(&rest);
	ret = run(ticks);
	restore_rest(&rest);
	/* The CPU must not write to the page when it is somebody else's. */
	vmx_vmclear(__pa(vmcs));
	return ret;
}

static int vmx_batch(struct floor_ticks *ticks)
{
	u64 basic;
	int ret = -EIO;

	if (native_read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	vmxon->revision = basic & VMX_BASIC_REVISION;
	cr4_set_bits(X86_CR4_VMXE);
	if (!vmx_vmxon(__pa(vmxon))) {
		ret = run_on_vmcs(ticks, basic);
		vmx_vmxoff();
	}
	cr4_clear_bits(X86_CR4_VMXE);
	return ret;
}

const struct floor_cpu floor_vmx = {
	.name = "VMX",
	.supported = vmx_supported,
	.setup = vmx_setup,
	.teardown = vmx_teardown,
	.batch = vmx_batch,
};
