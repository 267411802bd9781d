// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices: what they see, once, when user space finishes the access and the
 * instruction is run again. Every case runs with devices that answer at once
 * too, and with each access to memory that finds no page at first, and must
 * leave the same behind.
 */
#include <string.h>

#include "emul_machine.h"

#define RAX EMUL_RAX
#define RCX EMUL_RCX
#define RDX EMUL_RDX
#define RBX EMUL_RBX
#define RSP EMUL_RSP
#define RSI EMUL_RSI
#define RDI EMUL_RDI
#define DEV DEVICE_AT

#define REG_MAX 6

struct access {
	bool write;
	u64 at;
	unsigned int len;
	u64 val;		/* of a write */
};

#define READ(at, len)		{ false, at, len, 0 }
#define WRITE(at, len, val)	{ true, at, len, val }

struct io_case {
	const char *name;
	enum emul_mode mode;
	const char *bytes;
	unsigned int n;
	struct {
		bool used;
		u8 reg;
		u64 val;
	} in[REG_MAX], out[REG_MAX];
	struct access sees[6];
	u64 mem_at, mem_val;	/* eight bytes afterwards */
};

#define R(r, v)	{ true, r, v }
#define I(str)	str, sizeof(str) - 1

static struct machine m;

/* Devices give 40, 41, 42... */
static const struct io_case cases[] = {
	{ "mov from a device", EMUL_MODE_LONG64, I("\x8b\x07"), .in = { R(RDI, DEV) },
	  .out = { R(RAX, 0x43424140) }, .sees = { READ(DEV, 4) } },
	{ "mov to a device", EMUL_MODE_LONG64, I("\x48\x89\x07"),
	  .in = { R(RDI, DEV + 8), R(RAX, 0x1122334455667788) },
	  .sees = { WRITE(DEV + 8, 8, 0x1122334455667788) } },
	{ "add to a device: one read, one write", EMUL_MODE_PROT32, I("\x01\x07"),
	  .in = { R(RDI, DEV), R(RAX, 0x10) },
	  .sees = { READ(DEV, 4), WRITE(DEV, 4, 0x43424150) } },
	{ "lock or on a device", EMUL_MODE_PROT32, I("\xf0\x83\x0f\x0f"), .in = { R(RDI, DEV) },
	  .sees = { READ(DEV, 4), WRITE(DEV, 4, 0x4342414f) } },
	{ "xchg with a device", EMUL_MODE_LONG64, I("\x87\x07"),
	  .in = { R(RDI, DEV), R(RAX, 0x99) }, .out = { R(RAX, 0x43424140) },
	  .sees = { READ(DEV, 4), WRITE(DEV, 4, 0x99) } },
	{ "cmp only reads", EMUL_MODE_LONG64, I("\x80\x3f\x40"), .in = { R(RDI, DEV) },
	  .sees = { READ(DEV, 1) } },
	{ "push from a device", EMUL_MODE_LONG64, I("\xff\x37"), .in = { R(RDI, DEV) },
	  .out = { R(RSP, 0x7ff8) }, .sees = { READ(DEV, 8) },
	  .mem_at = 0x7ff8, .mem_val = 0x4746454443424140 },
	{ "movs from device to device", EMUL_MODE_PROT32, I("\xa5"),
	  .in = { R(RSI, DEV), R(RDI, DEV + 0x10) }, .out = { R(RSI, DEV + 4), R(RDI, DEV + 0x14) },
	  .sees = { READ(DEV, 4), WRITE(DEV + 0x10, 4, 0x43424140) } },
	{ "rep movs from a device", EMUL_MODE_LONG64, I("\xf3\x66\xa5"),
	  .in = { R(RSI, DEV), R(RDI, 0x2000), R(RCX, 3) },
	  .out = { R(RSI, DEV + 6), R(RDI, 0x2006), R(RCX, 0) },
	  .sees = { READ(DEV, 2), READ(DEV + 2, 2), READ(DEV + 4, 2) },
	  .mem_at = 0x2000, .mem_val = 0x454443424140 },
	{ "rep stos to a device", EMUL_MODE_LONG64, I("\xf3\xaa"),
	  .in = { R(RDI, DEV), R(RCX, 2), R(RAX, 0x77) }, .out = { R(RDI, DEV + 2), R(RCX, 0) },
	  .sees = { WRITE(DEV, 1, 0x77), WRITE(DEV + 1, 1, 0x77) } },
	{ "a read from RAM into a device", EMUL_MODE_LONG64, I("\x8b\x87\xfe\x0f\x00\x00"),
	  .in = { R(RDI, DEV - 0x1000) }, .sees = { READ(DEV, 2) },
	  .out = { R(RAX, 0x41400000) } },
	{ "16 bytes in two pieces", EMUL_MODE_LONG64, I("\x0f\x10\x07"), .in = { R(RDI, DEV) },
	  .sees = { READ(DEV, 8), READ(DEV + 8, 8) } },
	{ "16 bytes out in two pieces", EMUL_MODE_LONG64, I("\x66\x0f\x7f\x07"),
	  .in = { R(RDI, DEV + 16) },
	  .sees = { WRITE(DEV + 16, 8, 0), WRITE(DEV + 24, 8, 0) } },
	{ "in", EMUL_MODE_LONG64, I("\xed"), .in = { R(RDX, 0x3f8), R(RAX, -1ULL) },
	  .out = { R(RAX, 0x43424140) }, .sees = { READ(0x3f8, 4) } },
	{ "in al", EMUL_MODE_REAL, I("\xe4\x71"), .in = { R(RAX, 0x1234) },
	  .out = { R(RAX, 0x1240) }, .sees = { READ(0x71, 1) } },
	{ "out", EMUL_MODE_PROT16, I("\xef"), .in = { R(RDX, 0x10080), R(RAX, 0xabcd1234) },
	  .sees = { WRITE(0x80, 2, 0x1234) } },
	{ "rep insw", EMUL_MODE_PROT32, I("\xf3\x66\x6d"),
	  .in = { R(RDX, 0x1f0), R(RDI, 0x2000), R(RCX, 4) },
	  .out = { R(RDI, 0x2008), R(RCX, 0) }, .sees = { READ(0x1f0, 8) },
	  .mem_at = 0x2000, .mem_val = 0x4746454443424140 },
	{ "rep insb to a device", EMUL_MODE_LONG64, I("\xf3\x6c"),
	  .in = { R(RDX, 0x60), R(RDI, DEV), R(RCX, 2) }, .out = { R(RCX, 0) },
	  .sees = { READ(0x60, 2), WRITE(DEV, 1, 0x40), WRITE(DEV + 1, 1, 0x41) } },
	{ "rep outsb from a device", EMUL_MODE_LONG64, I("\xf3\x6e"),
	  .in = { R(RDX, 0x60), R(RSI, DEV), R(RCX, 2) }, .out = { R(RSI, DEV + 2), R(RCX, 0) },
	  .sees = { READ(DEV, 1), READ(DEV + 1, 1), WRITE(0x60, 2, 0x4140) } },
	{ "outsd", EMUL_MODE_REAL, I("\x66\x6f"), .in = { R(RDX, 0x60), R(RSI, 0x1000) },
	  .out = { R(RSI, 0x1004) }, .sees = { WRITE(0x60, 4, 0xcccc6f66) } },
};

static void check_seen(const struct io_case *t)
{
	unsigned int i, n = 0;

	while (n < ARRAY_SIZE(t->sees) && t->sees[n].len)
		n++;
	CHECK_EQ(m.n_seen, n);
	for (i = 0; i < n && i < m.n_seen; i++) {
		CHECK_EQ(m.seen[i].write, t->sees[i].write);
		CHECK_EQ(m.seen[i].at, t->sees[i].at);
		CHECK_EQ(m.seen[i].len, t->sees[i].len);
		if (t->sees[i].write)
			CHECK_EQ(m.seen[i].val, t->sees[i].val);
	}
}

/* With @no_page, that access to memory finds none at first.  False: there are not so many. */
static bool run_case(const struct io_case *t, bool defer, unsigned int no_page)
{
	unsigned int i;

	machine_init(&m, t->mode);
	m.defer = defer;
	m.no_page_at = no_page;
	for (i = 0; i < REG_MAX && t->in[i].used; i++)
		m.c.gpr[t->in[i].reg] = t->in[i].val;
	machine_insn(&m, t->bytes, t->n);
	CHECK_EQ(machine_run(&m), EMUL_CONTINUE);
	CHECK_EQ(m.c.rip, CODE_AT + t->n);
	CHECK_EQ(m.exits, defer ? m.n_seen : 0);
	for (i = 0; i < REG_MAX && t->out[i].used; i++)
		CHECK_EQ(m.c.gpr[t->out[i].reg], t->out[i].val);
	if (t->mem_at)
		CHECK_EQ(machine_peek(&m, t->mem_at, 8), t->mem_val);
	check_seen(t);
	return !m.no_page_at;
}

static void test_table(void)
{
	unsigned int i, n;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		run_case(&cases[i], false, 0);
		run_case(&cases[i], true, 0);
		for (n = 1; run_case(&cases[i], false, n); n++)
			run_case(&cases[i], true, n);
		CHECK(n > 1);
		tap_result("%s", cases[i].name);
	}
}

/* A register must not move before the access is finished. */
static void test_nothing_moves(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.defer = true;
	machine_insn(&m, "\xff\x37", 2);	/* push [rdi] */
	m.c.gpr[RDI] = DEV;
	CHECK_EQ(emul_run(&m.c), EMUL_IO_NEEDED);
	CHECK_EQ(m.c.gpr[RSP], 0x8000);
	CHECK_EQ(m.c.rip, CODE_AT);
	CHECK_EQ(emul_run(&m.c), EMUL_IO_NEEDED);	/* still */
	CHECK_EQ(m.n_seen, 1);
	CHECK(!emul_io_done(&m.c, "abc", 3));		/* wrong length */
	CHECK(emul_io_done(&m.c, "abcdefgh", 8));
	CHECK(!emul_io_done(&m.c, "abcdefgh", 8));	/* nothing is pending */
	CHECK_EQ(emul_run(&m.c), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[RSP], 0x7ff8);
	CHECK_EQ(m.n_seen, 1);
	CHECK(!memcmp(m.ram + 0x7ff8, "abcdefgh", 8));
	tap_result("nothing moves until the access is finished");
}

static void overwrite_ram(struct machine *mm)
{
	machine_poke(mm, 0x2000, 0xffffffff, 4);
	machine_poke(mm, CODE_AT, 0x9090909090909090, 8);
}

/* Memory that another CPU changes meanwhile is not read again, nor is the instruction. */
static void test_no_double_fetch(void)
{
	machine_init(&m, EMUL_MODE_PROT32);
	m.defer = true;
	m.between = overwrite_ram;
	machine_poke(&m, 0x2000, 0x1234, 4);
	m.c.gpr[RSI] = 0x2000;
	m.c.gpr[RDI] = DEV;
	CHECK_EQ(machine_run_insn(&m, "\xa5"), EMUL_CONTINUE);	/* movsd */
	CHECK_EQ(m.n_seen, 1);
	CHECK_EQ(m.seen[0].val, 0x1234);
	CHECK_EQ(m.c.gpr[RSI], 0x2004);
	tap_result("a second run sees what the first one saw");
}

/* A device must not be read for an instruction that will fault. */
static void test_fault_before_device(void)
{
	machine_init(&m, EMUL_MODE_LONG64);	/* push [device] on an absent stack */
	m.c.gpr[RDI] = DEV;
	m.c.gpr[RSP] = ABSENT_AT + 0x100;
	CHECK_EQ(machine_run_insn(&m, "\xff\x37"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 14);
	CHECK_EQ(m.c.fault.address, ABSENT_AT + 0xf8);
	CHECK_EQ(m.n_seen, 0);
	CHECK_EQ(m.c.gpr[RSP], ABSENT_AT + 0x100);

	machine_init(&m, EMUL_MODE_LONG64);	/* movs from a device to read-only memory */
	m.c.gpr[RSI] = DEV;
	m.c.gpr[RDI] = READ_ONLY_AT;
	CHECK_EQ(machine_run_insn(&m, "\xa5"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.error, 3);
	CHECK_EQ(m.n_seen, 0);

	machine_init(&m, EMUL_MODE_LONG64);	/* ins to read-only memory */
	m.c.gpr[RDI] = READ_ONLY_AT;
	m.c.gpr[RCX] = 4;
	CHECK_EQ(machine_run_insn(&m, "\xf3\x6d"), EMUL_EXCEPTION);
	CHECK_EQ(m.n_seen, 0);

	machine_init(&m, EMUL_MODE_LONG64);	/* a read that runs from a device into nothing */
	m.c.gpr[RDI] = DEV + 4094;
	CHECK_EQ(machine_run_insn(&m, "\x8b\x07"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.address, ABSENT_AT);
	CHECK_EQ(m.n_seen, 0);
	tap_result("a device is not touched when the instruction faults");
}

/* Over two pages, the second of which is absent: nothing is written. */
static void test_no_partial_write(void)
{
	static const char insns[][4] = {
		"\x89\x07", "\x48\x89\x07", "\x01\x07", "\x0f\x11\x07", "\x66\x89\x07", "\xab",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		machine_init(&m, EMUL_MODE_LONG64);
		m.c.gpr[RDI] = HIGH_RAM_AT + 4095;
		machine_insn(&m, insns[i], 3);
		CHECK_EQ(machine_run(&m), EMUL_EXCEPTION);
		CHECK_EQ(m.c.fault.vector, 14);
		CHECK_EQ(m.c.fault.error, 2);
		CHECK_EQ(m.c.fault.address, HIGH_RAM_AT + 4096);
		CHECK_EQ(m.ram_writes, 0);
		CHECK_EQ(m.c.gpr[RDI], HIGH_RAM_AT + 4095);
	}
	machine_init(&m, EMUL_MODE_PROT32);	/* pusha over the page below */
	m.c.gpr[RSP] = HIGH_RAM_AT + 8;
	m.read_only[0] = 1;
	CHECK_EQ(machine_run_insn(&m, "\x60"), EMUL_EXCEPTION);
	CHECK_EQ(m.ram_writes, 0);
	CHECK_EQ(m.c.gpr[RSP], HIGH_RAM_AT + 8);
	tap_result("a write over two pages is all or nothing");
}

/* A repeated instruction that faults keeps what it has done. */
static void test_rep_fault(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.defer = true;
	m.c.gpr[RSI] = DEV + 0xffc;
	m.c.gpr[RDI] = 0x2000;
	m.c.gpr[RCX] = 5;
	CHECK_EQ(machine_run_insn(&m, "\xf3\x66\xa5"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.address, ABSENT_AT);
	CHECK_EQ(m.c.gpr[RCX], 3);
	CHECK_EQ(m.c.gpr[RSI], ABSENT_AT);
	CHECK_EQ(m.c.gpr[RDI], 0x2004);
	CHECK_EQ(m.c.rip, CODE_AT);
	CHECK_EQ(m.n_seen, 2);
	CHECK_EQ(machine_peek(&m, 0x2000, 4), 0x43424140);

	/* OUTS: the items before the fault are out. */
	machine_init(&m, EMUL_MODE_LONG64);
	m.defer = true;
	m.c.gpr[RSI] = HIGH_RAM_AT + 4094;
	m.c.gpr[RDX] = 0x60;
	m.c.gpr[RCX] = 5;
	CHECK_EQ(machine_run_insn(&m, "\xf3\x6e"), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.address, HIGH_RAM_AT + 4096);
	CHECK_EQ(m.c.gpr[RCX], 3);
	CHECK_EQ(m.n_seen, 1);
	CHECK_EQ(m.seen[0].len, 2);
	tap_result("a repeated instruction faults where it stands");
}

/* Interrupts have their turn: a long repetition returns with rip unmoved. */
static void test_rep_bounded(void)
{
	unsigned int runs = 0;

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.gpr[RDI] = 0x2000;
	m.c.gpr[RCX] = 2500;
	m.c.gpr[RAX] = 0x5a;
	machine_insn(&m, "\xf3\xaa", 2);
	do {
		CHECK_EQ(machine_run(&m), EMUL_CONTINUE);
		runs++;
	} while (m.c.rip == CODE_AT && runs < 10);
	CHECK_EQ(runs, 3);
	CHECK_EQ(m.c.gpr[RCX], 0);
	CHECK_EQ(m.c.gpr[RDI], 0x2000 + 2500);
	CHECK_EQ(m.ram_writes, 2500);

	machine_init(&m, EMUL_MODE_LONG64);	/* INS in pieces of a page */
	m.c.gpr[RDI] = 0x2f00;
	m.c.gpr[RCX] = 0x400;
	m.c.gpr[RDX] = 0x1f0;
	CHECK_EQ(machine_run_insn(&m, "\xf3\x66\x6d"), EMUL_CONTINUE);
	CHECK_EQ(m.c.rip, CODE_AT + 3);
	CHECK_EQ(m.n_seen, 3);
	CHECK_EQ(m.seen[0].len, 0x100);
	CHECK_EQ(m.seen[1].len, 0x400);
	CHECK_EQ(m.seen[2].len, 0x300);
	CHECK_EQ(m.c.gpr[RDI], 0x3700);
	CHECK_EQ(machine_peek(&m, 0x3000, 2), 0x4140);	/* 0x40 + 0x100, as bytes */

	machine_init(&m, EMUL_MODE_LONG64);	/* backwards: one at a time */
	m.c.rflags |= 0x400;
	m.c.gpr[RDI] = 0x2004;
	m.c.gpr[RCX] = 3;
	CHECK_EQ(machine_run_insn(&m, "\xf3\x66\x6d"), EMUL_CONTINUE);
	CHECK_EQ(m.n_seen, 3);
	CHECK_EQ(machine_peek(&m, 0x2000, 6), 0x414043424544);
	tap_result("repetitions come in bounded pieces");
}

static unsigned int race;

static enum emul_result racing_cmpxchg(struct emul_ctxt *c, u64 linear, void *old,
				       const void *new, unsigned int len)
{
	struct machine *mm = c->opaque;

	if (race) {
		race--;
		mm->ram[linear]++;	/* another CPU */
	}
	if (memcmp(mm->ram + linear, old, len)) {
		memcpy(old, mm->ram + linear, len);
		return EMUL_CONTINUE;
	}
	memcpy(mm->ram + linear, new, len);
	return EMUL_CONTINUE;
}

/* A locked access that loses to another CPU is run again, and does not write what it read. */
static void test_lost_race(void)
{
	struct emul_ops ops;

	machine_init(&m, EMUL_MODE_LONG64);
	ops = *m.c.ops;
	ops.cmpxchg = racing_cmpxchg;
	m.c.ops = &ops;
	machine_insn(&m, "\xf0\x48\x0f\xc1\x07", 5);	/* lock xadd [rdi], rax */
	m.c.gpr[RDI] = 0x2000;
	m.c.gpr[RAX] = 0x10;
	race = 1;
	CHECK_EQ(emul_run(&m.c), EMUL_CONTINUE);
	CHECK_EQ(m.c.rip, CODE_AT);
	CHECK_EQ(m.c.gpr[RAX], 0x10);
	CHECK_EQ(machine_peek(&m, 0x2000, 8), 1);
	CHECK_EQ(emul_run(&m.c), EMUL_CONTINUE);
	CHECK_EQ(m.c.rip, CODE_AT + 5);
	CHECK_EQ(m.c.gpr[RAX], 1);
	CHECK_EQ(machine_peek(&m, 0x2000, 8), 0x11);
	tap_result("a locked access that loses a race is run again");
}

int main(void)
{
	test_table();
	test_nothing_moves();
	test_no_double_fetch();
	test_fault_before_device();
	test_no_partial_write();
	test_rep_fault();
	test_rep_bounded();
	test_lost_race();
	return tap_done();
}
