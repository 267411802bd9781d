// SPDX-License-Identifier: GPL-2.0-only
/* kvmclock: the page, its protocol, and one time on all vCPUs. */
#include <time.h>
#include "harness.h"

struct time_info {
	u32 version, pad;
	u64 tsc_timestamp, system_time;
	u32 mul;
	int8_t shift;
	u8 flags, pad2[2];
} __attribute__((packed));

struct wall_clock {
	u32 version, sec, nsec;
} __attribute__((packed));

static struct time_info info[4] __attribute__((aligned(64)));
static struct wall_clock wall __attribute__((aligned(16)));
static volatile u64 now_ns, latest, ready;
static u32 cpus, rounds;

static u64 clock_read(volatile struct time_info *t)
{
	u64 delta, ns;
	u32 version;

	do {
		version = t->version;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		delta = rdtsc() - t->tsc_timestamp;
		if (t->shift >= 0)
			delta <<= t->shift;
		else
			delta >>= -t->shift;
		ns = t->system_time + (u64)((unsigned __int128)delta * t->mul >> 32);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (version & 1 || version != t->version);
	return ns;
}

/*
 * How far one reading may lie before the last: not at all where the page promises it (bit 0 of the
 * flags). Else each rewrite of the page is a new start from the host's clock, which may stand
 * behind what the guest made of its TSC; guests keep the latest reading themselves.
 */
static u64 clock_slack(volatile struct time_info *t)
{
	return t->flags & 1 ? 0 : 50000000;
}

static void guest_clock(u64 cpu)
{
	u64 a, b;
	u32 i;

	wrmsr(MSR_KVM_SYSTEM_TIME, (uintptr_t)&info[cpu] | 1);
	G_EQ(rdmsr(MSR_KVM_SYSTEM_TIME), (uintptr_t)&info[cpu] | 1);
	guest_sync(1);
	G_ASSERT(info[cpu].version);
	G_EQ(info[cpu].version & 1, 0);
	G_ASSERT(info[cpu].mul);
	a = clock_read(&info[cpu]);
	for (i = 0; i < 100; i++) {
		b = clock_read(&info[cpu]);
		G_CMP(b + clock_slack(&info[cpu]), >=, a);
		a = b;
		if (i % 10 == 0)
			guest_sync(2);
	}
	now_ns = a;
	guest_done();
}

static int run_to_end(struct vcpu *v)
{
	int r;

	while ((r = guest_run(v)) == UC_SYNC)
		;
	return r;
}

TEST(page)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v = vcpu_create(vm, 0);
	struct kvm_clock_data c = {};

	vcpu_long(v, guest_clock, 0);
	ASSERT_EQ(UC_DONE, run_to_end(v));
	must(vm->fd, KVM_GET_CLOCK, &c);
	/* The VM's clock and the guest's are the same. */
	EXPECT_LE(now_ns, c.clock + 1000000);
	EXPECT_LE(c.clock, now_ns + 60000000000ULL);
}

TEST(follows_set_clock)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v = vcpu_create(vm, 0);
	struct kvm_clock_data c = { .clock = 1ULL << 50 };

	vcpu_long(v, guest_clock, 0);
	ASSERT_SYNC(1, v);
	must(vm->fd, KVM_SET_CLOCK, &c);
	ASSERT_EQ(UC_DONE, run_to_end(v));
	EXPECT_LE(1ULL << 50, now_ns);
	EXPECT_GT((1ULL << 50) + 60000000000ULL, now_ns);
}

static void guest_wall(void)
{
	wrmsr(MSR_KVM_WALL_CLOCK, (uintptr_t)&wall);
	G_EQ(wall.version & 1, 0);
	G_ASSERT(wall.version);
	guest_done();
}

TEST(wall_clock)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	struct kvm_clock_data c = {};
	struct timespec ts;

	vcpu_long(v, guest_wall, 0);
	ASSERT_DONE(v);
	must(v->vm->fd, KVM_GET_CLOCK, &c);
	clock_gettime(CLOCK_REALTIME, &ts);
	/* Wall clock at the VM's zero, plus its age: now. */
	EXPECT_LE(ts.tv_sec - 60, (long)wall.sec + (long)(c.clock / 1000000000));
	EXPECT_GE(ts.tv_sec + 2, (long)wall.sec + (long)(c.clock / 1000000000));
}

/* Who restores a guest may do so before its memory is there. */
TEST(wall_clock_without_memory)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	void *mem = vm_add_mem(v->vm, FIRST_SLOT, 0, HIGH_GPA, PAGE);

	ASSERT_EQ(0, munmap(mem, PAGE));
	EXPECT_EQ(1, vcpu_try_set_msr(v, MSR_KVM_WALL_CLOCK, HIGH_GPA));
	EXPECT_EQ(HIGH_GPA, vcpu_get_msr(v, MSR_KVM_WALL_CLOCK));
}

/* What one vCPU has read, no other reads an earlier time after. */
static void guest_together(u64 cpu)
{
	u64 before, t;
	u32 i;

	wrmsr(MSR_KVM_SYSTEM_TIME, (uintptr_t)&info[cpu] | 1);
	guest_sync(1);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	G_WAIT(ready == cpus);
	for (i = 0; i < rounds; i++) {
		before = __atomic_load_n(&latest, __ATOMIC_SEQ_CST);
		t = clock_read(&info[cpu]);
		G_CMP(t + clock_slack(&info[cpu]), >=, before);
		while (t > before && !__atomic_compare_exchange_n(&latest, &before, t, false,
								  __ATOMIC_SEQ_CST,
								  __ATOMIC_SEQ_CST))
			;
	}
	guest_done();
}

static void *together_thread(void *arg)
{
	struct vcpu *v = arg;

	v->result = run_to_end(v);
	return NULL;
}

TEST(across_vcpus)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v[3];
	unsigned int i;

	cpus = 3;
	rounds = 500 / test_scale;
	for (i = 0; i < cpus; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_set_runnable(v[i]);
		vcpu_long(v[i], guest_together, i);
		pthread_create(&v[i]->thread, NULL, together_thread, v[i]);
	}
	for (i = 0; i < cpus; i++) {
		pthread_join(v[i]->thread, NULL);
		EXPECT_EQ(UC_DONE, v[i]->result);
	}
}

/* KVM_KVMCLOCK_CTRL tells the guest that it was stopped. */
TEST(paused_flag)
{
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);

	EXPECT_ERR(EINVAL, v->fd, KVM_KVMCLOCK_CTRL, NULL);
	vcpu_long(v, guest_clock, 0);
	ASSERT_SYNC(1, v);
	EXPECT_EQ(0, info[0].flags & 2);
	must(v->fd, KVM_KVMCLOCK_CTRL, 0);
	ASSERT_EQ(UC_SYNC, guest_run(v));
	EXPECT_EQ(2, info[0].flags & 2);
}

TEST_MAIN
