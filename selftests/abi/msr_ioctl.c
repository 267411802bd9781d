// SPDX-License-Identifier: GPL-2.0-only
/* The MSR lists, and getting and setting several at once. */
#include "harness.h"
#include "state.h"

static bool listed(struct kvm_msr_list *l, u32 msr)
{
	u32 i;

	for (i = 0; i < l->nmsrs; i++) {
		if (l->indices[i] == msr)
			return true;
	}
	return false;
}

TEST(index_list)
{
	static const u32 needed[] = {
		MSR_TSC, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE,
		MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT,
		MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK, MSR_TSC_DEADLINE,
	};
	struct kvm_msr_list *l = msr_list(KVM_GET_MSR_INDEX_LIST), one = { .nmsrs = 1 };
	unsigned int i, j;

	for (i = 0; i < ARRAY_LEN(needed); i++) {
		EXPECT_TRUE(listed(l, needed[i]))
			TH_LOG("MSR %#x", needed[i]);
	}
	for (i = 0; i < l->nmsrs; i++) {
		for (j = 0; j < i; j++)
			EXPECT_NE(l->indices[i], l->indices[j]);
	}
	EXPECT_ERR(E2BIG, dev_fd, KVM_GET_MSR_INDEX_LIST, &one);
	EXPECT_EQ(l->nmsrs, one.nmsrs);
	EXPECT_ERR(EFAULT, dev_fd, KVM_GET_MSR_INDEX_LIST, NULL);
}

struct msrs {
	struct kvm_msrs h;
	struct kvm_msr_entry e[8];
};

/* Features of the host are read on the system's file; they can be set on a vCPU. */
TEST(feature_list)
{
	struct kvm_msr_list n = {}, *l;
	struct msrs m = {};

	if (!err_of(dev_fd, KVM_GET_MSR_FEATURE_INDEX_LIST, &n) && !n.nmsrs)
		return;
	l = msr_list(KVM_GET_MSR_FEATURE_INDEX_LIST);
	m.h.nmsrs = 1;
	m.e[0].index = l->indices[0];
	EXPECT_EQ(1, ioctl(dev_fd, KVM_GET_MSRS, &m));
	m.e[0].index = 0x12345678;
	EXPECT_EQ(0, ioctl(dev_fd, KVM_GET_MSRS, &m));
}

TEST(partial)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct msrs m = { .h.nmsrs = 4 };

	m.e[0] = (struct kvm_msr_entry) { .index = MSR_LSTAR, .data = 0x1111 };
	m.e[1] = (struct kvm_msr_entry) { .index = MSR_CSTAR, .data = 0x2222 };
	m.e[2] = (struct kvm_msr_entry) { .index = 0x12345678, .data = 0x3333 };
	m.e[3] = (struct kvm_msr_entry) { .index = MSR_STAR, .data = 0x4444 };
	/* Up to the first that does not go; the count says how many went. */
	EXPECT_EQ(2, ioctl(v->fd, KVM_SET_MSRS, &m));
	EXPECT_EQ(0x1111, vcpu_get_msr(v, MSR_LSTAR));
	EXPECT_EQ(0x2222, vcpu_get_msr(v, MSR_CSTAR));
	EXPECT_EQ(0, vcpu_get_msr(v, MSR_STAR));
	m.e[0].data = m.e[1].data = 0;
	EXPECT_EQ(2, ioctl(v->fd, KVM_GET_MSRS, &m));
	EXPECT_EQ(0x1111, m.e[0].data);
	EXPECT_EQ(0x2222, m.e[1].data);
	EXPECT_EQ(0x4444, m.e[3].data);
}

TEST(refused_values)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);

	EXPECT_EQ(0, vcpu_try_set_msr(v, MSR_LSTAR, 1ULL << 60));
	EXPECT_EQ(0, vcpu_try_set_msr(v, MSR_PAT, 2));
	EXPECT_EQ(0, vcpu_try_set_msr(v, MSR_EFER, 1 << 2));
	EXPECT_EQ(0, vcpu_try_set_msr(v, MSR_APIC_BASE, 1));
	EXPECT_EQ(1, vcpu_try_set_msr(v, MSR_LSTAR, 0xffff800000000000));
}

TEST(counts)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct kvm_msrs *m = calloc(1, sizeof(*m) + 300 * sizeof(m->entries[0]));

	m->nmsrs = 0;
	EXPECT_EQ(0, ioctl(v->fd, KVM_GET_MSRS, m));
	m->nmsrs = 256;
	EXPECT_ERR(E2BIG, v->fd, KVM_GET_MSRS, m);
	EXPECT_ERR(E2BIG, v->fd, KVM_SET_MSRS, m);
	m->nmsrs = 0xffffffff;
	EXPECT_ERR(E2BIG, v->fd, KVM_SET_MSRS, m);
}

/* Everything in the list can be read, and set to what was read. */
TEST(all_of_the_list)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	struct kvm_msr_list *l = msr_list(KVM_GET_MSR_INDEX_LIST);
	struct msrs m = { .h.nmsrs = 1 };
	u32 i;

	for (i = 0; i < l->nmsrs; i++) {
		m.e[0].index = l->indices[i];
		if (ioctl(v->fd, KVM_GET_MSRS, &m) != 1)
			continue;	/* the guest's CPUID has it not */
		EXPECT_EQ(1, ioctl(v->fd, KVM_SET_MSRS, &m))
			TH_LOG("MSR %#x", l->indices[i]);
	}
}

TEST_MAIN
