// SPDX-License-Identifier: GPL-2.0-only
/* KVM_NMI: delivery, the window between an NMI and its IRET, one kept pending. */
#include <signal.h>
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

TEST_MAIN
