// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_VCPU_EVENTS: what is put in is what the guest gets. */
#include <string.h>
#include "harness.h"
#include "state.h"

#define VEC	0x70

static volatile u32 vec_seen, err_seen;
static volatile u64 rip_seen, rip_of[256];

static void on_trap(struct trap_frame *f)
{
	vec_seen = f->vec;
	err_seen = f->err;
	rip_seen = f->rip;
	rip_of[f->vec] = f->rip;
}

static void guest_wait(void)
{
	guest_sync(1);
	guest_sync(2);
	guest_done();
}

FIXTURE(vcpu_events) {
	struct vcpu *v;
	struct kvm_vcpu_events e;
};

FIXTURE_SETUP(vcpu_events)
{
	unsigned int i;

	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	for (i = 0; i < 256; i++)
		guest_handlers[i] = on_trap;
	vcpu_long(self->v, guest_wait, 0);
	ASSERT_SYNC(1, self->v);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &self->e);
}

FIXTURE_TEARDOWN(vcpu_events)
{
}

TEST_F(vcpu_events, nothing)
{
	EXPECT_EQ(0, self->e.exception.injected);
	EXPECT_EQ(0, self->e.exception.pending);
	EXPECT_EQ(0, self->e.interrupt.injected);
	EXPECT_EQ(0, self->e.nmi.injected);
	EXPECT_EQ(0, self->e.nmi.pending);
	EXPECT_EQ(0, self->e.nmi.masked);
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(0, vec_seen);
}

static void inject_gp(struct vcpu *v, struct kvm_vcpu_events *e, u32 error)
{
	e->exception.injected = 1;
	e->exception.nr = VEC_GP;
	e->exception.has_error_code = 1;
	e->exception.error_code = error;
	must(v->fd, KVM_SET_VCPU_EVENTS, e);
}

TEST_F(vcpu_events, exception)
{
	struct kvm_vcpu_events back;

	inject_gp(self->v, &self->e, 0x1238);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &back);
	EXPECT_EQ(1, back.exception.injected);
	EXPECT_EQ(VEC_GP, back.exception.nr);
	EXPECT_EQ(0x1238, back.exception.error_code);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(VEC_GP, vec_seen);
	EXPECT_EQ(0x1238, err_seen);
}

TEST_F(vcpu_events, exception_without_error_code)
{
	self->e.exception.injected = 1;
	self->e.exception.nr = VEC_UD;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(VEC_UD, vec_seen);
	EXPECT_EQ(0, err_seen);
}

TEST_F(vcpu_events, interrupt)
{
	struct kvm_vcpu_events back;
	struct kvm_regs r = vcpu_regs(self->v);

	r.rflags |= FLAG_IF;
	vcpu_set_regs(self->v, r);
	self->e.interrupt.injected = 1;
	self->e.interrupt.nr = VEC;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &back);
	EXPECT_EQ(1, back.interrupt.injected);
	EXPECT_EQ(VEC, back.interrupt.nr);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(VEC, vec_seen);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &back);
	EXPECT_EQ(0, back.interrupt.injected);
}

TEST_F(vcpu_events, nmi_injected)
{
	self->e.nmi.injected = 1;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(VEC_NMI, vec_seen);
}

/* Blocked already, by its own delivery. */
TEST_F(vcpu_events, nmi_injected_and_masked)
{
	struct kvm_vcpu_events back;

	if (is_kvm() && host_is_intel())
		SKIP(return, "KVM enters with NMIs blocked, which a CPU may refuse");
	self->e.nmi.injected = 1;
	self->e.nmi.masked = 1;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(VEC_NMI, vec_seen);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &back);
	EXPECT_EQ(0, back.nmi.masked);
}

/* Intel's error codes have 16 bits, and Bochs's AMD CPUs push no more. */
TEST_F(vcpu_events, error_code_of_32_bits)
{
	inject_gp(self->v, &self->e, 0xabcd1238);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(VEC_GP, vec_seen);
	EXPECT_EQ(host_is_intel() || test_bochs ? 0x1238 : 0xabcd1238, err_seen);
}

/* Real mode knows no error codes. */
TEST_F(vcpu_events, error_code_in_real_mode)
{
	u8 *low = self->v->vm->low;
	struct kvm_regs r;

	*(u32 *)(low + VEC_GP * 4) = 0x9000;
	memcpy(low + 0x9000, "\xe6\x99", 2);	/* OUT 99h, AL */
	vcpu_mode(self->v, MODE_REAL, 0x9100);
	r = vcpu_regs(self->v);
	r.rsp = 0x8000;
	vcpu_set_regs(self->v, r);
	inject_gp(self->v, &self->e, 0);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	r = vcpu_regs(self->v);
	EXPECT_EQ(0x9000, r.rip);
	EXPECT_EQ(0x8000 - 6, r.rsp);
}

/*
 * KVM forgets what an exception went in before, as if it had been delivered too; keel keeps
 * it.  Both are given the exception first.
 */
TEST_F(vcpu_events, interrupt_behind_exception)
{
	struct kvm_regs r = vcpu_regs(self->v);

	r.rflags |= FLAG_IF;
	vcpu_set_regs(self->v, r);
	self->e.exception.injected = 1;
	self->e.exception.nr = VEC_UD;
	self->e.interrupt.injected = 1;
	self->e.interrupt.nr = VEC;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_NE(0, rip_of[VEC_UD]);
	if (is_kvm() && !rip_of[VEC])
		SKIP(return, "KVM forgets the interrupt");
	/* Not in the handler, which runs with interrupts off, but where that returns to. */
	EXPECT_EQ(rip_of[VEC_UD], rip_of[VEC]);
}

TEST_F(vcpu_events, nmi_behind_exception)
{
	struct kvm_vcpu_events back;

	self->e.exception.injected = 1;
	self->e.exception.nr = VEC_UD;
	self->e.nmi.injected = 1;
	self->e.nmi.masked = 1;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_NE(0, rip_of[VEC_UD]);
	if (is_kvm() && !rip_of[VEC_NMI])
		SKIP(return, "KVM forgets the NMI");
	/* It came at the handler's first instruction, and its own IRET ended the blocking. */
	ASSERT_NE(0, rip_of[VEC_NMI]);
	EXPECT_NE(rip_of[VEC_UD], rip_of[VEC_NMI]);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &back);
	EXPECT_EQ(0, back.nmi.pending);
	EXPECT_EQ(0, back.nmi.masked);
}

TEST_F(vcpu_events, nmi_pending_and_masked)
{
	struct kvm_vcpu_events back;

	self->e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	self->e.nmi.pending = 1;
	self->e.nmi.masked = 1;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(0, vec_seen);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &back);
	EXPECT_EQ(1, back.nmi.pending);
	EXPECT_EQ(1, back.nmi.masked);
	back.nmi.masked = 0;
	back.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &back);
	ASSERT_DONE(self->v);
	EXPECT_EQ(VEC_NMI, vec_seen);
}

/* Without the flag a pending NMI stays as it is. */
TEST_F(vcpu_events, flag_keeps_nmi)
{
	must(self->v->fd, KVM_NMI, 0);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &self->e);
	self->e.flags = 0;
	self->e.nmi.pending = 0;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(VEC_NMI, vec_seen);
}

static void guest_shadow(void)
{
	guest_sync(3);
	asm volatile("sti\n.globl in_shadow\nin_shadow: outl %%eax, %%dx"
		     : : "a"(4), "d"(PORT_SYNC));
	cli();
	guest_done();
}

/* The shadow of STI is state as well. */
TEST_F(vcpu_events, interrupt_shadow)
{
	extern const char in_shadow[];
	struct kvm_vcpu_events e;
	struct kvm_regs r;

	vcpu_long(self->v, guest_shadow, 0);
	ASSERT_SYNC(3, self->v);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.interrupt.shadow);
	/* Put the vCPU there by hand, with an interrupt at the door. */
	r = vcpu_regs(self->v);
	r.rip = (uintptr_t)in_shadow;
	r.rax = 4;
	r.rdx = PORT_SYNC;
	r.rflags |= FLAG_IF;
	vcpu_complete_io(self->v);
	vcpu_set_regs(self->v, r);
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &e);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_NE(0, e.interrupt.shadow);
	ASSERT_SYNC(4, self->v);
}

TEST_F(vcpu_events, refused)
{
	self->e.flags = 0x1000;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	self->e.flags = 0;
	self->e.exception.injected = 1;
	self->e.exception.nr = 32;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	self->e.exception.nr = VEC_NMI;
	EXPECT_ERR(EINVAL, self->v->fd, KVM_SET_VCPU_EVENTS, &self->e);
	ASSERT_SYNC(2, self->v);
	EXPECT_EQ(0, vec_seen);
}

TEST_MAIN
