// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts between vCPUs: shorthands, destinations, wake-ups, storms. */
#include "harness.h"
#include "apic.h"

#define VEC	0x61
#define N	4

static volatile u32 got[MAX_VCPUS], ready, stop;
static volatile u32 cpus;

static void on_ipi(struct trap_frame *f)
{
	__atomic_fetch_add(&got[apic_id()], 1, __ATOMIC_SEQ_CST);
	apic_eoi();
}

/* A vCPU that waits for interrupts, asleep or not by its number. */
static void receiver(u64 id)
{
	if (apic_x2)
		apic_enable_x2();
	else
		apic_enable();
	if (!apic_x2) {
		apic_write(APIC_DFR, 0xffffffff);
		apic_write(APIC_LDR, 0x01000000u << id);
	}
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop) {
		if (id & 1)
			sti_hlt();
		else
			sti_nop_cli();
		cli();
	}
	guest_done();
}

static void expect(u32 a, u32 b, u32 c, u32 d)
{
	G_WAIT(got[0] >= a && got[1] >= b && got[2] >= c && got[3] >= d);
	sti_nop_cli();
	G_EQ(got[0], a);
	G_EQ(got[1], b);
	G_EQ(got[2], c);
	G_EQ(got[3], d);
}

static void finish(void)
{
	u32 i;

	stop = 1;
	cli();
	for (i = 1; i < cpus; i++)
		apic_icr(i, ICR_ASSERT | VEC);
	guest_done();
}

static void start(u64 x2)
{
	guest_handlers[VEC] = on_ipi;
	if (x2)
		apic_enable_x2();
	else
		apic_enable();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	G_WAIT(ready == cpus);
	sti();
}

static void guest_shorthands(u64 x2)
{
	start(x2);
	apic_icr(0, ICR_OTHERS | ICR_ASSERT | VEC);
	expect(0, 1, 1, 1);
	sti();
	apic_icr(0, ICR_ALL | ICR_ASSERT | VEC);
	expect(1, 2, 2, 2);
	sti();
	apic_icr(0, ICR_SELF | ICR_ASSERT | VEC);
	expect(2, 2, 2, 2);
	sti();
	apic_icr(2, ICR_ASSERT | VEC);
	expect(2, 2, 3, 2);
	sti();
	/* Broadcast by destination. */
	apic_icr(x2 ? 0xffffffff : 0xff, ICR_ASSERT | VEC);
	expect(3, 3, 4, 3);
	sti();
	/* Nobody there. */
	apic_icr(200, ICR_ASSERT | VEC);
	expect(3, 3, 4, 3);
	sti();
	/* Logical: members 1 and 3. */
	apic_icr(0x0a, ICR_LOGICAL | ICR_ASSERT | VEC);
	expect(3, 4, 4, 4);
	sti();
	/* Lowest priority takes one of them. */
	apic_icr(0x0c, ICR_LOGICAL | ICR_ASSERT | DM_LOWEST | VEC);
	G_WAIT(got[2] + got[3] == 9);
	sti_nop_cli();
	G_EQ(got[2] + got[3], 9);
	finish();
}

static void run(struct __test_metadata *_metadata, unsigned int n, void (*bsp)(u64),
		void (*ap)(u64), bool x2)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *v[MAX_VCPUS];
	unsigned int i;

	cpus = n;
	apic_x2 = x2;
	for (i = 0; i < n; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long(v[i], i ? ap : bsp, i ? i : x2);
		vcpu_set_runnable(v[i]);
	}
	for (i = 1; i < n; i++)
		vcpu_start(v[i]);
	ASSERT_DONE(v[0]);
	for (i = 1; i < n; i++)
		ASSERT_EQ(UC_DONE, vcpu_join(v[i]));
}

TEST(destinations)
{
	run(_metadata, N, guest_shorthands, receiver, false);
}

TEST(destinations_x2)
{
	run(_metadata, N, guest_shorthands, receiver, true);
}

/* Ping-pong with a halted vCPU: every wake-up must be seen. */
static volatile u32 rounds;

static void guest_ping(u64 x2)
{
	u32 i;

	start(x2);
	cli();
	for (i = 0; i < rounds; i++) {
		apic_icr(1, ICR_ASSERT | VEC);
		while (got[0] == i) {
			sti_hlt();
			cli();
		}
	}
	stop = 1;
	apic_icr(1, ICR_ASSERT | VEC);
	guest_done();
}

static void guest_pong(u64 id)
{
	u32 seen = 0;

	apic_enable();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		while (got[1] == seen) {
			sti_hlt();
			cli();
		}
		seen++;
		if (stop)
			break;
		apic_icr(0, ICR_ASSERT | VEC);
	}
	guest_done();
}

TEST(ping_pong_over_hlt)
{
	rounds = 300 / test_scale;
	run(_metadata, 2, guest_ping, guest_pong, false);
	EXPECT_EQ(rounds, got[0]);
	EXPECT_EQ(rounds + 1, got[1]);
}

/* A request may merge with one that waits, none is lost for good. */
static volatile u32 done;

static void storm(u64 id)
{
	u32 i;

	apic_enable();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	G_WAIT(ready == cpus);
	sti();
	for (i = 0; i < rounds; i++)
		apic_icr((id + 1 + i % (cpus - 1)) % cpus, ICR_ASSERT | VEC);
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
	G_WAIT(done == cpus);
	G_ASSERT(got[id]);
	/* What was sent last is on its way or here. */
	G_EQ(apic_read(APIC_ICR) & ICR_BUSY, 0);
	guest_done();
}

static void storm_bsp(u64 x2)
{
	guest_handlers[VEC] = on_ipi;
	storm(0);
}

TEST(everybody_to_everybody)
{
	rounds = 500 / test_scale;
	run(_metadata, N, storm_bsp, storm, false);
}

/* TLB shoot-down as kernels do it: change, tell everybody, wait for all. */
static volatile u64 shared_pte_generation;
static volatile u32 acks;

static void on_shoot(struct trap_frame *f)
{
	write_cr3(read_cr3());
	__atomic_fetch_add(&acks, 1, __ATOMIC_SEQ_CST);
	apic_eoi();
}

#define VA	(1ULL << 39)
static u64 pages[2][512] __attribute__((aligned(4096)));

static void shoot_ap(u64 id)
{
	u64 gen, val;

	apic_enable();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	G_WAIT(ready == cpus);
	sti();
	while (!stop) {
		gen = shared_pte_generation;
		val = MMIO(u64, VA);
		if (gen == shared_pte_generation && !(gen & 1))
			G_EQ(val, 100 + (gen / 2 & 1));
	}
	cli();
	guest_done();
}

static void shoot_bsp(u64 x2)
{
	u32 i;

	pages[0][0] = 100;
	pages[1][0] = 101;
	guest_map(VA, (uintptr_t)pages[0], PAGE, PAGE, PTE_P | PTE_W);
	start(0);
	cli();
	guest_handlers[VEC] = on_shoot;
	for (i = 1; i <= rounds; i++) {
		acks = 0;
		shared_pte_generation++;
		guest_map(VA, (uintptr_t)pages[i & 1], PAGE, PAGE, PTE_P | PTE_W);
		apic_icr(0, ICR_OTHERS | ICR_ASSERT | VEC);
		G_WAIT(acks == cpus - 1);
		shared_pte_generation++;
	}
	stop = 1;
	guest_done();
}

TEST(tlb_shootdown)
{
	rounds = 200 / test_scale;
	run(_metadata, 3, shoot_bsp, shoot_ap, false);
}

TEST_MAIN
