// SPDX-License-Identifier: GPL-2.0-only
/* Split irqchip: the local APIC in the kernel, the I/O APIC and the rest outside. */
#include "harness.h"
#include "apic.h"

#define VEC	0x55

static volatile u32 count;

static void on_irq(struct trap_frame *f)
{
	count++;
	apic_eoi();
}

FIXTURE(split) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(split)
{
	self->vm = vm_create(VM_SPLIT);
	self->v = vcpu_create(self->vm, 0);
	guest_handlers[VEC] = on_irq;
}

FIXTURE_TEARDOWN(split)
{
}

/* An entry of the I/O APIC outside is told as an MSI route of its GSI. */
static void route(struct vm *vm, u32 gsi, u32 data)
{
	struct {
		struct kvm_irq_routing h;
		struct kvm_irq_routing_entry e;
	} r = {
		.h.nr = 1, .e = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
				  .u.msi = { .address_lo = 0xfee00000, .data = data } },
	};

	must(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

static void guest_level(void)
{
	apic_enable();
	guest_sync(1);
	sti_nop_cli();
	sti_nop_cli();
	G_EQ(count, 1);
	guest_sync(2);
	guest_done();
}

TEST_F(split, eoi_exit)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0xc000 | VEC };

	route(self->vm, 7, 0xc000 | VEC);
	vcpu_long(self->v, guest_level, 0);
	ASSERT_SYNC(1, self->v);
	must(self->vm->fd, KVM_SIGNAL_MSI, &msi);
	ASSERT_RUN(KVM_EXIT_IOAPIC_EOI, self->v);
	EXPECT_EQ(VEC, self->v->run->eoi.vector);
	ASSERT_SYNC(2, self->v);
	ASSERT_DONE(self->v);
}

TEST_F(split, edge_stays_inside)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VEC };

	route(self->vm, 7, VEC);
	vcpu_long(self->v, guest_level, 0);
	ASSERT_SYNC(1, self->v);
	must(self->vm->fd, KVM_SIGNAL_MSI, &msi);
	ASSERT_SYNC(2, self->v);
	ASSERT_DONE(self->v);
}

static void guest_io(void)
{
	outb(PIC1, 0x11);
	(void)MMIO(u32, IOAPIC_MMIO);
	guest_done();
}

TEST_F(split, chips_outside)
{
	vcpu_long(self->v, guest_io, 0);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(PIC1, self->v->run->io.port);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(IOAPIC_MMIO, self->v->run->mmio.phys_addr);
	ASSERT_DONE(self->v);
}

/* The 8259s outside bring their vectors in by KVM_INTERRUPT, through LINT0. */
static void guest_extint(void)
{
	apic_enable();
	apic_write(APIC_LVT0, DM_EXTINT);
	guest_handlers[VEC] = on_irq;
	guest_sync(1);
	sti_nop_cli();
	sti_nop_cli();
	G_EQ(count, 1);
	guest_done();
}

TEST_F(split, external_interrupt)
{
	struct kvm_interrupt irq = { .irq = VEC };

	vcpu_long(self->v, guest_extint, 0);
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_INTERRUPT, &irq);
	ASSERT_DONE(self->v);
}

/* While LINT0 lets nothing through, a window would be of no use: the guest just goes on. */
static void guest_lint0_masked(void)
{
	apic_enable();
	apic_write(APIC_LVT0, LVT_MASKED);
	guest_sync(1);
	sti_nop_cli();
	guest_sync(2);
	apic_write(APIC_LVT0, DM_EXTINT);
	sti_nop_cli();
	guest_done();
}

TEST_F(split, no_window_while_masked)
{
	struct kvm_run *run = self->v->run;

	vcpu_long(self->v, guest_lint0_masked, 0);
	ASSERT_SYNC(1, self->v);
	run->request_interrupt_window = 1;
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	ASSERT_RUN(KVM_EXIT_IRQ_WINDOW_OPEN, self->v);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	run->request_interrupt_window = 0;
	ASSERT_DONE(self->v);
}

static void guest_hlt(void)
{
	apic_enable();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, VEC);
	apic_write(APIC_TMICT, 2000000);
	sti_hlt();
	G_EQ(count, 1);
	guest_done();
}

TEST_F(split, timer_wakes_hlt)
{
	vcpu_long(self->v, guest_hlt, 0);
	ASSERT_DONE(self->v);
}

TEST_MAIN
