// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages to local APICs: who is meant, and what they do with it.  Any context,
 * interrupts on or off, under the chips' locks.  Intel SDM vol. 3, 'Determining
 * IPI Destination', 'Interrupt Acceptance for Fixed Interrupts'.
 */
#include <linux/kvm_para.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "lapic.h"

/* All APICs in the same logical mode, or no fast way for logical destinations. */
enum map_mode { MAP_NONE = 0, MAP_X2APIC = 1, MAP_FLAT = 2, MAP_CLUSTER = 4 };

/**
 * struct keel_apic_map - from a destination to vCPUs, in one step
 * @rcu: frees it
 * @mode: bits of enum map_mode of all APICs; the fast way exists if there is one
 * @phys: by id; NULL: ask everybody
 * @phys_ok: no two have the same id
 * @logical: flat: [0][bit]; cluster: [cluster][bit]; x2APIC follows from phys
 * @logical_ok: no two have the same logical bit, none has several
 *
 * A cache of the registers LDR, DFR, ID and IA32_APIC_BASE, made whole whenever
 * one of them changes, and replaced through RCU.  Without it (no memory for it)
 * everybody is asked.
 */
struct keel_apic_map {
	struct rcu_head rcu;
	unsigned int mode;
	bool phys_ok, logical_ok;
	struct keel_vcpu *phys[KEEL_MAX_VCPU_ID];
	struct keel_vcpu *logical[16][8];
};

/* ---- acceptance ------------------------------------------------------------------- */

static void notify(struct keel_vcpu *vcpu, enum keel_request req)
{
	keel_request(vcpu, req);
	keel_vcpu_kick(vcpu);
}

/*
 * While the CPU has IRR and TMR to itself, what comes waits beside them, until the vCPU's thread
 * puts it in.  A sender that still sees the old mode puts the vector where the thread looks in
 * either.
 */
static bool post_vector(struct keel_lapic *apic, u8 vector, bool trig_level)
{
	if (trig_level)
		lapic_vec_set(apic->posted_level, 0, vector);
	else
		lapic_vec_clear(apic->posted_level, 0, vector);
	if (lapic_vec_test_and_set(apic->posted, 0, vector))
		return true;
	/* After the bit, which is a full barrier. */
	WRITE_ONCE(apic->posted_hint, true);
	notify(apic->vcpu, KEEL_REQ_EVENT);
	return true;
}

static bool accept_vector(struct keel_lapic *apic, u8 vector, bool trig_level)
{
	if (!lapic_sw_enabled(apic))
		return false;
	if (vector < 16) {
		lapic_error(apic, LAPIC_ESR_RECV_ILLEGAL);
		return false;
	}
	if (READ_ONCE(apic->vcpu->apicv))
		return post_vector(apic, vector, trig_level);
	/* TMR before IRR: whoever takes the vector must find the right mode for its EOI. */
	if (lapic_vec_test(apic->page, LAPIC_TMR, vector) != trig_level) {
		if (trig_level)
			lapic_vec_set(apic->page, LAPIC_TMR, vector);
		else
			lapic_vec_clear(apic->page, LAPIC_TMR, vector);
	}
	/* Already waiting: whoever set it has kicked or is about to. */
	if (lapic_vec_test_and_set(apic->page, LAPIC_IRR, vector))
		return true;
	/* The CPU has come to deliver meanwhile, and may have overwritten the bit: twice, or once. */
	if (unlikely(READ_ONCE(apic->vcpu->apicv)))
		return post_vector(apic, vector, trig_level);
	WRITE_ONCE(apic->irr_hint, true);
	notify(apic->vcpu, KEEL_REQ_EVENT);
	return true;
}

/**
 * lapic_accept() - one message has reached its APIC
 * @apic: the vCPU's local APIC
 * @delivery: enum keel_apic_dm
 * @vector: the vector
 * @level: asserted; only the deassertion of INIT and of level lines has it false
 * @trig_level: level-triggered
 *
 * Return: true if it was accepted.
 */
bool lapic_accept(struct keel_lapic *apic, u8 delivery, u8 vector, bool level, bool trig_level)
{
	struct keel_vcpu *vcpu = apic->vcpu;

	switch (delivery) {
	case APIC_DELIVER_LOWEST:
		WRITE_ONCE(apic->arb, apic->arb + 1);
		fallthrough;
	case APIC_DELIVER_FIXED:
		if (trig_level && !level)
			return false;
		return accept_vector(apic, vector, trig_level);
	case APIC_DELIVER_NMI:
		keel_queue_nmi(vcpu);
		keel_vcpu_kick(vcpu);
		return true;
	case APIC_DELIVER_REMOTE:
		/* Has no use on modern processors; KVM_HC_KICK_CPU is delivered this way. */
		WRITE_ONCE(vcpu->pv_unhalted, true);
		notify(vcpu, KEEL_REQ_EVENT);
		return true;
	case APIC_DELIVER_INIT:
		if (trig_level && !level)
			return false;
		/* A SIPI from before the INIT is void. */
		xchg(&apic->events, BIT(LAPIC_EVENT_INIT));
		notify(vcpu, KEEL_REQ_APIC_EVENT);
		return true;
	case APIC_DELIVER_SIPI:
		WRITE_ONCE(apic->sipi_vector, vector);
		/* Pairs with the barrier in keel_lapic_accept_events(). */
		smp_mb__before_atomic();
		set_bit(LAPIC_EVENT_SIPI, &apic->events);
		notify(vcpu, KEEL_REQ_APIC_EVENT);
		return true;
	}
	/* SMI: no SMM.  ExtINT: the PIC's output is looked at directly, see keel_irq_pending(). */
	return false;
}

/**
 * lapic_local_deliver() - an interrupt of the APIC's own, through its LVT entry
 * @apic: the vCPU's local APIC
 * @lvt: offset of the LVT register
 */
bool lapic_local_deliver(struct keel_lapic *apic, unsigned int lvt)
{
	u32 reg = lapic_get(apic->page, lvt);

	if (!lapic_hw_enabled(apic) || reg & LAPIC_LVT_MASKED)
		return false;
	return lapic_accept(apic, (reg >> 8) & 7, reg & 0xff, true,
			    lvt == LAPIC_LVT0 && reg & LAPIC_LVT_LEVEL);
}

/* ---- the map ---------------------------------------------------------------------- */

static void map_logical(struct keel_apic_map *map, struct keel_vcpu *vcpu, u32 ldr, bool flat)
{
	u32 id = ldr >> 24;
	u32 cluster = flat ? 0 : id >> 4;
	u32 bits = flat ? id : id & 0xf;
	struct keel_vcpu **slot;

	if (!bits)
		return;
	slot = &map->logical[cluster][__ffs(bits)];
	if (*slot || bits & (bits - 1))
		map->logical_ok = false;
	*slot = vcpu;
}

static void map_add(struct keel_apic_map *map, struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;
	u32 id = lapic_get(apic->page, LAPIC_ID) >> 24;
	bool flat = lapic_get(apic->page, LAPIC_DFR) >> 28 == 0xf;

	if (!lapic_hw_enabled(apic))
		return;
	if (lapic_x2apic(apic)) {
		id = vcpu->id;
		map->mode |= MAP_X2APIC;
	} else {
		map->mode |= flat ? MAP_FLAT : MAP_CLUSTER;
		map_logical(map, vcpu, lapic_get(apic->page, LAPIC_LDR), flat);
	}
	if (map->phys[id])
		map->phys_ok = false;
	map->phys[id] = vcpu;
}

/**
 * lapic_map_rebuild() - an APIC's id, logical id, destination format or mode changed
 * @vm: the VM
 *
 * May not sleep: it follows a register write, which an exit handler may serve with
 * preemption off.
 */
void lapic_map_rebuild(struct keel_vm *vm)
{
	struct keel_irqchip *chip = &vm->irqchip;
	struct keel_apic_map *new, *old;
	struct keel_vcpu *vcpu;
	unsigned long flags;
	int i;

	/*
	 * A guest can ask for this as fast as it can write a register, and old maps wait for
	 * RCU: charged to the client, and not out of the reserves for interrupts.
	 */
	new = kzalloc(sizeof(*new), GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT);
	/*
	 * All registers are read inside the lock: of two that change at a time, the later
	 * rebuild sees both.
	 */
	raw_spin_lock_irqsave(&chip->apic_map_lock, flags);
	if (new) {
		new->phys_ok = true;
		new->logical_ok = true;
		keel_for_each_vcpu(i, vcpu, vm) {
			if (vcpu->lapic)
				map_add(new, vcpu);
		}
	}
	old = rcu_replace_pointer(chip->apic_map, new, lockdep_is_held(&chip->apic_map_lock));
	raw_spin_unlock_irqrestore(&chip->apic_map_lock, flags);
	if (old)
		kfree_rcu(old, rcu);
}

/**
 * lapic_map_drop() - do without a map, until an APIC asks for a new one
 * @vm: the VM
 *
 * For a vCPU that is about to appear: its APIC changes as its guest begins.  Or for the VM's end.
 */
void lapic_map_drop(struct keel_vm *vm)
{
	struct keel_irqchip *chip = &vm->irqchip;
	struct keel_apic_map *old;
	unsigned long flags;

	raw_spin_lock_irqsave(&chip->apic_map_lock, flags);
	old = rcu_replace_pointer(chip->apic_map, NULL, lockdep_is_held(&chip->apic_map_lock));
	raw_spin_unlock_irqrestore(&chip->apic_map_lock, flags);
	if (old)
		kfree_rcu(old, rcu);
}

/* ---- destinations ----------------------------------------------------------------- */

/* vCPUs that a message is for, by index. */
struct dest_set {
	DECLARE_BITMAP(idx, KEEL_MAX_VCPUS);
};

static void add(struct dest_set *set, struct keel_vcpu *vcpu)
{
	__set_bit(vcpu->idx, set->idx);
}

/*
 * An 8-bit id of 0xff from a device is a broadcast to x2APICs as well, unless the
 * client turned that off: MSIs from before there were wider ids meant it so.
 */
static u32 dest_for(struct keel_vcpu *vcpu, const struct keel_apic_msg *msg, bool ipi)
{
	if (msg->dest_id == LAPIC_ID_BROADCAST && !ipi && lapic_x2apic(vcpu->lapic) &&
	    !vcpu->vm->x2apic_no_broadcast_quirk)
		return LAPIC_X2ID_BROADCAST;
	return msg->dest_id;
}

static void find_slow(struct keel_vm *vm, struct keel_vcpu *src, const struct keel_apic_msg *msg,
		      struct dest_set *set)
{
	struct keel_apic_ident me;
	struct keel_vcpu *vcpu;
	int i;

	keel_for_each_vcpu(i, vcpu, vm) {
		if (!vcpu->lapic || !lapic_hw_enabled(vcpu->lapic))
			continue;
		me.x2apic = lapic_x2apic(vcpu->lapic);
		me.x2id = vcpu->id;
		if (msg->shorthand == APIC_DEST_ALL ||
		    (msg->shorthand == APIC_DEST_OTHERS && vcpu != src) ||
		    (msg->shorthand == APIC_DEST_FIELD &&
		     lapic_match(vcpu->lapic->page, &me, dest_for(vcpu, msg, src), msg->logical)))
			add(set, vcpu);
	}
}

/* x2APIC clusters are runs of 16 ids. */
static bool find_x2apic(const struct keel_apic_map *map, u32 dest, struct dest_set *set)
{
	unsigned long bits = dest & 0xffff;
	u32 cluster = dest >> 16;
	unsigned int bit;

	if (cluster >= KEEL_MAX_VCPU_ID / 16)
		return true;
	cluster = array_index_nospec(cluster, KEEL_MAX_VCPU_ID / 16);
	for_each_set_bit(bit, &bits, 16) {
		if (map->phys[cluster * 16 + bit])
			add(set, map->phys[cluster * 16 + bit]);
	}
	return true;
}

static bool find_xapic(const struct keel_apic_map *map, u32 dest, struct dest_set *set)
{
	bool flat = map->mode == MAP_FLAT;
	unsigned long bits = flat ? dest : dest & 0xf;
	u32 cluster = flat ? 0 : array_index_nospec(dest >> 4, 16);
	unsigned int bit;

	for_each_set_bit(bit, &bits, 8) {
		if (map->logical[cluster][bit])
			add(set, map->logical[cluster][bit]);
	}
	return true;
}

/* False: the map does not know; ask everybody. */
static bool find_fast(struct keel_vm *vm, const struct keel_apic_msg *msg, struct dest_set *set)
{
	const struct keel_apic_map *map = rcu_dereference(vm->irqchip.apic_map);
	struct keel_vcpu *vcpu;
	u32 id = msg->dest_id;

	if (!map || id == LAPIC_ID_BROADCAST || id == LAPIC_X2ID_BROADCAST ||
	    msg->shorthand != APIC_DEST_FIELD)
		return false;
	if (msg->logical) {
		if (map->mode == MAP_X2APIC && map->phys_ok)
			return find_x2apic(map, id, set);
		if ((map->mode == MAP_FLAT || map->mode == MAP_CLUSTER) && map->logical_ok &&
		    id < LAPIC_ID_BROADCAST)
			return find_xapic(map, id, set);
		return false;
	}
	if (!map->phys_ok || id >= KEEL_MAX_VCPU_ID)
		return false;
	vcpu = map->phys[array_index_nospec(id, KEEL_MAX_VCPU_ID)];
	/* Nobody: perhaps a vCPU that has not touched its APIC since it was made. */
	if (!vcpu)
		return false;
	add(set, vcpu);
	return true;
}

/*
 * Lowest priority: the class of the arbitration priority decides, and among equals
 * the one that has won least often ('Lowest Priority Delivery Mode').
 */
static struct keel_vcpu *arbitrate(struct keel_vm *vm, const struct dest_set *set)
{
	struct keel_vcpu *vcpu, *best = NULL;
	u8 class, best_class = 0;
	unsigned int i;

	for_each_set_bit(i, set->idx, KEEL_MAX_VCPUS) {
		vcpu = READ_ONCE(vm->vcpus[i]);
		if (!lapic_sw_enabled(vcpu->lapic))
			continue;
		class = lapic_arbitration(vcpu->lapic->page) >> 4;
		if (!best || class < best_class ||
		    (class == best_class && (int)(READ_ONCE(vcpu->lapic->arb) -
						  READ_ONCE(best->lapic->arb)) < 0)) {
			best = vcpu;
			best_class = class;
		}
	}
	return best;
}

static int deliver_set(struct keel_vm *vm, const struct keel_apic_msg *msg,
		       const struct dest_set *set)
{
	struct keel_vcpu *vcpu;
	unsigned int i;
	int n = 0;

	if (msg->delivery == APIC_DELIVER_LOWEST) {
		vcpu = arbitrate(vm, set);
		return vcpu && lapic_accept(vcpu->lapic, msg->delivery, msg->vector, msg->level,
					    msg->trig_level);
	}
	for_each_set_bit(i, set->idx, KEEL_MAX_VCPUS) {
		vcpu = READ_ONCE(vm->vcpus[i]);
		n += lapic_accept(vcpu->lapic, msg->delivery, msg->vector, msg->level,
				  msg->trig_level);
	}
	return n;
}

/**
 * keel_apic_deliver() - deliver a message to whoever it is for
 * @vm: the VM
 * @src: the vCPU that sends an IPI, NULL for a device
 * @msg: the message
 *
 * Any context, interrupts on or off.
 * Return: how many accepted it; -1 if there is nobody at the destination.
 */
int keel_apic_deliver(struct keel_vm *vm, struct keel_vcpu *src, const struct keel_apic_msg *msg)
{
	struct dest_set set = {};
	int ret = -1;

	if (msg->shorthand == APIC_DEST_ME)
		return src && lapic_accept(src->lapic, msg->delivery, msg->vector, msg->level,
					   msg->trig_level);
	rcu_read_lock();
	if (!find_fast(vm, msg, &set))
		find_slow(vm, src, msg, &set);
	rcu_read_unlock();
	if (!bitmap_empty(set.idx, KEEL_MAX_VCPUS))
		ret = deliver_set(vm, msg, &set);
	return ret;
}

/**
 * lapic_send_ipi() - the ICR was written
 * @apic: the vCPU's local APIC
 * @low: its low half
 * @dest: the destination field, 8 or 32 bits
 */
void lapic_send_ipi(struct keel_lapic *apic, u32 low, u32 dest)
{
	struct keel_apic_msg msg = {
		.dest_id = dest,
		.vector = low & 0xff,
		.delivery = (low >> 8) & 7,
		.logical = low & LAPIC_ICR_LOGICAL,
		.level = low & LAPIC_ICR_ASSERT,
		.shorthand = (low >> 18) & 3,
	};

	if (msg.delivery <= APIC_DELIVER_LOWEST && msg.vector < 16) {
		lapic_error(apic, LAPIC_ESR_SEND_ILLEGAL);
		return;
	}
	/* IPIs are edge-triggered, whatever the bit says; but INIT has its deassertion. */
	if (msg.delivery == APIC_DELIVER_INIT)
		msg.trig_level = low & LAPIC_ICR_LEVEL;
	keel_apic_deliver(apic->vcpu->vm, apic->vcpu, &msg);
}

/* ---- paravirtual IPIs ------------------------------------------------------------- */

/*
 * By the map, or without one (no memory for it) by the ids that the vCPUs were made
 * with: the guest has no other way to send an IPI that is lost here.
 */
static struct keel_vcpu *pv_dest(struct keel_vm *vm, const struct keel_apic_map *map, u32 id)
{
	if (map)
		return map->phys[array_index_nospec(id, KEEL_MAX_VCPU_ID)];
	return keel_vcpu_by_id(vm, id);
}

static int pv_send(struct keel_vm *vm, const struct keel_apic_map *map, unsigned long bits,
		   u64 min, unsigned int nr, const struct keel_apic_msg *msg)
{
	struct keel_vcpu *vcpu;
	unsigned int i;
	int n = 0;

	for_each_set_bit(i, &bits, nr) {
		if (min + i >= KEEL_MAX_VCPU_ID)
			break;
		vcpu = pv_dest(vm, map, min + i);
		if (vcpu && vcpu->lapic)
			n += lapic_accept(vcpu->lapic, msg->delivery, msg->vector, msg->level,
					  msg->trig_level);
	}
	return n;
}

/**
 * keel_pv_send_ipi() - KVM_HC_SEND_IPI: one IPI to up to 128 APIC ids
 * @vm: the VM
 * @lo: ids @min upwards, a bit each
 * @hi: the ids after those
 * @min: the first id
 * @icr: vector and delivery mode, as in the ICR's low half
 * @op64: 64 bits in each word; else 32
 *
 * Return: how many accepted it, or -KVM_EINVAL, -KVM_EOPNOTSUPP.
 */
int keel_pv_send_ipi(struct keel_vm *vm, unsigned long lo, unsigned long hi, u32 min,
		     unsigned long icr, bool op64)
{
	unsigned int nr = op64 ? 64 : 32;
	const struct keel_apic_map *map;
	struct keel_apic_msg msg = {
		.vector = icr & 0xff,
		.delivery = (icr >> 8) & 7,
		.level = icr & LAPIC_ICR_ASSERT,
	};
	int n = -KVM_EOPNOTSUPP;

	if (icr & (3u << 18 | LAPIC_ICR_LOGICAL))
		return -KVM_EINVAL;
	rcu_read_lock();
	map = rcu_dereference(vm->irqchip.apic_map);
	if (!map || map->phys_ok)
		n = pv_send(vm, map, lo, min, nr, &msg) +
		    pv_send(vm, map, hi, (u64)min + nr, nr, &msg);
	rcu_read_unlock();
	return n;
}
