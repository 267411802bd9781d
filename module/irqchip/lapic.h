/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC of one vCPU, between the lapic*.c files.
 *
 * No lock.  Who writes what:
 *   IRR, TMR	anybody, by atomic bit operations; with vcpu->apicv the vCPU's own thread, while
 *		the guest does not run
 *   posted*	anybody, likewise
 *   ISR, TPR and all other registers: the vCPU's own thread (vcpu->mutex)
 *   @esr_latch, @events, @sipi_vector, @timer.pending: anybody, atomically
 * Others read LDR, DFR, ID, SVR and the LVTs without a lock, one 32-bit word at
 * a time, as a message on a real bus would meet whatever is there at that moment.
 */
#ifndef KEEL_LAPIC_H
#define KEEL_LAPIC_H

#include <linux/hrtimer.h>

#include "../keel.h"
#include "lapic_regs.h"

/* Bits of keel_lapic.events. */
#define LAPIC_EVENT_INIT	0
#define LAPIC_EVENT_SIPI	1

enum keel_timer_mode { LAPIC_ONE_SHOT, LAPIC_PERIODIC, LAPIC_TSC_DEADLINE, LAPIC_MODE_RSVD };

/**
 * struct keel_lapic_timer - see lapic_timer.c
 * @hrtimer: armed while the guest's timer counts
 * @pending: it ran out and the vCPU's thread has not yet taken notice
 * @running: the count register is not 0
 * @target: when it runs out next (CLOCK_MONOTONIC); written by the callback when periodic
 * @period: initial count in ns
 * @deadline: IA32_TSC_DEADLINE
 * @mode: enum keel_timer_mode, from the LVT
 * @divide: of the bus clock
 */
struct keel_lapic_timer {
	struct hrtimer hrtimer;
	atomic_t pending;
	bool running;
	ktime_t target;
	u64 period;
	u64 deadline;
	u32 mode;
	u32 divide;
};

/**
 * struct keel_lapic - one local APIC
 * @page: the registers, in KVM_GET_LAPIC's layout
 * @irr_hint: false only if IRR is empty; see highest_irr() in lapic.c
 * @posted, @posted_level, @posted_hint: with vcpu->apicv, what is to go to IRR and TMR, in their
 *	layout: the CPU changes those two in ways of its own while the guest runs
 * @isr_count: bits set in ISR
 * @icr: the 64-bit ICR of x2APIC mode
 * @arb: how often a lowest-priority message was won
 * @pv_eoi_msr, @pv_eoi_cache: MSR_KVM_PV_EOI_EN; with vcpu->pv_eoi_offered the guest may skip the
 *	EOI of the interrupt in service
 * @vapic_cache: the word of KVM_SET_VAPIC_ADDR, where vcpu->vapic says that there is one
 * @tpr_reporting, @tpr_access: KVM_TPR_ACCESS_REPORTING, and what is to be reported
 * @split_eoi: vector for KVM_EXIT_IOAPIC_EOI, -1 none
 * @ext_vector: what KVM_INTERRUPT queued with a split irqchip, -1 none
 */
struct keel_lapic {
	struct keel_vcpu *vcpu;
	void *page;
	bool irr_hint, posted_hint;
	u8 posted[0x80] __aligned(sizeof(long)), posted_level[0x80] __aligned(sizeof(long));
	int isr_count;
	u64 icr;
	unsigned int arb;
	unsigned long esr_latch;
	unsigned long events;
	u8 sipi_vector;
	int split_eoi;
	int ext_vector;
	struct keel_lapic_timer timer;
	u64 pv_eoi_msr;
	struct keel_gpa_cache pv_eoi_cache;
	struct keel_gpa_cache vapic_cache;
	bool tpr_reporting;
	struct {
		u64 rip;
		bool is_write;
	} tpr_access;
};

static inline bool lapic_hw_enabled(const struct keel_lapic *apic)
{
	return READ_ONCE(apic->vcpu->apic_base) & LAPIC_BASE_ENABLE;
}

static inline bool lapic_x2apic(const struct keel_lapic *apic)
{
	return lapic_mode(READ_ONCE(apic->vcpu->apic_base)) == KEEL_APIC_X2APIC;
}

static inline bool lapic_sw_enabled(const struct keel_lapic *apic)
{
	return lapic_get(apic->page, LAPIC_SVR) & LAPIC_SVR_ENABLE;
}

/* lapic.c */
void lapic_recount(struct keel_lapic *apic);
void lapic_take_posted(struct keel_lapic *apic);
void lapic_eoi(struct keel_lapic *apic);
void lapic_error(struct keel_lapic *apic, int esr_bit);
void lapic_lvt0_nmi_track(struct keel_lapic *apic, u32 old, u32 new);
u32 lapic_version(const struct keel_lapic *apic);

/* lapic_reg_io.c */
int lapic_reg_read(struct keel_lapic *apic, unsigned int reg, u32 *val);
int lapic_reg_write(struct keel_lapic *apic, unsigned int reg, u32 val);

/* vapic.c */
void lapic_report_tpr(struct keel_lapic *apic, bool write);

/* lapic_deliver.c */
bool lapic_accept(struct keel_lapic *apic, u8 delivery, u8 vector, bool level, bool trig_level);
bool lapic_local_deliver(struct keel_lapic *apic, unsigned int lvt);
void lapic_send_ipi(struct keel_lapic *apic, u32 low, u32 dest);
void lapic_map_rebuild(struct keel_vm *vm);
void lapic_map_drop(struct keel_vm *vm);

/* lapic_timer.c */
void lapic_timer_init(struct keel_lapic *apic);
void lapic_timer_stop(struct keel_lapic *apic);
void lapic_timer_lvt(struct keel_lapic *apic);
void lapic_timer_set_count(struct keel_lapic *apic, u32 count);
void lapic_timer_set_divide(struct keel_lapic *apic, u32 dcr);
u32 lapic_timer_count(struct keel_lapic *apic);
u32 lapic_timer_saved_count(struct keel_lapic *apic);
void lapic_timer_freeze(struct keel_lapic *apic);
void lapic_timer_thaw(struct keel_lapic *apic);
void lapic_timer_restore(struct keel_lapic *apic, u32 count);
u32 lapic_timer_mode_mask(struct keel_vcpu *vcpu);

#endif
