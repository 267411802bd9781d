// SPDX-License-Identifier: GPL-2.0-only
/* KVM_INTERRUPT without interrupt controllers in the kernel: the window, shadows. */
#include "harness.h"

#define VEC	0x61

static volatile u64 irq_rip;
static volatile u32 irqs;

static void on_irq(struct trap_frame *f)
{
	irqs++;
	irq_rip = f->rip;
	G_EQ(f->flags & FLAG_IF, FLAG_IF);
	G_EQ(read_flags() & FLAG_IF, 0);
}

static void guest_window(void)
{
	guest_handlers[VEC] = on_irq;
	guest_sync(1);
	asm volatile("sti\n.globl shadow\nshadow: nop\n.globl behind\nbehind: nop\ncli"
		     : : : "memory");
	guest_sync(2);
	guest_done();
}
extern const char shadow[], behind[];

FIXTURE(interrupt) {
	struct vcpu *v;
};

FIXTURE_SETUP(interrupt)
{
	self->v = vcpu_create(vm_create(0), 0);
	irqs = 0;
	vcpu_long(self->v, guest_window, 0);
	ASSERT_SYNC(1, self->v);
}

FIXTURE_TEARDOWN(interrupt)
{
}

static int inject(struct vcpu *v, u32 vec)
{
	struct kvm_interrupt i = { .irq = vec };

	return err_of(v->fd, KVM_INTERRUPT, &i);
}

TEST_F(interrupt, window)
{
	struct kvm_run *run = self->v->run;

	EXPECT_EQ(0, run->if_flag);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	run->request_interrupt_window = 1;
	ASSERT_RUN(KVM_EXIT_IRQ_WINDOW_OPEN, self->v);
	EXPECT_EQ(1, run->if_flag);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	run->request_interrupt_window = 0;
	ASSERT_EQ(0, inject(self->v, VEC));
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(1, irqs);
	/* Not before the instruction behind STI. */
	EXPECT_LE((uintptr_t)behind, irq_rip);
	ASSERT_DONE(self->v);
}

TEST_F(interrupt, none_while_masked)
{
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(0, irqs);
}

TEST_F(interrupt, errors)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	struct kvm_interrupt bad = { .irq = 256 };

	EXPECT_ERR(EINVAL, self->v->fd, KVM_INTERRUPT, &bad);
	/* With the controllers in the kernel it is not user space's business. */
	EXPECT_EQ(ENXIO, inject(v, VEC));
}

static void guest_mov_ss(void)
{
	guest_handlers[VEC] = on_irq;
	guest_sync(1);
	sti();
	asm volatile("mov %0, %%ss\n.globl ss_shadow\nss_shadow: nop\n"
		     ".globl ss_behind\nss_behind: nop" : : "r"(SEL_DATA) : "memory");
	guest_sync(2);
	cli();
	guest_done();
}

TEST_F(interrupt, mov_ss_shadow)
{
	extern const char ss_shadow[];
	struct kvm_regs r;

	vcpu_long(self->v, guest_mov_ss, 0);
	ASSERT_SYNC(1, self->v);
	self->v->run->request_interrupt_window = 1;
	ASSERT_RUN(KVM_EXIT_IRQ_WINDOW_OPEN, self->v);
	r = vcpu_regs(self->v);
	EXPECT_NE((uintptr_t)ss_shadow, r.rip);
	self->v->run->request_interrupt_window = 0;
	ASSERT_SYNC(2, self->v);
}

/* Halted with interrupts on: user space wakes it with an interrupt. */
static void guest_halt(void)
{
	guest_handlers[VEC] = on_irq;
	sti_hlt();
	cli();
	guest_done();
}

TEST_F(interrupt, wakes_hlt)
{
	vcpu_long(self->v, guest_halt, 0);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(1, self->v->run->if_flag);
	EXPECT_EQ(1, self->v->run->ready_for_interrupt_injection);
	ASSERT_EQ(0, inject(self->v, VEC));
	ASSERT_DONE(self->v);
	EXPECT_EQ(1, irqs);
}

/* Through the real-mode vector table as well. */
asm(".pushsection .rodata\n.code16\n"
    "rm_start: sti; nop; 1: cmpw $0, (0x600); je 1b; hlt\n"
    "rm_irq: movw $1, (0x600); iretw\n"
    "rm_end: .code64\n.popsection\n");
extern const char rm_irq[];

TEST_F(interrupt, real_mode)
{
	struct vm *vm = self->v->vm;
	extern const char rm_start[];

	vm_blob(vm, 0x9000, rm);
	*(u16 *)(vm->low + VEC * 4) = 0x9000 + (rm_irq - rm_start);
	vcpu_mode(self->v, MODE_REAL, 0x9000);
	self->v->run->request_interrupt_window = 1;
	ASSERT_RUN(KVM_EXIT_IRQ_WINDOW_OPEN, self->v);
	self->v->run->request_interrupt_window = 0;
	ASSERT_EQ(0, inject(self->v, VEC));
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
}

/* Delivery itself may fault in the nested tables: the stack's page is new each time. */
#define STACKS	16

static void guest_fresh_stacks(u64 base)
{
	u64 i;

	guest_handlers[VEC] = on_irq;
	for (i = 0; i < STACKS; i++)
		asm volatile("mov %%rsp, %%rbx; mov %0, %%rsp; sti; nop; nop; cli; mov %%rbx, %%rsp"
			     : : "r"(base + i * PAGE + 2048) : "rbx", "memory");
	guest_done();
}

TEST_F(interrupt, delivery_faults_in_nested_tables)
{
	u64 base = HIGH_GPA;
	unsigned int i;

	vm_add_mem(self->v->vm, FIRST_SLOT, 0, base, STACKS * PAGE);
	vcpu_long(self->v, guest_fresh_stacks, base);
	self->v->run->request_interrupt_window = 1;
	for (i = 0; i < STACKS; i++) {
		ASSERT_RUN(KVM_EXIT_IRQ_WINDOW_OPEN, self->v);
		ASSERT_EQ(0, inject(self->v, VEC));
	}
	self->v->run->request_interrupt_window = 0;
	ASSERT_DONE(self->v);
	EXPECT_EQ(STACKS, irqs);
}

TEST_MAIN
