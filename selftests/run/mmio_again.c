// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device accesses at an address where there was one before, and what may have changed since: the
 * code, the guest's mapping of it at each level, its address space, the client's memory behind
 * it, the operand.
 */
#include "harness.h"

#define DEV_GPA	0xd0000000UL
#define CODE_GPA 0xe0000000UL
#define VA	(1ULL << 39)
#define TIMES	4

static struct {
	u64 addr, val;
	u32 len;
	bool write;
} last;

static int run_with_dev(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	int r;

	while ((r = guest_run(v)) == KVM_EXIT_MMIO) {
		last.addr = run->mmio.phys_addr;
		last.len = run->mmio.len;
		last.write = run->mmio.is_write;
		last.val = 0;
		if (last.write)
			memcpy(&last.val, run->mmio.data, last.len);
		else
			memcpy(run->mmio.data, "\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8", 8);
	}
	return r;
}

/* mov reg, (%rdi); ret: to the same place, so that only what is stored tells which one ran. */
#define STORE(reg)	{ 0x89, 0x07 | (reg) << 3, 0xc3 }
#define RAX	0
#define RDX	2
#define RSI	6

static u8 page_a[PAGE] __attribute__((aligned(4096)));
static u8 page_b[PAGE] __attribute__((aligned(4096)));
static const u8 store_a[] = STORE(RAX), store_d[] = STORE(RDX), store_si[] = STORE(RSI);

FIXTURE(again) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(again)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(again)
{
}

#define RUN_GUEST(fn) do {					\
	vcpu_long(self->v, fn, 0);				\
	ASSERT_EQ(UC_DONE, run_with_dev(self->v)) vcpu_dump(self->v);	\
} while (0)

static u64 call(u64 at, u64 rax, u64 rdi)
{
	asm volatile("call *%[at]" : "+a"(rax), "+D"(rdi)
		     : [at] "r"(at), "d"(rax + 0x400), "S"(rax + 0x800), "c"(rax + 0x1000)
		     : "memory", "cc");
	return rax;
}

/* The host fills in @last, which the guest reads: one image.  @more: by which register. */
static void store(u64 at, u64 more, u64 val)
{
	call(at, val, DEV_GPA);
	G_EQ(last.write, 1);
	G_EQ(last.addr, DEV_GPA);
	G_EQ(last.len, 4);
	G_EQ(last.val, val + more);
}

static void stores(u64 more)
{
	u64 i;

	for (i = 1; i <= TIMES; i++)
		store(VA, more, i);
}

static void map_page(const void *page)
{
	*guest_pte(VA) = (uintptr_t)page | PTE_P | PTE_W;
	invlpg(VA);
}

static void map_code(void)
{
	memcpy(page_a, store_a, sizeof(store_a));
	memcpy(page_b, store_d, sizeof(store_d));
	guest_map(VA, (uintptr_t)page_a, PAGE, PAGE, PTE_P | PTE_W);
}

static void guest_code(void)
{
	map_code();
	stores(0);
	memcpy(page_a, store_si, sizeof(store_si));
	stores(0x800);
	/* 32 bits of displacement: another length. */
	memcpy(page_a, "\x89\x8f\x00\x00\x00\x00\xc3", 7);
	stores(0x1000);
	/* A load, in its place. */
	memcpy(page_a, "\x8b\x07\xc3", 3);
	G_EQ(call(VA, ~0ULL, DEV_GPA), 0xf4f3f2f1);
	G_EQ(call(VA, ~0ULL, DEV_GPA), 0xf4f3f2f1);
	G_EQ(last.write, 0);
	guest_done();
}

TEST_F(again, other_code)
{
	RUN_GUEST(guest_code);
}

static void guest_mapping(void)
{
	u32 i;

	map_code();
	for (i = 0; i < TIMES; i++) {
		map_page(page_a);
		stores(0);
		map_page(page_b);
		stores(0x400);
	}
	guest_done();
}

TEST_F(again, other_page)
{
	RUN_GUEST(guest_mapping);
}

static u64 tables[4][512] __attribute__((aligned(4096)));

/* The same address by tables that are others from the root down, or from one below it. */
static void guest_tables(void)
{
	u64 cr3 = read_cr3(), *root = (u64 *)(cr3 & ~0xfffULL), i;

	map_code();
	stores(0);
	memcpy(tables[0], root, PAGE);
	for (i = 0; i < TIMES; i++) {
		/* The same below. */
		write_cr3((uintptr_t)tables[0]);
		stores(0);
		write_cr3(cr3);
		stores(0);
	}
	tables[0][VA >> 39] = (uintptr_t)tables[1] | PTE_P | PTE_W;
	tables[1][0] = (uintptr_t)tables[2] | PTE_P | PTE_W;
	tables[2][0] = (uintptr_t)tables[3] | PTE_P | PTE_W;
	tables[3][0] = (uintptr_t)page_b | PTE_P | PTE_W;
	for (i = 0; i < TIMES; i++) {
		write_cr3((uintptr_t)tables[0]);
		stores(0x400);
		write_cr3(cr3);
		stores(0);
	}
	root[VA >> 39] = tables[0][VA >> 39];
	write_cr3(cr3);
	stores(0x400);
	/* A large page from now on. */
	tables[2][0] = ((uintptr_t)page_a & ~(PAGE_2M - 1)) | PTE_P | PTE_W | PTE_PS;
	write_cr3(cr3);
	for (i = 0; i < TIMES; i++)
		store(VA + ((uintptr_t)page_a & (PAGE_2M - 1)), 0, i);
	guest_done();
}

TEST_F(again, other_tables)
{
	RUN_GUEST(guest_tables);
}

static void guest_slot(void)
{
	u32 i;

	guest_map(VA, CODE_GPA, PAGE, PAGE, PTE_P | PTE_W);
	for (i = 0; i < 3; i++) {
		stores(0);
		guest_sync(0);
		stores(0x400);
		guest_sync(1);
	}
	guest_done();
}

TEST_F(again, other_memory)
{
	u8 *mem[2] = { map_anon(PAGE), map_anon(PAGE) };
	int r, next = 1;

	memcpy(mem[0], store_a, sizeof(store_a));
	memcpy(mem[1], store_d, sizeof(store_d));
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, CODE_GPA, PAGE, mem[0]));
	vcpu_long(self->v, guest_slot, 0);
	while ((r = run_with_dev(self->v)) == UC_SYNC) {
		ASSERT_EQ(0, vm_slot(self->vm, 2, 0, CODE_GPA, 0, NULL));
		ASSERT_EQ(0, vm_slot(self->vm, 2, 0, CODE_GPA, PAGE, mem[next]));
		next = !next;
	}
	EXPECT_EQ(UC_DONE, r);
}

/* What is behind the client's address changes, with the slots as they are. */
TEST_F(again, other_backing)
{
	u8 *mem = map_anon(PAGE);
	int r, next = 1;

	memcpy(mem, store_a, sizeof(store_a));
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, CODE_GPA, PAGE, mem));
	vcpu_long(self->v, guest_slot, 0);
	while ((r = run_with_dev(self->v)) == UC_SYNC) {
		ASSERT_EQ(0, madvise(mem, PAGE, MADV_DONTNEED));
		memcpy(mem, next ? store_d : store_a, sizeof(store_a));
		next = !next;
	}
	EXPECT_EQ(UC_DONE, r);
}

static u64 backing[512] __attribute__((aligned(4096)));

/* One instruction for all kinds of operands. */
static void guest_operand(void)
{
	u64 at = VA + PAGE;
	u32 i;

	map_code();
	guest_map(at, (uintptr_t)backing, PAGE, PAGE, PTE_P | PTE_W);
	guest_map(at + PAGE, DEV_GPA, PAGE, PAGE, PTE_P | PTE_W);
	for (i = 0; i < TIMES; i++) {
		store(VA, 0, i);
		/* Half in memory. */
		call(VA, 0x44332211, at + PAGE - 2);
		G_EQ(*(u16 *)((u8 *)backing + PAGE - 2), 0x2211);
		G_EQ(last.addr, DEV_GPA);
		G_EQ(last.len, 2);
		G_EQ(last.val, 0x4433);
		/* On two pages of the device's. */
		call(VA, 0x44332211, DEV_GPA + PAGE - 1);
		G_EQ(last.addr, DEV_GPA + PAGE);
		G_EQ(last.len, 3);
		G_EQ(last.val, 0x443322);
		/* In memory alone. */
		last.len = 0;
		call(VA, 0x66 + i, at);
		G_EQ(*(u32 *)backing, 0x66 + i);
		G_EQ(last.len, 0);
		/* The last bytes of a page. */
		call(VA, 0x77, at + 2 * PAGE - 4);
		G_EQ(last.addr, DEV_GPA + PAGE - 4);
		G_EQ(last.len, 4);
	}
	guest_done();
}

TEST_F(again, other_operand)
{
	RUN_GUEST(guest_operand);
}

/* Code that ends with its page, which is read no further. */
static void guest_page_end(void)
{
	u32 i;

	map_code();
	memcpy(page_a + PAGE - sizeof(store_a), store_a, sizeof(store_a));
	for (i = 0; i < TIMES; i++)
		store(VA + PAGE - sizeof(store_a), 0, i);
	guest_done();
}

TEST_F(again, end_of_page)
{
	RUN_GUEST(guest_page_end);
}

static void guest_loads(void)
{
	u64 r, i;

	for (i = 0; i < TIMES; i++) {
		r = 0x1122334455667788;
		asm volatile("mov (%1), %%ah" : "+a"(r) : "D"(DEV_GPA) : "memory");
		G_EQ(r, 0x112233445566f188);
		asm volatile("mov (%1), %w0" : "+a"(r) : "D"(DEV_GPA) : "memory");
		G_EQ(r, 0x112233445566f2f1);
		asm volatile("movzbw (%1), %w0" : "+a"(r) : "D"(DEV_GPA) : "memory");
		G_EQ(r, 0x11223344556600f1);
		asm volatile("movsbl (%1), %k0" : "+a"(r) : "D"(DEV_GPA) : "memory");
		G_EQ(r, 0xfffffff1);
		asm volatile("movslq (%1), %0" : "+a"(r) : "D"(DEV_GPA) : "memory");
		G_EQ(r, 0xfffffffff4f3f2f1);
		asm volatile("mov %%ah, (%1)" : : "a"(0x1234), "D"(DEV_GPA) : "memory");
		G_EQ(last.val, 0x12);
		asm volatile("movq $-5, 8(%0)" : : "D"(DEV_GPA) : "memory");
		G_EQ(last.val, -5ULL);
		asm volatile("mov %%rsp, %%rbx; mov (%1), %%rsp; mov %%rsp, %0; mov %%rbx, %%rsp"
			     : "=&r"(r) : "D"(DEV_GPA) : "memory", "rbx");
		G_EQ(r, 0xf8f7f6f5f4f3f2f1);
	}
	guest_done();
}

TEST_F(again, registers)
{
	RUN_GUEST(guest_loads);
}

TEST_MAIN
