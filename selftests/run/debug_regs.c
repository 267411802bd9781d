// SPDX-License-Identifier: GPL-2.0-only
/* Debug registers in the guest's own hands: breakpoints, data watches, single step. */
#include "harness.h"

static volatile u64 hits, dr6_seen, rip_seen;
static volatile u64 watched[4];

static void on_db(struct trap_frame *f)
{
	hits++;
	dr6_seen = read_dr6();
	rip_seen = f->rip;
	write_dr6(0xffff0ff0);
	f->flags |= FLAG_RF;
}

FIXTURE(debug_regs) {
	struct vcpu *v;
};

FIXTURE_SETUP(debug_regs)
{
	self->v = vcpu_create(vm_create(0), 0);
	guest_handlers[VEC_DB] = on_db;
}

FIXTURE_TEARDOWN(debug_regs)
{
}

extern const char break_here[];

static void __attribute__((noinline)) hit_it(void)
{
	asm volatile(".globl break_here\nbreak_here: nop");
}

static void guest_execute(void)
{
	write_dr0((uintptr_t)break_here);
	write_dr7(0x401);
	hit_it();
	G_EQ(hits, 1);
	G_EQ(rip_seen, (uintptr_t)break_here);
	G_EQ(dr6_seen & 0xf, 1);
	guest_sync(1);
	/* Armed still, after an exit. */
	hit_it();
	G_EQ(hits, 2);
	write_dr7(0x400);
	hit_it();
	G_EQ(hits, 2);
	guest_done();
}

TEST_F(debug_regs, execution)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs's #DB intercept does not give the cause in DR6");
	vcpu_long(self->v, guest_execute, 0);
	ASSERT_SYNC(1, self->v);
	ASSERT_DONE(self->v);
}

static void guest_data(void)
{
	write_dr1((uintptr_t)&watched[1]);
	write_dr7(0x400 | 4 | 0xdULL << 20);	/* writes of 4 bytes */
	watched[0] = 1;
	G_EQ(hits, 0);
	*(volatile u32 *)&watched[1] = 1;
	G_EQ(hits, 1);
	G_EQ(dr6_seen & 0xf, 2);
	(void)watched[1];
	G_EQ(hits, 1);
	guest_done();
}

TEST_F(debug_regs, data_write)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs's #DB intercept does not give the cause in DR6");
	vcpu_long(self->v, guest_data, 0);
	ASSERT_DONE(self->v);
}

static void guest_two(u64 addr)
{
	u32 i;

	write_dr0(addr);
	write_dr2(addr + 1);
	for (i = 0; i < 5; i++) {
		guest_sync(i);
		G_EQ(read_dr0(), addr);
		G_EQ(read_dr2(), addr + 1);
		G_EQ(read_dr7(), 0x400);
	}
	guest_done();
}

TEST_F(debug_regs, each_vcpu_has_its_own)
{
	struct vcpu *other = vcpu_create(self->v->vm, 1);
	unsigned int i;

	vcpu_long(self->v, guest_two, 0x1000);
	vcpu_long(other, guest_two, 0x2000);
	for (i = 0; i < 5; i++) {
		ASSERT_SYNC(i, self->v);
		ASSERT_SYNC(i, other);
	}
	ASSERT_DONE(self->v);
	ASSERT_DONE(other);
}

static void guest_bad(void)
{
	G_EQ(G_TRY("mov %1, %%dr7", "r"(1UL << 32)), VEC_GP);
	G_EQ(G_TRY("mov %1, %%dr6", "r"(1UL << 32)), VEC_GP);
	/* No general detect (DR7.GD) here: QEMU's TCG ends with an assertion on it. */
	guest_done();
}

TEST_F(debug_regs, reserved_bits)
{
	vcpu_long(self->v, guest_bad, 0);
	ASSERT_DONE(self->v);
}

/* Stepping over instructions that leave the guest. */
static void guest_step(void)
{
	u64 before;

	asm volatile("pushf; orl $0x100, (%%rsp); popf" : : : "memory", "cc");
	asm volatile("cpuid" : : "a"(0), "c"(0) : "ebx", "edx");
	asm volatile("nop");
	asm volatile("pushf; andl $~0x100, (%%rsp); popf" : : : "memory", "cc");
	before = hits;
	/* One trap for each instruction behind the first POPF: CPUID, MOV or so, NOP... */
	G_CMP(before, >=, 5);
	G_EQ(dr6_seen & BIT(14), BIT(14));
	asm volatile("nop; nop");
	G_EQ(hits, before);
	guest_done();
}

TEST_F(debug_regs, step_over_exits)
{
	/* It delivers the trap to the host, amid the switch, and resets. */
	if (test_bochs_svm)
		SKIP(return, "Bochs keeps a single-step trap pending across #VMEXIT");
	vcpu_long(self->v, guest_step, 0);
	ASSERT_DONE(self->v);
}

TEST_MAIN
