// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches of 32-bit protected mode, through a far jump and through a task gate. Both
 * vendors' CPUs leave them to the hypervisor.
 */
#include "harness.h"

#define CODE		0x9000
#define NEW_TSS		0x30000UL
#define SEL_NEW_TSS	0x60
#define GATE		0x40

struct tss32 {
	u16 link, r0;
	u32 stacks[6], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};

asm(".pushsection .rodata\n.code32\n"
    "jump_start:\n"
    "	mov $0x11223344, %ebx\n"
    "	ljmp $0x60, $0\n"
    "	hlt\n"
    "jump_end:\n"
    "gate_start:\n"
    "	mov $0x11223344, %ebx\n"
    "	int $0x40\n"
    "	str (0x608)\n"
    "	mov %ebx, (0x60c)\n"
    "	hlt\n"
    "gate_end:\n"
    "task_start:\n"
    "	str (0x600)\n"
    "	mov %ebx, (0x604)\n"
    "	pushf\n"
    "	popl (0x610)\n"
    "	iret\n"
    "task_end:\n"
    "stop_start:\n"
    "	str (0x600)\n"
    "	mov %ebx, (0x604)\n"
    "	hlt\n"
    "stop_end:\n"
    ".code64\n.popsection\n");

FIXTURE(task) {
	struct vm *vm;
	struct vcpu *v;
	u32 *result;
	struct tss32 *tss;
};

static u64 tss_desc(u64 base, u8 type)
{
	return (sizeof(struct tss32) - 1) | (base & 0xffffff) << 16 | 0x80ULL << 40 |
	       (u64)type << 40 | (base >> 24 & 0xff) << 56;
}

FIXTURE_SETUP(task)
{
	struct guest_cpu *cpu;
	struct kvm_dtable idt;

	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->result = (u32 *)(self->vm->low + 0x600);
	self->tss = (struct tss32 *)(self->vm->low + NEW_TSS);
	vcpu_mode(self->v, MODE_PROT32, CODE);
	cpu = &guest_cpus[self->v->index];
	cpu->gdt[SEL_TSS / 8] = tss_desc((uintptr_t)&cpu->tss, 11);
	cpu->gdt[SEL_NEW_TSS / 8] = tss_desc(NEW_TSS, 9);
	guest_idt32(&idt);
	/* A task gate has nothing but a selector. */
	((u64 *)(uintptr_t)idt.base)[GATE] = 0x0000850000000000 | (u64)SEL_NEW_TSS << 16;
	*self->tss = (struct tss32) {
		.eip = CODE + 0x800, .eflags = FLAG_FIXED, .ebx = 0x55667788, .esp = 0x6ff0,
		.es = SEL_DATA, .cs = SEL_CODE32, .ss = SEL_DATA, .ds = SEL_DATA,
		.fs = SEL_DATA, .gs = SEL_DATA, .iomap = sizeof(struct tss32),
	};
}

FIXTURE_TEARDOWN(task)
{
}

#define RUN_OR_SKIP() do {							\
	int r_ = guest_run(self->v);						\
										\
	if (r_ == KVM_EXIT_INTERNAL_ERROR && !is_kvm())				\
		SKIP(return, "keel does not switch tasks");			\
	ASSERT_EQ(KVM_EXIT_HLT, r_) vcpu_dump(self->v);				\
} while (0)

static u8 type_of(struct vcpu *v, u16 sel)
{
	return guest_cpus[v->index].gdt[sel / 8] >> 40 & 15;
}

TEST_F(task, far_jump)
{
	struct kvm_sregs s;

	vm_blob(self->vm, CODE, jump);
	vm_blob(self->vm, CODE + 0x800, stop);
	RUN_OR_SKIP();
	EXPECT_EQ(SEL_NEW_TSS, (u16)self->result[0]);
	EXPECT_EQ(0x55667788, self->result[1]);
	s = vcpu_sregs(self->v);
	EXPECT_EQ(SEL_NEW_TSS, s.tr.selector);
	EXPECT_EQ(NEW_TSS, s.tr.base);
	/* A jump ends the old task: it is not busy any more. */
	EXPECT_EQ(9, type_of(self->v, SEL_TSS));
	EXPECT_EQ(11, type_of(self->v, SEL_NEW_TSS));
	EXPECT_NE(0, s.cr0 & X86_CR0_TS);
}

TEST_F(task, task_gate)
{
	struct kvm_sregs s;

	vm_blob(self->vm, CODE, gate);
	vm_blob(self->vm, CODE + 0x800, task);
	RUN_OR_SKIP();
	EXPECT_EQ(SEL_NEW_TSS, (u16)self->result[0]);
	EXPECT_EQ(0x55667788, self->result[1]);
	/* Nested (NT), and linked to the old one, to which IRET goes back. */
	EXPECT_EQ(BIT(14), self->result[4] & BIT(14));
	EXPECT_EQ(SEL_TSS, self->tss->link);
	EXPECT_EQ(SEL_TSS, (u16)self->result[2]);
	EXPECT_EQ(0x11223344, self->result[3]);
	s = vcpu_sregs(self->v);
	EXPECT_EQ(SEL_TSS, s.tr.selector);
	EXPECT_EQ(11, type_of(self->v, SEL_TSS));
	EXPECT_EQ(9, type_of(self->v, SEL_NEW_TSS));
	EXPECT_EQ(0, vcpu_regs(self->v).rflags & BIT(14));
}

TEST_MAIN
