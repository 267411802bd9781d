// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocking by STI and blocking by MOV SS: two bits on VMX, one for both on SVM. Each holds
 * interrupts for one instruction; MOV SS holds debug exceptions too.
 */
#include "harness.h"
#include "apic.h"
#include "state.h"

#define VEC	0x70

static volatile u64 irq_rip, nmi_rip, db_rip[16];
static volatile u32 dbs;

static void on_irq(struct trap_frame *f)
{
	irq_rip = f->rip;
	apic_eoi();
}

static void on_nmi(struct trap_frame *f)
{
	nmi_rip = f->rip;
}

static void on_db(struct trap_frame *f)
{
	if (dbs < ARRAY_LEN(db_rip))
		db_rip[dbs++] = f->rip;
	write_dr6(0xffff0ff0);
}

/* An interrupt waits; user space puts the shadow over the first NOP. */
static void guest_waiting(u64 arg)
{
	apic_enable();
	guest_handlers[VEC] = on_irq;
	guest_handlers[VEC_NMI] = on_nmi;
	if (arg)
		apic_icr(0, ICR_SELF | ICR_ASSERT | VEC);
	asm volatile("outl %%eax, %%dx\n"
		     ".globl first\nfirst: nop\n"
		     ".globl second\nsecond: nop\n"
		     "nop; nop; cli" : : "a"(1), "d"(PORT_SYNC) : "memory");
	guest_sync(2);
	guest_done();
}
extern const char first[], second[];

FIXTURE(shadows) {
	struct vcpu *v;
};

FIXTURE_SETUP(shadows)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
}

FIXTURE_TEARDOWN(shadows)
{
}

static void set_shadow(struct vcpu *v, u8 shadow, bool nmi)
{
	struct kvm_vcpu_events e;
	struct kvm_regs r;

	vcpu_complete_io(v);
	r = vcpu_regs(v);
	r.rip = (uintptr_t)first;
	r.rflags |= FLAG_IF;
	vcpu_set_regs(v, r);
	must(v->fd, KVM_GET_VCPU_EVENTS, &e);
	e.flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
	e.interrupt.shadow = shadow;
	e.nmi.pending = nmi;
	must(v->fd, KVM_SET_VCPU_EVENTS, &e);
}

static u8 get_shadow(struct vcpu *v)
{
	struct kvm_vcpu_events e;

	must(v->fd, KVM_GET_VCPU_EVENTS, &e);
	return e.interrupt.shadow;
}

static void held_once(struct __test_metadata *_metadata, struct vcpu *v, u8 shadow)
{
	if (shadow && (host_is_tcg() || test_bochs_svm))
		SKIP(return, "VMRUN does not load the shadow in QEMU's TCG and Bochs");
	vcpu_long(v, guest_waiting, 1);
	ASSERT_SYNC(1, v);
	EXPECT_EQ(0, get_shadow(v));
	set_shadow(v, shadow, false);
	if (host_is_intel()) {
		EXPECT_EQ(shadow, get_shadow(v));
	} else {
		EXPECT_EQ(!shadow, !get_shadow(v));
	}
	ASSERT_SYNC(2, v);
	EXPECT_EQ((uintptr_t)(shadow ? second : first), irq_rip);
	EXPECT_EQ(0, get_shadow(v));
	ASSERT_DONE(v);
}

TEST_F(shadows, none)
{
	held_once(_metadata, self->v, 0);
}

TEST_F(shadows, sti)
{
	held_once(_metadata, self->v, KVM_X86_SHADOW_INT_STI);
}

TEST_F(shadows, mov_ss)
{
	held_once(_metadata, self->v, KVM_X86_SHADOW_INT_MOV_SS);
}

/* Without an interrupt the shadow ends by itself, with the one instruction. */
TEST_F(shadows, ends_without_an_event)
{
	u8 shadow;

	for (shadow = 1; shadow <= 2; shadow++) {
		vcpu_long(self->v, guest_waiting, 0);
		ASSERT_SYNC(1, self->v);
		set_shadow(self->v, shadow, false);
		ASSERT_SYNC(2, self->v);
		EXPECT_EQ(0, get_shadow(self->v));
	}
}

static void nmi_held_once(struct __test_metadata *_metadata, struct vcpu *v, u8 shadow)
{
	vcpu_long(v, guest_waiting, 0);
	ASSERT_SYNC(1, v);
	set_shadow(v, shadow, true);
	ASSERT_SYNC(2, v);
	EXPECT_EQ((uintptr_t)second, nmi_rip);
	ASSERT_DONE(v);
}

/* MOV SS holds an NMI as well; STI may, and with both hypervisors does. */
TEST_F(shadows, nmi_behind_mov_ss)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs keeps a single-step trap pending across #VMEXIT");
	nmi_held_once(_metadata, self->v, KVM_X86_SHADOW_INT_MOV_SS);
}

TEST_F(shadows, nmi_behind_sti)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs keeps a single-step trap pending across #VMEXIT");
	nmi_held_once(_metadata, self->v, KVM_X86_SHADOW_INT_STI);
}

/* NMI and interrupt at once: the NMI is first, at the shadow's end, the other behind its IRET. */
TEST_F(shadows, nmi_goes_first)
{
	if (host_is_tcg() || test_bochs_svm)
		SKIP(return, "VMRUN does not load the shadow in QEMU's TCG and Bochs");
	vcpu_long(self->v, guest_waiting, 1);
	ASSERT_SYNC(1, self->v);
	set_shadow(self->v, KVM_X86_SHADOW_INT_STI, true);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ((uintptr_t)second, nmi_rip);
	EXPECT_EQ((uintptr_t)second, irq_rip);
}

/* ---- where RFLAGS changes in a shadow --------------------------------------------------- */

static void on_nmi_in_loop(struct trap_frame *f)
{
	extern const char out_of_loop[];

	nmi_rip = f->rip;
	f->rip = (uintptr_t)out_of_loop;
}

static void guest_sti_cli(void)
{
	guest_handlers[VEC_NMI] = on_nmi_in_loop;
	asm volatile("outl %%eax, %%dx\n"
		     ".globl to_cli\nto_cli: cli\n"
		     ".globl in_loop\nin_loop: jmp in_loop\n"
		     ".globl out_of_loop\nout_of_loop:" : : "a"(1), "d"(PORT_SYNC) : "memory");
	guest_done();
}

/* An NMI that STI holds back comes behind the next instruction, whatever that does to RFLAGS.IF. */
TEST_F_TIMEOUT(shadows, nmi_behind_sti_and_cli, 20)
{
	extern const char to_cli[], in_loop[];
	struct kvm_regs r;

	if (is_kvm() && host_is_intel())
		SKIP(return, "KVM waits for an interrupt window, which does not open");
	vcpu_long(self->v, guest_sti_cli, 0);
	ASSERT_SYNC(1, self->v);
	set_shadow(self->v, KVM_X86_SHADOW_INT_STI, true);
	r = vcpu_regs(self->v);
	r.rip = (uintptr_t)to_cli;
	vcpu_set_regs(self->v, r);
	ASSERT_DONE(self->v);
	if (!host_is_tcg() && !test_bochs_svm)
		EXPECT_EQ((uintptr_t)in_loop, nmi_rip);
}

static void guest_exit_in_shadow(void)
{
	asm volatile("sti; outl %%eax, %%dx\n"
		     ".globl elsewhere\nelsewhere: nop" : : "a"(1), "d"(PORT_SYNC) : "memory");
	guest_done();
}

/* User space moves the guest out of a shadow, with interrupts off again: there is none any more. */
TEST_F(shadows, set_regs_in_shadow)
{
	extern const char elsewhere[];
	struct kvm_regs r;

	if (is_kvm() && host_is_intel())
		SKIP(return, "KVM enters with blocking by STI and RFLAGS.IF 0, which fails");
	vcpu_long(self->v, guest_exit_in_shadow, 0);
	ASSERT_SYNC(1, self->v);
	r = vcpu_regs(self->v);
	r.rip = (uintptr_t)elsewhere;
	r.rflags = FLAG_FIXED;
	vcpu_set_regs(self->v, r);
	ASSERT_DONE(self->v);
}

/* ---- single steps ----------------------------------------------------------------------- */

static bool stepped_at(const char *where)
{
	unsigned int i;

	for (i = 0; i < dbs; i++)
		if (db_rip[i] == (uintptr_t)where)
			return true;
	return false;
}

/* Single steps: none behind MOV SS, whose successor takes the one of both. */
static void guest_step(u64 arg)
{
	guest_handlers[VEC_DB] = on_db;
	write_dr6(0xffff0ff0);
	asm volatile("pushf; orl $0x100, (%%rsp); popf; nop\n"
		     ".globl before_ss\nbefore_ss: mov %0, %%ss\n"
		     ".globl behind_ss\nbehind_ss: nop\n"
		     ".globl behind_nop\nbehind_nop: nop\n"
		     "pushf; andl $~0x100, (%%rsp); popf" : : "r"(SEL_DATA) : "memory", "cc");
	guest_done();
}

TEST_F(shadows, single_step_behind_mov_ss)
{
	extern const char before_ss[], behind_ss[], behind_nop[];

	if (!host_is_intel())
		SKIP(return, "emulators of SVM differ in single steps");
	vcpu_long(self->v, guest_step, 0);
	ASSERT_DONE(self->v);
	EXPECT_TRUE(stepped_at(before_ss));
	EXPECT_FALSE(stepped_at(behind_ss));
	EXPECT_TRUE(stepped_at(behind_nop));
	EXPECT_TRUE(stepped_at(behind_nop + 1));
}

/* The successor leaves the guest. */
static void guest_step_exit(u64 arg)
{
	guest_handlers[VEC_DB] = on_db;
	write_dr6(0xffff0ff0);
	asm volatile("pushf; orl $0x100, (%%rsp); popf; nop\n"
		     "mov %1, %%ss\n"
		     ".globl at_cpuid\nat_cpuid: cpuid\n"
		     ".globl behind_cpuid\nbehind_cpuid: nop\n"
		     "pushf; andl $~0x100, (%%rsp); popf"
		     : : "a"(0), "r"(SEL_DATA), "c"(0) : "rbx", "rdx", "memory", "cc");
	guest_done();
}

TEST_F(shadows, single_step_behind_mov_ss_and_exit)
{
	extern const char at_cpuid[], behind_cpuid[];

	if (!host_is_intel())
		SKIP(return, "emulators of SVM differ in single steps");
	vcpu_long(self->v, guest_step_exit, 0);
	ASSERT_DONE(self->v);
	EXPECT_FALSE(stepped_at(at_cpuid));
	EXPECT_TRUE(stepped_at(behind_cpuid));
	EXPECT_TRUE(stepped_at(behind_cpuid + 1));
}

/*
 * The trap behind STI comes while interrupts are blocked by it: where the hypervisor sees it
 * first, the entry that hands it on has to say so among the pending debug exceptions.
 */
static void guest_step_sti(u64 arg)
{
	guest_handlers[VEC_DB] = on_db;
	write_dr6(0xffff0ff0);
	asm volatile("pushf; orl $0x100, (%%rsp); popf; nop\n"
		     "sti\n"
		     ".globl behind_sti\nbehind_sti: nop\n"
		     "cli\n"
		     "pushf; andl $~0x100, (%%rsp); popf" : : : "memory", "cc");
	guest_done();
}

TEST_F(shadows, single_step_behind_sti)
{
	extern const char behind_sti[];

	if (!host_is_intel())
		SKIP(return, "emulators of SVM differ in single steps");
	vcpu_long(self->v, guest_step_sti, 0);
	ASSERT_DONE(self->v);
	EXPECT_TRUE(stepped_at(behind_sti));
	EXPECT_TRUE(stepped_at(behind_sti + 1));
}

TEST_MAIN
