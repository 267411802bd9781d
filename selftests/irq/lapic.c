// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC: registers, priorities, EOI, both modes, IPIs to itself. */
#include "harness.h"
#include "apic.h"

static volatile u32 order[16], n_order;

FIXTURE(lapic) {
	struct vcpu *v;
};

FIXTURE_SETUP(lapic)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(lapic)
{
}

#define RUN_GUEST(fn, arg) do {		\
	vcpu_long(self->v, fn, arg);	\
	ASSERT_DONE(self->v);		\
} while (0)

static void enable(u64 x2)
{
	if (x2)
		apic_enable_x2();
	else
		apic_enable();
}

static void self_ipi(u8 vec)
{
	apic_icr(0, ICR_SELF | ICR_ASSERT | vec);
}

static void on_irq(struct trap_frame *f)
{
	order[n_order++] = f->vec;
	G_EQ(apic_bit(APIC_ISR, f->vec), 1);
	G_EQ(apic_bit(APIC_IRR, f->vec), 0);
	apic_eoi();
}

static void guest_reset_values(u64 x2)
{
	u32 i;

	/* As it comes out of reset, before anybody enabled it. */
	G_EQ(apic_read(APIC_SVR), 0xff);
	G_EQ(apic_read(APIC_TPR), 0);
	G_EQ(apic_read(APIC_DFR), 0xffffffff);
	G_EQ(apic_read(APIC_LDR), 0);
	G_EQ(apic_read(APIC_LVTT), LVT_MASKED);
	G_EQ(apic_read(APIC_LVT1), LVT_MASKED);
	G_EQ(apic_read(APIC_LVTERR), LVT_MASKED);
	for (i = 0; i < 8; i++) {
		G_EQ(apic_read(APIC_ISR + i * 0x10), 0);
		G_EQ(apic_read(APIC_IRR + i * 0x10), 0);
		G_EQ(apic_read(APIC_TMR + i * 0x10), 0);
	}
	G_EQ(apic_read(APIC_VERSION) & 0xff, 0x14);
	G_CMP(apic_read(APIC_VERSION) >> 16 & 0xff, >=, 4);
	/* While it is disabled the masks of the LVT stay. */
	apic_write(APIC_LVTT, 0x40);
	G_EQ(apic_read(APIC_LVTT), LVT_MASKED | 0x40);
	enable(x2);
	G_EQ(apic_read(APIC_SVR), 0x1ff);
	apic_write(APIC_LVTT, 0x40);
	G_EQ(apic_read(APIC_LVTT), 0x40);
	/* Disabling it masks them again. */
	apic_write(APIC_SVR, 0xff);
	G_EQ(apic_read(APIC_LVTT), LVT_MASKED | 0x40);
	guest_done();
}

TEST_F(lapic, reset_values)
{
	RUN_GUEST(guest_reset_values, 0);
}

static void guest_self(u64 x2)
{
	u32 vec;

	enable(x2);
	sti();
	for (vec = 32; vec < 255; vec += 37) {
		guest_handlers[vec] = on_irq;
		n_order = 0;
		self_ipi(vec);
		G_WAIT(n_order == 1);
		G_EQ(order[0], vec);
	}
	if (x2) {
		guest_handlers[0x91] = on_irq;
		wrmsr(X2APIC_MSR(APIC_SELF_IPI), 0x91);
		G_WAIT(n_order == 2);
	}
	guest_done();
}

TEST_F(lapic, self_ipi)
{
	RUN_GUEST(guest_self, 0);
}

TEST_F(lapic, self_ipi_x2)
{
	RUN_GUEST(guest_self, 1);
}

static void guest_priority(u64 x2)
{
	static const u8 vecs[] = { 0x31, 0xa0, 0x58, 0x52, 0xf1 };
	u32 i;

	enable(x2);
	for (i = 0; i < ARRAY_LEN(vecs); i++) {
		guest_handlers[vecs[i]] = on_irq;
		self_ipi(vecs[i]);
		G_EQ(apic_bit(APIC_IRR, vecs[i]), 1);
	}
	/* Requests do not count in PPR, only what is in service. */
	G_EQ(apic_read(APIC_PPR), 0);
	sti();
	G_WAIT(n_order == 5);
	cli();
	G_EQ(order[0], 0xf1);
	G_EQ(order[1], 0xa0);
	G_EQ(order[2], 0x58);
	G_EQ(order[3], 0x52);
	G_EQ(order[4], 0x31);
	guest_done();
}

TEST_F(lapic, priority)
{
	RUN_GUEST(guest_priority, 0);
}

TEST_F(lapic, priority_x2)
{
	RUN_GUEST(guest_priority, 1);
}

static void guest_tpr(u64 x2)
{
	enable(x2);
	guest_handlers[0x48] = guest_handlers[0x51] = on_irq;
	apic_write(APIC_TPR, 0x40);
	G_EQ(apic_read(APIC_PPR), 0x40);
	G_EQ(read_cr8(), 4);
	self_ipi(0x48);
	sti_nop_cli();
	G_EQ(n_order, 0);
	self_ipi(0x51);
	sti_nop_cli();
	G_EQ(n_order, 1);
	G_EQ(order[0], 0x51);
	/* CR8 is the same register, by class. */
	write_cr8(3);
	G_EQ(apic_read(APIC_TPR), 0x30);
	sti_nop_cli();
	G_EQ(n_order, 2);
	write_cr8(15);
	G_EQ(apic_read(APIC_TPR), 0xf0);
	self_ipi(0x51);
	sti_nop_cli();
	G_EQ(n_order, 2);
	apic_write(APIC_TPR, 0);
	G_EQ(read_cr8(), 0);
	sti_nop_cli();
	G_EQ(n_order, 3);
	guest_done();
}

TEST_F(lapic, task_priority)
{
	RUN_GUEST(guest_tpr, 0);
}

TEST_F(lapic, task_priority_x2)
{
	RUN_GUEST(guest_tpr, 1);
}

/* What waits for RFLAGS.IF waits over exits and entries, too. */
static void guest_interrupts_off(u64 x2)
{
	u32 i, r[4];

	enable(x2);
	guest_handlers[0x61] = on_irq;
	for (i = 0; i < 3; i++) {
		self_ipi(0x61);
		cpuid(0, 0, r);
		G_EQ(n_order, i);
		guest_sync(i);
		G_EQ(n_order, i);
		sti_nop_cli();
		G_EQ(n_order, i + 1);
	}
	guest_done();
}

static void interrupts_off(struct __test_metadata *_metadata, struct vcpu *v, u64 x2)
{
	u32 i;

	vcpu_long(v, guest_interrupts_off, x2);
	for (i = 0; i < 3; i++)
		ASSERT_SYNC(i, v);
	ASSERT_DONE(v);
}

TEST_F(lapic, interrupts_off)
{
	interrupts_off(_metadata, self->v, 0);
}

TEST_F(lapic, interrupts_off_x2)
{
	interrupts_off(_metadata, self->v, 1);
}

/* Long enough for the host to have timer interrupts of its own in it. */
static void spin(void)
{
	u64 start = rdtsc();

	while (rdtsc() - start < 10000000)
		;
}

static void on_eoi_early(struct trap_frame *f)
{
	u32 n = ++n_order;

	if (f->vec == 0x75)
		apic_write(APIC_SELF_IPI, 0x61);
	apic_eoi();
	spin();
	G_EQ(n_order, n);
}

/* As above, but nothing exits between what requests the interrupt and an interrupt of the host's. */
static void guest_held_x2(u64 unused)
{
	u32 i;

	enable(1);
	guest_handlers[0x61] = guest_handlers[0x75] = on_eoi_early;
	/* The first time the host maps what the delivery touches. */
	for (i = 0; i < 6; i += 3) {
		sti_nop_cli();
		apic_write(APIC_SELF_IPI, 0x61);
		spin();
		G_EQ(n_order, i);
		sti_nop_cli();
		G_EQ(n_order, i + 1);
		apic_write(APIC_SELF_IPI, 0x75);
		sti_nop_cli();
		G_EQ(n_order, i + 3);
	}
	guest_done();
}

TEST_F(lapic, held_over_host_interrupts_x2)
{
	if (test_bochs_vmx && !is_kvm() && file_says("/sys/module/keel/parameters/apicv", "Y"))
		SKIP(return, "Bochs delivers virtual interrupts with RFLAGS.IF 0");
	RUN_GUEST(guest_held_x2, 0);
}

static void on_nested(struct trap_frame *f)
{
	order[n_order++] = f->vec;
	if (f->vec == 0x61) {
		G_EQ(apic_read(APIC_PPR), 0x60);
		self_ipi(0x68);		/* same class: waits */
		self_ipi(0x75);		/* higher: comes now */
		sti();
		G_WAIT(n_order == 2);
		cli();
		G_EQ(apic_bit(APIC_IRR, 0x68), 1);
		G_EQ(apic_bit(APIC_ISR, 0x61), 1);
		order[n_order++] = 0xff;
	}
	apic_eoi();
}

static void guest_nesting(u64 x2)
{
	enable(x2);
	guest_handlers[0x61] = guest_handlers[0x68] = guest_handlers[0x75] = on_nested;
	sti();
	self_ipi(0x61);
	G_WAIT(n_order == 4);
	G_EQ(order[0], 0x61);
	G_EQ(order[1], 0x75);
	G_EQ(order[2], 0xff);
	G_EQ(order[3], 0x68);
	guest_done();
}

TEST_F(lapic, nesting)
{
	RUN_GUEST(guest_nesting, 0);
}

/* The same vector once in service and once requested: two, not three. */
static void on_again(struct trap_frame *f)
{
	if (!n_order++) {
		self_ipi(f->vec);
		self_ipi(f->vec);
	}
	apic_eoi();
}

static void guest_collapse(u64 x2)
{
	enable(x2);
	guest_handlers[0x61] = on_again;
	sti();
	self_ipi(0x61);
	G_WAIT(n_order >= 2);
	sti_nop_cli();
	G_EQ(n_order, 2);
	guest_done();
}

TEST_F(lapic, requests_collapse)
{
	RUN_GUEST(guest_collapse, 0);
}

static void guest_disabled(u64 x2)
{
	enable(x2);
	guest_handlers[0x61] = on_irq;
	self_ipi(0x61);
	apic_write(APIC_SVR, 0xff);
	/* Software-disabled, it holds what it has and takes nothing new. */
	self_ipi(0x62);
	G_EQ(apic_bit(APIC_IRR, 0x62), 0);
	apic_write(APIC_SVR, 0x1ff);
	sti_nop_cli();
	G_EQ(n_order, 1);
	guest_done();
}

TEST_F(lapic, software_disable)
{
	RUN_GUEST(guest_disabled, 0);
}

static void guest_base_msr(u64 arg)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	G_EQ(base, APIC_MMIO | APIC_BASE_EN | APIC_BASE_BSP);
	/* x2APIC without the APIC, and reserved bits. */
	G_EQ(try_wrmsr(MSR_APIC_BASE, (base & ~APIC_BASE_EN) | APIC_BASE_X2), VEC_GP);
	G_EQ(try_wrmsr(MSR_APIC_BASE, base | 1), VEC_GP);
	G_EQ(try_wrmsr(MSR_APIC_BASE, base | 1ULL << 60), VEC_GP);
	G_EQ(rdmsr(MSR_APIC_BASE), base);
	/* No x2APIC registers before the mode is on. */
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_ID), &base), VEC_GP);
	base = rdmsr(MSR_APIC_BASE);
	G_EQ(try_wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2), -1);
	G_EQ(rdmsr(X2APIC_MSR(APIC_ID)), 0);
	G_EQ(rdmsr(MSR_APIC_BASE), base | APIC_BASE_X2);
	/* Back to xAPIC only by way of "off". */
	G_EQ(try_wrmsr(MSR_APIC_BASE, base), VEC_GP);
	G_EQ(try_wrmsr(MSR_APIC_BASE, base & ~APIC_BASE_EN), -1);
	G_EQ(try_wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2), VEC_GP);
	G_EQ(try_wrmsr(MSR_APIC_BASE, base), -1);
	G_EQ(MMIO(u32, APIC_MMIO + APIC_ID), 0);
	G_EQ(MMIO(u32, APIC_MMIO + APIC_VERSION) & 0xff, 0x14);
	guest_done();
}

TEST_F(lapic, base_msr)
{
	RUN_GUEST(guest_base_msr, 0);
}

static void guest_x2_registers(u64 arg)
{
	u64 v;

	enable(1);
	G_EQ(rdmsr(X2APIC_MSR(APIC_LDR)), 1);
	/* Read-only, reserved, and what x2APIC does not have. */
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_ID), 1), VEC_GP);
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_LDR), 1), VEC_GP);
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_DFR), &v), VEC_GP);
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_ICR2), &v), VEC_GP);
	/* The manual wants #GP for EOI values other than 0; 6.1's KVM takes them. */
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_TPR), 1ULL << 32), VEC_GP);
	G_EQ(try_rdmsr(X2APIC_MSR(APIC_EOI), &v), VEC_GP);
	G_EQ(try_wrmsr(X2APIC_MSR(APIC_EOI), 0), -1);
	guest_done();
}

TEST_F(lapic, x2_registers)
{
	RUN_GUEST(guest_x2_registers, 0);
}

/*
 * Disabled in the MSR, the page is plain addresses that user space serves, or
 * all ones by KVM's default quirk (KVM_X86_QUIRK_LAPIC_MMIO_HOLE).
 */
static void guest_off(u64 arg)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~APIC_BASE_EN);
	guest_sync(MMIO(u32, APIC_MMIO + APIC_VERSION) & ~SYNC_LINE);
	guest_done();
}

TEST_F(lapic, globally_disabled)
{
	int r;

	vcpu_long(self->v, guest_off, 0);
	r = guest_run(self->v);
	if (r == KVM_EXIT_MMIO) {
		EXPECT_EQ(APIC_MMIO + APIC_VERSION, self->v->run->mmio.phys_addr);
		memset(self->v->run->mmio.data, 0xff, 4);
		r = guest_run(self->v);
	}
	ASSERT_EQ(UC_SYNC, r);
	EXPECT_EQ(~SYNC_LINE, self->v->sync);
	ASSERT_DONE(self->v);
}

static void guest_logical(u64 arg)
{
	enable(0);
	guest_handlers[0x61] = on_irq;
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_LDR, 0x20000000);
	apic_icr(0x60, ICR_LOGICAL | ICR_ASSERT | 0x61);
	sti_nop_cli();
	G_EQ(n_order, 1);
	apic_icr(0x1f, ICR_LOGICAL | ICR_ASSERT | 0x61);
	sti_nop_cli();
	G_EQ(n_order, 1);
	/* Cluster model: cluster in the upper half, members in the lower. */
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, 0x32000000);
	apic_icr(0x33, ICR_LOGICAL | ICR_ASSERT | 0x61);
	sti_nop_cli();
	G_EQ(n_order, 2);
	apic_icr(0x23, ICR_LOGICAL | ICR_ASSERT | 0x61);
	sti_nop_cli();
	G_EQ(n_order, 2);
	apic_icr(0x31, ICR_LOGICAL | ICR_ASSERT | 0x61);
	sti_nop_cli();
	G_EQ(n_order, 2);
	guest_done();
}

TEST_F(lapic, logical_destination)
{
	RUN_GUEST(guest_logical, 0);
}

static volatile u32 nmis;

static void on_nmi(struct trap_frame *f)
{
	nmis++;
}

static void guest_nmi(u64 x2)
{
	enable(x2);
	guest_handlers[VEC_NMI] = on_nmi;
	apic_icr(0, ICR_ASSERT | DM_NMI);
	G_WAIT(nmis == 1);
	guest_done();
}

TEST_F(lapic, nmi_by_icr)
{
	RUN_GUEST(guest_nmi, 0);
	nmis = 0;
	RUN_GUEST(guest_nmi, 1);
}

TEST_MAIN
