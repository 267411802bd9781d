// SPDX-License-Identifier: GPL-2.0-only
/* CR8 and interrupts that wait: each priority at its threshold, with and without an APIC. */
#include "harness.h"
#include "apic.h"

#define VEC_OF_CLASS(c)	((c) << 4 | 3)
#define VEC_LOW		0x31

static volatile u32 came, last;

static void on_irq(struct trap_frame *f)
{
	came++;
	last = f->vec;
	apic_eoi();
}

static void enable(u64 x2)
{
	u32 c;

	if (x2)
		apic_enable_x2();
	else
		apic_enable();
	for (c = 2; c < 16; c++)
		guest_handlers[VEC_OF_CLASS(c)] = on_irq;
	guest_handlers[VEC_LOW] = on_irq;
}

FIXTURE(cr8) {
	struct vcpu *v;
};

FIXTURE_SETUP(cr8)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(cr8)
{
}

/* QEMU's TCG dies of a CR8 write with an interrupt window open; keel intercepts it then. */
#define RUN_GUEST(fn, arg) do {						\
	if (host_is_tcg() && is_kvm())					\
		SKIP(return, "QEMU's TCG may abort on it");		\
	vcpu_long(self->v, fn, arg);					\
	ASSERT_DONE(self->v);						\
} while (0)

/* A class is held as long as CR8 is not below it, and comes at once when it is. */
static void guest_threshold(u64 x2)
{
	u32 c, tpr;

	enable(x2);
	for (c = 2; c < 16; c++) {
		came = 0;
		write_cr8(15);
		apic_icr(0, ICR_SELF | ICR_ASSERT | VEC_OF_CLASS(c));
		for (tpr = 15; tpr >= c; tpr--) {
			write_cr8(tpr);
			sti_nop_cli();
			G_EQ(came, 0);
			G_EQ(apic_bit(APIC_IRR, VEC_OF_CLASS(c)), 1);
		}
		write_cr8(c - 1);
		sti_nop_cli();
		G_EQ(came, 1);
		G_EQ(last, VEC_OF_CLASS(c));
	}
	guest_done();
}

TEST_F(cr8, threshold)
{
	RUN_GUEST(guest_threshold, 0);
}

TEST_F(cr8, threshold_x2)
{
	RUN_GUEST(guest_threshold, 1);
}

/* With interrupts on, the write itself lets it in: before the second instruction behind. */
static void guest_at_once(u64 x2)
{
	u32 c;

	enable(x2);
	for (c = 2; c < 16; c++) {
		came = 0;
		write_cr8(c);
		apic_icr(0, ICR_SELF | ICR_ASSERT | VEC_OF_CLASS(c));
		sti();
		asm volatile("nop; nop");
		G_EQ(came, 0);
		write_cr8(c - 1);
		asm volatile("nop; nop");
		G_EQ(came, 1);
		cli();
		G_EQ(last, VEC_OF_CLASS(c));
	}
	guest_done();
}

TEST_F(cr8, lets_it_in_at_once)
{
	RUN_GUEST(guest_at_once, 0);
}

/* All of them wait; each step down brings one class. */
static void guest_descent(u64 x2)
{
	u32 c;

	enable(x2);
	write_cr8(15);
	for (c = 2; c < 16; c++)
		apic_icr(0, ICR_SELF | ICR_ASSERT | VEC_OF_CLASS(c));
	for (c = 15; c >= 2; c--) {
		sti_nop_cli();
		G_EQ(came, 15 - c);
		write_cr8(c - 1);
		sti_nop_cli();
		G_EQ(came, 16 - c);
		G_EQ(last, VEC_OF_CLASS(c));
	}
	guest_done();
}

TEST_F(cr8, descent)
{
	RUN_GUEST(guest_descent, 0);
}

TEST_F(cr8, descent_x2)
{
	RUN_GUEST(guest_descent, 1);
}

/*
 * CR8 up and down with interrupts off while one of low priority waits, as the Windows kernel
 * does: the hypervisor has a window or a threshold armed all the time.
 */
static void guest_loop(u64 x2)
{
	u32 i;

	enable(x2);
	apic_icr(0, ICR_SELF | ICR_ASSERT | VEC_LOW);
	for (i = 0; i < 2000 / test_scale; i++) {
		write_cr8(i & 15);
		G_EQ(read_cr8(), i & 15);
	}
	G_EQ(came, 0);
	write_cr8(VEC_LOW >> 4);
	sti_nop_cli();
	G_EQ(came, 0);
	write_cr8(0);
	sti_nop_cli();
	G_EQ(came, 1);
	guest_done();
}

TEST_F(cr8, loop_with_interrupts_off)
{
	RUN_GUEST(guest_loop, 0);
}

TEST_F(cr8, loop_with_interrupts_off_x2)
{
	RUN_GUEST(guest_loop, 1);
}

/* Written with TPR in the page or its MSR, CR8 follows, and so does what waits. */
static void guest_tpr(u64 x2)
{
	enable(x2);
	apic_write(APIC_TPR, 0x7f);
	G_EQ(read_cr8(), 7);
	apic_icr(0, ICR_SELF | ICR_ASSERT | VEC_OF_CLASS(7));
	sti_nop_cli();
	G_EQ(came, 0);
	/* The lower half counts in PPR, not for a class. */
	G_EQ(apic_read(APIC_PPR), 0x7f);
	apic_write(APIC_TPR, 0x6f);
	sti_nop_cli();
	G_EQ(came, 1);
	write_cr8(5);
	G_EQ(apic_read(APIC_TPR), 0x50);
	guest_done();
}

TEST_F(cr8, task_priority_register)
{
	RUN_GUEST(guest_tpr, 0);
}

TEST_F(cr8, task_priority_register_x2)
{
	RUN_GUEST(guest_tpr, 1);
}

static void guest_bare(u64 arg)
{
	write_cr8(9);
	G_EQ(read_cr8(), 9);
	write_cr8(12);
	guest_sync(1);
	G_EQ(read_cr8(), 5);
	write_cr8(7);
	guest_sync(2);
	write_cr8(3);
	guest_sync(3);
	G_EQ(read_cr8(), 3);
	guest_done();
}

/* Without an APIC in the kernel user space has the register, and hears when it falls. */
TEST(without_apic)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_long(v, guest_bare, 0);
	ASSERT_SYNC(1, v);
	EXPECT_EQ(12, v->run->cr8);
	v->run->cr8 = 5;
	ASSERT_SYNC(2, v);
	EXPECT_EQ(7, v->run->cr8);
	ASSERT_RUN(KVM_EXIT_SET_TPR, v);
	EXPECT_EQ(3, v->run->cr8);
	ASSERT_SYNC(3, v);
	ASSERT_DONE(v);
}

TEST_MAIN
