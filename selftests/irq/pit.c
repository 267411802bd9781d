// SPDX-License-Identifier: GPL-2.0-only
/* The 8254 in the kernel: counter 0 as an interrupt, counter 2 behind port 0x61. */
#include "harness.h"
#include "apic.h"

#define VEC	0x40

static volatile u32 ticks;

FIXTURE(pit) {
	struct vcpu *v;
};

FIXTURE_SETUP(pit)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP | VM_PIT), 0);
}

FIXTURE_TEARDOWN(pit)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

static void on_tick(struct trap_frame *f)
{
	ticks++;
	apic_eoi();
}

static void program(u8 counter, u8 mode, u16 count)
{
	outb(0x43, counter << 6 | 0x30 | mode << 1);
	outb(0x40 + counter, count);
	outb(0x40 + counter, count >> 8);
}

static u16 latch(u8 counter)
{
	u16 v;

	outb(0x43, counter << 6);
	v = inb(0x40 + counter);
	return v | inb(0x40 + counter) << 8;
}

/* Line 0 of the PIT is GSI 0; KVM's default routing has it on pin 0. */
static void start(void)
{
	apic_enable();
	guest_handlers[VEC] = on_tick;
	rte_write(0, VEC);
}

static void guest_rate(u64 arg)
{
	u64 t;

	start();
	/* Taken first: ticks pile up if the vCPU has to wait for a CPU here. */
	t = rdtsc();
	program(0, 2, 2386);	/* 2 ms */
	sti();
	G_WAIT(ticks >= 6);
	G_CMP(rdtsc() - t, >=, tsc_ms(9));
	cli();
	/* Mode 3 as well. */
	ticks = 0;
	t = rdtsc();
	program(0, 3, 2386);
	sti();
	G_WAIT(ticks >= 6);
	G_CMP(rdtsc() - t, >=, tsc_ms(8));
	guest_done();
}

TEST_F(pit, periodic)
{
	RUN_GUEST(guest_rate);
}

static void guest_one_shot(u64 arg)
{
	u64 t;

	start();
	sti();
	t = rdtsc();
	program(0, 0, 3580);	/* 3 ms */
	G_WAIT(ticks);
	G_CMP(rdtsc() - t, >=, tsc_ms(2));
	t = rdtsc();
	G_WAIT(rdtsc() - t > tsc_ms(10));
	G_EQ(ticks, 1);
	program(0, 4, 1193);
	G_WAIT(ticks == 2);
	guest_done();
}

TEST_F(pit, one_shot)
{
	RUN_GUEST(guest_one_shot);
}

static void guest_count(u64 arg)
{
	u16 a;

	program(0, 2, 0xffff);
	a = latch(0);
	G_WAIT(latch(0) != a);
	/* Read-back: status of counter 0, with its mode and access. */
	outb(0x43, 0xe2);
	G_EQ(inb(0x40) & 0x3f, 0x34);
	/* One byte only. */
	outb(0x43, 0x10 | 2 << 1);
	outb(0x40, 0x50);
	outb(0x43, 0xe2);
	G_EQ(inb(0x40) & 0x3f, 0x14);
	G_CMP(inb(0x40), <=, 0x50);
	guest_done();
}

TEST_F(pit, counting)
{
	RUN_GUEST(guest_count);
}

/* As kernels calibrate their TSC: gate on, wait for the output in port 0x61. */
static void guest_speaker(u64 arg)
{
	u64 t;

	outb(0x61, inb(0x61) & ~3);
	G_EQ(inb(0x61) & 3, 0);
	outb(0x61, (inb(0x61) & ~2) | 1);
	G_EQ(inb(0x61) & 3, 1);
	t = rdtsc();
	program(2, 0, 5966);	/* 5 ms */
	G_WAIT(inb(0x61) & 0x20);
	G_CMP(rdtsc() - t, >=, tsc_ms(4));
	guest_done();
}

TEST_F(pit, counter_2)
{
	RUN_GUEST(guest_speaker);
}

/* Through the 8259s, with HLT: the clock of an old system. */
static void on_pic_tick(struct trap_frame *f)
{
	ticks++;
	outb(PIC1, 0x20);
}

static void guest_pic(u64 arg)
{
	u32 i;

	apic_enable();
	apic_write(APIC_LVT0, DM_EXTINT);
	pic_init(0x20, BIT(0));
	guest_handlers[0x20] = on_pic_tick;
	program(0, 2, 1193);
	for (i = 0; i < 5; i++) {
		sti_hlt();
		cli();
	}
	G_CMP(ticks, >=, 5);
	guest_done();
}

TEST_F(pit, through_the_pic)
{
	RUN_GUEST(guest_pic);
}

TEST_MAIN
