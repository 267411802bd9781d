// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the guest gets at its local APIC's registers: the page of xAPIC mode, the
 * MSRs of x2APIC mode.  Intel SDM vol. 3, 'The Local APIC Block Diagram',
 * 'x2APIC Register Address Space'.
 */
#include <linux/nospec.h>

#include "lapic.h"

#define X2APIC_MSR_FIRST	0x800

static u32 read_special(struct keel_lapic *apic, unsigned int reg)
{
	switch (reg) {
	case LAPIC_VERSION:
		return lapic_version(apic);
	case LAPIC_TPR:
		if (unlikely(apic->tpr_reporting))
			lapic_report_tpr(apic, false);
		break;
	case LAPIC_PPR:
		return lapic_ppr(apic->page);
	case LAPIC_APR:
		return lapic_arbitration(apic->page);
	case LAPIC_TIMER_CCR:
		return lapic_timer_count(apic);
	case LAPIC_EOI:
	case LAPIC_RRD:
		return 0;
	}
	return lapic_get(apic->page, array_index_nospec(reg, LAPIC_PAGE_SIZE));
}

/**
 * lapic_reg_read() - read the register at @reg (a multiple of 16)
 * @apic: the vCPU's local APIC
 * @reg: offset of the register
 * @val: the value
 *
 * Return: 0, or 1 if there is none that can be read.
 */
int lapic_reg_read(struct keel_lapic *apic, unsigned int reg, u32 *val)
{
	if (!lapic_readable(reg, lapic_x2apic(apic)))
		return 1;
	*val = read_special(apic, reg);
	return 0;
}

/* Software disable masks every LVT entry, and they stay masked until it is over. */
static void write_svr(struct keel_lapic *apic, u32 val)
{
	u32 mask = 0x3ff;
	unsigned int reg;
	u32 lvt;

	if (lapic_version(apic) & LAPIC_VERSION_NO_BCAST)
		mask |= LAPIC_SVR_NO_EOI_BCAST;
	lapic_set(apic->page, LAPIC_SVR, val & mask);
	keel_request(apic->vcpu, KEEL_REQ_EVENT);
	if (val & LAPIC_SVR_ENABLE)
		return;
	for (reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 0x10) {
		lvt = lapic_get(apic->page, reg);
		lapic_set(apic->page, reg, lvt | LAPIC_LVT_MASKED);
		if (reg == LAPIC_LVT0)
			lapic_lvt0_nmi_track(apic, lvt, lvt | LAPIC_LVT_MASKED);
	}
}

static void write_lvt(struct keel_lapic *apic, unsigned int reg, u32 val)
{
	u32 old = lapic_get(apic->page, reg);
	u32 mask = lapic_lvt_mask(reg);

	if (reg == LAPIC_LVT_TIMER)
		mask |= lapic_timer_mode_mask(apic->vcpu);
	if (!lapic_sw_enabled(apic))
		val |= LAPIC_LVT_MASKED;
	val &= mask;
	lapic_set(apic->page, reg, val);
	if (reg == LAPIC_LVT_TIMER)
		lapic_timer_lvt(apic);
	if (reg == LAPIC_LVT0) {
		lapic_lvt0_nmi_track(apic, old, val);
		/* ExtINT may pass now. */
		keel_request(apic->vcpu, KEEL_REQ_EVENT);
	}
}

/* A write shows the errors since the last one, and starts collecting anew. */
static void write_esr(struct keel_lapic *apic)
{
	lapic_set(apic->page, LAPIC_ESR, xchg(&apic->esr_latch, 0));
}

static void write_addressing(struct keel_lapic *apic, unsigned int reg, u32 val)
{
	if (lapic_get(apic->page, reg) == val)
		return;
	lapic_set(apic->page, reg, val);
	lapic_map_rebuild(apic->vcpu->vm);
}

static void write_icr(struct keel_lapic *apic, u32 low, u32 dest)
{
	low &= ~LAPIC_ICR_BUSY;
	lapic_set(apic->page, LAPIC_ICR, low);
	lapic_send_ipi(apic, low, dest);
}

static int write_xapic_only(struct keel_lapic *apic, unsigned int reg, u32 val)
{
	if (lapic_x2apic(apic))
		return 1;
	switch (reg) {
	case LAPIC_ID:
	case LAPIC_LDR:
		write_addressing(apic, reg, val & 0xff000000);
		return 0;
	case LAPIC_DFR:
		write_addressing(apic, reg, val | LAPIC_DFR_CLUSTER);
		return 0;
	case LAPIC_ICR2:
		lapic_set(apic->page, reg, val & 0xff000000);
		return 0;
	}
	return 1;
}

/**
 * lapic_reg_write() - write the register at @reg (a multiple of 16)
 * @apic: the vCPU's local APIC
 * @reg: offset of the register
 * @val: the value
 *
 * In x2APIC mode the value has been checked, and ICR does not come here.
 * Return: 0, or 1 if there is none that can be written.
 */
int lapic_reg_write(struct keel_lapic *apic, unsigned int reg, u32 val)
{
	switch (reg) {
	case LAPIC_TPR:
		if (unlikely(apic->tpr_reporting))
			lapic_report_tpr(apic, true);
		lapic_set(apic->page, reg, val & 0xff);
		keel_request(apic->vcpu, KEEL_REQ_EVENT);
		return 0;
	case LAPIC_EOI:
		lapic_eoi(apic);
		return 0;
	case LAPIC_SVR:
		write_svr(apic, val);
		return 0;
	case LAPIC_ESR:
		write_esr(apic);
		return 0;
	case LAPIC_ICR:
		write_icr(apic, val, lapic_get(apic->page, LAPIC_ICR2) >> 24);
		return 0;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		write_lvt(apic, array_index_nospec(reg, LAPIC_PAGE_SIZE), val);
		return 0;
	case LAPIC_TIMER_ICR:
		lapic_timer_set_count(apic, val);
		return 0;
	case LAPIC_TIMER_DCR:
		lapic_timer_set_divide(apic, val);
		return 0;
	case LAPIC_SELF_IPI:
		if (!lapic_x2apic(apic))
			return 1;
		lapic_send_ipi(apic, (val & 0xff) | APIC_DEST_ME << 18 | LAPIC_ICR_ASSERT, 0);
		return 0;
	}
	return write_xapic_only(apic, reg, val);
}

/* ---- xAPIC ------------------------------------------------------------------------- */

/* A page there, but no APIC behind it: user space's, unless the old quirk is on. */
static bool mmio_hole(struct keel_lapic *apic)
{
	return !lapic_hw_enabled(apic) || lapic_x2apic(apic);
}

/**
 * keel_lapic_mmio_match() - is @addr the guest's own local APIC?
 * @vcpu: the vCPU
 * @addr: guest physical address or port
 */
bool keel_lapic_mmio_match(struct keel_vcpu *vcpu, gpa_t addr)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic || addr >> 12 != vcpu->apic_base >> 12)
		return false;
	return !mmio_hole(apic) || !(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
}

/**
 * keel_lapic_mmio_read() - read from the page
 * @vcpu: the vCPU
 * @addr: guest physical address or port
 * @len: bytes of the access
 * @val: the value
 *
 * Registers are 32 bits at multiples of 16; what lies between reads as 0, and an
 * access across a register's end is undefined ('accessed using 128-bit aligned 32-bit
 * loads or stores'): 0 as well, with the error noted.
 */
int keel_lapic_mmio_read(struct keel_vcpu *vcpu, gpa_t addr, int len, void *val)
{
	struct keel_lapic *apic = vcpu->lapic;
	unsigned int off = addr & 0xfff;
	u32 data = 0;

	memset(val, 0, len);
	if (mmio_hole(apic)) {
		memset(val, 0xff, len);
		return 0;
	}
	if ((off & 0xf) + len > sizeof(data))
		return 0;
	if (lapic_reg_read(apic, off & ~0xf, &data))
		lapic_error(apic, LAPIC_ESR_BAD_REG);
	memcpy(val, (u8 *)&data + (off & 0xf), len);
	return 0;
}

/**
 * keel_lapic_mmio_write() - write to the page; only aligned 32-bit writes do anything
 * @vcpu: the vCPU
 * @addr: guest physical address or port
 * @len: bytes of the access
 * @val: the value
 */
int keel_lapic_mmio_write(struct keel_vcpu *vcpu, gpa_t addr, int len, const void *val)
{
	struct keel_lapic *apic = vcpu->lapic;
	unsigned int off = addr & 0xfff;
	u32 data;

	if (mmio_hole(apic) || len != sizeof(data) || off & 0xf)
		return 0;
	memcpy(&data, val, sizeof(data));
	if (lapic_reg_write(apic, off, data))
		lapic_error(apic, LAPIC_ESR_BAD_REG);
	return 0;
}

/* ---- x2APIC ------------------------------------------------------------------------ */

/**
 * keel_lapic_msr_read() - RDMSR of 0x800..0x8ff
 * @vcpu: the vCPU
 * @msr: its number
 * @data: the value
 *
 * Return: 0, or 1 for a #GP.
 */
int keel_lapic_msr_read(struct keel_vcpu *vcpu, u32 msr, u64 *data)
{
	struct keel_lapic *apic = vcpu->lapic;
	unsigned int reg = ((msr - X2APIC_MSR_FIRST) & 0xff) << 4;
	u32 val;

	if (!apic || !lapic_x2apic(apic))
		return 1;
	if (reg == LAPIC_ICR) {
		*data = apic->icr;
		return 0;
	}
	if (lapic_reg_read(apic, reg, &val))
		return 1;
	*data = val;
	return 0;
}

/**
 * keel_lapic_msr_write() - WRMSR of 0x800..0x8ff
 * @vcpu: the vCPU
 * @msr: its number
 * @data: the value
 *
 * Return: 0, or 1 for a #GP.
 */
int keel_lapic_msr_write(struct keel_vcpu *vcpu, u32 msr, u64 data)
{
	struct keel_lapic *apic = vcpu->lapic;
	unsigned int reg = ((msr - X2APIC_MSR_FIRST) & 0xff) << 4;

	if (!apic || !lapic_x2apic(apic))
		return 1;
	if (!lapic_x2apic_value_ok(reg, data, lapic_timer_mode_mask(vcpu),
				   lapic_version(apic) & LAPIC_VERSION_NO_BCAST))
		return 1;
	if (reg == LAPIC_ICR) {
		apic->icr = data & ~(u64)LAPIC_ICR_BUSY;
		write_icr(apic, data, data >> 32);
		return 0;
	}
	return lapic_reg_write(apic, reg, data);
}
