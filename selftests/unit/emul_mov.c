// SPDX-License-Identifier: GPL-2.0-only
/*
 * What emul_mov_of() makes of an instruction against the emulator's own way with it: opcodes of
 * one byte and of 0F with each ModRM byte, under prefixes, with random registers. Each that it
 * takes must do the same to memory and to registers.
 */
#include <string.h>

#include "emul_tap.h"
#include "../../module/emul/emul.h"

#define RIP	0x401000ULL

/* The accesses that the emulator made. */
static struct {
	unsigned int n;
	bool write;
	u64 linear, val;
	unsigned int len;
} seen;

static u64 seed = 88172645463325252ULL;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static enum emul_result mem_read(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
				 unsigned int access)
{
	u64 val = linear * 0x9e3779b97f4a7c15ULL;

	if (access & EMUL_ACC_FETCH || len > 8)
		return EMUL_UNHANDLEABLE;
	memcpy(buf, &val, len);
	seen.n++;
	seen.write = false;
	seen.linear = linear;
	seen.len = len;
	seen.val = val;
	return EMUL_CONTINUE;
}

static enum emul_result mem_write(struct emul_ctxt *c, u64 linear, const void *buf,
				  unsigned int len, unsigned int access)
{
	if (len > 8)
		return EMUL_UNHANDLEABLE;
	seen.n++;
	seen.write = true;
	seen.linear = linear;
	seen.len = len;
	seen.val = 0;
	memcpy(&seen.val, buf, len);
	return EMUL_CONTINUE;
}

static enum emul_result probe(struct emul_ctxt *c, u64 linear, unsigned int len,
			      unsigned int access)
{
	return EMUL_CONTINUE;
}

static enum emul_result get_seg(struct emul_ctxt *c, enum emul_segreg reg, struct emul_seg *seg)
{
	*seg = (struct emul_seg){ .base = 0x123000, .limit = ~0u, .type = 3, .s = true, .present = true };
	return EMUL_CONTINUE;
}

/* All else is of no plain MOV's. */
static const struct emul_ops ops = {
	.read = mem_read, .write = mem_write, .probe = probe, .get_seg = get_seg,
};

static void set_up(struct emul_ctxt *c, const u8 *bytes, const u64 *gpr)
{
	memset(c, 0, sizeof(*c));
	emul_init(c, &ops, NULL, EMUL_MODE_LONG64, 0, 48);
	memcpy(c->gpr, gpr, sizeof(c->gpr));
	c->rip = RIP;
	c->rflags = 2;
	emul_supply_bytes(c, bytes, EMUL_INSN_MAX);
}

static void compare(const u8 *bytes)
{
	static struct emul_ctxt c;
	struct emul_mov m;
	u64 gpr[16];
	int i;

	/* Canonical sums, mostly. */
	for (i = 0; i < 16; i++)
		gpr[i] = rnd() >> 20;
	set_up(&c, bytes, gpr);
	CHECK(emul_decode(&c) == EMUL_CONTINUE && emul_mov_of(&c, &m));
	memset(&seen, 0, sizeof(seen));
	if (emul_run(&c) == EMUL_EXCEPTION)
		return;
	/* Over the end of a page it has two pieces. */
	if ((emul_mov_address(&m, gpr, RIP) & 4095) + m.mem_bytes > 4096)
		return;
	CHECK_EQ(seen.n, 1);
	CHECK_EQ(m.store, seen.write);
	CHECK_EQ(emul_mov_address(&m, gpr, RIP), seen.linear);
	CHECK_EQ(m.mem_bytes, seen.len);
	CHECK_EQ(RIP + m.len, c.rip);
	if (m.store)
		CHECK_EQ(emul_mov_stored(&m, gpr), seen.val);
	else
		emul_mov_load(&m, gpr, seen.val);
	CHECK(!memcmp(gpr, c.gpr, sizeof(gpr)));
}

/* How many of the forms with these bytes in front it takes. */
static unsigned int try_forms(const char *prefix, unsigned int n)
{
	unsigned int opcode, modrm, taken = 0, i;
	static struct emul_ctxt c;
	static const u64 gpr[16];
	struct emul_mov m;
	u8 bytes[16];

	for (opcode = 0; opcode < 256; opcode++) {
		for (modrm = 0; modrm < 256; modrm++) {
			for (i = 0; i < sizeof(bytes); i++)
				bytes[i] = rnd();
			memcpy(bytes, prefix, n);
			bytes[n] = opcode;
			bytes[n + 1] = modrm;
			set_up(&c, bytes, gpr);
			if (emul_decode(&c) != EMUL_CONTINUE || !emul_mov_of(&c, &m))
				continue;
			taken++;
			compare(bytes);
			if (tap_this_failed) {
				printf("# at %02x %02x behind %u bytes of prefix\n", opcode, modrm, n);
				return taken;
			}
		}
	}
	return taken;
}

static void test_same(void)
{
#define P(str)	{ str, sizeof(str) - 1 }
	static const struct {
		const char *bytes;
		unsigned int n;
	} prefixes[] = {
		P(""), P("\x66"), P("\x67"), P("\x40"), P("\x48"), P("\x4f"), P("\x42"), P("\x66\x41"),
		P("\xf3"), P("\x2e"), P("\x0f"), P("\x66\x0f"), P("\x48\x0f"), P("\x45\x0f"),
		P("\x67\x4c\x0f"),
	};
	unsigned int i, taken;

	for (i = 0; i < ARRAY_SIZE(prefixes); i++) {
		taken = try_forms(prefixes[i].bytes, prefixes[i].n);
		CHECK(taken > 100);
	}
	tap_result("a plain MOV does what the emulator does");
}

static bool takes(enum emul_mode mode, const char *insn)
{
	static struct emul_ctxt c;
	struct emul_mov m;
	u8 bytes[16] = { 0 };

	memset(&c, 0, sizeof(c));
	memcpy(bytes, insn, strlen(insn));
	emul_init(&c, &ops, NULL, mode, 0, 48);
	emul_supply_bytes(&c, bytes, EMUL_INSN_MAX);
	return emul_decode(&c) == EMUL_CONTINUE && emul_mov_of(&c, &m);
}

static void test_others(void)
{
	CHECK(takes(EMUL_MODE_LONG64, "\x89\x07"));
	CHECK(takes(EMUL_MODE_LONG64, "\x0f\xb6\x07"));
	CHECK(takes(EMUL_MODE_LONG64, "\xa3"));
	CHECK(!takes(EMUL_MODE_PROT32, "\x89\x07"));
	CHECK(!takes(EMUL_MODE_REAL, "\x89\x07"));
	CHECK(!takes(EMUL_MODE_LONG64, "\x64\x89\x07"));	/* FS */
	CHECK(!takes(EMUL_MODE_LONG64, "\x65\x89\x07"));	/* GS */
	CHECK(!takes(EMUL_MODE_LONG64, "\x89\xc7"));		/* registers */
	CHECK(!takes(EMUL_MODE_LONG64, "\xb8\x07"));
	CHECK(!takes(EMUL_MODE_LONG64, "\x01\x07"));		/* ADD */
	CHECK(!takes(EMUL_MODE_LONG64, "\x87\x07"));		/* XCHG */
	CHECK(!takes(EMUL_MODE_LONG64, "\xff\x37"));		/* PUSH */
	CHECK(!takes(EMUL_MODE_LONG64, "\xa5"));		/* MOVS */
	CHECK(!takes(EMUL_MODE_LONG64, "\x0f\x10\x07"));	/* MOVUPS */
	CHECK(!takes(EMUL_MODE_LONG64, "\x0f\x44\x07"));	/* CMOV */
	CHECK(!takes(EMUL_MODE_LONG64, "\x8c\x07"));		/* from a segment register */
	tap_result("nothing else is taken for one");
}

int main(void)
{
	test_same();
	test_others();
	return tap_done();
}
