// SPDX-License-Identifier: GPL-2.0-only
/* Accesses to guest addresses without memory: every size, many instructions. */
#include "harness.h"

#define DEV_GPA	0xd0000000UL
#define MAX_LOG	64

static struct {
	u64 addr;
	u32 len;
	bool write;
	u8 data[8];
} log_[MAX_LOG];
static unsigned int logged;
static u8 dev[PAGE * 2];

/* A device of plain bytes. */
static int run_with_dev(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 off;
	int r;

	logged = 0;
	while ((r = guest_run(v)) == KVM_EXIT_MMIO) {
		off = run->mmio.phys_addr - DEV_GPA;
		if (off + run->mmio.len > sizeof(dev) || run->mmio.len > 8)
			die("MMIO at %#llx size %u", run->mmio.phys_addr, run->mmio.len);
		if (logged < MAX_LOG) {
			log_[logged].addr = run->mmio.phys_addr;
			log_[logged].len = run->mmio.len;
			log_[logged].write = run->mmio.is_write;
			memcpy(log_[logged].data, run->mmio.data, 8);
			logged++;
		}
		if (run->mmio.is_write)
			memcpy(dev + off, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, dev + off, run->mmio.len);
	}
	return r;
}

FIXTURE(mmio) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(mmio)
{
	unsigned int i;

	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	for (i = 0; i < sizeof(dev); i++)
		dev[i] = i * 3 + 0x81;
}

FIXTURE_TEARDOWN(mmio)
{
}

#define RUN_GUEST(fn) do {					\
	vcpu_long(self->v, fn, 0);				\
	ASSERT_EQ(UC_DONE, run_with_dev(self->v)) vcpu_dump(self->v);	\
} while (0)

static void guest_mov(void)
{
	u64 rax = 0x1122334455667788;

	MMIO(u8, DEV_GPA) = 0x12;
	MMIO(u16, DEV_GPA + 2) = 0x3456;
	MMIO(u32, DEV_GPA + 4) = 0x789abcde;
	MMIO(u64, DEV_GPA + 8) = 0x0123456789abcdef;
	asm volatile("movb $0x77, (%0)" : : "r"(DEV_GPA + 16) : "memory");
	asm volatile("movq $-2, (%0)" : : "r"(DEV_GPA + 24) : "memory");
	asm volatile("movb (%1), %b0" : "+r"(rax) : "r"(DEV_GPA) : "memory");
	G_EQ(rax, 0x1122334455667712);
	asm volatile("movw (%1), %w0" : "+r"(rax) : "r"(DEV_GPA + 2) : "memory");
	G_EQ(rax, 0x1122334455663456);
	asm volatile("movl (%1), %k0" : "+r"(rax) : "r"(DEV_GPA + 4) : "memory");
	G_EQ(rax, 0x789abcde);
	G_EQ(MMIO(u64, DEV_GPA + 8), 0x0123456789abcdef);
	G_EQ(MMIO(u64, DEV_GPA + 24), -2ULL);
	/* Absolute address through the accumulator. */
	asm volatile("movabsb 0xd0000010, %%al" : "=a"(rax) : : "memory");
	G_EQ((u8)rax, 0x77);
	guest_done();
}

TEST_F(mmio, mov)
{
	static const struct {
		u8 off, len;
		bool write;
	} want[] = {
		{ 0, 1, 1 }, { 2, 2, 1 }, { 4, 4, 1 }, { 8, 8, 1 }, { 16, 1, 1 }, { 24, 8, 1 },
		{ 0, 1, 0 }, { 2, 2, 0 }, { 4, 4, 0 }, { 8, 8, 0 }, { 24, 8, 0 }, { 16, 1, 0 },
	};
	unsigned int i;

	RUN_GUEST(guest_mov);
	ASSERT_EQ(ARRAY_LEN(want), logged);
	for (i = 0; i < logged; i++) {
		EXPECT_EQ(DEV_GPA + want[i].off, log_[i].addr);
		EXPECT_EQ(want[i].len, log_[i].len);
		EXPECT_EQ(want[i].write, log_[i].write);
	}
	EXPECT_EQ(0x12, log_[0].data[0]);
	EXPECT_EQ(0, memcmp(log_[3].data, "\xef\xcd\xab\x89\x67\x45\x23\x01", 8));
}

static void guest_extend(void)
{
	u64 r;

	MMIO(u32, DEV_GPA) = 0x8badf0f1;
	asm volatile("movzbl (%1), %k0" : "=r"(r) : "r"(DEV_GPA) : "memory");
	G_EQ(r, 0xf1);
	asm volatile("movsbq (%1), %0" : "=r"(r) : "r"(DEV_GPA) : "memory");
	G_EQ(r, 0xfffffffffffffff1);
	asm volatile("movswl (%1), %k0" : "=r"(r) : "r"(DEV_GPA) : "memory");
	G_EQ(r, 0xfffff0f1);
	asm volatile("movzwq (%1), %0" : "=r"(r) : "r"(DEV_GPA) : "memory");
	G_EQ(r, 0xf0f1);
	asm volatile("movslq (%1), %0" : "=r"(r) : "r"(DEV_GPA) : "memory");
	G_EQ(r, 0xffffffff8badf0f1);
	guest_done();
}

TEST_F(mmio, extending_moves)
{
	RUN_GUEST(guest_extend);
}

static void guest_alu(void)
{
	u64 r = 0x10, flags;

	MMIO(u32, DEV_GPA) = 0xffffffff;
	asm volatile("addl %2, (%1); pushf; pop %0" : "=r"(flags) : "r"(DEV_GPA), "r"(2)
		     : "memory", "cc");
	G_EQ(MMIO(u32, DEV_GPA), 1);
	G_EQ(flags & (FLAG_CF | FLAG_ZF), FLAG_CF);
	asm volatile("subl $1, (%1); pushf; pop %0" : "=r"(flags) : "r"(DEV_GPA)
		     : "memory", "cc");
	G_EQ(MMIO(u32, DEV_GPA), 0);
	G_EQ(flags & (FLAG_CF | FLAG_ZF), FLAG_ZF);
	asm volatile("orw $0x1234, (%0)" : : "r"(DEV_GPA) : "memory", "cc");
	asm volatile("xorb $0xff, (%0)" : : "r"(DEV_GPA) : "memory", "cc");
	asm volatile("andl $0xff0f, (%0)" : : "r"(DEV_GPA) : "memory", "cc");
	G_EQ(MMIO(u32, DEV_GPA), 0x120b);
	asm volatile("add (%1), %0" : "+r"(r) : "r"(DEV_GPA) : "memory", "cc");
	G_EQ((u32)r, 0x121b);
	asm volatile("incl (%0); notl (%0)" : : "r"(DEV_GPA) : "memory", "cc");
	G_EQ(MMIO(u32, DEV_GPA), (u32)~0x120c);
	asm volatile("negl (%0)" : : "r"(DEV_GPA) : "memory", "cc");
	G_EQ(MMIO(u32, DEV_GPA), 0x120d);
	asm volatile("cmpl $0x120d, (%1); pushf; pop %0" : "=r"(flags) : "r"(DEV_GPA)
		     : "memory", "cc");
	G_EQ(flags & FLAG_ZF, FLAG_ZF);
	asm volatile("testb $0xf2, (%1); pushf; pop %0" : "=r"(flags) : "r"(DEV_GPA)
		     : "memory", "cc");
	G_EQ(flags & FLAG_ZF, FLAG_ZF);
	asm volatile("btl $2, (%1); pushf; pop %0" : "=r"(flags) : "r"(DEV_GPA)
		     : "memory", "cc");
	G_EQ(flags & FLAG_CF, FLAG_CF);
	guest_done();
}

TEST_F(mmio, arithmetic)
{
	RUN_GUEST(guest_alu);
}

static void guest_atomic(void)
{
	u64 r = 0x1111, old = 5, flags;

	MMIO(u64, DEV_GPA) = 0x2222;
	asm volatile("xchg %0, (%1)" : "+r"(r) : "r"(DEV_GPA) : "memory");
	G_EQ(r, 0x2222);
	G_EQ(MMIO(u64, DEV_GPA), 0x1111);
	asm volatile("lock addl $1, (%0)" : : "r"(DEV_GPA) : "memory", "cc");
	G_EQ(MMIO(u32, DEV_GPA), 0x1112);
	asm volatile("lock cmpxchgl %k3, (%2); pushf; pop %1"
		     : "+a"(old), "=r"(flags) : "r"(DEV_GPA), "r"(9UL) : "memory", "cc");
	G_EQ(flags & FLAG_ZF, 0);
	G_EQ(old, 0x1112);
	asm volatile("lock cmpxchgl %k3, (%2); pushf; pop %1"
		     : "+a"(old), "=r"(flags) : "r"(DEV_GPA), "r"(9UL) : "memory", "cc");
	G_EQ(flags & FLAG_ZF, FLAG_ZF);
	G_EQ(MMIO(u32, DEV_GPA), 9);
	guest_done();
}

TEST_F(mmio, atomic)
{
	RUN_GUEST(guest_atomic);
}

static u8 ram[256];

static void guest_string(void)
{
	u64 n, si, di;
	unsigned int i;

	for (i = 0; i < sizeof(ram); i++)
		ram[i] = i ^ 0x5a;
	n = 5, si = (uintptr_t)ram, di = DEV_GPA;
	asm volatile("rep movsl" : "+c"(n), "+S"(si), "+D"(di) : : "memory");
	G_EQ(n, 0);
	G_EQ(si, (uintptr_t)ram + 20);
	G_EQ(di, DEV_GPA + 20);
	n = 20, si = DEV_GPA, di = (uintptr_t)ram + 100;
	asm volatile("rep movsb" : "+c"(n), "+S"(si), "+D"(di) : : "memory");
	for (i = 0; i < 20; i++)
		G_EQ(ram[100 + i], ram[i]);
	/* Device to device. */
	si = DEV_GPA, di = DEV_GPA + 64;
	asm volatile("movsq" : "+S"(si), "+D"(di) : : "memory");
	G_EQ(MMIO(u64, DEV_GPA + 64), MMIO(u64, DEV_GPA));
	n = 3, di = DEV_GPA + 32;
	asm volatile("rep stosw" : "+c"(n), "+D"(di) : "a"(0xaa55) : "memory");
	G_EQ(MMIO(u32, DEV_GPA + 34), 0xaa55aa55);
	si = DEV_GPA + 32;
	asm volatile("lodsw" : "=a"(n), "+S"(si) : "0"(0UL) : "memory");
	G_EQ(n, 0xaa55);
	guest_done();
}

TEST_F(mmio, string)
{
	RUN_GUEST(guest_string);
}

static void guest_sse(void)
{
	static u64 in[2] __attribute__((aligned(16))) = { 0x1122334455667788, 0x99aabbccddeeff00 };
	static u64 out[2] __attribute__((aligned(16)));

	asm volatile("movdqa %0, %%xmm1; movdqu %%xmm1, (%1)" : : "m"(in), "r"(DEV_GPA)
		     : "memory");
	asm volatile("pxor %%xmm2, %%xmm2; movdqu (%1), %%xmm2; movdqa %%xmm2, %0"
		     : "=m"(out) : "r"(DEV_GPA) : "memory");
	G_EQ(out[0], in[0]);
	G_EQ(out[1], in[1]);
	asm volatile("movups %%xmm1, 16(%0); movaps %%xmm1, 32(%0)" : : "r"(DEV_GPA) : "memory");
	G_EQ(MMIO(u64, DEV_GPA + 24), in[1]);
	G_EQ(MMIO(u64, DEV_GPA + 32), in[0]);
	guest_done();
}

TEST_F(mmio, sse)
{
	RUN_GUEST(guest_sse);
	EXPECT_EQ(0, memcmp(dev, "\x88\x77\x66\x55\x44\x33\x22\x11\x00\xff\xee\xdd", 12));
}

static void guest_push_pop(void)
{
	u64 v = 0;

	MMIO(u64, DEV_GPA) = 0xfeedface12345678;
	asm volatile("pushq (%1); pop %0" : "=r"(v) : "r"(DEV_GPA) : "memory");
	G_EQ(v, 0xfeedface12345678);
	asm volatile("push %0; popq (%1)" : : "r"(0x123456789UL), "r"(DEV_GPA + 8) : "memory");
	G_EQ(MMIO(u64, DEV_GPA + 8), 0x123456789);
	guest_done();
}

TEST_F(mmio, push_and_pop)
{
	RUN_GUEST(guest_push_pop);
}

static u64 backing[512 * 2] __attribute__((aligned(4096)));
#define CROSS_VA	(1ULL << 39)

/* Half in memory, half in the device. */
static void guest_cross(void)
{
	guest_map(CROSS_VA, (uintptr_t)backing, PAGE, PAGE, PTE_P | PTE_W);
	guest_map(CROSS_VA + PAGE, DEV_GPA, PAGE, PAGE, PTE_P | PTE_W);
	MMIO(u64, CROSS_VA + PAGE - 4) = 0x8877665544332211;
	G_EQ(*(u32 *)((u8 *)backing + PAGE - 4), 0x44332211);
	G_EQ(MMIO(u32, DEV_GPA), 0x88776655);
	G_EQ(MMIO(u64, CROSS_VA + PAGE - 4), 0x8877665544332211);
	guest_done();
}

TEST_F(mmio, across_a_page)
{
	RUN_GUEST(guest_cross);
}

static void guest_unaligned(void)
{
	MMIO(u32, DEV_GPA + PAGE - 2) = 0x44332211;
	G_EQ(MMIO(u32, DEV_GPA + PAGE - 2), 0x44332211);
	guest_done();
}

TEST_F(mmio, across_two_device_pages)
{
	RUN_GUEST(guest_unaligned);
	EXPECT_EQ(0, memcmp(dev + PAGE - 2, "\x11\x22\x33\x44", 4));
}

static void guest_addressing(void)
{
	u64 base = DEV_GPA, r;

	MMIO(u64, DEV_GPA + 0x58) = 0x5858;
	asm volatile("mov 0x18(%1,%2,8), %0" : "=r"(r) : "r"(base), "r"(8UL) : "memory");
	G_EQ(r, 0x5858);
	asm volatile("mov %1, %%r12; mov 0x58(%%r12), %0" : "=r"(r) : "r"(base) : "memory", "r12");
	G_EQ(r, 0x5858);
	asm volatile("mov %1, %%r13; mov 0x58(%%r13), %%r15; mov %%r15, %0"
		     : "=r"(r) : "r"(base) : "memory", "r13", "r15");
	G_EQ(r, 0x5858);
	/* Through FS, with a base. */
	wrmsr(MSR_FS_BASE, DEV_GPA);
	asm volatile("mov %%fs:0x58, %0" : "=r"(r) : : "memory");
	G_EQ(r, 0x5858);
	/* 32-bit address size cuts the address to 32 bits. */
	asm volatile("mov 0x58(%k1), %0" : "=r"(r) : "r"(base | 1UL << 40) : "memory");
	G_EQ(r, 0x5858);
	guest_done();
}

TEST_F(mmio, addressing)
{
	RUN_GUEST(guest_addressing);
}

/* A read is not over before user space has come back with its data. */
static void guest_one_read(void)
{
	guest_sync(MMIO(u32, DEV_GPA));
	guest_done();
}

TEST_F(mmio, completion)
{
	struct kvm_run *run = self->v->run;
	u64 rip;

	vcpu_long(self->v, guest_one_read, 0);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	ASSERT_EQ(0, run->mmio.is_write);
	rip = vcpu_regs(self->v).rip;
	memcpy(run->mmio.data, "\xef\xbe\xad\x5e", 4);
	run->immediate_exit = 1;
	ASSERT_EQ(EINTR, vcpu_run(self->v));
	run->immediate_exit = 0;
	EXPECT_LT(rip, vcpu_regs(self->v).rip);
	ASSERT_SYNC(0x5eadbeef, self->v);
	ASSERT_DONE(self->v);
}

TEST_MAIN
