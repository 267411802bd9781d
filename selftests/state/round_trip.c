// SPDX-License-Identifier: GPL-2.0-only
/* What is set can be read back, and the guest has it. */
#include "harness.h"
#include "state.h"

FIXTURE(round_trip) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(round_trip)
{
	self->vm = vm_create(VM_IRQCHIP | VM_PIT);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(round_trip)
{
}

static void fill(void *p, size_t n, u8 seed)
{
	u8 *b = p;
	size_t i;

	for (i = 0; i < n; i++)
		b[i] = seed + i * 37;
}

TEST_F(round_trip, regs)
{
	struct kvm_regs a, b;

	fill(&a, sizeof(a), 1);
	a.rflags = 0xad5 | FLAG_FIXED;
	vcpu_set_regs(self->v, a);
	b = vcpu_regs(self->v);
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
}

TEST_F(round_trip, sregs)
{
	struct kvm_sregs a, b;

	vcpu_long(self->v, NULL, 0);
	a = vcpu_sregs(self->v);
	a.cr2 = 0x123456789a;
	a.cr8 = 7;
	a.fs.base = 0x7fff12345000;
	a.gs.base = 0x1122334455;
	a.ds.selector = 0x30;
	a.ldt = (struct kvm_segment) { .selector = 0x60, .base = 0x5000, .limit = 0xff,
				       .type = 2, .present = 1 };
	a.gdt.base = 0x9000;
	a.gdt.limit = 0x7f;
	a.idt.limit = 0x3ff;
	vcpu_set_sregs(self->v, a);
	b = vcpu_sregs(self->v);
	EXPECT_EQ(a.cr0, b.cr0);
	EXPECT_EQ(a.cr2, b.cr2);
	EXPECT_EQ(a.cr3, b.cr3);
	EXPECT_EQ(a.cr4, b.cr4);
	EXPECT_EQ(a.cr8, b.cr8);
	EXPECT_EQ(a.efer, b.efer);
	EXPECT_EQ(a.apic_base, b.apic_base);
	EXPECT_EQ(a.fs.base, b.fs.base);
	EXPECT_EQ(a.gs.base, b.gs.base);
	EXPECT_EQ(0x30, b.ds.selector);
	EXPECT_EQ(0, memcmp(&a.cs, &b.cs, sizeof(a.cs)));
	EXPECT_EQ(0, memcmp(&a.ss, &b.ss, sizeof(a.ss)));
	EXPECT_EQ(0, memcmp(&a.ldt, &b.ldt, sizeof(a.ldt)));
	EXPECT_EQ(0, memcmp(&a.tr, &b.tr, sizeof(a.tr)));
	EXPECT_EQ(a.gdt.base, b.gdt.base);
	EXPECT_EQ(a.gdt.limit, b.gdt.limit);
	EXPECT_EQ(a.idt.base, b.idt.base);
	EXPECT_EQ(0x3ff, b.idt.limit);
	/* Once more what was read: nothing changes. */
	vcpu_set_sregs(self->v, b);
	a = vcpu_sregs(self->v);
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
}

TEST_F(round_trip, sregs_refused)
{
	struct kvm_sregs good, bad, now;

	vcpu_long(self->v, NULL, 0);
	good = vcpu_sregs(self->v);
#define REFUSED(field, val) do {						\
	bad = good;								\
	bad.cr2 = 0x666;							\
	bad.field = (val);							\
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_SREGS, &bad)			\
		TH_LOG("%s = %#llx", #field, (u64)(val) + 0ULL);		\
	now = vcpu_sregs(self->v);						\
	EXPECT_EQ(0, memcmp(&now, &good, sizeof(now)));				\
} while (0)
	REFUSED(cr4, good.cr4 | BIT(31));
	REFUSED(cr4, good.cr4 & ~X86_CR4_PAE);		/* long mode needs PAE */
	REFUSED(efer, good.efer & ~EFER_LMA);		/* ... and LMA with LME and PG */
	REFUSED(cr3, 1ULL << 63);
	REFUSED(apic_base, good.apic_base | 1);
}

TEST_F(round_trip, sregs2)
{
	struct kvm_sregs2 a, b;

	vcpu_long(self->v, NULL, 0);
	must(self->v->fd, KVM_GET_SREGS2, &a);
	EXPECT_EQ(0, a.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID);
	a.cr8 = 3;
	must(self->v->fd, KVM_SET_SREGS2, &a);
	must(self->v->fd, KVM_GET_SREGS2, &b);
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	EXPECT_EQ(3, vcpu_sregs(self->v).cr8);
	a.flags = 0x100;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_SREGS2, &a);
}

/* In PAE mode the four top entries are state of their own: memory may change after. */
static u64 pdpts[4] = { 0x101001, 0x102001, 0x103001, 0 };

TEST_F(round_trip, sregs2_pdptrs)
{
	struct kvm_sregs2 a, b;

	vcpu_mode(self->v, MODE_PAE, 0x9000);
	memcpy(self->vm->low + 0x100000, pdpts, sizeof(pdpts));
	must(self->v->fd, KVM_GET_SREGS2, &a);
	a.cr3 = 0x100000;
	a.cr0 |= X86_CR0_PG;
	a.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	memcpy(a.pdptrs, pdpts, sizeof(pdpts));
	must(self->v->fd, KVM_SET_SREGS2, &a);
	must(self->v->fd, KVM_GET_SREGS2, &b);
	EXPECT_EQ(KVM_SREGS2_FLAGS_PDPTRS_VALID, b.flags);
	EXPECT_EQ(0, memcmp(pdpts, b.pdptrs, sizeof(pdpts)));
}

TEST_F(round_trip, fpu)
{
	struct kvm_fpu a = {}, b;

	fill(a.fpr, sizeof(a.fpr), 3);
	fill(a.xmm, sizeof(a.xmm), 5);
	a.fcw = 0x37f;
	a.fsw = 0x3800;
	a.ftwx = 0x80;
	a.last_opcode = 0x123;
	a.last_ip = 0x1000;
	a.last_dp = 0x2000;
	a.mxcsr = 0x1f80;	/* KVM takes no notice of it */
	must(self->v->fd, KVM_SET_FPU, &a);
	must(self->v->fd, KVM_GET_FPU, &b);
	EXPECT_EQ(0, memcmp(a.fpr, b.fpr, sizeof(a.fpr)));
	EXPECT_EQ(0, memcmp(a.xmm, b.xmm, sizeof(a.xmm)));
	EXPECT_EQ(a.fcw, b.fcw);
	EXPECT_EQ(a.fsw, b.fsw);
	EXPECT_EQ(a.ftwx, b.ftwx);
}

TEST_F(round_trip, xsave)
{
	int size = has_ext(KVM_CAP_XSAVE2);
	struct kvm_xsave *a = calloc(1, size), *b = calloc(1, size), *c = calloc(1, 4096);

	must(self->v->fd, KVM_GET_XSAVE2, a);
	fill((u8 *)a->region + 160, 256, 7);	/* XMM registers */
	a->region[512 / 4] |= 3;		/* XSTATE_BV: x87 and SSE */
	must(self->v->fd, KVM_SET_XSAVE, a);
	must(self->v->fd, KVM_GET_XSAVE2, b);
	EXPECT_EQ(0, memcmp((u8 *)a->region + 160, (u8 *)b->region + 160, 256));
	must(self->v->fd, KVM_GET_XSAVE, c);
	EXPECT_EQ(0, memcmp((u8 *)a->region + 160, (u8 *)c->region + 160, 256));
	/* MXCSR's reserved bits, and features that the guest does not have. */
	a->region[24 / 4] = 0xffff0000;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_XSAVE, a);
	a->region[24 / 4] = 0x1f80;
	a->region[512 / 4 + 1] = 0x40000000;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_XSAVE, a);
	must(self->v->fd, KVM_GET_XSAVE2, a);
	EXPECT_EQ(0, memcmp((u8 *)a->region + 160, (u8 *)b->region + 160, 256));
}

TEST_F(round_trip, xcrs)
{
	struct kvm_xcrs x = {};

	if (!cpuid_has(1, 0, 2, 26))
		SKIP(return, "the processor has no XSAVE");
	must(self->v->fd, KVM_GET_XCRS, &x);
	ASSERT_EQ(1, x.nr_xcrs);
	EXPECT_EQ(0, x.xcrs[0].xcr);
	EXPECT_EQ(1, x.xcrs[0].value);
	x.xcrs[0].value = 3;
	must(self->v->fd, KVM_SET_XCRS, &x);
	must(self->v->fd, KVM_GET_XCRS, &x);
	EXPECT_EQ(3, x.xcrs[0].value);
	x.xcrs[0].value = 2;	/* without x87 */
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_XCRS, &x);
	x.xcrs[0].value = 1ULL << 60;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_XCRS, &x);
	x.xcrs[0].value = 1;
	x.nr_xcrs = 100;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_XCRS, &x);
	x.nr_xcrs = 1;
	must(self->v->fd, KVM_GET_XCRS, &x);
	EXPECT_EQ(3, x.xcrs[0].value);
}

static u64 seen[4];

static void guest_dr(void)
{
	seen[0] = read_dr0();
	seen[1] = read_dr3();
	seen[2] = read_dr6();
	seen[3] = read_dr7();
	guest_done();
}

TEST_F(round_trip, debugregs)
{
	struct kvm_debugregs a = {
		.db = { 0x1000, 0x2000, 0x3000, 0x4000 }, .dr6 = 0xffff0ff1, .dr7 = 0x400,
	}, b;

	must(self->v->fd, KVM_SET_DEBUGREGS, &a);
	must(self->v->fd, KVM_GET_DEBUGREGS, &b);
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	vcpu_long(self->v, guest_dr, 0);
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x1000, seen[0]);
	EXPECT_EQ(0x4000, seen[1]);
	EXPECT_EQ(0xffff0ff1, seen[2]);
	EXPECT_EQ(0x400, seen[3]);
	a.flags = 1;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_DEBUGREGS, &a);
	a.flags = 0;
	a.dr7 = 1ULL << 40;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_DEBUGREGS, &a);
	a.dr7 = 0x400;
	a.dr6 = 1ULL << 40;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_DEBUGREGS, &a);
}

TEST_F(round_trip, lapic)
{
	struct kvm_lapic_state a, b;

	must(self->v->fd, KVM_GET_LAPIC, &a);
	*(u32 *)(a.regs + 0x80) = 0x30;			/* TPR */
	*(u32 *)(a.regs + 0xf0) = 0x1ff;		/* SVR */
	*(u32 *)(a.regs + 0x210) = 1 << 1;		/* IRR: vector 33 */
	*(u32 *)(a.regs + 0x370) = 0x100fe;		/* LVT error */
	must(self->v->fd, KVM_SET_LAPIC, &a);
	must(self->v->fd, KVM_GET_LAPIC, &b);
	EXPECT_EQ(0x30, *(u32 *)(b.regs + 0x80));
	EXPECT_EQ(0x1ff, *(u32 *)(b.regs + 0xf0));
	EXPECT_EQ(1 << 1, *(u32 *)(b.regs + 0x210));
	EXPECT_EQ(0x100fe, *(u32 *)(b.regs + 0x370));
	EXPECT_EQ(0, *(u32 *)(b.regs + 0x20));
	EXPECT_EQ(3, vcpu_sregs(self->v).cr8);
	must(self->v->fd, KVM_SET_LAPIC, &b);
	must(self->v->fd, KVM_GET_LAPIC, &a);
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
}

TEST_F(round_trip, irqchip)
{
	struct kvm_irqchip a = {}, b = {};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		a.chip_id = b.chip_id = i;
		must(self->vm->fd, KVM_GET_IRQCHIP, &a);
		a.chip.pic.imr = 0x5a;
		a.chip.pic.irq_base = 0x20 + 8 * i;
		a.chip.pic.elcr = 0x20 & a.chip.pic.elcr_mask;
		a.chip.pic.irr = 0x08;
		a.chip.pic.init4 = 1;
		must(self->vm->fd, KVM_SET_IRQCHIP, &a);
		must(self->vm->fd, KVM_GET_IRQCHIP, &b);
		EXPECT_EQ(0, memcmp(&a.chip.pic, &b.chip.pic, sizeof(a.chip.pic)));
	}
	a.chip_id = b.chip_id = KVM_IRQCHIP_IOAPIC;
	must(self->vm->fd, KVM_GET_IRQCHIP, &a);
	EXPECT_EQ(0xfec00000, a.chip.ioapic.base_address);
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		a.chip.ioapic.redirtbl[i].bits = 0x10030 + i + ((u64)i << 56);
	a.chip.ioapic.id = 5;
	a.chip.ioapic.ioregsel = 0x12;
	must(self->vm->fd, KVM_SET_IRQCHIP, &a);
	must(self->vm->fd, KVM_GET_IRQCHIP, &b);
	EXPECT_EQ(0, memcmp(&a.chip.ioapic, &b.chip.ioapic, sizeof(a.chip.ioapic)));
}

TEST_F(round_trip, pit)
{
	struct kvm_pit_state2 a, b;

	must(self->vm->fd, KVM_GET_PIT2, &a);
	a.channels[0].count = 0x1234;
	a.channels[0].mode = 2;
	a.channels[0].rw_mode = 3;
	a.channels[0].gate = 1;
	a.channels[2].count = 0x4321;
	a.channels[2].mode = 3;
	a.channels[2].latched_count = 0x7788;
	a.channels[2].count_latched = 3;
	must(self->vm->fd, KVM_SET_PIT2, &a);
	must(self->vm->fd, KVM_GET_PIT2, &b);
	EXPECT_EQ(0x1234, b.channels[0].count);
	EXPECT_EQ(2, b.channels[0].mode);
	EXPECT_EQ(3, b.channels[0].rw_mode);
	EXPECT_EQ(0x4321, b.channels[2].count);
	EXPECT_EQ(0x7788, b.channels[2].latched_count);
	EXPECT_EQ(3, b.channels[2].count_latched);
	EXPECT_EQ(a.flags, b.flags);
}

TEST_F(round_trip, clock)
{
	struct kvm_clock_data a = { .clock = 5000000000000ULL }, b = {};

	must(self->vm->fd, KVM_SET_CLOCK, &a);
	must(self->vm->fd, KVM_GET_CLOCK, &b);
	EXPECT_LE(a.clock, b.clock);
	EXPECT_GT(a.clock + 60000000000ULL, b.clock);
	a.flags = 1u << 31;
	EXPECT_ERR(EINVAL, self->vm->fd, KVM_SET_CLOCK, &a);
}

TEST_F(round_trip, tsc_khz)
{
	int khz = ioctl(self->v->fd, KVM_GET_TSC_KHZ, 0);

	EXPECT_LT(0, khz);
	EXPECT_EQ(0, err_of_ul(self->v->fd, KVM_SET_TSC_KHZ, khz));
	EXPECT_EQ(khz, ioctl(self->v->fd, KVM_GET_TSC_KHZ, 0));
}

TEST_F(round_trip, tsc)
{
	u64 now;

	vcpu_set_msr(self->v, MSR_TSC, 1ULL << 45);
	now = vcpu_get_msr(self->v, MSR_TSC);
	EXPECT_LE(1ULL << 45, now);
	EXPECT_GT((1ULL << 45) + tsc_ms(60000), now);
}

TEST_F(round_trip, mp_state)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_HALTED };

	must(self->v->fd, KVM_SET_MP_STATE, &mp);
	mp.mp_state = 99;
	must(self->v->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp.mp_state);
}

TEST_F(round_trip, bad_pointers)
{
	void *bad = (void *)8;
	struct vcpu *v = self->v;

	EXPECT_ERR(EFAULT, v->fd, KVM_GET_REGS, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_SET_REGS, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_GET_SREGS, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_SET_SREGS, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_SET_XSAVE, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_SET_MSRS, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_SET_CPUID2, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_SET_LAPIC, bad);
	EXPECT_ERR(EFAULT, v->fd, KVM_SET_VCPU_EVENTS, bad);
	EXPECT_ERR(EFAULT, v->vm->fd, KVM_SET_USER_MEMORY_REGION, bad);
	EXPECT_ERR(EFAULT, v->vm->fd, KVM_SET_GSI_ROUTING, bad);
	EXPECT_ERR(EFAULT, v->vm->fd, KVM_SET_PIT2, bad);
	EXPECT_ERR(EFAULT, v->vm->fd, KVM_SET_CLOCK, bad);
	EXPECT_ERR(EFAULT, v->vm->fd, KVM_IRQ_LINE, bad);
}

TEST_MAIN
