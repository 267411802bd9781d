// SPDX-License-Identifier: GPL-2.0-only
/*
 * The x2APIC's MSRs at their full width, however the CPU helps with them: which ones are there,
 * what may be written, and that interrupts come of it.
 */
#include "harness.h"
#include "apic.h"

#define VEC	0x61
#define GSI	5

static volatile u32 came;

static void on_irq(struct trap_frame *f)
{
	came++;
	apic_eoi();
}

FIXTURE(x2apic) {
	struct vcpu *v;
};

FIXTURE_SETUP(x2apic)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	guest_handlers[VEC] = on_irq;
}

FIXTURE_TEARDOWN(x2apic)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

/* Bits 63 to 32 are reserved, but for the ICR. */
static void guest_upper_half(u64 arg)
{
	static const u16 regs[] = {
		APIC_TPR, APIC_EOI, APIC_SVR, APIC_ESR, APIC_LVTT, APIC_LVTPC, APIC_LVT0,
		APIC_LVT1, APIC_LVTERR, APIC_TMICT, APIC_TDCR, APIC_SELF_IPI,
	};
	u32 i, bit;

	apic_enable_x2();
	for (i = 0; i < ARRAY_LEN(regs); i++)
		for (bit = 32; bit < 64; bit += 31)
			G_EQ(try_wrmsr(X2APIC_MSR(regs[i]), 1ULL << bit), VEC_GP);
	guest_done();
}

TEST_F(x2apic, upper_half_is_reserved)
{
	RUN_GUEST(guest_upper_half);
}

static void guest_read_only(u64 arg)
{
	static const u16 read_only[] = { APIC_ID, APIC_VERSION, APIC_PPR, APIC_LDR };
	u64 v;
	u32 i;

	apic_enable_x2();
	for (i = 0; i < ARRAY_LEN(read_only); i++) {
		G_EQ(try_rdmsr(X2APIC_MSR(read_only[i]), &v), -1);
		G_EQ(v >> 32, 0);
		G_EQ(try_wrmsr(X2APIC_MSR(read_only[i]), v), VEC_GP);
	}
	for (i = 0; i < 8; i++) {
		G_EQ(try_wrmsr(X2APIC_MSR(APIC_ISR + i * 0x10), 0), VEC_GP);
		G_EQ(try_wrmsr(X2APIC_MSR(APIC_TMR + i * 0x10), 0), VEC_GP);
		G_EQ(try_wrmsr(X2APIC_MSR(APIC_IRR + i * 0x10), 0), VEC_GP);
	}
	guest_done();
}

TEST_F(x2apic, read_only)
{
	RUN_GUEST(guest_read_only);
}

static void guest_write_only(u64 arg)
{
	u64 v;

	apic_enable_x2();
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_EOI), &v), VEC_GP);
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_SELF_IPI), &v), VEC_GP);
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_DFR), &v), VEC_GP);
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_DFR), 0xffffffff), VEC_GP);
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_ICR2), &v), VEC_GP);
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_ICR2), 0), VEC_GP);
	/* Numbers without a register. */
	G_EQ(try_rdmsr(0x800, &v), VEC_GP);
	G_EQ(try_rdmsr(0x80c, &v), VEC_GP);
	G_EQ(try_wrmsr(0x8ff, 0), VEC_GP);
	guest_done();
}

TEST_F(x2apic, write_only_and_absent)
{
	RUN_GUEST(guest_write_only);
}

static void guest_mode_off(u64 arg)
{
	u64 v;

	apic_enable();
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_TPR), &v), VEC_GP);
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_TPR), 0), VEC_GP);
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_EOI), 0), VEC_GP);
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_SELF_IPI), VEC), VEC_GP);
	guest_done();
}

/* In xAPIC mode none of them is there, also those that the CPU may serve by itself. */
TEST_F(x2apic, not_in_xapic_mode)
{
	RUN_GUEST(guest_mode_off);
}

static void guest_icr(u64 arg)
{
	u64 icr = (u64)0xabcd1234 << 32 | ICR_SELF | ICR_ASSERT | VEC, v;

	apic_enable_x2();
	wrmsr(X2APIC_MSR(APIC_ICR), icr);
	/* One register of 64 bits, without the delivery status of xAPIC mode. */
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_ICR), &v), -1);
	G_EQ(v, icr);
	sti_nop_cli();
	G_EQ(came, 1);
	guest_done();
}

TEST_F(x2apic, icr)
{
	RUN_GUEST(guest_icr);
}

static void guest_self_ipi(u64 arg)
{
	u32 i;

	apic_enable_x2();
	for (i = 1; i <= 100; i++) {
		wrmsr(X2APIC_MSR(APIC_SELF_IPI), VEC);
		G_EQ(apic_bit(APIC_IRR, VEC), 1);
		/* An edge, whatever the vector has been. */
		G_EQ(apic_bit(APIC_TMR, VEC), 0);
		sti_nop_cli();
		G_EQ(came, i);
		G_EQ(apic_bit(APIC_IRR, VEC), 0);
		G_EQ(apic_bit(APIC_ISR, VEC), 0);
	}
	guest_done();
}

TEST_F(x2apic, self_ipi)
{
	RUN_GUEST(guest_self_ipi);
}

static void on_level(struct trap_frame *f)
{
	came++;
	G_EQ(apic_bit(APIC_TMR, VEC), 1);
	G_EQ(rte_read(GSI) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	if (came == 3)
		guest_line(GSI, 0);
	apic_eoi();
}

static void guest_level(u64 x2)
{
	if (x2)
		apic_enable_x2();
	else
		apic_enable();
	guest_handlers[VEC] = on_level;
	rte_write(GSI, RTE_LEVEL | VEC);
	guest_line(GSI, 1);
	sti();
	/* As long as the line is up, each EOI brings it again. */
	G_WAIT(came == 3);
	sti_nop_cli();
	G_EQ(came, 3);
	G_EQ(rte_read(GSI) & RTE_REMOTE_IRR, 0);
	/* The same vector as an edge: the trigger mode is each request's own. */
	guest_handlers[VEC] = on_irq;
	apic_icr(0, ICR_SELF | ICR_ASSERT | VEC);
	G_EQ(apic_bit(APIC_TMR, VEC), 0);
	sti_nop_cli();
	G_EQ(came, 4);
	guest_done();
}

TEST_F(x2apic, eoi_of_a_level)
{
	vcpu_long(self->v, guest_level, 1);
	ASSERT_DONE(self->v);
}

TEST_F(x2apic, eoi_of_a_level_in_xapic_mode)
{
	vcpu_long(self->v, guest_level, 0);
	ASSERT_DONE(self->v);
}

/* The processor priority follows TPR and what is in service, whichever is higher. */
static void on_irq_ppr(struct trap_frame *f)
{
	came++;
	G_EQ(apic_read(APIC_PPR), 0x60);
	apic_write(APIC_TPR, 0x72);
	G_EQ(apic_read(APIC_PPR), 0x72);
	apic_write(APIC_TPR, 0x64);
	G_EQ(apic_read(APIC_PPR), 0x64);
	apic_write(APIC_TPR, 0x20);
	G_EQ(apic_read(APIC_PPR), 0x60);
	apic_eoi();
	G_EQ(apic_read(APIC_PPR), 0x20);
}

static void guest_ppr(u64 arg)
{
	apic_enable_x2();
	guest_handlers[VEC] = on_irq_ppr;
	wrmsr(X2APIC_MSR(APIC_SELF_IPI), VEC);
	sti_nop_cli();
	G_EQ(came, 1);
	guest_done();
}

TEST_F(x2apic, processor_priority)
{
	RUN_GUEST(guest_ppr);
}

TEST_MAIN
