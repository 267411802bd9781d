// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_USER_MEMORY_REGION: what it takes, refuses, moves and takes away. */
#include "harness.h"

#define GPA	HIGH_GPA
#define SIZE	(16 * PAGE)

FIXTURE(memory_region) {
	struct vm *vm;
	u8 *mem;
};

FIXTURE_SETUP(memory_region)
{
	self->vm = vm_create(0);
	self->mem = map_anon(4 * SIZE);
}

FIXTURE_TEARDOWN(memory_region)
{
}

#define SLOT(...)	vm_slot(self->vm, __VA_ARGS__)

TEST_F(memory_region, alignment)
{
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA + 8, SIZE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, SIZE + 1, self->mem));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, SIZE, self->mem + 4));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, 100, self->mem));
	EXPECT_EQ(0, SLOT(2, 0, GPA, PAGE, self->mem));
}

TEST_F(memory_region, flags)
{
	EXPECT_EQ(EINVAL, SLOT(2, 1u << 31, GPA, SIZE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(2, 1u << 16, GPA, SIZE, self->mem));
	EXPECT_EQ(0, SLOT(2, KVM_MEM_READONLY, GPA, SIZE, self->mem));
	/* A slot stays read-only or writable for its life. */
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, SIZE, self->mem));
	EXPECT_EQ(0, SLOT(2, KVM_MEM_READONLY, GPA, SIZE, self->mem));
}

TEST_F(memory_region, slot_numbers)
{
	int n = vm_has_ext(self->vm, KVM_CAP_NR_MEMSLOTS);

	EXPECT_EQ(0, SLOT(n - 1, 0, GPA, PAGE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(n, 0, GPA + PAGE, PAGE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(0xffff, 0, GPA + PAGE, PAGE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(0xffffffff, 0, GPA + PAGE, PAGE, self->mem));
}

TEST_F(memory_region, addresses)
{
	EXPECT_EQ(EINVAL, SLOT(2, 0, -SIZE, 2 * SIZE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, SIZE, (void *)-SIZE));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, 1ULL << 62, self->mem));
	/* What is behind an address in user space may come later. */
	EXPECT_EQ(0, SLOT(2, 0, GPA, SIZE, (void *)0x10000));
}

TEST_F(memory_region, overlap)
{
	ASSERT_EQ(0, SLOT(2, 0, GPA, SIZE, self->mem));
	EXPECT_EQ(EEXIST, SLOT(3, 0, GPA, SIZE, self->mem + SIZE));
	EXPECT_EQ(EEXIST, SLOT(3, 0, GPA + SIZE - PAGE, PAGE, self->mem + SIZE));
	EXPECT_EQ(EEXIST, SLOT(3, 0, GPA - PAGE, 2 * PAGE, self->mem + SIZE));
	EXPECT_EQ(EEXIST, SLOT(3, 0, GPA - PAGE, 2 * SIZE, self->mem + SIZE));
	EXPECT_EQ(0, SLOT(3, 0, GPA + SIZE, PAGE, self->mem + SIZE));
	EXPECT_EQ(0, SLOT(4, 0, GPA - PAGE, PAGE, self->mem + SIZE));
	/* The same memory of user space in two places is fine. */
	EXPECT_EQ(0, SLOT(5, 0, GPA + 4 * SIZE, SIZE, self->mem));
}

TEST_F(memory_region, change)
{
	ASSERT_EQ(0, SLOT(2, 0, GPA, SIZE, self->mem));
	EXPECT_EQ(0, SLOT(2, 0, GPA, SIZE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, 2 * SIZE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, PAGE, self->mem));
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, SIZE, self->mem + SIZE));
	/* Moving is the one change that there is. */
	EXPECT_EQ(0, SLOT(2, 0, GPA + SIZE, SIZE, self->mem));
	EXPECT_EQ(0, SLOT(3, 0, GPA, SIZE, self->mem));
	EXPECT_EQ(EEXIST, SLOT(3, 0, GPA + PAGE, SIZE, self->mem));
	EXPECT_EQ(0, SLOT(2, 0, GPA + SIZE + PAGE, SIZE, self->mem));
}

TEST_F(memory_region, remove)
{
	EXPECT_EQ(EINVAL, SLOT(2, 0, GPA, 0, NULL));
	ASSERT_EQ(0, SLOT(2, 0, GPA, SIZE, self->mem));
	EXPECT_EQ(0, SLOT(2, 0, 0, 0, NULL));
	EXPECT_EQ(EINVAL, SLOT(2, 0, 0, 0, NULL));
	EXPECT_EQ(0, SLOT(3, 0, GPA, SIZE, self->mem));
}

static u64 read_at[8], read_val[8];

static void guest_read(u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		read_val[i] = MMIO(u64, read_at[i]);
	guest_done();
}

/* Without a vCPU in the way of it: what the guest sees after each change. */
TEST_F(memory_region, seen_by_guest)
{
	struct vcpu *v = vcpu_create(self->vm, 0);

	*(u64 *)self->mem = 0x1111;
	*(u64 *)(self->mem + SIZE) = 0x2222;
	ASSERT_EQ(0, SLOT(2, 0, GPA, SIZE, self->mem));
	read_at[0] = GPA;
	vcpu_long(v, guest_read, 1);
	ASSERT_DONE(v);
	EXPECT_EQ(0x1111, read_val[0]);

	ASSERT_EQ(0, SLOT(2, 0, GPA, 0, NULL));
	vcpu_long(v, guest_read, 1);
	ASSERT_RUN(KVM_EXIT_MMIO, v);
	EXPECT_EQ(GPA, v->run->mmio.phys_addr);
	memset(v->run->mmio.data, 0x33, 8);
	ASSERT_DONE(v);
	EXPECT_EQ(0x3333333333333333, read_val[0]);

	ASSERT_EQ(0, SLOT(2, 0, GPA, SIZE, self->mem + SIZE));
	vcpu_long(v, guest_read, 1);
	ASSERT_DONE(v);
	EXPECT_EQ(0x2222, read_val[0]);

	ASSERT_EQ(0, SLOT(2, 0, GPA + SIZE, SIZE, self->mem + SIZE));
	read_at[0] = GPA + SIZE;
	vcpu_long(v, guest_read, 1);
	ASSERT_DONE(v);
	EXPECT_EQ(0x2222, read_val[0]);
	read_at[0] = GPA;
	vcpu_long(v, guest_read, 1);
	ASSERT_RUN(KVM_EXIT_MMIO, v);
}

static void guest_sum(u64 n)
{
	u64 i, sum = 0;

	for (i = 0; i < n; i++)
		sum += MMIO(u64, GPA + i * 2 * PAGE);
	read_val[0] = sum;
	guest_done();
}

TEST_F(memory_region, many_slots)
{
	unsigned int i, n = vm_has_ext(self->vm, KVM_CAP_NR_MEMSLOTS);
	struct vcpu *v = vcpu_create(self->vm, 0);
	u64 want = 0;
	u8 *mem;

	n = n > 500 ? 500 : n - FIRST_SLOT;
	n = n / test_scale;
	mem = map_anon(n * PAGE);
	/* In an order that neither grows nor falls. */
	for (i = 0; i < n; i++) {
		unsigned int j = i * 7 % n;

		if (n % 7 == 0)
			j = i;
		*(u64 *)(mem + j * PAGE) = j + 1;
		want += j + 1;
		ASSERT_EQ(0, SLOT(FIRST_SLOT + j, 0, GPA + j * 2 * PAGE, PAGE, mem + j * PAGE));
	}
	vcpu_long(v, guest_sum, n);
	ASSERT_DONE(v);
	EXPECT_EQ(want, read_val[0]);
	for (i = 0; i < n; i++)
		ASSERT_EQ(0, SLOT(FIRST_SLOT + i, 0, 0, 0, NULL));
}

TEST_MAIN
