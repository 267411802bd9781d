/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The register page of a local APIC and the rules that need nothing but it:
 * priorities, destination matching, which bits exist.  Pure; the unit tests
 * build it in user space.  Intel SDM vol. 3, 'Advanced Programmable Interrupt
 * Controller (APIC)'.
 */
#ifndef KEEL_LAPIC_REGS_H
#define KEEL_LAPIC_REGS_H

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/types.h>

/* Offsets in the page; an x2APIC MSR is 0x800 + offset / 16. */
enum keel_lapic_reg {
	LAPIC_ID	= 0x020,
	LAPIC_VERSION	= 0x030,
	LAPIC_TPR	= 0x080,
	LAPIC_APR	= 0x090,
	LAPIC_PPR	= 0x0a0,
	LAPIC_EOI	= 0x0b0,
	LAPIC_RRD	= 0x0c0,
	LAPIC_LDR	= 0x0d0,
	LAPIC_DFR	= 0x0e0,
	LAPIC_SVR	= 0x0f0,
	LAPIC_ISR	= 0x100,
	LAPIC_TMR	= 0x180,
	LAPIC_IRR	= 0x200,
	LAPIC_ESR	= 0x280,
	LAPIC_CMCI	= 0x2f0,
	LAPIC_ICR	= 0x300,
	LAPIC_ICR2	= 0x310,
	LAPIC_LVT_TIMER	= 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PMC	= 0x340,
	LAPIC_LVT0	= 0x350,
	LAPIC_LVT1	= 0x360,
	LAPIC_LVT_ERROR	= 0x370,
	LAPIC_TIMER_ICR	= 0x380,
	LAPIC_TIMER_CCR	= 0x390,
	LAPIC_TIMER_DCR	= 0x3e0,
	LAPIC_SELF_IPI	= 0x3f0,
};

#define LAPIC_PAGE_SIZE		4096
#define LAPIC_REGS_SIZE		0x400	/* the rest of the page is reserved, and stays 0 */
#define LAPIC_SVR_ENABLE	BIT(8)
#define LAPIC_SVR_FOCUS_OFF	BIT(9)
#define LAPIC_SVR_NO_EOI_BCAST	BIT(12)
#define LAPIC_VERSION_BASE	0x00050014u	/* integrated, six LVT entries */
#define LAPIC_VERSION_NO_BCAST	BIT(24)

#define LAPIC_LVT_MASKED	BIT(16)
#define LAPIC_LVT_LEVEL		BIT(15)
#define LAPIC_LVT_TIMER_MODE	(3u << 17)

#define LAPIC_ICR_LOGICAL	BIT(11)
#define LAPIC_ICR_BUSY		BIT(12)
#define LAPIC_ICR_ASSERT	BIT(14)
#define LAPIC_ICR_LEVEL		BIT(15)
#define LAPIC_ICR_RSVD		0xfff32000u	/* of the low half, BUSY aside */

#define LAPIC_DFR_FLAT		0xffffffffu
#define LAPIC_DFR_CLUSTER	0x0fffffffu

/* Bits of the error status register. */
#define LAPIC_ESR_SEND_ILLEGAL	5
#define LAPIC_ESR_RECV_ILLEGAL	6
#define LAPIC_ESR_BAD_REG	7

/* Delivery modes, as in ICR, LVT, IOAPIC entries and MSI data. */
enum keel_apic_dm {
	APIC_DELIVER_FIXED, APIC_DELIVER_LOWEST, APIC_DELIVER_SMI, APIC_DELIVER_REMOTE,
	APIC_DELIVER_NMI, APIC_DELIVER_INIT, APIC_DELIVER_SIPI, APIC_DELIVER_EXTINT,
};

enum keel_apic_shorthand {
	APIC_DEST_FIELD, APIC_DEST_ME, APIC_DEST_ALL, APIC_DEST_OTHERS,
};

/* IA32_APIC_BASE */
#define LAPIC_BASE_BSP		BIT(8)
#define LAPIC_BASE_X2APIC	BIT(10)
#define LAPIC_BASE_ENABLE	BIT(11)
#define LAPIC_BASE_DEFAULT	0xfee00000u

enum keel_apic_mode {
	KEEL_APIC_DISABLED = 0,
	KEEL_APIC_INVALID = LAPIC_BASE_X2APIC,
	KEEL_APIC_XAPIC = LAPIC_BASE_ENABLE,
	KEEL_APIC_X2APIC = LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC,
};

#define LAPIC_ID_BROADCAST	0xffu
#define LAPIC_X2ID_BROADCAST	0xffffffffu

static inline u32 lapic_get(const void *page, unsigned int reg)
{
	return READ_ONCE(*(const u32 *)(page + reg));
}

static inline void lapic_set(void *page, unsigned int reg, u32 val)
{
	WRITE_ONCE(*(u32 *)(page + reg), val);
}

/*
 * The 256-bit registers lie as eight 32-bit words, 16 bytes apart.  Each word is
 * aligned to a long, so the kernel's bit operations work on it; they never touch
 * the three words behind it.
 */
static inline unsigned long *lapic_vec_word(void *page, unsigned int base, u8 vec)
{
	return page + base + (vec >> 5) * 16;
}

static inline bool lapic_vec_test(const void *page, unsigned int base, u8 vec)
{
	return lapic_get(page, base + (vec >> 5) * 16) & BIT(vec & 31);
}

static inline void lapic_vec_set(void *page, unsigned int base, u8 vec)
{
	set_bit(vec & 31, lapic_vec_word(page, base, vec));
}

static inline void lapic_vec_clear(void *page, unsigned int base, u8 vec)
{
	clear_bit(vec & 31, lapic_vec_word(page, base, vec));
}

static inline bool lapic_vec_test_and_set(void *page, unsigned int base, u8 vec)
{
	return test_and_set_bit(vec & 31, lapic_vec_word(page, base, vec));
}

static inline enum keel_apic_mode lapic_mode(u64 apic_base)
{
	return apic_base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC);
}

/* The logical id of an x2APIC follows from its id ('Deriving Logical x2APIC ID'). */
static inline u32 lapic_x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

/* What an x2APIC or xAPIC message's destination is compared with. */
struct keel_apic_ident {
	bool x2apic;
	u32 x2id;		/* the 32-bit id */
};

int lapic_vec_highest(const void *page, unsigned int base);
int lapic_vec_count(const void *page, unsigned int base);
u8 lapic_ppr(const void *page);
u8 lapic_arbitration(const void *page);
void lapic_regs_reset(void *page, bool keep_id);
bool lapic_match(const void *page, const struct keel_apic_ident *me, u32 dest, bool logical);
bool lapic_base_ok(u64 old, u64 new, u64 reserved, bool host);
unsigned int lapic_timer_divide(u32 dcr);
u32 lapic_lvt_mask(unsigned int reg);
bool lapic_readable(unsigned int reg, bool x2apic);
bool lapic_x2apic_value_ok(unsigned int reg, u64 val, u32 timer_modes, bool no_bcast);

#endif
