// SPDX-License-Identifier: GPL-2.0-only
/* Handlers: system instructions. What they do is the caller's; here are operands and checks. */
#include "emul_priv.h"

static unsigned int cr_size(const struct emul_ctxt *c)
{
	return emul_long(c) ? 8 : 4;
}

/* Which control register; CR1, CR5 to CR7 and CR9 up do not exist. */
static enum emul_result cr_number(struct emul_ctxt *c, unsigned int *cr)
{
	*cr = c->insn.reg;
	if (c->insn.lock)	/* CR8 on some AMD CPUs, #UD on others */
		return EMUL_UNHANDLEABLE;
	if (*cr == 1 || (*cr > 4 && *cr != 8))
		return emul_raise(c, XV_UD, 0);
	return c->cpl ? emul_raise(c, XV_GP, 0) : EMUL_CONTINUE;
}

enum emul_result emul_op_mov_from_cr(struct emul_ctxt *c)
{
	enum emul_result res;
	unsigned int cr;
	u64 val;

	res = cr_number(c, &cr);
	if (res == EMUL_CONTINUE)
		res = c->ops->get(c, EMUL_FILE_CR, cr, &val);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, c->insn.rm, cr_size(c), val);
	return res;
}

enum emul_result emul_op_mov_to_cr(struct emul_ctxt *c)
{
	enum emul_result res;
	unsigned int cr;

	res = cr_number(c, &cr);
	if (res == EMUL_CONTINUE)
		res = c->ops->set(c, EMUL_FILE_CR, cr, emul_reg_read(c, c->insn.rm, cr_size(c)));
	return res;
}

static enum emul_result check_dr(struct emul_ctxt *c)
{
	if (c->insn.reg > 7)
		return emul_raise(c, XV_UD, 0);
	return c->cpl ? emul_raise(c, XV_GP, 0) : EMUL_CONTINUE;
}

enum emul_result emul_op_mov_from_dr(struct emul_ctxt *c)
{
	enum emul_result res = check_dr(c);
	u64 val;

	if (res == EMUL_CONTINUE)
		res = c->ops->get(c, EMUL_FILE_DR, c->insn.reg, &val);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, c->insn.rm, cr_size(c), val);
	return res;
}

enum emul_result emul_op_mov_to_dr(struct emul_ctxt *c)
{
	enum emul_result res = check_dr(c);

	if (res != EMUL_CONTINUE)
		return res;
	return c->ops->set(c, EMUL_FILE_DR, c->insn.reg,
			   emul_reg_read(c, c->insn.rm, cr_size(c)));
}

enum emul_result emul_op_clts(struct emul_ctxt *c)
{
	enum emul_result res;
	u64 cr0;

	res = c->ops->get(c, EMUL_FILE_CR, 0, &cr0);
	return res == EMUL_CONTINUE ? c->ops->set(c, EMUL_FILE_CR, 0, cr0 & ~(u64)CR0_TS) : res;
}

/* LMSW writes the low four bits and cannot clear PE. */
enum emul_result emul_op_lmsw(struct emul_ctxt *c)
{
	enum emul_result res;
	u64 cr0;

	res = c->ops->get(c, EMUL_FILE_CR, 0, &cr0);
	if (res != EMUL_CONTINUE)
		return res;
	return c->ops->set(c, EMUL_FILE_CR, 0, (cr0 & ~0xeULL) | (c->src.val & 0xf));
}

/* Is this instruction forbidden at CPL above 0 by bit @bit of CR4 (in state @set)? */
static enum emul_result check_cr4_user(struct emul_ctxt *c, u64 bit, bool set)
{
	enum emul_result res;
	u64 cr4;

	if (!c->cpl)
		return EMUL_CONTINUE;
	res = c->ops->get(c, EMUL_FILE_CR, 4, &cr4);
	if (res == EMUL_CONTINUE && !!(cr4 & bit) == set)
		return emul_raise(c, XV_GP, 0);
	return res;
}

enum emul_result emul_op_smsw(struct emul_ctxt *c)
{
	enum emul_result res = check_cr4_user(c, CR4_UMIP, true);
	u64 cr0;

	if (res == EMUL_CONTINUE)
		res = c->ops->get(c, EMUL_FILE_CR, 0, &cr0);
	return res == EMUL_CONTINUE ? emul_store_word(c, cr0) : res;
}

static void write_edx_eax(struct emul_ctxt *c, u64 val)
{
	emul_reg_write(c, EMUL_RAX, 4, val);
	emul_reg_write(c, EMUL_RDX, 4, val >> 32);
}

static u64 read_edx_eax(const struct emul_ctxt *c)
{
	return (u32)c->gpr[EMUL_RAX] | c->gpr[EMUL_RDX] << 32;
}

static enum emul_result read_file(struct emul_ctxt *c, enum emul_file file, u32 index)
{
	enum emul_result res;
	u64 val;

	res = c->ops->get(c, file, index, &val);
	if (res == EMUL_CONTINUE)
		write_edx_eax(c, val);
	return res;
}

enum emul_result emul_op_rdmsr(struct emul_ctxt *c)
{
	return read_file(c, EMUL_FILE_MSR, c->gpr[EMUL_RCX]);
}

enum emul_result emul_op_wrmsr(struct emul_ctxt *c)
{
	return c->ops->set(c, EMUL_FILE_MSR, c->gpr[EMUL_RCX], read_edx_eax(c));
}

/* RDTSC, and RDTSCP with param */
enum emul_result emul_op_rdtsc(struct emul_ctxt *c)
{
	enum emul_result res = check_cr4_user(c, CR4_TSD, true);
	u64 aux;

	if (res == EMUL_CONTINUE)
		res = read_file(c, EMUL_FILE_TSC, 0);
	if (res != EMUL_CONTINUE || !c->insn.op->param)
		return res;
	res = c->ops->get(c, EMUL_FILE_TSC, 1, &aux);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, EMUL_RCX, 4, aux);
	return res;
}

enum emul_result emul_op_rdpmc(struct emul_ctxt *c)
{
	enum emul_result res = check_cr4_user(c, CR4_PCE, false);

	return res == EMUL_CONTINUE ? read_file(c, EMUL_FILE_PMC, c->gpr[EMUL_RCX]) : res;
}

static enum emul_result check_osxsave(struct emul_ctxt *c)
{
	enum emul_result res;
	u64 cr4;

	res = c->ops->get(c, EMUL_FILE_CR, 4, &cr4);
	if (res == EMUL_CONTINUE && !(cr4 & CR4_OSXSAVE))
		return emul_raise(c, XV_UD, 0);
	return res;
}

enum emul_result emul_op_xgetbv(struct emul_ctxt *c)
{
	enum emul_result res = check_osxsave(c);

	return res == EMUL_CONTINUE ? read_file(c, EMUL_FILE_XCR, c->gpr[EMUL_RCX]) : res;
}

enum emul_result emul_op_xsetbv(struct emul_ctxt *c)
{
	enum emul_result res = check_osxsave(c);

	if (res == EMUL_CONTINUE && c->cpl)
		return emul_raise(c, XV_GP, 0);
	if (res == EMUL_CONTINUE)
		res = c->ops->set(c, EMUL_FILE_XCR, c->gpr[EMUL_RCX], read_edx_eax(c));
	return res;
}

enum emul_result emul_op_cpuid(struct emul_ctxt *c)
{
	static const u8 order[4] = { EMUL_RAX, EMUL_RBX, EMUL_RCX, EMUL_RDX };
	enum emul_result res;
	unsigned int i;
	u32 regs[4];

	for (i = 0; i < 4; i++)
		regs[i] = c->gpr[order[i]];
	res = c->ops->cpuid(c, regs);
	for (i = 0; i < 4 && res == EMUL_CONTINUE; i++)
		emul_reg_write(c, order[i], 4, regs[i]);
	return res;
}

/* param: enum emul_sysop without an operand */
enum emul_result emul_op_sysop(struct emul_ctxt *c)
{
	/* F3 90 with REX.B: PAUSE or XCHG, the manuals do not agree. */
	if (c->insn.opcode == 0x90 && (c->insn.rex & 1))
		return EMUL_UNHANDLEABLE;
	return emul_system(c, c->insn.op->param, 0);
}

/* No limit, type or canonical check: INVLPG of nonsense does nothing. */
enum emul_result emul_op_invlpg(struct emul_ctxt *c)
{
	const struct emul_seg *seg;
	u64 linear = c->mem_off;
	enum emul_result res;

	if (!emul_long(c) || c->insn.seg >= EMUL_FS) {
		res = emul_segment(c, c->insn.seg, &seg);
		if (res != EMUL_CONTINUE)
			return res;
		linear += seg->base;
	}
	if (!emul_long(c))
		linear = (u32)linear;
	else if (!emul_canonical(c, linear))
		return EMUL_CONTINUE;
	return emul_system(c, EMUL_SYS_INVLPG, linear);
}

/* ECX holds extensions, of which there are none: SDM vol. 2, "MONITOR". */
enum emul_result emul_op_monitor(struct emul_ctxt *c)
{
	u64 off = c->gpr[EMUL_RAX] & emul_mask(c->insn.addr_bytes), linear;
	enum emul_result res;

	if ((u32)c->gpr[EMUL_RCX])
		return emul_raise(c, XV_GP, 0);
	res = emul_linear(c, c->insn.seg, off, 1, EMUL_ACC_READ, &linear);
	return res == EMUL_CONTINUE ? emul_system(c, EMUL_SYS_MONITOR, linear) : res;
}

/* ECX bit 0: wake on masked interrupts. */
enum emul_result emul_op_mwait(struct emul_ctxt *c)
{
	if ((u32)c->gpr[EMUL_RCX] & ~1u)
		return emul_raise(c, XV_GP, 0);
	return emul_system(c, EMUL_SYS_MWAIT, 0);
}
