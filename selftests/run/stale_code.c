// SPDX-License-Identifier: GPL-2.0-only
/*
 * An intercepted instruction that is gone when the hypervisor looks for its length.  The
 * guest changes the code's mapping and leaves the TLB alone, so the CPU executes the old
 * page while whoever walks the tables reads the new one.  Either the old instruction has
 * its effect and is left behind, or the new one runs; never both, never neither.
 */
#include "harness.h"

#define VA	(1ULL << 39)
#define TOUCH	64	/* a RET, in both pages */

static u8 old_code[PAGE] __attribute__((aligned(4096)));
static u8 new_code[PAGE] __attribute__((aligned(4096)));

/* By length: LODSB, INC ESI, INC RSI; each adds 1 to RSI. */
static const u8 counts[4][3] = { {}, { 0xac }, { 0xff, 0xc6 }, { 0x48, 0xff, 0xc6 } };

struct regs {
	u64 a, b, c, d;
};

static volatile u32 new_ran;

/* Executes @insn of @len bytes, old when the CPU sees it. Counts runs of the new one. */
static void run_stale(const u8 *insn, u32 len, struct regs *r)
{
	u64 from = (uintptr_t)counts, si = from, *pte = guest_pte(VA);
	u32 i;

	for (i = 0; i < len; i++) {
		old_code[i] = insn[i];
		new_code[i] = counts[len][i];
	}
	old_code[len] = new_code[len] = 0xc3;
	old_code[TOUCH] = new_code[TOUCH] = 0xc3;
	*pte = (uintptr_t)old_code | PTE_P | PTE_A;
	invlpg(VA);
	asm volatile("call *%[touch]\n\tmov %[entry], (%[pte])\n\tcall *%[code]"
		     : "+a"(r->a), "+b"(r->b), "+c"(r->c), "+d"(r->d), "+S"(si)
		     : [code] "r"(VA), [touch] "r"(VA + TOUCH), [pte] "r"(pte),
		       [entry] "r"((uintptr_t)new_code | PTE_P | PTE_A)
		     : "memory", "cc");
	new_ran += si - from;
}

static void map_code(void)
{
	guest_map(VA, (uintptr_t)old_code, PAGE, PAGE, PTE_P);
}

static void guest_cpuid(void)
{
	const u8 insn[] = { 0x0f, 0xa2 };
	u32 i;

	map_code();
	for (i = 0; i < 50; i++) {
		struct regs r = { .b = 0x1234 };

		new_ran = 0;
		run_stale(insn, sizeof(insn), &r);
		G_EQ((r.b != 0x1234) + new_ran, 1);
	}
	guest_done();
}

static void guest_rdmsr(void)
{
	const u8 insn[] = { 0x0f, 0x32 };
	u32 i;

	map_code();
	for (i = 0; i < 50; i++) {
		struct regs r = { .a = 0x1234567, .c = MSR_MTRR_CAP };

		new_ran = 0;
		run_stale(insn, sizeof(insn), &r);
		G_EQ((r.a != 0x1234567) + new_ran, 1);
	}
	guest_done();
}

static void guest_wrmsr(void)
{
	const u8 insn[] = { 0x0f, 0x30 };
	u32 i;

	map_code();
	for (i = 0; i < 50; i++) {
		struct regs r = { .a = 0xc06, .c = MSR_MTRR_DEFTYPE };

		new_ran = 0;
		wrmsr(MSR_MTRR_DEFTYPE, 0);
		run_stale(insn, sizeof(insn), &r);
		G_EQ((rdmsr(MSR_MTRR_DEFTYPE) == 0xc06) + new_ran, 1);
	}
	guest_done();
}

static void guest_hypercall(void)
{
	u8 insn[] = { 0x0f, 0x01, 0xc1 };
	u32 i, id[4];

	cpuid(0, 0, id);
	if (id[1] == 0x68747541)	/* "Auth": VMMCALL */
		insn[2] = 0xd9;
	map_code();
	for (i = 0; i < 50; i++) {
		struct regs r = { .a = 1000 };

		new_ran = 0;
		run_stale(insn, sizeof(insn), &r);
		G_EQ((r.a == -1000UL) + new_ran, 1);
	}
	guest_done();
}

static void guest_hlt(void)
{
	const u8 insn[] = { 0xf4 };
	struct regs r = {};
	u32 i;

	map_code();
	for (i = 0; i < 50; i++) {
		new_ran = 0;
		run_stale(insn, sizeof(insn), &r);
		guest_sync(i);
	}
	guest_done();
}

FIXTURE(stale_code) {
	struct vcpu *v;
};

FIXTURE_SETUP(stale_code)
{
	self->v = vcpu_create(vm_create(0), 0);
}

FIXTURE_TEARDOWN(stale_code)
{
}

#define STALE(name)					\
TEST_F(stale_code, name)				\
{							\
	vcpu_long(self->v, guest_##name, 0);		\
	ASSERT_DONE(self->v);				\
}

STALE(cpuid)
STALE(rdmsr)
STALE(wrmsr)
STALE(hypercall)

TEST_F(stale_code, hlt)
{
	u32 i, halts;
	int uc;

	vcpu_long(self->v, guest_hlt, 0);
	for (i = 0; i < 50; i++) {
		for (halts = 0; (uc = guest_run(self->v)) == KVM_EXIT_HLT; halts++)
			;
		ASSERT_EQ(UC_SYNC, uc) vcpu_dump(self->v);
		ASSERT_EQ(1, halts + new_ran);
	}
	ASSERT_DONE(self->v);
}

TEST_MAIN
