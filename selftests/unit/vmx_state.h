/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMCS, the MSRs and the CPU of vmx_check.c, all of them made up. */
#ifndef VMX_STATE_H
#define VMX_STATE_H

#include <linux/bits.h>
#include <linux/limits.h>
#include <linux/types.h>

/* MSRs and CPUID live beside the fields, under numbers of their own. */
#define MSR(msr)	(BIT(40) | (msr))
#define PHYS_LINEAR	BIT(41)
#define CPUID_7_EBX	(BIT(41) + 1)
#define CPUID_7_ECX	(BIT(41) + 2)
#define CPUID_7_1_EAX	(BIT(41) + 3)
#define VTPR		(BIT(41) + 4)

#define APIC_PAGE	0x5000UL
#define BAD_ADDRESS	0x0000800000000000UL
#define TOO_WIDE	BIT(46)

#define PIN_CTL		0x3fUL
#define CPU_CTL		0x9520697aUL
#define CPU2_CTL	0x020000e2UL
#define EXIT_CTL	0x002b6fffUL
#define ENTRY_CTL	0x0000d3ffUL

#define VALID		INTR_INFO_VALID_MASK
#define WITH_CODE	INTR_INFO_DELIVER_CODE_MASK
#define EXCEPTION	(VALID | INTR_TYPE_HARD_EXCEPTION)
#define NMI		(VALID | INTR_TYPE_NMI_INTR | 2)
#define EXT_INT		(VALID | 0x30)

#define CODE64		0xa09bUL
#define DATA		0xc093UL
#define UNUSABLE	0x10000UL

struct item {
	u64 key, value;
};

/* Where the value of a field, an MSR or an answer of CPUID is. */
u64 *lookup(u64 key);
/* Back to the state in which nothing is wrong. */
void reset(void);

#endif
