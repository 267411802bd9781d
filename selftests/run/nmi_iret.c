// SPDX-License-Identifier: GPL-2.0-only
/*
 * NMIs are blocked until IRET, also one that faults (SDM, "NMI unblocking due to IRET" and
 * "Changes to Instruction Behavior in VMX Non-Root Operation"): a fault of the guest's own ends
 * the blocking, a fault in the hypervisor's tables does not, as the IRET comes again.
 */
#include "harness.h"

static volatile u32 nmis;
static volatile u64 nmi_rip[4], resume_rsp, fault_rip;

FIXTURE(nmi_iret) {
	struct vcpu *v;
};

FIXTURE_SETUP(nmi_iret)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(nmi_iret)
{
}

extern const char resumed[], the_iret[];
static u64 frame_at;	/* where the first handler's IRET finds its frame */

/* The first one stays in its handler until the next has come, and leaves by an IRET of its own. */
static void on_nmi(struct trap_frame *f)
{
	if (nmis < ARRAY_LEN(nmi_rip))
		nmi_rip[nmis] = f->rip;
	if (nmis++)
		return;
	resume_rsp = f->rsp;
	guest_sync(2);
	asm volatile("mov %0, %%rsp\n"
		     ".globl the_iret\nthe_iret: iretq" : : "r"(frame_at) : "memory");
}

static void guest_wait(void)
{
	guest_handlers[VEC_NMI] = on_nmi;
	guest_sync(1);
	/* All registers may be lost here, but for RSP, which the frame has. */
	asm volatile("nop\n.globl resumed\nresumed: nop"
		     : : : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10",
		     "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	guest_sync(3);
	guest_done();
}

static void put_frame(u64 *frame, u64 cs)
{
	frame[0] = (uintptr_t)resumed;
	frame[1] = cs;
	frame[2] = FLAG_FIXED;
	frame[3] = resume_rsp;
	frame[4] = SEL_DATA;
}

/* Its frame lies in a page that no access of the guest's has mapped yet. */
TEST_F(nmi_iret, fault_in_nested_tables)
{
	u64 *frame = vm_add_mem(self->v->vm, FIRST_SLOT, 0, HIGH_GPA, 4096);
	struct kvm_vcpu_events e;

	if (test_bochs_svm)
		SKIP(return, "Bochs keeps a single-step trap pending across #VMEXIT");
	frame_at = HIGH_GPA;
	vcpu_long(self->v, guest_wait, 0);
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(2, self->v);
	put_frame(frame, SEL_CODE64);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(3, self->v);
	EXPECT_EQ(2, nmis);
	/* Behind the IRET, and not before it is through. */
	EXPECT_EQ((uintptr_t)resumed, nmi_rip[1]);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.masked);
	ASSERT_DONE(self->v);
}

/* Also when nothing waits: blocked until then, open after. */
TEST_F(nmi_iret, fault_in_nested_tables_alone)
{
	u64 *frame = vm_add_mem(self->v->vm, FIRST_SLOT, 0, HIGH_GPA, 4096);
	struct kvm_vcpu_events e;

	frame_at = HIGH_GPA;
	vcpu_long(self->v, guest_wait, 0);
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(2, self->v);
	put_frame(frame, SEL_CODE64);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.masked);
	ASSERT_SYNC(3, self->v);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.masked);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_DONE(self->v);
	EXPECT_EQ(2, nmis);
}

/* The guest's own fault: the frame names a selector past the end of the table. */
static void on_gp(struct trap_frame *f)
{
	fault_rip = f->rip;
	guest_sync(4);
	f->rip = (uintptr_t)resumed;
	f->rsp = resume_rsp;
}

TEST_F(nmi_iret, fault_of_the_guests_own)
{
	static u64 frame[8];

	if (!host_is_intel())
		SKIP(return, "with SVM an IRET that faults is not told from one that is through");
	frame_at = (uintptr_t)frame;
	vcpu_long(self->v, guest_wait, 0);
	guest_handlers[VEC_GP] = on_gp;
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(2, self->v);
	put_frame(frame, 0x1000);
	must(self->v->fd, KVM_NMI, 0);
	/* In #GP's handler already, at its first instruction. */
	ASSERT_SYNC(4, self->v);
	EXPECT_EQ((uintptr_t)the_iret, fault_rip);
	EXPECT_EQ(2, nmis);
	EXPECT_NE((uintptr_t)resumed, nmi_rip[1]);
	ASSERT_SYNC(3, self->v);
	EXPECT_EQ(2, nmis);
	ASSERT_DONE(self->v);
}

/* A page fault in the handler, fixed and come back from: that IRET ends it, as any does. */
static void on_nmi_exits(struct trap_frame *f)
{
	u32 r[4];

	nmi_rip[nmis++ & 3] = f->rip;
	if (nmis > 1)
		return;
	guest_sync(2);
	/* Exits of all kinds do not. */
	cpuid(0, 0, r);
	inb(0x80);
	(void)MMIO(u32, 0xd0000000);
	(void)rdmsr(MSR_APIC_BASE);
	guest_sync(5);
}

static void guest_exits(void)
{
	guest_handlers[VEC_NMI] = on_nmi_exits;
	guest_sync(1);
	guest_sync(3);
	guest_done();
}

TEST_F(nmi_iret, exits_do_not_unblock)
{
	struct kvm_vcpu_events e;

	vcpu_long(self->v, guest_exits, 0);
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(2, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	ASSERT_SYNC(5, self->v);
	EXPECT_EQ(1, nmis);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.masked);
	EXPECT_EQ(1, e.nmi.pending);
	ASSERT_SYNC(3, self->v);
	EXPECT_EQ(2, nmis);
	ASSERT_DONE(self->v);
}

TEST_MAIN
