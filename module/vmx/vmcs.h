/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instructions of VMX, and the VMCS as such (SDM vol. 3, 'Virtual-Machine Control
 * Structures', 'VMX Instruction Reference').  Fields and their bits: <asm/vmx.h>.
 *
 * Each of them is #UD where VMX is off, which an interrupt or an NMI of a machine that goes
 * down may have done at any moment: then it does nothing, and VMREAD gives 0.
 */
#ifndef KEEL_VMX_VMCS_H
#define KEEL_VMX_VMCS_H

#include <linux/compiler.h>
#include <linux/printk.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/vmx.h>

/**
 * struct vmcs - a VMCS or VMXON region; what is behind is the CPU's own
 * @revision: VMCS revision identifier
 * @abort: VMX-abort indicator
 */
struct vmcs {
	u32 revision;
	u32 abort;
	u8 data[];
};

/* The current VMCS's field; one of 16, 32 or 64 bits comes zero-extended. */
static __always_inline unsigned long vmcs_read(unsigned long field)
{
	unsigned long value;

	asm volatile("1: vmread %[field], %[value]\n2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_ZERO_REG, %[value])
		     : [value] "=r" (value) : [field] "r" (field) : "cc");
	return value;
}

void vmx_write_failed(unsigned long field, unsigned long value);

static __always_inline void vmcs_write(unsigned long field, unsigned long value)
{
	asm goto("1: vmwrite %[value], %[field]\n\t"
		 "jna %l[failed]\n2:\n"
		 _ASM_EXTABLE(1b, 2b)
		 : : [field] "r" (field), [value] "rm" (value) : "cc" : failed);
	return;
failed:
	vmx_write_failed(field, value);
}

/* True if the instruction failed (VMfailInvalid or VMfailValid), or VMX is off. */
#define VMX_INSN_ON_ADDRESS(name, insn)							\
static __always_inline bool name(u64 pa)						\
{											\
	asm goto("1: " insn " %[pa]\n\t"						\
		 "jna %l[failed]\n\t"							\
		 _ASM_EXTABLE(1b, %l[failed])						\
		 : : [pa] "m" (pa) : "cc", "memory" : failed);				\
	return false;									\
failed:											\
	return true;									\
}

VMX_INSN_ON_ADDRESS(vmx_vmxon, "vmxon")
VMX_INSN_ON_ADDRESS(vmx_vmclear, "vmclear")
VMX_INSN_ON_ADDRESS(vmx_vmptrld, "vmptrld")

static __always_inline void vmx_vmxoff(void)
{
	asm volatile("1: vmxoff\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
}

/* Operands of INVEPT and INVVPID: SDM vol. 3, 'INVEPT', 'INVVPID'. */
static __always_inline void vmx_invept(unsigned long type, u64 eptp)
{
	struct {
		u64 eptp, zero;
	} desc = { eptp, 0 };

	asm volatile("1: invept %[desc], %[type]\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : [desc] "m" (desc), [type] "r" (type) : "cc", "memory");
}

static __always_inline void vmx_invvpid(unsigned long type, u16 vpid)
{
	struct {
		u64 vpid, address;
	} desc = { vpid, 0 };

	asm volatile("1: invvpid %[desc], %[type]\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : [desc] "m" (desc), [type] "r" (type) : "cc", "memory");
}

#endif
