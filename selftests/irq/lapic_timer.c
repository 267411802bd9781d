// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC's timer. Emulators run slow and jerky: bounds are on one side only. */
#include "harness.h"
#include "apic.h"

#define VEC	0x70

static volatile u32 ticks;

FIXTURE(timer) {
	struct vcpu *v;
};

FIXTURE_SETUP(timer)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(timer)
{
}

#define RUN_GUEST(fn, arg) do {		\
	vcpu_long(self->v, fn, arg);	\
	ASSERT_DONE(self->v);		\
} while (0)

static void on_tick(struct trap_frame *f)
{
	ticks++;
	apic_eoi();
}

static void start(u64 x2, u32 lvt)
{
	if (x2)
		apic_enable_x2();
	else
		apic_enable();
	guest_handlers[VEC] = on_tick;
	apic_write(APIC_TDCR, 0xb);	/* divide by 1 */
	apic_write(APIC_LVTT, lvt | VEC);
}

static void guest_one_shot(u64 x2)
{
	u64 t;

	start(x2, 0);
	sti();
	/* KVM's timer counts nanoseconds. */
	t = rdtsc();
	apic_write(APIC_TMICT, 5000000);
	G_EQ(apic_read(APIC_TMICT), 5000000);
	G_WAIT(ticks);
	G_CMP(rdtsc() - t, >=, tsc_ms(4));
	G_EQ(apic_read(APIC_TMCCT), 0);
	/* Once only. */
	t = rdtsc();
	G_WAIT(rdtsc() - t > tsc_ms(15));
	G_EQ(ticks, 1);
	/* Written twice before it ends: one tick. */
	apic_write(APIC_TMICT, 3000000);
	apic_write(APIC_TMICT, 4000000);
	G_WAIT(ticks == 2);
	t = rdtsc();
	G_WAIT(rdtsc() - t > tsc_ms(15));
	G_EQ(ticks, 2);
	/* Zero stops it. */
	apic_write(APIC_TMICT, 300000000);
	apic_write(APIC_TMICT, 0);
	G_EQ(apic_read(APIC_TMCCT), 0);
	guest_done();
}

TEST_F(timer, one_shot)
{
	RUN_GUEST(guest_one_shot, 0);
}

TEST_F(timer, one_shot_x2)
{
	RUN_GUEST(guest_one_shot, 1);
}

static void guest_counts(u64 arg)
{
	u32 a, b;

	start(0, LVT_MASKED);
	apic_write(APIC_TMICT, 4000000000);
	a = apic_read(APIC_TMCCT);
	G_WAIT((b = apic_read(APIC_TMCCT)) != a);
	G_CMP(b, <, a);
	G_CMP(a, <=, 4000000000);
	/* Divided by 128 it takes so much longer. */
	apic_write(APIC_TDCR, 0xa);
	G_EQ(apic_read(APIC_TDCR), 0xa);
	apic_write(APIC_TMICT, 0);
	guest_done();
}

TEST_F(timer, current_count)
{
	RUN_GUEST(guest_counts, 0);
}

static void guest_periodic(u64 x2)
{
	u64 t;

	start(x2, LVT_PERIODIC);
	sti();
	t = rdtsc();
	apic_write(APIC_TMICT, 2000000);
	G_WAIT(ticks >= 8);
	/* Late ticks may be made up for, but not before their time. */
	G_CMP(rdtsc() - t, >=, tsc_ms(14));
	apic_write(APIC_TMICT, 0);
	sti_nop_cli();
	ticks = 0;
	sti();
	t = rdtsc();
	G_WAIT(rdtsc() - t > tsc_ms(8));
	G_EQ(ticks, 0);
	guest_done();
}

TEST_F(timer, periodic)
{
	RUN_GUEST(guest_periodic, 0);
}

static void guest_masked(u64 arg)
{
	u64 t;

	start(0, LVT_MASKED);
	sti();
	apic_write(APIC_TMICT, 1000000);
	t = rdtsc();
	G_WAIT(rdtsc() - t > tsc_ms(5));
	G_EQ(ticks, 0);
	guest_done();
}

TEST_F(timer, masked)
{
	RUN_GUEST(guest_masked, 0);
}

static void guest_deadline(u64 x2)
{
	u64 t;
	u32 i;

	start(x2, LVT_DEADLINE);
	sti();
	for (i = 1; i <= 5; i++) {
		t = rdtsc() + tsc_ms(3);
		wrmsr(MSR_TSC_DEADLINE, t);
		G_WAIT(ticks == i);
		G_CMP(rdtsc(), >=, t);
		/* Disarmed by firing. */
		G_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	}
	/* In the past: at once. */
	wrmsr(MSR_TSC_DEADLINE, 1);
	G_WAIT(ticks == i);
	/* Zero disarms. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_ms(1000));
	G_ASSERT(rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC_DEADLINE, 0);
	G_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	/* Not in this mode, no initial count; not in the others, no deadline. */
	apic_write(APIC_TMICT, 1000);
	G_EQ(apic_read(APIC_TMCCT), 0);
	apic_write(APIC_LVTT, VEC);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
	G_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	guest_done();
}

TEST_F(timer, tsc_deadline)
{
	RUN_GUEST(guest_deadline, 0);
}

TEST_F(timer, tsc_deadline_x2)
{
	RUN_GUEST(guest_deadline, 1);
}

static void guest_hlt(u64 arg)
{
	u32 i;

	start(0, 0);
	for (i = 1; i <= 5; i++) {
		apic_write(APIC_TMICT, 2000000);
		sti_hlt();
		cli();
		G_EQ(ticks, i);
	}
	apic_write(APIC_LVTT, LVT_DEADLINE | VEC);
	for (; i <= 10; i++) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_ms(2));
		sti_hlt();
		cli();
		G_EQ(ticks, i);
	}
	guest_done();
}

TEST_F(timer, wakes_hlt)
{
	RUN_GUEST(guest_hlt, 0);
}

/* The guest never leaves by itself: the timer has to break in. */
static void guest_loop(u64 arg)
{
	start(0, 0);
	apic_write(APIC_TMICT, 20000000);
	asm volatile("sti; 1: cmpl $0, %0; je 1b; cli" : : "m"(ticks) : "memory", "cc");
	guest_done();
}

TEST_F(timer, breaks_into_a_loop)
{
	RUN_GUEST(guest_loop, 0);
}

TEST_MAIN
