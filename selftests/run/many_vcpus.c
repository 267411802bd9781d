// SPDX-License-Identifier: GPL-2.0-only
/* More vCPUs than the host has CPUs, each on its thread, all on the same memory. */
#include <sched.h>
#include "harness.h"

static volatile u32 total, turn;
static u32 n, rounds;

static void guest_add(u64 id)
{
	u32 i;

	for (i = 0; i < rounds; i++) {
		__atomic_fetch_add(&total, 1, __ATOMIC_SEQ_CST);
		if (i % 16 == 0)
			cpuid(0, 0, (u32[4]) {});
	}
	guest_done();
}

static void run_all(struct __test_metadata *_metadata, void (*fn)(u64))
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[MAX_VCPUS];
	unsigned int i;

	for (i = 0; i < n; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long(v[i], fn, i);
		vcpu_start(v[i]);
	}
	for (i = 0; i < n; i++)
		ASSERT_EQ(UC_DONE, vcpu_join(v[i]));
}

TEST(atomic_adds)
{
	n = 16;
	rounds = 1000 / test_scale;
	run_all(_metadata, guest_add);
	EXPECT_EQ(n * rounds, total);
}

TEST(sixty_four)
{
	n = 64;
	rounds = 100 / test_scale;
	run_all(_metadata, guest_add);
	EXPECT_EQ(n * rounds, total);
}

/* One after the other, so that every vCPU has to get its time. */
static void guest_turns(u64 id)
{
	u32 i;

	spin_begin();
	for (i = 0; i < rounds; i++) {
		while (turn != i * n + id)
			cpu_pause();
		turn++;
	}
	guest_done();
}

TEST(in_turn)
{
	n = 6;
	rounds = 6 / test_scale + 1;
	run_all(_metadata, guest_turns);
	EXPECT_EQ(n * rounds, turn);
}

/* A vCPU may be run by one thread after another, on one CPU after another. */
static void guest_steps(u64 steps)
{
	u64 i;

	for (i = 0; i < steps; i++)
		guest_sync(i);
	guest_done();
}

static void *one_step(void *arg)
{
	struct vcpu *v = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(v->result & 1, &set);
	sched_setaffinity(0, sizeof(set), &set);
	v->result = guest_run(v);
	return NULL;
}

TEST(thread_to_thread)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned int i;

	vcpu_long(v, guest_steps, 20);
	for (i = 0; i < 20; i++) {
		v->result = i;
		ASSERT_EQ(0, pthread_create(&v->thread, NULL, one_step, v));
		ASSERT_EQ(UC_SYNC, vcpu_join(v));
		ASSERT_EQ(i, v->sync);
	}
	ASSERT_DONE(v);
}

TEST_MAIN
