// SPDX-License-Identifier: GPL-2.0-only
/*
 * PAE paging's four pointers: loaded with CR3 and kept until it is loaded again, whatever happens
 * to the table in memory (SDM, "PDPTE Registers"). With nested paging AMD reads them at each walk.
 */
#include "harness.h"

#define CODE	0x9000
#define PDPT	0x100000
#define GIB2	0x80000000u	/* the third pointer's */

FIXTURE(pdptes) {
	struct vm *vm;
	struct vcpu *v;
	u64 *pdpt;
};

/* PD 0 maps the first 16 MiB as they are; PDs 1 and 2 map one page each at their start. */
static void build_tables(struct vm *vm)
{
	u64 *pdpt = (u64 *)(vm->low + PDPT), *pd = pdpt + 512;
	u32 i;

	pdpt[0] = (PDPT + 0x1000) | PTE_P;
	pdpt[2] = (PDPT + 0x2000) | PTE_P;
	for (i = 0; i < 8; i++)
		pd[i] = i * PAGE_2M | PTE_P | PTE_W | PTE_PS;
	for (i = 1; i <= 2; i++) {
		pd[i * 512] = (PDPT + 0x4000 + i * 0x1000) | PTE_P | PTE_W;
		*(u64 *)(vm->low + PDPT + 0x4000 + i * 0x1000) = (0x200000 + i * 0x1000) | PTE_P;
		*(u32 *)(vm->low + 0x200000 + i * 0x1000) = 0xcafe0000 + i;
	}
}

FIXTURE_SETUP(pdptes)
{
	struct kvm_sregs s;

	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->pdpt = (u64 *)(self->vm->low + PDPT);
	build_tables(self->vm);
	vcpu_mode(self->v, MODE_PAE, CODE);
	s = vcpu_sregs(self->v);
	s.cr3 = PDPT;
	s.cr0 |= X86_CR0_PG;
	vcpu_set_sregs(self->v, s);
}

FIXTURE_TEARDOWN(pdptes)
{
}

/* Changes the third pointer in memory, looks, leaves, looks, loads CR3, looks. */
asm(".pushsection .rodata\n.code32\n"
    "kept_start:\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x600)\n"
    "	movl $0x103001, (0x100010)\n"
    "	invlpg 0x80000000\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x604)\n"
    "	xor %eax, %eax\n"
    "	cpuid\n"
    "	invlpg 0x80000000\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x608)\n"
    "	hlt\n"
    "	invlpg 0x80000000\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x60c)\n"
    "	mov %cr3, %eax\n"
    "	mov %eax, %cr3\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x610)\n"
    "	hlt\n"
    "kept_end:\n"
    ".code64\n.popsection\n");

TEST_F(pdptes, kept_until_cr3_is_loaded)
{
	u32 *result = (u32 *)(self->vm->low + 0x600);

	if (!host_is_intel())
		SKIP(return, "AMD reads the pointers at each walk");
	vm_blob(self->vm, CODE, kept);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0xcafe0001, result[0]);
	EXPECT_EQ(0xcafe0001, result[1]);
	EXPECT_EQ(0xcafe0001, result[2]);
	/* User space has seen its registers in between. */
	vcpu_regs(self->v);
	vcpu_sregs(self->v);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0xcafe0001, result[3]);
	EXPECT_EQ(0xcafe0002, result[4]);
}

/* With the new pointers in memory a write to CR4.PGE or CR0.CD loads them as well. */
asm(".pushsection .rodata\n.code32\n"
    "cr4_start:\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x600)\n"
    "	movl $0x103001, (0x100010)\n"
    "	mov %cr4, %eax\n"
    "	xor $0x80, %eax\n"
    "	mov %eax, %cr4\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x604)\n"
    "	movl $0x102001, (0x100010)\n"
    "	mov %cr0, %eax\n"
    "	xor $0x40000000, %eax\n"
    "	mov %eax, %cr0\n"
    "	mov 0x80000000, %eax\n"
    "	mov %eax, (0x608)\n"
    "	hlt\n"
    "cr4_end:\n"
    ".code64\n.popsection\n");

TEST_F(pdptes, loaded_with_cr4_and_cr0)
{
	u32 *result = (u32 *)(self->vm->low + 0x600);

	vm_blob(self->vm, CODE, cr4);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0xcafe0001, result[0]);
	EXPECT_EQ(0xcafe0002, result[1]);
	EXPECT_EQ(0xcafe0001, result[2]);
}

/* A reserved bit in one that is present: the load is #GP, and everything stays. */
asm(".pushsection .rodata\n.code32\n"
    "bad_start:\n"
    "	orl $0x20, (0x100010)\n"
    "	mov %cr3, %eax\n"
    "	mov %eax, %cr3\n"
    "	hlt\n"
    "bad_end:\n"
    ".code64\n.popsection\n");

TEST_F(pdptes, reserved_bit)
{
	struct trap_frame32 *f;

	if (!host_is_intel())
		SKIP(return, "AMD finds reserved bits at the walk");
	vm_blob(self->vm, CODE, bad);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->vm->low + self->v->sync);
	EXPECT_EQ(VEC_GP, f->vec);
	EXPECT_EQ(0, f->err);
	EXPECT_EQ(PDPT, vcpu_sregs(self->v).cr3);
}

/* The registers are state of their own: what they hold, memory may have no more. */
TEST_F(pdptes, sregs2)
{
	u32 *result = (u32 *)(self->vm->low + 0x600);
	struct kvm_sregs2 s;

	if (!has_ext(KVM_CAP_SREGS2))
		SKIP(return, "no KVM_CAP_SREGS2");
	vm_blob(self->vm, CODE, kept);
	must(self->v->fd, KVM_GET_SREGS2, &s);
	ASSERT_EQ(KVM_SREGS2_FLAGS_PDPTRS_VALID, s.flags);
	EXPECT_EQ((PDPT + 0x1000) | PTE_P, s.pdptrs[0]);
	EXPECT_EQ(0, s.pdptrs[1]);
	EXPECT_EQ((PDPT + 0x2000) | PTE_P, s.pdptrs[2]);
	if (!host_is_intel())
		SKIP(return, "AMD reads the pointers at each walk");
	s.pdptrs[2] = (PDPT + 0x3000) | PTE_P;
	must(self->v->fd, KVM_SET_SREGS2, &s);
	must(self->v->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ((PDPT + 0x3000) | PTE_P, s.pdptrs[2]);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0xcafe0002, result[0]);
}

TEST_MAIN
