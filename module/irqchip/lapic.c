// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU's local APIC: its life, the way of an interrupt from IRR through ISR to
 * its EOI, and IA32_APIC_BASE.  Intel SDM vol. 3, 'Advanced Programmable Interrupt
 * Controller (APIC)'.
 */
#include <linux/kvm_para.h>
#include <linux/slab.h>

#include "chips.h"
#include "lapic.h"

/* ---- IRR to ISR to EOI ------------------------------------------------------------ */

/**
 * lapic_take_posted() - put into IRR and TMR what came for a vCPU with apicv
 * @apic: the vCPU's local APIC
 *
 * The vCPU's own thread, the guest not running.
 */
void lapic_take_posted(struct keel_lapic *apic)
{
	unsigned int off;

	/* Pairs with the order in accept_vector(): the bits first, then the hint. */
	xchg(&apic->posted_hint, false);
	for (off = 0; off < sizeof(apic->posted); off += 16) {
		u32 bits = xchg((u32 *)(apic->posted + off), 0);
		u32 level = lapic_get(apic->posted_level, off);

		if (!bits)
			continue;
		/* TMR first, as in accept_vector(), which may still be at work on the page itself. */
		atomic_andnot(bits & ~level, apic->page + LAPIC_TMR + off);
		atomic_or(bits & level, apic->page + LAPIC_TMR + off);
		atomic_or(bits, apic->page + LAPIC_IRR + off);
		WRITE_ONCE(apic->irr_hint, true);
	}
}

/*
 * The hint makes the common case, nothing there, one load.  Setters set the bit,
 * then the hint.  The taker clears the hint, then its bit, then looks again and
 * sets the hint for what it sees: a bit set before that look is seen, one set
 * after it has its setter's hint.
 */
static int highest_irr(struct keel_lapic *apic)
{
	if (unlikely(READ_ONCE(apic->posted_hint)))
		lapic_take_posted(apic);
	/* With apicv the guest's self-IPIs set bits without anybody's hint. */
	return READ_ONCE(apic->irr_hint) || apic->vcpu->apicv ?
	       lapic_vec_highest(apic->page, LAPIC_IRR) : -1;
}

static void clear_irr(struct keel_lapic *apic, u8 vector)
{
	WRITE_ONCE(apic->irr_hint, false);
	smp_mb__before_atomic();
	lapic_vec_clear(apic->page, LAPIC_IRR, vector);
	smp_mb__after_atomic();
	if (lapic_vec_highest(apic->page, LAPIC_IRR) >= 0)
		WRITE_ONCE(apic->irr_hint, true);
}

static u8 priority(struct keel_lapic *apic)
{
	return apic->isr_count || apic->vcpu->apicv ? lapic_ppr(apic->page) :
						      lapic_get(apic->page, LAPIC_TPR);
}

/**
 * keel_lapic_highest_irr() - the highest vector that waits, whatever the priority; -1 none
 * @vcpu: the vCPU
 */
int keel_lapic_highest_irr(struct keel_vcpu *vcpu)
{
	return vcpu->lapic ? highest_irr(vcpu->lapic) : -1;
}

/**
 * keel_lapic_pending() - the vector that can be delivered now, -1 none
 * @vcpu: the vCPU
 *
 * An APIC that software disabled still delivers what it holds ('Local APIC State
 * After It Has Been Software Disabled'); it only accepts nothing new.
 */
int keel_lapic_pending(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	int vector;

	if (!apic)
		return -1;
	vector = highest_irr(apic);
	if (vector < 0 || !lapic_hw_enabled(apic))
		return -1;
	return (vector & 0xf0) > (priority(apic) & 0xf0) ? vector : -1;
}

/**
 * keel_lapic_take() - keel_lapic_pending(), and move it from IRR to ISR
 * @vcpu: the vCPU
 */
int keel_lapic_take(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	int vector = keel_lapic_pending(vcpu);

	if (vector < 0)
		return -1;
	clear_irr(apic, vector);
	lapic_vec_set(apic->page, LAPIC_ISR, vector);
	apic->isr_count++;
	return vector;
}

/**
 * lapic_eoi() - the guest is done with the interrupt in service
 * @apic: the vCPU's local APIC
 *
 * With a level-triggered one the IOAPIC hears of it, unless software asked for no
 * broadcast; edge-triggered ones are told to the IOAPIC for its ack notifiers only.
 */
void lapic_eoi(struct keel_lapic *apic)
{
	int vector = lapic_vec_highest(apic->page, LAPIC_ISR);

	if (vector < 0)
		return;
	lapic_vec_clear(apic->page, LAPIC_ISR, vector);
	apic->isr_count--;
	apic->vcpu->apicv_stale = true;
	keel_request(apic->vcpu, KEEL_REQ_EVENT);
	keel_lapic_eoi_done(apic->vcpu, vector);
}

/**
 * keel_lapic_eoi_done() - tell who waits for it of an EOI that the APIC itself is done with
 * @vcpu: the vCPU
 * @vector: the interrupt that was in service
 */
void keel_lapic_eoi_done(struct keel_vcpu *vcpu, u8 vector)
{
	struct keel_lapic *apic = vcpu->lapic;
	bool level;

	level = lapic_vec_test(apic->page, LAPIC_TMR, vector);
	if (level && lapic_get(apic->page, LAPIC_SVR) & LAPIC_SVR_NO_EOI_BCAST)
		return;
	if (keel_irqchip_full(&vcpu->vm->irqchip)) {
		keel_ioapic_eoi(vcpu->vm, vector, level);
	} else if (level && keel_routes_have_level(vcpu->vm, vector)) {
		apic->split_eoi = vector;
		keel_request(vcpu, KEEL_REQ_IOAPIC_EOI);
	}
}

/* ---- local APICs in the CPU --------------------------------------------------------- */

/* The register page: the CPU's virtual-APIC page. */
void *keel_lapic_page(struct keel_vcpu *vcpu)
{
	return vcpu->lapic->page;
}

/**
 * keel_lapic_sync_irr() - before an entry with apicv: the highest vector of IRR, -1 none
 * @vcpu: the vCPU; interrupts off
 */
int keel_lapic_sync_irr(struct keel_vcpu *vcpu)
{
	return highest_irr(vcpu->lapic);
}

int keel_lapic_highest_isr(struct keel_vcpu *vcpu)
{
	return lapic_vec_highest(vcpu->lapic->page, LAPIC_ISR);
}

bool keel_lapic_in_service(struct keel_vcpu *vcpu, u8 vector)
{
	return lapic_vec_test(vcpu->lapic->page, LAPIC_ISR, vector);
}

/* Is the end of this interrupt of interest to anybody but its local APIC? */
static bool eoi_matters(struct keel_lapic *apic, u8 vector)
{
	struct keel_vm *vm = apic->vcpu->vm;

	if (keel_irqchip_full(&vm->irqchip))
		return lapic_vec_test(apic->page, LAPIC_TMR, vector) ||
		       keel_ioapic_has_vector(vm, vector);
	return lapic_vec_test(apic->page, LAPIC_TMR, vector);
}

/**
 * keel_lapic_eoi_exits() - which EOIs must not stay inside the CPU
 * @vcpu: the vCPU
 * @bits: a bit for each vector: those of interrupts that wait or are in service now are
 *	brought up to date
 */
void keel_lapic_eoi_exits(struct keel_vcpu *vcpu, u64 bits[4])
{
	struct keel_lapic *apic = vcpu->lapic;
	unsigned long word;
	unsigned int i, bit;

	for (i = 0; i < 8; i++) {
		word = lapic_get(apic->page, LAPIC_IRR + i * 16) |
		       lapic_get(apic->page, LAPIC_ISR + i * 16);
		for_each_set_bit(bit, &word, 32)
			__assign_bit(i * 32 + bit, (unsigned long *)bits,
				     eoi_matters(apic, i * 32 + bit));
	}
}

/**
 * keel_lapic_written() - the guest has written a register of the page without an exit before
 * @vcpu: the vCPU
 * @reg: offset of the register
 */
void keel_lapic_written(struct keel_vcpu *vcpu, unsigned int reg)
{
	struct keel_lapic *apic = vcpu->lapic;

	reg = array_index_nospec(reg & 0xff0, LAPIC_PAGE_SIZE);
	lapic_reg_write(apic, reg, lapic_get(apic->page, reg));
}

/* In x2APIC mode the CPU can do it, where there is one that can at all. */
static void update_apicv(struct keel_lapic *apic)
{
	bool on = keel_caps.apicv && lapic_x2apic(apic);

	if (apic->vcpu->apicv == on)
		return;
	WRITE_ONCE(apic->vcpu->apicv, on);
	lapic_recount(apic);
	keel_request(apic->vcpu, KEEL_REQ_EVENT);
}

/**
 * keel_lapic_take_split_eoi() - an EOI that the IOAPIC in user space must hear of
 * @vcpu: the vCPU
 * @vector: the vector
 */
bool keel_lapic_take_split_eoi(struct keel_vcpu *vcpu, u8 *vector)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic || apic->split_eoi < 0)
		return false;
	*vector = apic->split_eoi;
	apic->split_eoi = -1;
	return true;
}

/**
 * lapic_error() - note an error for ESR and raise the error interrupt, once until
 * software writes ESR ('Error Handling')
 * @apic: the vCPU's local APIC
 * @esr_bit: LAPIC_ESR_*
 *
 * The interrupt's own vector may be illegal; that error then finds its bit set or
 * sets it, so the recursion ends.
 */
void lapic_error(struct keel_lapic *apic, int esr_bit)
{
	if (!test_and_set_bit(esr_bit, &apic->esr_latch))
		lapic_local_deliver(apic, LAPIC_LVT_ERROR);
}

/* ---- task priority, ExtINT --------------------------------------------------------- */

u8 keel_lapic_tpr(struct keel_vcpu *vcpu)
{
	return vcpu->lapic ? lapic_get(vcpu->lapic->page, LAPIC_TPR) >> 4 & 0xf : 0;
}

void keel_lapic_set_tpr(struct keel_vcpu *vcpu, u8 cr8)
{
	struct keel_lapic *apic = vcpu->lapic;
	u32 old;

	if (!apic)
		return;
	old = lapic_get(apic->page, LAPIC_TPR);
	lapic_set(apic->page, LAPIC_TPR, (cr8 & 0xf) << 4);
	/* Something that was held back may go now. */
	if ((cr8 & 0xf) < old >> 4 && READ_ONCE(apic->irr_hint))
		keel_request(vcpu, KEEL_REQ_EVENT);
}

/**
 * keel_lapic_accepts_extint() - does LINT0 let the PIC's INTR through?  A disabled
 * APIC has it wired to the processor ('Local Vector Table', 'Enabling or Disabling
 * the Local APIC').
 * @vcpu: the vCPU
 */
bool keel_lapic_accepts_extint(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	u32 lvt0;

	if (!apic)
		return false;
	if (!lapic_hw_enabled(apic))
		return true;
	lvt0 = lapic_get(apic->page, LAPIC_LVT0);
	return !(lvt0 & LAPIC_LVT_MASKED) && (lvt0 >> 8 & 7) == APIC_DELIVER_EXTINT;
}

/**
 * keel_lapic_set_extint() - KVM_INTERRUPT with a split irqchip
 * @vcpu: the vCPU
 * @vector: the vector
 *
 * Return: 0, -EEXIST while one waits.
 */
int keel_lapic_set_extint(struct keel_vcpu *vcpu, u8 vector)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (apic->ext_vector >= 0)
		return -EEXIST;
	apic->ext_vector = vector;
	keel_request(vcpu, KEEL_REQ_EVENT);
	return 0;
}

/* The vector that waits, -1 none; with @take it is gone then. */
int keel_lapic_extint(struct keel_vcpu *vcpu, bool take)
{
	int vector = vcpu->lapic->ext_vector;

	if (take)
		vcpu->lapic->ext_vector = -1;
	return vector;
}

static bool lvt0_is_nmi(u32 lvt0)
{
	return !(lvt0 & LAPIC_LVT_MASKED) && (lvt0 >> 8 & 7) == APIC_DELIVER_NMI;
}

/* Keep count of the APICs that take the PIT's ticks as NMIs (the NMI watchdog of old). */
void lapic_lvt0_nmi_track(struct keel_lapic *apic, u32 old, u32 new)
{
	atomic_add(lvt0_is_nmi(new) - lvt0_is_nmi(old), &apic->vcpu->vm->irqchip.lvt0_nmi);
}

/**
 * keel_lapic_pit_nmi() - a PIT tick reached LINT0; an NMI if LVT0 says so
 * @vcpu: the vCPU
 */
void keel_lapic_pit_nmi(struct keel_vcpu *vcpu)
{
	if (vcpu->lapic && lvt0_is_nmi(lapic_get(vcpu->lapic->page, LAPIC_LVT0)))
		lapic_local_deliver(vcpu->lapic, LAPIC_LVT0);
}

/* ---- IA32_APIC_BASE ---------------------------------------------------------------- */

/* EOI broadcasts can be suppressed where the IOAPIC has an EOI register: not in ours. */
u32 lapic_version(const struct keel_lapic *apic)
{
	struct keel_vcpu *vcpu = apic->vcpu;

	if (!keel_irqchip_full(&vcpu->vm->irqchip) && keel_guest_has(vcpu, X86_FEATURE_X2APIC))
		return LAPIC_VERSION_BASE | LAPIC_VERSION_NO_BCAST;
	return LAPIC_VERSION_BASE;
}

static void set_ids(struct keel_lapic *apic)
{
	u32 id = apic->vcpu->id;

	if (lapic_x2apic(apic)) {
		lapic_set(apic->page, LAPIC_ID, id);
		lapic_set(apic->page, LAPIC_LDR, lapic_x2apic_ldr(id));
	} else {
		lapic_set(apic->page, LAPIC_ID, id << 24);
		lapic_set(apic->page, LAPIC_LDR, 0);
	}
}

/**
 * lapic_recount() - make hint and count agree with a page that was put in whole
 * @apic: the vCPU's local APIC
 */
void lapic_recount(struct keel_lapic *apic)
{
	apic->isr_count = lapic_vec_count(apic->page, LAPIC_ISR);
	apic->vcpu->apicv_stale = true;
	WRITE_ONCE(apic->irr_hint, true);
}

/* The registers' values after power-up; the mode and in it the id are set already. */
static void reset_regs(struct keel_lapic *apic)
{
	struct keel_vm *vm = apic->vcpu->vm;
	u32 old_lvt0 = lapic_get(apic->page, LAPIC_LVT0);
	u32 new_lvt0 = LAPIC_LVT_MASKED;

	lapic_timer_stop(apic);
	/* The hint first: an interrupt that arrives meanwhile sets both after that. */
	WRITE_ONCE(apic->irr_hint, false);
	smp_mb();
	lapic_take_posted(apic);
	lapic_regs_reset(apic->page, true);
	apic->isr_count = 0;
	apic->vcpu->apicv_stale = true;
	if (lapic_x2apic(apic))
		lapic_set(apic->page, LAPIC_LDR, lapic_x2apic_ldr(apic->vcpu->id));
	/* Firmware that never heard of an APIC expects the PIC to get through. */
	if (vm->bsp_id == apic->vcpu->id && !(vm->disabled_quirks & KVM_X86_QUIRK_LINT0_REENABLED))
		new_lvt0 = APIC_DELIVER_EXTINT << 8;
	lapic_set(apic->page, LAPIC_LVT0, new_lvt0);
	lapic_lvt0_nmi_track(apic, old_lvt0, new_lvt0);
	lapic_timer_restore(apic, 0);
	apic->icr = 0;
	apic->esr_latch = 0;
}

static void base_changed(struct keel_lapic *apic, u64 old, u64 new, bool host)
{
	if (lapic_mode(old) == lapic_mode(new))
		return;
	/* Turning it off forgets everything; user space, though, restores in any order. */
	if (lapic_mode(new) == KEEL_APIC_DISABLED && !host)
		reset_regs(apic);
	else if (lapic_mode(new) != KEEL_APIC_DISABLED)
		set_ids(apic);
	update_apicv(apic);
	lapic_map_rebuild(apic->vcpu->vm);
	keel_request(apic->vcpu, KEEL_REQ_EVENT);
}

/**
 * keel_lapic_set_base() - write of IA32_APIC_BASE, with or without an APIC in the kernel
 * @vcpu: the vCPU
 * @base: offset of the first word
 * @host: user space's write
 *
 * Return: 0, or 1 for a #GP.
 */
int keel_lapic_set_base(struct keel_vcpu *vcpu, u64 base, bool host)
{
	u64 reserved = vcpu->cpuid.gpa_rsvd | 0x2ff;
	u64 old = vcpu->apic_base;

	if (!keel_guest_has(vcpu, X86_FEATURE_X2APIC))
		reserved |= LAPIC_BASE_X2APIC;
	if (!lapic_base_ok(old, base, reserved, host))
		return 1;
	WRITE_ONCE(vcpu->apic_base, base);
	if ((old ^ base) & LAPIC_BASE_ENABLE)
		keel_cpuid_runtime_update(vcpu);
	if (vcpu->lapic)
		base_changed(vcpu->lapic, old, base, host);
	return 0;
}

/* ---- paravirtual EOI ---------------------------------------------------------------- */

u64 keel_pv_eoi_get(struct keel_vcpu *vcpu)
{
	return vcpu->lapic ? vcpu->lapic->pv_eoi_msr : 0;
}

/**
 * keel_pv_eoi_set() - MSR_KVM_PV_EOI_EN: where the guest and we meet
 * @vcpu: the vCPU
 * @data: the value
 *
 * Return: 0, or 1 for a #GP.
 */
int keel_pv_eoi_set(struct keel_vcpu *vcpu, u64 data)
{
	gpa_t gpa = data & ~(u64)KVM_MSR_ENABLED;
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic || !IS_ALIGNED(gpa, 4))
		return 1;
	if (data & KVM_MSR_ENABLED &&
	    keel_gpa_cache_init(vcpu->vm, &apic->pv_eoi_cache, gpa, sizeof(u8)))
		return 1;
	apic->pv_eoi_msr = data;
	vcpu->pv_eoi = data & KVM_MSR_ENABLED;
	return 0;
}

/**
 * keel_pv_eoi_sync_to() - before entry: let the guest skip the EOI of the interrupt
 * in service, if nobody but this APIC needs to know of it and nothing waits behind it
 * @vcpu: the vCPU
 *
 * Called with vcpu->pv_eoi.  Does not sleep; where the guest's page is not there the guest writes
 * its EOI as ever.
 */
void keel_pv_eoi_sync_to(struct keel_vcpu *vcpu)
{
	const u8 skip = 1 << KVM_PV_EOI_BIT;
	struct keel_lapic *apic = vcpu->lapic;
	int vector;

	/* With apicv an EOI does not exit, nor does isr_count hold. */
	if (vcpu->pv_eoi_offered || vcpu->apicv || !apic->isr_count || READ_ONCE(apic->irr_hint))
		return;
	vector = lapic_vec_highest(apic->page, LAPIC_ISR);
	if (lapic_vec_test(apic->page, LAPIC_TMR, vector) ||
	    keel_ioapic_has_vector(vcpu->vm, vector))
		return;
	if (!keel_gpa_cache_write_atomic(vcpu, &apic->pv_eoi_cache, &skip, 0, sizeof(skip)))
		vcpu->pv_eoi_offered = true;
}

/**
 * keel_pv_eoi_sync_from() - after exit: did the guest skip an EOI?  Must come before
 * anybody looks at this APIC's ISR or PPR
 * @vcpu: the vCPU
 *
 * Called with vcpu->pv_eoi_offered.  With the vCPU loaded it does not sleep.  Return: false if
 * it would have to (the guest's page has gone meanwhile): the caller puts the vCPU and calls again.
 */
bool keel_pv_eoi_sync_from(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	bool sleep = !vcpu->loaded;
	const u8 none = 0;
	u8 val;
	int ret;

	ret = (sleep ? keel_gpa_cache_read : keel_gpa_cache_read_atomic)
	      (vcpu->vm, &apic->pv_eoi_cache, &val, 0, sizeof(val));
	/* The guest clears the bit when it is done; else the offer is taken back. */
	if (!ret && val & 1 << KVM_PV_EOI_BIT)
		ret = (sleep ? keel_gpa_cache_write : keel_gpa_cache_write_atomic)
		      (vcpu, &apic->pv_eoi_cache, &none, 0, sizeof(none));
	else if (!ret)
		lapic_eoi(apic);
	if (ret && !sleep)
		return false;
	/* What the host has no page for now is looked at after the next exit. */
	vcpu->pv_eoi_offered = ret == -EFAULT;
	return true;
}

/* ---- life --------------------------------------------------------------------------- */

/**
 * keel_lapic_reset() - the state after RESET or INIT; IA32_APIC_BASE's as well where the
 * APIC is user space's
 * @vcpu: the vCPU
 * @init: INIT, which leaves id and mode alone ('Local APIC State After It Receives an
 *	INIT')
 */
void keel_lapic_reset(struct keel_vcpu *vcpu, bool init)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!init) {
		u64 bsp = vcpu->vm->bsp_id == vcpu->id ? LAPIC_BASE_BSP : 0;

		WRITE_ONCE(vcpu->apic_base, LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE | bsp);
	}
	if (!apic)
		return;
	if (!init) {
		set_ids(apic);
		apic->events = 0;
		apic->arb = 0;
	}
	reset_regs(apic);
	update_apicv(apic);
	apic->pv_eoi_msr = 0;
	vcpu->pv_eoi = false;
	vcpu->pv_eoi_offered = false;
	vcpu->vapic = false;
	apic->split_eoi = -1;
	apic->ext_vector = -1;
	if (vcpu->published)
		lapic_map_rebuild(vcpu->vm);
	else
		lapic_map_drop(vcpu->vm);
}

/**
 * keel_lapic_create() - give a new vCPU its local APIC; the caller resets it
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int keel_lapic_create(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic;

	apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);
	if (!apic)
		return -ENOMEM;
	apic->page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!apic->page) {
		kfree(apic);
		return -ENOMEM;
	}
	/* As if masked: the count of NMI-mode LVT0s starts from here. */
	lapic_set(apic->page, LAPIC_LVT0, LAPIC_LVT_MASKED);
	apic->vcpu = vcpu;
	apic->split_eoi = -1;
	apic->ext_vector = -1;
	lapic_timer_init(apic);
	vcpu->lapic = apic;
	return 0;
}

/**
 * keel_lapic_free() - undo keel_lapic_create(); no message can reach the vCPU any more
 * @vcpu: the vCPU
 */
void keel_lapic_free(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;

	vcpu->lapic = NULL;
	hrtimer_cancel(&apic->timer.hrtimer);
	free_page((unsigned long)apic->page);
	kfree(apic);
}
