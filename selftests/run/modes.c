// SPDX-License-Identifier: GPL-2.0-only
/* Code in every mode of the processor, and the ways from one to the other. */
#include "harness.h"

#define CODE	0x9000
#define RESULT	0x600	/* where 16-bit and 32-bit code leaves what it found */

FIXTURE(modes) {
	struct vm *vm;
	struct vcpu *v;
	u32 *result;
};

FIXTURE_SETUP(modes)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->result = (u32 *)(self->vm->low + RESULT);
}

FIXTURE_TEARDOWN(modes)
{
}

asm(".pushsection .rodata\n.code16\n"
    "real_start:\n"
    "	mov $0x1234, %ax\n"
    "	mov %ax, %ds\n"
    "	movl $0x55667788, (0x10)\n"		/* 0x12350 */
    "	mov $0xffff, %ax\n"
    "	mov %ax, %es\n"
    "	movb $0x5a, %es:(0x20)\n"		/* 0x100010: above 1 MiB */
    "	xor %ax, %ax\n"
    "	mov %ax, %ds\n"
    "	mov $0x7000, %sp\n"
    "	mov %ax, %ss\n"
    "	int $0x21\n"
    "	movw %bx, (0x600)\n"
    "	movw %sp, (0x602)\n"
    "	lcallw $0x0800, $0x1000 + (9f - real_start)\n"	/* same place, other CS */
    "	movw %cx, (0x604)\n"
    "	mov $0x600, %di\n"
    "	add $8, %di\n"
    "	mov %ax, %es\n"
    "	mov $4, %cx\n"
    "	mov $0xaa, %al\n"
    "	rep stosb\n"
    "	movl %esp, (0x610)\n"
    "	divb (0x60f)\n"				/* by zero */
    "	hlt\n"
    "9:	mov %cs, %cx\n"
    "	lretw\n"
    "real_int21:\n"
    "	mov $0xbeef, %bx\n"
    "	iretw\n"
    "real_div:\n"
    "	movl $0xd1d1d1d1, (0x614)\n"
    "	hlt\n"
    "real_end:\n"
    ".code64\n.popsection\n");
extern const char real_int21[], real_div[];

/* What real_start's INT uses: the vector and the stack. */
asm(".pushsection .rodata\n.code16\n"
    "touch_start:\n"
    "	movw (0x84), %ax\n"
    "	movw %ax, (0x6ffe)\n"
    "	hlt\n"
    "touch_end:\n"
    ".code64\n.popsection\n");

TEST_F(modes, real)
{
	extern const char real_start[];
	u16 *ivt = (u16 *)self->vm->low;

	ivt[0x21 * 2] = CODE + (real_int21 - real_start);
	ivt[0] = CODE + (real_div - real_start);
	/*
	 * Bochs's INT does not set EXITINTINFO: after a nested page fault in its delivery the
	 * hypervisor delivers whatever event has been there before.
	 */
	if (test_bochs_svm) {
		vm_blob(self->vm, CODE, touch);
		vcpu_mode(self->v, MODE_REAL, CODE);
		ASSERT_RUN(KVM_EXIT_HLT, self->v);
	}
	vm_blob(self->vm, CODE, real);
	vcpu_mode(self->v, MODE_REAL, CODE);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0x55667788, *(u32 *)(self->vm->low + 0x12350));
	EXPECT_EQ(0x5a, self->vm->low[0x100010]);
	EXPECT_EQ(0x7000beef, self->result[0]);
	EXPECT_EQ(0x0800, (u16)self->result[1]);
	EXPECT_EQ(0xaaaaaaaa, self->result[2]);
	EXPECT_EQ(0x7000, (u16)self->result[4]);
	EXPECT_EQ(0xd1d1d1d1, self->result[5]);
}

/* The same bytes mean operands of other sizes in 16-bit and 32-bit segments. */
asm(".pushsection .rodata\n.code32\n"
    "size_start:\n"
    "	mov $0x11111111, %eax\n"	/* 16-bit: mov $0x1111, %ax; adc %dx, (%bx,%di) */
    "	hlt\n"
    "size_end:\n"
    ".code64\n.popsection\n");

TEST_F(modes, operand_size)
{
	struct kvm_regs r;

	vm_blob(self->vm, CODE, size);
	vcpu_mode(self->v, MODE_PROT32, CODE);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0x11111111, vcpu_regs(self->v).rax);
	EXPECT_EQ(CODE + 6, vcpu_regs(self->v).rip);

	vcpu_mode(self->v, MODE_PROT16, CODE);
	r = vcpu_regs(self->v);
	r.rbx = 0x600;
	r.rdi = r.rdx = 0;
	vcpu_set_regs(self->v, r);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0x1111, vcpu_regs(self->v).rax);
}

/* 32-bit code: reads through DS at EBX, traps a UD2, tells, stops. */
asm(".pushsection .rodata\n.code32\n"
    "prot_start:\n"
    "	mov (%ebx), %eax\n"
    "	mov %eax, (0x600)\n"
    "	ud2\n"
    "	movl $0x600d, (0x604)\n"
    "	hlt\n"
    "prot_end:\n"
    ".code64\n.popsection\n");

static void run_prot(struct __test_metadata *_metadata, struct vcpu *v, u64 from, u32 want)
{
	u32 *result = (u32 *)(v->vm->low + RESULT);
	struct kvm_regs r = vcpu_regs(v);
	struct trap_frame32 *f;

	result[0] = result[1] = 0;
	r.rbx = from;
	vcpu_set_regs(v, r);
	ASSERT_RUN(UC_TRAP32, v);
	f = (struct trap_frame32 *)(v->vm->low + v->sync);
	EXPECT_EQ(VEC_UD, f->vec);
	EXPECT_EQ(CODE + 7, f->eip);
	f->eip += 2;
	ASSERT_RUN(KVM_EXIT_HLT, v);
	EXPECT_EQ(want, result[0]);
	EXPECT_EQ(0x600d, result[1]);
}

TEST_F(modes, protected)
{
	vm_blob(self->vm, CODE, prot);
	*(u32 *)(self->vm->low + 0x20000) = 0xcafe0001;
	vcpu_mode(self->v, MODE_PROT32, CODE);
	run_prot(_metadata, self->v, 0x20000, 0xcafe0001);
}

asm(".pushsection .rodata\n.code32\n"
    "activate_start:\n"
    "	mov %ebx, %cr0\n"
    "	hlt\n"
    "activate_end:\n"
    ".code64\n.popsection\n");

/*
 * "Initializing IA-32e Mode": "if the TR contains a 16-bit TSS", MOV CR0 is a #GP; with one of 32
 * bits it is not.
 */
TEST_F(modes, long_mode_with_a_16bit_tss)
{
	struct trap_frame32 *f;
	struct kvm_sregs s;
	struct kvm_regs r;

	if (!host_is_intel())
		SKIP(return, "not among AMD's consistency checks");
	if (is_kvm())
		SKIP(return, "KVM makes it a 64-bit TSS");
	vm_blob(self->vm, CODE, activate);
	vcpu_mode(self->v, MODE_PROT32, CODE);
	s = vcpu_sregs(self->v);
	s.cr3 = (uintptr_t)guest_pml4;
	s.cr4 |= X86_CR4_PAE;
	s.efer |= EFER_LME;
	s.tr.type = 3;
	vcpu_set_sregs(self->v, s);
	r = vcpu_regs(self->v);
	r.rbx = s.cr0 | X86_CR0_PG;
	vcpu_set_regs(self->v, r);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->vm->low + self->v->sync);
	EXPECT_EQ(VEC_GP, f->vec);
	EXPECT_EQ(CODE, f->eip);
	EXPECT_EQ(0, vcpu_sregs(self->v).efer & EFER_LMA);

	s.tr.type = 11;
	vcpu_set_sregs(self->v, s);
	vcpu_set_regs(self->v, r);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(EFER_LMA, vcpu_sregs(self->v).efer & EFER_LMA);
}

/* 4M pages in a 32-bit page directory, one 4K table behind its own entry. */
TEST_F(modes, paging_32bit)
{
	u32 *pd = (u32 *)(self->vm->low + 0x100000), *pt = pd + 1024;
	struct kvm_sregs s;
	unsigned int i;

	for (i = 0; i < 4; i++)
		pd[i] = i << 22 | PTE_P | PTE_W | PTE_PS;
	pd[0x80000000 >> 22] = 0x101000 | PTE_P | PTE_W;
	pt[5] = 0x21000 | PTE_P | PTE_W;
	*(u32 *)(self->vm->low + 0x21008) = 0xcafe0002;

	vm_blob(self->vm, CODE, prot);
	vcpu_mode(self->v, MODE_PG32, CODE);
	s = vcpu_sregs(self->v);
	s.cr3 = 0x100000;
	s.cr0 |= X86_CR0_PG;
	vcpu_set_sregs(self->v, s);
	run_prot(_metadata, self->v, 0x80005008, 0xcafe0002);
	/* Accessed, as the processor leaves it. */
	EXPECT_EQ(PTE_A, pt[5] & (PTE_A | PTE_D));
}

TEST_F(modes, paging_pae)
{
	u64 *pdpt = (u64 *)(self->vm->low + 0x100000), *pd = pdpt + 512, *pt = pd + 512;
	struct kvm_sregs s;
	unsigned int i;

	pdpt[0] = 0x101000 | PTE_P;
	for (i = 0; i < 8; i++)
		pd[i] = i * PAGE_2M | PTE_P | PTE_W | PTE_PS;
	pd[8] = 0x102000 | PTE_P | PTE_W;
	pt[3] = 0x22000 | PTE_P | PTE_W;
	*(u32 *)(self->vm->low + 0x22010) = 0xcafe0003;

	vm_blob(self->vm, CODE, prot);
	vcpu_mode(self->v, MODE_PAE, CODE);
	s = vcpu_sregs(self->v);
	s.cr3 = 0x100000;
	s.cr0 |= X86_CR0_PG;
	vcpu_set_sregs(self->v, s);
	run_prot(_metadata, self->v, 8 * PAGE_2M + 0x3010, 0xcafe0003);
}

asm(".pushsection .rodata\n.code32\n"
    "compat_start:\n"
    "	mov (%ebx), %eax\n"
    "	mov %eax, (0x600)\n"
    "	ljmp $0x08, $compat64\n"
    "compat_end:\n"
    ".code64\n"
    "compat64:\n"
    "	movabs $0x1122334455667788, %rax\n"
    "	mov %rax, 0x608\n"
    "	hlt\n"
    ".popsection\n");

TEST_F(modes, compatibility)
{
	struct kvm_regs r;

	vm_blob(self->vm, CODE, compat);
	*(u32 *)(self->vm->low + 0x20000) = 0xcafe0004;
	vcpu_mode(self->v, MODE_COMPAT, CODE);
	r = vcpu_regs(self->v);
	r.rbx = 0x20000;
	vcpu_set_regs(self->v, r);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0xcafe0004, self->result[0]);
	EXPECT_EQ(0x1122334455667788, *(u64 *)&self->result[2]);
}

/* Real mode to protected, into a 32-bit segment, and all the way back. */
asm(".pushsection .rodata\n.code16\n"
    "switch_start:\n"
    "	lgdtl 0x9000 + (8f - switch_start)\n"
    "	mov %cr0, %eax\n"
    "	or $1, %al\n"
    "	mov %eax, %cr0\n"
    "	ljmpl $8, $0x9000 + (1f - switch_start)\n"
    ".code32\n"
    "1:	mov $16, %eax\n"
    "	mov %eax, %ds\n"
    "	mov %eax, %es\n"
    "	movl $0x32323232, (0x600)\n"
    "	movl $0x99, (0x300000)\n"
    "	ljmp $24, $0x9000 + (2f - switch_start)\n"
    ".code16\n"
    "2:	mov %cr0, %eax\n"
    "	and $0xfe, %al\n"
    "	mov %eax, %cr0\n"
    "	ljmp $0, $0x9000 + (3f - switch_start)\n"
    "3:	mov %cs, %ax\n"
    "	mov %ax, (0x604)\n"
    /* DS keeps its 4 GiB limit until it is loaded again ("big real mode"). */
    "	addr32 movl 0x300000, %ebx\n"
    "	mov %ebx, (0x608)\n"
    "	mov %ax, %ds\n"
    "	movw $0x7777, (0x60c)\n"
    "	hlt\n"
    "	.balign 8\n"
    "7:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00009b000000ffff\n"
    "8:	.word 31\n"
    "	.long 0x9000 + (7b - switch_start)\n"
    "switch_end:\n"
    ".code64\n.popsection\n");

TEST_F(modes, real_protected_real)
{
	vm_blob(self->vm, CODE, switch);
	vcpu_mode(self->v, MODE_REAL, CODE);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0x32323232, self->result[0]);
	EXPECT_EQ(0, (u16)self->result[1]);
	EXPECT_EQ(0x99, self->result[2]);
	EXPECT_EQ(0x7777, (u16)self->result[3]);
	EXPECT_EQ(0, vcpu_sregs(self->v).cr0 & X86_CR0_PE);
}

static void in_long_mode(u64 cpu)
{
	G_EQ(cpu, 0);
	G_EQ(rdmsr(MSR_EFER) & (EFER_LMA | EFER_LME), EFER_LMA | EFER_LME);
	guest_done();
}

TEST_F(modes, real_to_long)
{
	vm_add_trampoline(self->vm);
	guest_init_cpu(0);
	guest_ap_main = in_long_mode;
	vcpu_mode(self->v, MODE_REAL, TRAMPOLINE);
	ASSERT_DONE(self->v);
}

/* Long mode left through compatibility mode by clearing CR0.PG. */
asm(".pushsection .rodata\n.code32\n"
    "leave_start:\n"
    "	mov %cr0, %eax\n"
    "	btr $31, %eax\n"
    "	mov %eax, %cr0\n"
    "	mov $0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	mov %eax, (0x600)\n"
    "	btr $8, %eax\n"
    "	wrmsr\n"
    "	rdmsr\n"
    "	mov %eax, (0x604)\n"
    "	mov %cr4, %eax\n"
    "	btr $5, %eax\n"
    "	mov %eax, %cr4\n"
    "	hlt\n"
    "leave_end:\n"
    ".code64\n.popsection\n");

TEST_F(modes, leave_long_mode)
{
	struct kvm_sregs s;

	vm_blob(self->vm, CODE, leave);
	vcpu_mode(self->v, MODE_COMPAT, CODE);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(EFER_LME, self->result[0] & (EFER_LME | EFER_LMA));
	EXPECT_EQ(0, self->result[1] & (EFER_LME | EFER_LMA));
	s = vcpu_sregs(self->v);
	EXPECT_EQ(0, s.efer & (EFER_LME | EFER_LMA));
	EXPECT_EQ(0, s.cr0 & X86_CR0_PG);
	EXPECT_EQ(0, s.cr4 & X86_CR4_PAE);
}

/* The state that a vCPU has when it is made: the reset vector. */
TEST_F(modes, reset_state)
{
	struct vcpu *v = vcpu_create(self->vm, 1);
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_regs r = vcpu_regs(v);

	EXPECT_EQ(0xfff0, r.rip);
	EXPECT_EQ(2, r.rflags);
	EXPECT_EQ(0xf000, s.cs.selector);
	EXPECT_EQ(0xffff0000, s.cs.base);
	EXPECT_EQ(0xffff, s.cs.limit);
	EXPECT_EQ(0x60000010, s.cr0);
	EXPECT_EQ(0, s.cr4);
	EXPECT_EQ(0, s.efer);
	EXPECT_EQ(0xffff, s.idt.limit);
	EXPECT_EQ(0, s.ds.base);
	EXPECT_EQ(0xffff, s.ds.limit);
}

/* It fetches its first instruction 16 bytes below 4 GiB. */
TEST_F(modes, reset_vector)
{
	struct vm *vm = vm_create(0);
	u8 *rom = vm_add_mem(vm, FIRST_SLOT, 0, 0xffff0000, 0x10000);
	struct vcpu *v = vcpu_create(vm, 0);

	memcpy(rom + 0xfff0, "\xb8\x34\x12\xf4", 4);	/* mov $0x1234, %ax; hlt */
	ASSERT_RUN(KVM_EXIT_HLT, v);
	EXPECT_EQ(0x1234, vcpu_regs(v).rax);
	EXPECT_EQ(0xfff4, vcpu_regs(v).rip);
}

TEST_MAIN
