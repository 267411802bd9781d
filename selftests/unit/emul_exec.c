// SPDX-License-Identifier: GPL-2.0-only
/*
 * Single instructions, by table: registers, flags and memory in and out. The
 * arithmetic is checked against a CPU by diff/; here are the modes that test
 * cannot reach, system instructions, and one of each kind.
 */
#include <string.h>

#include "emul_machine.h"

#define RAX EMUL_RAX
#define RCX EMUL_RCX
#define RDX EMUL_RDX
#define RBX EMUL_RBX
#define RSP EMUL_RSP
#define RBP EMUL_RBP
#define RSI EMUL_RSI
#define RDI EMUL_RDI

#define CF 1
#define ZF 0x40
#define IF_ 0x200
#define DF 0x400
#define OF 0x800

/* A register; the list ends with .used clear. */
struct reg {
	bool used;
	u8 reg;
	u64 val;
};

#define R(r, v)		{ true, r, v }

struct mem {
	u64 at;
	unsigned int len;
	u64 val;
};

struct insn_case {
	const char *name;
	enum emul_mode mode;
	const char *bytes;
	unsigned int n;
	struct reg in[6];
	struct mem mem_in;
	u64 flags_in;		/* on top of the usual ones */
	struct reg out[6];
	struct mem mem_out;
	u64 flags_set, flags_clear;
	u64 rip;		/* 0: the next instruction */
	u8 shadow;
};

#define I(str)		str, sizeof(str) - 1

static struct machine m;

static const struct insn_case cases[] = {
	{ "mov to memory, 64-bit", EMUL_MODE_LONG64, I("\x48\x89\x47\x08"),
	  .in = { R(RAX, 0x1122334455667788), R(RDI, 0x2000) },
	  .mem_out = { 0x2008, 8, 0x1122334455667788 } },
	{ "mov, RIP-relative with an immediate after it", EMUL_MODE_LONG64,
	  I("\x81\x05\xf6\x0f\x00\x00\x78\x56\x34\x12"),
	  .mem_out = { 0x2000, 4, 0x12345678 } },
	{ "mov, 16-bit addressing", EMUL_MODE_REAL, I("\x8b\x42\x10"),
	  .in = { R(RBP, 0xf000), R(RSI, 0x3000), R(RAX, 0xdead0000) },
	  .mem_in = { 0x2010, 2, 0xbeef }, .out = { R(RAX, 0xdeadbeef) } },
	{ "mov, 32-bit addressing in real mode", EMUL_MODE_REAL, I("\x67\x8b\x04\x9d\x00\x20\x00\x00"),
	  .in = { R(RBX, 4) }, .mem_in = { 0x2010, 2, 0x1234 }, .out = { R(RAX, 0x1234) } },
	{ "mov, high byte register", EMUL_MODE_PROT32, I("\x88\x27"),
	  .in = { R(RAX, 0xab00), R(RDI, 0x2000) }, .mem_out = { 0x2000, 1, 0xab } },
	{ "mov, low byte register by REX", EMUL_MODE_LONG64, I("\x40\x88\x27"),
	  .in = { R(RAX, 0xab00), R(RDI, 0x2000) }, .mem_out = { 0x2000, 1, 0x00 } },
	{ "mov, REX before another prefix does nothing", EMUL_MODE_LONG64, I("\x48\x66\x89\x07"),
	  .in = { R(RAX, 0x11223344), R(RDI, 0x2000) }, .mem_out = { 0x2000, 4, 0x3344 } },
	{ "mov, 32-bit result clears the upper half", EMUL_MODE_LONG64, I("\x8b\x07"),
	  .in = { R(RAX, -1ULL), R(RDI, 0x2000) }, .mem_in = { 0x2000, 8, -1ULL },
	  .out = { R(RAX, 0xffffffff) } },
	{ "mov, absolute 64-bit offset", EMUL_MODE_LONG64, I("\xa1\x00\x20\x00\x00\x00\x00\x00\x00"),
	  .mem_in = { 0x2000, 4, 0xcafe }, .out = { R(RAX, 0xcafe) } },
	{ "mov, absolute offset, 67", EMUL_MODE_LONG64, I("\x67\xa2\x00\x20\x00\x00"),
	  .in = { R(RAX, 0x77) }, .mem_out = { 0x2000, 1, 0x77 } },
	{ "movzx", EMUL_MODE_PROT32, I("\x0f\xb6\x07"),
	  .in = { R(RDI, 0x2000), R(RAX, 0xffffffff) }, .mem_in = { 0x2000, 1, 0x80 },
	  .out = { R(RAX, 0x80) } },
	{ "movsx", EMUL_MODE_LONG64, I("\x48\x0f\xbf\x07"),
	  .in = { R(RDI, 0x2000) }, .mem_in = { 0x2000, 2, 0x8000 },
	  .out = { R(RAX, 0xffffffffffff8000) } },
	{ "movsxd", EMUL_MODE_LONG64, I("\x48\x63\x07"),
	  .in = { R(RDI, 0x2000) }, .mem_in = { 0x2000, 4, 0x80000000 },
	  .out = { R(RAX, 0xffffffff80000000) } },
	{ "movbe", EMUL_MODE_LONG64, I("\x0f\x38\xf1\x07"),
	  .in = { R(RDI, 0x2000), R(RAX, 0x11223344) }, .mem_out = { 0x2000, 4, 0x44332211 } },
	{ "add with carry out", EMUL_MODE_PROT32, I("\x01\x07"),
	  .in = { R(RDI, 0x2000), R(RAX, 1) }, .mem_in = { 0x2000, 4, 0xffffffff },
	  .mem_out = { 0x2000, 4, 0 }, .flags_set = CF | ZF, .flags_clear = OF },
	{ "lock xadd", EMUL_MODE_PROT32, I("\xf0\x0f\xc1\x07"),
	  .in = { R(RDI, 0x2000), R(RAX, 3) }, .mem_in = { 0x2000, 4, 4 },
	  .out = { R(RAX, 4) }, .mem_out = { 0x2000, 4, 7 } },
	{ "cmpxchg8b, equal", EMUL_MODE_PROT32, I("\xf0\x0f\xc7\x0f"),
	  .in = { R(RDI, 0x2000), R(RAX, 1), R(RDX, 2), R(RBX, 3), R(RCX, 4) },
	  .mem_in = { 0x2000, 8, 0x200000001 }, .mem_out = { 0x2000, 8, 0x400000003 },
	  .flags_set = ZF },
	{ "bts, bit string below the base", EMUL_MODE_LONG64, I("\x48\x0f\xab\x07"),
	  .in = { R(RDI, 0x2008), R(RAX, -63ULL) }, .mem_out = { 0x2000, 8, 2 },
	  .flags_clear = CF },
	{ "bt, 16-bit string", EMUL_MODE_REAL, I("\x0f\xa3\x05"),
	  .in = { R(RDI, 0x2000), R(RAX, 17) }, .mem_in = { 0x2002, 2, 2 }, .flags_set = CF },
	{ "imul, three operands", EMUL_MODE_PROT32, I("\x6b\xc3\xfe"),
	  .in = { R(RBX, 5) }, .out = { R(RAX, 0xfffffff6) }, .flags_clear = CF | OF },
	{ "div", EMUL_MODE_REAL, I("\xf7\xf3"),
	  .in = { R(RAX, 0), R(RDX, 1), R(RBX, 0x10) }, .out = { R(RAX, 0x1000), R(RDX, 0) } },
	{ "lea, 16-bit", EMUL_MODE_REAL, I("\x8d\x40\xff"),
	  .in = { R(RBX, 0xfff8), R(RSI, 0x10) }, .out = { R(RAX, 7) } },
	{ "xlat with a segment base", EMUL_MODE_REAL, I("\xd7"),
	  .in = { R(RBX, 0x2000), R(RAX, 0x5505) }, .mem_in = { 0x2005, 1, 0x99 },
	  .out = { R(RAX, 0x5599) } },

	{ "push, real mode", EMUL_MODE_REAL, I("\x50"), .in = { R(RAX, 0x12345678) },
	  .out = { R(RSP, 0x7ffe) }, .mem_out = { 0x7ffc, 4, 0x56780000 } },
	{ "push 32 bits, real mode", EMUL_MODE_REAL, I("\x66\x50"), .in = { R(RAX, 0x12345678) },
	  .out = { R(RSP, 0x7ffc) }, .mem_out = { 0x7ffc, 4, 0x12345678 } },
	{ "push wraps in 16 bits", EMUL_MODE_REAL, I("\x53"),
	  .in = { R(RSP, 0xabcd0000), R(RBX, 0x55) },
	  .out = { R(RSP, 0xabcdfffe) }, .mem_out = { 0xfffe, 2, 0x55 } },
	{ "push rsp", EMUL_MODE_LONG64, I("\x54"),
	  .out = { R(RSP, 0x7ff8) }, .mem_out = { 0x7ff8, 8, 0x8000 } },
	{ "push imm8", EMUL_MODE_LONG64, I("\x6a\xff"), .mem_out = { 0x7ff8, 8, -1ULL } },
	{ "push imm16 by 66", EMUL_MODE_LONG64, I("\x66\x68\x34\x12"),
	  .out = { R(RSP, 0x7ffe) }, .mem_out = { 0x7ffe, 2, 0x1234 } },
	{ "pop rsp", EMUL_MODE_LONG64, I("\x5c"), .mem_in = { 0x8000, 8, 0x4444 },
	  .out = { R(RSP, 0x4444) } },
	{ "pop [rsp+8] sees the new rsp", EMUL_MODE_LONG64, I("\x8f\x44\x24\x08"),
	  .mem_in = { 0x8000, 8, 0x1234 }, .out = { R(RSP, 0x8008) },
	  .mem_out = { 0x8010, 8, 0x1234 } },
	{ "pusha", EMUL_MODE_PROT32, I("\x60"), .in = { R(RAX, 0xa), R(RDI, 0xd) },
	  .out = { R(RSP, 0x7fe0) }, .mem_out = { 0x7fe0, 4, 0xd } },
	{ "pusha keeps the old sp", EMUL_MODE_REAL, I("\x60"), .out = { R(RSP, 0x7ff0) },
	  .mem_out = { 0x7ff6, 2, 0x8000 } },
	{ "popa skips sp", EMUL_MODE_REAL, I("\x61"), .mem_in = { 0x8006, 2, 0x1111 },
	  .out = { R(RSP, 0x8010) } },
	{ "enter", EMUL_MODE_LONG64, I("\xc8\x10\x00\x00"), .in = { R(RBP, 0x9999) },
	  .out = { R(RSP, 0x7fe8), R(RBP, 0x7ff8) }, .mem_out = { 0x7ff8, 8, 0x9999 } },
	{ "leave", EMUL_MODE_PROT32, I("\xc9"), .in = { R(RBP, 0x7000) },
	  .mem_in = { 0x7000, 4, 0x42 }, .out = { R(RSP, 0x7004), R(RBP, 0x42) } },
	{ "call", EMUL_MODE_PROT32, I("\xe8\x00\x10\x00\x00"), .rip = 0x2005,
	  .mem_out = { 0x7ffc, 4, CODE_AT + 5 } },
	{ "call [m] in 64-bit mode", EMUL_MODE_LONG64, I("\xff\x17"), .in = { R(RDI, 0x2000) },
	  .mem_in = { 0x2000, 8, 0x123456789a }, .rip = 0x123456789a,
	  .mem_out = { 0x7ff8, 8, CODE_AT + 2 } },
	{ "ret imm", EMUL_MODE_PROT32, I("\xc2\x08\x00"), .mem_in = { 0x8000, 4, 0x3000 },
	  .out = { R(RSP, 0x800c) }, .rip = 0x3000 },
	{ "jmp back, 16-bit", EMUL_MODE_REAL, I("\xeb\xf0"), .rip = CODE_AT + 2 - 16 },
	{ "jmp with 16-bit operand size", EMUL_MODE_PROT32, I("\x66\xe9\x00\xf0"), .rip = 4 },
	{ "jz taken", EMUL_MODE_LONG64, I("\x0f\x84\x00\x01\x00\x00"), .flags_in = ZF,
	  .rip = CODE_AT + 0x106 },
	{ "jz not taken", EMUL_MODE_LONG64, I("\x74\x10"), .out = { R(RSP, 0x8000) } },
	{ "loop with cx", EMUL_MODE_REAL, I("\xe2\x10"), .in = { R(RCX, 0x10000) },
	  .out = { R(RCX, 0x1ffff) }, .rip = CODE_AT + 0x12 },
	{ "jecxz by 67", EMUL_MODE_LONG64, I("\x67\xe3\x10"), .in = { R(RCX, 0x100000000) },
	  .rip = CODE_AT + 0x13 },

	{ "pushf leaves RF out", EMUL_MODE_LONG64, I("\x9c"), .flags_in = 1 << 16 | CF,
	  .mem_out = { 0x7ff8, 8, 0x203 } },
	{ "popf at CPL 0", EMUL_MODE_PROT32, I("\x9d"), .mem_in = { 0x8000, 4, 0x3001 },
	  .flags_set = 0x3000 | CF, .flags_clear = IF_ },
	{ "sti casts a shadow", EMUL_MODE_REAL, I("\xfb"), .flags_set = IF_ },
	{ "cli", EMUL_MODE_LONG64, I("\xfa"), .flags_clear = IF_ },
	{ "std", EMUL_MODE_LONG64, I("\xfd"), .flags_set = DF },
	{ "cmc", EMUL_MODE_LONG64, I("\xf5"), .flags_set = CF },
	{ "lahf", EMUL_MODE_PROT32, I("\x9f"), .flags_in = ZF | CF, .out = { R(RAX, 0x4300) } },
	{ "mov ss in real mode", EMUL_MODE_REAL, I("\x8e\xd0"), .in = { R(RAX, 0x1234) },
	  .shadow = EMUL_SHADOW_MOV_SS },
	{ "pop ss in real mode", EMUL_MODE_REAL, I("\x17"), .out = { R(RSP, 0x8002) },
	  .shadow = EMUL_SHADOW_MOV_SS },
	{ "mov from ds", EMUL_MODE_PROT32, I("\x8c\xd8"), .in = { R(RAX, -1ULL) },
	  .out = { R(RAX, 0x20) } },
	{ "mov from ds to memory is 16 bits", EMUL_MODE_LONG64, I("\x48\x8c\x1f"),
	  .in = { R(RDI, 0x2000) }, .mem_in = { 0x2000, 8, -1ULL },
	  .mem_out = { 0x2000, 8, 0xffffffffffff0020 } },
	{ "nop with an operand reads nothing", EMUL_MODE_LONG64, I("\x0f\x1f\x07"),
	  .in = { R(RDI, ABSENT_AT) } },
	{ "90 is not xchg eax, eax", EMUL_MODE_LONG64, I("\x90"), .in = { R(RAX, -1ULL) },
	  .out = { R(RAX, -1ULL) } },
	{ "xchg r8, rax", EMUL_MODE_LONG64, I("\x49\x90"), .in = { R(RAX, 1), R(8, 2) },
	  .out = { R(RAX, 2), R(8, 1) } },

	{ "rep movsb backwards", EMUL_MODE_PROT32, I("\xf3\xa4"), .flags_in = DF,
	  .in = { R(RSI, 0x2007), R(RDI, 0x3007), R(RCX, 8) },
	  .mem_in = { 0x2000, 8, 0x1122334455667788 },
	  .mem_out = { 0x3000, 8, 0x1122334455667788 },
	  .out = { R(RSI, 0x1fff), R(RDI, 0x2fff), R(RCX, 0) } },
	{ "rep stosd with cx", EMUL_MODE_REAL, I("\xf3\x66\xab"),
	  .in = { R(RAX, 0x55667788), R(RDI, 0x2000), R(RCX, 0x10002) },
	  .mem_out = { 0x2000, 8, 0x5566778855667788 },
	  .out = { R(RDI, 0x2008), R(RCX, 0x10000) } },
	{ "lodsw with an override", EMUL_MODE_REAL, I("\x26\xad"), .in = { R(RSI, 0x2000) },
	  .mem_in = { 0x2000, 2, 0x4321 }, .out = { R(RAX, 0x4321), R(RSI, 0x2002) } },
	{ "repne scasb", EMUL_MODE_LONG64, I("\xf2\xae"),
	  .in = { R(RAX, 0x33), R(RDI, 0x2000), R(RCX, 100) },
	  .mem_in = { 0x2000, 8, 0x3300 }, .flags_set = ZF,
	  .out = { R(RDI, 0x2002), R(RCX, 98) } },
	{ "repe cmpsb stops at the difference", EMUL_MODE_LONG64, I("\xf3\xa6"),
	  .in = { R(RSI, 0x2000), R(RDI, 0x3000), R(RCX, 100) },
	  .mem_in = { 0x2000, 8, 0x010000 }, .flags_clear = ZF | CF,
	  .out = { R(RSI, 0x2003), R(RDI, 0x3003), R(RCX, 97) } },
	{ "rep with a count of 0", EMUL_MODE_LONG64, I("\xf3\xa4"),
	  .in = { R(RSI, ABSENT_AT), R(RDI, ABSENT_AT) }, .out = { R(RSI, ABSENT_AT) } },

	{ "cpuid", EMUL_MODE_LONG64, I("\x0f\xa2"), .in = { R(RAX, -1ULL), R(RCX, 7) },
	  .out = { R(RAX, 0), R(RBX, 0xb), R(RCX, 8), R(RDX, 0xd) } },
	{ "rdmsr", EMUL_MODE_LONG64, I("\x0f\x32"), .in = { R(RAX, -1ULL), R(RDX, -1ULL) },
	  .out = { R(RAX, 0x55667788), R(RDX, 0x11223344) } },
	{ "rdtscp", EMUL_MODE_LONG64, I("\x0f\x01\xf9"), .in = { R(RCX, -1ULL) },
	  .out = { R(RAX, 0xb0000000), R(RDX, 0xa0000000), R(RCX, 0xb0000001) } },
	{ "rdpmc", EMUL_MODE_LONG64, I("\x0f\x33"), .in = { R(RCX, 5) },
	  .out = { R(RAX, 0xb0000005) } },
	{ "vmmcall gives its result", EMUL_MODE_LONG64, I("\x0f\x01\xd9"),
	  .out = { R(RAX, 0x600d) } },
	{ "smsw", EMUL_MODE_REAL, I("\x0f\x01\xe0"), .out = { R(RAX, 1) } },
};

static void set_up(const struct insn_case *t)
{
	const struct reg *r;

	machine_init(&m, t->mode);
	machine_insn(&m, t->bytes, t->n);
	for (r = t->in; r->used; r++)
		m.c.gpr[r->reg] = r->val;
	if (t->mem_in.len)
		machine_poke(&m, t->mem_in.at, t->mem_in.val, t->mem_in.len);
	m.c.rflags |= t->flags_in;
}

static void check(const struct insn_case *t)
{
	const struct reg *r;

	for (r = t->out; r->used; r++)
		CHECK_EQ(m.c.gpr[r->reg], r->val);
	if (t->mem_out.len)
		CHECK_EQ(machine_peek(&m, t->mem_out.at, t->mem_out.len), t->mem_out.val);
	CHECK_EQ(m.c.rflags & t->flags_set, t->flags_set);
	CHECK_EQ(m.c.rflags & t->flags_clear, 0);
	CHECK_EQ(m.c.rip, t->rip ? t->rip : CODE_AT + t->n);
	CHECK_EQ(m.c.shadow, t->shadow);
	CHECK(!(m.c.rflags & 1 << 16));
	CHECK(!m.c.single_step);
	CHECK_EQ(m.c.branched, t->rip != 0 && t->rip != CODE_AT + t->n);
}

static void test_table(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		set_up(&cases[i]);
		CHECK_EQ(machine_run(&m), EMUL_CONTINUE);
		check(&cases[i]);
		tap_result("%s", cases[i].name);
	}
}

static void test_sti_shadow(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.rflags = 2;
	CHECK_EQ(machine_run_insn(&m, "\xfb"), EMUL_CONTINUE);
	CHECK_EQ(m.c.shadow, EMUL_SHADOW_STI);
	CHECK(m.c.rflags & IF_);
	tap_result("sti that turns interrupts on holds them back for one instruction");
}

static void test_single_step(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.rflags |= 0x100;
	CHECK_EQ(machine_run_insn(&m, "\x90"), EMUL_CONTINUE);
	CHECK(m.c.single_step);

	machine_init(&m, EMUL_MODE_REAL);
	m.c.rflags |= 0x100;
	CHECK_EQ(machine_run_insn(&m, "\x8e\xd0"), EMUL_CONTINUE);
	CHECK(!m.c.single_step);

	/* A repeated instruction traps after each iteration. */
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.rflags |= 0x100;
	m.c.gpr[RCX] = 3;
	m.c.gpr[RDI] = 0x2000;
	CHECK_EQ(machine_run_insn(&m, "\xf3\xaa"), EMUL_CONTINUE);
	CHECK(m.c.single_step);
	CHECK_EQ(m.c.gpr[RCX], 2);
	CHECK_EQ(m.c.rip, CODE_AT);
	tap_result("a set trap flag is reported");
}

static void test_control_registers(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RAX] = 0x80050033;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x22\xc0"), EMUL_CONTINUE);
	CHECK_EQ(m.cr[0], 0x80050033);
	m.c.rip = CODE_AT;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x20\xc3"), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[RBX], 0x80050033);

	machine_init(&m, EMUL_MODE_LONG64);	/* all 64 bits */
	m.c.gpr[RAX] = 0x1234567800000000;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x22\xd8"), EMUL_CONTINUE);
	CHECK_EQ(m.cr[3], 0x1234567800000000);
	m.c.rip = CODE_AT;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x20\xdb"), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[RBX], 0x1234567800000000);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[8] = 5;
	CHECK_EQ(machine_run_insn(&m, "\x45\x0f\x22\xc0"), EMUL_CONTINUE);
	CHECK_EQ(m.cr[8], 5);

	machine_init(&m, EMUL_MODE_PROT32);	/* LMSW sets PE, TS, does not clear PE */
	m.cr[0] = 0x11;
	m.c.gpr[RAX] = 0xfff8;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\xf0"), EMUL_CONTINUE);
	CHECK_EQ(m.cr[0], 0x19);
	m.c.rip = CODE_AT;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x06"), EMUL_CONTINUE);	/* CLTS */
	CHECK_EQ(m.cr[0], 0x11);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RAX] = 0x400;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x23\xf8"), EMUL_CONTINUE);
	CHECK_EQ(m.dr[7], 0x400);
	m.c.rip = CODE_AT;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x21\xfb"), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[RBX], 0x400);

	machine_init(&m, EMUL_MODE_LONG64);	/* XSETBV */
	m.c.gpr[RAX] = 7;
	m.c.gpr[RDX] = 1;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\xd1"), EMUL_CONTINUE);
	CHECK_EQ(m.msr_index, 0);
	CHECK_EQ(m.msr_val, 0x100000007);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RAX] = 0xffffffff00000001;
	m.c.gpr[RDX] = 2;
	m.c.gpr[RCX] = 0xc0000080;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x30"), EMUL_CONTINUE);
	CHECK_EQ(m.msr_index, 0xc0000080);
	CHECK_EQ(m.msr_val, 0x200000001);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RCX] = 0xbad;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x32"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 13);
	tap_result("control, debug and model-specific registers");
}

/* The largest and the smallest quotient that fit, and one beyond. */
static void test_divide_limits(void)
{
	static const struct {
		u16 ax;
		u8 by;
		bool fits;
		u16 result;
	} limits[] = {
		{ 0x00fe, 2, true, 0x007f }, { 0x0100, 2, false, 0 }, { 0xff00, 2, true, 0x0080 },
		{ 0xfefe, 2, false, 0 }, { 0x007f, 0xff, true, 0x0081 }, { 0xff80, 0xff, false, 0 },
		{ 1, 0, false, 0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		machine_init(&m, EMUL_MODE_PROT32);
		m.c.gpr[RAX] = limits[i].ax;
		m.c.gpr[RBX] = limits[i].by;
		machine_insn(&m, "\xf6\xfb", 2);	/* idiv bl */
		CHECK_EQ(machine_run(&m), limits[i].fits ? EMUL_CONTINUE : EMUL_EXCEPTION);
		CHECK_EQ(m.c.gpr[RAX], limits[i].fits ? limits[i].result : limits[i].ax);
		if (!limits[i].fits)
			CHECK_EQ(m.c.fault.vector, 0);
	}
	tap_result("division at its limits");
}

static void test_system_operations(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	CHECK_EQ(machine_run_insn(&m, "\xf4"), EMUL_CONTINUE);
	CHECK_EQ(m.sysops, 1 << EMUL_SYS_HLT);
	CHECK_EQ(m.c.rip, CODE_AT + 1);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RDI] = 0xffff800000123456;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\x3f"), EMUL_CONTINUE);
	CHECK_EQ(m.sysops, 1 << EMUL_SYS_INVLPG);
	CHECK_EQ(m.sysop_arg, 0xffff800000123456);

	machine_init(&m, EMUL_MODE_PROT32);	/* base added, limit not checked */
	m.segs[EMUL_DS].base = 0xfffff000;
	m.segs[EMUL_DS].limit = 0;
	m.c.gpr[RDI] = 0x3000;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\x3f"), EMUL_CONTINUE);
	CHECK_EQ(m.sysop_arg, 0x2000);

	machine_init(&m, EMUL_MODE_LONG64);	/* non-canonical: nothing */
	m.c.gpr[RDI] = 0x1234000000000000;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\x3f"), EMUL_CONTINUE);
	CHECK_EQ(m.sysops, 0);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RAX] = 0x5000;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\xc8"), EMUL_CONTINUE);
	CHECK_EQ(m.sysops, 1 << EMUL_SYS_MONITOR);
	CHECK_EQ(m.sysop_arg, 0x5000);

	machine_init(&m, EMUL_MODE_LONG64);	/* extensions: one for MWAIT, none for MONITOR */
	m.c.gpr[RCX] = 1;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\xc9"), EMUL_CONTINUE);
	CHECK_EQ(m.sysops, 1 << EMUL_SYS_MWAIT);
	m.c.rip = CODE_AT;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\xc8"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 13);
	m.c.gpr[RCX] = 2;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x01\xc9"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 13);
	tap_result("system operations");
}

/* CPL 3 must not get at any of these. */
static void test_privilege(void)
{
	static const char privileged[][4] = {
		"\xf4", "\x0f\x30", "\x0f\x32", "\x0f\x20\xc0", "\x0f\x22\xc0", "\x0f\x21\xc0",
		"\x0f\x23\xc0", "\x0f\x06", "\x0f\x08", "\x0f\x09", "\x0f\x01\x3f",
		"\x0f\x01\xf0", "\x0f\x01\xd1", "\xfa", "\xfb", "\xee", "\xec", "\x6c", "\x6e",
		"\x0f\x33",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(privileged); i++) {
		machine_init(&m, EMUL_MODE_LONG64);
		m.c.cpl = 3;
		m.segs[EMUL_TR].limit = 0x67;
		m.segs[EMUL_TR].base = 0x4000;
		machine_poke(&m, 0x4066, 0x68, 2);
		machine_insn(&m, privileged[i], 3);
		CHECK_EQ(machine_run(&m), EMUL_EXCEPTION);
		CHECK_EQ(m.c.fault.vector, 13);
		CHECK_EQ(m.sysops, 0);
		CHECK_EQ(m.n_seen, 0);
		CHECK_EQ(m.c.rflags, 0x202);
		if (tap_this_failed)
			printf("# in case %u\n", i);
	}
	tap_result("privileged instructions are #GP at CPL 3");
}

int main(void)
{
	test_table();
	test_sti_shadow();
	test_single_step();
	test_control_registers();
	test_divide_limits();
	test_system_operations();
	test_privilege();
	return tap_done();
}
