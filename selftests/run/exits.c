// SPDX-License-Identifier: GPL-2.0-only
/* The ways out of KVM_RUN: HLT, shutdown, signals, immediate_exit. */
#include <signal.h>
#include <time.h>
#include "harness.h"

static volatile u64 counter;

static void guest_hlt(void)
{
	hlt();
	counter = 1;
	hlt();
}

TEST(hlt_without_irqchip)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	counter = 0;
	vcpu_long(v, guest_hlt, 0);
	ASSERT_RUN(KVM_EXIT_HLT, v);
	EXPECT_EQ(0, counter);
	/* User space decides how long to sleep; running again goes on behind it. */
	ASSERT_RUN(KVM_EXIT_HLT, v);
	EXPECT_EQ(1, counter);
}

static void guest_triple_fault(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(none));
}

TEST(triple_fault)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_long(v, guest_triple_fault, 0);
	ASSERT_RUN(KVM_EXIT_SHUTDOWN, v);
}

static void guest_count(void)
{
	spin_begin();
	for (;;)
		counter++;
}

TEST(immediate_exit)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	counter = 0;
	vcpu_long(v, guest_count, 0);
	v->run->immediate_exit = 1;
	ASSERT_EQ(EINTR, vcpu_run(v));
	EXPECT_EQ(0, counter);
	ASSERT_EQ(EINTR, vcpu_run(v));
	EXPECT_EQ(0, counter);
}

static struct vcpu *signalled;
static volatile int signals;

static void on_signal(int sig)
{
	signals++;
	if (signalled)
		signalled->run->immediate_exit = 1;
}

static void handle(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(sig, &sa, NULL);
}

/* A signal ends KVM_RUN with EINTR, as a timer in the middle of a guest loop. */
TEST(signal_ends_run)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct itimerspec its = { .it_value = { 0, 50000000 } };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer;

	counter = 0;
	signalled = v;	/* the signal may be early: then immediate_exit catches it */
	handle(SIGUSR1);
	vcpu_long(v, guest_count, 0);
	ASSERT_EQ(0, timer_create(CLOCK_MONOTONIC, &ev, &timer));
	ASSERT_EQ(0, timer_settime(timer, 0, &its, NULL));
	ASSERT_EQ(EINTR, vcpu_run(v));
	EXPECT_EQ(KVM_EXIT_INTR, v->run->exit_reason);
	EXPECT_EQ(1, signals);
	EXPECT_LT(0, counter);
}

struct sigmask {
	struct kvm_signal_mask h;
	u64 set;
};

/* With a mask, a signal that is blocked outside ends the run, unhandled as yet. */
TEST(signal_mask)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct sigmask m = { .h.len = 8, .set = ~BIT(SIGUSR1 - 1) };
	sigset_t set, pending;

	handle(SIGUSR1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	must(v->fd, KVM_SET_SIGNAL_MASK, &m);
	vcpu_long(v, guest_count, 0);
	ASSERT_EQ(0, raise(SIGUSR1));
	ASSERT_EQ(EINTR, vcpu_run(v));
	EXPECT_EQ(KVM_EXIT_INTR, v->run->exit_reason);
	EXPECT_EQ(0, signals);
	sigpending(&pending);
	EXPECT_EQ(1, sigismember(&pending, SIGUSR1));
	/* The thread's own mask is back. */
	sigprocmask(SIG_BLOCK, NULL, &set);
	EXPECT_EQ(1, sigismember(&set, SIGUSR1));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	EXPECT_EQ(1, signals);
}

static void guest_signal_done(void)
{
	guest_done();
}

/* The other way round: blocked during the run only. */
TEST(signal_mask_blocks)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct sigmask m = { .h.len = 8, .set = BIT(SIGUSR1 - 1) };
	struct sigmask bad = { .h.len = 4 };

	EXPECT_ERR(EINVAL, v->fd, KVM_SET_SIGNAL_MASK, &bad);
	must(v->fd, KVM_SET_SIGNAL_MASK, &m);
	vcpu_long(v, guest_signal_done, 0);
	ASSERT_DONE(v);
	must(v->fd, KVM_SET_SIGNAL_MASK, NULL);
	ASSERT_DONE(v);
}

static void *kick_thread(void *arg)
{
	struct vcpu *v = arg;
	unsigned int i;
	u64 last;

	for (i = 0; i < 20; i++) {
		last = counter;
		G_WAIT(counter != last);
		pthread_kill(v->thread, SIGUSR1);
		G_WAIT((u32)signals > i);
	}
	return NULL;
}

/* Kicked out of a loop again and again from another thread, at any point. */
TEST(kicks)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned int eintr = 0;
	pthread_t t;

	handle(SIGUSR1);
	v->thread = pthread_self();
	vcpu_long(v, guest_count, 0);
	pthread_create(&t, NULL, kick_thread, v);
	while (signals < 20) {
		ASSERT_EQ(EINTR, vcpu_run(v));
		eintr++;
	}
	EXPECT_LE(eintr, 20);
	pthread_join(t, NULL);
}

TEST_MAIN
