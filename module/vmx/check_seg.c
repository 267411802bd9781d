// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a VM entry failed, segments: SDM vol. 3, 'Checks on Guest Segment Registers', 'Checks on
 * Guest Descriptor-Table Registers'.  Unrestricted guest is always on, so what the manual has for
 * guests without it is not here.
 */
#include <linux/kernel.h>

#include "check.h"

#define SEG	"Checks on Guest Segment Registers: "
#define DTR	"Checks on Guest Descriptor-Table Registers: "

static u64 seg_read(unsigned long es_field, int seg)
{
	return vmcs_read(es_field + 2 * seg);
}

u32 vmx_seg_rights(int seg)
{
	return seg_read(GUEST_ES_AR_BYTES, seg);
}

static u32 type(int seg)
{
	return vmx_seg_rights(seg) & VMX_AR_TYPE_MASK;
}

static u32 dpl(int seg)
{
	return VMX_AR_DPL(vmx_seg_rights(seg));
}

/* CS is judged even if it is marked unusable. */
static bool usable(int seg)
{
	return seg == SEG_CS || !(vmx_seg_rights(seg) & VMX_AR_UNUSABLE_MASK);
}

static bool seg_has(unsigned long seg, u64 bits)
{
	return usable(seg) && (vmx_seg_rights(seg) & bits);
}

static bool seg_lacks(unsigned long seg, u64 bits)
{
	return usable(seg) && !(vmx_seg_rights(seg) & bits);
}

static bool bad_ti(unsigned long seg, u64 ti)
{
	return usable(seg) && (seg_read(GUEST_ES_SELECTOR, seg) & ti);
}

static bool base_wide(unsigned long seg, u64 unused)
{
	return usable(seg) && seg_read(GUEST_ES_BASE, seg) >> 32;
}

static bool base_noncanonical(unsigned long seg, u64 unused)
{
	return usable(seg) && noncanonical(GUEST_ES_BASE + 2 * seg, 0);
}

static bool bad_granularity(unsigned long seg, u64 unused)
{
	u32 limit = seg_read(GUEST_ES_LIMIT, seg);

	if (seg_has(seg, VMX_AR_G_MASK))
		return (limit & 0xfff) != 0xfff;
	return usable(seg) && limit >> 20;
}

/* @types: a bit for each one that is allowed. */
static bool bad_type(unsigned long seg, u64 types)
{
	return usable(seg) && !(types & BIT(type(seg)));
}

static bool unreadable(unsigned long seg, u64 unused)
{
	return seg_has(seg, VMX_AR_TYPE_CODE_MASK) && seg_lacks(seg, VMX_AR_TYPE_READABLE_MASK);
}

static bool bad_v86_base(unsigned long seg, u64 unused)
{
	return seg_read(GUEST_ES_BASE, seg) != seg_read(GUEST_ES_SELECTOR, seg) << 4;
}

static bool bad_data_cs_dpl(unsigned long seg, u64 unused)
{
	return lacks(V86) && type(seg) == 3 && dpl(seg);
}

static bool bad_code_dpl(unsigned long seg, u64 types)
{
	return (types & BIT(type(seg))) && dpl(seg) != dpl(SEG_SS);
}

static bool bad_conforming_dpl(unsigned long seg, u64 types)
{
	return (types & BIT(type(seg))) && dpl(seg) > dpl(SEG_SS);
}

/* It is the guest's CPL, so it counts even where SS is unusable. */
static bool bad_ss_dpl(unsigned long seg, u64 unused)
{
	return lacks(V86) && (type(SEG_CS) == 3 || lacks(GUEST_CR0, X86_CR0_PE)) && dpl(seg);
}

static bool bad_cs_db(unsigned long seg, u64 unused)
{
	return seg_has(seg, VMX_AR_L_MASK) && seg_has(seg, VMX_AR_DB_MASK);
}

#define V86_ROWS(r)									\
	{ V86, bad_v86_base, SEG_##r, 0,						\
	  SEG "virtual-8086: the base of " #r " is not its selector times 16" },	\
	{ V86, differs, GUEST_##r##_LIMIT, 0xffff,					\
	  SEG "virtual-8086: the limit of " #r " is not FFFFH" },			\
	{ V86, differs, GUEST_##r##_AR_BYTES, 0xf3,					\
	  SEG "virtual-8086: the access rights of " #r " are not F3H" }

#define BASE_WIDE(r)									\
	{ ALWAYS, base_wide, SEG_##r, 0, SEG "bits 63:32 of the base of " #r " are not 0" }

#define BASE(r)										\
	{ ALWAYS, base_noncanonical, SEG_##r, 0, SEG "the base of " #r " is not canonical" }

#define ANY_ROWS(r)									\
	{ ALWAYS, seg_lacks, SEG_##r, VMX_AR_P_MASK, SEG #r ".P is 0" },		\
	{ ALWAYS, seg_has, SEG_##r, VMX_AR_RESERVD_MASK,				\
	  SEG "bits 31:17 or 11:8 of the access rights of " #r " are not 0" },		\
	{ ALWAYS, bad_granularity, SEG_##r, 0,						\
	  SEG #r ".G is 1 with bits 11:0 of the limit not all 1, or 0 with bits 31:20 not 0" }

#define CODE_DATA_ROWS(r)								\
	{ ALWAYS, seg_lacks, SEG_##r, VMX_AR_S_MASK, SEG #r ".S is 0" },		\
	ANY_ROWS(r)

#define DATA_ROWS(r)									\
	{ ALWAYS, seg_lacks, SEG_##r, VMX_AR_TYPE_ACCESSES_MASK,			\
	  SEG #r ".type is not an accessed one" },					\
	{ ALWAYS, unreadable, SEG_##r, 0, SEG #r ".type is code that cannot be read" },	\
	CODE_DATA_ROWS(r)

#define SYSTEM_ROWS(r)									\
	{ ALWAYS, bad_ti, SEG_##r, BIT(2), SEG "TI of " #r "'s selector is 1" },	\
	{ ALWAYS, seg_has, SEG_##r, VMX_AR_S_MASK, SEG #r ".S is 1" },			\
	BASE(r), ANY_ROWS(r)

#define DTR_ROWS(r)									\
	{ ALWAYS, noncanonical, GUEST_##r##_BASE, 0,					\
	  DTR "the base of " #r " is not canonical" },					\
	{ ALWAYS, has, GUEST_##r##_LIMIT, GENMASK(31, 16),				\
	  DTR "bits 31:16 of the limit of " #r " are not 0" }

const struct vmx_check vmx_segment_checks[] = {
	/* What passes these passes the others, DPLs apart, which thus need no word of VM. */
	V86_ROWS(CS), V86_ROWS(SS), V86_ROWS(DS), V86_ROWS(ES), V86_ROWS(FS), V86_ROWS(GS),

	BASE_WIDE(CS), BASE_WIDE(SS), BASE_WIDE(DS), BASE_WIDE(ES),
	/* Loaded even if they are unusable. */
	{ ALWAYS, noncanonical, GUEST_FS_BASE, 0, SEG "the base of FS is not canonical" },
	{ ALWAYS, noncanonical, GUEST_GS_BASE, 0, SEG "the base of GS is not canonical" },

	{ ALWAYS, bad_type, SEG_CS, BIT(3) | BIT(9) | BIT(11) | BIT(13) | BIT(15),
	  SEG "CS.type is neither 9, 11, 13, 15 nor, with unrestricted guest, 3" },
	{ ALWAYS, bad_data_cs_dpl, SEG_CS, 0, SEG "CS.type is 3 and CS.DPL is not 0" },
	{ ALWAYS, bad_code_dpl, SEG_CS, BIT(9) | BIT(11),
	  SEG "CS.type is 9 or 11 and CS.DPL is not SS.DPL" },
	{ ALWAYS, bad_conforming_dpl, SEG_CS, BIT(13) | BIT(15),
	  SEG "CS.type is 13 or 15 and CS.DPL is greater than SS.DPL" },
	{ CTL_ENTRY(IA32E_MODE), bad_cs_db, SEG_CS, 0,
	  SEG "CS.L and CS.D are both 1 in IA-32e mode" },
	CODE_DATA_ROWS(CS),

	{ ALWAYS, bad_type, SEG_SS, BIT(3) | BIT(7), SEG "SS.type is neither 3 nor 7" },
	{ ALWAYS, bad_ss_dpl, SEG_SS, 0, SEG "CS.type is 3 or CR0.PE is 0, and SS.DPL is not 0" },
	CODE_DATA_ROWS(SS),

	DATA_ROWS(DS), DATA_ROWS(ES), DATA_ROWS(FS), DATA_ROWS(GS),

	{ ALWAYS, has, GUEST_TR_AR_BYTES, VMX_AR_UNUSABLE_MASK, SEG "TR is unusable" },
	{ CTL_ENTRY(IA32E_MODE), bad_type, SEG_TR, BIT(11),
	  SEG "TR.type is not 11 in IA-32e mode" },
	{ ALWAYS, bad_type, SEG_TR, BIT(3) | BIT(11), SEG "TR.type is neither 3 nor 11" },
	SYSTEM_ROWS(TR),

	{ ALWAYS, bad_type, SEG_LDTR, BIT(2), SEG "LDTR.type is not 2" },
	SYSTEM_ROWS(LDTR),

	DTR_ROWS(GDTR), DTR_ROWS(IDTR),
	{}
};
