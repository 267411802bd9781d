// SPDX-License-Identifier: GPL-2.0-only
/* The I/O APIC: registers, edge and level, masks, destinations, delivery modes. */
#include "harness.h"
#include "apic.h"

#define VEC	0x50
#define PIN	9

static volatile u32 count, nmis, stop_at;

FIXTURE(ioapic) {
	struct vcpu *v;
};

FIXTURE_SETUP(ioapic)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(ioapic)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

static void on_edge(struct trap_frame *f)
{
	count++;
	G_EQ(apic_bit(APIC_ISR, f->vec), 1);
	G_EQ(apic_bit(APIC_TMR, f->vec), 0);
	apic_eoi();
}

static void pulse(u32 gsi)
{
	guest_line(gsi, 1);
	guest_line(gsi, 0);
}

static void guest_registers(void)
{
	u32 i;

	G_EQ(ioapic_read(1), 0x00170011);
	ioapic_write(0, 0x05000000);
	G_EQ(ioapic_read(0) & 0x0f000000, 0x05000000);
	for (i = 0; i < 24; i++) {
		G_EQ(rte_read(i) & RTE_MASKED, RTE_MASKED);
		rte_write(i, RTE_MASKED | RTE_DEST(i) | (0x30 + i));
	}
	for (i = 0; i < 24; i++)
		G_EQ(rte_read(i), RTE_MASKED | RTE_DEST(i) | (0x30 + i));
	/* Delivery status and remote IRR cannot be written. */
	rte_write(0, RTE_MASKED | BIT(12) | RTE_REMOTE_IRR | 0x30);
	G_EQ(rte_read(0), RTE_MASKED | 0x30);
	guest_done();
}

TEST_F(ioapic, registers)
{
	RUN_GUEST(guest_registers);
}

static void guest_edge(void)
{
	apic_enable();
	guest_handlers[VEC] = on_edge;
	rte_write(PIN, VEC);
	sti();
	pulse(PIN);
	G_WAIT(count == 1);
	/* Held high, it comes once. */
	guest_line(PIN, 1);
	G_WAIT(count == 2);
	guest_line(PIN, 1);
	sti_nop_cli();
	G_EQ(count, 2);
	guest_line(PIN, 0);
	guest_line(PIN, 1);
	sti_nop_cli();
	G_EQ(count, 3);
	/* Edges while the vector waits in IRR fall together. */
	guest_line(PIN, 0);
	pulse(PIN);
	pulse(PIN);
	sti_nop_cli();
	sti_nop_cli();
	G_EQ(count, 4);
	guest_done();
}

TEST_F(ioapic, edge)
{
	RUN_GUEST(guest_edge);
}

static void on_level(struct trap_frame *f)
{
	count++;
	G_EQ(apic_bit(APIC_TMR, f->vec), 1);
	G_EQ(rte_read(PIN) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	if (count >= stop_at)
		guest_line(PIN, 0);
	apic_eoi();
	G_EQ(rte_read(PIN) & RTE_REMOTE_IRR, count < stop_at ? RTE_REMOTE_IRR : 0);
}

static void guest_level(void)
{
	apic_enable();
	guest_handlers[VEC] = on_level;
	rte_write(PIN, VEC | RTE_LEVEL);
	stop_at = 5;
	guest_line(PIN, 1);
	sti();
	G_WAIT(count == 5);
	sti_nop_cli();
	G_EQ(count, 5);
	guest_done();
}

TEST_F(ioapic, level)
{
	RUN_GUEST(guest_level);
}

static void guest_mask(void)
{
	apic_enable();
	guest_handlers[VEC] = on_edge;
	rte_write(PIN, VEC | RTE_MASKED);
	pulse(PIN);
	sti_nop_cli();
	G_EQ(count, 0);
	/* A level that stands is seen when the mask goes. */
	guest_handlers[VEC] = on_level;
	stop_at = 1;
	rte_write(PIN, VEC | RTE_LEVEL | RTE_MASKED);
	guest_line(PIN, 1);
	sti_nop_cli();
	G_EQ(count, 0);
	rte_write(PIN, VEC | RTE_LEVEL);
	sti_nop_cli();
	G_EQ(count, 1);
	guest_done();
}

TEST_F(ioapic, masks)
{
	RUN_GUEST(guest_mask);
}

/*
 * A level-triggered pin while its interrupt is in service.  Each time the handler comes,
 * the next of these happens before its EOI.
 */
static void (*volatile in_service[4])(void);

static void on_service(struct trap_frame *f)
{
	void (*act)(void) = in_service[count % ARRAY_LEN(in_service)];

	count++;
	G_EQ(rte_read(PIN) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	act();
	apic_eoi();
}

static void lower(void)
{
	guest_line(PIN, 0);
}

static void blink(void)
{
	guest_line(PIN, 0);
	guest_line(PIN, 1);
}

static void mask(void)
{
	rte_write(PIN, VEC | RTE_LEVEL | RTE_MASKED);
	G_EQ(rte_read(PIN), VEC | RTE_LEVEL | RTE_MASKED | RTE_REMOTE_IRR);
}

/* What Linux does to lose a remote IRR that no EOI ends. */
static void edge_and_back(void)
{
	rte_write(PIN, VEC | RTE_MASKED);
	G_EQ(rte_read(PIN), VEC | RTE_MASKED);
	rte_write(PIN, VEC | RTE_LEVEL | RTE_MASKED);
	G_EQ(rte_read(PIN), VEC | RTE_LEVEL | RTE_MASKED);
	rte_write(PIN, VEC | RTE_LEVEL);
	G_EQ(rte_read(PIN), VEC | RTE_LEVEL | RTE_REMOTE_IRR);
}

/* The EOI of another vector is none of this pin's. */
static void other_eoi(void)
{
	guest_handlers[VEC + 0x10] = on_edge;
	apic_icr(apic_id(), ICR_SELF | ICR_ASSERT | (VEC + 0x10));
	sti_nop_cli();
	G_EQ(guest_irqs[VEC + 0x10], 1);
	G_EQ(rte_read(PIN) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	count--;
	lower();
}

/* Runs the actions, and says how often the interrupt came. */
static u32 serve(void (*a)(void), void (*b)(void))
{
	count = 0;
	in_service[0] = a;
	in_service[1] = b;
	in_service[2] = in_service[3] = lower;
	guest_line(PIN, 1);
	sti_nop_cli();
	sti_nop_cli();
	sti_nop_cli();
	return count;
}

static void guest_in_service(void)
{
	apic_enable();
	guest_handlers[VEC] = on_service;
	rte_write(PIN, VEC | RTE_LEVEL);
	/* Down before the EOI: once. */
	G_EQ(serve(lower, lower), 1);
	G_EQ(rte_read(PIN), VEC | RTE_LEVEL);
	/* Down and up again: once more, and not twice. */
	G_EQ(serve(blink, lower), 2);
	/* The mask holds it back, not the EOI that ends the one in service. */
	G_EQ(serve(mask, lower), 1);
	G_EQ(rte_read(PIN), VEC | RTE_LEVEL | RTE_MASKED);
	rte_write(PIN, VEC | RTE_LEVEL);
	sti_nop_cli();
	G_EQ(count, 2);
	G_EQ(serve(edge_and_back, lower), 2);
	G_EQ(serve(other_eoi, lower), 1);
	G_EQ(rte_read(PIN), VEC | RTE_LEVEL);
	guest_done();
}

TEST_F(ioapic, level_in_service)
{
	RUN_GUEST(guest_in_service);
}

/* The polarity bit is kept and means nothing: level 1 is the line at work, always. */
static void guest_polarity(void)
{
	apic_enable();
	guest_handlers[VEC] = on_edge;
	rte_write(PIN, VEC | RTE_ACTIVE_LOW);
	G_EQ(rte_read(PIN), VEC | RTE_ACTIVE_LOW);
	sti_nop_cli();
	G_EQ(count, 0);
	guest_line(PIN, 1);
	sti_nop_cli();
	G_EQ(count, 1);
	guest_line(PIN, 0);
	sti_nop_cli();
	G_EQ(count, 1);
	guest_handlers[VEC] = on_level;
	stop_at = 4;
	rte_write(PIN, VEC | RTE_ACTIVE_LOW | RTE_LEVEL);
	sti_nop_cli();
	G_EQ(count, 1);
	guest_line(PIN, 1);
	sti();
	G_WAIT(count == 4);
	cli();
	/* Turned over while it is down: still down. */
	rte_write(PIN, VEC | RTE_LEVEL);
	sti_nop_cli();
	rte_write(PIN, VEC | RTE_LEVEL | RTE_ACTIVE_LOW);
	sti_nop_cli();
	G_EQ(count, 4);
	guest_done();
}

TEST_F(ioapic, polarity_is_ignored)
{
	if (has_ext(KVM_CAP_IOAPIC_POLARITY_IGNORED) <= 0)
		SKIP(return, "no KVM_CAP_IOAPIC_POLARITY_IGNORED");
	RUN_GUEST(guest_polarity);
}

static void on_nmi(struct trap_frame *f)
{
	nmis++;
}

static void guest_modes(void)
{
	apic_enable();
	guest_handlers[VEC] = on_edge;
	guest_handlers[VEC_NMI] = on_nmi;
	rte_write(PIN, VEC | DM_NMI);
	pulse(PIN);
	G_WAIT(nmis == 1);
	rte_write(PIN, VEC | DM_LOWEST);
	pulse(PIN);
	sti_nop_cli();
	G_EQ(count, 1);
	/* Logical destination, flat: the APIC answers to the bits in its LDR. */
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_LDR, 0x04000000);
	rte_write(PIN, VEC | RTE_LOGICAL | RTE_DEST(0x0c));
	pulse(PIN);
	sti_nop_cli();
	G_EQ(count, 2);
	rte_write(PIN, VEC | RTE_LOGICAL | RTE_DEST(0x0b));
	pulse(PIN);
	sti_nop_cli();
	G_EQ(count, 2);
	/* Physical: to nobody, and to everybody. */
	rte_write(PIN, VEC | RTE_DEST(7));
	pulse(PIN);
	sti_nop_cli();
	G_EQ(count, 2);
	rte_write(PIN, VEC | RTE_DEST(0xff));
	pulse(PIN);
	sti_nop_cli();
	G_EQ(count, 3);
	guest_done();
}

TEST_F(ioapic, delivery_and_destination)
{
	RUN_GUEST(guest_modes);
}

/* KVM_IRQ_LINE_STATUS tells whether an interrupt went out. */
static void guest_status(void)
{
	apic_enable();
	guest_handlers[VEC] = on_edge;
	rte_write(PIN, VEC);
	guest_sync(1);
	sti_nop_cli();
	guest_sync(2);
	guest_done();
}

static int line_status(struct vcpu *v, u32 gsi, u32 level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	must(v->vm->fd, KVM_IRQ_LINE_STATUS, &l);
	return l.status;
}

TEST_F(ioapic, line_status)
{
	struct vcpu *v = self->v;

	vcpu_long(v, guest_status, 0);
	ASSERT_SYNC(1, v);
	EXPECT_LT(0, line_status(v, PIN, 1));
	line_status(v, PIN, 0);
	ASSERT_SYNC(2, v);
	EXPECT_LT(0, line_status(v, PIN, 1));
	EXPECT_EQ(1, count);
}

TEST_MAIN
