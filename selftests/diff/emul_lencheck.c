// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's decoder against a disassembler library, in 16, 32 and 64-bit
 * mode: whatever the emulator decodes must be a valid instruction of the same
 * length. Every opcode with every ModRM and several prefixes, then random bytes.
 *
 * LENCHECK_RANDOM: random strings for each mode (default 2000000).
 */
#include <string.h>

#include <Zydis/Zydis.h>

#include "../unit/emul_tap.h"
#include "../../module/emul/emul_priv.h"

struct mode {
	enum emul_mode mode;
	ZydisMachineMode machine;
	ZydisStackWidth stack;
	const char *name;
};

static const struct mode modes[] = {
	{ EMUL_MODE_REAL, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16, "real" },
	{ EMUL_MODE_PROT16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, "16-bit" },
	{ EMUL_MODE_PROT32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, "32-bit" },
	{ EMUL_MODE_LONG64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, "64-bit" },
};

static struct emul_ctxt c;
static ZydisDecoder decoder;
static unsigned long compared, refused_by_both;

static enum emul_result op_get_seg(struct emul_ctxt *ctxt, enum emul_segreg reg,
				   struct emul_seg *seg)
{
	(void)ctxt, (void)reg;
	*seg = (struct emul_seg){ .limit = 0xffff, .present = true };
	return EMUL_CONTINUE;
}

static enum emul_result op_read(struct emul_ctxt *ctxt, u64 linear, void *buf, unsigned int len,
				unsigned int access)
{
	(void)ctxt, (void)linear, (void)access;
	memset(buf, 0, len);
	return EMUL_CONTINUE;
}

static const struct emul_ops ops = { .get_seg = op_get_seg, .read = op_read };

/* What the library refuses for another reason than its length. */
static bool excused(const struct mode *m, const struct emul_insn *in, ZyanStatus zs)
{
	/* Checks of operands, which the emulator makes when it runs the instruction. */
	if (zs == ZYDIS_STATUS_BAD_REGISTER)
		return true;
	/* LOCK MOV CR0 is CR8 on AMD CPUs, which the library leaves out. */
	if (zs == ZYDIS_STATUS_ILLEGAL_LOCK)
		return in->map == 1 && (in->opcode == 0x20 || in->opcode == 0x22);
	/* SLDT, VMRUN and others are #UD in real mode; here they have a length and no handler. */
	return in->map == 1 && in->opcode <= 1 && !in->op->exec && m->mode == EMUL_MODE_REAL;
}

static void report(const struct mode *m, const u8 *bytes, ZyanStatus zs,
		   const ZydisDecodedInstruction *z)
{
	unsigned int i;

	printf("#   %s:", m->name);
	for (i = 0; i < EMUL_INSN_MAX; i++)
		printf(" %02x", bytes[i]);
	printf("\n");
	if (ZYAN_SUCCESS(zs))
		tap_fail("%s: %u bytes here, %u there", ZydisMnemonicGetString(z->mnemonic),
			 c.insn.len, z->length);
	else
		tap_fail("%u bytes here, there status %#x", c.insn.len, zs);
}

static void compare(const struct mode *m, const u8 *bytes)
{
	ZydisDecodedInstruction z;
	enum emul_result res;
	ZyanStatus zs;

	emul_init(&c, &ops, NULL, m->mode, 0, 48);
	c.rip = 0x1000;
	emul_supply_bytes(&c, bytes, EMUL_INSN_MAX);
	res = emul_decode(&c);
	zs = ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, EMUL_INSN_MAX, &z);
	if (res == EMUL_UNHANDLEABLE)
		return;
	if (res == EMUL_EXCEPTION) {
		if (!ZYAN_SUCCESS(zs))
			refused_by_both++;
		else
			tap_fail("%s is refused with vector %u",
				 ZydisMnemonicGetString(z.mnemonic), c.fault.vector);
		if (tap_this_failed)
			report(m, bytes, zs, &z);
		return;
	}
	compared++;
	if (ZYAN_SUCCESS(zs) ? z.length == c.insn.len : excused(m, &c.insn, zs))
		return;
	report(m, bytes, zs, &z);
}

static u64 rng_state = 1;

static u64 rnd(void)
{
	u64 z = (rng_state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void fill(u8 *bytes, unsigned int from)
{
	for (; from < EMUL_INSN_MAX; from++)
		bytes[from] = rnd();
}

static const char *const prefix_sets[] = {
	"", "\x66", "\x67", "\x66\x67", "\xf3", "\xf2", "\xf0", "\x64", "\x2e",
	"\x48", "\x41", "\x4f", "\x66\x48", "\x67\x4e", "\xf3\x48", "\x48\x66", "\x66\xf3",
};

/* Every opcode byte and every byte after it. */
static void enumerate(const struct mode *m)
{
	static const char *const maps[] = { "", "\x0f", "\x0f\x38" };
	unsigned int p, map, opcode, modrm, sib;

	for (p = 0; p < ARRAY_SIZE(prefix_sets); p++) {
		for (map = 0; map < 3; map++) {
			for (opcode = 0; opcode < 0x10000; opcode++) {
				for (sib = 0; sib < 2; sib++) {
					u8 b[EMUL_INSN_MAX];
					unsigned int n = strlen(prefix_sets[p]);

					memcpy(b, prefix_sets[p], n);
					memcpy(b + n, maps[map], strlen(maps[map]));
					n += strlen(maps[map]);
					b[n++] = opcode;
					modrm = opcode >> 8;
					b[n++] = modrm;
					b[n++] = sib ? 0x25 : rnd();
					fill(b, n);
					compare(m, b);
					if (tap_this_failed)
						return;
				}
			}
		}
	}
}

static void random_strings(const struct mode *m, unsigned long count)
{
	static const u8 frequent[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f, 0x2e, 0x64, 0x48, 0x41 };
	unsigned int i;

	while (count-- && !tap_this_failed) {
		u8 b[EMUL_INSN_MAX];

		fill(b, 0);
		for (i = 0; i < EMUL_INSN_MAX && rnd() % 2; i++)
			b[i] = frequent[rnd() % ARRAY_SIZE(frequent)];
		compare(m, b);
	}
}

int main(void)
{
	const char *n = getenv("LENCHECK_RANDOM");
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct mode *m = &modes[i];

		if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, m->machine, m->stack)))
			return 1;
		compared = 0;
		enumerate(m);
		tap_result("%s: every opcode and ModRM, %lu compared", m->name, compared);
		compared = 0;
		random_strings(m, n ? strtoul(n, NULL, 0) : 2000000);
		tap_result("%s: random bytes, %lu compared, %lu refused by both", m->name,
			   compared, refused_by_both);
	}
	return tap_done();
}
