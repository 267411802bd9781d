// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handlers: moves between XMM registers and memory, which frame buffer and
 * copy routines use on device memory. Registers are bytes in a buffer here.
 */
#include "emul_priv.h"

/* SDM vol. 3, "SSE Feature Exceptions": #UD before #NM. */
static enum emul_result check_sse(struct emul_ctxt *c)
{
	enum emul_result res;
	u64 cr0, cr4;

	res = c->ops->get(c, EMUL_FILE_CR, 0, &cr0);
	if (res == EMUL_CONTINUE)
		res = c->ops->get(c, EMUL_FILE_CR, 4, &cr4);
	if (res != EMUL_CONTINUE)
		return res;
	if ((cr0 & CR0_EM) || !(cr4 & CR4_OSFXSR))
		return emul_raise(c, XV_UD, 0);
	if (cr0 & CR0_TS)
		return emul_raise(c, XV_NM, 0);
	return EMUL_CONTINUE;
}

static enum emul_result sse_address(struct emul_ctxt *c, unsigned int size, unsigned int access,
				    u64 *linear)
{
	enum emul_result res = emul_linear(c, c->insn.seg, c->mem_off, size, access, linear);
	u64 low = res == EMUL_CONTINUE ? *linear : c->mem_off;

	/* Misalignment goes before what segmentation has to say. */
	if (res <= EMUL_EXCEPTION && (c->insn.flags & F_ALIGN) && (low & 15))
		return emul_raise(c, XV_GP, 0);
	return res;
}

/* xmm/m128, or its low part, into @buf */
static enum emul_result sse_read_rm(struct emul_ctxt *c, u8 buf[16], unsigned int size)
{
	enum emul_result res;
	u64 linear;

	if (c->insn.mod == 3)
		return c->ops->xmm(c, c->insn.rm, buf, false);
	res = sse_address(c, size, EMUL_ACC_READ, &linear);
	return res == EMUL_CONTINUE ? emul_mem_read(c, linear, buf, size, EMUL_ACC_READ) : res;
}

static enum emul_result sse_write_rm(struct emul_ctxt *c, u8 buf[16], unsigned int size)
{
	enum emul_result res;
	u64 linear;

	if (c->insn.mod == 3)
		return c->ops->xmm(c, c->insn.rm, buf, true);
	res = sse_address(c, size, EMUL_ACC_WRITE, &linear);
	return res == EMUL_CONTINUE ? emul_mem_write(c, linear, buf, size, EMUL_ACC_WRITE) : res;
}

/* MOVUPS, MOVAPS, MOVDQU, MOVDQA, MOVNTDQA and their likes: 16 bytes in */
enum emul_result emul_op_sse_load(struct emul_ctxt *c)
{
	enum emul_result res = check_sse(c);
	u8 buf[16] = { 0 };

	if (res == EMUL_CONTINUE)
		res = sse_read_rm(c, buf, 16);
	return res == EMUL_CONTINUE ? c->ops->xmm(c, c->insn.reg, buf, true) : res;
}

/* ... and out, MOVNTPS and MOVNTDQ too */
enum emul_result emul_op_sse_store(struct emul_ctxt *c)
{
	enum emul_result res = check_sse(c);
	u8 buf[16] = { 0 };

	if (res == EMUL_CONTINUE)
		res = c->ops->xmm(c, c->insn.reg, buf, false);
	return res == EMUL_CONTINUE ? sse_write_rm(c, buf, 16) : res;
}

/* MOVQ xmm, xmm/m64: the upper half becomes 0 */
enum emul_result emul_op_movq_load(struct emul_ctxt *c)
{
	enum emul_result res = check_sse(c);
	u8 buf[16] = { 0 };

	if (res == EMUL_CONTINUE)
		res = sse_read_rm(c, buf, 8);
	memset(buf + 8, 0, 8);
	return res == EMUL_CONTINUE ? c->ops->xmm(c, c->insn.reg, buf, true) : res;
}

/* MOVQ xmm/m64, xmm */
enum emul_result emul_op_movq_store(struct emul_ctxt *c)
{
	enum emul_result res = check_sse(c);
	u8 buf[16] = { 0 };

	if (res == EMUL_CONTINUE)
		res = c->ops->xmm(c, c->insn.reg, buf, false);
	memset(buf + 8, 0, 8);
	return res == EMUL_CONTINUE ? sse_write_rm(c, buf, 8) : res;
}

static unsigned int movd_size(const struct emul_ctxt *c)
{
	return c->insn.rex & 8 ? 8 : 4;
}

/* MOVD, MOVQ xmm, r/m: the rest of the register becomes 0 */
enum emul_result emul_op_movd_load(struct emul_ctxt *c)
{
	enum emul_result res = check_sse(c);
	unsigned int size = movd_size(c);
	u8 buf[16] = { 0 };
	u64 val;

	if (res != EMUL_CONTINUE)
		return res;
	if (c->insn.mod == 3) {
		val = emul_reg_read(c, c->insn.rm, size);
		memcpy(buf, &val, size);
	} else {
		res = sse_read_rm(c, buf, size);
	}
	return res == EMUL_CONTINUE ? c->ops->xmm(c, c->insn.reg, buf, true) : res;
}

/* MOVD, MOVQ r/m, xmm */
enum emul_result emul_op_movd_store(struct emul_ctxt *c)
{
	enum emul_result res = check_sse(c);
	unsigned int size = movd_size(c);
	u8 buf[16] = { 0 };
	u64 val;

	if (res == EMUL_CONTINUE)
		res = c->ops->xmm(c, c->insn.reg, buf, false);
	if (res != EMUL_CONTINUE)
		return res;
	if (c->insn.mod != 3)
		return sse_write_rm(c, buf, size);
	memcpy(&val, buf, sizeof(val));
	emul_reg_write(c, c->insn.rm, size, val);
	return EMUL_CONTINUE;
}
