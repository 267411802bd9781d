// SPDX-License-Identifier: GPL-2.0-only
/* KVM_NMI: delivery, the window between an NMI and its IRET, one kept pending. */
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include "harness.h"

static volatile u32 nmis, depth, max_depth;

static void on_nmi(struct trap_frame *f)
{
	nmis++;
	depth++;
	if (depth > max_depth)
		max_depth = depth;
	guest_sync(0x100 + nmis);
	/* A second one that came meanwhile must wait for the IRET. */
	cpu_pause();
	depth--;
}

static void guest_plain(void)
{
	guest_handlers[VEC_NMI] = on_nmi;
	guest_sync(1);
	guest_sync(2);
	guest_done();
}

FIXTURE(nmi) {
	struct vcpu *v;
};

FIXTURE_SETUP(nmi)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	nmis = depth = max_depth = 0;
	vcpu_long(self->v, guest_plain, 0);
	ASSERT_SYNC(1, self->v);
}

FIXTURE_TEARDOWN(nmi)
{
}

TEST_F(nmi, delivered)
{
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x101, self->v);
	ASSERT_SYNC(2, self->v);
	ASSERT_DONE(self->v);
	EXPECT_EQ(1, nmis);
}

/* Two while none is handled: both come, one after the other. */
TEST_F(nmi, not_nested)
{
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x101, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x102, self->v);
	ASSERT_SYNC(2, self->v);
	ASSERT_DONE(self->v);
	EXPECT_EQ(2, nmis);
	EXPECT_EQ(1, max_depth);
}

/* The guest has its own kvm_run in memory. */
#define RUN_IN_GUEST(field)	MMIO(u8, HIGH_GPA + offsetof(struct kvm_run, field))

static void on_nmi_leave(struct trap_frame *f)
{
	if (++nmis == 1)
		RUN_IN_GUEST(immediate_exit) = 1;	/* at the next exit, the IRET's */
	else
		guest_sync(0x100 + nmis);
}

static void guest_leave(void)
{
	guest_handlers[VEC_NMI] = on_nmi_leave;
	guest_sync(1);
	guest_sync(2);
	guest_done();
}

/* The client ends the blocking while the IRET is under way: that is not the next NMI's. */
TEST_F(nmi, unblocked_at_iret)
{
	struct kvm_vcpu_events e;

	ASSERT_EQ(0, vm_slot(self->v->vm, FIRST_SLOT, 0, HIGH_GPA, 4096, self->v->run));
	vcpu_long(self->v, guest_leave, 0);
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_NMI, 0);
	if (vcpu_run(self->v) != EINTR)
		SKIP(return, "immediate_exit counts only as KVM_RUN begins");
	self->v->run->immediate_exit = 0;
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	ASSERT_EQ(1, e.nmi.masked);
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	e.nmi.masked = 0;
	e.nmi.pending = 1;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &e);
	ASSERT_SYNC(0x102, self->v);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.masked);
	ASSERT_SYNC(2, self->v);
	ASSERT_DONE(self->v);
}

/* Inside the handler at most one is kept. */
TEST_F(nmi, collapse)
{
	unsigned int i;

	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x101, self->v);
	for (i = 0; i < 5; i++)
		must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x102, self->v);
	ASSERT_SYNC(2, self->v);
	ASSERT_DONE(self->v);
	EXPECT_EQ(2, nmis);
}

static void guest_hlt(void)
{
	guest_handlers[VEC_NMI] = on_nmi;
	cli();
	hlt();
	guest_done();
}

/* Wakes a halted vCPU, interrupts off or not. */
static void on_alarm(int sig)
{
}

TEST_F(nmi, wakes_hlt)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value = { 0, 50000 } };
	struct kvm_mp_state mp;

	vcpu_long(self->v, guest_hlt, 0);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	ASSERT_EQ(EINTR, vcpu_run(self->v));
	EXPECT_EQ(KVM_EXIT_INTR, self->v->run->exit_reason);
	must(self->v->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp.mp_state);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x101, self->v);
	ASSERT_DONE(self->v);
}

/* NMI blocking is part of the state that can be read and set. */
TEST_F(nmi, masked_in_events)
{
	struct kvm_vcpu_events e;

	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x101, self->v);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.masked);
	EXPECT_EQ(0, e.nmi.pending);
	must(self->v->fd, KVM_NMI, 0);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.pending);
	e.nmi.pending = 0;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &e);
	ASSERT_SYNC(2, self->v);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.masked);
	ASSERT_DONE(self->v);
	EXPECT_EQ(1, nmis);
}

static void on_fault_in_nmi(struct trap_frame *f)
{
	nmis++;
	depth++;
	if (depth > max_depth)
		max_depth = depth;
	guest_sync(0x100 + nmis);
	/* This IRET, of an exception inside the handler, ends the blocking. */
	if (nmis == 1)
		G_EQ(G_TRY("ud2"), VEC_UD);
	cpu_pause();
	depth--;
}

static void guest_iret(void)
{
	guest_handlers[VEC_NMI] = on_fault_in_nmi;
	guest_sync(1);
	guest_done();
}

TEST_F(nmi, any_iret_unblocks)
{
	vcpu_long(self->v, guest_iret, 0);
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x101, self->v);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_SYNC(0x102, self->v);
	ASSERT_DONE(self->v);
	EXPECT_EQ(2, nmis);
	EXPECT_EQ(2, max_depth);
}

static volatile u32 dbs;
static volatile u64 nmi_rip, dr6;

static void on_nmi_note(struct trap_frame *f)
{
	nmis++;
	nmi_rip = f->rip;
}

static void on_db(struct trap_frame *f)
{
	dbs++;
}

static void guest_debug_regs(void)
{
	guest_handlers[VEC_NMI] = on_nmi_note;
	guest_handlers[VEC_DB] = on_db;
	write_dr6(0xffff0ff2);	/* an old hit of DR1 */
	asm volatile("outl %%eax, %%dx\n\tmov %%rcx, %%dr0\n"
		     ".globl behind_mov_dr\nbehind_mov_dr: nop"
		     : : "a"(3), "d"(PORT_SYNC), "c"(0x1000));
	dr6 = read_dr6();
	G_EQ(read_dr0(), 0x1000);
	guest_done();
}
extern const char behind_mov_dr[];

/*
 * An NMI that has to wait for the end of STI's shadow, in which the guest uses a debug
 * register: however the hypervisor waits, the guest sees no step of it.
 */
TEST_F(nmi, no_trace_in_debug_registers)
{
	struct kvm_vcpu_events e;
	struct kvm_regs r;

	if (test_bochs_svm)
		SKIP(return, "Bochs keeps a single-step trap pending across #VMEXIT");
	vcpu_long(self->v, guest_debug_regs, 0);
	ASSERT_SYNC(3, self->v);
	self->v->run->immediate_exit = 1;
	ASSERT_EQ(EINTR, vcpu_run(self->v));
	self->v->run->immediate_exit = 0;
	/* Without IF there is no shadow of STI, and VM entry refuses the state. */
	r = vcpu_regs(self->v);
	r.rflags |= FLAG_IF;
	vcpu_set_regs(self->v, r);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	e.nmi.pending = 1;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &e);
	ASSERT_DONE(self->v);
	EXPECT_EQ(1, nmis);
	EXPECT_EQ((uintptr_t)behind_mov_dr, nmi_rip);
	EXPECT_EQ(0, dbs);
	if (!is_kvm())	/* the step changes it there */
		EXPECT_EQ(0xffff0ff2, dr6);
}

TEST_MAIN
