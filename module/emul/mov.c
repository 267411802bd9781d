// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plain MOV between memory and a register, in a form that can be kept and made again without
 * the frame around every instruction: what nearly all accesses to devices are. In 64-bit mode
 * alone, where no segment but FS and GS counts.
 */
#include "emul_priv.h"

/* From memory or to it, with what on the other side; false if neither. */
static bool sides(const struct emul_insn *in, struct emul_mov *m)
{
	u32 dst = in->flags & F_DST, src = in->flags & F_SRC;

	m->reg = in->reg;
	if (dst == F_D_MOFFS || src == F_S_MOFFS)
		m->reg = EMUL_RAX;
	else if (in->mod == 3)
		return false;
	if (dst == F_D_RM || dst == F_D_MOFFS) {
		m->store = true;
		m->from_imm = src == F_S_IMM;
		return src == F_S_IMM || src == F_S_REG || src == F_S_ACC;
	}
	m->store = false;
	m->from_imm = false;
	return src == F_S_RM || src == F_S_MOFFS;
}

static void sizes(const struct emul_insn *in, struct emul_mov *m)
{
	static const u8 fixed[4] = { 0, 1, 2, 4 };
	unsigned int src = (in->flags & F_SRCSZ) >> 11;

	m->reg_bytes = in->op_bytes;
	m->mem_bytes = src ? fixed[src] : in->op_bytes;
}

bool emul_mov_of(const struct emul_ctxt *c, struct emul_mov *m)
{
	const struct emul_insn *in = &c->insn;
	bool moffs;

	if (!emul_long(c) || !in->op || in->seg == EMUL_FS || in->seg == EMUL_GS)
		return false;
	if (in->op->exec != emul_op_mov && in->op->exec != emul_op_movsx)
		return false;
	if (!sides(in, m))
		return false;
	sizes(in, m);
	if (m->mem_bytes > m->reg_bytes)
		return false;
	m->sign = in->op->exec == emul_op_movsx;
	/* AH, CH, DH, BH where no REX prefix renames them. */
	m->high = m->reg_bytes == 1 && !in->rex && m->reg >= 4 && m->reg < 8;
	if (m->high)
		m->reg -= 4;
	moffs = !(in->flags & F_MODRM);
	m->base = moffs ? EMUL_NOREG : in->base;
	m->index = moffs ? EMUL_NOREG : in->index;
	m->scale = in->scale & 3;
	m->disp = moffs ? in->imm : in->disp;
	m->imm = in->imm;
	m->addr_bytes = in->addr_bytes;
	m->len = in->len;
	return true;
}

u64 emul_mov_address(const struct emul_mov *m, const u64 gpr[16], u64 rip)
{
	u64 ea = m->disp;

	if (m->base == EMUL_RIP_BASE)
		ea += rip + m->len;
	else if (m->base != EMUL_NOREG)
		ea += gpr[m->base & 15];
	if (m->index != EMUL_NOREG)
		ea += gpr[m->index & 15] << m->scale;
	return ea & emul_mask(m->addr_bytes);
}

u64 emul_mov_stored(const struct emul_mov *m, const u64 gpr[16])
{
	u64 val = m->from_imm ? m->imm : gpr[m->reg & 15] >> (m->high ? 8 : 0);

	return val & emul_mask(m->mem_bytes);
}

void emul_mov_load(const struct emul_mov *m, u64 gpr[16], u64 val)
{
	u64 *r = &gpr[m->reg & 15];
	u64 mask = emul_mask(m->reg_bytes);

	val &= emul_mask(m->mem_bytes);
	if (m->sign)
		val = emul_sext(val, m->mem_bytes) & mask;
	if (m->high)
		*r = (*r & ~0xff00ULL) | val << 8;
	else if (m->reg_bytes >= 4)
		*r = val;	/* 32-bit results clear the upper half */
	else
		*r = (*r & ~mask) | val;
}
