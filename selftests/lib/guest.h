/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest side of the tests, long mode: talking to the host, traps, mappings. */
#ifndef KEEL_TEST_GUEST_H
#define KEEL_TEST_GUEST_H

#include "vm.h"

/* One-way calls to the host through ports that no device has. */
#define PORT_DONE	0xe000
#define PORT_SYNC	0xe004
#define PORT_FAIL	0xe008
#define PORT_TRAP32	0xe00c	/* from the 32-bit trap stubs; entry.S has it too */

struct guest_failure {
	const char *file, *expr;
	u64 line, a, b;
};

struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vec, err, rip, cs, flags, rsp, ss;
};

/* What a trap in 32-bit code leaves on the stack; the host may change it. */
struct trap_frame32 {
	u32 edi, esi, ebp, esp, ebx, edx, ecx, eax, vec, err, eip, cs, flags;
};

/* Selectors of the guest's GDT. */
#define SEL_CODE64	0x08
#define SEL_DATA	0x10
#define SEL_CODE32	0x18
#define SEL_CODE16	0x20
#define SEL_DATA16	0x28
#define SEL_UCODE64	0x33
#define SEL_UDATA	0x3b
#define SEL_ABSENT	0x40	/* a data segment that is not present */
#define SEL_TSS		0x50

struct guest_cpu {
	u64 gdt[16];
	struct {
		u32 pad;
		u64 rsp[3], pad1, ist[7], pad2;
		u16 pad3, iomap;
	} __attribute__((packed)) tss;
	u64 index;
	u8 stack[12288] __attribute__((aligned(16)));
	u8 stack0[4096] __attribute__((aligned(16)));	/* from user mode */
	u8 ist1[4096] __attribute__((aligned(16)));	/* double fault */
} __attribute__((aligned(4096)));

extern struct guest_cpu guest_cpus[MAX_VCPUS];
extern u64 guest_pml4[512];
extern void (*guest_handlers[256])(struct trap_frame *f);
extern volatile u32 guest_irqs[256];	/* how often each vector came */
extern void (*guest_ap_main)(u64 cpu);
#define TRAMPOLINE	0x8000UL	/* where vm_add_trampoline() puts it */

void guest_init_tables(void);
void guest_init_cpu(unsigned int index);
void guest_idt(struct kvm_dtable *t);
void guest_idt32(struct kvm_dtable *t);
void vm_add_trampoline(struct vm *vm);

static inline void guest_done(void)		{ outl(PORT_DONE, 0); }
static inline void guest_sync(u32 val)		{ outl(PORT_SYNC, val); }

/*
 * Before a loop that only the host can end.  Bochs masks the host's interrupts as well when
 * VMRUN or a VM entry loads a guest whose IF is 0, until the guest has executed an STI: there the
 * loop would have the machine for ever, on any hypervisor.
 */
static inline void spin_begin(void)
{
	if (test_bochs)
		sti();
}

/*
 * Takes the interrupts that are pending. Where the host's timer hits the first window, Bochs
 * loses the hypervisor's (see wait_step()).
 */
static inline void sti_nop_cli(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
	if (test_bochs_svm)
		asm volatile("sti; nop; nop; cli" : : : "memory");
}

/* Asks the host to set an interrupt line; guest_run() does it by itself. Bit 31 says so. */
#define SYNC_LINE	0x80000000u
static inline void guest_line(u32 gsi, u32 level)
{
	guest_sync(SYNC_LINE | gsi << 1 | level);
}
noreturn void guest_fail(const char *file, int line, const char *expr, u64 a, u64 b);

#define G_ASSERT(cond) do {							\
	if (!(cond))								\
		guest_fail(__FILE__, __LINE__, #cond, 0, 0);			\
} while (0)
#define G_CMP(a, op, b) do {							\
	u64 __a = (u64)(a), __b = (u64)(b);					\
	if (!(__a op __b))							\
		guest_fail(__FILE__, __LINE__, #a " " #op " " #b, __a, __b);	\
} while (0)
#define G_EQ(a, b)	G_CMP(a, ==, b)

/* Maps [pa, pa + size) at va in the guest's tables; va must lie above 4 GiB. */
void guest_map(u64 va, u64 pa, u64 size, u64 page, u64 flags);
u64 *guest_pte(u64 va);

/*
 * G_TRY: runs an instruction (a string, operands after it) and gives the
 * vector that it raised, or -1.  The operands count from %1.  The error code and CR2 go to g_err and g_cr2.
 */
extern volatile u64 g_err, g_cr2;
struct guest_fixup {
	u64 from, to;
};
/* For asm of one's own: a fault at label 1 goes on at label 2, vector in r9. */
#define GUEST_FIXUP ".pushsection guest_fixups, \"a\"\n.quad 1b, 2b\n.popsection\n"
#define G_TRY(insn, ...) ({							\
	register u64 __vec asm("r9") = -1;					\
										\
	asm volatile("1: " insn "\n2:\n"					\
		     GUEST_FIXUP \
		     : "+r"(__vec) : __VA_ARGS__ : "memory", "cc", "rax", "rcx", "rdx"); \
	(int)__vec;								\
})

static inline int try_wrmsr(u32 msr, u64 v)
{
	register u64 vec asm("r9") = -1;

	asm volatile("1: wrmsr\n2:\n"
		     GUEST_FIXUP
		     : "+r"(vec) : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
	return (int)vec;
}

static inline int try_rdmsr(u32 msr, u64 *v)
{
	register u64 vec asm("r9") = -1;
	u32 lo = 0, hi = 0;

	asm volatile("1: rdmsr\n2:\n"
		     GUEST_FIXUP
		     : "+r"(vec), "+a"(lo), "+d"(hi) : "c"(msr) : "memory");
	*v = lo | (u64)hi << 32;
	return (int)vec;
}

/*
 * Where interrupts are on at VMRUN, Bochs keeps the virtual interrupt by which hypervisors wait
 * for their next chance masked, until the guest's IF changes.
 */
static inline void wait_step(void)
{
	u16 cs;

	cpu_pause();
	/* The host's side of a test waits like this as well. */
	asm("mov %%cs, %0" : "=r"(cs));
	if (test_bochs_svm && !(cs & 3) && (read_flags() & FLAG_IF)) {
		cli();
		sti();
	}
}

/* Spins until the condition holds; the test's time limit ends a wait in vain. */
#define G_WAIT(cond) do {		\
	while (!(cond))			\
		wait_step();		\
} while (0)

/* Seconds on the guest's clock, good enough for time limits. */
extern u64 guest_tsc_khz;
static inline u64 tsc_ms(u64 ms)	{ return ms * guest_tsc_khz; }

#endif
