// SPDX-License-Identifier: GPL-2.0-only
/* Segmentation, canonical addresses, privilege of ports, SSE state, by mode. */
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

static struct machine m;

static void expect_fault(const char *bytes, unsigned int n, u8 vector, bool has_error)
{
	machine_insn(&m, bytes, n);
	CHECK_EQ(machine_run(&m), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, vector);
	CHECK_EQ(m.c.fault.has_error, has_error);
	CHECK_EQ(m.c.fault.error, 0);
	CHECK_EQ(m.c.rip, CODE_AT);
	CHECK_EQ(m.ram_writes, 0);
}

#define EXPECT_FAULT(str, vector, has_error)	\
	expect_fault(str, sizeof(str) - 1, vector, has_error)

static void test_limits(void)
{
	machine_init(&m, EMUL_MODE_PROT32);	/* two of four bytes are inside */
	m.segs[EMUL_DS].limit = 0x2001;
	m.c.gpr[RDI] = 0x2000;
	EXPECT_FAULT("\x89\x07", 13, true);
	m.segs[EMUL_DS].limit = 0x2003;
	CHECK_EQ(machine_run_insn(&m, "\x89\x07"), EMUL_CONTINUE);

	machine_init(&m, EMUL_MODE_PROT32);	/* by way of rbp and rsp it is #SS */
	m.segs[EMUL_SS].limit = 0x1fff;
	m.c.gpr[RBP] = 0x2000;
	EXPECT_FAULT("\x8b\x45\x00", 12, true);
	m.c.gpr[RSP] = 0x2004;
	EXPECT_FAULT("\x50", 12, true);
	m.c.gpr[RDI] = 0x2000;			/* an override makes it #SS too */
	EXPECT_FAULT("\x36\x8b\x07", 12, true);
	CHECK_EQ(machine_run_insn(&m, "\x3e\x8b\x45\x00"), EMUL_CONTINUE);

	machine_init(&m, EMUL_MODE_REAL);	/* the word at ffff */
	m.c.gpr[RBX] = 0xffff;
	EXPECT_FAULT("\x8b\x07", 13, false);
	CHECK_EQ(machine_run_insn(&m, "\x8a\x07"), EMUL_CONTINUE);
	tap_result("segment limits");
}

static void test_expand_down(void)
{
	machine_init(&m, EMUL_MODE_PROT32);
	m.segs[EMUL_DS].type = 7;
	m.segs[EMUL_DS].limit = 0x1fff;
	m.c.gpr[RDI] = 0x2000;
	CHECK_EQ(machine_run_insn(&m, "\x89\x07"), EMUL_CONTINUE);
	machine_init(&m, EMUL_MODE_PROT32);
	m.segs[EMUL_DS].type = 7;
	m.segs[EMUL_DS].limit = 0x1fff;
	m.c.gpr[RDI] = 0x1fff;
	EXPECT_FAULT("\x89\x07", 13, true);
	m.segs[EMUL_DS].db = false;		/* the upper bound is ffff */
	m.c.gpr[RDI] = 0xfffe;
	EXPECT_FAULT("\x89\x07", 13, true);
	tap_result("expand-down segments");
}

static void test_types(void)
{
	machine_init(&m, EMUL_MODE_PROT32);
	m.segs[EMUL_DS].type = 1;		/* read-only */
	m.c.gpr[RDI] = 0x2000;
	EXPECT_FAULT("\x89\x07", 13, true);
	EXPECT_FAULT("\x01\x07", 13, true);
	CHECK_EQ(machine_run_insn(&m, "\x39\x07"), EMUL_CONTINUE);	/* CMP only reads */

	machine_init(&m, EMUL_MODE_PROT32);
	m.c.gpr[RDI] = 0x2000;
	EXPECT_FAULT("\x2e\x89\x07", 13, true);			/* writes to code */
	m.segs[EMUL_CS].type = 9;
	EXPECT_FAULT("\x2e\x8b\x07", 13, true);			/* execute-only */

	m.segs[EMUL_ES].unusable = true;
	EXPECT_FAULT("\xaa", 13, true);
	EXPECT_FAULT("\xa4", 13, true);
	CHECK_EQ(m.n_seen, 0);
	m.segs[EMUL_DS].present = false;
	EXPECT_FAULT("\x8b\x07", 13, true);

	machine_init(&m, EMUL_MODE_PROT32);	/* the target is checked before the source is read */
	m.segs[EMUL_ES].type = 1;
	m.c.gpr[RSI] = DEVICE_AT;
	m.c.gpr[RDI] = 0x2000;
	EXPECT_FAULT("\xa4", 13, true);
	EXPECT_FAULT("\xaa", 13, true);
	EXPECT_FAULT("\x6c", 13, true);
	CHECK_EQ(m.n_seen, 0);
	CHECK_EQ(machine_run_insn(&m, "\xa6"), EMUL_CONTINUE);	/* CMPS only reads */
	CHECK_EQ(m.n_seen, 1);

	machine_init(&m, EMUL_MODE_LONG64);	/* all of that is off */
	m.segs[EMUL_DS].unusable = true;
	m.segs[EMUL_DS].limit = 0;
	m.c.gpr[RDI] = 0x2000;
	CHECK_EQ(machine_run_insn(&m, "\x89\x07"), EMUL_CONTINUE);
	tap_result("segment types and null selectors");
}

static void test_bases(void)
{
	machine_init(&m, EMUL_MODE_REAL);
	m.segs[EMUL_ES].base = 0x3000;
	m.c.gpr[RDI] = 0x10;
	m.c.gpr[RAX] = 0x7788;
	CHECK_EQ(machine_run_insn(&m, "\xab"), EMUL_CONTINUE);
	CHECK_EQ(machine_peek(&m, 0x3010, 2), 0x7788);

	machine_init(&m, EMUL_MODE_PROT32);	/* wraps at 4G */
	m.segs[EMUL_DS].base = 0xfffff000;
	m.c.gpr[RDI] = 0x3000;
	m.c.gpr[RAX] = 0x99;
	CHECK_EQ(machine_run_insn(&m, "\x89\x07"), EMUL_CONTINUE);
	CHECK_EQ(machine_peek(&m, 0x2000, 4), 0x99);

	machine_init(&m, EMUL_MODE_LONG64);	/* only FS and GS have one */
	m.segs[EMUL_DS].base = 0x1000;
	m.segs[EMUL_GS].base = 0x1000;
	m.c.gpr[RDI] = 0x2000;
	m.c.gpr[RAX] = 0x55;
	CHECK_EQ(machine_run_insn(&m, "\x3e\x88\x07"), EMUL_CONTINUE);
	CHECK_EQ(machine_peek(&m, 0x2000, 1), 0x55);
	m.c.rip = CODE_AT;
	CHECK_EQ(machine_run_insn(&m, "\x65\x88\x07"), EMUL_CONTINUE);
	CHECK_EQ(machine_peek(&m, 0x3000, 1), 0x55);
	tap_result("segment bases");
}

static void test_canonical(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RDI] = 0x800000000000;
	EXPECT_FAULT("\x8b\x07", 13, true);
	m.c.gpr[RDI] = 0x7ffffffffffd;		/* the last byte is not */
	EXPECT_FAULT("\x8b\x07", 13, true);
	m.c.gpr[RBP] = 0x800000000000;
	EXPECT_FAULT("\x8b\x45\x00", 12, true);
	m.c.gpr[RSP] = 0xffff7fffffffffff;
	EXPECT_FAULT("\x50", 12, true);
	m.c.gpr[RAX] = 0x1000000000000;
	EXPECT_FAULT("\xff\xe0", 13, true);

	machine_init(&m, EMUL_MODE_LONG64);	/* with 57 bits it is canonical, and absent */
	m.c.va_bits = 57;
	m.c.gpr[RDI] = 0x800000000000;
	CHECK_EQ(machine_run_insn(&m, "\x8b\x07"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 14);
	CHECK_EQ(m.c.fault.address, 0x800000000000);
	tap_result("canonical addresses");
}

static void test_branch_limit(void)
{
	machine_init(&m, EMUL_MODE_PROT32);
	m.segs[EMUL_CS].limit = 0x1fff;
	EXPECT_FAULT("\xe9\x00\x10\x00\x00", 13, true);
	EXPECT_FAULT("\xe8\x00\x10\x00\x00", 13, true);	/* and nothing is pushed */
	CHECK_EQ(m.c.gpr[RSP], 0x8000);
	tap_result("branches keep to the code segment");
}

/* SDM vol. 1, "I/O Permission Bit Map" */
static void test_port_permission(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		machine_init(&m, i ? EMUL_MODE_VM86 : EMUL_MODE_PROT32);
		m.c.cpl = 3;
		if (i)
			m.c.rflags |= 0x3000;	/* IOPL does not count here */
		m.segs[EMUL_TR].base = 0x4000;
		m.segs[EMUL_TR].limit = 0x68 + 0x10;
		machine_poke(&m, 0x4066, 0x68, 2);
		machine_poke(&m, 0x4068, 0x00ff00000000fe00, 8);
		m.c.gpr[RDX] = 8;		/* only bit 8 is clear */
		CHECK_EQ(machine_run_insn(&m, "\xec"), EMUL_CONTINUE);
		m.c.rip = CODE_AT;
		m.n_seen = 0;
		m.ram_writes = 0;
		EXPECT_FAULT("\x66\xed", 13, true);
		EXPECT_FAULT("\xed", 13, true);
		m.c.gpr[RDX] = 9;
		EXPECT_FAULT("\xee", 13, true);
		m.c.gpr[RDX] = 0x90;		/* beyond the limit */
		EXPECT_FAULT("\xee", 13, true);
		EXPECT_FAULT("\x6c", 13, true);
		CHECK_EQ(m.n_seen, 0);
	}
	machine_init(&m, EMUL_MODE_PROT32);
	m.c.cpl = 3;
	m.c.rflags |= 0x3000;
	CHECK_EQ(machine_run_insn(&m, "\xee"), EMUL_CONTINUE);
	CHECK_EQ(m.n_seen, 1);

	machine_init(&m, EMUL_MODE_PROT32);	/* a TSS over the end of the address space */
	m.c.cpl = 3;
	m.segs[EMUL_TR].base = 0xfffffff0;
	machine_poke(&m, 0x56, 0x68, 2);
	CHECK_EQ(machine_run_insn(&m, "\xee"), EMUL_CONTINUE);
	machine_init(&m, EMUL_MODE_LONG64);	/* which is elsewhere in 64-bit mode */
	m.c.cpl = 3;
	m.segs[EMUL_TR].base = 0xfffffff0;
	CHECK_EQ(machine_run_insn(&m, "\xee"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 14);
	CHECK_EQ(m.c.fault.address, 0x100000056);

	machine_init(&m, EMUL_MODE_PROT32);	/* a 16-bit TSS has no bitmap */
	m.c.cpl = 3;
	m.segs[EMUL_TR].type = 3;
	EXPECT_FAULT("\xee", 13, true);
	tap_result("port permissions");
}

static void test_popf_privilege(void)
{
	machine_init(&m, EMUL_MODE_PROT32);	/* CPL 3 above IOPL 0: no IF, no IOPL */
	m.c.cpl = 3;
	machine_poke(&m, 0x8000, 0x3001, 4);
	CHECK_EQ(machine_run_insn(&m, "\x9d"), EMUL_CONTINUE);
	CHECK_EQ(m.c.rflags, 0x203);

	machine_init(&m, EMUL_MODE_PROT32);	/* IOPL 3: IF, but no IOPL */
	m.c.cpl = 3;
	m.c.rflags |= 0x3000;
	machine_poke(&m, 0x8000, 0x0001, 4);
	CHECK_EQ(machine_run_insn(&m, "\x9d"), EMUL_CONTINUE);
	CHECK_EQ(m.c.rflags, 0x3003);

	machine_init(&m, EMUL_MODE_PROT32);	/* CPL 0; VM stays out */
	machine_poke(&m, 0x8000, 0x23001, 4);
	CHECK_EQ(machine_run_insn(&m, "\x9d"), EMUL_CONTINUE);
	CHECK_EQ(m.c.rflags, 0x3003);

	machine_init(&m, EMUL_MODE_VM86);	/* IOPL below 3 is another matter */
	CHECK_EQ(machine_run_insn(&m, "\x9d"), EMUL_UNHANDLEABLE);
	CHECK_EQ(machine_run_insn(&m, "\xfa"), EMUL_UNHANDLEABLE);
	tap_result("what POPF may change");
}

static void test_cr4_permissions(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.cpl = 3;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x31"), EMUL_CONTINUE);
	m.c.rip = CODE_AT;
	m.cr[4] |= 1 << 2;			/* TSD */
	EXPECT_FAULT("\x0f\x31", 13, true);
	EXPECT_FAULT("\x0f\x33", 13, true);	/* PCE is clear */
	m.cr[4] |= 1 << 8;
	CHECK_EQ(machine_run_insn(&m, "\x0f\x33"), EMUL_CONTINUE);
	m.c.rip = CODE_AT;
	m.cr[4] |= 1 << 11;			/* UMIP */
	EXPECT_FAULT("\x0f\x01\xe0", 13, true);
	m.cr[4] &= ~(1ULL << 18);		/* OSXSAVE */
	EXPECT_FAULT("\x0f\x01\xd0", 6, false);

	machine_init(&m, EMUL_MODE_PROT32);	/* PVI, at CPL 3 alone */
	m.c.cpl = 3;
	m.cr[4] |= 1 << 1;
	CHECK_EQ(machine_run_insn(&m, "\xfa"), EMUL_UNHANDLEABLE);
	m.c.cpl = 1;
	EXPECT_FAULT("\xfa", 13, true);
	tap_result("CR4 bits that forbid");
}

static void test_sse_state(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RDI] = 0x2000;
	m.cr[0] |= 1 << 3;			/* TS */
	EXPECT_FAULT("\x0f\x11\x07", 7, false);
	m.cr[0] |= 1 << 2;			/* EM goes first */
	EXPECT_FAULT("\x0f\x11\x07", 6, false);
	m.cr[0] = 1;
	m.cr[4] = 0;				/* no OSFXSR */
	EXPECT_FAULT("\x0f\x11\x07", 6, false);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RDI] = 0x2008;			/* misaligned */
	EXPECT_FAULT("\x0f\x29\x07", 13, true);
	EXPECT_FAULT("\x66\x0f\x6f\x07", 13, true);
	EXPECT_FAULT("\x66\x0f\xe7\x07", 13, true);
	CHECK_EQ(machine_run_insn(&m, "\x0f\x11\x07"), EMUL_CONTINUE);
	tap_result("SSE moves: CR0, CR4 and alignment");
}

static void test_cmpxchg16b(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RDI] = 0x2008;
	EXPECT_FAULT("\xf0\x48\x0f\xc7\x0f", 13, true);
	m.c.gpr[RDI] = 0x2010;
	m.c.gpr[RAX] = 1;
	machine_poke(&m, 0x2010, 1, 8);
	m.c.gpr[RBX] = 0x1111;
	m.c.gpr[RCX] = 0x2222;
	CHECK_EQ(machine_run_insn(&m, "\xf0\x48\x0f\xc7\x0f"), EMUL_CONTINUE);
	CHECK_EQ(machine_peek(&m, 0x2010, 8), 0x1111);
	CHECK_EQ(machine_peek(&m, 0x2018, 8), 0x2222);
	CHECK(m.c.rflags & 0x40);
	tap_result("cmpxchg16b");
}

static void test_address_size(void)
{
	machine_init(&m, EMUL_MODE_LONG64);	/* 67: the sum wraps at 4G */
	m.c.gpr[RDI] = 0xffffffff00002000;
	m.c.gpr[RAX] = 0x66;
	CHECK_EQ(machine_run_insn(&m, "\x67\x88\x07"), EMUL_CONTINUE);
	CHECK_EQ(machine_peek(&m, 0x2000, 1), 0x66);

	machine_init(&m, EMUL_MODE_LONG64);	/* string registers in 32 bits */
	m.c.gpr[RDI] = 0xffffffff00002000;
	m.c.gpr[RCX] = 0xffffffff00000002;
	CHECK_EQ(machine_run_insn(&m, "\x67\xf3\xaa"), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[RDI], 0x2002);
	CHECK_EQ(m.c.gpr[RCX], 0);

	machine_init(&m, EMUL_MODE_REAL);	/* string registers in 16 bits */
	m.c.gpr[RSI] = 0xabcdffff;
	m.c.gpr[RDI] = 0x12342000;
	CHECK_EQ(machine_run_insn(&m, "\xa4"), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[RSI], 0xabcd0000);
	CHECK_EQ(m.c.gpr[RDI], 0x12342001);

	machine_init(&m, EMUL_MODE_PROT32);	/* a 16-bit stack in 32-bit code */
	m.segs[EMUL_SS].db = false;
	m.c.gpr[RSP] = 0x50008000;
	CHECK_EQ(machine_run_insn(&m, "\x50"), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[RSP], 0x50007ffc);
	tap_result("address and stack sizes");
}

static void test_user_faults(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.cpl = 3;
	m.c.gpr[RDI] = ABSENT_AT + 8;
	CHECK_EQ(machine_run_insn(&m, "\x8b\x07"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.error, 4);
	CHECK_EQ(m.c.fault.address, ABSENT_AT + 8);
	m.c.gpr[RDI] = READ_ONLY_AT;		/* ADD: a read that means to write */
	CHECK_EQ(machine_run_insn(&m, "\x01\x07"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.error, 7);
	CHECK_EQ(machine_run_insn(&m, "\x39\x07"), EMUL_CONTINUE);
	tap_result("page faults say what was tried");
}

int main(void)
{
	test_limits();
	test_expand_down();
	test_types();
	test_bases();
	test_canonical();
	test_branch_limit();
	test_port_permission();
	test_popf_privilege();
	test_cr4_permissions();
	test_sse_state();
	test_cmpxchg16b();
	test_address_size();
	test_user_faults();
	return tap_done();
}
