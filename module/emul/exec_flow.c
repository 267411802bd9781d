// SPDX-License-Identifier: GPL-2.0-only
/* Handlers: stack, branches, flags, segment registers. */
#include "emul_priv.h"

/* Go on at @target, an offset in CS. */
static enum emul_result jump(struct emul_ctxt *c, u64 target)
{
	const struct emul_seg *cs;
	enum emul_result res;

	if (emul_long(c)) {
		if (!emul_canonical(c, target))
			return emul_raise(c, XV_GP, 0);
	} else {
		target &= emul_mask(c->insn.op_bytes);
		res = emul_segment(c, EMUL_CS, &cs);
		if (res != EMUL_CONTINUE)
			return res;
		if (target > cs->limit)
			return emul_raise(c, XV_GP, 0);
	}
	c->next_rip = target;
	c->branched = true;
	return EMUL_CONTINUE;
}

static enum emul_result jump_relative(struct emul_ctxt *c)
{
	return jump(c, c->next_rip + c->insn.imm);
}

enum emul_result emul_op_push(struct emul_ctxt *c)
{
	return emul_push(c, c->src.val, c->insn.op_bytes);
}

/* Would @size bytes pushed one after the other fault? */
static enum emul_result probe_stack(struct emul_ctxt *c, u64 sp, unsigned int size)
{
	enum emul_result res;
	u64 linear;

	if (c->log_pos < c->log_len)	/* a replay: it did not */
		return EMUL_CONTINUE;
	sp &= emul_mask(emul_stack_bytes(c, &res));
	if (res == EMUL_CONTINUE)
		res = emul_linear(c, EMUL_SS, sp, size, EMUL_ACC_WRITE, &linear);
	if (res == EMUL_CONTINUE)
		res = emul_probe(c, linear, size, EMUL_ACC_WRITE | EMUL_ACC_STACK);
	return res;
}

/*
 * PUSH from memory. The stack is probed before the source is read, since the
 * source may be a device and a fault on the stack would have it read twice.
 */
enum emul_result emul_op_push_rm(struct emul_ctxt *c)
{
	unsigned int size = c->insn.op_bytes;
	enum emul_result res;
	u64 val = 0, linear;

	if (c->insn.mod == 3)
		return emul_push(c, emul_reg_read(c, c->insn.rm, size), size);
	res = emul_linear(c, c->insn.seg, c->mem_off, size, EMUL_ACC_READ, &linear);
	if (res != EMUL_CONTINUE)
		return res;
	res = probe_stack(c, c->gpr[EMUL_RSP] - size, size);
	if (res == EMUL_EXCEPTION && emul_probe(c, linear, size, EMUL_ACC_READ) == EMUL_CONTINUE)
		res = probe_stack(c, c->gpr[EMUL_RSP] - size, size);	/* the source's goes first */
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, linear, &val, size, EMUL_ACC_READ);
	if (res == EMUL_CONTINUE)
		res = emul_push(c, val, size);
	return res;
}

enum emul_result emul_op_pop(struct emul_ctxt *c)
{
	return emul_pop(c, &c->dst.val, c->insn.op_bytes);
}

/* POP to memory addresses its operand with the stack pointer already moved. */
enum emul_result emul_op_pop_rm(struct emul_ctxt *c)
{
	unsigned int size = c->insn.op_bytes;
	enum emul_result res;
	u64 val, linear;

	res = emul_pop(c, &val, size);
	if (res != EMUL_CONTINUE)
		return res;
	if (c->insn.mod == 3) {
		emul_reg_write(c, c->insn.rm, size, val);
		return EMUL_CONTINUE;
	}
	res = emul_linear(c, c->insn.seg, emul_effective_address(c), size, EMUL_ACC_WRITE,
			  &linear);
	if (res == EMUL_CONTINUE)
		res = emul_mem_write(c, linear, &val, size, EMUL_ACC_WRITE);
	return res;
}

/* All eight or none: the whole range is probed first. */
enum emul_result emul_op_pusha(struct emul_ctxt *c)
{
	unsigned int size = c->insn.op_bytes, i;
	u64 old_sp = c->gpr[EMUL_RSP], sp;
	enum emul_result res;
	unsigned int width = emul_stack_bytes(c, &res);

	if (res != EMUL_CONTINUE)
		return res;
	sp = old_sp & emul_mask(width);
	if (sp < 8 * size)	/* around the end of the stack segment */
		return EMUL_UNHANDLEABLE;
	res = probe_stack(c, sp - 8 * size, 8 * size);
	for (i = 0; i < 8 && res == EMUL_CONTINUE; i++)
		res = emul_push(c, i == EMUL_RSP ? old_sp : c->gpr[i], size);
	return res;
}

enum emul_result emul_op_popa(struct emul_ctxt *c)
{
	enum emul_result res = EMUL_CONTINUE;
	unsigned int i;
	u64 val;

	for (i = 8; i-- > 0 && res == EMUL_CONTINUE;) {
		res = emul_pop(c, &val, c->insn.op_bytes);
		if (res == EMUL_CONTINUE && i != EMUL_RSP)
			emul_reg_write(c, i, c->insn.op_bytes, val);
	}
	return res;
}

/* Virtual-8086 mode with IOPL below 3 has rules of its own (VME), not followed here. */
static bool vm86_sensitive(const struct emul_ctxt *c)
{
	return c->mode == EMUL_MODE_VM86 && (c->rflags & FL_IOPL) != FL_IOPL;
}

enum emul_result emul_op_pushf(struct emul_ctxt *c)
{
	if (vm86_sensitive(c))
		return EMUL_UNHANDLEABLE;
	return emul_push(c, c->rflags & ~(u64)(FL_VM | FL_RF), c->insn.op_bytes);
}

/* SDM vol. 2, "POPF/POPFD/POPFQ": what may change depends on CPL and IOPL. */
enum emul_result emul_op_popf(struct emul_ctxt *c)
{
	u64 mask = FL_ARITH | FL_TF | FL_DF | FL_NT, val;
	unsigned int iopl = (c->rflags & FL_IOPL) >> 12;
	enum emul_result res;

	if (vm86_sensitive(c))
		return EMUL_UNHANDLEABLE;
	if (c->insn.op_bytes != 2)
		mask |= FL_AC | FL_ID;
	if (!emul_prot(c) || c->cpl <= iopl)
		mask |= FL_IF;
	if (c->mode == EMUL_MODE_REAL || (emul_prot(c) && !c->cpl))
		mask |= FL_IOPL;
	res = emul_pop(c, &val, c->insn.op_bytes);
	if (res == EMUL_CONTINUE)
		c->rflags = (c->rflags & ~mask) | (val & mask);
	return res;
}

enum emul_result emul_op_enter(struct emul_ctxt *c)
{
	enum emul_result res;
	unsigned int width = emul_stack_bytes(c, &res), size = c->insn.op_bytes;
	u64 frame;

	if (c->insn.imm2 & 31)		/* nested frames: compilers do not make them */
		return EMUL_UNHANDLEABLE;
	/* The new end of the stack must be writable: SDM vol. 2, "ENTER". */
	if (res == EMUL_CONTINUE)
		res = probe_stack(c, c->gpr[EMUL_RSP] - size - c->insn.imm, size);
	if (res == EMUL_CONTINUE)
		res = emul_push(c, c->gpr[EMUL_RBP], size);
	if (res != EMUL_CONTINUE)
		return res;
	frame = c->gpr[EMUL_RSP];
	emul_reg_write(c, EMUL_RBP, size, frame);
	emul_reg_write(c, EMUL_RSP, width, frame - c->insn.imm);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_leave(struct emul_ctxt *c)
{
	enum emul_result res;
	unsigned int width = emul_stack_bytes(c, &res);
	u64 val;

	if (res != EMUL_CONTINUE)
		return res;
	emul_reg_write(c, EMUL_RSP, width, c->gpr[EMUL_RBP]);
	res = emul_pop(c, &val, c->insn.op_bytes);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, EMUL_RBP, c->insn.op_bytes, val);
	return res;
}

/* Nothing may be pushed for a call that faults, but the stack's fault goes first. */
static enum emul_result call(struct emul_ctxt *c, u64 target)
{
	unsigned int size = c->insn.op_bytes;
	u64 ret = c->next_rip;
	enum emul_result res = probe_stack(c, c->gpr[EMUL_RSP] - size, size);

	if (res == EMUL_CONTINUE)
		res = jump(c, target);
	if (res == EMUL_CONTINUE)
		res = emul_push(c, ret, size);
	return res;
}

enum emul_result emul_op_call(struct emul_ctxt *c)
{
	return call(c, c->next_rip + c->insn.imm);
}

enum emul_result emul_op_call_rm(struct emul_ctxt *c)
{
	return call(c, c->src.val);
}

enum emul_result emul_op_jmp(struct emul_ctxt *c)
{
	return jump_relative(c);
}

enum emul_result emul_op_jmp_rm(struct emul_ctxt *c)
{
	return jump(c, c->src.val);
}

enum emul_result emul_op_ret(struct emul_ctxt *c)
{
	enum emul_result res;
	unsigned int width = emul_stack_bytes(c, &res);
	u64 target;

	if (res == EMUL_CONTINUE)
		res = emul_pop(c, &target, c->insn.op_bytes);
	if (res == EMUL_CONTINUE)
		res = jump(c, target);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, EMUL_RSP, width, c->gpr[EMUL_RSP] + c->insn.imm);
	return res;
}

enum emul_result emul_op_jcc(struct emul_ctxt *c)
{
	if (!emul_condition(c->insn.opcode, c->rflags))
		return EMUL_CONTINUE;
	return jump_relative(c);
}

/* LOOPNE, LOOPE, LOOP: E0, E1, E2 */
enum emul_result emul_op_loop(struct emul_ctxt *c)
{
	unsigned int width = c->insn.addr_bytes;
	u64 count = (c->gpr[EMUL_RCX] - 1) & emul_mask(width);

	/* On AMD CPUs a REP prefix turns LOOPNE into LOOPE and back; no manual says so. */
	if (c->insn.rep && c->insn.opcode != 0xe2)
		return EMUL_UNHANDLEABLE;
	emul_reg_write(c, EMUL_RCX, width, count);
	if (!count)
		return EMUL_CONTINUE;
	if (c->insn.opcode != 0xe2 && !!(c->rflags & FL_ZF) != (c->insn.opcode & 1))
		return EMUL_CONTINUE;
	return jump_relative(c);
}

enum emul_result emul_op_jcxz(struct emul_ctxt *c)
{
	if (c->gpr[EMUL_RCX] & emul_mask(c->insn.addr_bytes))
		return EMUL_CONTINUE;
	return jump_relative(c);
}

/* CLC, STC, CLD, STD: F8, F9, FC, FD */
enum emul_result emul_op_flag(struct emul_ctxt *c)
{
	u64 bit = c->insn.opcode & 4 ? FL_DF : FL_CF;

	c->rflags = c->insn.opcode & 1 ? c->rflags | bit : c->rflags & ~bit;
	return EMUL_CONTINUE;
}

enum emul_result emul_op_cmc(struct emul_ctxt *c)
{
	c->rflags ^= FL_CF;
	return EMUL_CONTINUE;
}

/* CLI and STI above IOPL: #GP, unless protected-mode virtual interrupts take over. */
static enum emul_result check_iopl(struct emul_ctxt *c)
{
	enum emul_result res;
	u64 cr4;

	if (vm86_sensitive(c))
		return EMUL_UNHANDLEABLE;
	if (!emul_prot(c) || c->cpl <= (c->rflags & FL_IOPL) >> 12)
		return EMUL_CONTINUE;
	res = c->ops->get(c, EMUL_FILE_CR, 4, &cr4);
	if (res != EMUL_CONTINUE)
		return res;
	if (c->cpl == 3 && (cr4 & CR4_PVI))
		return EMUL_UNHANDLEABLE;
	return emul_raise(c, XV_GP, 0);
}

enum emul_result emul_op_cli(struct emul_ctxt *c)
{
	enum emul_result res = check_iopl(c);

	if (res == EMUL_CONTINUE)
		c->rflags &= ~(u64)FL_IF;
	return res;
}

enum emul_result emul_op_sti(struct emul_ctxt *c)
{
	enum emul_result res = check_iopl(c);

	if (res == EMUL_CONTINUE && !(c->rflags & FL_IF)) {
		c->rflags |= FL_IF;
		c->shadow = EMUL_SHADOW_STI;
	}
	return res;
}

enum emul_result emul_op_lahf(struct emul_ctxt *c)
{
	u64 ah = (c->rflags & (FL_ARITH & 0xff)) | 2;

	emul_reg_write(c, EMUL_RAX, 2, (c->gpr[EMUL_RAX] & 0xff) | ah << 8);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_sahf(struct emul_ctxt *c)
{
	u64 mask = FL_ARITH & 0xff;

	c->rflags = (c->rflags & ~mask) | (c->gpr[EMUL_RAX] >> 8 & mask);
	return EMUL_CONTINUE;
}

/* A selector goes to memory as 16 bits whatever the operand size. */
enum emul_result emul_store_word(struct emul_ctxt *c, u64 val)
{
	enum emul_result res;
	u64 linear;

	if (c->insn.mod == 3) {
		emul_reg_write(c, c->insn.rm, c->insn.op_bytes, val);
		return EMUL_CONTINUE;
	}
	res = emul_linear(c, c->insn.seg, c->mem_off, 2, EMUL_ACC_WRITE, &linear);
	if (res == EMUL_CONTINUE)
		res = emul_mem_write(c, linear, &val, 2, EMUL_ACC_WRITE);
	return res;
}

enum emul_result emul_op_mov_from_sreg(struct emul_ctxt *c)
{
	const struct emul_seg *seg;
	enum emul_result res;

	if ((c->insn.reg & 7) > EMUL_GS)
		return emul_raise(c, XV_UD, 0);
	res = emul_segment(c, c->insn.reg & 7, &seg);
	return res == EMUL_CONTINUE ? emul_store_word(c, seg->selector) : res;
}

/* Loads are done where no descriptor is read: SDM vol. 3, "Real-Address Mode". */
static enum emul_result load_sreg(struct emul_ctxt *c, unsigned int reg, u16 selector)
{
	const struct emul_seg *old;
	enum emul_result res;
	struct emul_seg seg;

	if (emul_prot(c))
		return EMUL_UNHANDLEABLE;
	res = emul_segment(c, reg, &old);
	if (res != EMUL_CONTINUE)
		return res;
	seg = *old;
	seg.selector = selector;
	seg.base = (u64)selector << 4;
	if (reg == EMUL_SS)
		c->shadow = EMUL_SHADOW_MOV_SS;
	return c->ops->set_seg(c, reg, &seg);
}

enum emul_result emul_op_mov_to_sreg(struct emul_ctxt *c)
{
	unsigned int reg = c->insn.reg & 7;
	enum emul_result res;
	u64 linear, val = 0;

	if (reg == EMUL_CS || reg > EMUL_GS)
		return emul_raise(c, XV_UD, 0);
	if (c->insn.mod == 3)
		return load_sreg(c, reg, emul_reg_read(c, c->insn.rm, 2));
	res = emul_linear(c, c->insn.seg, c->mem_off, 2, EMUL_ACC_READ, &linear);
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, linear, &val, 2, EMUL_ACC_READ);
	return res == EMUL_CONTINUE ? load_sreg(c, reg, val) : res;
}

/* param: segment register */
enum emul_result emul_op_push_sreg(struct emul_ctxt *c)
{
	const struct emul_seg *seg;
	enum emul_result res = emul_segment(c, c->insn.op->param, &seg);

	return res == EMUL_CONTINUE ? emul_push(c, seg->selector, c->insn.op_bytes) : res;
}

enum emul_result emul_op_pop_sreg(struct emul_ctxt *c)
{
	enum emul_result res;
	u64 val;

	if (emul_prot(c))
		return EMUL_UNHANDLEABLE;
	res = emul_pop(c, &val, c->insn.op_bytes);
	return res == EMUL_CONTINUE ? load_sreg(c, c->insn.op->param, val) : res;
}
