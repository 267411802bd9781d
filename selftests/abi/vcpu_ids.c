// SPDX-License-Identifier: GPL-2.0-only
/* Which vCPU numbers can be had, and how many. */
#include "harness.h"

TEST(duplicate)
{
	struct vm *vm = vm_create(VM_BARE);

	vcpu_create_raw(vm, 3);
	EXPECT_EQ(EEXIST, err_of_ul(vm->fd, KVM_CREATE_VCPU, 3));
	vcpu_create_raw(vm, 0);
}

TEST(id_limit)
{
	struct vm *vm = vm_create(VM_BARE);
	int max = vm_has_ext(vm, KVM_CAP_MAX_VCPU_ID);

	EXPECT_EQ(EINVAL, err_of_ul(vm->fd, KVM_CREATE_VCPU, max));
	EXPECT_EQ(EINVAL, err_of_ul(vm->fd, KVM_CREATE_VCPU, 0xffffffff));
	EXPECT_EQ(EINVAL, err_of_ul(vm->fd, KVM_CREATE_VCPU, 0x80000000));
	EXPECT_EQ(0, err_of_ul(vm->fd, KVM_CREATE_VCPU, max - 1));
}

/* As many as promised, or as a slow machine makes in a reasonable time. */
TEST(many)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	int max = vm_has_ext(vm, KVM_CAP_MAX_VCPUS), n = 320 / test_scale, i;

	if (n > max)
		n = max;
	for (i = 0; i < n; i++)
		ASSERT_LE(0, ioctl(vm->fd, KVM_CREATE_VCPU, (long)i))
			TH_LOG("vCPU %d of %d: %s", i, n, strerror(errno));
	if (n == max)
		EXPECT_EQ(EINVAL, err_of_ul(vm->fd, KVM_CREATE_VCPU, max));
}

static volatile u64 apic_ids;

static void guest_apic_id(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	__atomic_fetch_or(&apic_ids, 1ULL << (r[1] >> 24), __ATOMIC_SEQ_CST);
	G_EQ(MMIO(u32, 0xfee00020) >> 24, r[1] >> 24);
	guest_done();
}

TEST(apic_id_is_vcpu_id)
{
	static const unsigned int ids[] = { 5, 0, 63, 17 };
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v;
	u64 want = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(ids); i++) {
		v = vcpu_create(vm, ids[i]);
		vcpu_long(v, guest_apic_id, 0);
		vcpu_set_runnable(v);
		ASSERT_DONE(v);
		want |= BIT(ids[i]);
	}
	EXPECT_EQ(want, apic_ids);
}

TEST_MAIN
