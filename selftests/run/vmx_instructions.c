// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX's own instructions in a guest without VMX: undefined, though the CPU gives most of them to
 * the hypervisor before it looks at anything. Hypercalls are the exception, by either vendor's
 * instruction.
 */
#include "harness.h"

#define VA	(1ULL << 39)

FIXTURE(vmx) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(vmx)
{
	self->vm = vm_create(VM_IRQCHIP);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(vmx)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

static u64 area[512] __attribute__((aligned(4096)));

static void guest_undefined(void)
{
	u64 pa = (uintptr_t)area, desc[2] = {};

	G_EQ(G_TRY("vmxon %1", "m"(pa)), VEC_UD);
	G_EQ(G_TRY("vmptrld %1", "m"(pa)), VEC_UD);
	G_EQ(G_TRY("vmptrst %1", "m"(pa)), VEC_UD);
	G_EQ(G_TRY("vmclear %1", "m"(pa)), VEC_UD);
	G_EQ(G_TRY("vmlaunch"), VEC_UD);
	G_EQ(G_TRY("vmresume"), VEC_UD);
	G_EQ(G_TRY("vmxoff"), VEC_UD);
	G_EQ(G_TRY("vmread %1, %%rax", "r"(0UL)), VEC_UD);
	G_EQ(G_TRY("vmwrite %1, %%rax", "r"(0UL)), VEC_UD);
	G_EQ(G_TRY("invept %1, %%rax", "m"(desc)), VEC_UD);
	G_EQ(G_TRY("invvpid %1, %%rax", "m"(desc)), VEC_UD);
	G_EQ(G_TRY(".byte 0x0f, 0x01, 0xd4"), VEC_UD);	/* VMFUNC */
	G_EQ(G_TRY(".byte 0x0f, 0x37"), VEC_UD);	/* GETSEC, without CR4.SMXE */
	/* An operand that faults as well: being undefined goes first. */
	G_EQ(G_TRY("vmxon (%1)", "r"(VA)), VEC_UD);
	G_EQ(G_TRY("vmptrld (%1)", "r"(VA)), VEC_UD);
	guest_done();
}

TEST_F(vmx, undefined)
{
	RUN_GUEST(guest_undefined);
}

/* And not through CR4: the guest's CPUID has no VMX. */
static void guest_vmxe(void)
{
	G_EQ(G_TRY("mov %1, %%cr4", "r"(read_cr4() | BIT(13))), VEC_GP);
	G_EQ(G_TRY("vmxoff"), VEC_UD);
	guest_done();
}

TEST_F(vmx, not_enabled)
{
	RUN_GUEST(guest_vmxe);
}

static u8 code[PAGE] __attribute__((aligned(4096)));

/* The other vendor's instruction is emulated, or rewritten in place at its first use. */
static void guest_other_vendors(u64 intel)
{
	int64_t (*fn)(void) = (int64_t (*)(void))(uintptr_t)VA;
	u8 own = intel ? 0xc1 : 0xd9, other = intel ? 0xd9 : 0xc1;
	int64_t r;
	u32 i;

	guest_map(VA, (uintptr_t)code, PAGE, PAGE, PTE_P | PTE_W);
	code[0] = 0x0f;
	code[1] = 0x01;
	code[2] = other;
	code[3] = 0xc3;
	for (i = 0; i < 2; i++) {
		asm volatile("call *%1" : "=a"(r) : "r"(fn), "0"(1000), "b"(0), "c"(0), "d"(0),
			     "S"(0) : "memory");
		G_EQ(r, -1000);
		G_ASSERT(READ_ONCE(code[2]) == own || READ_ONCE(code[2]) == other);
	}
	guest_done();
}

TEST_F(vmx, other_vendors_hypercall)
{
	vcpu_long(self->v, guest_other_vendors, host_is_intel());
	ASSERT_DONE(self->v);
}

TEST_MAIN
