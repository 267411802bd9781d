// SPDX-License-Identifier: GPL-2.0-only
/* What must come before what: irqchip, PIT, vCPUs; and what needs an irqchip. */
#include "harness.h"

static struct kvm_pit_config pit_config;

TEST(irqchip_once_and_before_vcpus)
{
	struct vm *vm = vm_create(VM_BARE);

	EXPECT_ERR(0, vm->fd, KVM_CREATE_IRQCHIP, NULL);
	EXPECT_ERR(EEXIST, vm->fd, KVM_CREATE_IRQCHIP, NULL);
	vm = vm_create(VM_BARE);
	vcpu_create(vm, 0);
	EXPECT_ERR(EINVAL, vm->fd, KVM_CREATE_IRQCHIP, NULL);
}

TEST(split_irqchip)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_enable_cap big = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 10000 } };
	struct vm *vm = vm_create(VM_BARE);
	struct kvm_irqchip chip = {};

	EXPECT_ERR(EINVAL, vm->fd, KVM_ENABLE_CAP, &big);
	EXPECT_ERR(0, vm->fd, KVM_ENABLE_CAP, &cap);
	EXPECT_ERR(EEXIST, vm->fd, KVM_ENABLE_CAP, &cap);
	EXPECT_ERR(EEXIST, vm->fd, KVM_CREATE_IRQCHIP, NULL);
	EXPECT_ERR(ENXIO, vm->fd, KVM_GET_IRQCHIP, &chip);
	vm = vm_create(VM_BARE);
	vcpu_create(vm, 0);
	EXPECT_ERR(EEXIST, vm->fd, KVM_ENABLE_CAP, &cap);
}

TEST(enable_cap_errors)
{
	struct kvm_enable_cap cap = { .cap = 0x7fff };
	struct vm *vm = vm_create(VM_BARE);

	EXPECT_ERR(EINVAL, vm->fd, KVM_ENABLE_CAP, &cap);
	cap.cap = KVM_CAP_SPLIT_IRQCHIP;
	cap.flags = 1;
	EXPECT_ERR(EINVAL, vm->fd, KVM_ENABLE_CAP, &cap);
	EXPECT_ERR(EFAULT, vm->fd, KVM_ENABLE_CAP, NULL);
}

TEST(pit)
{
	struct vm *vm = vm_create(VM_BARE);
	struct kvm_pit_state2 state;

	/* Whether a PIT may come before the irqchip is not said: 6.1's KVM allows it. */
	EXPECT_ERR(ENXIO, vm->fd, KVM_GET_PIT2, &state);
	must(vm->fd, KVM_CREATE_IRQCHIP, 0);
	EXPECT_ERR(ENXIO, vm->fd, KVM_GET_PIT2, &state);
	EXPECT_ERR(0, vm->fd, KVM_CREATE_PIT2, &pit_config);
	EXPECT_ERR(EEXIST, vm->fd, KVM_CREATE_PIT2, &pit_config);
	EXPECT_ERR(0, vm->fd, KVM_GET_PIT2, &state);
}

TEST(without_irqchip)
{
	struct vm *vm = vm_create(VM_BARE);
	struct vcpu *v = vcpu_create(vm, 0);
	struct kvm_irq_level line = { .irq = 1 };
	struct kvm_irqchip chip = {};
	struct kvm_irq_routing routing = {};
	struct kvm_msi msi = {};
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp = { KVM_MP_STATE_HALTED };

	EXPECT_ERR(ENXIO, vm->fd, KVM_IRQ_LINE, &line);
	EXPECT_ERR(ENXIO, vm->fd, KVM_IRQ_LINE_STATUS, &line);
	EXPECT_ERR(ENXIO, vm->fd, KVM_GET_IRQCHIP, &chip);
	EXPECT_ERR(ENXIO, vm->fd, KVM_SET_IRQCHIP, &chip);
	EXPECT_ERR(EINVAL, vm->fd, KVM_SET_GSI_ROUTING, &routing);
	EXPECT_ERR(EINVAL, vm->fd, KVM_SIGNAL_MSI, &msi);
	EXPECT_ERR(EINVAL, v->fd, KVM_GET_LAPIC, &lapic);
	EXPECT_ERR(EINVAL, v->fd, KVM_SET_LAPIC, &lapic);
	EXPECT_ERR(EINVAL, v->fd, KVM_SET_MP_STATE, &mp);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	EXPECT_ERR(0, v->fd, KVM_SET_MP_STATE, &mp);
	EXPECT_ERR(0, v->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
}

TEST(mp_state)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *bsp = vcpu_create(vm, 0), *ap = vcpu_create(vm, 1);
	struct kvm_mp_state mp;

	must(bsp->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	must(ap->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp.mp_state);
	for (mp.mp_state = KVM_MP_STATE_RUNNABLE; mp.mp_state <= KVM_MP_STATE_HALTED;
	     mp.mp_state++)
		EXPECT_ERR(0, ap->fd, KVM_SET_MP_STATE, &mp);
	must(ap->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp.mp_state);
	mp.mp_state = 77;
	EXPECT_ERR(EINVAL, ap->fd, KVM_SET_MP_STATE, &mp);
	must(ap->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp.mp_state);
}

TEST(boot_cpu_id)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct kvm_mp_state mp;
	struct vcpu *v;

	EXPECT_EQ(0, err_of_ul(vm->fd, KVM_SET_BOOT_CPU_ID, 1));
	v = vcpu_create(vm, 0);
	must(v->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp.mp_state);
	EXPECT_EQ(0, vcpu_get_msr(v, MSR_APIC_BASE) & APIC_BASE_BSP);
	v = vcpu_create(vm, 1);
	must(v->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	EXPECT_EQ(APIC_BASE_BSP, vcpu_get_msr(v, MSR_APIC_BASE) & APIC_BASE_BSP);
	EXPECT_EQ(EBUSY, err_of_ul(vm->fd, KVM_SET_BOOT_CPU_ID, 0));
}

TEST(intel_addresses)
{
	struct vm *vm = vm_create(VM_BARE);
	u64 addr = 0xfffbc000;

	EXPECT_EQ(EINVAL, err_of_ul(vm->fd, KVM_SET_TSS_ADDR, 0xfffff000));
	EXPECT_EQ(0, err_of_ul(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	EXPECT_ERR(0, vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr);
	EXPECT_ERR(EFAULT, vm->fd, KVM_SET_IDENTITY_MAP_ADDR, NULL);
	vcpu_create(vm, 0);
	EXPECT_ERR(EINVAL, vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr);
}

TEST(irqchip_ids)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct kvm_irqchip chip = {};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		chip.chip_id = i;
		EXPECT_ERR(0, vm->fd, KVM_GET_IRQCHIP, &chip);
		EXPECT_ERR(0, vm->fd, KVM_SET_IRQCHIP, &chip);
	}
	chip.chip_id = 3;
	EXPECT_ERR(EINVAL, vm->fd, KVM_GET_IRQCHIP, &chip);
	EXPECT_ERR(EINVAL, vm->fd, KVM_SET_IRQCHIP, &chip);
}

TEST_MAIN
