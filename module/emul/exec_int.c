// SPDX-License-Identifier: GPL-2.0-only
/* Handlers: integer instructions between registers and memory. */
#include "emul_priv.h"

enum emul_result emul_op_alu2(struct emul_ctxt *c)
{
	c->dst.val = emul_alu2(c->insn.op->param, c->dst.val, c->src.val, c->dst.size, &c->rflags);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_test(struct emul_ctxt *c)
{
	emul_alu2(ALU_AND, c->dst.val, c->src.val, c->dst.size, &c->rflags);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_incdec(struct emul_ctxt *c)
{
	c->dst.val = emul_incdec(c->insn.op->param, c->dst.val, c->dst.size, &c->rflags);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_not(struct emul_ctxt *c)
{
	c->dst.val = ~c->dst.val;
	return EMUL_CONTINUE;
}

enum emul_result emul_op_neg(struct emul_ctxt *c)
{
	c->dst.val = emul_alu2(ALU_SUB, 0, c->dst.val, c->dst.size, &c->rflags);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_shift(struct emul_ctxt *c)
{
	c->dst.val = emul_shift(c->insn.op->param, c->dst.val, c->src.val, c->dst.size,
				&c->rflags);
	return EMUL_CONTINUE;
}

/* SHLD and SHRD: the count is an immediate or CL, the source is ModRM.reg. */
enum emul_result emul_op_shld(struct emul_ctxt *c)
{
	u64 count = (c->insn.flags & F_IMM) ? c->insn.imm : c->gpr[EMUL_RCX];

	if (c->dst.size == 2 && (count & 31) > 16)	/* undefined by the manual */
		return EMUL_UNHANDLEABLE;
	c->dst.val = emul_shift_double(c->insn.op->param, c->dst.val, c->src.val, count & 0xff,
				       c->dst.size, &c->rflags);
	return EMUL_CONTINUE;
}

/* The double-width accumulator: AX, DX:AX, EDX:EAX, RDX:RAX. */
static void acc_read(const struct emul_ctxt *c, unsigned int size, u64 *lo, u64 *hi)
{
	*lo = c->gpr[EMUL_RAX] & emul_mask(size);
	*hi = (size == 1 ? c->gpr[EMUL_RAX] >> 8 : c->gpr[EMUL_RDX]) & emul_mask(size);
}

static void acc_write(struct emul_ctxt *c, unsigned int size, u64 lo, u64 hi)
{
	if (size == 1) {
		emul_reg_write(c, EMUL_RAX, 2, hi << 8 | lo);
	} else {
		emul_reg_write(c, EMUL_RAX, size, lo);
		emul_reg_write(c, EMUL_RDX, size, hi);
	}
}

/* MUL, and IMUL with param */
enum emul_result emul_op_mul(struct emul_ctxt *c)
{
	unsigned int size = c->src.size;
	u64 lo, hi;

	emul_mul(c->insn.op->param, emul_reg_read(c, EMUL_RAX, size), c->src.val, size, &lo, &hi,
		 &c->rflags);
	acc_write(c, size, lo, hi);
	return EMUL_CONTINUE;
}

/* DIV, and IDIV with param */
enum emul_result emul_op_div(struct emul_ctxt *c)
{
	unsigned int size = c->src.size;
	u64 lo, hi;

	acc_read(c, size, &lo, &hi);
	if (!emul_div(c->insn.op->param, &lo, &hi, c->src.val, size))
		return emul_raise(c, XV_DE, 0);
	acc_write(c, size, lo, hi);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_imul2(struct emul_ctxt *c)
{
	u64 hi;

	emul_mul(true, c->dst.val, c->src.val, c->dst.size, &c->dst.val, &hi, &c->rflags);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_imul3(struct emul_ctxt *c)
{
	u64 hi;

	emul_mul(true, c->src.val, c->insn.imm, c->dst.size, &c->dst.val, &hi, &c->rflags);
	return EMUL_CONTINUE;
}

/* MOV, MOVZX, MOVNTI */
enum emul_result emul_op_mov(struct emul_ctxt *c)
{
	c->dst.val = c->src.val;
	return EMUL_CONTINUE;
}

/* MOVSX, MOVSXD; vendors differ over what a 16-bit MOVSXD reads */
enum emul_result emul_op_movsx(struct emul_ctxt *c)
{
	if (c->src.size > c->dst.size)
		return EMUL_UNHANDLEABLE;
	c->dst.val = emul_sext(c->src.val, c->src.size);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_bswap(struct emul_ctxt *c)
{
	u64 v = c->dst.val, r = 0;
	unsigned int i;

	if (c->dst.size == 2)		/* undefined by the manual */
		return EMUL_UNHANDLEABLE;
	for (i = 0; i < c->dst.size; i++, v >>= 8)
		r = r << 8 | (v & 0xff);
	c->dst.val = r;
	return EMUL_CONTINUE;
}

enum emul_result emul_op_movbe(struct emul_ctxt *c)
{
	u64 v = c->src.val, r = 0;
	unsigned int i;

	for (i = 0; i < c->dst.size; i++, v >>= 8)
		r = r << 8 | (v & 0xff);
	c->dst.val = r;
	return EMUL_CONTINUE;
}

enum emul_result emul_op_xchg(struct emul_ctxt *c)
{
	/* 90 is NOP: it does not clear the upper half of RAX as XCHG EAX, EAX would. */
	if (c->insn.opcode == 0x90 && c->src.reg == EMUL_RAX) {
		c->dst.kind = EMUL_OPND_NONE;
		return EMUL_CONTINUE;
	}
	emul_reg_write(c, c->src.reg, c->dst.size, c->dst.val);
	c->dst.val = c->src.val;
	return EMUL_CONTINUE;
}

enum emul_result emul_op_xadd(struct emul_ctxt *c)
{
	u64 sum = emul_alu2(ALU_ADD, c->dst.val, c->src.val, c->dst.size, &c->rflags);

	emul_reg_write(c, c->src.reg, c->dst.size, c->dst.val);
	c->dst.val = sum;
	return EMUL_CONTINUE;
}

enum emul_result emul_op_cmpxchg(struct emul_ctxt *c)
{
	u64 acc = emul_reg_read(c, EMUL_RAX, c->dst.size);

	emul_alu2(ALU_CMP, acc, c->dst.val, c->dst.size, &c->rflags);
	if (acc == c->dst.val) {
		c->dst.val = c->src.val;
		return EMUL_CONTINUE;
	}
	emul_reg_write(c, EMUL_RAX, c->dst.size, c->dst.val);
	/* Memory gets a write cycle whatever the outcome; a register stays untouched. */
	if (c->dst.kind == EMUL_OPND_REG)
		c->dst.kind = EMUL_OPND_NONE;
	return EMUL_CONTINUE;
}

/* CMPXCHG8B and CMPXCHG16B */
enum emul_result emul_op_cmpxchg8b(struct emul_ctxt *c)
{
	unsigned int half = c->insn.op_bytes == 8 ? 8 : 4;
	u64 acc_lo = emul_reg_read(c, EMUL_RAX, half), acc_hi = emul_reg_read(c, EMUL_RDX, half);
	u64 new_lo = emul_reg_read(c, EMUL_RBX, half), new_hi = emul_reg_read(c, EMUL_RCX, half);
	u64 lo = 0, hi = 0, linear;
	u8 old[16], new[16];
	enum emul_result res;

	res = emul_linear(c, c->insn.seg, c->mem_off, 2 * half, EMUL_ACC_WRITE, &linear);
	if (res != EMUL_CONTINUE)
		return res;
	if (half == 8 && (linear & 15))
		return emul_raise(c, XV_GP, 0);
	res = emul_mem_read(c, linear, old, 2 * half, EMUL_ACC_WRITE);
	if (res != EMUL_CONTINUE)
		return res;
	memcpy(&lo, old, half);
	memcpy(&hi, old + half, half);
	if (lo == acc_lo && hi == acc_hi) {
		c->rflags |= FL_ZF;
		memcpy(new, &new_lo, half);
		memcpy(new + half, &new_hi, half);
	} else {
		c->rflags &= ~(u64)FL_ZF;
		emul_reg_write(c, EMUL_RAX, half, lo);
		emul_reg_write(c, EMUL_RDX, half, hi);
		memcpy(new, old, 2 * half);
	}
	if (c->insn.lock)
		return emul_mem_cmpxchg(c, linear, old, new, 2 * half);
	return emul_mem_write(c, linear, new, 2 * half, EMUL_ACC_WRITE);
}

/* BT, BTS, BTR, BTC: param 0 to 3 */
enum emul_result emul_op_bt(struct emul_ctxt *c)
{
	u64 bit = 1ULL << (c->src.val & (8 * c->dst.size - 1));

	c->rflags &= ~(u64)FL_CF;
	if (c->dst.val & bit)
		c->rflags |= FL_CF;
	switch (c->insn.op->param) {
	case 1:
		c->dst.val |= bit;
		break;
	case 2:
		c->dst.val &= ~bit;
		break;
	case 3:
		c->dst.val ^= bit;
		break;
	}
	return EMUL_CONTINUE;
}

/* BSF, and BSR with param; a source of 0 leaves the destination as it was (APM vol. 3, "BSF") */
enum emul_result emul_op_bsf(struct emul_ctxt *c)
{
	u64 v = c->src.val;

	c->rflags &= ~(u64)FL_ZF;
	if (!v) {
		c->rflags |= FL_ZF;
		c->dst.kind = EMUL_OPND_NONE;
	} else {
		c->dst.val = c->insn.op->param ? 63 - __builtin_clzll(v) : __builtin_ctzll(v);
	}
	return EMUL_CONTINUE;
}

enum emul_result emul_op_setcc(struct emul_ctxt *c)
{
	c->dst.val = emul_condition(c->insn.opcode, c->rflags);
	return EMUL_CONTINUE;
}

/* The source is read, and a 32-bit destination cleared above, even if nothing moves. */
enum emul_result emul_op_cmov(struct emul_ctxt *c)
{
	if (emul_condition(c->insn.opcode, c->rflags))
		c->dst.val = c->src.val;
	return EMUL_CONTINUE;
}

/* CBW, CWDE, CDQE */
enum emul_result emul_op_cbw(struct emul_ctxt *c)
{
	c->dst.val = emul_sext(c->dst.val, c->dst.size / 2);
	return EMUL_CONTINUE;
}

/* CWD, CDQ, CQO */
enum emul_result emul_op_cwd(struct emul_ctxt *c)
{
	unsigned int size = c->insn.op_bytes;
	u64 sign = emul_sext(emul_reg_read(c, EMUL_RAX, size), size) >> 63;

	emul_reg_write(c, EMUL_RDX, size, sign ? ~0ULL : 0);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_lea(struct emul_ctxt *c)
{
	emul_reg_write(c, c->insn.reg, c->insn.op_bytes, c->mem_off);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_xlat(struct emul_ctxt *c)
{
	u64 off = c->gpr[EMUL_RBX] + (c->gpr[EMUL_RAX] & 0xff), linear, val = 0;
	enum emul_result res;

	off &= emul_mask(c->insn.addr_bytes);
	res = emul_linear(c, c->insn.seg, off, 1, EMUL_ACC_READ, &linear);
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, linear, &val, 1, EMUL_ACC_READ);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, EMUL_RAX, 1, val);
	return res;
}

/* NOP with and without operand, prefetches, fences, cache line flushes */
enum emul_result emul_op_nop(struct emul_ctxt *c)
{
	return EMUL_CONTINUE;
}
