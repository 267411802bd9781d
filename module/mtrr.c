// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory type range registers (SDM vol. 3, "Memory Type Range Registers").
 *
 * They are kept, checked and given back, and do nothing: with two-dimensional
 * paging all of a guest's memory is the host's, which is write-back.
 *
 * vcpu->mtrr[]: 0-15 the variable pairs, 16-26 the fixed ranges, 27 the default type.
 */
#include <linux/nospec.h>
#include <linux/string.h>
#include <asm/msr-index.h>

#include "keel.h"
#include "state.h"

#define KEEL_MTRR_VAR		8
#define KEEL_MTRR_FIX0		16
#define KEEL_MTRR_DEFTYPE	27
#define KEEL_MTRR_NR		28
#define KEEL_MTRRCAP		(KEEL_MTRR_VAR | BIT(8) | BIT(10))	/* fixed ranges, WC */
#define KEEL_DEFTYPE_BITS	0xcffULL
#define KEEL_MASK_RSVD		0x7ffULL	/* of a PhysMask; bit 11 is "valid" */
#define KEEL_BASE_RSVD		0xf00ULL

/* UC, WC, WT, WP, WB. */
static bool keel_mtrr_type_valid(u8 type)
{
	return type < 8 && (BIT(type) & 0x73);
}

/* The page attribute table also has UC- (7). */
bool keel_pat_valid(u64 pat)
{
	int i;

	for (i = 0; i < 8; i++) {
		u8 type = pat >> (8 * i);

		if (type != 7 && !keel_mtrr_type_valid(type))
			return false;
	}
	return true;
}

/* Index in vcpu->mtrr, -1 if there is no such register. */
static int keel_mtrr_index(u32 msr)
{
	switch (msr) {
	case 0x200 ... 0x200 + 2 * KEEL_MTRR_VAR - 1:
		return msr - 0x200;
	case MSR_MTRRfix64K_00000:
		return KEEL_MTRR_FIX0;
	case MSR_MTRRfix16K_80000:
	case MSR_MTRRfix16K_A0000:
		return KEEL_MTRR_FIX0 + 1 + (msr - MSR_MTRRfix16K_80000);
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:
		return KEEL_MTRR_FIX0 + 3 + (msr - MSR_MTRRfix4K_C0000);
	case MSR_MTRRdefType:
		return KEEL_MTRR_DEFTYPE;
	default:
		return -1;
	}
}

static bool keel_mtrr_valid(struct keel_vcpu *vcpu, int index, u64 data, bool host)
{
	/* User space may restore registers before it sets the guest's address width. */
	u64 rsvd = host ? ~0ULL << 52 : vcpu->cpuid.gpa_rsvd;
	int i;

	if (index == KEEL_MTRR_DEFTYPE)
		return !(data & ~KEEL_DEFTYPE_BITS) && keel_mtrr_type_valid(data);
	if (index >= KEEL_MTRR_FIX0) {
		for (i = 0; i < 8; i++)
			if (!keel_mtrr_type_valid(data >> (8 * i)))
				return false;
		return true;
	}
	if (index & 1)
		return !(data & (rsvd | KEEL_MASK_RSVD));
	return !(data & (rsvd | KEEL_BASE_RSVD)) && keel_mtrr_type_valid(data);
}

void keel_mtrr_reset(struct keel_vcpu *vcpu)
{
	memset(vcpu->mtrr, 0, sizeof(vcpu->mtrr));
}

int keel_mtrr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	int index = keel_mtrr_index(msr);

	if (msr == MSR_MTRRcap) {
		*data = KEEL_MTRRCAP;
		return 0;
	}
	if (index < 0)
		return 1;
	*data = vcpu->mtrr[array_index_nospec(index, KEEL_MTRR_NR)];
	return 0;
}

int keel_mtrr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	int index = keel_mtrr_index(msr);

	if (index < 0 || !keel_mtrr_valid(vcpu, index, data, host))
		return 1;
	vcpu->mtrr[array_index_nospec(index, KEEL_MTRR_NR)] = data;
	return 0;
}
