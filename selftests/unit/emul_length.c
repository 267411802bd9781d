// SPDX-License-Identifier: GPL-2.0-only
/* Decoding alone: lengths and classes, the 15-byte limit, what is fetched. */
#include <string.h>

#include "emul_machine.h"

static struct machine m;

struct length_case {
	const char *name;
	enum emul_mode mode;
	const char *bytes;
	unsigned int n;
	enum emul_class cls;
};

#define CASE(mode, cls, bytes) { #cls, EMUL_MODE_##mode, bytes, sizeof(bytes) - 1, EMUL_CLS_##cls }

static const struct length_case lengths[] = {
	CASE(LONG64, CPUID, "\x0f\xa2"),
	CASE(LONG64, RDTSC, "\x0f\x31"),
	CASE(LONG64, RDTSCP, "\x0f\x01\xf9"),
	CASE(LONG64, RDPMC, "\x0f\x33"),
	CASE(LONG64, RDMSR, "\x0f\x32"),
	CASE(LONG64, WRMSR, "\x0f\x30"),
	CASE(LONG64, XSETBV, "\x0f\x01\xd1"),
	CASE(LONG64, HLT, "\xf4"),
	CASE(LONG64, PAUSE, "\xf3\x90"),
	CASE(LONG64, MONITOR, "\x0f\x01\xc8"),
	CASE(LONG64, MWAIT, "\x0f\x01\xc9"),
	CASE(LONG64, HYPERCALL, "\x0f\x01\xd9"),
	CASE(PROT32, HYPERCALL, "\x0f\x01\xc1"),
	CASE(LONG64, INVLPG, "\x41\x0f\x01\x7c\x24\x40"),
	CASE(PROT32, INVLPG, "\x0f\x01\x3d\x00\x10\x00\x00"),
	CASE(LONG64, INVLPGA, "\x0f\x01\xdf"),
	CASE(LONG64, INVD, "\x0f\x08"),
	CASE(LONG64, WBINVD, "\x0f\x09"),
	CASE(LONG64, MOV_TO_CR, "\x0f\x22\xd8"),
	CASE(LONG64, MOV_TO_CR, "\x44\x0f\x22\xc0"),
	CASE(PROT32, MOV_FROM_CR, "\x0f\x20\xc0"),
	CASE(PROT32, MOV_TO_CR, "\xf0\x0f\x22\xc0"),	/* CR8 on AMD */
	CASE(LONG64, MOV_TO_DR, "\x0f\x23\xf8"),
	CASE(LONG64, MOV_FROM_DR, "\x0f\x21\xf8"),
	CASE(REAL, CLTS, "\x0f\x06"),
	CASE(REAL, LMSW, "\x0f\x01\xf0"),
	CASE(REAL, SMSW, "\x0f\x01\xe0"),
	CASE(REAL, SMSW, "\x67\x0f\x01\x64\x24\x10"),
	CASE(LONG64, IN, "\xe4\x71"),
	CASE(LONG64, IN, "\x66\xed"),
	CASE(REAL, OUT, "\xee"),
	CASE(LONG64, INS, "\xf3\x6c"),
	CASE(LONG64, OUTS, "\xf3\x48\x6f"),
	CASE(LONG64, INT3, "\xcc"),
	CASE(LONG64, INTN, "\xcd\x80"),
	CASE(PROT32, INTO, "\xce"),
	CASE(LONG64, ICEBP, "\xf1"),
	CASE(LONG64, IRET, "\x48\xcf"),
	CASE(LONG64, PUSHF, "\x9c"),
	CASE(LONG64, POPF, "\x9d"),
	CASE(LONG64, RSM, "\x0f\xaa"),
	CASE(LONG64, VMRUN, "\x0f\x01\xd8"),
	CASE(LONG64, VMLOAD, "\x0f\x01\xda"),
	CASE(LONG64, VMSAVE, "\x0f\x01\xdb"),
	CASE(LONG64, STGI, "\x0f\x01\xdc"),
	CASE(LONG64, CLGI, "\x0f\x01\xdd"),
	CASE(LONG64, SKINIT, "\x0f\x01\xde"),
	CASE(PROT32, LGDT, "\x0f\x01\x15\x00\x00\x00\x00"),
	CASE(REAL, LIDT, "\x0f\x01\x1e\x00\x10"),
	CASE(LONG64, SGDT, "\x0f\x01\x04\x24"),
	CASE(LONG64, LTR, "\x0f\x00\xd8"),
	CASE(LONG64, INVPCID, "\x66\x0f\x38\x82\x08"),
	CASE(LONG64, OTHER, "\x90"),
	CASE(LONG64, OTHER, "\x67\x8b\x84\x8a\x78\x56\x34\x12"),
	CASE(LONG64, OTHER, "\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08"),
	CASE(LONG64, OTHER, "\xa1\x01\x02\x03\x04\x05\x06\x07\x08"),
	CASE(PROT32, OTHER, "\xa1\x01\x02\x03\x04"),
	CASE(REAL, OTHER, "\xc7\x06\x34\x12\x78\x56"),
	CASE(PROT16, OTHER, "\x66\x67\xc7\x84\x24\x00\x00\x00\x00\x78\x56\x34\x12"),
	CASE(LONG64, OTHER, "\xf6\x05\x00\x00\x00\x00\x01"),
	CASE(LONG64, OTHER, "\xf6\x15\x00\x00\x00\x00"),
};

static enum emul_result length_of(enum emul_mode mode, const char *bytes, unsigned int n,
				  enum emul_class cls, unsigned int *len)
{
	machine_init(&m, mode);
	machine_insn(&m, bytes, n);
	*len = 0;
	return emul_insn_length(&m.c, cls, len);
}

static void test_lengths(void)
{
	unsigned int i, len;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		const struct length_case *t = &lengths[i];

		CHECK_EQ(length_of(t->mode, t->bytes, t->n, t->cls, &len), EMUL_CONTINUE);
		CHECK_EQ(len, t->n);
		CHECK_EQ(emul_next_rip(&m.c), CODE_AT + t->n);
		CHECK_EQ(length_of(t->mode, t->bytes, t->n, EMUL_CLS_ANY, &len), EMUL_CONTINUE);
		CHECK_EQ(length_of(t->mode, t->bytes, t->n, EMUL_CLS_SLDT, &len),
			 EMUL_UNHANDLEABLE);
		if (tap_this_failed)
			printf("# in case %u: %s\n", i, t->name);
	}
	tap_result("intercepted instructions have their length and their name");
}

static void test_limit(void)
{
	char bytes[EMUL_INSN_MAX + 2];
	unsigned int len;

	memset(bytes, 0x66, sizeof(bytes));
	bytes[13] = 0x0f;
	bytes[14] = 0xa2;
	CHECK_EQ(length_of(EMUL_MODE_LONG64, bytes, 15, EMUL_CLS_CPUID, &len), EMUL_CONTINUE);
	CHECK_EQ(len, 15);

	bytes[13] = 0x66;
	bytes[14] = 0x0f;
	bytes[15] = 0xa2;
	CHECK_EQ(length_of(EMUL_MODE_LONG64, bytes, 16, EMUL_CLS_CPUID, &len), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 13);
	CHECK(m.c.fault.has_error);

	memset(bytes, 0x66, sizeof(bytes));
	CHECK_EQ(length_of(EMUL_MODE_REAL, bytes, 16, EMUL_CLS_ANY, &len), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 13);
	CHECK(!m.c.fault.has_error);
	tap_result("16 bytes are #GP, 15 are not");
}

/* An instruction that ends with its page must not touch the next one. */
static void test_fetch_at_page_end(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	memcpy(m.high_ram + 4094, "\x0f\xa2", 2);
	m.c.rip = HIGH_RAM_AT + 4094;
	CHECK_EQ(emul_decode(&m.c), EMUL_CONTINUE);
	CHECK_EQ(m.fetches, 1);
	CHECK_EQ(m.fetch_end, HIGH_RAM_AT + 4096);

	/* One that does not end there faults at the first byte of the next page. */
	machine_init(&m, EMUL_MODE_LONG64);
	memcpy(m.high_ram + 4094, "\x8b\x05", 2);
	m.c.rip = HIGH_RAM_AT + 4094;
	CHECK_EQ(emul_decode(&m.c), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 14);
	CHECK_EQ(m.c.fault.address, HIGH_RAM_AT + 4096);
	CHECK_EQ(m.c.fault.error, 16);

	/* Over two pages of RAM. */
	machine_init(&m, EMUL_MODE_PROT32);
	memcpy(m.ram + 0x1ffd, "\xb8\x78\x56\x34\x12", 5);
	m.c.rip = 0x1ffd;
	CHECK_EQ(machine_run(&m), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[EMUL_RAX], 0x12345678);
	CHECK_EQ(m.fetches, 2);
	tap_result("nothing is fetched beyond what is needed");
}

static void test_supplied_bytes(void)
{
	machine_init(&m, EMUL_MODE_LONG64);
	m.c.rip = 0x12345000000;	/* nothing is there */
	emul_supply_bytes(&m.c, "\x0f\xa2\xcc\xcc", 4);
	CHECK_EQ(emul_decode(&m.c), EMUL_CONTINUE);
	CHECK_EQ(m.c.insn.len, 2);
	CHECK_EQ(m.fetches, 0);

	machine_init(&m, EMUL_MODE_PROT32);	/* too few: the rest is fetched */
	machine_insn(&m, "\xb8\x01\x02\x03\x04", 5);
	emul_supply_bytes(&m.c, "\xb8\x01", 2);
	CHECK_EQ(emul_run(&m.c), EMUL_CONTINUE);
	CHECK_EQ(m.c.gpr[EMUL_RAX], 0x04030201);
	CHECK_EQ(m.fetches, 1);
	tap_result("bytes that the CPU gave are taken, missing ones fetched");
}

static void test_code_limit(void)
{
	unsigned int len;

	machine_init(&m, EMUL_MODE_PROT32);
	machine_insn(&m, "\xb8\x01\x02\x03\x04", 5);
	m.segs[EMUL_CS].limit = CODE_AT + 3;
	CHECK_EQ(emul_insn_length(&m.c, EMUL_CLS_ANY, &len), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 13);
	CHECK_EQ(m.fetch_end, CODE_AT + 4);

	machine_init(&m, EMUL_MODE_PROT32);	/* the last byte of the segment counts */
	machine_insn(&m, "\x90", 1);
	m.segs[EMUL_CS].limit = CODE_AT;
	CHECK_EQ(emul_insn_length(&m.c, EMUL_CLS_ANY, &len), EMUL_CONTINUE);
	CHECK_EQ(m.fetch_end, CODE_AT + 1);

	machine_init(&m, EMUL_MODE_LONG64);
	m.c.rip = 0x7fffffffffff + 1;
	CHECK_EQ(emul_decode(&m.c), EMUL_EXCEPTION);
	CHECK_EQ(m.c.fault.vector, 13);

	machine_init(&m, EMUL_MODE_PROT16);	/* CS has a base */
	m.segs[EMUL_CS].base = 0x100;
	memcpy(m.ram + CODE_AT + 0x100, "\x0f\xa2", 2);
	CHECK_EQ(emul_insn_length(&m.c, EMUL_CLS_CPUID, &len), EMUL_CONTINUE);
	tap_result("fetches keep to the code segment");
}

/* Not emulated: reported, never guessed. */
static void test_unknown(void)
{
	static const char unknown[][8] = {
		"\x0f\x3a\x0f\xc1\x01", "\xd9\xe8", "\xc5\xf8\x77", "\x62\xf1\x7c\x48\x10\x00",
		"\xf3\x0f\xbc\xc0", "\xf3\x0f\xb8\xc0", "\x0f\x05", "\x8f\xe8\x78\xc2\xc1\x00",
		"\xf2\x0f\x38\xf0\xc0", "\xf2\x0f\x38\xf1\x07", "\x66\xe8\x00\x00\x00\x00", "\xf3\x0f\x01\xd9", "\x66\xeb\x00", "\x66\x0f\xa4\xc0\x11",
		"\x0f\xae\x00", "\x0f\x0b",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		machine_init(&m, EMUL_MODE_LONG64);
		machine_insn(&m, unknown[i], 6);
		CHECK_EQ(machine_run(&m), EMUL_UNHANDLEABLE);
		CHECK_EQ(m.c.rip, CODE_AT);
		if (tap_this_failed)
			printf("# in case %u\n", i);
	}
	tap_result("other instructions are left alone");
}

static void test_undefined(void)
{
	static const struct {
		enum emul_mode mode;
		char bytes[8];
	} undefined[] = {
		{ EMUL_MODE_LONG64, "\x06\xcc" }, { EMUL_MODE_LONG64, "\x60\xcc" },
		{ EMUL_MODE_LONG64, "\x82\xc0\x01" }, { EMUL_MODE_LONG64, "\xce\xcc" },
		{ EMUL_MODE_LONG64, "\xf0\x01\xc0" },		/* LOCK with a register */
		{ EMUL_MODE_LONG64, "\xf0\x8b\x00" },		/* LOCK MOV */
		{ EMUL_MODE_LONG64, "\xf0\x39\x00" },		/* LOCK CMP */
		{ EMUL_MODE_PROT32, "\x8d\xc0" },		/* LEA of a register */
		{ EMUL_MODE_REAL, "\xf0\x90" },
		{ EMUL_MODE_LONG64, "\x66\x0f\x38\x82\xc8" },	/* INVPCID of a register */
		{ EMUL_MODE_PROT32, "\x0f\x20\xc8" },		/* CR1 */
		{ EMUL_MODE_PROT32, "\x8e\xc8" },		/* MOV to CS */
		{ EMUL_MODE_PROT32, "\x8c\xf0" },		/* sixth segment */
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(undefined); i++) {
		machine_init(&m, undefined[i].mode);
		machine_insn(&m, undefined[i].bytes, 5);
		CHECK_EQ(machine_run(&m), EMUL_EXCEPTION);
		CHECK_EQ(m.c.fault.vector, 6);
		CHECK(!m.c.fault.has_error);
		if (tap_this_failed)
			printf("# in case %u\n", i);
	}
	tap_result("wrong forms are #UD");
}

int main(void)
{
	test_lengths();
	test_limit();
	test_fetch_at_page_end();
	test_supplied_bytes();
	test_code_limit();
	test_unknown();
	test_undefined();
	return tap_done();
}
