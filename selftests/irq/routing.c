// SPDX-License-Identifier: GPL-2.0-only
/* GSI routing and message-signalled interrupts. */
#include "harness.h"
#include "apic.h"

#define VEC	0x58

static volatile u32 count[256];

FIXTURE(routing) {
	struct vm *vm;
	struct vcpu *v;
};

static void on_irq(struct trap_frame *f)
{
	count[f->vec]++;
	apic_eoi();
}

/* Takes what is pending whenever the host lets it run. */
static void guest_poll(u64 arg)
{
	u32 i;

	apic_enable();
	for (i = VEC; i < VEC + 16; i++)
		guest_handlers[i] = on_irq;
	for (i = 0;; i++) {
		guest_sync(i);
		sti_nop_cli();
	}
}

FIXTURE_SETUP(routing)
{
	self->vm = vm_create(VM_IRQCHIP);
	self->v = vcpu_create(self->vm, 0);
	vcpu_long(self->v, guest_poll, 0);
	ASSERT_RUN(UC_SYNC, self->v);
}

FIXTURE_TEARDOWN(routing)
{
}

static struct kvm_irq_routing_entry msi_entry(u32 gsi, u8 dest, u8 vec)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000 | dest << 12, .data = vec },
	};
}

static int set_routing(struct vm *vm, struct kvm_irq_routing_entry *e, u32 n)
{
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + n * sizeof(*e));
	int err;

	r->nr = n;
	memcpy(r->entries, e, n * sizeof(*e));
	err = err_of(vm->fd, KVM_SET_GSI_ROUTING, r);
	free(r);
	return err;
}

#define EXPECT_GOT(vec, n) do {			\
	ASSERT_RUN(UC_SYNC, self->v);		\
	EXPECT_EQ(n, count[vec]);		\
} while (0)

TEST_F(routing, signal_msi)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VEC };

	EXPECT_LT(0, must(self->vm->fd, KVM_SIGNAL_MSI, &msi));
	EXPECT_GOT(VEC, 1);
	/* To an APIC that is not there. */
	msi.address_lo = 0xfee07000;
	EXPECT_GE(0, ioctl(self->vm->fd, KVM_SIGNAL_MSI, &msi));
	EXPECT_GOT(VEC, 1);
	/* Level-triggered and lowest-priority messages come as well. */
	msi.address_lo = 0xfee00000;
	msi.data = 0x4100 | VEC;
	EXPECT_LT(0, must(self->vm->fd, KVM_SIGNAL_MSI, &msi));
	EXPECT_GOT(VEC, 2);
	msi.flags = 0x80;
	EXPECT_ERR(EINVAL, self->vm->fd, KVM_SIGNAL_MSI, &msi);
}

TEST_F(routing, msi_route)
{
	struct kvm_irq_routing_entry e[] = {
		msi_entry(5, 0, VEC), msi_entry(200, 0, VEC + 1), msi_entry(1000, 0, VEC + 2),
	};

	ASSERT_EQ(0, set_routing(self->vm, e, ARRAY_LEN(e)));
	vm_irq_line(self->vm, 5, 1);
	EXPECT_GOT(VEC, 1);
	vm_irq_line(self->vm, 200, 1);
	vm_irq_line(self->vm, 1000, 1);
	EXPECT_GOT(VEC + 1, 1);
	EXPECT_GOT(VEC + 2, 1);
	/* A message goes when the line rises only. */
	vm_irq_line(self->vm, 200, 0);
	EXPECT_GOT(VEC + 1, 1);
	/* The table is replaced whole. */
	ASSERT_EQ(0, set_routing(self->vm, e, 1));
	vm_irq_line(self->vm, 200, 1);
	EXPECT_GOT(VEC + 1, 1);
	vm_irq_line(self->vm, 5, 1);
	EXPECT_GOT(VEC, 2);
}

TEST_F(routing, two_chips_one_gsi)
{
	struct kvm_irq_routing_entry e[] = {
		{ .gsi = 7, .type = KVM_IRQ_ROUTING_IRQCHIP,
		  .u.irqchip = { KVM_IRQCHIP_IOAPIC, 20 } },
		{ .gsi = 7, .type = KVM_IRQ_ROUTING_IRQCHIP,
		  .u.irqchip = { KVM_IRQCHIP_PIC_MASTER, 3 } },
	};
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	must(self->vm->fd, KVM_GET_IRQCHIP, &chip);
	chip.chip.ioapic.redirtbl[20].bits = VEC + 3;
	must(self->vm->fd, KVM_SET_IRQCHIP, &chip);
	ASSERT_EQ(0, set_routing(self->vm, e, ARRAY_LEN(e)));
	vm_irq_line(self->vm, 7, 1);
	EXPECT_GOT(VEC + 3, 1);
	chip.chip_id = KVM_IRQCHIP_PIC_MASTER;
	must(self->vm->fd, KVM_GET_IRQCHIP, &chip);
	EXPECT_EQ(BIT(3), chip.chip.pic.irr);
}

TEST_F(routing, errors)
{
	struct kvm_irq_routing_entry good = msi_entry(5, 0, VEC), bad;
	struct kvm_irq_routing big = { .nr = 100000 };
	struct kvm_irq_routing flags = { .nr = 0, .flags = 1 };

	ASSERT_EQ(0, set_routing(self->vm, &good, 1));
	EXPECT_ERR(EINVAL, self->vm->fd, KVM_SET_GSI_ROUTING, &big);
	EXPECT_ERR(EINVAL, self->vm->fd, KVM_SET_GSI_ROUTING, &flags);
	bad = good;
	bad.type = 99;
	EXPECT_EQ(EINVAL, set_routing(self->vm, &bad, 1));
	bad = good;
	bad.flags = 0x100;
	EXPECT_EQ(EINVAL, set_routing(self->vm, &bad, 1));
	bad = good;
	bad.gsi = 0x10000;
	EXPECT_EQ(EINVAL, set_routing(self->vm, &bad, 1));
	bad.gsi = 1;
	bad.type = KVM_IRQ_ROUTING_IRQCHIP;
	bad.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	bad.u.irqchip.pin = 24;
	EXPECT_EQ(EINVAL, set_routing(self->vm, &bad, 1));
	bad.u.irqchip.irqchip = KVM_IRQCHIP_PIC_MASTER;
	bad.u.irqchip.pin = 16;
	EXPECT_EQ(EINVAL, set_routing(self->vm, &bad, 1));
	bad.u.irqchip.irqchip = 9;
	bad.u.irqchip.pin = 0;
	EXPECT_EQ(EINVAL, set_routing(self->vm, &bad, 1));
	/* The old table is still in force. */
	vm_irq_line(self->vm, 5, 1);
	EXPECT_GOT(VEC, 1);
}

TEST_MAIN
