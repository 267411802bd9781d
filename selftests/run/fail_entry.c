// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest state that KVM_SET_SREGS and KVM_SET_REGS take and VM entry does not: user space hears of
 * it, and the vCPU is as good as before once its state is.
 *
 * Which states these are says the SDM's "Checks on the Guest State Area"; SVM checks less, and
 * other things.
 */
#include <sys/klog.h>

#include "harness.h"

#define INVALID_GUEST_STATE	0x80000021	/* bit 31: the entry failed; basic reason 33 */

static volatile u64 runs;

static void guest_alive(void)
{
	runs++;
	guest_sync(1);
	runs++;
	guest_done();
}

FIXTURE(fail_entry) {
	struct vcpu *v;
	struct kvm_sregs good_s;
	struct kvm_regs good_r;
};

FIXTURE_SETUP(fail_entry)
{
	self->v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	vcpu_long(self->v, guest_alive, 0);
	self->good_s = vcpu_sregs(self->v);
	self->good_r = vcpu_regs(self->v);
}

FIXTURE_TEARDOWN(fail_entry)
{
}

#define NEEDS_VMX() do {						\
	if (!host_is_intel())						\
		SKIP(return, "VMRUN checks less than VM entry");	\
} while (0)

static void expect_failure(struct __test_metadata *_metadata, struct vcpu *v)
{
	struct kvm_run *run = v->run;
	unsigned int i;

	/* As often as it is tried. */
	for (i = 0; i < 2; i++) {
		ASSERT_RUN(KVM_EXIT_FAIL_ENTRY, v);
		EXPECT_EQ(INVALID_GUEST_STATE, run->fail_entry.hardware_entry_failure_reason);
		EXPECT_LT(run->fail_entry.cpu, 4096);
	}
	EXPECT_EQ(0, runs);
}

#define EXPECT_FAILURE_THEN_LIFE() do {			\
	expect_failure(_metadata, self->v);		\
	vcpu_set_sregs(self->v, self->good_s);		\
	vcpu_set_regs(self->v, self->good_r);		\
	ASSERT_SYNC(1, self->v);			\
	ASSERT_DONE(self->v);				\
	EXPECT_EQ(2, runs);				\
} while (0)

static bool log_says(const char *text)
{
	enum { SYSLOG_ACTION_READ_ALL = 3, SIZE = 1 << 20 };
	char *log = calloc(1, SIZE + 1);
	bool says = klogctl(SYSLOG_ACTION_READ_ALL, log, SIZE) > 0 && strstr(log, text);

	free(log);
	return says;
}

/*
 * "The deliver-error-code bit is 1" for a #GP in protected mode: a check of the controls.  It comes
 * first, since the log is limited in its rate.
 */
TEST_F(fail_entry, exception_without_its_error_code)
{
	struct kvm_vcpu_events good, e;

	NEEDS_VMX();
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &good);
	e = good;
	e.exception.injected = 1;
	e.exception.nr = VEC_GP;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &e);
	guest_run(self->v);
	if (self->v->run->exit_reason != KVM_EXIT_FAIL_ENTRY)
		SKIP(return, "this CPU delivers it (IA32_VMX_BASIC, bit 56)");
	/* "VM entry with invalid control field(s)" */
	EXPECT_EQ(7, self->v->run->fail_entry.hardware_entry_failure_reason);
	EXPECT_EQ(0, runs);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.exception.injected);
	EXPECT_EQ(VEC_GP, e.exception.nr);
	if (!is_kvm())
		EXPECT_TRUE(log_says("the exception is without an error code"));
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &good);
	/* KVM leaves it in the VMCS, where the next entry finds it. */
	if (is_kvm())
		return;
	ASSERT_SYNC(1, self->v);
	ASSERT_DONE(self->v);
	EXPECT_EQ(2, runs);
}

/* "The type must be 9, 11, 13 or 15", or 3 for an unrestricted guest; 7 expands down. */
TEST_F(fail_entry, code_segment_type)
{
	struct kvm_sregs s = self->good_s;

	NEEDS_VMX();
	s.cs.type = 7;
	vcpu_set_sregs(self->v, s);
	EXPECT_FAILURE_THEN_LIFE();
}

/* "If any bit in the limit field in the range 11:0 is 0, G must be 0." */
TEST_F(fail_entry, limit_and_granularity)
{
	struct kvm_sregs s = self->good_s;

	NEEDS_VMX();
	s.ds.limit = 0xffffff0f;
	vcpu_set_sregs(self->v, s);
	EXPECT_FAILURE_THEN_LIFE();
}

/* "If the guest will be in IA-32e mode, the type must be 11": busy, not available. */
TEST_F(fail_entry, task_register_type)
{
	struct kvm_sregs s = self->good_s;

	NEEDS_VMX();
	s.tr.type = 3;
	vcpu_set_sregs(self->v, s);
	EXPECT_FAILURE_THEN_LIFE();
}

/* "The VM flag must be 0 if the IA-32e mode guest control is 1." */
TEST_F(fail_entry, virtual_8086_in_long_mode)
{
	struct kvm_regs r = self->good_r;

	NEEDS_VMX();
	r.rflags |= BIT(17);
	vcpu_set_regs(self->v, r);
	EXPECT_FAILURE_THEN_LIFE();
}

/* "Reserved bits 63:22, bit 15, bit 5 and bit 3 must be 0." */
TEST_F(fail_entry, reserved_flag)
{
	struct kvm_regs r = self->good_r;

	NEEDS_VMX();
	r.rflags |= BIT(15);
	vcpu_set_regs(self->v, r);
	EXPECT_FAILURE_THEN_LIFE();
}

/* "CS.L and CS.D must not both be 1 in IA-32e mode." */
TEST_F(fail_entry, long_and_default_size)
{
	struct kvm_sregs s = self->good_s;

	NEEDS_VMX();
	s.cs.db = 1;
	vcpu_set_sregs(self->v, s);
	EXPECT_FAILURE_THEN_LIFE();
}

/* A failure with an event on its way: the event is not lost, and comes with the good state. */
static volatile u32 nmis;

static void on_nmi(struct trap_frame *f)
{
	nmis++;
}

TEST_F(fail_entry, keeps_an_event)
{
	struct kvm_sregs s = self->good_s;

	NEEDS_VMX();
	guest_handlers[VEC_NMI] = on_nmi;
	s.cs.type = 7;
	vcpu_set_sregs(self->v, s);
	must(self->v->fd, KVM_NMI, 0);
	ASSERT_RUN(KVM_EXIT_FAIL_ENTRY, self->v);
	vcpu_set_sregs(self->v, self->good_s);
	ASSERT_SYNC(1, self->v);
	EXPECT_EQ(1, nmis);
	ASSERT_DONE(self->v);
}

TEST_MAIN
