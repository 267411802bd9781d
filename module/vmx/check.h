/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checks of SDM vol. 3, 'VM Entries', as tables: what check.c, check_ctl.c and check_seg.c
 * share.
 *
 * Left out is what cannot fail as long as controls are 0 that keel never sets: I/O bitmaps, APIC
 * accesses, posted interrupts, mode-based execute control, VM functions, VMCS shadowing, #VE,
 * tertiary controls, MSR areas, SMM, and the performance counters, Processor Trace, BNDCFGS, CET,
 * PKRS, UINV and LBRs of guest and host.
 */
#ifndef KEEL_VMX_CHECK_H
#define KEEL_VMX_CHECK_H

#include <linux/bits.h>
#include <linux/limits.h>
#include <linux/types.h>
#include <asm/msr-index.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/processor.h>

#include "vmx.h"

/**
 * struct vmx_check - one check of the current VMCS
 * @if_field, @if_bits: made only where one of these bits is 1 in this field
 * @broken: the check fails
 * @field, @arg: what @broken is about: mostly a field, and bits of it
 * @text: the manual's section, and what is wrong; NULL ends a table
 */
struct vmx_check {
	unsigned long if_field;
	u64 if_bits;
	bool (*broken)(unsigned long field, u64 arg);
	unsigned long field;
	u64 arg;
	const char *text;
};

/* check_ctl.c */
extern const struct vmx_check vmx_control_checks[], vmx_host_checks[];
/* check_seg.c */
extern const struct vmx_check vmx_segment_checks[];
u32 vmx_seg_rights(int seg);
/* check.c */
extern const struct vmx_check vmx_guest_checks[];

/* Pairs of a field and its bits. */
#define ALWAYS		0, 0
#define CTL_PIN(bit)	PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_##bit
#define CTL_CPU(bit)	CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_##bit
#define CTL_CPU2(bit)	SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_##bit
#define CTL_EXIT(bit)	VM_EXIT_CONTROLS, VM_EXIT_##bit
#define CTL_ENTRY(bit)	VM_ENTRY_CONTROLS, VM_ENTRY_##bit
#define EVENT		VM_ENTRY_INTR_INFO_FIELD, INTR_INFO_VALID_MASK
#define V86		GUEST_RFLAGS, X86_EFLAGS_VM

/* Segment registers in the order of their fields. */
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR };

#define EFER_RESERVED	(~(u64)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX))

static inline bool has(unsigned long field, u64 bits)
{
	return vmcs_read(field) & bits;
}

static inline bool lacks(unsigned long field, u64 bits)
{
	return !has(field, bits);
}

static inline bool differs(unsigned long field, u64 value)
{
	return vmcs_read(field) != value;
}

static inline u64 capability(u32 msr)
{
	u64 value;

	return rdmsrl_safe(msr, &value) ? 0 : value;
}

/* From the CPU, since the kernel's boot_cpu_data may say less (memory encryption). */
static inline u64 above_phys_width(void)
{
	return ~0ULL << (cpuid_eax(0x80000008) & 0xff);
}

static inline int linear_width(void)
{
	return cpuid_eax(0x80000008) >> 8 & 0xff;
}

/* Are bits 63:@n all the same? */
static inline bool uniform_from(u64 address, int n)
{
	return !(address >> n) || address >> n == ~0ULL >> n;
}

/* For bases and for addresses in MSRs it is the CPU's width that counts, not CR4.LA57. */
static inline bool noncanonical(unsigned long field, u64 unused)
{
	return !uniform_from(vmcs_read(field), linear_width() - 1);
}

/*
 * The MSR for bits that must be 1 is @fixed0; the one for bits that may be is the next.  Neither
 * entry nor exit touches NW and CD, and unrestricted guest frees PE and PG.
 */
static inline bool bad_fixed(unsigned long field, u64 fixed0)
{
	u64 free = fixed0 == MSR_IA32_VMX_CR0_FIXED0 ? X86_CR0_NW | X86_CR0_CD : 0;
	u64 cr = vmcs_read(field);

	if (field == GUEST_CR0)
		free |= X86_CR0_PE | X86_CR0_PG;
	return ((~cr & capability(fixed0)) | (cr & ~capability(fixed0 + 1))) & ~free;
}

/* Bits 62:61 are for linear-address masking (LAM): CPUID (7, 1) EAX bit 26. */
static inline bool bad_cr3(unsigned long field, u64 unused)
{
	u32 eax, ebx, ecx, edx;

	cpuid_count(7, 1, &eax, &ebx, &ecx, &edx);
	return vmcs_read(field) & above_phys_width() & ~(eax & BIT(26) ? GENMASK_ULL(62, 61) : 0);
}

/* Each of the eight types must be one of PAT's. */
static inline bool bad_pat(unsigned long field, u64 unused)
{
	u64 pat = vmcs_read(field);
	int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = pat >> i;

		if (type > 7 || type == 2 || type == 3)
			return true;
	}
	return false;
}

#endif
