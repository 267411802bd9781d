// SPDX-License-Identifier: GPL-2.0-only
/* Rules over a local APIC's register page; see lapic_regs.h. */
#include "lapic_regs.h"

/**
 * lapic_vec_highest() - the highest vector set in ISR, TMR or IRR; -1 none
 * @page: the registers
 * @base: offset of the first word
 */
int lapic_vec_highest(const void *page, unsigned int base)
{
	int word;
	u32 val;

	for (word = 7; word >= 0; word--) {
		val = lapic_get(page, base + word * 16);
		if (val)
			return word * 32 + fls(val) - 1;
	}
	return -1;
}

int lapic_vec_count(const void *page, unsigned int base)
{
	int word, n = 0;

	for (word = 0; word < 8; word++)
		n += hweight32(lapic_get(page, base + word * 16));
	return n;
}

/**
 * lapic_ppr() - processor priority ('Task and Processor Priorities')
 * @page: the registers
 *
 * The task priority, unless the class of the interrupt in service is higher;
 * then that class with a sub-class of 0.
 */
u8 lapic_ppr(const void *page)
{
	u8 tpr = lapic_get(page, LAPIC_TPR);
	int isr = lapic_vec_highest(page, LAPIC_ISR);
	u8 class = isr < 0 ? 0 : isr & 0xf0;

	return (tpr & 0xf0) >= class ? tpr : class;
}

/* The arbitration priority, for lowest-priority delivery: busy with more is higher. */
u8 lapic_arbitration(const void *page)
{
	u8 ppr = lapic_ppr(page);
	int irr = lapic_vec_highest(page, LAPIC_IRR);
	u8 class = irr < 0 ? 0 : irr & 0xf0;

	return max_t(u8, ppr, class);
}

/**
 * lapic_regs_reset() - the values after power-up, RESET or INIT
 * @page: the registers
 * @keep_id: INIT: the id stays ('Local APIC State After It Receives an INIT-Deassert
 *	IPI' and the sections before)
 */
void lapic_regs_reset(void *page, bool keep_id)
{
	u32 id = lapic_get(page, LAPIC_ID);
	unsigned int reg;

	memset(page, 0, LAPIC_REGS_SIZE);
	if (keep_id)
		lapic_set(page, LAPIC_ID, id);
	lapic_set(page, LAPIC_DFR, LAPIC_DFR_FLAT);
	lapic_set(page, LAPIC_SVR, 0xff);
	for (reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 0x10)
		lapic_set(page, reg, LAPIC_LVT_MASKED);
}

/**
 * lapic_match() - is a message with this destination for this APIC?
 * @page: the registers
 * @me: its mode and id
 * @dest: as in the message; 0xff and 0xffffffff are broadcasts to xAPICs and x2APICs
 * @logical: logical destination mode
 *
 * An id beyond 8 bits reaches an APIC in xAPIC mode as well: its own id register
 * cannot show such an id, and firmware that starts more than 255 processors sends
 * their first INIT this way.
 */
bool lapic_match(const void *page, const struct keel_apic_ident *me, u32 dest, bool logical)
{
	u32 ldr = lapic_get(page, LAPIC_LDR);

	if (dest == (me->x2apic ? LAPIC_X2ID_BROADCAST : LAPIC_ID_BROADCAST))
		return true;
	if (!logical)
		return dest == (me->x2apic || dest > 0xff ? me->x2id :
				lapic_get(page, LAPIC_ID) >> 24);
	if (me->x2apic)
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	if (dest > 0xff)
		return false;

	ldr >>= 24;
	if (lapic_get(page, LAPIC_DFR) >> 28 == 0xf)
		return ldr & dest;
	return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

/**
 * lapic_base_ok() - may IA32_APIC_BASE change so ('x2APIC State Transitions')?
 * @old: the value now
 * @new: the value to be
 * @reserved: bits that must be 0 for this guest
 * @host: user space may make any change between valid states
 */
bool lapic_base_ok(u64 old, u64 new, u64 reserved, bool host)
{
	enum keel_apic_mode from = lapic_mode(old), to = lapic_mode(new);

	if (new & reserved || to == KEEL_APIC_INVALID)
		return false;
	if (host)
		return true;
	if (from == KEEL_APIC_X2APIC && to == KEEL_APIC_XAPIC)
		return false;
	return from != KEEL_APIC_DISABLED || to != KEEL_APIC_X2APIC;
}

/* 'APIC Timer': bits 0, 1 and 3 of the divide configuration register. */
unsigned int lapic_timer_divide(u32 dcr)
{
	unsigned int shift = (dcr & 3) | (dcr & 8) >> 1;

	return 1u << ((shift + 1) & 7);
}

/* The bits of an LVT register that exist; the timer's mode bits are the caller's. */
u32 lapic_lvt_mask(unsigned int reg)
{
	switch (reg) {
	case LAPIC_LVT_TIMER:
	case LAPIC_LVT_ERROR:
		return LAPIC_LVT_MASKED | 0xff;
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PMC:
		return LAPIC_LVT_MASKED | 0x7ff;
	case LAPIC_LVT0:
	case LAPIC_LVT1:
		/* With remote IRR and polarity; delivery status is always idle. */
		return LAPIC_LVT_MASKED | 0xe7ff;
	}
	return 0;
}

/* Can software read the register?  @reg is a multiple of 16. */
bool lapic_readable(unsigned int reg, bool x2apic)
{
	switch (reg) {
	case LAPIC_ID:
	case LAPIC_VERSION:
	case LAPIC_TPR:
	case LAPIC_PPR:
	case LAPIC_LDR:
	case LAPIC_SVR:
	case LAPIC_ISR ... LAPIC_ESR:
	case LAPIC_ICR:
	case LAPIC_LVT_TIMER ... LAPIC_TIMER_CCR:
	case LAPIC_TIMER_DCR:
		return true;
	case LAPIC_APR:
	case LAPIC_RRD:
	case LAPIC_EOI:
	case LAPIC_DFR:
	case LAPIC_ICR2:
		return !x2apic;
	}
	return false;
}

/**
 * lapic_x2apic_value_ok() - WRMSR to an x2APIC register: no reserved bit is set
 * @reg: offset of the register
 * @val: the value
 * @timer_modes: mode bits that the LVT timer register has
 * @no_bcast: EOI broadcast suppression exists
 *
 * 'Reserved Bit Checking': what xAPIC mode ignores is a #GP here.
 */
bool lapic_x2apic_value_ok(unsigned int reg, u64 val, u32 timer_modes, bool no_bcast)
{
	switch (reg) {
	case LAPIC_ICR:
		return !(val & LAPIC_ICR_RSVD);
	case LAPIC_TPR:
	case LAPIC_SELF_IPI:
		return !(val & ~0xffull);
	case LAPIC_EOI:
	case LAPIC_ESR:
		return !val;
	case LAPIC_SVR:
		return !(val & ~(0x3ffull | (no_bcast ? LAPIC_SVR_NO_EOI_BCAST : 0)));
	case LAPIC_TIMER_ICR:
		return !(val >> 32);
	case LAPIC_TIMER_DCR:
		return !(val & ~0xbull);
	case LAPIC_LVT_TIMER:
		/* Delivery status and remote IRR are read-only: written back as read, they pass. */
		return !(val & ~(u64)(lapic_lvt_mask(reg) | timer_modes | BIT(12)));
	case LAPIC_LVT_THERMAL ... LAPIC_LVT_ERROR:
		return !(val & ~(u64)(lapic_lvt_mask(reg) | BIT(12)));
	}
	return false;
}
