// SPDX-License-Identifier: GPL-2.0-only
/* Slots as the guest sees them: read-only, aliased, moved and removed at run time. */
#include "harness.h"

#define GPA	HIGH_GPA
#define SIZE	(16 * PAGE)

static volatile u64 seen, stop, loops;

FIXTURE(slots) {
	struct vm *vm;
	struct vcpu *v;
	u8 *mem;
};

FIXTURE_SETUP(slots)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->mem = map_anon(SIZE);
}

FIXTURE_TEARDOWN(slots)
{
}

static void guest_read_only(u64 arg)
{
	u64 v;

	G_EQ(MMIO(u64, GPA + 8), 0x1111);
	MMIO(u32, GPA + 8) = 0x2222;
	G_EQ(MMIO(u64, GPA + 8), 0x1111);
	/* A read, change and write back: the read is of memory, the write goes out. */
	asm volatile("addl $1, (%0)" : : "r"(GPA + 8) : "memory", "cc");
	G_EQ(MMIO(u64, GPA + 8), 0x1111);
	v = GPA + 16;
	asm volatile("stosb" : "+D"(v) : "a"(0x33) : "memory");
	G_EQ(MMIO(u64, GPA + 16), 0);
	guest_done();
}

TEST_F(slots, read_only)
{
	struct kvm_run *run = self->v->run;

	*(u64 *)(self->mem + 8) = 0x1111;
	ASSERT_EQ(0, vm_slot(self->vm, 2, KVM_MEM_READONLY, GPA, SIZE, self->mem));
	vcpu_long(self->v, guest_read_only, 0);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(1, run->mmio.is_write);
	EXPECT_EQ(GPA + 8, run->mmio.phys_addr);
	EXPECT_EQ(4, run->mmio.len);
	EXPECT_EQ(0x2222, *(u32 *)run->mmio.data);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(1, run->mmio.is_write);
	EXPECT_EQ(0x1112, *(u32 *)run->mmio.data);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(GPA + 16, run->mmio.phys_addr);
	EXPECT_EQ(1, run->mmio.len);
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x1111, *(u64 *)(self->mem + 8));
}

/* Memory that the process itself may only read suits a read-only slot. */
TEST_F(slots, read_only_mapping)
{
	*(u64 *)(self->mem + 8) = 0x1111;
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
	ASSERT_EQ(0, vm_slot(self->vm, 2, KVM_MEM_READONLY, GPA, SIZE, self->mem));
	vcpu_long(self->v, guest_read_only, 0);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(0x2222, *(u32 *)self->v->run->mmio.data);
}

/* Instructions come from a read-only slot as well: firmware does that. */
TEST_F(slots, execute_from_rom)
{
	memcpy(self->mem, "\xb8\x78\x56\x34\x12\xf4", 6);	/* mov $0x12345678, %eax; hlt */
	ASSERT_EQ(0, vm_slot(self->vm, 2, KVM_MEM_READONLY, GPA, SIZE, self->mem));
	vcpu_mode(self->v, MODE_LONG, GPA);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0x12345678, vcpu_regs(self->v).rax);
}

static void guest_alias(u64 arg)
{
	MMIO(u64, GPA) = 0x77;
	G_EQ(MMIO(u64, GPA + SIZE), 0x77);
	MMIO(u64, GPA + SIZE + 8) = 0x88;
	G_EQ(MMIO(u64, GPA + 8), 0x88);
	guest_done();
}

TEST_F(slots, aliases)
{
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, self->mem));
	ASSERT_EQ(0, vm_slot(self->vm, 3, 0, GPA + SIZE, SIZE, self->mem));
	vcpu_long(self->v, guest_alias, 0);
	ASSERT_DONE(self->v);
	/* A change reaches both. */
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_DONTNEED));
	vcpu_long(self->v, guest_alias, 0);
	ASSERT_DONE(self->v);
}

static void guest_high(u64 gpa)
{
	u64 va = 1ULL << 39;

	guest_map(va, gpa, PAGE_2M, PAGE_2M, PTE_P | PTE_W);
	MMIO(u64, va + 0x1000) = 0x5678;
	seen = MMIO(u64, va + 0x1008);
	guest_done();
}

/* Guest addresses far above 4 GiB, as far as CPUID lets them go. */
TEST_F(slots, high_addresses)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid_supported(), 0x80000008, 0);
	unsigned int bits = e ? e->eax & 0xff : 36;
	static const u8 shifts[] = { 32, 33, 35, 38, 39, 45 };
	unsigned int i;
	u8 *mem;

	for (i = 0; i < ARRAY_LEN(shifts); i++) {
		if (shifts[i] >= bits)
			continue;
		mem = vm_add_mem(self->vm, 10 + i, 0, 1ULL << shifts[i], PAGE_2M);
		*(u64 *)(mem + 0x1008) = shifts[i];
		vcpu_long(self->v, guest_high, 1ULL << shifts[i]);
		ASSERT_DONE(self->v);
		EXPECT_EQ(0x5678, *(u64 *)(mem + 0x1000));
		EXPECT_EQ(shifts[i], seen);
	}
}

static void guest_sparse(u64 size)
{
	u64 va = 1ULL << 39, off;

	for (off = 0; off < size; off += 64ULL << 20) {
		guest_map(va, GPA + off, PAGE_2M, PAGE_2M, PTE_P | PTE_W);
		invlpg(va);
		MMIO(u64, va) = off;
	}
	guest_done();
}

/* A large slot costs nothing until it is touched. */
TEST_F(slots, sparse)
{
	u64 size = 8ULL << 30, off;
	u8 *mem = vm_add_mem(self->vm, 2, 0, 0x100000000, size);

	madvise(mem, size, MADV_NOHUGEPAGE);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, 0, 0, NULL));
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, 1ULL << 30, mem));
	vcpu_long(self->v, guest_sparse, 1ULL << 30);
	ASSERT_DONE(self->v);
	for (off = 0; off < 1ULL << 30; off += 64ULL << 20)
		EXPECT_EQ(off, *(u64 *)(mem + off));
}

static void guest_loop(u64 gpa)
{
	spin_begin();
	while (!stop) {
		seen = MMIO(u64, gpa);
		loops++;
	}
	guest_done();
}

static void *run_with_mmio(void *arg)
{
	struct vcpu *v = arg;
	int r;

	/* Between removal and return of the slot the reads come out here. */
	while ((r = guest_run(v)) == KVM_EXIT_MMIO)
		memset(v->run->mmio.data, 0xee, 8);
	v->result = r;
	return NULL;
}

TEST_F(slots, change_while_running)
{
	u64 *other = map_anon(SIZE), was;
	unsigned int i;

	*(u64 *)self->mem = 1;
	other[0] = 2;
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, self->mem));
	vcpu_long(self->v, guest_loop, GPA);
	pthread_create(&self->v->thread, NULL, run_with_mmio, self->v);
	for (i = 0; i < 30 / test_scale + 3; i++) {
		G_WAIT(seen == 1);
		ASSERT_EQ(0, vm_slot(self->vm, 2, 0, 0, 0, NULL));
		/* From its return on, nobody uses the old memory. */
		was = loops;
		G_WAIT(loops > was + 2);
		ASSERT_EQ(0xeeeeeeeeeeeeeeee, seen);
		ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, other));
		G_WAIT(seen == 2);
		ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA + SIZE, SIZE, other));
		was = loops;
		G_WAIT(loops > was + 2);
		ASSERT_EQ(0xeeeeeeeeeeeeeeee, seen);
		ASSERT_EQ(0, vm_slot(self->vm, 2, 0, 0, 0, NULL));
		ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, self->mem));
	}
	stop = 1;
	pthread_join(self->v->thread, NULL);
	EXPECT_EQ(UC_DONE, self->v->result);
}

TEST_MAIN
