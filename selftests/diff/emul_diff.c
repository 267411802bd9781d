// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against the CPU at hand: the same bytes with the same registers
 * and memory run natively and through the emulator, and everything that is
 * left behind is compared. 64-bit and 32-bit code, privilege level 3.
 *
 * DIFF_CASES: cases for each opcode (default 1000); DIFF_SEED: first seed;
 * DIFF_ONLY: one opcode, as in "0fa3", or "f7/6" for a group entry, or
 * "32-bit 40".
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <err.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/emul_tap.h"
#include "../../module/emul/emul_priv.h"
#include "native.h"

/*
 * Memory: two pages, then nothing. It is mapped twice, low for 32-bit addresses
 * and near the code for RIP-relative ones; nothing else is near the code, so
 * that a wild branch ends in a page fault and not in this program.
 */
#define DATA_LOW	0x10000000ULL
#define CODE32		0x50000000ULL
#define CODE64		0x200000000000ULL	/* outside what ASan has for itself */
#define CODE_SIZE	0x10000ULL
#define DATA_HIGH	(CODE64 + 0x100000)
#define DATA_SIZE	0x2000ULL
#define CODE		(code32 ? CODE32 : CODE64)
#define INSN_AT		(CODE + CODE_SIZE / 2)
#define WILD_ROOM	(code32 ? 1ULL << 27 : 1ULL << 33)	/* nothing is mapped there */

#define COMPARED_FLAGS	(FL_ARITH | FL_DF | FL_ID)

static u8 *native_data;		/* the two pages, through DATA_LOW */
static u8 *code;		/* where CODE is */
static bool code32;

/* Of two faults, which goes first is the vendor's choice; the emulator follows AMD. */
static bool exact_faults;
static u8 shadow[DATA_SIZE];	/* the same for the emulator */
static u8 xmm[16][16];

static u64 rng_state;

static u64 rnd(void)
{
	u64 z = (rng_state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static u64 below(u64 n)
{
	return rnd() % n;
}

/* Numbers with edges: small, all ones, one bit, near signs. */
static u64 interesting(void)
{
	switch (below(8)) {
	case 0:
		return below(4);
	case 1:
		return -below(4);
	case 2:
		return 1ULL << below(64);
	case 3:
		return (1ULL << below(64)) - 1;
	case 4:
		return rnd() & 0xff;
	default:
		return rnd() >> below(64);
	}
}

/* ---- the emulator's machine ---- */

static u8 *shadow_at(u64 linear)
{
	if (linear - DATA_LOW < DATA_SIZE)
		return shadow + (linear - DATA_LOW);
	if (linear - DATA_HIGH < DATA_SIZE)
		return shadow + (linear - DATA_HIGH);
	return NULL;
}

static enum emul_result op_access(struct emul_ctxt *c, u64 linear, void *buf, const void *from,
				  unsigned int len, unsigned int access)
{
	u8 *p = shadow_at(linear);

	if ((access & EMUL_ACC_FETCH) && linear - CODE < CODE_SIZE)
		p = code + (linear - CODE);
	if (!p)
		return emul_raise_pf(c, linear, 4 | (access & EMUL_ACC_WRITE ? 2 : 0));
	if (from)
		memcpy(p, from, len);
	else if (buf)
		memcpy(buf, p, len);
	return EMUL_CONTINUE;
}

static enum emul_result op_read(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
				unsigned int access)
{
	return op_access(c, linear, buf, NULL, len, access);
}

static enum emul_result op_write(struct emul_ctxt *c, u64 linear, const void *buf,
				 unsigned int len, unsigned int access)
{
	return op_access(c, linear, NULL, buf, len, access | EMUL_ACC_WRITE);
}

static enum emul_result op_probe(struct emul_ctxt *c, u64 linear, unsigned int len,
				 unsigned int access)
{
	return op_access(c, linear, NULL, NULL, len, access);
}

static enum emul_result op_cmpxchg(struct emul_ctxt *c, u64 linear, void *old, const void *new,
				   unsigned int len)
{
	u8 *p = shadow_at(linear);

	(void)c;
	if (!p || memcmp(p, old, len))
		errx(1, "locked access to other memory than was read");
	memcpy(p, new, len);
	return EMUL_CONTINUE;
}

static enum emul_result op_pio(struct emul_ctxt *c, bool out, u16 port, unsigned int size,
			       void *buf, unsigned int count)
{
	(void)c, (void)out, (void)port, (void)size, (void)buf, (void)count;
	errx(1, "a port was let through at CPL 3");
}

static enum emul_result op_get_seg(struct emul_ctxt *c, enum emul_segreg reg,
				   struct emul_seg *seg)
{
	u16 sel = 0;

	(void)c;
	switch (reg) {
	case EMUL_ES:
		asm("mov %%es, %0" : "=r" (sel));
		break;
	case EMUL_CS:
		asm("mov %%cs, %0" : "=r" (sel));
		sel = code32 ? 0x23 : sel;
		break;
	case EMUL_SS:
		asm("mov %%ss, %0" : "=r" (sel));
		break;
	case EMUL_DS:
		asm("mov %%ds, %0" : "=r" (sel));
		break;
	case EMUL_FS:
		asm("mov %%fs, %0" : "=r" (sel));
		break;
	case EMUL_GS:
		asm("mov %%gs, %0" : "=r" (sel));
		break;
	default:
		break;
	}
	*seg = (struct emul_seg){
		.selector = sel, /* the task has no I/O permissions */
		.limit = reg == EMUL_TR ? 0x40 : 0xffffffff, .type = reg == EMUL_CS ? 0xb : 3,
		.s = true, .present = true, .db = true,
	};
	return EMUL_CONTINUE;
}

static enum emul_result op_set_seg(struct emul_ctxt *c, enum emul_segreg reg,
				   const struct emul_seg *seg)
{
	(void)c, (void)reg, (void)seg;
	return EMUL_UNHANDLEABLE;
}

static enum emul_result op_xmm(struct emul_ctxt *c, unsigned int reg, u8 buf[16], bool write)
{
	(void)c;
	memcpy(write ? xmm[reg] : buf, write ? buf : xmm[reg], 16);
	return EMUL_CONTINUE;
}

static enum emul_result op_get(struct emul_ctxt *c, enum emul_file file, u32 index, u64 *val)
{
	u32 lo, hi;

	if (file == EMUL_FILE_XCR && index > 1)
		return emul_raise(c, XV_GP, 0);
	if (file == EMUL_FILE_XCR) {
		asm volatile("xgetbv" : "=a" (lo), "=d" (hi) : "c" (index));
		*val = (u64)hi << 32 | lo;
		return EMUL_CONTINUE;
	}
	if (file != EMUL_FILE_CR)
		return EMUL_UNHANDLEABLE;
	*val = index == 4 ? CR4_OSFXSR | CR4_OSXSAVE : 0;
	return EMUL_CONTINUE;
}

static enum emul_result op_set(struct emul_ctxt *c, enum emul_file file, u32 index, u64 val)
{
	(void)c, (void)file, (void)index, (void)val;
	errx(1, "a system register was let through at CPL 3");
}

static enum emul_result op_cpuid(struct emul_ctxt *c, u32 r[4])
{
	(void)c;
	__cpuid_count(r[0], r[2], r[0], r[1], r[2], r[3]);
	return EMUL_CONTINUE;
}

static enum emul_result op_system(struct emul_ctxt *c, enum emul_sysop op, u64 arg)
{
	(void)c, (void)arg;
	return op == EMUL_SYS_PAUSE ? EMUL_CONTINUE : EMUL_UNHANDLEABLE;
}

static const struct emul_ops ops = {
	.read = op_read, .write = op_write, .cmpxchg = op_cmpxchg, .probe = op_probe,
	.pio = op_pio, .get_seg = op_get_seg, .set_seg = op_set_seg, .xmm = op_xmm,
	.get = op_get, .set = op_set, .cpuid = op_cpuid, .system = op_system,
};

/* ---- making cases ---- */

/* An opcode under test: its map, the byte, and for groups ModRM.reg. */
struct target {
	u8 map;
	u8 opcode;
	bool group;
	u8 reg;
	u8 prefix;		/* mandatory prefix, or 0 */
	char name[24];
};

struct test_case {
	u8 bytes[32];
	unsigned int n;		/* generated bytes; the instruction may be shorter */
	unsigned int disp_at;	/* position of a 32-bit displacement, or 0 */
	struct native_state regs;
	u64 want_ea;
};

static bool has_modrm(const struct target *t)
{
	const struct emul_opcode *map = t->map == 0 ? emul_map_1byte :
					t->map == 1 ? emul_map_0f : emul_map_0f38;

	return map[t->opcode].flags & F_MODRM;
}

static void put(struct test_case *k, u8 b)
{
	k->bytes[k->n++] = b;
}

static void make_prefixes(struct test_case *k, const struct target *t)
{
	static const u8 harmless[] = { 0x2e, 0x3e, 0x26, 0x36 };
	unsigned int i, n = below(4) ? 0 : 1 + below(3);

	for (i = 0; i < n; i++)
		put(k, harmless[below(4)]);
	if (t->prefix)
		put(k, t->prefix);
	if (!below(3))
		put(k, 0x66);
	if (!below(8))
		put(k, 0x67);
	if (!below(6))
		put(k, 0xf0);
	if (!below(2))
		put(k, below(2) ? 0xf2 : 0xf3);
	if (!code32 && below(2))
		put(k, 0x40 | below(16));
}

/* ModRM, SIB and displacement; the rest of the bytes is random, as immediate. */
static void make_operands(struct test_case *k, const struct target *t)
{
	u8 modrm = rnd();
	unsigned int i;

	if (t->group)
		modrm = (modrm & ~0x38) | t->reg << 3;
	if (has_modrm(t)) {
		unsigned int mod = modrm >> 6, rm = modrm & 7;
		bool sib = mod != 3 && rm == 4;
		u8 sib_byte = rnd();

		put(k, modrm);
		if (sib)
			put(k, sib_byte);
		if (mod == 0 && (sib ? (sib_byte & 7) == 5 : rm == 5))
			k->disp_at = k->n;
	}
	for (i = 0; i < 14; i++)
		put(k, rnd());
}

static void make_registers(struct test_case *k)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		k->regs.gpr[i] = code32 ? (u32)interesting() : interesting();
	k->regs.gpr[EMUL_RSP] = DATA_LOW + 0x800 + below(0x1000);
	k->regs.rip = INSN_AT;
	k->regs.rflags = 0x202 | (rnd() & COMPARED_FLAGS);
	for (i = 0; i < 16 * 16; i++)
		k->regs.xmm[i / 16][i % 16] = rnd();
}

/* An address for an operand: mostly inside, sometimes over the first or last edge. */
static u64 pick_address(bool near)
{
	u64 base = near ? DATA_HIGH : DATA_LOW;

	switch (below(8)) {
	case 0:
		return base + 0x1000 - 8 + below(16);
	case 1:
		return base + 0x2000 - 16 + below(20);
	case 2:
		return base + below(16);
	default:
		return base + 16 * below(0x1f0 / 16 * 16);
	}
}

/* Move base register, displacement or immediate so that the operand lies at want_ea. */
static void aim(struct test_case *k, struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	bool near = in->base == EMUL_RIP_BASE;
	u64 delta;
	u32 disp;

	if ((in->flags & F_IMM) == F_I_MOFFS) {
		k->want_ea = pick_address(false);
		memcpy(k->bytes + in->len - in->addr_bytes, &k->want_ea, in->addr_bytes);
		return;
	}
	if (!(in->flags & F_MODRM) || in->mod == 3)
		return;
	k->want_ea = pick_address(near && in->addr_bytes == 8);
	memcpy(c->gpr, k->regs.gpr, sizeof(c->gpr));
	delta = k->want_ea - emul_effective_address(c);
	if (in->base < 16 && in->index != in->base) {
		k->regs.gpr[in->base] += delta;
		if (code32)
			k->regs.gpr[in->base] &= 0xffffffff;
	} else if (k->disp_at) {
		memcpy(&disp, k->bytes + k->disp_at, 4);
		disp += delta;
		memcpy(k->bytes + k->disp_at, &disp, 4);
	}
}

/* Neither the operand nor the stack may lie in this program's own memory. */
static bool is_safe(const struct test_case *k, struct emul_ctxt *c)
{
	const u64 user_end = 1ULL << 47;
	u64 sp = k->regs.gpr[EMUL_RSP], ea;

	memcpy(c->gpr, k->regs.gpr, sizeof(c->gpr));
	if (sp < user_end && sp - (DATA_LOW - 0x100000) > 0x200000)
		return false;
	if (!(c->insn.flags & F_MODRM) || c->insn.mod == 3)
		return true;
	ea = emul_effective_address(c);
	if (code32)		/* 16-bit addresses are below all memory */
		return ea == k->want_ea || ea < 0x10000;
	return ea == k->want_ea || ea >= user_end;
}

/* Registers that an instruction uses beside its operands. */
static void shape(struct test_case *k, struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	u64 *r = k->regs.gpr;
	bool string = in->map == 0 && ((in->opcode >= 0xa4 && in->opcode <= 0xa7) ||
				       (in->opcode >= 0xaa && in->opcode <= 0xaf));

	if (string) {
		r[EMUL_RSI] = pick_address(false);
		r[EMUL_RDI] = pick_address(false);
		r[EMUL_RCX] = below(40);
		if (!below(4))	/* equal stretches for CMPS, SCAS */
			memset(native_data, r[EMUL_RAX] = 0x41, DATA_SIZE / 2);
	} else if (in->map == 0 && in->opcode == 0xd7) {
		r[EMUL_RBX] = pick_address(false);
	} else if (in->map == 0 && (in->opcode & 0xfc) == 0xe0) {
		r[EMUL_RCX] = below(3);
	} else if (in->flags & F_BITSTR) {
		r[in->reg] = code32 ? below(64) : below(2) ? below(64) : below(20000) - 10000;
	} else if (in->map == 0 && in->opcode == 0xc9) {
		r[EMUL_RBP] = r[EMUL_RSP];
	}
	if (in->op->exec == emul_op_div && below(4))
		r[EMUL_RDX] = below(2) ? below(100) : code32 ? (u32)-below(3) : -below(3);
	if (in->op->exec == emul_op_cmpxchg && below(2) && in->mod == 3)
		r[EMUL_RAX] = r[in->rm];
}

/* What the instruction will find in memory. */
static void shape_memory(struct test_case *k, struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	u64 sp = k->regs.gpr[EMUL_RSP], val;
	u8 *p = shadow_at(k->want_ea) ? native_data + (shadow_at(k->want_ea) - shadow) : NULL;

	if (in->op->exec == emul_op_popf) {
		memcpy(&val, native_data + (sp - DATA_LOW), 8);
		val &= ~(u64)(FL_TF | FL_AC | FL_NT);
		memcpy(native_data + (sp - DATA_LOW), &val, 8);
	}
	if (in->op->exec == emul_op_ret && below(4)) {
		val = CODE + below(CODE_SIZE);
		memcpy(native_data + (sp - DATA_LOW), &val, 8);
	}
	if (!p || k->want_ea + 16 > DATA_HIGH + DATA_SIZE ||
	    (k->want_ea < DATA_HIGH && k->want_ea + 16 > DATA_LOW + DATA_SIZE))
		return;
	if ((in->op->exec == emul_op_call_rm || in->op->exec == emul_op_jmp_rm) && below(4)) {
		val = CODE + below(CODE_SIZE);
		memcpy(p, &val, 8);
	} else if (in->op->exec == emul_op_cmpxchg && below(2)) {
		memcpy(p, &k->regs.gpr[EMUL_RAX], 8);
	} else if (in->op->exec == emul_op_cmpxchg8b && below(2)) {
		unsigned int half = in->op_bytes == 8 ? 8 : 4;

		memcpy(p, &k->regs.gpr[EMUL_RAX], half);
		memcpy(p + half, &k->regs.gpr[EMUL_RDX], half);
	} else if (!below(2)) {
		val = interesting();
		memcpy(p, &val, 8);
	}
}

/* ---- comparing ---- */

static unsigned int shift_count(const struct emul_ctxt *c, const struct native_state *in)
{
	u32 src = c->insn.flags & F_SRC;
	u64 n = in->gpr[EMUL_RCX];

	if (src == F_S_ONE)
		n = 1;
	else if (c->insn.flags & F_IMM)
		n = c->insn.imm;
	return n & (c->insn.op_bytes == 8 ? 63 : 31);
}

/* Flags that the manual leaves undefined: SDM vol. 1, "EFLAGS Cross-Reference". */
static u64 undefined_flags(const struct emul_ctxt *c, const struct native_state *in)
{
	emul_exec_fn fn = c->insn.op->exec;
	unsigned int count, bits = 8 * c->insn.op_bytes;
	u8 p = c->insn.op->param;

	if (fn == emul_op_alu2 && (p == ALU_OR || p == ALU_AND || p == ALU_XOR))
		return FL_AF;
	if (fn == emul_op_test)
		return FL_AF;
	if (fn == emul_op_mul || fn == emul_op_imul2 || fn == emul_op_imul3)
		return FL_SF | FL_ZF | FL_AF | FL_PF;
	if (fn == emul_op_div)
		return FL_ARITH;
	if (fn == emul_op_bt)
		return FL_OF | FL_SF | FL_AF | FL_PF;
	if (fn == emul_op_bsf)
		return FL_ARITH & ~FL_ZF;
	if (fn != emul_op_shift && fn != emul_op_shld)
		return 0;
	count = shift_count(c, in);
	if (!count)
		return 0;
	if (fn == emul_op_shld)
		return FL_AF | (count > 1 ? FL_OF : 0);
	if (p <= SH_RCR)
		return count > 1 ? FL_OF : 0;
	return FL_AF | (count > 1 ? FL_OF : 0) | (count >= bits && p != SH_SAR ? FL_CF : 0);
}

static void print_case(const struct test_case *k, unsigned int len)
{
	unsigned int i;

	printf("#   bytes");
	for (i = 0; i < len; i++)
		printf(" %02x", k->bytes[i]);
	printf("; operand at %#llx\n#  ", (unsigned long long)k->want_ea);
	for (i = 0; i < 16; i++)
		printf(" %#llx", (unsigned long long)k->regs.gpr[i]);
	printf(" flags %#llx\n", (unsigned long long)k->regs.rflags);
}

/* A branch to nowhere: the CPU stands at the target with a page fault. */
static bool is_wild_branch(const struct emul_ctxt *c, const struct native_state *out,
			   const struct native_end *end)
{
	return end->vector == XV_PF && out->rip == c->rip && end->cr2 == c->rip &&
	       c->rip != INSN_AT;
}

/*
 * CMPS reads two operands, and no manual says which one first: where both fault, some CPUs tell
 * of the one and some of the other.
 */
static bool in_item(const struct emul_ctxt *c, unsigned int reg, u64 address)
{
	return address - (c->gpr[reg] & emul_mask(c->insn.addr_bytes)) < c->insn.op_bytes;
}

static bool same_address(const struct emul_ctxt *c, u64 cr2)
{
	if (c->insn.op->exec == emul_op_cmps &&
	    (in_item(c, EMUL_RSI, cr2) || in_item(c, EMUL_RDI, cr2)))
		return true;
	return cr2 == c->fault.address;
}

static bool same_end(const struct emul_ctxt *c, enum emul_result res,
		     const struct native_state *out, const struct native_end *end)
{
	u64 error = end->error;

	/* Linux shows every fault on a kernel address as one on a present page. */
	if (end->vector == XV_PF && end->cr2 >> 63)
		error &= ~1ULL;
	if (res == EMUL_CONTINUE)
		return (end->vector == 3 || is_wild_branch(c, out, end)) && out->rip == c->rip;
	if (!exact_faults)
		return end->vector != 3 && out->rip == c->rip;
	return end->vector == c->fault.vector && out->rip == c->rip &&
	       (!c->fault.has_error || error == c->fault.error) &&
	       (end->vector != XV_PF || same_address(c, end->cr2));
}

static bool same_registers(const struct emul_ctxt *c, const struct native_state *in,
			   const struct native_state *out, enum emul_result res)
{
	u64 mask = COMPARED_FLAGS;
	unsigned int i;
	bool same = true;

	if (res == EMUL_CONTINUE)
		mask &= ~undefined_flags(c, in);
	for (i = 0; i < (code32 ? 8 : 16); i++) {
		if (code32 ? (u32)c->gpr[i] == (u32)out->gpr[i] : c->gpr[i] == out->gpr[i])
			continue;
		printf("#   register %u: cpu %#llx, emulator %#llx\n", i,
		       (unsigned long long)out->gpr[i], (unsigned long long)c->gpr[i]);
		same = false;
	}
	if ((c->rflags ^ out->rflags) & mask) {
		printf("#   flags: cpu %#llx, emulator %#llx, compared %#llx\n",
		       (unsigned long long)out->rflags, (unsigned long long)c->rflags,
		       (unsigned long long)mask);
		same = false;
	}
	if (memcmp(xmm, out->xmm, sizeof(xmm))) {
		printf("#   XMM registers differ\n");
		same = false;
	}
	return same;
}

static void compare(const struct test_case *k, const struct emul_ctxt *c, enum emul_result res,
		    const struct native_state *out, const struct native_end *end)
{
	bool same = same_registers(c, &k->regs, out, res);
	unsigned int i;

	if (!same_end(c, res, out, end)) {
		printf("#   cpu: vector %d error %#llx cr2 %#llx rip %#llx\n", end->vector,
		       (unsigned long long)end->error, (unsigned long long)end->cr2,
		       (unsigned long long)out->rip);
		printf("#   emulator: result %d vector %u error %#x cr2 %#llx rip %#llx\n", res,
		       c->fault.vector, c->fault.error, (unsigned long long)c->fault.address,
		       (unsigned long long)c->rip);
		same = false;
	}
	/* ENTER that faults on the new end of the stack may have pushed already. */
	if (memcmp(shadow, native_data, DATA_SIZE) &&
	    !(c->insn.op->exec == emul_op_enter && res == EMUL_EXCEPTION)) {
		for (i = 0; shadow[i] == native_data[i]; i++)
			;
		printf("#   memory at %#llx: cpu %#x, emulator %#x\n", DATA_LOW + i,
		       native_data[i], shadow[i]);
		same = false;
	}
	if (!same) {
		print_case(k, c->insn.len);
		tap_fail("the emulator and the CPU differ");
	}
}

/* Not comparable from here: results differ by nature, or the host system takes part. */
static bool skipped(const struct emul_ctxt *c)
{
	emul_exec_fn fn = c->insn.op->exec;

	switch (c->insn.op->cls) {
	case EMUL_CLS_RDTSC:
	case EMUL_CLS_RDTSCP:
	case EMUL_CLS_RDPMC:
	case EMUL_CLS_HYPERCALL:
	case EMUL_CLS_MONITOR:
	case EMUL_CLS_MWAIT:
	case EMUL_CLS_SMSW:		/* UMIP emulation of the host kernel */
		return true;
	}
	/* A flush or a prefetch of nothing: whether it faults is not emulated. */
	return fn == emul_op_nop && c->insn.mod != 3;
}

/* A branch into itself would not come back; nor may one hit this program. */
static bool may_go_to(const struct emul_ctxt *c)
{
	if (c->rip - INSN_AT < c->insn.len)
		return false;
	return (!code32 && c->rip >> 47) || c->rip - (CODE - WILD_ROOM) < 2 * WILD_ROOM;
}

/* One case; false if the bytes are nothing to run. */
static bool one_case(const struct target *t)
{
	static struct emul_ctxt c;
	struct native_state out;
	struct native_end end;
	struct test_case k = { 0 };
	enum emul_mode mode = code32 ? EMUL_MODE_PROT32 : EMUL_MODE_LONG64;
	enum emul_result res;
	u8 opcode_at;

	make_prefixes(&k, t);
	if (t->map)
		put(&k, 0x0f);
	if (t->map == 2)
		put(&k, 0x38);
	opcode_at = k.n;
	put(&k, t->opcode);
	make_operands(&k, t);
	make_registers(&k);

	emul_init(&c, &ops, NULL, mode, 3, 48);
	c.rip = INSN_AT;
	emul_supply_bytes(&c, k.bytes, k.n);
	res = emul_decode(&c);
	if (res == EMUL_UNHANDLEABLE || (res == EMUL_CONTINUE && !c.insn.op->exec))
		return false;
	/* The reason of a #UD is in the form: the rest of the bytes does not count. */
	if (res == EMUL_EXCEPTION && c.insn.len <= opcode_at)
		return false;
	if (res == EMUL_CONTINUE) {
		shape(&k, &c);
		aim(&k, &c);
		if (!is_safe(&k, &c) || skipped(&c))
			return false;
		shape_memory(&k, &c);
	}

	memset(code + (INSN_AT - CODE), 0xcc, 48);
	memcpy(code + (INSN_AT - CODE), k.bytes, c.insn.len);
	memcpy(shadow, native_data, DATA_SIZE);
	memcpy(xmm, k.regs.xmm, sizeof(xmm));

	emul_init(&c, &ops, NULL, mode, 3, 48);
	memcpy(c.gpr, k.regs.gpr, sizeof(c.gpr));
	c.rip = k.regs.rip;
	c.rflags = k.regs.rflags;
	res = emul_run(&c);
	if (res == EMUL_UNHANDLEABLE || (res == EMUL_CONTINUE && !may_go_to(&c)))
		return false;
	if (res == EMUL_IO_NEEDED || res == EMUL_RETRY)
		errx(1, "result %d without a device", res);
	native_run(code32, &k.regs, &out, &end);
	if (end.vector == XV_UD && c.insn.op->exec == emul_op_movbe)
		return false;		/* not every CPU has it */
	compare(&k, &c, res, &out, &end);
	return true;
}

static void run_target(const struct target *t, unsigned int cases, u64 seed)
{
	unsigned int i, tried, ran = 0;

	rng_state = seed ^ (u64)t->map << 48 ^ (u64)t->opcode << 40 ^ (u64)t->reg << 32 ^
		    (u64)t->prefix << 24;
	for (i = 0; i < DATA_SIZE; i++)
		native_data[i] = rnd();
	for (tried = 0; ran < cases && tried < 20 * cases; tried++) {
		ran += one_case(t);
		if (tap_this_failed)
			break;
		if (!ran && tried > 200)
			return;		/* nothing of it is emulated */
	}
	tap_result("%s: %u cases", t->name, ran);
}

static bool is_amd(void)
{
	u32 a, b = 0, c = 0, d = 0;

	return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx &&
	       c == signature_AMD_ecx && d == signature_AMD_edx;
}

static void setup_memory(void)
{
	int prot = PROT_READ | PROT_WRITE, fixed = MAP_SHARED | MAP_FIXED_NOREPLACE;
	int i, fd = memfd_create("data", 0);

	if (fd < 0 || ftruncate(fd, DATA_SIZE))
		err(1, "memfd");
	native_data = mmap((void *)DATA_LOW, DATA_SIZE, prot, fixed, fd, 0);
	if (native_data == MAP_FAILED ||
	    mmap((void *)DATA_HIGH, DATA_SIZE, prot, fixed, fd, 0) == MAP_FAILED)
		err(1, "data");
	for (i = 0; i < 2; i++) {
		code32 = i;
		code = mmap((void *)CODE, CODE_SIZE, prot | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (code == MAP_FAILED)
			err(1, "code");
		memset(code, 0xcc, CODE_SIZE);
	}
}

static void run_opcode(u8 map, u8 opcode, unsigned int cases, u64 seed, const char *only)
{
	static const char *const maps[] = { "", "0f", "0f38" };
	static const u8 prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	const struct emul_opcode *op = &(map == 0 ? emul_map_1byte : map == 1 ? emul_map_0f :
					 emul_map_0f38)[opcode];
	bool group = op->flags & F_GROUP, pfx = op->flags & F_PFX;
	unsigned int reg, p;

	if ((!op->exec && !op->sub) || (!code32 && map == 0 && (opcode & 0xf0) == 0x40))
		return;
	for (reg = 0; reg < (group ? 8 : 1); reg++) {
		for (p = 0; p < (pfx ? 4 : 1); p++) {
			struct target t = {
				.map = map, .opcode = opcode, .group = group, .reg = reg,
				.prefix = prefixes[p],
			};
			int n = snprintf(t.name, sizeof(t.name), "%s%s%02x",
					 code32 ? "32-bit " : "", maps[map], opcode);

			if (group)
				n += snprintf(t.name + n, sizeof(t.name) - n, "/%u", reg);
			if (p)
				snprintf(t.name + n, sizeof(t.name) - n, "+%02x", prefixes[p]);
			if (!only || !strcmp(only, t.name))
				run_target(&t, cases, seed);
		}
	}
}

int main(void)
{
	const char *cases = getenv("DIFF_CASES"), *seed = getenv("DIFF_SEED");
	unsigned int i, n = cases ? strtoul(cases, NULL, 0) : 1000;

	setup_memory();
	native_setup();
	exact_faults = is_amd();
	for (i = 0; i < 2 * 3 * 256; i++) {
		code32 = i >= 3 * 256;
		code = (u8 *)CODE;
		run_opcode(i / 256 % 3, i & 255, n, seed ? strtoull(seed, NULL, 0) : 1,
			   getenv("DIFF_ONLY"));
	}
	return tap_done();
}
