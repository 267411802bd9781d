// SPDX-License-Identifier: GPL-2.0-only
/*
 * The task priority in guest memory (KVM_SET_VAPIC_ADDR), and the exits by which a client learns
 * where its guest touches the APIC's (KVM_TPR_ACCESS_REPORTING). QEMU asks for both.
 */
#include <sys/mman.h>
#include "harness.h"
#include "apic.h"

static volatile u32 word __attribute__((aligned(4)));
static volatile u32 taken;

FIXTURE(vapic) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(vapic)
{
	self->vm = vm_create(VM_IRQCHIP);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(vapic)
{
}

static int set_addr(struct vcpu *v, u64 gpa)
{
	struct kvm_vapic_addr va = { .vapic_addr = gpa };

	return err_of(v->fd, KVM_SET_VAPIC_ADDR, &va);
}

TEST_F(vapic, arguments)
{
	struct vcpu *bare = vcpu_create(vm_create(0), 0);

	ASSERT_EQ(1, has_ext(KVM_CAP_VAPIC));
	EXPECT_EQ(0, set_addr(self->v, 0));
	EXPECT_EQ(0, set_addr(self->v, (u64)&word));
	/* Nothing is there. */
	EXPECT_EQ(EINVAL, set_addr(self->v, 1ULL << 38));
	/* No local APIC in the kernel. */
	EXPECT_EQ(EINVAL, set_addr(bare, 0));
}

static void set_tpr(u8 tpr)
{
	*(volatile u8 *)&word = tpr;
}

/* An exit, after which the APIC has the word's TPR and the word what the APIC has. */
static void look(void)
{
	u32 r[4];

	cpuid(0, 0, r);
}

static void on_irq(struct trap_frame *f)
{
	taken = f->vec;
	look();
	/* In service, and nothing behind it. */
	G_EQ(word >> 8 & 0xff, f->vec & 0xf0);
	G_EQ(word >> 24, 0);
	apic_eoi();
}

static void guest_word(u64 x2)
{
	if (x2)
		apic_enable_x2();
	else
		apic_enable();
	guest_handlers[0x45] = on_irq;
	sti();

	set_tpr(0x50);
	look();
	G_EQ(apic_read(APIC_TPR), 0x50);
	G_EQ(read_cr8(), 5);
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x45);
	look();
	/* Held back, and the word says which one waits. */
	G_EQ(taken, 0);
	G_EQ(word, 0x45000050);

	set_tpr(0x41);
	look();
	G_EQ(taken, 0);
	set_tpr(0x3f);
	look();
	G_WAIT(taken);
	G_EQ(taken, 0x45);
	look();
	G_EQ(word, 0x3f);
	guest_done();
}

TEST_F(vapic, xapic)
{
	ASSERT_EQ(0, set_addr(self->v, (u64)&word));
	vcpu_long(self->v, guest_word, 0);
	ASSERT_DONE(self->v);
}

TEST_F(vapic, x2apic)
{
	ASSERT_EQ(0, set_addr(self->v, (u64)&word));
	vcpu_long(self->v, guest_word, 1);
	ASSERT_DONE(self->v);
}

static void guest_off(u64 arg)
{
	apic_enable();
	guest_sync(0);
	set_tpr(0x50);
	guest_sync(1);
	set_tpr(0x70);
	look();
	G_EQ(apic_read(APIC_TPR), 0x50);
	G_EQ(word, 0x70);
	guest_done();
}

TEST_F(vapic, off)
{
	ASSERT_EQ(0, set_addr(self->v, (u64)&word));
	vcpu_long(self->v, guest_off, 0);
	ASSERT_SYNC(0, self->v);
	/* Another one that is refused leaves it as it is. */
	if (!is_kvm())
		ASSERT_EQ(EINVAL, set_addr(self->v, 1ULL << 38));
	ASSERT_SYNC(1, self->v);
	ASSERT_EQ(0, set_addr(self->v, 0));
	ASSERT_DONE(self->v);
}

static void guest_again(u64 arg)
{
	apic_enable();
	MMIO(u8, HIGH_GPA) = 0x50;
	guest_sync(1);
	G_EQ(apic_read(APIC_TPR), 0x50);
	guest_done();
}

/* The page goes away while the vCPU does not run, and what the APIC has is put into a new one. */
TEST_F(vapic, page_not_present)
{
	u32 *mem = vm_add_mem(self->vm, FIRST_SLOT, 0, HIGH_GPA, 4096);
	struct kvm_lapic_state apic;

	ASSERT_EQ(0, set_addr(self->v, HIGH_GPA));
	vcpu_long(self->v, guest_again, 0);
	ASSERT_SYNC(1, self->v);
	EXPECT_EQ(0x50, *mem & 0xff);
	ASSERT_EQ(0, madvise(mem, 4096, MADV_DONTNEED));
	/* KVM writes the word only where it looks for interrupts, as it does after this. */
	must(self->v->fd, KVM_GET_LAPIC, &apic);
	must(self->v->fd, KVM_SET_LAPIC, &apic);
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x50, *mem & 0xff);
}

extern const char tpr_read[], tpr_write[], tpr_end[];

static void guest_access(u64 arg)
{
	apic_enable();
	guest_sync(1);
	asm volatile("tpr_read: mov %1, %%eax\n"
		     "tpr_write: mov %%eax, %0\n"
		     "tpr_end:\n"
		     : "=m"(MMIO(u32, APIC_MMIO + APIC_TPR))
		     : "m"(MMIO(u32, APIC_MMIO + APIC_TPR)) : "eax");
	guest_sync(2);
	G_EQ(apic_read(APIC_TPR), 0);
	guest_done();
}

static int report(struct vcpu *v, u32 enabled, u32 flags)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = enabled, .flags = flags };

	return err_of(v->fd, KVM_TPR_ACCESS_REPORTING, &ctl);
}

TEST_F(vapic, reports)
{
	EXPECT_EQ(EINVAL, report(self->v, 1, 1));
	vcpu_long(self->v, guest_access, 0);
	ASSERT_SYNC(1, self->v);
	ASSERT_EQ(0, report(self->v, 1, 0));
	ASSERT_RUN(KVM_EXIT_TPR_ACCESS, self->v);
	EXPECT_EQ((u64)tpr_read, self->v->run->tpr_access.rip);
	EXPECT_EQ(0, self->v->run->tpr_access.is_write);
	ASSERT_RUN(KVM_EXIT_TPR_ACCESS, self->v);
	EXPECT_EQ((u64)tpr_write, self->v->run->tpr_access.rip);
	EXPECT_EQ(1, self->v->run->tpr_access.is_write);
	ASSERT_SYNC(2, self->v);
	ASSERT_EQ(0, report(self->v, 0, 0));
	ASSERT_DONE(self->v);
}

TEST_MAIN
