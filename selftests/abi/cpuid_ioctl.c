// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_SUPPORTED_CPUID, KVM_GET_EMULATED_CPUID, KVM_SET_CPUID2, KVM_GET_CPUID2. */
#include "harness.h"
#include "state.h"

static struct kvm_cpuid2 *room(u32 n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 300 * sizeof(c->entries[0]));

	c->nent = n;
	return c;
}

TEST(supported)
{
	struct kvm_cpuid2 *c = cpuid_supported();
	struct kvm_cpuid_entry2 *e;

	ASSERT_LT(4, c->nent);
	e = cpuid_find(c, 0, 0);
	ASSERT_NE(NULL, e);
	EXPECT_LE(1, e->eax);
	ASSERT_NE(NULL, cpuid_find(c, 1, 0));
	e = cpuid_find(c, 0x80000000, 0);
	ASSERT_NE(NULL, e);
	EXPECT_LE(0x80000008, e->eax);
	e = cpuid_find(c, 0x40000000, 0);
	ASSERT_NE(NULL, e);
	EXPECT_EQ(0, memcmp(&e->ebx, "KVMKVMKVM\0\0", 12));
	ASSERT_NE(NULL, cpuid_find(c, 0x40000001, 0));
	/* What every 64-bit guest needs. */
	EXPECT_TRUE(cpuid_has(0x80000001, 0, 3, 29));
	EXPECT_TRUE(cpuid_has(0x80000001, 0, 3, 20));
	EXPECT_TRUE(cpuid_has(1, 0, 3, 9));
	EXPECT_TRUE(cpuid_has(1, 0, 2, 21));
}

TEST(too_little_room)
{
	struct kvm_cpuid2 *c = room(0);

	EXPECT_ERR(E2BIG, dev_fd, KVM_GET_SUPPORTED_CPUID, c);
	c->nent = 1;
	EXPECT_ERR(E2BIG, dev_fd, KVM_GET_SUPPORTED_CPUID, c);
	c->nent = cpuid_supported()->nent;
	EXPECT_ERR(0, dev_fd, KVM_GET_SUPPORTED_CPUID, c);
	EXPECT_EQ(cpuid_supported()->nent, c->nent);
	c->nent = 256;
	EXPECT_ERR(0, dev_fd, KVM_GET_EMULATED_CPUID, c);
	EXPECT_ERR(EFAULT, dev_fd, KVM_GET_SUPPORTED_CPUID, NULL);
}

TEST(set_and_get)
{
	struct vcpu *v = vcpu_create_raw(vm_create(0), 0);
	struct kvm_cpuid2 *c = cpuid_supported(), *got;
	u32 i;

	must(v->fd, KVM_SET_CPUID2, c);
	got = vcpu_get_cpuid(v);
	ASSERT_EQ(c->nent, got->nent);
	for (i = 0; i < c->nent; i++) {
		EXPECT_EQ(c->entries[i].function, got->entries[i].function);
		EXPECT_EQ(c->entries[i].index, got->entries[i].index);
		EXPECT_EQ(c->entries[i].eax, got->entries[i].eax);
	}
	got->nent = 1;
	EXPECT_ERR(E2BIG, v->fd, KVM_GET_CPUID2, got);
}

TEST(too_many)
{
	struct vcpu *v = vcpu_create_raw(vm_create(0), 0);
	struct kvm_cpuid2 *c = room(257);

	EXPECT_ERR(E2BIG, v->fd, KVM_SET_CPUID2, c);
	c->nent = 0xffffffff;
	EXPECT_ERR(E2BIG, v->fd, KVM_SET_CPUID2, c);
	/* None at all is fine. */
	c->nent = 0;
	EXPECT_ERR(0, v->fd, KVM_SET_CPUID2, c);
}

static void guest_ran(void)
{
	guest_done();
}

/* Once the vCPU has run, its CPUID is what it is. */
TEST(after_run)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct kvm_cpuid2 *c = vcpu_get_cpuid(v);

	vcpu_long(v, guest_ran, 0);
	ASSERT_DONE(v);
	EXPECT_ERR(0, v->fd, KVM_SET_CPUID2, c);
	cpuid_find(c, 1, 0)->eax ^= 0x10;
	EXPECT_ERR(EINVAL, v->fd, KVM_SET_CPUID2, c);
	c->nent--;
	EXPECT_ERR(EINVAL, v->fd, KVM_SET_CPUID2, c);
}

TEST(bad_address_width)
{
	struct vcpu *v = vcpu_create_raw(vm_create(0), 0);
	struct kvm_cpuid2 *c = room(1);

	c->entries[0].function = 0x80000008;
	c->entries[0].eax = 52 | 52 << 8;
	EXPECT_ERR(EINVAL, v->fd, KVM_SET_CPUID2, c);
	c->entries[0].eax = 40 | 48 << 8;
	EXPECT_ERR(0, v->fd, KVM_SET_CPUID2, c);
}

TEST_MAIN
