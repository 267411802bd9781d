// SPDX-License-Identifier: GPL-2.0-only
/* NMIs that come through the interrupt controllers: IPI, message, LVT entries. */
#include "harness.h"
#include "apic.h"

static volatile u32 nmis[MAX_VCPUS], ready, stop;

static void on_nmi(struct trap_frame *f)
{
	__atomic_fetch_add(&nmis[apic_id()], 1, __ATOMIC_SEQ_CST);
}

static void guest_target(u64 id)
{
	apic_enable();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	/* Interrupts off all the time: an NMI does not ask. */
	while (!stop) {
		if (id & 1)
			hlt();
		cpu_pause();
	}
	guest_done();
}

static void guest_sender(u64 n)
{
	u32 i;

	guest_handlers[VEC_NMI] = on_nmi;
	apic_enable();
	G_WAIT(ready == n - 1);
	for (i = 1; i <= 10; i++) {
		apic_icr(0, ICR_OTHERS | ICR_ASSERT | DM_NMI);
		G_WAIT(nmis[1] == i && nmis[2] == i);
	}
	apic_icr(2, ICR_ASSERT | DM_NMI);
	G_WAIT(nmis[2] == 11);
	G_EQ(nmis[1], 10);
	G_EQ(nmis[0], 0);
	stop = 1;
	apic_icr(1, ICR_ASSERT | DM_NMI);
	guest_done();
}

TEST(by_ipi)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v[3];
	unsigned int i;

	guest_handlers[VEC_NMI] = on_nmi;
	for (i = 0; i < 3; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long(v[i], i ? (void (*)())guest_target : guest_sender, i ? i : 3);
		vcpu_set_runnable(v[i]);
	}
	vcpu_start(v[1]);
	vcpu_start(v[2]);
	ASSERT_DONE(v[0]);
	EXPECT_EQ(UC_DONE, vcpu_join(v[1]));
	EXPECT_EQ(UC_DONE, vcpu_join(v[2]));
}

static void nothing(struct trap_frame *f)
{
}

/*
 * A VM entry of Bochs's leaves NMIs blocked where another vCPU was in its handler (testing.rst); an
 * IRET, that of any handler, opens them.
 */
static void open_nmis(void)
{
	if (!test_bochs_vmx)
		return;
	guest_handlers[VEC_BP] = nothing;
	asm volatile("int3");
}

static void guest_wait(u64 id)
{
	open_nmis();
	guest_handlers[VEC_NMI] = on_nmi;
	apic_enable();
	guest_sync(1);
	cpu_pause();
	G_EQ(nmis[id], 1);
	guest_done();
}

static void send_by_message(struct vcpu *v, u32 id)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | id << 12, .data = DM_NMI };

	must(v->vm->fd, KVM_SIGNAL_MSI, &msi);
}

TEST(by_message)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);

	vcpu_long(v, guest_wait, 0);
	ASSERT_SYNC(1, v);
	send_by_message(v, 0);
	ASSERT_DONE(v);
}

static void on_long_nmi(struct trap_frame *f)
{
	__atomic_fetch_add(&nmis[0], 1, __ATOMIC_SEQ_CST);
	guest_sync(2);
}

static void guest_stays_in_handler(void)
{
	open_nmis();
	guest_handlers[VEC_NMI] = on_long_nmi;
	apic_enable();
	guest_sync(1);
	cpu_pause();
	G_EQ(nmis[0], 2);
	guest_done();
}

/* One VM's vCPU is in its handler, with another one waiting; a vCPU of another VM gets its own. */
TEST(while_another_handles_one)
{
	struct vcpu *first = vcpu_create(vm_create(VM_IRQCHIP), 0);
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 1);

	vcpu_long(first, guest_stays_in_handler, 0);
	ASSERT_SYNC(1, first);
	send_by_message(first, 0);
	ASSERT_SYNC(2, first);
	send_by_message(first, 0);

	vcpu_long(v, guest_wait, 1);
	vcpu_set_runnable(v);
	ASSERT_SYNC(1, v);
	send_by_message(v, 1);
	ASSERT_DONE(v);
	EXPECT_EQ(1, nmis[0]);
	/* By now with the other handler. */
	ASSERT_DONE(first);
}

/* The NMI watchdog of old: the PIT's line on LINT0 as NMI. */
static void guest_watchdog(void)
{
	open_nmis();
	guest_handlers[VEC_NMI] = on_nmi;
	apic_enable();
	apic_write(APIC_LVT0, DM_NMI);
	outb(0x43, 0x34);
	outb(0x40, 0x00);
	outb(0x40, 0x10);
	/* One is enough: KVM holds back the next until the 8259s have had an EOI. */
	G_WAIT(nmis[0]);
	apic_write(APIC_LVT0, LVT_MASKED);
	guest_done();
}

TEST(by_lint0)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP | VM_PIT), 0);

	vcpu_long(v, guest_watchdog, 0);
	ASSERT_DONE(v);
}

TEST_MAIN
