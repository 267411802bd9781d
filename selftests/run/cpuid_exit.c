// SPDX-License-Identifier: GPL-2.0-only
/* CPUID in the guest answers what KVM_SET_CPUID2 said. */
#include "harness.h"

static u32 seen[4];

static void guest_cpuid(u64 leaf)
{
	cpuid(leaf, leaf >> 32, seen);
	guest_done();
}

static void set_cpuid(struct vcpu *v, struct kvm_cpuid_entry2 *e, u32 n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(*e));

	c->nent = n;
	memcpy(c->entries, e, n * sizeof(*e));
	must(v->fd, KVM_SET_CPUID2, c);
	free(c);
}

TEST(values)
{
	struct kvm_cpuid_entry2 e[] = {
		{ .function = 0, .eax = 0x10, .ebx = 1, .ecx = 2, .edx = 3 },
		{ .function = 0x40000000, .eax = 0x40000001, .ebx = 0x11223344,
		  .ecx = 0x55667788, .edx = 0x99aabbcc },
		{ .function = 4, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 0x41, .ebx = 0x42, .ecx = 0x43, .edx = 0x44 },
		{ .function = 0x80000000, .eax = 0x80000008 },
		{ .function = 0x80000004, .eax = 5, .ebx = 6, .ecx = 7, .edx = 8 },
	};
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create_raw(vm, 0);
	unsigned int i;

	set_cpuid(v, e, ARRAY_LEN(e));
	for (i = 0; i < ARRAY_LEN(e); i++) {
		vcpu_long(v, guest_cpuid, e[i].function | (u64)e[i].index << 32);
		ASSERT_DONE(v);
		EXPECT_EQ(e[i].eax, seen[0]);
		EXPECT_EQ(e[i].ebx, seen[1]);
		EXPECT_EQ(e[i].ecx, seen[2]);
		EXPECT_EQ(e[i].edx, seen[3]);
	}
}

TEST_MAIN
