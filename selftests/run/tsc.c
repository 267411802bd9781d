// SPDX-License-Identifier: GPL-2.0-only
/* The time-stamp counter: it only grows, and follows what is written to it. */
#include "harness.h"

FIXTURE(tsc) {
	struct vcpu *v;
};

FIXTURE_SETUP(tsc)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(tsc)
{
}

static volatile u64 last;

static void guest_grows(void)
{
	u64 a, b;
	u32 i, aux;

	a = rdtsc();
	for (i = 0; i < 200; i++) {
		b = i & 1 ? rdtscp(&aux) : rdtsc();
		G_CMP(b, >=, a);
		a = b;
		if (i % 20 == 0)
			guest_sync(i);
	}
	G_CMP(rdmsr(MSR_TSC), >=, a);
	last = rdtsc();
	guest_done();
}

TEST_F(tsc, monotonic)
{
	unsigned int i;

	vcpu_long(self->v, guest_grows, 0);
	for (i = 0; i < 200; i += 20)
		ASSERT_SYNC(i, self->v);
	ASSERT_DONE(self->v);
	EXPECT_LE(last, vcpu_get_msr(self->v, MSR_TSC));
}

static void guest_writes(void)
{
	u64 t;

	wrmsr(MSR_TSC, 1ULL << 44);
	t = rdtsc();
	G_CMP(t, >=, 1ULL << 44);
	G_CMP(t, <, (1ULL << 44) + tsc_ms(10000));
	guest_sync(1);
	G_CMP(rdtsc(), >=, t);
	guest_done();
}

TEST_F(tsc, written_by_the_guest)
{
	vcpu_long(self->v, guest_writes, 0);
	ASSERT_SYNC(1, self->v);
	ASSERT_DONE(self->v);
}

static void guest_reads(void)
{
	last = rdtsc();
	guest_done();
}

TEST_F(tsc, written_by_the_host)
{
	vcpu_set_msr(self->v, MSR_TSC, 1ULL << 45);
	vcpu_long(self->v, guest_reads, 0);
	ASSERT_DONE(self->v);
	EXPECT_LE(1ULL << 45, last);
	EXPECT_GT((1ULL << 45) + tsc_ms(10000), last);
}

static void guest_adjust(void)
{
	u64 t = rdtsc(), adj = rdmsr(MSR_TSC_ADJUST);

	wrmsr(MSR_TSC_ADJUST, adj + (1ULL << 46));
	G_CMP(rdtsc(), >=, t + (1ULL << 46));
	G_EQ(rdmsr(MSR_TSC_ADJUST), adj + (1ULL << 46));
	guest_done();
}

TEST_F(tsc, adjust)
{
	if (!cpuid_has(7, 0, 1, 1))
		SKIP(return, "the processor has no TSC_ADJUST");
	vcpu_long(self->v, guest_adjust, 0);
	ASSERT_DONE(self->v);
}

static void guest_aux(u64 val)
{
	u32 aux;
	u32 i;

	wrmsr(MSR_TSC_AUX, val);
	for (i = 0; i < 5; i++) {
		rdtscp(&aux);
		G_EQ(aux, val);
		guest_sync(i);
	}
	guest_done();
}

TEST_F(tsc, aux_of_each_vcpu)
{
	struct vcpu *other = vcpu_create(self->v->vm, 1);
	unsigned int i;

	vcpu_set_runnable(other);
	vcpu_long(self->v, guest_aux, 0x11);
	vcpu_long(other, guest_aux, 0x22);
	for (i = 0; i < 5; i++) {
		ASSERT_SYNC(i, self->v);
		ASSERT_SYNC(i, other);
	}
}

TEST_MAIN
