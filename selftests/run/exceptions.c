// SPDX-License-Identifier: GPL-2.0-only
/* Exceptions that the guest raises and takes itself, with their error codes. */
#include "harness.h"

#define VA	(1ULL << 39)

static volatile u64 seen_vec, seen_err, seen_rip, seen_cr2, seen_flags, seen_rsp;

static void note(struct trap_frame *f)
{
	seen_vec = f->vec;
	seen_err = f->err;
	seen_rip = f->rip;
	seen_flags = f->flags;
	seen_rsp = f->rsp;
	seen_cr2 = read_cr2();
}

FIXTURE(exceptions) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(exceptions)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(exceptions)
{
}

#define RUN_GUEST(fn) do {		\
	vcpu_long(self->v, fn, 0);	\
	ASSERT_DONE(self->v);		\
} while (0)

static void guest_stack_fault(void)
{
	register u64 vec asm("r9") = -1;

	asm volatile("mov %%rsp, %%rcx\n"
		     "mov %1, %%rbx\n"
		     "1: mov (%%rsp,%%rbx), %%rax\n2:\n" GUEST_FIXUP
		     : "+r"(vec) : "r"(1UL << 60) : "rax", "rbx", "rcx", "memory");
	/* QEMU's TCG raises #GP, whatever the segment. */
	G_ASSERT(vec == VEC_SS || vec == VEC_GP);
	G_EQ(g_err, 0);
	guest_done();
}

TEST_F(exceptions, stack_fault)
{
	RUN_GUEST(guest_stack_fault);
}

static void guest_simple(void)
{
	G_EQ(G_TRY("div %1", "r"(0UL)), VEC_DE);
	G_EQ(G_TRY("ud2"), VEC_UD);
	G_EQ(G_TRY("mov (%1), %%rax", "r"(1UL << 60)), VEC_GP);
	G_EQ(g_err, 0);
	G_EQ(G_TRY("lidt (%1)", "r"(1UL << 60)), VEC_GP);
	guest_done();
}

TEST_F(exceptions, de_ud_gp)
{
	RUN_GUEST(guest_simple);
}

static void guest_selectors(void)
{
	G_EQ(G_TRY("mov %1, %%ds", "r"(SEL_ABSENT)), VEC_NP);
	G_EQ(g_err, SEL_ABSENT);
	G_EQ(G_TRY("mov %1, %%ss", "r"(SEL_ABSENT)), VEC_SS);
	G_EQ(g_err, SEL_ABSENT);
	/* Past the end of the table. */
	G_EQ(G_TRY("mov %1, %%ds", "r"(0x1000)), VEC_GP);
	G_EQ(g_err, 0x1000);
	G_EQ(G_TRY("mov %1, %%ss", "r"(0)), -1);
	G_EQ(G_TRY("mov %1, %%ss", "r"(SEL_DATA)), -1);
	/* Loading a TSS makes it busy, and then it cannot be loaded again. */
	G_EQ(G_TRY("ltr %w1", "r"(SEL_TSS)), -1);
	G_EQ(G_TRY("ltr %w1", "r"(SEL_TSS)), VEC_GP);
	G_EQ(g_err, SEL_TSS);
	guest_done();
}

TEST_F(exceptions, selectors)
{
	RUN_GUEST(guest_selectors);
}

static void guest_int(void)
{
	u64 rsp;

	guest_handlers[VEC_BP] = note;
	asm volatile("int3; .globl after_int3; after_int3:" : : : "memory");
	extern const char after_int3[];
	G_EQ(seen_vec, VEC_BP);
	G_EQ(seen_rip, (uintptr_t)after_int3);

	guest_handlers[0x80] = note;
	asm volatile("mov %%rsp, %0; int $0x80; .globl after_int80; after_int80:"
		     : "=r"(rsp) : : "memory");
	extern const char after_int80[];
	G_EQ(seen_vec, 0x80);
	G_EQ(seen_rip, (uintptr_t)after_int80);
	G_EQ(seen_rsp, rsp);

	/* An interrupt gate clears IF, IRET brings it back. */
	guest_handlers[0x81] = note;
	sti();
	asm volatile("int $0x81" : : : "memory");
	G_EQ(read_flags() & FLAG_IF, FLAG_IF);
	G_EQ(seen_flags & FLAG_IF, FLAG_IF);
	cli();

	guest_done();
}

TEST_F(exceptions, int_n)
{
	RUN_GUEST(guest_int);
}

static u8 page[2 * PAGE] __attribute__((aligned(4096)));

static void guest_page_faults(void)
{
	G_EQ(G_TRY("mov (%1), %%rax", "r"(VA + 0x123)), VEC_PF);
	G_EQ(g_err, 0);
	G_EQ(g_cr2, VA + 0x123);
	G_EQ(G_TRY("movb $1, (%1)", "r"(VA + 0x456)), VEC_PF);
	G_EQ(g_err, PF_W);
	G_EQ(g_cr2, VA + 0x456);
	guest_map(VA, (uintptr_t)page, PAGE, PAGE, PTE_P | PTE_NX);
	G_EQ(G_TRY("mov (%1), %%rax", "r"(VA)), -1);
	G_EQ(G_TRY("movb $1, (%1)", "r"(VA + 8)), VEC_PF);
	G_EQ(g_err, PF_P | PF_W);
	/* Without CR0.WP the supervisor may. */
	write_cr0(read_cr0() & ~X86_CR0_WP);
	G_EQ(G_TRY("movb $1, (%1)", "r"(VA + 8)), -1);
	write_cr0(read_cr0() | X86_CR0_WP);
	/* A reserved bit. */
	*guest_pte(VA) |= 1ULL << 51;
	invlpg(VA);
	G_EQ(G_TRY("mov (%1), %%rax", "r"(VA)), VEC_PF);
	/* QEMU's TCG leaves P out. */
	G_EQ(g_err | PF_P, PF_P | PF_RSVD);
	guest_done();
}

TEST_F(exceptions, page_fault)
{
	RUN_GUEST(guest_page_faults);
}

static volatile u64 resume_at;

static void note_and_resume(struct trap_frame *f)
{
	note(f);
	f->rip = resume_at;
}

static void guest_nx(void)
{
	guest_map(VA, (uintptr_t)page, PAGE, PAGE, PTE_P | PTE_W | PTE_NX);
	page[0] = 0xc3;
	guest_handlers[VEC_PF] = note_and_resume;
	asm volatile("lea 1f(%%rip), %%rax; mov %%rax, resume_at(%%rip); push %%rax; jmp *%0\n"
		     "1: pop %%rax" : : "r"(VA) : "rax", "memory");
	G_EQ(seen_vec, VEC_PF);
	G_EQ(seen_err, PF_P | PF_I);
	G_EQ(seen_cr2, VA);
	guest_done();
}

TEST_F(exceptions, no_execute)
{
	RUN_GUEST(guest_nx);
}

static void guest_debug(void)
{
	/* Single step: after each instruction. */
	guest_handlers[VEC_DB] = note;
	write_dr6(0xffff0ff0);
	asm volatile("pushf; orl $0x100, (%%rsp); popf; nop; nop;"
		     "pushf; andl $~0x100, (%%rsp); popf" : : : "memory", "cc");
	G_EQ(seen_vec, VEC_DB);
	G_EQ(guest_irqs[VEC_DB], 5);
	G_EQ(read_dr6() & BIT(14), BIT(14));
	guest_done();
}

TEST_F(exceptions, debug)
{
	if (test_bochs_svm)
		SKIP(return, "Bochs's #DB intercept does not give the cause in DR6");
	RUN_GUEST(guest_debug);
}

/* Ring 3: alignment checks need it. */
static volatile u64 user_rsp;

static void leave_user(struct trap_frame *f)
{
	note(f);
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->flags = FLAG_FIXED;
	f->rip = resume_at;
	f->rsp = user_rsp;
}

#define USER_CODE	VA
#define USER_DATA	(VA + PAGE)

asm(".pushsection .rodata\n"
    "user_ac_start: mov %rsi, %rax; movl 1(%rax), %ecx; ud2\nuser_ac_end:\n"
    "user_gp_start: hlt\nuser_gp_end:\n"
    "user_int_start: int3; ud2\nuser_int_end:\n"
    "user_super_start: mov (%rdi), %rax; ud2\nuser_super_end:\n"
    ".popsection\n");

/* Runs user code until its first trap. RSI: user data, RDI: a supervisor page. */
static void __attribute__((noinline)) run_user(const char *from, const char *to, u64 flags)
{
	u64 i;

	for (i = 0; from + i < to; i++)
		page[i] = from[i];
	guest_map(USER_CODE, (uintptr_t)page, PAGE, PAGE, PTE_P | PTE_U);
	guest_map(USER_DATA, (uintptr_t)page + PAGE, PAGE, PAGE, PTE_P | PTE_W | PTE_U);
	asm volatile("push %%rbp; push %%rbx\n"
		     "mov %%rsp, user_rsp(%%rip)\n"
		     "lea 1f(%%rip), %%rax; mov %%rax, resume_at(%%rip)\n"
		     "push %0; push %1; push %2; push %3; push %4; iretq\n"
		     "1: pop %%rbx; pop %%rbp"
		     : : "r"((u64)SEL_UDATA), "r"(USER_DATA + PAGE - 16), "r"(flags | FLAG_FIXED),
		     "r"((u64)SEL_UCODE64), "r"(USER_CODE), "S"(USER_DATA),
		     "D"((uintptr_t)page)
		     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
}

#define RUN_USER(name, flags) ({					\
	extern const char name##_start[], name##_end[];			\
	run_user(name##_start, name##_end, flags);			\
})

static void guest_user(void)
{
	guest_handlers[VEC_AC] = guest_handlers[VEC_GP] = guest_handlers[VEC_UD] = leave_user;
	guest_handlers[VEC_PF] = guest_handlers[VEC_BP] = leave_user;
	write_cr0(read_cr0() | X86_CR0_AM);
	RUN_USER(user_ac, FLAG_AC);
	/* QEMU's TCG has no alignment check, and comes to the UD2 behind. */
	G_ASSERT(seen_vec == VEC_AC || seen_vec == VEC_UD);
	G_EQ(seen_err, 0);
	RUN_USER(user_gp, 0);
	G_EQ(seen_vec, VEC_GP);
	G_EQ(seen_err, 0);
	RUN_USER(user_int, 0);
	G_EQ(seen_vec, VEC_BP);
	G_EQ(seen_rip, USER_CODE + 1);
	RUN_USER(user_super, 0);
	G_EQ(seen_vec, VEC_PF);
	G_EQ(seen_err, PF_P | PF_U);
	guest_done();
}

TEST_F(exceptions, from_user_mode)
{
	RUN_GUEST(guest_user);
}

/* A fault in the delivery of a fault. */
static void guest_double_fault(void)
{
	static struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt;

	guest_handlers[VEC_DF] = note_and_resume;
	asm volatile("sidt %0" : "=m"(idt));
	idt.limit = VEC_DF * 16 + 15;	/* #GP and #PF have no gate */
	asm volatile("lidt %0" : : "m"(idt));
	asm volatile("mov %%rsp, user_rsp(%%rip); lea 1f(%%rip), %%rax;"
		     "mov %%rax, resume_at(%%rip); mov (%0), %%rax\n1:"
		     : : "r"(VA + (1UL << 30)) : "rax", "memory");
	G_EQ(seen_vec, VEC_DF);
	G_EQ(seen_err, 0);
	guest_done();
}

TEST_F(exceptions, double_fault)
{
	RUN_GUEST(guest_double_fault);
}

static void guest_x87(void)
{
	u16 cw = 0x37b;	/* zero divide unmasked */
	u32 one = 1, zero = 0, mxcsr = 0x1f80;
	int vec;

	write_cr0(read_cr0() | X86_CR0_NE);
	asm volatile("fninit; fldcw %0; fildl %1; fidivl %2" : : "m"(cw), "m"(one), "m"(zero));
	G_EQ(G_TRY("fwait"), VEC_MF);
	asm volatile("fnclex; fninit");
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	mxcsr = 0x3f800000;	/* 1.0 */
	asm volatile("movd %0, %%xmm0; pxor %%xmm1, %%xmm1" : : "m"(mxcsr));
	G_EQ(G_TRY("divss %%xmm1, %%xmm0"), -1);	/* zero divide still masked */
	mxcsr = 0x1f80 & ~0x200;
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	/* QEMU's TCG sets the flag in MXCSR, and raises nothing. */
	vec = G_TRY("divss %%xmm1, %%xmm0");
	G_ASSERT(vec == VEC_XM || vec == -1);
	write_cr0(read_cr0() | X86_CR0_TS);
	G_EQ(G_TRY("fnop"), VEC_NM);
	G_EQ(G_TRY("pxor %%xmm0, %%xmm0"), VEC_NM);
	asm volatile("clts");
	G_EQ(G_TRY("fnop"), -1);
	guest_done();
}

TEST_F(exceptions, floating_point)
{
	RUN_GUEST(guest_x87);
}

TEST_MAIN
