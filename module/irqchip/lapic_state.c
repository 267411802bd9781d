// SPDX-License-Identifier: GPL-2.0-only
/*
 * A local APIC read out and put back (KVM_GET_LAPIC, KVM_SET_LAPIC), and what
 * INIT and SIPI do to the vCPU.
 */
#include "lapic.h"

static_assert(sizeof(struct kvm_lapic_state) == KVM_APIC_REG_SIZE);

/*
 * In x2APIC mode the page that the client sees has an id of 32 bits if it asked
 * for that (KVM_CAP_X2APIC_API), else the low 8 in xAPIC's place.
 */
static u32 id_to_client(struct keel_lapic *apic)
{
	u32 id = lapic_get(apic->page, LAPIC_ID);

	if (lapic_x2apic(apic) && !apic->vcpu->vm->x2apic_api_32bit)
		id <<= 24;
	return id;
}

/* *@id becomes what the register holds; -EINVAL for an x2APIC id that is not the vCPU's. */
static int id_from_client(struct keel_lapic *apic, u32 *id)
{
	u32 mine = apic->vcpu->id;

	if (!lapic_x2apic(apic))
		return 0;
	if (apic->vcpu->vm->x2apic_api_32bit && *id != mine)
		return -EINVAL;
	*id = mine;
	return 0;
}

/**
 * keel_lapic_get_state() - KVM_GET_LAPIC; vcpu->mutex held
 * @vcpu: the vCPU
 * @s: its state
 */
int keel_lapic_get_state(struct keel_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic)
		return -EINVAL;
	lapic_timer_freeze(apic);
	lapic_take_posted(apic);
	memcpy(s->regs, apic->page, sizeof(s->regs));
	lapic_set(s->regs, LAPIC_ID, id_to_client(apic));
	lapic_set(s->regs, LAPIC_VERSION, lapic_version(apic));
	lapic_set(s->regs, LAPIC_PPR, lapic_ppr(apic->page));
	lapic_set(s->regs, LAPIC_TIMER_CCR, lapic_timer_saved_count(apic));
	if (lapic_x2apic(apic)) {
		lapic_set(s->regs, LAPIC_ICR, apic->icr);
		lapic_set(s->regs, LAPIC_ICR2, apic->icr >> 32);
	}
	lapic_timer_thaw(apic);
	return 0;
}

/* What a client puts in must be what the guest could have made of it. */
static void sanitise(struct keel_lapic *apic)
{
	u32 svr = lapic_get(apic->page, LAPIC_SVR);
	unsigned int reg;
	u32 mask, val;

	for (reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 0x10) {
		mask = lapic_lvt_mask(reg);
		if (reg == LAPIC_LVT_TIMER)
			mask |= LAPIC_LVT_TIMER_MODE;
		val = lapic_get(apic->page, reg);
		if (!(svr & LAPIC_SVR_ENABLE))
			val |= LAPIC_LVT_MASKED;
		lapic_set(apic->page, reg, val & mask);
	}
	lapic_set(apic->page, LAPIC_TPR, lapic_get(apic->page, LAPIC_TPR) & 0xff);
	lapic_set(apic->page, LAPIC_VERSION, lapic_version(apic));
	if (lapic_x2apic(apic))
		lapic_set(apic->page, LAPIC_LDR, lapic_x2apic_ldr(apic->vcpu->id));
	else
		lapic_set(apic->page, LAPIC_DFR,
			  lapic_get(apic->page, LAPIC_DFR) | LAPIC_DFR_CLUSTER);
}

/**
 * keel_lapic_set_state() - KVM_SET_LAPIC; vcpu->mutex held
 * @vcpu: the vCPU
 * @s: its state
 *
 * The mode follows IA32_APIC_BASE, which the client sets before (KVM_SET_SREGS).
 * Return: 0, -EINVAL without an APIC or for a wrong id.
 */
int keel_lapic_set_state(struct keel_vcpu *vcpu, const struct kvm_lapic_state *s)
{
	struct keel_lapic *apic = vcpu->lapic;
	u32 id = lapic_get(s->regs, LAPIC_ID);
	u32 old_lvt0;

	if (!apic || id_from_client(apic, &id))
		return -EINVAL;
	/* What came before is replaced, wherever it waits. */
	lapic_take_posted(apic);
	old_lvt0 = lapic_get(apic->page, LAPIC_LVT0);
	memcpy(apic->page, s->regs, sizeof(s->regs));
	lapic_set(apic->page, LAPIC_ID, id);
	sanitise(apic);
	lapic_lvt0_nmi_track(apic, old_lvt0, lapic_get(apic->page, LAPIC_LVT0));
	apic->icr = lapic_get(s->regs, LAPIC_ICR) | (u64)lapic_get(s->regs, LAPIC_ICR2) << 32;
	lapic_recount(apic);
	lapic_map_rebuild(vcpu->vm);
	lapic_timer_restore(apic, lapic_get(s->regs, LAPIC_TIMER_CCR));
	keel_request(vcpu, KEEL_REQ_EVENT);
	return 0;
}

/* ---- INIT and SIPI ----------------------------------------------------------------- */

bool keel_lapic_apic_event_pending(struct keel_vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->events);
}

/**
 * keel_lapic_latch_sipi() - KVM_SET_MP_STATE with SIPI_RECEIVED: the SIPI that a source
 * VM had not yet served; its vector is in the VCPU_EVENTS
 * @vcpu: the vCPU
 */
void keel_lapic_latch_sipi(struct keel_vcpu *vcpu)
{
	set_bit(LAPIC_EVENT_SIPI, &vcpu->lapic->events);
	keel_request(vcpu, KEEL_REQ_APIC_EVENT);
}

/**
 * keel_lapic_set_sipi_vector() - KVM_SET_VCPU_EVENTS: see keel_lapic_latch_sipi()
 * @vcpu: the vCPU
 * @vector: the vector
 */
void keel_lapic_set_sipi_vector(struct keel_vcpu *vcpu, u8 vector)
{
	if (vcpu->lapic)
		WRITE_ONCE(vcpu->lapic->sipi_vector, vector);
}

/* 'MP Initialization Protocol': real mode at vector << 12. */
static void start_at(struct keel_vcpu *vcpu, u8 vector)
{
	keel_need(vcpu, KEEL_R_CS);
	vcpu->cs.selector = vector << 8;
	vcpu->cs.base = (u32)vector << 12;
	keel_dirty(vcpu, KEEL_R_CS);
	keel_set_rip(vcpu, 0);
}

/**
 * keel_lapic_accept_events() - do what INIT and SIPI ask
 * @vcpu: the vCPU
 *
 * The vCPU's own thread, vcpu->mutex held.  INIT restarts the boot processor at the
 * reset vector and leaves the others waiting for a SIPI; a SIPI counts only then.
 */
void keel_lapic_accept_events(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic)
		return;
	if (test_and_clear_bit(LAPIC_EVENT_INIT, &apic->events)) {
		keel_vcpu_reset(vcpu, true);
		vcpu->mp_state = vcpu->id == vcpu->vm->bsp_id ? KVM_MP_STATE_RUNNABLE :
								KVM_MP_STATE_INIT_RECEIVED;
	}
	if (!test_and_clear_bit(LAPIC_EVENT_SIPI, &apic->events))
		return;
	/* Pairs with the barrier in lapic_accept(): the vector of this SIPI or a later one. */
	smp_mb__after_atomic();
	if (vcpu->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return;
	start_at(vcpu, READ_ONCE(apic->sipi_vector));
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}
