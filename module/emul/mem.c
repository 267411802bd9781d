// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that leaves the emulator: segmentation, memory, ports and system
 * operations, each access through the replay log.
 */
#include "emul_priv.h"

enum emul_result emul_raise(struct emul_ctxt *c, u8 vector, u32 error)
{
	/* #DF, #TS, #NP, #SS, #GP, #PF, #AC and #CP, but never in real mode. */
	const u32 with_error = 1u << 8 | 0xfu << 10 | 1u << 14 | 1u << 17 | 1u << 21;

	c->fault.vector = vector;
	c->fault.has_error = c->mode != EMUL_MODE_REAL && vector < 32 &&
			     (with_error >> vector & 1);
	c->fault.error = c->fault.has_error ? error : 0;
	c->fault.address = 0;
	return EMUL_EXCEPTION;
}

enum emul_result emul_raise_pf(struct emul_ctxt *c, u64 linear, u32 error)
{
	emul_raise(c, XV_PF, error);
	c->fault.address = linear;
	return EMUL_EXCEPTION;
}

void emul_commit(struct emul_ctxt *c)
{
	c->changed = 0;
	c->saved_rflags = c->rflags;
	c->log_pos = 0;
	c->log_len = 0;
}

/*
 * The log. An access asks log_replay() first; if it is a new one, it is made
 * in the entry that log_replay() gave, and log_record() keeps what came of it.
 */
static struct emul_log_entry *log_replay(struct emul_ctxt *c, enum emul_log_kind kind, u64 linear,
					 unsigned int len, enum emul_result *res)
{
	struct emul_log_entry *e;

	if (c->log_pos >= EMUL_LOG_MAX) {
		*res = EMUL_UNHANDLEABLE;
		return NULL;
	}
	e = &c->log[array_index_nospec(c->log_pos, EMUL_LOG_MAX)];
	if (c->log_pos < c->log_len) {
		/* Another access than last time: the caller has changed registers. */
		if (e->kind != kind || e->linear != linear || e->len != len) {
			*res = EMUL_UNHANDLEABLE;
			return NULL;
		}
		c->log_pos++;
		*res = EMUL_CONTINUE;
		return e;
	}
	e->kind = kind;
	e->linear = linear;
	e->len = len;
	*res = EMUL_RETRY;	/* to be made */
	return e;
}

static enum emul_result log_record(struct emul_ctxt *c, struct emul_log_entry *e, bool in,
				   enum emul_result res)
{
	if (res != EMUL_CONTINUE && res != EMUL_IO_NEEDED)
		return res;
	c->log_len = ++c->log_pos;
	if (res == EMUL_IO_NEEDED) {
		c->pending = true;
		c->pending_in = in;
		c->pending_buf = e->data;
		c->pending_len = e->len;
	}
	return res;
}

bool emul_io_done(struct emul_ctxt *c, const void *data, unsigned int len)
{
	if (!c->pending)
		return false;
	if (c->pending_in) {
		if (len != c->pending_len)
			return false;
		memcpy(c->pending_buf, data, len);
	}
	c->pending = false;
	return true;
}

enum emul_result emul_segment(struct emul_ctxt *c, unsigned int reg, const struct emul_seg **seg)
{
	enum emul_result res;

	reg = array_index_nospec(reg < EMUL_NR_SEGS ? reg : EMUL_DS, EMUL_NR_SEGS);
	*seg = &c->segs[reg];
	if (c->segs_valid & BIT(reg))
		return EMUL_CONTINUE;
	res = c->ops->get_seg(c, reg, &c->segs[reg]);
	if (res != EMUL_CONTINUE)
		return res == EMUL_EXCEPTION ? res : EMUL_UNHANDLEABLE;
	c->segs_valid |= BIT(reg);
	return EMUL_CONTINUE;
}

/* SDM vol. 3, "Limit Checking" and "Type Checking" */
static bool segment_allows(const struct emul_ctxt *c, const struct emul_seg *s, u64 off,
			   unsigned int len, unsigned int access)
{
	u64 last = off + len - 1;
	bool code = s->type & 8;

	if (emul_prot(c)) {
		if (s->unusable || !s->present)
			return false;
		if ((access & EMUL_ACC_WRITE) && (code || !(s->type & 2)))
			return false;
		if (code && !(s->type & 2))
			return false;
		if (!code && (s->type & 4))	/* expand-down */
			return off > s->limit && last <= (s->db ? 0xffffffffu : 0xffffu);
	}
	return last <= s->limit;
}

enum emul_result emul_linear(struct emul_ctxt *c, unsigned int seg, u64 off, unsigned int len,
			     unsigned int access, u64 *linear)
{
	u8 vector = seg == EMUL_SS ? XV_SS : XV_GP;
	const struct emul_seg *s;
	enum emul_result res;

	if (emul_long(c)) {
		*linear = off;
		if (seg == EMUL_FS || seg == EMUL_GS) {
			res = emul_segment(c, seg, &s);
			if (res != EMUL_CONTINUE)
				return res;
			*linear += s->base;
		}
		if (!emul_canonical(c, *linear) || !emul_canonical(c, *linear + len - 1))
			return emul_raise(c, vector, 0);
		return EMUL_CONTINUE;
	}
	res = emul_segment(c, seg, &s);
	if (res != EMUL_CONTINUE)
		return res;
	if (!segment_allows(c, s, off, len, access))
		return emul_raise(c, vector, 0);
	*linear = (u32)(s->base + off);
	return EMUL_CONTINUE;
}

/* Most accesses have one of these sizes, which the compiler turns into plain moves. */
static void copy(void *to, const void *from, unsigned int len)
{
	if (len == 4)
		memcpy(to, from, 4);
	else if (len == 8)
		memcpy(to, from, 8);
	else
		memcpy(to, from, len);
}

/* Next piece of an access: within a page, at most 8 bytes. */
static unsigned int piece(u64 linear, unsigned int len)
{
	unsigned int room = 4096 - (linear & 4095);

	return min_t(unsigned int, min_t(unsigned int, len, 8), room);
}

static u64 advance(const struct emul_ctxt *c, u64 linear, unsigned int n)
{
	linear += n;
	return emul_long(c) ? linear : (u32)linear;
}

static bool crosses_page(u64 linear, unsigned int len)
{
	return (linear & 4095) + len > 4096;
}

enum emul_result emul_probe(struct emul_ctxt *c, u64 linear, unsigned int len,
			    unsigned int access)
{
	while (len) {
		unsigned int n = min_t(unsigned int, len, 4096 - (linear & 4095));
		enum emul_result res = c->ops->probe(c, linear, n, access);

		if (res != EMUL_CONTINUE)
			return res == EMUL_IO_NEEDED ? EMUL_UNHANDLEABLE : res;
		linear = advance(c, linear, n);
		len -= n;
	}
	return EMUL_CONTINUE;
}

enum emul_result emul_mem_read(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
			       unsigned int access)
{
	u8 *p = buf;

	/* A fault on the second page must come before a device on the first is read. */
	if (crosses_page(linear, len) && c->log_pos == c->log_len) {
		enum emul_result res = emul_probe(c, linear, len, access);

		if (res != EMUL_CONTINUE)
			return res;
	}
	while (len) {
		unsigned int n = piece(linear, len);
		enum emul_result res;
		struct emul_log_entry *e = log_replay(c, EMUL_LOG_READ, linear, n, &res);

		if (!e)
			return res;
		if (res == EMUL_RETRY)
			res = log_record(c, e, true, c->ops->read(c, linear, e->data, n, access));
		if (res != EMUL_CONTINUE)
			return res;
		copy(p, e->data, n);
		p += n;
		linear = advance(c, linear, n);
		len -= n;
	}
	return EMUL_CONTINUE;
}

enum emul_result emul_mem_write(struct emul_ctxt *c, u64 linear, const void *buf, unsigned int len,
				unsigned int access)
{
	const u8 *p = buf;

	/* Nothing may be written if a later piece faults. */
	access |= EMUL_ACC_WRITE;
	if (crosses_page(linear, len) && c->log_pos == c->log_len) {
		enum emul_result res = emul_probe(c, linear, len, access);

		if (res != EMUL_CONTINUE)
			return res;
	}
	while (len) {
		unsigned int n = piece(linear, len);
		enum emul_result res;
		struct emul_log_entry *e = log_replay(c, EMUL_LOG_WRITE, linear, n, &res);

		if (!e)
			return res;
		if (res == EMUL_RETRY) {
			copy(e->data, p, n);
			res = log_record(c, e, false,
					 c->ops->write(c, linear, e->data, n, access));
		}
		if (res != EMUL_CONTINUE)
			return res;
		p += n;
		linear = advance(c, linear, n);
		len -= n;
	}
	return EMUL_CONTINUE;
}

enum emul_result emul_mem_cmpxchg(struct emul_ctxt *c, u64 linear, const void *old,
				  const void *new, unsigned int len)
{
	struct emul_log_entry *e;
	enum emul_result res;
	u8 found[16];

	/* Two pages cannot be written atomically from here. */
	if (crosses_page(linear, len))
		return EMUL_UNHANDLEABLE;
	e = log_replay(c, EMUL_LOG_CMPXCHG, linear, len, &res);
	if (!e || res != EMUL_RETRY)
		return res;
	memcpy(found, old, len);
	memcpy(e->data, new, len);
	/* In brackets, since <linux/atomic.h> has a macro of the same name. */
	res = (c->ops->cmpxchg)(c, linear, found, e->data, len);
	if (res == EMUL_CONTINUE && memcmp(found, old, len))
		return EMUL_RETRY;
	return log_record(c, e, false, res);
}

enum emul_result emul_port(struct emul_ctxt *c, bool out, u16 port, unsigned int size, u64 *val)
{
	enum emul_log_kind kind = out ? EMUL_LOG_OUT : EMUL_LOG_IN;
	struct emul_log_entry *e;
	enum emul_result res;

	e = log_replay(c, kind, port, size, &res);
	if (!e)
		return res;
	if (res == EMUL_RETRY) {
		memcpy(e->data, val, size);
		res = log_record(c, e, !out, c->ops->pio(c, out, port, size, e->data, 1));
	}
	if (res == EMUL_CONTINUE && !out) {
		*val = 0;
		memcpy(val, e->data, size);
	}
	return res;
}

/*
 * String port I/O through c->pio_data. It is not logged: the caller makes each
 * transfer once and keeps what it got over a replay.
 */
enum emul_result emul_port_string(struct emul_ctxt *c, bool out, u16 port, unsigned int size,
				  unsigned int count)
{
	enum emul_result res = c->ops->pio(c, out, port, size, c->pio_data, count);

	if (res == EMUL_IO_NEEDED) {
		c->pending = true;
		c->pending_in = !out;
		c->pending_buf = c->pio_data;
		c->pending_len = size * count;
	}
	return res;
}

enum emul_result emul_system(struct emul_ctxt *c, enum emul_sysop op, u64 arg)
{
	struct emul_log_entry *e;
	enum emul_result res;

	e = log_replay(c, EMUL_LOG_SYSTEM, arg, op, &res);
	if (!e || res != EMUL_RETRY)
		return res;
	return log_record(c, e, false, c->ops->system(c, op, arg));
}

/* Width of the stack pointer: SDM vol. 1, "Stack Address-Size Attribute". */
unsigned int emul_stack_bytes(struct emul_ctxt *c, enum emul_result *res)
{
	const struct emul_seg *ss;

	*res = EMUL_CONTINUE;
	if (emul_long(c))
		return 8;
	if (!emul_prot(c))
		return 2;
	*res = emul_segment(c, EMUL_SS, &ss);
	return *res == EMUL_CONTINUE && ss->db ? 4 : 2;
}

enum emul_result emul_push(struct emul_ctxt *c, u64 val, unsigned int size)
{
	enum emul_result res;
	unsigned int width = emul_stack_bytes(c, &res);
	u64 sp = (c->gpr[EMUL_RSP] - size) & emul_mask(width);
	u64 linear;

	if (res == EMUL_CONTINUE)
		res = emul_linear(c, EMUL_SS, sp, size, EMUL_ACC_WRITE, &linear);
	if (res == EMUL_CONTINUE)
		res = emul_mem_write(c, linear, &val, size, EMUL_ACC_STACK);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, EMUL_RSP, width, sp);
	return res;
}

enum emul_result emul_pop(struct emul_ctxt *c, u64 *val, unsigned int size)
{
	enum emul_result res;
	unsigned int width = emul_stack_bytes(c, &res);
	u64 sp = c->gpr[EMUL_RSP] & emul_mask(width);
	u64 linear;

	*val = 0;
	if (res == EMUL_CONTINUE)
		res = emul_linear(c, EMUL_SS, sp, size, EMUL_ACC_READ, &linear);
	if (res == EMUL_CONTINUE)
		res = emul_mem_read(c, linear, val, size, EMUL_ACC_STACK);
	if (res == EMUL_CONTINUE)
		emul_reg_write(c, EMUL_RSP, width, sp + size);
	return res;
}
