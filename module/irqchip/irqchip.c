// SPDX-License-Identifier: GPL-2.0-only
/* The interrupt controllers of a VM together: made, stopped, read out, asked for a vector. */
#include "chips.h"
#include "lapic.h"

/* ---- what a vCPU takes ------------------------------------------------------------- */

/* INTR: of the PIC, or with a split irqchip what KVM_INTERRUPT left. */
static bool extint_pending(struct keel_vcpu *vcpu)
{
	struct keel_irqchip *chip = &vcpu->vm->irqchip;

	if (chip->mode == KEEL_IRQCHIP_KERNEL ? !keel_pic_output(vcpu->vm) :
						keel_lapic_extint(vcpu, false) < 0)
		return false;
	return keel_lapic_accepts_extint(vcpu);
}

/**
 * keel_irq_pending() - is there an interrupt that the vCPU could take?
 * @vcpu: the vCPU
 *
 * The vCPU's own thread, or who holds its mutex.  A local APIC timer that has run out
 * counts: it is put into IRR here, so that the answer is about the guest's own view
 * of it, mask and priority included.
 */
bool keel_irq_pending(struct keel_vcpu *vcpu)
{
	struct keel_lapic *apic = vcpu->lapic;

	if (!apic)
		return false;
	if (atomic_read(&apic->timer.pending))
		keel_lapic_timer_inject(vcpu);
	return extint_pending(vcpu) || keel_lapic_pending(vcpu) >= 0;
}

/**
 * keel_irq_to_inject() - is there one that software has to inject?
 * @vcpu: the vCPU
 *
 * As keel_irq_pending(), without what the CPU delivers by itself.
 */
bool keel_irq_to_inject(struct keel_vcpu *vcpu)
{
	if (likely(!vcpu->apicv))
		return keel_irq_pending(vcpu);
	if (atomic_read(&vcpu->lapic->timer.pending))
		keel_lapic_timer_inject(vcpu);
	return extint_pending(vcpu);
}

/**
 * keel_irq_take() - take the interrupt that keel_irq_to_inject() saw
 * @vcpu: the vCPU
 *
 * Return: the vector; -1 if it went away.
 */
int keel_irq_take(struct keel_vcpu *vcpu)
{
	if (!vcpu->lapic)
		return -1;
	if (extint_pending(vcpu))
		return vcpu->vm->irqchip.mode == KEEL_IRQCHIP_KERNEL ?
		       keel_pic_inta(vcpu->vm) : keel_lapic_extint(vcpu, true);
	return vcpu->apicv ? -1 : keel_lapic_take(vcpu);
}

/* ---- life -------------------------------------------------------------------------- */

void keel_irqchip_vm_init(struct keel_vm *vm)
{
	struct keel_irqchip *chip = &vm->irqchip;

	mutex_init(&chip->lock);
	raw_spin_lock_init(&chip->apic_map_lock);
	INIT_HLIST_HEAD(&chip->ack_notifiers);
	keel_irqfd_vm_init(vm);
}

/**
 * keel_irqchip_vm_stop() - no message to a vCPU comes from here any more
 * @vm: the VM
 *
 * The last reference to the VM is gone, its vCPUs are still there: timers and
 * delayed work reach for them until this returns.
 */
void keel_irqchip_vm_stop(struct keel_vm *vm)
{
	keel_pit_stop(vm);
	keel_ioapic_stop(vm);
}

/**
 * keel_irqchip_vm_destroy() - free all of it; no vCPU and no irqfd is left
 * @vm: the VM
 */
void keel_irqchip_vm_destroy(struct keel_vm *vm)
{
	lapic_map_drop(vm);
	keel_pit_destroy(vm);
	keel_routes_destroy(vm);
	if (vm->irqchip.ioapic)
		keel_ioapic_destroy(vm);
	keel_pic_destroy(vm);
}

static int may_create(struct keel_vm *vm)
{
	if (vm->irqchip.mode != KEEL_IRQCHIP_NONE)
		return -EEXIST;
	/* vCPUs get their local APIC when they are made. */
	return vm->nr_vcpus ? -EINVAL : 0;
}

/* vm->slots_lock held */
static int create_chips(struct keel_vm *vm)
{
	int ret;

	ret = keel_pic_create(vm);
	if (ret)
		return ret;
	ret = keel_ioapic_create(vm);
	if (!ret)
		return 0;
	keel_pic_unplug(vm);
	keel_pic_destroy(vm);
	return ret;
}

static void undo_chips(struct keel_vm *vm)
{
	keel_ioapic_unplug(vm);
	keel_pic_unplug(vm);
	keel_ioapic_destroy(vm);
	keel_pic_destroy(vm);
}

/**
 * keel_irqchip_create() - KVM_CREATE_IRQCHIP; vm->lock held
 * @vm: the VM
 *
 * Return: 0, -EEXIST if there is one, -EINVAL after the first vCPU, -ENOMEM.
 */
int keel_irqchip_create(struct keel_vm *vm)
{
	int ret = may_create(vm);

	if (ret)
		return ret;
	mutex_lock(&vm->slots_lock);
	ret = create_chips(vm);
	if (!ret) {
		ret = keel_routes_default(vm);
		if (ret)
			undo_chips(vm);
	}
	/* Last: who sees the mode, a vCPU made from here on or an ioctl, finds all of it. */
	if (!ret)
		smp_store_release(&vm->irqchip.mode, KEEL_IRQCHIP_KERNEL);
	mutex_unlock(&vm->slots_lock);
	return ret;
}

/**
 * keel_irqchip_create_split() - KVM_CAP_SPLIT_IRQCHIP; vm->lock held
 * @vm: the VM
 * @gsis: pins of the IOAPIC in user space: the first GSIs
 *
 * Return: 0, -EEXIST if there is one, -EINVAL after the first vCPU or for too many pins.
 */
int keel_irqchip_create_split(struct keel_vm *vm, u32 gsis)
{
	int ret = may_create(vm);

	if (ret)
		return ret;
	if (gsis > KEEL_NR_GSIS)
		return -EINVAL;
	ret = keel_routes_empty(vm);
	if (ret)
		return ret;
	vm->irqchip.split_gsis = gsis;
	smp_store_release(&vm->irqchip.mode, KEEL_IRQCHIP_SPLIT);
	return 0;
}

/* ---- state ------------------------------------------------------------------------- */

/**
 * keel_irqchip_get() - KVM_GET_IRQCHIP: the chip that @c->chip_id names
 * @vm: the VM
 * @c: the ioctl's argument
 *
 * Return: 0, -EINVAL for no such chip, -ENXIO without chips in the kernel.
 */
int keel_irqchip_get(struct keel_vm *vm, struct kvm_irqchip *c)
{
	if (!keel_irqchip_full(&vm->irqchip))
		return -ENXIO;
	switch (c->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		keel_pic_get(vm, c->chip_id, &c->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		keel_ioapic_get(vm, &c->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

/**
 * keel_irqchip_set() - KVM_SET_IRQCHIP; see keel_irqchip_get()
 * @vm: the VM
 * @c: the ioctl's argument
 */
int keel_irqchip_set(struct keel_vm *vm, const struct kvm_irqchip *c)
{
	if (!keel_irqchip_full(&vm->irqchip))
		return -ENXIO;
	switch (c->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		keel_pic_put(vm, c->chip_id, &c->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		keel_ioapic_put(vm, &c->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}
