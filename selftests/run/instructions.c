// SPDX-License-Identifier: GPL-2.0-only
/* Instructions that a hypervisor has to care for, and code that changes or crosses pages. */
#include "harness.h"

#define VA	(1ULL << 39)

FIXTURE(instructions) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(instructions)
{
	self->vm = vm_create(VM_IRQCHIP);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(instructions)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

static u64 hypercall(u64 nr, bool amd)
{
	u64 r = nr;

	if (amd)
		asm volatile("vmmcall" : "+a"(r) : "b"(0), "c"(0), "d"(0), "S"(0) : "memory");
	else
		asm volatile("vmcall" : "+a"(r) : "b"(0), "c"(0), "d"(0), "S"(0) : "memory");
	return r;
}

static void guest_hypercall(void)
{
	bool amd;
	u32 r[4];

	cpuid(0, 0, r);
	amd = r[1] == 0x68747541;	/* "Auth" */
	/* Unknown ones say -KVM_ENOSYS. */
	G_EQ((int64_t)hypercall(1000, amd), -1000);
	G_EQ((int64_t)hypercall(1000, amd), -1000);
	guest_done();
}

TEST_F(instructions, hypercall)
{
	RUN_GUEST(guest_hypercall);
}

static void guest_other_hypercall(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	if (r[1] == 0x68747541)	/* "Auth" */
		G_EQ(G_TRY("vmcall"), VEC_UD);
	else
		G_EQ(G_TRY("vmmcall"), VEC_UD);
	guest_done();
}

/* With KVM_X86_QUIRK_FIX_HYPERCALL_INSN off the other vendor's one is undefined. */
TEST_F(instructions, other_hypercall_without_quirk)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DISABLE_QUIRKS2, .args = { KVM_X86_QUIRK_FIX_HYPERCALL_INSN },
	};

	must(self->vm->fd, KVM_ENABLE_CAP, &cap);
	RUN_GUEST(guest_other_hypercall);
}

static int try_svm(u32 which)
{
	register u64 vec asm("r9") = -1;

	switch (which) {
	case 0:
		asm volatile("1: vmrun\n2:\n" GUEST_FIXUP : "+r"(vec) : "a"(0) : "memory");
		break;
	case 1:
		asm volatile("1: vmload\n2:\n" GUEST_FIXUP : "+r"(vec) : "a"(0) : "memory");
		break;
	case 2:
		asm volatile("1: vmsave\n2:\n" GUEST_FIXUP : "+r"(vec) : "a"(0) : "memory");
		break;
	}
	return vec;
}

static void guest_svm(void)
{
	u32 i;

	/* Not STGI and CLGI: with virtual GIF 6.1's KVM lets every guest have them. */
	for (i = 0; i < 3; i++)
		G_EQ(try_svm(i), VEC_UD);
	guest_done();
}

TEST_F(instructions, no_nested_virtualisation)
{
	RUN_GUEST(guest_svm);
}

static void guest_cheap(void)
{
	asm volatile("pause; wbinvd; sfence; lfence; mfence" : : : "memory");
	invlpg(VA);
	G_EQ(G_TRY("invlpg (%1)", "r"(1UL << 60)), -1);	/* no fault, says the manual */
	guest_done();
}

TEST_F(instructions, cheap_ones)
{
	RUN_GUEST(guest_cheap);
}

static void guest_mwait(void)
{
	static u64 line __attribute__((aligned(64)));
	register u64 vec asm("r9") = -1;

	asm volatile("1: monitor\n2:\n" GUEST_FIXUP
		     : "+r"(vec) : "a"(&line), "c"(0), "d"(0) : "memory");
	G_ASSERT(vec == -1 || vec == VEC_UD);
	vec = -1;
	asm volatile("1: mwait\n2:\n" GUEST_FIXUP
		     : "+r"(vec) : "a"(0), "c"(0) : "memory");
	G_ASSERT(vec == -1 || vec == VEC_UD);
	guest_done();
}

/* KVM runs both as no-ops by default; #UD is right as well when CPUID has them not. */
TEST_F(instructions, monitor_and_mwait)
{
	RUN_GUEST(guest_mwait);
}

static u8 code[2 * PAGE] __attribute__((aligned(4096)));

static void guest_self_modifying(void)
{
	u32 (*fn)(void) = (u32 (*)(void))(uintptr_t)VA, i;

	guest_map(VA, (uintptr_t)code, 2 * PAGE, PAGE, PTE_P | PTE_W);
	for (i = 0; i < 200; i++) {
		code[0] = 0xb8;		/* mov $imm, %eax */
		WRITE_ONCE(*(u32 *)(code + 1), i * 77);
		code[5] = 0xc3;		/* ret */
		cpuid(0, 0, (u32[4]) {});
		G_EQ(fn(), i * 77);
	}
	guest_done();
}

TEST_F(instructions, self_modifying_code)
{
	RUN_GUEST(guest_self_modifying);
}

/* An OUT, a CPUID and an MMIO access that lie across a page boundary. */
static void guest_crossing(void)
{
	void (*fn)(void);

	guest_map(VA, (uintptr_t)code, 2 * PAGE, PAGE, PTE_P | PTE_W);
	code[PAGE - 1] = 0x0f;		/* cpuid */
	code[PAGE] = 0xa2;
	code[PAGE + 1] = 0xe7;		/* out %eax, $0x80 */
	code[PAGE + 2] = 0x80;
	code[PAGE + 3] = 0xc3;
	fn = (void (*)(void))(uintptr_t)(VA + PAGE - 1);
	asm volatile("call *%0" : : "r"(fn), "a"(0), "c"(0) : "rbx", "rdx", "memory");
	code[PAGE - 1] = 0xe7;
	code[PAGE] = 0x81;
	code[PAGE + 1] = 0xc3;
	asm volatile("call *%0" : : "r"(fn), "a"(0x1234) : "memory");
	code[PAGE - 3] = 0x89;		/* mov %eax, 0x10(%rdi): three bytes, three behind */
	code[PAGE - 2] = 0x87;
	code[PAGE - 1] = 0x10;
	code[PAGE] = code[PAGE + 1] = code[PAGE + 2] = 0;
	fn = (void (*)(void))(uintptr_t)(VA + PAGE - 3);
	code[PAGE + 3] = 0xc3;
	asm volatile("call *%0" : : "r"(fn), "a"(0x5678), "D"(0xd0000000UL) : "memory");
	guest_done();
}

TEST_F(instructions, across_pages)
{
	struct kvm_run *run = self->v->run;

	vcpu_long(self->v, guest_crossing, 0);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(0x80, run->io.port);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(0x81, run->io.port);
	EXPECT_EQ(0x1234, *(u32 *)((u8 *)run + run->io.data_offset));
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(0xd0000010, run->mmio.phys_addr);
	EXPECT_EQ(0x5678, *(u32 *)run->mmio.data);
	ASSERT_DONE(self->v);
}

/* Prefixes that change nothing, and the longest instruction there is. */
static void guest_prefixes(void)
{
	asm volatile("mov $0xd0000000, %%edi; .byte 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e;"
		     ".byte 0xc7, 0x07, 0x44, 0x33, 0x22, 0x11" : : : "rdi", "memory");
	guest_done();
}

TEST_F(instructions, prefixes)
{
	vcpu_long(self->v, guest_prefixes, 0);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(0x11223344, *(u32 *)self->v->run->mmio.data);
	ASSERT_DONE(self->v);
}

TEST_MAIN
