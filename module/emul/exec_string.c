// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handlers: string instructions and port I/O. A repeated instruction commits
 * its registers after each iteration, so that it can stop for user space, an
 * exception or an interrupt, and go on where it stopped.
 */
#include "emul_priv.h"

/* One iteration; *@stop ends the repetition early (CMPS, SCAS). */
typedef enum emul_result (*string_step)(struct emul_ctxt *c, bool *stop);

static enum emul_result repeat(struct emul_ctxt *c, string_step step)
{
	unsigned int width = c->insn.addr_bytes;
	bool stop = false;
	u64 count;

	if (!c->insn.rep) {
		c->rep_left = 1;
		return step(c, &stop);
	}
	count = c->gpr[EMUL_RCX] & emul_mask(width);
	if (c->rflags & FL_TF)	/* a trap after each iteration */
		c->rep_left = 1;
	while (count) {
		enum emul_result res = step(c, &stop);

		if (res != EMUL_CONTINUE)
			return res;
		emul_reg_write(c, EMUL_RCX, width, --count);
		if (stop || !count)
			break;
		if (!--c->rep_left) {
			c->next_rip = c->rip;	/* interrupts have their turn */
			break;
		}
		emul_commit(c);
	}
	return EMUL_CONTINUE;
}

static unsigned int item_size(const struct emul_ctxt *c)
{
	return c->insn.op_bytes;
}

static u64 index_reg(const struct emul_ctxt *c, unsigned int reg)
{
	return c->gpr[reg] & emul_mask(c->insn.addr_bytes);
}

static void step_reg(struct emul_ctxt *c, unsigned int reg, unsigned int size)
{
	u64 delta = c->rflags & FL_DF ? -(u64)size : size;

	emul_reg_write(c, reg, c->insn.addr_bytes, c->gpr[reg] + delta);
}

/* Address of the item at seg:rSI; the segment may be overridden. */
static enum emul_result source(struct emul_ctxt *c, unsigned int size, u64 *linear)
{
	return emul_linear(c, c->insn.seg, index_reg(c, EMUL_RSI), size, EMUL_ACC_READ, linear);
}

/* Address of the item at ES:rDI. */
static enum emul_result target(struct emul_ctxt *c, unsigned int size, unsigned int access,
			       u64 *linear)
{
	return emul_linear(c, EMUL_ES, index_reg(c, EMUL_RDI), size, access, linear);
}

/*
 * Probe the second operand before the first, which may be a device, is read:
 * a fault in between would have the device read again after it. Once a page.
 */
static enum emul_result probe_ahead(struct emul_ctxt *c, u64 linear, unsigned int size,
				    unsigned int access)
{
	enum emul_result res;

	if (c->log_pos < c->log_len ||
	    (linear >> 12 == c->probed && (linear & 4095) + size <= 4096))
		return EMUL_CONTINUE;
	res = emul_probe(c, linear, size, access);
	if (res == EMUL_CONTINUE)
		c->probed = linear >> 12;
	return res;
}

static enum emul_result movs_step(struct emul_ctxt *c, bool *stop)
{
	unsigned int size = item_size(c);
	u64 from, to, val = 0;
	enum emul_result res;

	res = source(c, size, &from);
	if (res == EMUL_CONTINUE)
		res = target(c, size, EMUL_ACC_WRITE, &to);
	if (res != EMUL_CONTINUE)
		return res;
	res = probe_ahead(c, to, size, EMUL_ACC_WRITE);
	if (res == EMUL_EXCEPTION && emul_probe(c, from, size, EMUL_ACC_READ) == EMUL_CONTINUE)
		res = emul_probe(c, to, size, EMUL_ACC_WRITE);	/* the source's fault goes first */
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, from, &val, size, EMUL_ACC_READ);
	if (res == EMUL_CONTINUE)
		res = emul_mem_write(c, to, &val, size, EMUL_ACC_WRITE);
	if (res != EMUL_CONTINUE)
		return res;
	step_reg(c, EMUL_RSI, size);
	step_reg(c, EMUL_RDI, size);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_movs(struct emul_ctxt *c)
{
	return repeat(c, movs_step);
}

static enum emul_result stos_step(struct emul_ctxt *c, bool *stop)
{
	unsigned int size = item_size(c);
	enum emul_result res;
	u64 to;

	res = target(c, size, EMUL_ACC_WRITE, &to);
	if (res == EMUL_CONTINUE)
		res = emul_mem_write(c, to, &c->gpr[EMUL_RAX], size, EMUL_ACC_WRITE);
	if (res == EMUL_CONTINUE)
		step_reg(c, EMUL_RDI, size);
	return res;
}

enum emul_result emul_op_stos(struct emul_ctxt *c)
{
	return repeat(c, stos_step);
}

static enum emul_result lods_step(struct emul_ctxt *c, bool *stop)
{
	unsigned int size = item_size(c);
	enum emul_result res;
	u64 from, val = 0;

	res = source(c, size, &from);
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, from, &val, size, EMUL_ACC_READ);
	if (res != EMUL_CONTINUE)
		return res;
	emul_reg_write(c, EMUL_RAX, size, val);
	step_reg(c, EMUL_RSI, size);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_lods(struct emul_ctxt *c)
{
	return repeat(c, lods_step);
}

/* REPE goes on while equal, REPNE while not. */
static bool compare_stops(const struct emul_ctxt *c)
{
	bool equal = c->rflags & FL_ZF;

	return c->insn.rep == 0xf3 ? !equal : equal;
}

static enum emul_result cmps_step(struct emul_ctxt *c, bool *stop)
{
	unsigned int size = item_size(c);
	u64 a_at, b_at, a = 0, b = 0;
	enum emul_result res;

	res = source(c, size, &a_at);
	if (res == EMUL_CONTINUE)
		res = target(c, size, EMUL_ACC_READ, &b_at);
	if (res == EMUL_CONTINUE)
		res = probe_ahead(c, b_at, size, EMUL_ACC_READ);
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, a_at, &a, size, EMUL_ACC_READ);
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, b_at, &b, size, EMUL_ACC_READ);
	if (res != EMUL_CONTINUE)
		return res;
	emul_alu2(ALU_CMP, a, b, size, &c->rflags);
	step_reg(c, EMUL_RSI, size);
	step_reg(c, EMUL_RDI, size);
	*stop = compare_stops(c);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_cmps(struct emul_ctxt *c)
{
	return repeat(c, cmps_step);
}

static enum emul_result scas_step(struct emul_ctxt *c, bool *stop)
{
	unsigned int size = item_size(c);
	enum emul_result res;
	u64 at, val = 0;

	res = target(c, size, EMUL_ACC_READ, &at);
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, at, &val, size, EMUL_ACC_READ);
	if (res != EMUL_CONTINUE)
		return res;
	emul_alu2(ALU_CMP, c->gpr[EMUL_RAX], val, size, &c->rflags);
	step_reg(c, EMUL_RDI, size);
	*stop = compare_stops(c);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_scas(struct emul_ctxt *c)
{
	return repeat(c, scas_step);
}

static enum emul_result tss_byte(struct emul_ctxt *c, const struct emul_seg *tss, u32 off, u8 *val)
{
	u64 linear = tss->base + off;
	enum emul_result res;

	if (off > tss->limit)
		return emul_raise(c, XV_GP, 0);
	if (!emul_long(c))
		linear = (u32)linear;
	res = c->ops->read(c, linear, val, 1, EMUL_ACC_READ | EMUL_ACC_IMPLICIT);
	return res == EMUL_IO_NEEDED ? EMUL_UNHANDLEABLE : res;
}

/* SDM vol. 1, "I/O Permission Bit Map"; two bytes are read whatever the port. */
static enum emul_result check_bitmap(struct emul_ctxt *c, u16 port, unsigned int size)
{
	const struct emul_seg *tss;
	enum emul_result res;
	u8 at[2], map[2];
	u32 off;

	res = emul_segment(c, EMUL_TR, &tss);
	if (res != EMUL_CONTINUE)
		return res;
	if (tss->unusable || !(tss->type & 8) || tss->limit < 103)
		return emul_raise(c, XV_GP, 0);
	res = tss_byte(c, tss, 102, &at[0]);
	if (res == EMUL_CONTINUE)
		res = tss_byte(c, tss, 103, &at[1]);
	if (res != EMUL_CONTINUE)
		return res;
	off = (at[0] | at[1] << 8) + port / 8;
	res = tss_byte(c, tss, off, &map[0]);
	if (res == EMUL_CONTINUE)
		res = tss_byte(c, tss, off + 1, &map[1]);
	if (res != EMUL_CONTINUE)
		return res;
	if ((map[0] | map[1] << 8) >> (port & 7) & (BIT(size) - 1))
		return emul_raise(c, XV_GP, 0);
	return EMUL_CONTINUE;
}

/* Once an instruction: a replay must not take other ways than the first run. */
static enum emul_result check_port(struct emul_ctxt *c, u16 port, unsigned int size)
{
	enum emul_result res = EMUL_CONTINUE;

	if (c->io_allowed || c->mode == EMUL_MODE_REAL)
		return EMUL_CONTINUE;
	if (c->mode == EMUL_MODE_VM86 || c->cpl > (c->rflags & FL_IOPL) >> 12)
		res = check_bitmap(c, port, size);
	c->io_allowed = res == EMUL_CONTINUE;
	return res;
}

static unsigned int port_size(const struct emul_ctxt *c)
{
	return min_t(unsigned int, c->insn.op_bytes, 4);
}

static u16 port_number(const struct emul_ctxt *c)
{
	return c->insn.flags & F_IMM ? c->insn.imm : c->gpr[EMUL_RDX];
}

enum emul_result emul_op_in(struct emul_ctxt *c)
{
	unsigned int size = port_size(c);
	u16 port = port_number(c);
	enum emul_result res = check_port(c, port, size);
	u64 val = 0;

	if (res == EMUL_CONTINUE)
		res = emul_port(c, false, port, size, &val);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, EMUL_RAX, size, val);
	return res;
}

enum emul_result emul_op_out(struct emul_ctxt *c)
{
	unsigned int size = port_size(c);
	u16 port = port_number(c);
	enum emul_result res = check_port(c, port, size);

	if (res == EMUL_CONTINUE)
		res = emul_port(c, true, port, size, &c->gpr[EMUL_RAX]);
	return res;
}

/*
 * Items to move in one piece: as many as lie in the page, the segment and the
 * buffer, and are sure to be used up in this run. Backwards it is one at a time.
 */
static unsigned int batch(struct emul_ctxt *c, unsigned int seg, unsigned int reg,
			  unsigned int size, unsigned int access, u64 linear)
{
	u64 n = c->gpr[EMUL_RCX] & emul_mask(c->insn.addr_bytes), off = index_reg(c, reg), unused;

	if (!c->insn.rep || (c->rflags & FL_DF))
		return 1;
	n = min_t(u64, n, c->rep_left);
	n = min_t(u64, n, EMUL_PIO_BUF / size);
	n = min_t(u64, n, (4096 - (linear & 4095)) / size);
	if (n < 2 || off + n * size - 1 > emul_mask(c->insn.addr_bytes) ||
	    emul_linear(c, seg, off, n * size, access, &unused) != EMUL_CONTINUE)
		return 1;
	return n;
}

/* Fill pio_data from the port. The target is probed first, or a fault would lose the data. */
static enum emul_result ins_fill(struct emul_ctxt *c, unsigned int size, u64 to)
{
	u16 port = c->gpr[EMUL_RDX];
	unsigned int n = batch(c, EMUL_ES, EMUL_RDI, size, EMUL_ACC_WRITE, to);
	enum emul_result res = emul_probe(c, to, n * size, EMUL_ACC_WRITE);

	if (res == EMUL_CONTINUE)
		res = emul_port_string(c, false, port, size, n);
	if (res == EMUL_CONTINUE || res == EMUL_IO_NEEDED) {
		c->pio_fill = n;
		c->pio_pos = 0;
	}
	return res;
}

static enum emul_result ins_step(struct emul_ctxt *c, bool *stop)
{
	unsigned int size = port_size(c);
	enum emul_result res;
	u64 to;

	res = target(c, size, EMUL_ACC_WRITE, &to);
	if (res == EMUL_CONTINUE && c->pio_pos == c->pio_fill)
		res = ins_fill(c, size, to);
	if (res == EMUL_CONTINUE)
		res = emul_mem_write(c, to, &c->pio_data[c->pio_pos * size], size, EMUL_ACC_WRITE);
	if (res != EMUL_CONTINUE)
		return res;
	c->pio_pos++;
	step_reg(c, EMUL_RDI, size);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_ins(struct emul_ctxt *c)
{
	enum emul_result res = check_port(c, c->gpr[EMUL_RDX], port_size(c));

	return res == EMUL_CONTINUE ? repeat(c, ins_step) : res;
}

/* Fill pio_data from memory; an item is read once, and kept over a replay. */
static enum emul_result outs_fill(struct emul_ctxt *c, unsigned int size, u64 from)
{
	unsigned int n = batch(c, c->insn.seg, EMUL_RSI, size, EMUL_ACC_READ, from);

	while (c->pio_fill < n) {
		unsigned int at = c->pio_fill * size;
		enum emul_result res = emul_mem_read(c, from + at, &c->pio_data[at], size,
						     EMUL_ACC_READ);

		/* A fault waits until the items before it are out. */
		if (res == EMUL_EXCEPTION && c->pio_fill)
			break;
		if (res != EMUL_CONTINUE)
			return res;
		c->pio_fill++;
		c->log_pos = 0;
		c->log_len = 0;
	}
	return EMUL_CONTINUE;
}

static enum emul_result outs_step(struct emul_ctxt *c, bool *stop)
{
	unsigned int size = port_size(c);
	u16 port = c->gpr[EMUL_RDX];
	enum emul_result res;
	u64 from;

	if (!c->pio_done) {
		res = source(c, size, &from);
		if (res == EMUL_CONTINUE)
			res = outs_fill(c, size, from);
		if (res == EMUL_CONTINUE) {
			c->pio_done = true;
			res = emul_port_string(c, true, port, size, c->pio_fill);
		}
		if (res != EMUL_CONTINUE)
			return res;
	}
	if (++c->pio_pos >= c->pio_fill) {
		c->pio_done = false;
		c->pio_pos = 0;
		c->pio_fill = 0;
	}
	step_reg(c, EMUL_RSI, size);
	return EMUL_CONTINUE;
}

enum emul_result emul_op_outs(struct emul_ctxt *c)
{
	enum emul_result res = check_port(c, c->gpr[EMUL_RDX], port_size(c));

	return res == EMUL_CONTINUE ? repeat(c, outs_step) : res;
}
