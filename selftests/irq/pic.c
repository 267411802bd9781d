// SPDX-License-Identifier: GPL-2.0-only
/* The pair of 8259 interrupt controllers. */
#include "harness.h"
#include "apic.h"

#define BASE	0x20

static volatile u32 order[16], n_order;
static volatile u32 nest_line, in_handler;

FIXTURE(pic) {
	struct vcpu *v;
};

FIXTURE_SETUP(pic)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(pic)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

static u8 pic_reg(u16 pic, u8 ocw3)
{
	outb(pic, ocw3);
	return inb(pic);
}
#define IRR(pic)	pic_reg(pic, 0x0a)
#define ISR(pic)	pic_reg(pic, 0x0b)

static void eoi(u32 irq)
{
	if (irq >= 8)
		outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

static void on_irq(struct trap_frame *f)
{
	u32 irq = f->vec - BASE;

	order[n_order++] = irq;
	eoi(irq);
}

static void start(u16 unmasked, void (*handler)(struct trap_frame *))
{
	unsigned int i;

	/* LINT0 passes the 8259s on (virtual wire). */
	apic_enable();
	apic_write(APIC_LVT0, DM_EXTINT);
	pic_init(BASE, unmasked);
	for (i = 0; i < 16; i++)
		guest_handlers[BASE + i] = handler;
}

static void pulse(u32 irq)
{
	guest_line(irq, 1);
	guest_line(irq, 0);
}

static void guest_vectors(void)
{
	u32 i;

	start(0xffff, on_irq);
	sti();
	for (i = 0; i < 16; i++) {
		if (i == 2)
			continue;
		n_order = 0;
		pulse(i);
		G_WAIT(n_order);
		G_EQ(n_order, 1);
		G_EQ(order[0], i);
	}
	G_EQ(ISR(PIC1), 0);
	G_EQ(ISR(PIC2), 0);
	guest_done();
}

TEST_F(pic, vectors)
{
	RUN_GUEST(guest_vectors);
}

static void guest_priority(void)
{
	start(0xffff, on_irq);
	pulse(5);
	pulse(12);
	pulse(3);
	pulse(9);
	G_EQ(IRR(PIC1), BIT(5) | BIT(3) | BIT(2));
	G_EQ(IRR(PIC2), BIT(1) | BIT(4));
	sti();
	G_WAIT(n_order == 4);
	/* The second controller hangs on line 2. */
	G_EQ(order[0], 9);
	G_EQ(order[1], 12);
	G_EQ(order[2], 3);
	G_EQ(order[3], 5);
	guest_done();
}

TEST_F(pic, priority)
{
	RUN_GUEST(guest_priority);
}

static void on_nested(struct trap_frame *f)
{
	u32 irq = f->vec - BASE, i;

	order[n_order++] = irq;
	if (irq == 4) {
		pulse(6);	/* lower: waits for the EOI */
		pulse(1);	/* higher: comes between */
		G_EQ(ISR(PIC1), BIT(4));
		sti();
		for (i = 0; i < 100; i++)
			cpu_pause();
		cli();
		order[n_order++] = 0xff;
	}
	eoi(irq);
}

static void guest_nesting(void)
{
	start(0xffff, on_nested);
	sti();
	pulse(4);
	G_WAIT(n_order == 4);
	G_EQ(order[0], 4);
	G_EQ(order[1], 1);
	G_EQ(order[2], 0xff);
	G_EQ(order[3], 6);
	guest_done();
}

TEST_F(pic, nesting)
{
	RUN_GUEST(guest_nesting);
}

static void guest_mask(void)
{
	start(0xffff & ~BIT(5), on_irq);
	G_EQ(inb(PIC1 + 1), BIT(5));
	guest_line(5, 1);
	sti_nop_cli();
	G_EQ(n_order, 0);
	G_EQ(IRR(PIC1), BIT(5));
	outb(PIC1 + 1, 0);
	sti_nop_cli();
	G_EQ(n_order, 1);
	guest_line(5, 0);
	/* LVT0 masked: nothing comes through. */
	apic_write(APIC_LVT0, DM_EXTINT | LVT_MASKED);
	pulse(5);
	sti_nop_cli();
	G_EQ(n_order, 1);
	guest_done();
}

TEST_F(pic, masks)
{
	RUN_GUEST(guest_mask);
}

static void on_level(struct trap_frame *f)
{
	/* KVM keeps the cascade's edge after the line fell: a spurious interrupt. */
	if (f->vec == BASE + 15) {
		outb(PIC1, 0x20);
		return;
	}
	order[n_order++] = f->vec - BASE;
	/* The third time the device has had enough. */
	if (n_order == 3)
		guest_line(11, 0);
	eoi(f->vec - BASE);
}

static void guest_level(void)
{
	start(0xffff, on_level);
	outb(PIC_ELCR2, BIT(3));
	G_EQ(inb(PIC_ELCR2), BIT(3));
	guest_line(11, 1);
	sti();
	G_WAIT(n_order == 3);
	sti_nop_cli();
	G_EQ(n_order, 3);
	/* Taken back before the CPU looked. */
	guest_line(11, 1);
	guest_line(11, 0);
	G_EQ(IRR(PIC2), 0);
	sti_nop_cli();
	G_EQ(n_order, 3);
	/* Lines that are always edge triggered. */
	outb(PIC_ELCR1, 0xff);
	G_EQ(inb(PIC_ELCR1), 0xf8);
	outb(PIC_ELCR2, 0xff);
	G_EQ(inb(PIC_ELCR2), 0xde);
	guest_done();
}

TEST_F(pic, level_triggered)
{
	RUN_GUEST(guest_level);
}

/*
 * A request that is gone before INTA: the 8259 answers with its vector 7, and the bit in
 * ISR stays clear, by which the handler tells it from a true one (8259A data sheet,
 * 'Interrupt Sequence').
 */
static volatile u32 spurious, race_over;

static void on_maybe_spurious(struct trap_frame *f)
{
	u32 irq = f->vec - BASE;
	u16 pic = irq < 8 ? PIC1 : PIC2;

	order[n_order++ % ARRAY_LEN(order)] = irq;
	if (ISR(pic) & BIT(irq & 7)) {
		eoi(irq);
		return;
	}
	G_EQ(irq & 7, 7);
	spurious++;
	/* The first controller took the second one's for true. */
	if (irq == 15) {
		G_EQ(ISR(PIC1), BIT(2));
		outb(PIC1, 0x20);
	}
	G_EQ(ISR(PIC1), 0);
	G_EQ(ISR(PIC2), 0);
}

static void guest_spurious(void)
{
	start(0xffff, on_maybe_spurious);
	outb(PIC_ELCR2, BIT(3));
	/* A level that falls before the processor looks; KVM keeps the cascade's edge. */
	guest_line(11, 1);
	guest_line(11, 0);
	G_EQ(IRR(PIC2), 0);
	sti_nop_cli();
	G_EQ(n_order, 1);
	G_EQ(order[0], 15);
	G_EQ(spurious, 1);
	/* An edge that is masked before the processor looks: it stays, and comes later. */
	pulse(12);
	outb(PIC2 + 1, BIT(4));
	sti_nop_cli();
	G_EQ(n_order, 2);
	G_EQ(order[1], 15);
	G_EQ(spurious, 2);
	G_EQ(IRR(PIC2), BIT(4));
	outb(PIC2 + 1, 0);
	sti_nop_cli();
	G_EQ(n_order, 3);
	G_EQ(order[2], 12);
	/* True ones. */
	pulse(15);
	sti_nop_cli();
	pulse(7);
	sti_nop_cli();
	G_EQ(n_order, 5);
	G_EQ(order[3], 15);
	G_EQ(order[4], 7);
	G_EQ(spurious, 2);
	guest_done();
}

TEST_F(pic, spurious_15)
{
	RUN_GUEST(guest_spurious);
}

/* On the first controller INTR falls with the request, and nothing comes. */
static void guest_taken_back(void)
{
	start(0xffff, on_maybe_spurious);
	outb(PIC_ELCR1, BIT(5));
	guest_line(5, 1);
	G_EQ(IRR(PIC1), BIT(5));
	guest_line(5, 0);
	G_EQ(IRR(PIC1), 0);
	sti_nop_cli();
	G_EQ(n_order, 0);
	pulse(6);
	outb(PIC1 + 1, BIT(6));
	sti_nop_cli();
	G_EQ(n_order, 0);
	outb(PIC1 + 1, 0);
	sti_nop_cli();
	G_EQ(n_order, 1);
	G_EQ(order[0], 6);
	guest_done();
}

TEST_F(pic, taken_back)
{
	RUN_GUEST(guest_taken_back);
}

/*
 * Another thread raises and lowers a line at any moment between request and INTA: what
 * comes is a true interrupt or a spurious one, and the chip works on.
 */
static void guest_racing_line(void)
{
	start(0xffff, on_maybe_spurious);
	outb(PIC_ELCR1, BIT(5));
	outb(PIC_ELCR2, BIT(3));
	guest_sync(1);
	sti();
	while (!race_over)
		cpu_pause();
	cli();
	/* One may still be on its way, and comes first. */
	sti_nop_cli();
	sti_nop_cli();
	G_EQ(IRR(PIC1), 0);
	G_EQ(IRR(PIC2), 0);
	G_EQ(ISR(PIC1), 0);
	G_EQ(ISR(PIC2), 0);
	n_order = 0;
	pulse(14);
	sti_nop_cli();
	pulse(3);
	sti_nop_cli();
	G_EQ(n_order, 2);
	G_EQ(order[0], 14);
	G_EQ(order[1], 3);
	guest_done();
}

TEST_F(pic, racing_line)
{
	unsigned int i, n = 3000 / test_scale;

	vcpu_long(self->v, guest_racing_line, 0);
	ASSERT_SYNC(1, self->v);
	vcpu_start(self->v);
	for (i = 0; i < n; i++) {
		vm_irq_line(self->v->vm, i & 1 ? 5 : 11, 1);
		if (i % 16 == 0)
			usleep(100);
		vm_irq_line(self->v->vm, i & 1 ? 5 : 11, 0);
	}
	race_over = 1;
	ASSERT_EQ(UC_DONE, vcpu_join(self->v));
}

static void on_auto_eoi(struct trap_frame *f)
{
	order[n_order++] = f->vec - BASE;
	G_EQ(ISR(PIC1), 0);
}

static void guest_auto_eoi(void)
{
	start(0, on_auto_eoi);
	outb(PIC1, 0x11);
	outb(PIC1 + 1, BASE);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 3);	/* AEOI */
	outb(PIC1 + 1, 0);
	sti();
	pulse(3);
	pulse(3);
	G_WAIT(n_order == 2);
	guest_done();
}

TEST_F(pic, automatic_eoi)
{
	RUN_GUEST(guest_auto_eoi);
}

static void on_no_eoi(struct trap_frame *f)
{
	order[n_order++] = f->vec - BASE;
}

static void guest_specific_eoi(void)
{
	start(0xffff, on_no_eoi);
	sti();
	pulse(4);
	G_WAIT(n_order == 1);
	pulse(2 + 1);
	G_WAIT(n_order == 2);
	G_EQ(ISR(PIC1), BIT(4) | BIT(3));
	outb(PIC1, 0x60 | 4);
	G_EQ(ISR(PIC1), BIT(3));
	outb(PIC1, 0x60 | 3);
	G_EQ(ISR(PIC1), 0);
	cli();
	/* Priorities turned so that 4 is the lowest: 5 goes before 1. */
	outb(PIC1, 0xc0 | 4);
	pulse(1);
	pulse(5);
	sti();
	/* 1 must wait for the EOI of 5. */
	G_WAIT(n_order == 3);
	G_EQ(order[2], 5);
	outb(PIC1, 0x60 | 5);
	G_WAIT(n_order == 4);
	G_EQ(order[3], 1);
	guest_done();
}

TEST_F(pic, specific_eoi_and_rotation)
{
	RUN_GUEST(guest_specific_eoi);
}

static void guest_poll(void)
{
	start(0xffff, on_irq);
	outb(PIC1, 0x0c);
	G_EQ(inb(PIC1) & 0x80, 0);
	pulse(6);
	outb(PIC1, 0x0c);
	/* KVM leaves bit 7 ("there is one") out. */
	G_EQ(inb(PIC1) & 7, 6);
	/* The poll was the acknowledge. */
	sti_nop_cli();
	G_EQ(n_order, 0);
	guest_done();
}

TEST_F(pic, poll)
{
	RUN_GUEST(guest_poll);
}

static void guest_hlt(void)
{
	start(0xffff, on_irq);
	guest_sync(1);
	sti_hlt();
	G_EQ(n_order, 1);
	guest_done();
}

TEST_F(pic, wakes_hlt)
{
	vcpu_long(self->v, guest_hlt, 0);
	ASSERT_SYNC(1, self->v);
	vcpu_start(self->v);
	usleep(20000);
	vm_irq_line(self->v->vm, 4, 1);
	ASSERT_EQ(UC_DONE, vcpu_join(self->v));
}

TEST_MAIN
