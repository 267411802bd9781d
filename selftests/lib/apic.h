/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest-side access to the local APIC, the I/O APIC and the 8259s. */
#ifndef KEEL_TEST_APIC_H
#define KEEL_TEST_APIC_H

#include "guest.h"

#define APIC_MMIO	0xfee00000UL
#define APIC_ID		0x20
#define APIC_VERSION	0x30
#define APIC_TPR	0x80
#define APIC_PPR	0xa0
#define APIC_EOI	0xb0
#define APIC_LDR	0xd0
#define APIC_DFR	0xe0
#define APIC_SVR	0xf0
#define APIC_ISR	0x100
#define APIC_TMR	0x180
#define APIC_IRR	0x200
#define APIC_ESR	0x280
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVTT	0x320
#define APIC_LVTPC	0x340
#define APIC_LVT0	0x350
#define APIC_LVT1	0x360
#define APIC_LVTERR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define APIC_SELF_IPI	0x3f0	/* x2APIC only */

#define LVT_MASKED	BIT(16)
#define LVT_PERIODIC	BIT(17)
#define LVT_DEADLINE	BIT(18)
#define DM_FIXED	0x000
#define DM_LOWEST	0x100
#define DM_NMI		0x400
#define DM_INIT		0x500
#define DM_STARTUP	0x600
#define DM_EXTINT	0x700
#define ICR_LOGICAL	0x800
#define ICR_ASSERT	0x4000
#define ICR_SELF	0x40000
#define ICR_ALL		0x80000
#define ICR_OTHERS	0xc0000
#define ICR_BUSY	0x1000

#define X2APIC_MSR(reg)	(0x800 + ((reg) >> 4))

extern bool apic_x2;	/* all vCPUs use the MSRs */

static inline u32 apic_read(u32 reg)
{
	return apic_x2 ? rdmsr(X2APIC_MSR(reg)) : MMIO(u32, APIC_MMIO + reg);
}

static inline void apic_write(u32 reg, u32 val)
{
	if (apic_x2)
		wrmsr(X2APIC_MSR(reg), val);
	else
		MMIO(u32, APIC_MMIO + reg) = val;
}

static inline u32 apic_id(void)
{
	return apic_x2 ? rdmsr(X2APIC_MSR(APIC_ID)) : MMIO(u32, APIC_MMIO + APIC_ID) >> 24;
}

static inline void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

static inline void apic_icr(u32 dest, u32 low)
{
	if (apic_x2) {
		wrmsr(X2APIC_MSR(APIC_ICR), (u64)dest << 32 | low);
	} else {
		MMIO(u32, APIC_MMIO + APIC_ICR2) = dest << 24;
		MMIO(u32, APIC_MMIO + APIC_ICR) = low;
	}
}

/* Is the vector's bit set in ISR, TMR or IRR? */
static inline bool apic_bit(u32 base, u8 vec)
{
	return apic_read(base + (vec >> 5) * 0x10) >> (vec & 31) & 1;
}

void apic_enable(void);		/* software enable, spurious vector 0xff */
void apic_enable_x2(void);	/* the same, in x2APIC mode */

#define IOAPIC_MMIO	0xfec00000UL
#define RTE_LOGICAL	BIT(11)
#define RTE_ACTIVE_LOW	BIT(13)
#define RTE_REMOTE_IRR	BIT(14)
#define RTE_LEVEL	BIT(15)
#define RTE_MASKED	BIT(16)
#define RTE_DEST(id)	((u64)(id) << 56)

static inline u32 ioapic_read(u8 reg)
{
	MMIO(u32, IOAPIC_MMIO) = reg;
	return MMIO(u32, IOAPIC_MMIO + 0x10);
}

static inline void ioapic_write(u8 reg, u32 val)
{
	MMIO(u32, IOAPIC_MMIO) = reg;
	MMIO(u32, IOAPIC_MMIO + 0x10) = val;
}

static inline u64 rte_read(u8 pin)
{
	return ioapic_read(0x10 + 2 * pin) | (u64)ioapic_read(0x11 + 2 * pin) << 32;
}

static inline void rte_write(u8 pin, u64 rte)
{
	ioapic_write(0x11 + 2 * pin, rte >> 32);
	ioapic_write(0x10 + 2 * pin, rte);
}

#define PIC1		0x20
#define PIC2		0xa0
#define PIC_ELCR1	0x4d0
#define PIC_ELCR2	0x4d1

/* Both 8259s at vectors base and base + 8, the given lines unmasked. */
void pic_init(u8 base, u16 unmasked);

#endif
