// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware task switches in 32-bit protected mode (SDM vol. 3, 'Task Management'): AMD's CPUs
 * carry them out under nested paging, Intel's leave them to the hypervisor.
 */
#include <stddef.h>
#include <string.h>
#include "harness.h"

#define CODE		0x9000
#define GDT		0x1000
#define GDT_SIZE	0x100
#define LDT		0x1800
#define TSS_A		0x2000	/* the task that begins */
#define TSS_B		0x2100	/* the one that it switches to */
#define TSS_C		0x2200	/* another, 16-bit */
#define TSS_D		0x2300	/* for faults and NMIs */
#define IDT		0x3000
#define STACK_B		0x5ff0
#define STACK_D		0x6ff0
#define STACK0_B	0x4ff0	/* for CPL 0 from above */
#define FAR_POINTER	0x600
#define MARK		0x20000	/* what the tests read or write */
#define DIR_A		0x100000
#define DIR_B		0x108000
#define VA		0x80000000	/* mapped to MARK for task B alone */
#define VA_NONE		0x90000000

/* Besides those of guest.h up to SEL_ABSENT. */
#define SEL_A		0x50
#define SEL_B		0x58
#define SEL_C		0x60
#define SEL_D		0x68
#define SEL_LDT		0x70
#define SEL_GATE	0x78	/* a task gate for B */
#define SEL_UCODE32	0x83
#define SEL_EXEC	0x88	/* code that cannot be read */
#define SEL_CODE_ABSENT	0x90
#define SEL_OLD_DATA	0x98	/* data not accessed yet */
#define SEL_BEYOND	(GDT_SIZE + 8)
#define SEL_LOCAL	(8 | 4)

#define TYPE_TSS16	0x81
#define TYPE_LDT	0x82
#define TYPE_GATE	0x85
#define TYPE_TSS	0x89
#define BUSY		2
#define FLAG_VM		BIT(17)
#define FLAG_NT		BIT(14)
#define DR6_BT		BIT(15)

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };
enum { ES, CS, SS, DS, FS, GS };

struct tss {
	u32 link, esp0, ss0, stacks[4], cr3, eip, eflags, gpr[8], sel[6], ldt;
	u16 trap, iomap;
};

struct tss16 {
	u16 link, stacks[6], ip, flags, gpr[8], sel[4], ldt;
};

struct gate32 {
	u16 off0, sel, flags, off1;
};

asm(".pushsection .rodata\n.code32\n"
    "task_start:\n"
    "do_jmp: ljmp *0x600\n"
    "after_jmp: hlt\n"
    "do_call: lcall *0x600\n"
    "after_call: hlt\n"
    "do_int: int $0x40\n"
    "after_int: hlt\n"
    "do_int3: int3\n"
    "after_int3: hlt\n"
    "do_gp: mov %ebx, %es\n"
    "	hlt\n"
    "do_iret: iret\n"
    "do_wait: sti\n"
    "	hlt\n"
    "	cli\n"
    "after_wait: hlt\n"
    "	hlt\n"
    "in_task: hlt\n"
    "	iret\n"
    "after_iret: hlt\n"
    "	jmp in_task\n"
    "in_handler: hlt\n"
    "	add $4, %esp\n"
    "	iret\n"
    "in_reader: mov (%ebx), %eax\n"
    "	hlt\n"
    "in_writer: mov %eax, (%ebx)\n"
    "	hlt\n"
    "do_touch: lock orb $0, (%ebx)\n"
    "	add $0x1000, %ebx\n"
    "	cmp $0x110000, %ebx\n"
    "	jb do_touch\n"
    "	mov (%ecx), %eax\n"
    "	hlt\n"
    ".code16\n"
    "in_vm86: mov %ax, (0x10)\n"
    "after_vm86: hlt\n"
    "task_end:\n"
    ".code64\n.popsection\n");
extern const char task_start[], do_jmp[], after_jmp[], do_call[], after_call[], do_int[],
	after_int[], do_int3[], after_int3[], do_gp[], do_iret[], do_wait[], after_wait[],
	in_task[], after_iret[], in_handler[], in_reader[], in_writer[], do_touch[], in_vm86[],
	after_vm86[];
#define AT(label)	(CODE + (u32)((label) - task_start))

/* KVM carries them out, and not the CPU (QEMU's has no intercept for them). */
static bool by_kvm(void)
{
	return is_kvm() && !host_is_tcg();
}

FIXTURE(task) {
	struct vm *vm;
	struct vcpu *v;
	u8 *low;
	u64 *gdt;
	struct gate32 *idt;
	struct tss *a, *b, *d;
	struct tss16 *c;
	enum cpu_mode mode;
};

FIXTURE_VARIANT(task) {
	enum cpu_mode mode;
};

FIXTURE_VARIANT_ADD(task, flat) { .mode = MODE_PROT32 };
FIXTURE_VARIANT_ADD(task, paging_32bit) { .mode = MODE_PG32 };
FIXTURE_VARIANT_ADD(task, paging_pae) { .mode = MODE_PAE };

static u64 descriptor(u32 base, u32 limit, u8 type, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)type << 40 |
	       (u64)(limit >> 16 & 0xf) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static u8 type_of(u64 *gdt, u16 sel)
{
	return gdt[sel / 8] >> 40;
}

static void fill_tss(struct tss *t, const char *eip, u32 esp, u32 seed)
{
	unsigned int i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < 8; i++)
		t->gpr[i] = seed + i;
	t->gpr[ESP] = esp;
	t->eip = AT(eip);
	t->eflags = FLAG_FIXED | FLAG_CF;
	for (i = 0; i < 6; i++)
		t->sel[i] = i == CS ? SEL_CODE32 : SEL_DATA;
	t->esp0 = STACK0_B;
	t->ss0 = SEL_DATA;
	t->cr3 = DIR_B;
	t->iomap = sizeof(*t);
}

/* The same for both tasks, but VA. */
static void fill_tables(u8 *low, enum cpu_mode mode)
{
	u32 *a = (u32 *)(low + DIR_A), *b = (u32 *)(low + DIR_B);
	u64 *pdpt = (u64 *)(low + DIR_A), *pd = pdpt + 512, *pdpt_b = (u64 *)(low + DIR_B);
	unsigned int i;

	if (mode == MODE_PG32) {
		for (i = 0; i < HIGH_GPA >> 22; i++)
			a[i] = b[i] = i << 22 | PTE_P | PTE_W | PTE_U | PTE_PS;
		b[VA >> 22] = (DIR_B + 0x1000) | PTE_P | PTE_W;
		b[1024] = MARK | PTE_P | PTE_W;
	} else if (mode == MODE_PAE) {
		for (i = 0; i < HIGH_GPA >> 21; i++)
			pd[i] = i * PAGE_2M | PTE_P | PTE_W | PTE_U | PTE_PS;
		pdpt[0] = pdpt_b[0] = (DIR_A + 0x1000) | PTE_P;
		pdpt_b[VA >> 30] = (DIR_B + 0x1000) | PTE_P;
		pdpt_b[512] = (DIR_B + 0x2000) | PTE_P | PTE_W;
		pdpt_b[1024] = MARK | PTE_P | PTE_W;
	}
}

/* Before the next run: task A at @label. */
static void start(struct vcpu *v, enum cpu_mode mode, const char *label)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	vcpu_mode(v, mode, AT(label));
	s = vcpu_sregs(v);
	s.gdt = (struct kvm_dtable) { GDT, GDT_SIZE - 1, {} };
	s.idt.base = IDT;
	s.tr = (struct kvm_segment) {
		.selector = SEL_A, .base = TSS_A, .limit = sizeof(struct tss) - 1, .type = 11,
		.present = 1,
	};
	if (mode != MODE_PROT32) {
		s.cr3 = DIR_A;
		s.cr0 |= X86_CR0_PG | X86_CR0_WP;
	}
	vcpu_set_sregs(v, s);
	r = vcpu_regs(v);
	r.rax = 0xa0;
	r.rcx = 0xa1;
	r.rdx = 0xa2;
	r.rbx = SEL_BEYOND;
	r.rbp = 0xa5;
	r.rsi = 0xa6;
	r.rdi = 0xa7;
	vcpu_set_regs(v, r);
}

FIXTURE_SETUP(task)
{
	struct guest_cpu *cpu = &guest_cpus[0];
	struct kvm_dtable idt;
	struct kvm_regs r;

	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->low = self->vm->low;
	self->mode = variant->mode;
	self->gdt = (u64 *)(self->low + GDT);
	self->a = (struct tss *)(self->low + TSS_A);
	self->b = (struct tss *)(self->low + TSS_B);
	self->c = (struct tss16 *)(self->low + TSS_C);
	self->d = (struct tss *)(self->low + TSS_D);
	guest_idt32(&idt);
	self->idt = (struct gate32 *)(self->low + IDT);
	memcpy(self->idt, (void *)(uintptr_t)idt.base, idt.limit + 1);

	guest_init_cpu(0);
	memcpy(self->gdt, cpu->gdt, SEL_A);
	self->gdt[SEL_A / 8] = descriptor(TSS_A, sizeof(struct tss) - 1, TYPE_TSS | BUSY, 0);
	self->gdt[SEL_B / 8] = descriptor(TSS_B, sizeof(struct tss) - 1, TYPE_TSS, 0);
	self->gdt[SEL_C / 8] = descriptor(TSS_C, sizeof(struct tss16) - 1, TYPE_TSS16, 0);
	self->gdt[SEL_D / 8] = descriptor(TSS_D, sizeof(struct tss) - 1, TYPE_TSS, 0);
	self->gdt[SEL_LDT / 8] = descriptor(LDT, 0xf, TYPE_LDT, 0);
	self->gdt[SEL_GATE / 8] = descriptor(SEL_B, 0, TYPE_GATE, 0);
	self->gdt[SEL_UCODE32 / 8] = descriptor(0, 0xfffff, 0xfb, 0xc);
	self->gdt[SEL_EXEC / 8] = descriptor(0, 0xfffff, 0x99, 0xc);
	self->gdt[SEL_CODE_ABSENT / 8] = descriptor(0, 0xfffff, 0x1b, 0xc);
	self->gdt[SEL_OLD_DATA / 8] = descriptor(0, 0xfffff, 0x92, 0xc);
	((u64 *)(self->low + LDT))[SEL_LOCAL / 8] = descriptor(MARK, 0xfff, 0x93, 0x4);
	fill_tss(self->a, "", 0, 0);
	self->a->cr3 = DIR_A;
	fill_tss(self->b, in_task, STACK_B, 0xb0000000);
	fill_tss(self->d, in_handler, STACK_D, 0xd0000000);
	fill_tables(self->low, self->mode);
	*(u32 *)(self->low + MARK) = 0xcafe0001;
	vm_blob(self->vm, CODE, task);

	/*
	 * No nested page faults: emulated CPUs do not undo what they have done of a task switch by
	 * then, and Bochs's INT does not set EXITINTINFO.
	 */
	start(self->v, MODE_PROT32, do_touch);
	r = vcpu_regs(self->v);
	r.rbx = 0;
	r.rcx = self->idt[VEC_GP].off0 | self->idt[VEC_GP].off1 << 16;
	vcpu_set_regs(self->v, r);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
}

FIXTURE_TEARDOWN(task)
{
}

static void set_far(u8 *low, u16 sel)
{
	*(u32 *)(low + FAR_POINTER) = 0x12345678;	/* plays no part */
	*(u16 *)(low + FAR_POINTER + 4) = sel;
}

static void set_gate(struct gate32 *idt, u8 vec, u16 sel)
{
	idt[vec] = (struct gate32) { .sel = sel, .flags = TYPE_GATE << 8 };
}

#define START(label)	start(self->v, self->mode, label)
#define RUN_TO_HLT(label) do {					\
	ASSERT_RUN(KVM_EXIT_HLT, self->v);			\
	ASSERT_EQ(AT(label) + 1, vcpu_regs(self->v).rip);	\
} while (0)
#define EXPECT_TASK(sel_)	EXPECT_EQ(sel_, vcpu_sregs(self->v).tr.selector)

/* The registers are those of the TSS, but for EIP, behind a HLT now. */
static void expect_loaded(struct __test_metadata *_metadata, struct vcpu *v,
			  const struct tss *t, u32 more_flags)
{
	struct kvm_regs r = vcpu_regs(v);
	struct kvm_sregs s = vcpu_sregs(v);

	EXPECT_EQ(t->gpr[EAX], r.rax);
	EXPECT_EQ(t->gpr[ECX], r.rcx);
	EXPECT_EQ(t->gpr[EDX], r.rdx);
	EXPECT_EQ(t->gpr[EBX], r.rbx);
	EXPECT_EQ(t->gpr[ESP], r.rsp);
	EXPECT_EQ(t->gpr[EBP], r.rbp);
	EXPECT_EQ(t->gpr[ESI], r.rsi);
	EXPECT_EQ(t->gpr[EDI], r.rdi);
	EXPECT_EQ(t->eflags | more_flags, r.rflags & ~FLAG_RF);
	EXPECT_EQ(t->sel[ES], s.es.selector);
	EXPECT_EQ(t->sel[CS], s.cs.selector);
	EXPECT_EQ(t->sel[SS], s.ss.selector);
	EXPECT_EQ(t->sel[DS], s.ds.selector);
	EXPECT_EQ(t->sel[FS], s.fs.selector);
	EXPECT_EQ(t->sel[GS], s.gs.selector);
	EXPECT_EQ(X86_CR0_TS, s.cr0 & X86_CR0_TS);
	if (s.cr0 & X86_CR0_PG)
		EXPECT_EQ(t->cr3, s.cr3);
}

/* Task A's registers, as start() left them, are in its TSS. */
static void expect_saved(struct __test_metadata *_metadata, const struct tss *t,
			 const char *eip)
{
	EXPECT_EQ(AT(eip), t->eip);
	EXPECT_EQ(FLAG_FIXED, t->eflags & ~FLAG_RF);
	EXPECT_EQ(0xa0, t->gpr[EAX]);
	EXPECT_EQ(0xa1, t->gpr[ECX]);
	EXPECT_EQ(0xa2, t->gpr[EDX]);
	EXPECT_EQ(SEL_BEYOND, t->gpr[EBX]);
	EXPECT_EQ(0x7ff0, t->gpr[ESP]);
	EXPECT_EQ(0xa5, t->gpr[EBP]);
	EXPECT_EQ(0xa6, t->gpr[ESI]);
	EXPECT_EQ(0xa7, t->gpr[EDI]);
	EXPECT_EQ(SEL_DATA, (u16)t->sel[ES]);
	EXPECT_EQ(SEL_CODE32, (u16)t->sel[CS]);
	EXPECT_EQ(SEL_DATA, (u16)t->sel[SS]);
	EXPECT_EQ(SEL_DATA, (u16)t->sel[GS]);
	/* Not saved: the task's own to change. */
	EXPECT_EQ(DIR_A, t->cr3);
}

TEST_F(task, jmp)
{
	set_far(self->low, SEL_B);
	self->b->link = 0x1234;
	START(do_jmp);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_B);
	expect_loaded(_metadata, self->v, self->b, 0);
	expect_saved(_metadata, self->a, after_jmp);
	EXPECT_EQ(TYPE_TSS, type_of(self->gdt, SEL_A));
	EXPECT_EQ(TYPE_TSS | BUSY, type_of(self->gdt, SEL_B));
	EXPECT_EQ(0x1234, self->b->link);
	EXPECT_EQ(11, vcpu_sregs(self->v).tr.type);
}

TEST_F(task, call_and_iret)
{
	set_far(self->low, SEL_B);
	START(do_call);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_B);
	expect_loaded(_metadata, self->v, self->b, FLAG_NT);
	expect_saved(_metadata, self->a, after_call);
	EXPECT_EQ(TYPE_TSS | BUSY, type_of(self->gdt, SEL_A));
	EXPECT_EQ(TYPE_TSS | BUSY, type_of(self->gdt, SEL_B));
	EXPECT_EQ(SEL_A, (u16)self->b->link);

	RUN_TO_HLT(after_call);
	EXPECT_TASK(SEL_A);
	expect_loaded(_metadata, self->v, self->a, 0);
	EXPECT_EQ(TYPE_TSS | BUSY, type_of(self->gdt, SEL_A));
	EXPECT_EQ(TYPE_TSS, type_of(self->gdt, SEL_B));
	EXPECT_EQ(AT(after_iret), self->b->eip);
	EXPECT_EQ(FLAG_FIXED | FLAG_CF, self->b->eflags);

	/* Where it stopped, it goes on. */
	START(do_call);
	RUN_TO_HLT(after_iret);
	EXPECT_TASK(SEL_B);
}

TEST_F(task, gate_in_gdt)
{
	set_far(self->low, SEL_GATE);
	START(do_call);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_B);
	expect_saved(_metadata, self->a, after_call);
	RUN_TO_HLT(after_call);
}

TEST_F(task, sixteen_bit)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	unsigned int i;

	if (by_kvm())
		SKIP(return, "KVM saves the old task in the format of the new one's TSS");
	*self->c = (struct tss16) {
		.ip = AT(in_task), .flags = FLAG_FIXED | FLAG_ZF,
		.sel = { SEL_DATA, SEL_CODE32, SEL_DATA, SEL_DATA },
	};
	for (i = 0; i < 8; i++)
		self->c->gpr[i] = 0xc0 + i;
	self->c->gpr[ESP] = STACK_B;
	set_far(self->low, SEL_C);
	START(do_call);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_C);
	r = vcpu_regs(self->v);
	s = vcpu_sregs(self->v);
	/* The upper halves are nowhere written. */
	EXPECT_EQ(0xc0, (u16)r.rax);
	EXPECT_EQ(0xc1, (u16)r.rcx);
	EXPECT_EQ(STACK_B, (u16)r.rsp);
	EXPECT_EQ(0xc7, (u16)r.rdi);
	EXPECT_EQ(FLAG_FIXED | FLAG_ZF | FLAG_NT, (u16)r.rflags);
	EXPECT_EQ(3, s.tr.type);
	EXPECT_EQ(SEL_DATA, s.ds.selector);
	EXPECT_EQ(0, s.ldt.selector);
	EXPECT_EQ(SEL_A, self->c->link);
	if (self->mode != MODE_PROT32)
		EXPECT_EQ(DIR_A, s.cr3);
	expect_saved(_metadata, self->a, after_call);

	RUN_TO_HLT(after_call);
	expect_loaded(_metadata, self->v, self->a, 0);
	EXPECT_EQ(AT(after_iret), self->c->ip);
	EXPECT_EQ(FLAG_FIXED | FLAG_ZF, self->c->flags);
	EXPECT_EQ(0xc0, self->c->gpr[EAX]);
	EXPECT_EQ(0xc7, self->c->gpr[EDI]);
	EXPECT_EQ(SEL_DATA, self->c->sel[DS]);
	EXPECT_EQ(0, self->c->ldt);
	EXPECT_EQ(TYPE_TSS16, type_of(self->gdt, SEL_C));
}

/* ---- segments and address spaces ---- */

TEST_F(task, address_space)
{
	if (self->mode == MODE_PROT32)
		SKIP(return, "no paging");
	self->b->eip = AT(in_reader);
	self->b->gpr[EBX] = VA;
	set_far(self->low, SEL_B);
	START(do_jmp);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0xcafe0001, vcpu_regs(self->v).rax);
}

TEST_F(task, local_descriptors)
{
	struct kvm_sregs s;

	self->b->ldt = SEL_LDT;
	self->b->sel[DS] = SEL_LOCAL;
	self->b->sel[FS] = 0;
	self->b->sel[GS] = SEL_OLD_DATA;
	self->b->eip = AT(in_reader);
	self->b->gpr[EBX] = 0;
	set_far(self->low, SEL_B);
	START(do_jmp);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_EQ(0xcafe0001, vcpu_regs(self->v).rax);
	s = vcpu_sregs(self->v);
	EXPECT_EQ(SEL_LDT, s.ldt.selector);
	EXPECT_EQ(LDT, s.ldt.base);
	EXPECT_EQ(MARK, s.ds.base);
	EXPECT_EQ(0, s.fs.selector);
	EXPECT_EQ(1, s.fs.unusable);
	if (!host_is_tcg())	/* it does not set the accessed bit here */
		EXPECT_EQ(0x93, type_of(self->gdt, SEL_OLD_DATA));
}

TEST_F(task, user)
{
	struct trap_frame32 *f;

	self->b->sel[CS] = SEL_UCODE32;
	self->b->sel[SS] = self->b->sel[DS] = self->b->sel[ES] = SEL_UDATA;
	self->b->sel[FS] = self->b->sel[GS] = 0;
	set_far(self->low, SEL_B);
	START(do_jmp);
	/* HLT is not for it. */
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(VEC_GP, f->vec);
	EXPECT_EQ(0, f->err);
	EXPECT_EQ(AT(in_task), f->eip);
	EXPECT_EQ(SEL_UCODE32, (u16)f->cs);
	/* On the stack that its TSS has for CPL 0: SS and ESP come before the rest. */
	EXPECT_EQ(STACK0_B - 8 - sizeof(*f), self->v->sync);
}

TEST_F(task, virtual_8086)
{
	struct trap_frame32 *f;
	u32 *vm;

	self->b->eflags = FLAG_FIXED | FLAG_VM | 3 << 12;
	self->b->sel[CS] = CODE >> 4;
	self->b->sel[DS] = MARK >> 4;
	self->b->sel[SS] = self->b->sel[ES] = 0;
	self->b->sel[FS] = 0x1234;
	self->b->eip = in_vm86 - task_start;
	self->b->gpr[EAX] = 0x8086;
	set_far(self->low, SEL_B);
	START(do_jmp);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(VEC_GP, f->vec);
	EXPECT_EQ(after_vm86 - task_start, f->eip);
	EXPECT_EQ(CODE >> 4, (u16)f->cs);
	EXPECT_EQ(FLAG_VM, f->flags & FLAG_VM);
	EXPECT_EQ(0x8086, *(u16 *)(self->low + MARK + 0x10));
	vm = &f->flags + 1;	/* ESP, SS, ES, DS, FS */
	EXPECT_EQ(STACK_B, vm[0]);
	EXPECT_EQ(MARK >> 4, (u16)vm[3]);
	EXPECT_EQ(0x1234, (u16)vm[4]);
}

/* ---- through the IDT ---- */

TEST_F(task, int_n)
{
	if (is_kvm() && test_bochs_svm)
		SKIP(return, "Bochs does not tell KVM of the INT n, which KVM does not skip then");
	set_gate(self->idt, 0x40, SEL_B);
	START(do_int);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_B);
	expect_loaded(_metadata, self->v, self->b, FLAG_NT);
	expect_saved(_metadata, self->a, after_int);
	EXPECT_EQ(SEL_A, (u16)self->b->link);
	RUN_TO_HLT(after_int);
	EXPECT_TASK(SEL_A);
}

TEST_F(task, int3)
{
	set_gate(self->idt, VEC_BP, SEL_B);
	START(do_int3);
	RUN_TO_HLT(in_task);
	expect_saved(_metadata, self->a, after_int3);
	RUN_TO_HLT(after_int3);
}

TEST_F(task, fault_with_error_code)
{
	set_gate(self->idt, VEC_GP, SEL_D);
	START(do_gp);
	RUN_TO_HLT(in_handler);
	EXPECT_TASK(SEL_D);
	expect_saved(_metadata, self->a, do_gp);
	if (!host_is_tcg())	/* a fault's saved flags have RF, which it forgets */
		EXPECT_EQ(FLAG_RF, self->a->eflags & FLAG_RF);
	EXPECT_EQ(STACK_D - 4, vcpu_regs(self->v).rsp);
	EXPECT_EQ(SEL_BEYOND, *(u32 *)(self->low + STACK_D - 4));
	EXPECT_EQ(SEL_A, (u16)self->d->link);
	/* Mends it, and goes back to the instruction that faulted. */
	self->a->gpr[EBX] = SEL_DATA;
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	EXPECT_TASK(SEL_A);
	EXPECT_EQ(AT(do_gp) + 3, vcpu_regs(self->v).rip);
	EXPECT_EQ(self->a->gpr[ESP], vcpu_regs(self->v).rsp);
	EXPECT_EQ(TYPE_TSS, type_of(self->gdt, SEL_D));
}

/* The fault's error code is no other switch's. */
TEST_F(task, jmp_from_handler)
{
	set_gate(self->idt, VEC_GP, SEL_D);
	self->d->eip = AT(do_jmp);
	set_far(self->low, SEL_B);
	START(do_gp);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_B);
	expect_loaded(_metadata, self->v, self->b, 0);
}

TEST_F(task, double_fault)
{
	self->idt[VEC_GP].flags = 0;	/* not present: #NP upon #GP */
	set_gate(self->idt, VEC_DF, SEL_D);
	START(do_gp);
	RUN_TO_HLT(in_handler);
	EXPECT_TASK(SEL_D);
	EXPECT_EQ(STACK_D - 4, vcpu_regs(self->v).rsp);
	EXPECT_EQ(0, *(u32 *)(self->low + STACK_D - 4));
}

TEST_F(task, interrupt)
{
	struct kvm_interrupt irq = { .irq = 0x41 };

	set_gate(self->idt, 0x41, SEL_B);
	START(do_wait);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	must(self->v->fd, KVM_INTERRUPT, &irq);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_B);
	EXPECT_EQ(FLAG_IF, self->a->eflags & FLAG_IF);
	/* Once. */
	RUN_TO_HLT(after_wait);
	EXPECT_TASK(SEL_A);
}

TEST_F(task, nmi)
{
	struct kvm_vcpu_events e;

	set_gate(self->idt, VEC_NMI, SEL_B);
	START(do_wait);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	must(self->v->fd, KVM_NMI, 0);
	RUN_TO_HLT(in_task);
	EXPECT_TASK(SEL_B);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.masked);
	EXPECT_EQ(0, e.nmi.injected);
	RUN_TO_HLT(after_wait);
	EXPECT_TASK(SEL_A);
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.masked);
	/* The next one. */
	must(self->v->fd, KVM_NMI, 0);
	RUN_TO_HLT(after_iret);
	EXPECT_TASK(SEL_B);
}

/* ---- debugging ---- */

TEST_F(task, debug_trap)
{
	struct trap_frame32 *f;
	struct kvm_debugregs d;

	if (host_is_tcg() || by_kvm())
		SKIP(return, "neither QEMU's TCG nor KVM knows of the T flag");
	self->b->trap = 1;
	set_far(self->low, SEL_B);
	START(do_jmp);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(VEC_DB, f->vec);
	EXPECT_EQ(AT(in_task), f->eip);
	EXPECT_TASK(SEL_B);
	must(self->v->fd, KVM_GET_DEBUGREGS, &d);
	/* Bochs's #DB intercept does not give the cause in DR6. */
	if (!test_bochs)
		EXPECT_EQ(DR6_BT, d.dr6 & DR6_BT);
	RUN_TO_HLT(in_task);
}

TEST_F(task, local_breakpoints)
{
	struct kvm_debugregs d;

	set_far(self->low, SEL_B);
	START(do_jmp);
	must(self->v->fd, KVM_GET_DEBUGREGS, &d);
	d.db[0] = d.db[1] = AT(in_writer);
	d.dr7 = 0x400 | 1 | 8;	/* L0, G1 */
	must(self->v->fd, KVM_SET_DEBUGREGS, &d);
	RUN_TO_HLT(in_task);
	must(self->v->fd, KVM_GET_DEBUGREGS, &d);
	if (!is_kvm() || by_kvm())	/* which shows what it has written itself */
		EXPECT_EQ(0x400 | 8, d.dr7);
}

/* ---- faults that the old task gets ---- */

#define LOST	"KVM loses exceptions that its emulation of task switches raises"

static void expect_fault(struct __test_metadata *_metadata, FIXTURE_DATA(task) *self,
			 const char *label, u8 vec, u32 err)
{
	struct trap_frame32 *f;
	struct kvm_sregs s;

	START(label);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(vec, f->vec);
	EXPECT_EQ(err, f->err);
	EXPECT_EQ(AT(label), f->eip);
	EXPECT_EQ(0xa0, f->eax);
	s = vcpu_sregs(self->v);
	EXPECT_EQ(SEL_A, s.tr.selector);
	EXPECT_EQ(0, s.cr0 & X86_CR0_TS);
	EXPECT_EQ(TYPE_TSS | BUSY, type_of(self->gdt, SEL_A));
}
#define EXPECT_FAULT(label, vec, err)	expect_fault(_metadata, self, label, vec, err)

TEST_F(task, tss_absent)
{
	self->gdt[SEL_B / 8] &= ~BIT(47);
	set_far(self->low, SEL_B);
	EXPECT_FAULT(do_jmp, VEC_NP, SEL_B);
	EXPECT_FAULT(do_call, VEC_NP, SEL_B);
	/* No EXT for INT n. */
	set_gate(self->idt, 0x40, SEL_B);
	EXPECT_FAULT(do_int, VEC_NP, SEL_B);
}

TEST_F(task, tss_small)
{
	self->gdt[SEL_B / 8] = descriptor(TSS_B, 0x66, TYPE_TSS, 0);
	set_far(self->low, SEL_B);
	EXPECT_FAULT(do_jmp, VEC_TS, SEL_B);
	self->gdt[SEL_C / 8] = descriptor(TSS_C, 0x2a, TYPE_TSS16, 0);
	set_far(self->low, SEL_C);
	EXPECT_FAULT(do_call, VEC_TS, SEL_C);
}

TEST_F(task, tss_busy)
{
	self->gdt[SEL_B / 8] |= (u64)BUSY << 40;
	set_far(self->low, SEL_B);
	EXPECT_FAULT(do_jmp, VEC_GP, SEL_B);
	set_far(self->low, SEL_A);
	EXPECT_FAULT(do_call, VEC_GP, SEL_A);
}

TEST_F(task, tss_beyond_gdt)
{
	set_far(self->low, SEL_GATE);
	self->gdt[SEL_GATE / 8] = descriptor(SEL_BEYOND, 0, TYPE_GATE, 0);
	EXPECT_FAULT(do_call, VEC_GP, SEL_BEYOND);
	self->gdt[SEL_GATE / 8] = descriptor(SEL_DATA, 0, TYPE_GATE, 0);
	EXPECT_FAULT(do_call, VEC_GP, SEL_DATA);
}

/* IRET with NT set and a back link to no task that waits. */
static void start_iret(FIXTURE_DATA(task) *self)
{
	struct kvm_regs r;

	START(do_iret);
	r = vcpu_regs(self->v);
	r.rflags |= FLAG_NT;
	vcpu_set_regs(self->v, r);
}

TEST_F(task, iret_to_none)
{
	static const u16 links[] = { SEL_B, SEL_DATA, SEL_BEYOND, SEL_LOCAL };
	struct trap_frame32 *f;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(links); i++) {
		self->a->link = links[i];
		start_iret(self);
		ASSERT_RUN(UC_TRAP32, self->v);
		f = (struct trap_frame32 *)(self->low + self->v->sync);
		EXPECT_EQ(VEC_TS, f->vec);
		EXPECT_EQ(links[i], f->err);
		EXPECT_EQ(AT(do_iret), f->eip);
		EXPECT_TASK(SEL_A);
	}
}

/* An event's delivery that fails is the event's fault: EXT, and a double fault upon a fault. */
TEST_F(task, gate_to_absent)
{
	struct kvm_interrupt irq = { .irq = 0x41 };
	struct trap_frame32 *f;

	self->gdt[SEL_B / 8] &= ~BIT(47);
	set_gate(self->idt, 0x41, SEL_B);
	START(do_wait);
	ASSERT_RUN(KVM_EXIT_HLT, self->v);
	must(self->v->fd, KVM_INTERRUPT, &irq);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(VEC_NP, f->vec);
	/* QEMU's TCG does not set EXT. */
	EXPECT_EQ(SEL_B | 1, f->err | host_is_tcg());

	set_gate(self->idt, VEC_GP, SEL_B);
	START(do_gp);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(VEC_DF, f->vec);
	EXPECT_EQ(0, f->err);
	EXPECT_EQ(AT(do_gp), f->eip);
}

TEST_F(task, tss_not_mapped)
{
	struct trap_frame32 *f;

	if (self->mode == MODE_PROT32)
		SKIP(return, "no paging");
	if (by_kvm())
		SKIP(return, LOST);
	self->gdt[SEL_B / 8] = descriptor(VA_NONE, sizeof(struct tss) - 1, TYPE_TSS, 0);
	set_far(self->low, SEL_B);
	START(do_call);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(VEC_PF, f->vec);
	EXPECT_EQ(0, f->err & ~PF_W);
	EXPECT_EQ(AT(do_call), f->eip);
	EXPECT_EQ(VA_NONE, vcpu_sregs(self->v).cr2 & ~0xfffULL);
	EXPECT_TASK(SEL_A);
	EXPECT_EQ(TYPE_TSS, type_of(self->gdt, SEL_B));
}

/* ---- faults that the new task gets: a task of its own handles them ---- */

static void expect_new_fault(struct __test_metadata *_metadata, FIXTURE_DATA(task) *self,
			     u8 vec, u32 err)
{
	if (by_kvm())
		SKIP(return, LOST);
	set_gate(self->idt, vec, SEL_D);
	set_far(self->low, SEL_B);
	START(do_jmp);
	RUN_TO_HLT(in_handler);
	EXPECT_TASK(SEL_D);
	EXPECT_EQ(err, *(u32 *)(self->low + STACK_D - 4));
	EXPECT_EQ(SEL_B, (u16)self->d->link);
	EXPECT_EQ(TYPE_TSS, type_of(self->gdt, SEL_A));
	EXPECT_EQ(TYPE_TSS | BUSY, type_of(self->gdt, SEL_B));
	if (!host_is_tcg())	/* it has the old task's */
		EXPECT_EQ(AT(in_task), self->b->eip);
	EXPECT_EQ(0xb0000000, self->b->gpr[EAX]);
	EXPECT_EQ(STACK_B, self->b->gpr[ESP]);
	expect_saved(_metadata, self->a, after_jmp);
}

#define NEW_FAULT_TEST(name, field, value, vec, err)			\
TEST_F(task, name)							\
{									\
	self->b->field = value;						\
	expect_new_fault(_metadata, self, vec, err);			\
}

NEW_FAULT_TEST(bad_ldt, ldt, SEL_DATA, VEC_TS, SEL_DATA)
NEW_FAULT_TEST(bad_cs_null, sel[CS], 0, VEC_TS, 0)
NEW_FAULT_TEST(bad_cs_data, sel[CS], SEL_DATA, VEC_TS, SEL_DATA)
NEW_FAULT_TEST(bad_cs_absent, sel[CS], SEL_CODE_ABSENT, VEC_NP, SEL_CODE_ABSENT)
NEW_FAULT_TEST(bad_ss_null, sel[SS], 0, VEC_TS, 0)
NEW_FAULT_TEST(bad_ss_code, sel[SS], SEL_CODE32, VEC_TS, SEL_CODE32)
NEW_FAULT_TEST(bad_ss_privilege, sel[SS], SEL_UDATA, VEC_TS, SEL_UDATA & ~3)
NEW_FAULT_TEST(bad_ds_beyond, sel[DS], SEL_BEYOND, VEC_TS, SEL_BEYOND)
NEW_FAULT_TEST(bad_es_local, sel[ES], SEL_LOCAL, VEC_TS, SEL_LOCAL)
NEW_FAULT_TEST(bad_fs_unreadable, sel[FS], SEL_EXEC, VEC_TS, SEL_EXEC)
NEW_FAULT_TEST(bad_gs_absent, sel[GS], SEL_ABSENT, VEC_NP, SEL_ABSENT)

/* Its stack is for CPL 3, and it has no data segments: which is checked first is the CPU's choice. */
TEST_F(task, bad_cs_privilege)
{
	self->b->sel[CS] = SEL_CODE32 | 3;
	self->b->sel[SS] = SEL_UDATA;
	self->b->sel[DS] = self->b->sel[ES] = self->b->sel[FS] = self->b->sel[GS] = 0;
	expect_new_fault(_metadata, self, VEC_TS, SEL_CODE32);
}

TEST_F(task, bad_ss_absent)
{
	if (host_is_tcg())
		SKIP(return, "QEMU's TCG raises #NP");
	self->b->sel[SS] = SEL_ABSENT;
	expect_new_fault(_metadata, self, VEC_SS, SEL_ABSENT);
}

/* With code and stack in order, a gate of the ordinary kind will do. */
TEST_F(task, bad_ds_own_handler)
{
	struct trap_frame32 *f;

	if (by_kvm())
		SKIP(return, LOST);
	self->b->sel[DS] = SEL_BEYOND;
	set_far(self->low, SEL_B);
	START(do_jmp);
	ASSERT_RUN(UC_TRAP32, self->v);
	f = (struct trap_frame32 *)(self->low + self->v->sync);
	EXPECT_EQ(VEC_TS, f->vec);
	EXPECT_EQ(SEL_BEYOND, f->err);
	if (!host_is_tcg())
		EXPECT_EQ(AT(in_task), f->eip);
	EXPECT_EQ(SEL_CODE32, (u16)f->cs);
	EXPECT_TASK(SEL_B);
}

/* EIP beyond the new code segment. */
TEST_F(task, bad_eip)
{
	self->b->sel[CS] = SEL_CODE16;
	self->b->eip = 0x123456;
	self->gdt[SEL_CODE16 / 8] = descriptor(0, 0xffff, 0x9b, 4);
	set_gate(self->idt, VEC_GP, SEL_D);
	set_far(self->low, SEL_B);
	START(do_jmp);
	RUN_TO_HLT(in_handler);
	EXPECT_EQ(0, *(u32 *)(self->low + STACK_D - 4));
	EXPECT_EQ(SEL_B, (u16)self->d->link);
	if (!host_is_tcg())
		EXPECT_EQ(0x123456, self->b->eip);
}

TEST_F(task, bad_pdpte)
{
	if (self->mode != MODE_PAE)
		SKIP(return, "no PAE");
	if (!host_is_intel())
		SKIP(return, "under nested paging AMD's CPUs look at a PDPTE when they use it");
	if (by_kvm())
		SKIP(return, LOST);
	((u64 *)(self->low + DIR_B))[1] = PTE_P | BIT(1);	/* reserved */
	set_gate(self->idt, VEC_GP, SEL_D);
	self->d->cr3 = DIR_A;
	set_far(self->low, SEL_B);
	START(do_jmp);
	RUN_TO_HLT(in_handler);
	EXPECT_EQ(0, *(u32 *)(self->low + STACK_D - 4));
	EXPECT_EQ(SEL_B, (u16)self->d->link);
}

TEST_MAIN
