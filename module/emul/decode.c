// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fetch and decode: prefixes, opcode tables, ModRM, SIB, displacement and
 * immediate (SDM vol. 2, "Instruction Format"). Every byte is fetched once and
 * kept in the context; nothing here depends on registers other than rip.
 */
#include "emul_priv.h"

void emul_init(struct emul_ctxt *c, const struct emul_ops *ops, void *opaque, enum emul_mode mode,
	       unsigned int cpl, unsigned int va_bits)
{
	c->ops = ops;
	c->opaque = opaque;
	c->mode = mode;
	c->cpl = cpl & 3;
	c->va_bits = va_bits == 57 ? 57 : 48;
	c->shadow = 0;
	c->single_step = false;
	c->fault.vector = 0;
	c->fault.has_error = false;
	c->insn.op = NULL;
	c->insn.fetched = 0;
	c->insn.len = 0;
	c->insn.decoded = false;
	c->segs_valid = 0;
	c->log_pos = 0;
	c->log_len = 0;
	c->pending = false;
	c->pio_fill = 0;
	c->pio_pos = 0;
	c->pio_done = false;
	c->io_allowed = false;
	c->probed = ~0ULL;
	c->rep_left = EMUL_REP_MAX;
}

void emul_supply_bytes(struct emul_ctxt *c, const void *bytes, unsigned int n)
{
	n = min_t(unsigned int, n, EMUL_INSN_MAX);
	memcpy(c->insn.bytes, bytes, n);
	c->insn.fetched = n;
}

/* Fetch what the page, the code segment and the length limit leave. */
static enum emul_result fetch_more(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;
	u64 off = c->rip + in->fetched, linear = off;
	unsigned int n = EMUL_INSN_MAX - in->fetched;
	enum emul_result res;

	if (emul_long(c)) {
		if (!emul_canonical(c, off))
			return emul_raise(c, XV_GP, 0);
	} else {
		const struct emul_seg *cs;

		res = emul_segment(c, EMUL_CS, &cs);
		if (res != EMUL_CONTINUE)
			return res;
		if (off > cs->limit)
			return emul_raise(c, XV_GP, 0);
		n = min_t(u64, n, cs->limit - off + 1);
		linear = (u32)(cs->base + off);
	}
	n = min_t(unsigned int, n, 4096 - (linear & 4095));

	res = c->ops->read(c, linear, in->bytes + in->fetched, n, EMUL_ACC_FETCH);
	if (res != EMUL_CONTINUE)	/* code in device memory is nobody's business */
		return res == EMUL_IO_NEEDED ? EMUL_UNHANDLEABLE : res;
	in->fetched += n;
	return EMUL_CONTINUE;
}

/* Take @n bytes as a little-endian number. */
static enum emul_result take(struct emul_ctxt *c, unsigned int n, u64 *val)
{
	struct emul_insn *in = &c->insn;

	while (unlikely(in->len + n > in->fetched)) {
		enum emul_result res;

		if (in->len + n > EMUL_INSN_MAX)
			return emul_raise(c, XV_GP, 0);
		res = fetch_more(c);
		if (res != EMUL_CONTINUE)
			return res;
	}
	memcpy(val, in->bytes + in->len, sizeof(*val));
	*val &= emul_mask(n);
	in->len += n;
	return EMUL_CONTINUE;
}

static enum emul_result take_signed(struct emul_ctxt *c, unsigned int n, u64 *val)
{
	enum emul_result res = take(c, n, val);

	if (res == EMUL_CONTINUE)
		*val = emul_sext(*val, n);
	return res;
}

static void default_sizes(struct emul_ctxt *c)
{
	static const u8 sizes[EMUL_NR_MODES][2] = {
		[EMUL_MODE_REAL]   = { 2, 2 },
		[EMUL_MODE_VM86]   = { 2, 2 },
		[EMUL_MODE_PROT16] = { 2, 2 },
		[EMUL_MODE_PROT32] = { 4, 4 },
		[EMUL_MODE_LONG64] = { 4, 8 },
	};
	const u8 *s = sizes[c->mode < EMUL_NR_MODES ? c->mode : EMUL_MODE_REAL];

	c->insn.op_bytes = s[0];
	c->insn.addr_bytes = s[1];
}

/* True if @b is a prefix, which is then noted. */
static bool note_prefix(struct emul_ctxt *c, u8 b, bool *addr_pfx)
{
	struct emul_insn *in = &c->insn;

	switch (b) {
	case 0x66:
		in->opsize_pfx = true;
		break;
	case 0x67:
		*addr_pfx = true;
		break;
	case 0x26: case 0x2e: case 0x36: case 0x3e:
		if (!emul_long(c))	/* no meaning in 64-bit mode */
			in->seg = (b >> 3) & 3;
		break;
	case 0x64: case 0x65:
		in->seg = b - 0x64 + EMUL_FS;
		break;
	case 0xf0:
		in->lock = true;
		break;
	case 0xf2: case 0xf3:
		in->rep = b;
		break;
	default:
		if (!emul_long(c) || (b & 0xf0) != 0x40)
			return false;
		in->rex = b;
		return true;
	}
	in->rex = 0;	/* REX counts only directly before the opcode */
	return true;
}

static enum emul_result decode_prefixes(struct emul_ctxt *c, u8 *opcode)
{
	struct emul_insn *in = &c->insn;
	enum emul_result res;
	bool addr_pfx = false;
	u64 b;

	in->rex = 0;
	in->rep = 0;
	in->opsize_pfx = false;
	in->lock = false;
	in->seg = EMUL_NOREG;
	do {
		res = take(c, 1, &b);
		if (res != EMUL_CONTINUE)
			return res;
	} while (note_prefix(c, b, &addr_pfx));
	*opcode = b;

	default_sizes(c);
	if (addr_pfx)
		in->addr_bytes = in->addr_bytes == 4 ? 2 : 4;
	return EMUL_CONTINUE;
}

static enum emul_result decode_opcode(struct emul_ctxt *c, u8 b)
{
	struct emul_insn *in = &c->insn;
	const struct emul_opcode *map = emul_map_1byte;
	enum emul_result res = EMUL_CONTINUE;
	u64 next = b;

	in->map = 0;
	if (b == 0x0f) {
		in->map = 1;
		map = emul_map_0f;
		res = take(c, 1, &next);
		if (res == EMUL_CONTINUE && next == 0x38) {
			in->map = 2;
			map = emul_map_0f38;
			res = take(c, 1, &next);
		}
	}
	if (res != EMUL_CONTINUE)
		return res;
	in->opcode = next;
	in->op = &map[next & 0xff];
	in->flags = in->op->flags;
	return EMUL_CONTINUE;
}

/* The fields of ModRM, as far as the group tables need them. */
static enum emul_result decode_modrm(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;
	enum emul_result res;
	u64 b;

	in->mod = 3;
	in->reg = 0;
	in->rm = 0;
	in->modrm = 0;
	if (!(in->flags & F_MODRM))
		return EMUL_CONTINUE;
	res = take(c, 1, &b);
	if (res != EMUL_CONTINUE)
		return res;
	in->modrm = b;
	in->mod = (in->flags & F_REGS) ? 3 : b >> 6;
	in->reg = ((b >> 3) & 7) | ((in->rex & 4) << 1);
	in->rm = (b & 7) | ((in->rex & 1) << 3);
	return EMUL_CONTINUE;
}

/* Follow the group tables to the instruction. Tables nest three deep at most. */
static enum emul_result resolve_groups(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;

	while (in->op->sub) {
		const struct emul_opcode *op = in->op;
		unsigned int i;

		/* With these prefixes the register forms are other instructions, or none. */
		if ((op->flags & F_GROUPRM) && in->mod == 3 && (in->rep || in->opsize_pfx))
			return EMUL_UNHANDLEABLE;
		if (op->flags & F_GROUP)
			i = in->reg & 7;
		else if (op->flags & F_GROUPRM)
			i = in->mod == 3 ? in->rm & 7 : 8;
		else if (in->rep)
			i = in->rep == 0xf3 ? 2 : 3;
		else
			i = in->opsize_pfx;
		in->op = &op->sub[i];	/* masked above, for speculation too */
		in->flags |= in->op->flags;
	}
	if (!in->op->exec && !in->op->cls)
		return EMUL_UNHANDLEABLE;
	if ((in->flags & F_ONLY64) && !emul_long(c))
		return EMUL_UNHANDLEABLE;
	return EMUL_CONTINUE;
}

static enum emul_result operand_size(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;

	if (in->opsize_pfx)
		in->op_bytes = in->op_bytes == 2 ? 4 : 2;
	if (emul_long(c)) {
		if ((in->flags & F_NEAR) && in->opsize_pfx)
			return EMUL_UNHANDLEABLE;
		if (in->rex & 8)
			in->op_bytes = 8;
		else if ((in->flags & F_D64) && !in->opsize_pfx)
			in->op_bytes = 8;
	}
	if (in->flags & F_BYTE)
		in->op_bytes = 1;
	return EMUL_CONTINUE;
}

/* SDM vol. 2, "16-Bit Addressing Forms with the ModR/M Byte" */
static enum emul_result address16(struct emul_ctxt *c)
{
	static const u8 bases[8] = {
		EMUL_RBX, EMUL_RBX, EMUL_RBP, EMUL_RBP, EMUL_RSI, EMUL_RDI, EMUL_RBP, EMUL_RBX,
	};
	static const u8 indexes[8] = {
		EMUL_RSI, EMUL_RDI, EMUL_RSI, EMUL_RDI,
		EMUL_NOREG, EMUL_NOREG, EMUL_NOREG, EMUL_NOREG,
	};
	struct emul_insn *in = &c->insn;
	unsigned int rm = in->rm & 7;

	in->base = bases[rm];
	in->index = indexes[rm];
	in->scale = 0;
	in->disp = 0;
	if (in->mod == 0 && rm == 6) {
		in->base = EMUL_NOREG;
		return take(c, 2, &in->disp);
	}
	return in->mod ? take_signed(c, in->mod, &in->disp) : EMUL_CONTINUE;
}

/* SDM vol. 2, "32-Bit Addressing Forms with the SIB Byte", "RIP-Relative Addressing" */
static enum emul_result address32(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;
	unsigned int disp_bytes = in->mod == 1 ? 1 : in->mod == 2 ? 4 : 0;
	enum emul_result res;
	u64 sib;

	in->base = in->rm;
	in->index = EMUL_NOREG;
	in->scale = 0;
	in->disp = 0;
	if ((in->rm & 7) == 4) {
		res = take(c, 1, &sib);
		if (res != EMUL_CONTINUE)
			return res;
		in->scale = sib >> 6;
		in->index = ((sib >> 3) & 7) | ((in->rex & 2) << 2);
		if (in->index == 4)
			in->index = EMUL_NOREG;
		in->base = (sib & 7) | ((in->rex & 1) << 3);
		if ((in->base & 7) == 5 && in->mod == 0) {
			in->base = EMUL_NOREG;
			disp_bytes = 4;
		}
	} else if ((in->rm & 7) == 5 && in->mod == 0) {
		in->base = emul_long(c) ? EMUL_RIP_BASE : EMUL_NOREG;
		disp_bytes = 4;
	}
	return disp_bytes ? take_signed(c, disp_bytes, &in->disp) : EMUL_CONTINUE;
}

static enum emul_result decode_address(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;
	enum emul_result res = EMUL_CONTINUE;

	in->base = EMUL_NOREG;
	in->index = EMUL_NOREG;
	if ((in->flags & F_MODRM) && in->mod != 3)
		res = in->addr_bytes == 2 ? address16(c) : address32(c);
	if (in->seg == EMUL_NOREG)
		in->seg = in->base == EMUL_RBP || in->base == EMUL_RSP ? EMUL_SS : EMUL_DS;
	return res;
}

static enum emul_result decode_immediate(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;
	enum emul_result res;
	u64 second;

	switch (in->flags & F_IMM) {
	case F_I_8:
		return take_signed(c, 1, &in->imm);
	case F_I_8U:
		return take(c, 1, &in->imm);
	case F_I_16:
		return take(c, 2, &in->imm);
	case F_I_Z:
		return take_signed(c, min_t(unsigned int, in->op_bytes, 4), &in->imm);
	case F_I_V:
		return take(c, in->op_bytes, &in->imm);
	case F_I_MOFFS:
		return take(c, in->addr_bytes, &in->imm);
	case F_I_ENTER:
		res = take(c, 2, &in->imm);
		if (res != EMUL_CONTINUE)
			return res;
		res = take(c, 1, &second);
		in->imm2 = second;
		return res;
	default:
		in->imm = 0;
		return EMUL_CONTINUE;
	}
}

/* What makes a known instruction #UD by its form alone. */
static enum emul_result check_form(struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;

	if ((in->flags & F_NO64) && emul_long(c))
		return emul_raise(c, XV_UD, 0);
	if ((in->flags & F_MEMONLY) && in->mod == 3)
		return emul_raise(c, XV_UD, 0);
	if (in->lock && (!(in->flags & F_LOCKABLE) || (in->mod == 3 && !(in->flags & F_REGS))))
		return emul_raise(c, XV_UD, 0);
	return EMUL_CONTINUE;
}

enum emul_result emul_decode(struct emul_ctxt *c)
{
	struct emul_insn *in = &c->insn;
	enum emul_result res;
	u8 opcode;

	in->len = 0;
	res = decode_prefixes(c, &opcode);
	if (res == EMUL_CONTINUE)
		res = decode_opcode(c, opcode);
	if (res == EMUL_CONTINUE)
		res = decode_modrm(c);
	if (res == EMUL_CONTINUE)
		res = resolve_groups(c);
	if (res == EMUL_CONTINUE)
		res = operand_size(c);
	if (res == EMUL_CONTINUE)
		res = decode_address(c);
	if (res == EMUL_CONTINUE)
		res = decode_immediate(c);
	if (res == EMUL_CONTINUE)
		res = check_form(c);
	in->decoded = res == EMUL_CONTINUE;
	return res;
}

enum emul_result emul_insn_length(struct emul_ctxt *c, enum emul_class cls, unsigned int *len)
{
	enum emul_result res = emul_decode(c);

	if (res != EMUL_CONTINUE)
		return res;
	if (cls != EMUL_CLS_ANY && c->insn.op->cls != cls)
		return EMUL_UNHANDLEABLE;
	*len = c->insn.len;
	return EMUL_CONTINUE;
}

u64 emul_next_rip(const struct emul_ctxt *c)
{
	u64 next = c->rip + c->insn.len;

	return emul_long(c) ? next : (u32)next;
}

/* Offset of the memory operand; registers are those of now (POP m moves rsp first). */
u64 emul_effective_address(const struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	u64 ea = in->disp;

	if (in->base == EMUL_RIP_BASE)
		ea += emul_next_rip(c);
	else if (in->base != EMUL_NOREG)
		ea += c->gpr[in->base & 15];
	if (in->index != EMUL_NOREG)
		ea += c->gpr[in->index & 15] << in->scale;
	return ea & emul_mask(in->addr_bytes);
}
