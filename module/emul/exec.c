// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frame around every instruction: operands in, handler, result out, and
 * what happens to registers on each way it can end.
 */
#include "emul_priv.h"

/* High byte registers: AH, CH, DH, BH where no REX prefix renames them. */
static bool high_byte(const struct emul_ctxt *c, unsigned int reg, unsigned int size)
{
	return size == 1 && !c->insn.rex && reg >= 4 && reg < 8;
}

u64 emul_reg_read(const struct emul_ctxt *c, unsigned int reg, unsigned int size)
{
	if (high_byte(c, reg, size))
		return c->gpr[reg - 4] >> 8 & 0xff;
	return c->gpr[reg & 15] & emul_mask(size);
}

void emul_reg_write(struct emul_ctxt *c, unsigned int reg, unsigned int size, u64 val)
{
	bool high = high_byte(c, reg, size);
	u64 *r;

	reg = (high ? reg - 4 : reg) & 15;
	r = &c->gpr[reg];
	if (!(c->changed & BIT(reg))) {
		c->changed |= BIT(reg);
		c->saved_gpr[reg] = *r;
	}
	if (high)
		*r = (*r & ~0xff00ULL) | (val & 0xff) << 8;
	else if (size >= 4)
		*r = val & emul_mask(size);	/* 32-bit results clear the upper half */
	else
		*r = (*r & ~emul_mask(size)) | (val & emul_mask(size));
}

static void operand_reg(struct emul_ctxt *c, struct emul_operand *o, unsigned int reg)
{
	o->kind = EMUL_OPND_REG;
	o->reg = reg;
	o->val = emul_reg_read(c, reg, o->size);
}

/*
 * BT and its kin with a register bit number: the operand is the word that the
 * bit lies in, 2^63 bits to either side. SDM vol. 2, "Bit(BitBase, BitOffset)".
 */
static u64 bit_string_offset(const struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	s64 bit = (s64)emul_sext(emul_reg_read(c, in->reg, in->op_bytes), in->op_bytes);
	unsigned int shift = in->op_bytes == 8 ? 6 : in->op_bytes == 4 ? 5 : 4;

	return (u64)(bit >> shift) * in->op_bytes;
}

static enum emul_result operand_mem(struct emul_ctxt *c, struct emul_operand *o,
				    unsigned int access, bool read)
{
	const struct emul_insn *in = &c->insn;
	enum emul_result res;

	o->kind = EMUL_OPND_MEM;
	if (in->flags & F_BITSTR)
		c->mem_off += bit_string_offset(c);
	c->mem_off &= emul_mask(in->addr_bytes);
	if (in->flags & F_NOACCESS)
		return EMUL_CONTINUE;
	res = emul_linear(c, in->seg, c->mem_off, o->size, access, &o->linear);
	o->val = 0;
	if (res == EMUL_CONTINUE && read)
		res = emul_mem_read(c, o->linear, &o->val, o->size, access);
	return res;
}

static enum emul_result load_source(struct emul_ctxt *c)
{
	static const u8 sizes[4] = { 0, 1, 2, 4 };
	const struct emul_insn *in = &c->insn;
	struct emul_operand *o = &c->src;
	unsigned int fixed = (in->flags & F_SRCSZ) >> 11;

	o->kind = EMUL_OPND_NONE;
	o->size = fixed ? sizes[fixed] : in->op_bytes;
	switch (in->flags & F_SRC) {
	case F_S_RM:
		if (in->mod != 3)
			return operand_mem(c, o, EMUL_ACC_READ, true);
		operand_reg(c, o, in->rm);
		break;
	case F_S_REG:
		operand_reg(c, o, in->reg);
		break;
	case F_S_ACC:
		operand_reg(c, o, EMUL_RAX);
		break;
	case F_S_OPREG:
		operand_reg(c, o, (in->opcode & 7) | (in->rex & 1) << 3);
		break;
	case F_S_MOFFS:
		c->mem_off = in->imm;
		return operand_mem(c, o, EMUL_ACC_READ, true);
	case F_S_IMM:
		o->val = in->imm;
		break;
	case F_S_CL:
		o->val = c->gpr[EMUL_RCX] & 0xff;
		break;
	case F_S_ONE:
		o->val = 1;
		break;
	}
	return EMUL_CONTINUE;
}

static enum emul_result load_destination(struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	struct emul_operand *o = &c->dst;
	unsigned int access = in->flags & F_NOWB ? EMUL_ACC_READ : EMUL_ACC_WRITE;
	enum emul_result res = EMUL_CONTINUE;

	o->kind = EMUL_OPND_NONE;
	o->size = in->op_bytes;
	switch (in->flags & F_DST) {
	case F_D_RM:
		if (in->mod != 3)
			res = operand_mem(c, o, access, !(in->flags & F_MOV));
		else
			operand_reg(c, o, in->rm);
		break;
	case F_D_REG:
		operand_reg(c, o, in->reg);
		break;
	case F_D_ACC:
		operand_reg(c, o, EMUL_RAX);
		break;
	case F_D_OPREG:
		operand_reg(c, o, (in->opcode & 7) | (in->rex & 1) << 3);
		break;
	case F_D_MOFFS:
		c->mem_off = in->imm;
		res = operand_mem(c, o, access, !(in->flags & F_MOV));
		break;
	}
	o->orig = o->val;
	return res;
}

static enum emul_result store_destination(struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	const struct emul_operand *o = &c->dst;

	if (in->flags & (F_NOWB | F_NOACCESS))
		return EMUL_CONTINUE;
	if (o->kind == EMUL_OPND_REG) {
		emul_reg_write(c, o->reg, o->size, o->val);
		return EMUL_CONTINUE;
	}
	if (o->kind != EMUL_OPND_MEM)
		return EMUL_CONTINUE;
	if (in->lock || (in->flags & F_XLOCK))
		return emul_mem_cmpxchg(c, o->linear, &o->orig, &o->val, o->size);
	return emul_mem_write(c, o->linear, &o->val, o->size, EMUL_ACC_WRITE);
}

static enum emul_result execute(struct emul_ctxt *c)
{
	const struct emul_insn *in = &c->insn;
	enum emul_result res;

	if ((in->flags & F_PRIV) && c->cpl)
		return emul_raise(c, XV_GP, 0);
	if ((in->flags & F_MODRM) && in->mod != 3)
		c->mem_off = emul_effective_address(c);
	res = load_source(c);
	if (res == EMUL_CONTINUE)
		res = load_destination(c);
	if (res == EMUL_CONTINUE)
		res = in->op->exec(c);
	if (res == EMUL_CONTINUE)
		res = store_destination(c);
	return res;
}

/* Undo what was done since the last commit; rip moves only at the end. */
static void restore(struct emul_ctxt *c)
{
	unsigned int i;

	for (i = 0; c->changed; i++, c->changed >>= 1)
		if (c->changed & 1)
			c->gpr[i] = c->saved_gpr[i];
	c->rflags = c->saved_rflags;
}

enum emul_result emul_run(struct emul_ctxt *c)
{
	enum emul_result res;
	bool tf = c->rflags & FL_TF;

	if (c->pending)
		return EMUL_IO_NEEDED;
	if (!c->insn.decoded) {
		res = emul_decode(c);
		if (res != EMUL_CONTINUE)
			return res;
	}
	if (!c->insn.op->exec)
		return EMUL_UNHANDLEABLE;

	c->changed = 0;
	c->saved_rflags = c->rflags;
	c->log_pos = 0;
	c->shadow = 0;
	c->single_step = false;
	c->branched = false;
	c->next_rip = emul_next_rip(c);

	res = execute(c);
	if (res == EMUL_CONTINUE) {
		c->rip = c->next_rip;
		/* RF suppresses breakpoints for one instruction only. */
		c->rflags = (c->rflags & ~(u64)FL_RF) | 2;
		c->single_step = tf && !(c->shadow & EMUL_SHADOW_MOV_SS);
		c->insn.decoded = false;
	} else {
		restore(c);
	}
	if (res != EMUL_IO_NEEDED && res != EMUL_NO_PAGE)
		c->log_len = 0;
	return res == EMUL_RETRY ? EMUL_CONTINUE : res;
}
