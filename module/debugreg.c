// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's debug registers, and the host's breakpoints around them
 * (SDM vol. 3, "Debug Registers"; APM vol. 2, "Software-Debug Resources").
 */
#include <linux/nospec.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <asm/processor.h>
#include <asm/debugreg.h>

#include "keel.h"
#include "state.h"

#define KEEL_DR6_BITS	0xe00fUL	/* B0-B3, BD, BS, BT */
#define KEEL_DR7_INIT	0x400UL
#define KEEL_DR7_BITS	0xffff2bffUL	/* what a guest can set; bit 10 is always 1 */

static void keel_put_dr6(struct keel_vcpu *vcpu, unsigned long val)
{
	/* RTM and the bus-lock bit read as 1, since the guest has neither feature. */
	vcpu->dr6 = (val & KEEL_DR6_BITS) | KEEL_DR6_FIXED;
}

static void keel_put_dr7(struct keel_vcpu *vcpu, unsigned long val)
{
	vcpu->dr7 = (val & KEEL_DR7_BITS) | KEEL_DR7_INIT;
}

/**
 * keel_dr_reset() - as after RESET and INIT; the caller marks KEEL_R_DR dirty
 * @vcpu: the vCPU
 */
void keel_dr_reset(struct keel_vcpu *vcpu)
{
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	vcpu->dr6 = KEEL_DR6_FIXED;
	vcpu->dr7 = KEEL_DR7_INIT;
}

/**
 * keel_set_dr() - write a debug register
 * @vcpu: the vCPU
 * @dr: 0..7; 4 and 5 are 6 and 7 (the caller has raised #UD if CR4.DE forbids that)
 * @val: the value
 */
int keel_set_dr(struct keel_vcpu *vcpu, int dr, unsigned long val)
{
	if (dr < 4) {
		vcpu->dr[array_index_nospec(dr, 4)] = val;
		return 0;
	}
	if (val >> 32)
		return 1;
	keel_need(vcpu, KEEL_R_DR);
	if (dr == 4 || dr == 6)
		keel_put_dr6(vcpu, val);
	else
		keel_put_dr7(vcpu, val);
	keel_dirty(vcpu, KEEL_R_DR);
	return 0;
}

unsigned long keel_get_dr(struct keel_vcpu *vcpu, int dr)
{
	if (dr < 4)
		return vcpu->dr[array_index_nospec(dr, 4)];
	keel_need(vcpu, KEEL_R_DR);
	return dr == 4 || dr == 6 ? vcpu->dr6 : vcpu->dr7;
}

/**
 * keel_dr_take_back() - the guest had the debug registers to itself (vcpu->dr_open)
 * @vcpu: the vCPU, right after the exit; interrupts off
 * @dr6: its DR6
 * @dr7: its DR7
 *
 * DR0-3 follow in keel_switch_host_dr().
 */
void keel_dr_take_back(struct keel_vcpu *vcpu, unsigned long dr6, unsigned long dr7)
{
	keel_put_dr6(vcpu, dr6);
	keel_put_dr7(vcpu, dr7);
	keel_dirty(vcpu, KEEL_R_DR);
}

/* The host's own breakpoints while a guest's are in the registers. */
static DEFINE_PER_CPU(unsigned long [4], keel_host_dr);

/**
 * keel_switch_guest_dr() - put the guest's breakpoint addresses into the CPU
 * @vcpu: the vCPU
 *
 * Interrupts off, before entry, if keel_wants_dr().  DR6 and DR7 are switched by the
 * hardware; DR0-3 only matter while DR7 enables one.
 */
void keel_switch_guest_dr(struct keel_vcpu *vcpu)
{
	unsigned long *host = this_cpu_ptr(keel_host_dr);

	if (hw_breakpoint_active()) {
		get_debugreg(host[0], 0);
		get_debugreg(host[1], 1);
		get_debugreg(host[2], 2);
		get_debugreg(host[3], 3);
	}
	/* None of the guest's addresses may be live under the host's DR7. */
	set_debugreg(0, 7);
	set_debugreg(vcpu->dr[0], 0);
	set_debugreg(vcpu->dr[1], 1);
	set_debugreg(vcpu->dr[2], 2);
	set_debugreg(vcpu->dr[3], 3);
	vcpu->dr_live = true;
}

/**
 * keel_switch_host_dr() - undo keel_switch_guest_dr()
 * @vcpu: the vCPU
 *
 * Interrupts off, after exit, if vcpu->dr_live or hw_breakpoint_active().  Exits of either
 * vendor leave DR7 with all breakpoints off (APM vol. 2, "#VMEXIT"; SDM vol. 3, "Loading Host
 * State"), so the host's must come back even if the guest had none.  cpu_dr7 is what the kernel last wrote.
 */
void keel_switch_host_dr(struct keel_vcpu *vcpu)
{
	unsigned long *host = this_cpu_ptr(keel_host_dr);

	if (vcpu->dr_open) {
		get_debugreg(vcpu->dr[0], 0);
		get_debugreg(vcpu->dr[1], 1);
		get_debugreg(vcpu->dr[2], 2);
		get_debugreg(vcpu->dr[3], 3);
		vcpu->dr_open = false;
	}
	if (vcpu->dr_live && hw_breakpoint_active()) {
		set_debugreg(host[0], 0);
		set_debugreg(host[1], 1);
		set_debugreg(host[2], 2);
		set_debugreg(host[3], 3);
	}
	vcpu->dr_live = false;
	/* The guest's hits must not look like the host's at the next #DB. */
	set_debugreg(DR6_RESERVED, 6);
	set_debugreg(__this_cpu_read(cpu_dr7), 7);
}

int keel_get_debugregs(struct keel_vcpu *vcpu, struct kvm_debugregs *d)
{
	memset(d, 0, sizeof(*d));
	keel_need(vcpu, KEEL_R_DR);
	memcpy(d->db, vcpu->dr, sizeof(vcpu->dr));
	d->dr6 = vcpu->dr6;
	d->dr7 = vcpu->dr7;
	return 0;
}

int keel_set_debugregs(struct keel_vcpu *vcpu, struct kvm_debugregs *d)
{
	if (d->flags || (d->dr6 >> 32) || (d->dr7 >> 32))
		return -EINVAL;
	memcpy(vcpu->dr, d->db, sizeof(vcpu->dr));
	keel_put_dr6(vcpu, d->dr6);
	keel_put_dr7(vcpu, d->dr7);
	keel_dirty(vcpu, KEEL_R_DR);
	return 0;
}
