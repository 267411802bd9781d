// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSR_KVM_PV_EOI_EN: by a bit in its memory a guest learns that it may end the interrupt in service
 * by clearing that bit, without an access to its APIC. When it is offered is the hypervisor's
 * affair; that nobody sees the difference is what these look at.
 */
#include "harness.h"
#include "apic.h"

#define MSR_KVM_PV_EOI_EN	0x4b564d04
#define LOW		0x41
#define HIGH		0x61
#define GSI		5
#define ROUNDS		50
#define NESTED		10	/* the stack's size */

static volatile u32 word __attribute__((aligned(4)));
static volatile u32 offers;

FIXTURE(pv_eoi) {
	struct vcpu *v;
	bool offered;	/* where the CPU serves EOIs by itself there is nothing to offer */
};

FIXTURE_VARIANT(pv_eoi) {
	u64 x2;
};

FIXTURE_VARIANT_ADD(pv_eoi, xapic) {
	.x2 = 0,
};

FIXTURE_VARIANT_ADD(pv_eoi, x2apic) {
	.x2 = 1,
};

FIXTURE_SETUP(pv_eoi)
{
	const char *apicv = is_kvm() ? "/sys/module/kvm_intel/parameters/enable_apicv" :
				       "/sys/module/keel/parameters/apicv";

	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	self->offered = !host_is_intel() || !file_says(apicv, "Y") || (!is_kvm() && !variant->x2);
}

FIXTURE_TEARDOWN(pv_eoi)
{
}

#define RUN_GUEST(fn) do {			\
	vcpu_long(self->v, fn, variant->x2);	\
	ASSERT_DONE(self->v);			\
	EXPECT_EQ(self->offered, offers > 0);	\
} while (0)

/* What a guest does first: takes the offer, if there is one. */
static bool end_by_memory(void)
{
	bool was;

	asm volatile("btrl $0, %1; setc %0" : "=r"(was), "+m"(word) : : "cc");
	offers += was;
	return was;
}

static void send(u8 vec)
{
	apic_icr(apic_id(), ICR_ASSERT | vec);
}

/* The interrupt comes, for the @nth time. */
static void take(u8 vec, u32 nth)
{
	sti_nop_cli();
	G_EQ(guest_irqs[vec], nth);
}

static void send_and_take(u8 vec, u32 nth)
{
	send(vec);
	take(vec, nth);
}

static void start(u64 x2, void (*low)(struct trap_frame *f), void (*high)(struct trap_frame *f))
{
	if (x2)
		apic_enable_x2();
	else
		apic_enable();
	guest_handlers[LOW] = low;
	guest_handlers[HIGH] = high;
	G_EQ(try_wrmsr(MSR_KVM_PV_EOI_EN, (uintptr_t)&word | 1), -1);
	G_EQ(rdmsr(MSR_KVM_PV_EOI_EN), (uintptr_t)&word | 1);
}

/* Exits that have nothing to do with the APIC. */
static void leave(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	wrmsr(MSR_TSC_DEADLINE, 0);
	rdmsr(MSR_TSC_ADJUST);
}

static void end(struct trap_frame *f)
{
	if (!end_by_memory())
		apic_eoi();
}

/* The next one comes, be it of the same priority or of a lower one. */
static void guest_ends(u64 x2)
{
	u32 i;

	start(x2, end, end);
	for (i = 1; i <= ROUNDS; i++) {
		send_and_take(HIGH, i);
		send_and_take(LOW, i);
	}
	G_EQ(apic_bit(APIC_ISR, LOW), 0);
	G_EQ(apic_bit(APIC_ISR, HIGH), 0);
	guest_done();
}

TEST_F(pv_eoi, ends)
{
	RUN_GUEST(guest_ends);
}

/* The APIC's registers tell of an EOI as of any other, whatever exits lie between. */
static void end_and_look(struct trap_frame *f)
{
	/* Stock KVM does not offer again what it has taken back. */
	if (guest_irqs[f->vec] & 1) {
		leave();
		G_EQ(apic_bit(APIC_ISR, f->vec), 1);
		G_EQ(apic_read(APIC_PPR), f->vec & 0xf0);
		leave();
	}
	if (end_by_memory())
		leave();
	else
		apic_eoi();
	G_EQ(apic_bit(APIC_ISR, f->vec), 0);
	G_EQ(apic_read(APIC_PPR), 0);
	/* There is nothing left to end. */
	apic_eoi();
}

static void guest_looks(u64 x2)
{
	u32 i;

	start(x2, end_and_look, end_and_look);
	for (i = 1; i <= ROUNDS; i++) {
		send_and_take(LOW, i);
		send_and_take(HIGH, i);
	}
	guest_done();
}

TEST_F(pv_eoi, registers)
{
	RUN_GUEST(guest_looks);
}

/* An interrupt within another: each EOI is the inner one's first, by whatever way it comes. */
static void inner(struct trap_frame *f)
{
	end(f);
	leave();
}

static void outer(struct trap_frame *f)
{
	u32 before = guest_irqs[HIGH];

	send(HIGH);
	sti_nop_cli();
	G_EQ(guest_irqs[HIGH], before + 1);
	if (before & 1) {
		apic_eoi();
	} else {
		G_EQ(apic_bit(APIC_ISR, LOW), 1);
		end(f);
	}
	/* By whatever way, the next one has its turn at once. */
	if (before < NESTED) {
		send(LOW);
		sti_nop_cli();
		G_EQ(guest_irqs[HIGH], NESTED + 1);
	}
}

static void guest_nests(u64 x2)
{
	start(x2, outer, inner);
	send(LOW);
	sti_nop_cli();
	G_EQ(guest_irqs[HIGH], NESTED + 1);
	guest_done();
}

TEST_F(pv_eoi, nested)
{
	RUN_GUEST(guest_nests);
}

/* With something waiting behind it the EOI is needed, and brings it. */
static void end_with_waiting(struct trap_frame *f)
{
	u32 before = guest_irqs[LOW];

	send(LOW);
	leave();
	G_EQ(word & 1, 0);
	apic_eoi();
	sti_nop_cli();
	G_EQ(guest_irqs[LOW], before + 1);
}

static void guest_waits(u64 x2)
{
	u32 i;

	start(x2, end, end_with_waiting);
	for (i = 1; i <= ROUNDS; i++) {
		send(HIGH);
		sti_nop_cli();
	}
	G_EQ(guest_irqs[LOW], ROUNDS);
	G_EQ(guest_irqs[HIGH], ROUNDS);
	guest_done();
}

TEST_F(pv_eoi, one_waits)
{
	RUN_GUEST(guest_waits);
}

/* Nor where the I/O APIC is to learn of it. */
static void end_level(struct trap_frame *f)
{
	leave();
	G_EQ(word & 1, 0);
	G_ASSERT(rte_read(GSI) & RTE_REMOTE_IRR);
	guest_line(GSI, 0);
	apic_eoi();
	G_ASSERT(!(rte_read(GSI) & RTE_REMOTE_IRR));
}

static void guest_level(u64 x2)
{
	u32 i;

	start(x2, end, end_level);
	rte_write(GSI, RTE_LEVEL | HIGH | RTE_DEST(0));
	for (i = 1; i <= 5; i++) {
		guest_line(GSI, 1);
		take(HIGH, i);
		send_and_take(LOW, i);
	}
	guest_done();
}

TEST_F(pv_eoi, level)
{
	RUN_GUEST(guest_level);
}

static void not_offered(struct trap_frame *f)
{
	leave();
	G_EQ(word, 0x1234);
	apic_eoi();
}

static void guest_off(u64 x2)
{
	u32 i;

	start(x2, not_offered, end);
	wrmsr(MSR_KVM_PV_EOI_EN, (uintptr_t)&word);
	word = 0x1234;
	for (i = 1; i <= 5; i++) {
		send_and_take(LOW, i);
	}
	/* Numbers that do not fit, and no memory. */
	G_EQ(try_wrmsr(MSR_KVM_PV_EOI_EN, (uintptr_t)&word | 3), VEC_GP);
	G_EQ(try_wrmsr(MSR_KVM_PV_EOI_EN, 1ULL << 38 | 1), VEC_GP);
	G_EQ(rdmsr(MSR_KVM_PV_EOI_EN), (uintptr_t)&word);
	guest_done();
}

TEST_F(pv_eoi, off)
{
	vcpu_long(self->v, guest_off, variant->x2);
	ASSERT_DONE(self->v);
}

TEST_MAIN
