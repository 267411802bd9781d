// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "emul_machine.h"

static struct machine *machine(struct emul_ctxt *c)
{
	return c->opaque;
}

/* RAM at @at, or NULL: a device or nothing. */
static u8 *ram(struct machine *m, u64 at)
{
	if (at < RAM_SIZE)
		return m->ram + at;
	if (at - READ_ONLY_AT < 4096)
		return m->read_only + (at - READ_ONLY_AT);
	if (at - HIGH_RAM_AT < 4096)
		return m->high_ram + (at - HIGH_RAM_AT);
	return NULL;
}

static bool is_device(u64 at)
{
	return at - DEVICE_AT < 4096;
}

static enum emul_result translate(struct emul_ctxt *c, u64 at, unsigned int len,
				  unsigned int access)
{
	u32 error = (access & EMUL_ACC_WRITE ? 2 : 0) | (c->cpl == 3 ? 4 : 0) |
		    (access & EMUL_ACC_FETCH ? 16 : 0);

	CHECK((at & 4095) + len <= 4096);
	if (machine(c)->no_page_at && !--machine(c)->no_page_at)
		return EMUL_NO_PAGE;
	if (at - READ_ONLY_AT < 4096 && (access & EMUL_ACC_WRITE))
		return emul_raise_pf(c, at, error | 1);
	if (!ram(machine(c), at) && !is_device(at))
		return emul_raise_pf(c, at, error);
	return EMUL_CONTINUE;
}

static enum emul_result device(struct machine *m, struct seen s, const void *out, void *in)
{
	unsigned int i;

	if (out)
		memcpy(&s.val, out, s.len < 8 ? s.len : 8);
	if (m->n_seen < MAX_SEEN)
		m->seen[m->n_seen++] = s;
	else
		tap_fail("too many accesses to devices");
	if (m->defer)
		return EMUL_IO_NEEDED;
	for (i = 0; in && i < s.len; i++)
		((u8 *)in)[i] = m->next_read++;
	return EMUL_CONTINUE;
}

static enum emul_result op_read(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
				unsigned int access)
{
	struct machine *m = machine(c);
	enum emul_result res = translate(c, linear, len, access);

	if (res != EMUL_CONTINUE)
		return res;
	if (access & EMUL_ACC_FETCH) {
		m->fetches++;
		m->fetch_end = linear + len;
	}
	if (is_device(linear))
		return device(m, (struct seen){ .at = linear, .len = len }, NULL, buf);
	memcpy(buf, ram(m, linear), len);
	return EMUL_CONTINUE;
}

static enum emul_result op_write(struct emul_ctxt *c, u64 linear, const void *buf,
				 unsigned int len, unsigned int access)
{
	struct machine *m = machine(c);
	enum emul_result res = translate(c, linear, len, access | EMUL_ACC_WRITE);

	if (res != EMUL_CONTINUE)
		return res;
	if (is_device(linear))
		return device(m, (struct seen){ .write = true, .at = linear, .len = len }, buf,
			      NULL);
	m->ram_writes++;
	memcpy(ram(m, linear), buf, len);
	return EMUL_CONTINUE;
}

static enum emul_result op_cmpxchg(struct emul_ctxt *c, u64 linear, void *old, const void *new,
				   unsigned int len)
{
	struct machine *m = machine(c);
	enum emul_result res = translate(c, linear, len, EMUL_ACC_WRITE);

	if (res != EMUL_CONTINUE)
		return res;
	if (is_device(linear))
		return device(m, (struct seen){ .write = true, .at = linear, .len = len }, new,
			      NULL);
	if (memcmp(ram(m, linear), old, len)) {
		memcpy(old, ram(m, linear), len);
		return EMUL_CONTINUE;
	}
	m->ram_writes++;
	memcpy(ram(m, linear), new, len);
	return EMUL_CONTINUE;
}

static enum emul_result op_probe(struct emul_ctxt *c, u64 linear, unsigned int len,
				 unsigned int access)
{
	return translate(c, linear, len, access);
}

static enum emul_result op_pio(struct emul_ctxt *c, bool out, u16 port, unsigned int size,
			       void *buf, unsigned int count)
{
	struct seen s = { .write = out, .port = true, .at = port, .len = size * count };

	return device(machine(c), s, out ? buf : NULL, out ? NULL : buf);
}

static enum emul_result op_get_seg(struct emul_ctxt *c, enum emul_segreg reg,
				   struct emul_seg *seg)
{
	*seg = machine(c)->segs[reg];
	return EMUL_CONTINUE;
}

static enum emul_result op_set_seg(struct emul_ctxt *c, enum emul_segreg reg,
				   const struct emul_seg *seg)
{
	machine(c)->segs[reg] = *seg;
	return EMUL_CONTINUE;
}

static enum emul_result op_xmm(struct emul_ctxt *c, unsigned int reg, u8 buf[16], bool write)
{
	u8 *x = machine(c)->xmm[reg];

	memcpy(write ? x : buf, write ? buf : x, 16);
	return EMUL_CONTINUE;
}

static enum emul_result op_get(struct emul_ctxt *c, enum emul_file file, u32 index, u64 *val)
{
	struct machine *m = machine(c);

	switch (file) {
	case EMUL_FILE_CR:
		*val = m->cr[index & 15];
		return EMUL_CONTINUE;
	case EMUL_FILE_DR:
		*val = m->dr[index & 7];
		return EMUL_CONTINUE;
	case EMUL_FILE_MSR:
		if (index == 0xbad)
			return emul_raise(c, 13, 0);
		*val = 0x1122334455667788;
		return EMUL_CONTINUE;
	default:
		*val = 0xa0000000b0000000 + index;
		return EMUL_CONTINUE;
	}
}

static enum emul_result op_set(struct emul_ctxt *c, enum emul_file file, u32 index, u64 val)
{
	struct machine *m = machine(c);

	if (file == EMUL_FILE_CR) {
		m->cr[index & 15] = val;
	} else if (file == EMUL_FILE_DR) {
		m->dr[index & 7] = val;
	} else {
		m->msr_index = index;
		m->msr_val = val;
	}
	return EMUL_CONTINUE;
}

static enum emul_result op_cpuid(struct emul_ctxt *c, u32 regs[4])
{
	u32 leaf = regs[0], subleaf = regs[2];

	(void)c;
	regs[0] = leaf + 1;
	regs[1] = 0xb;
	regs[2] = subleaf + 1;
	regs[3] = 0xd;
	return EMUL_CONTINUE;
}

static enum emul_result op_system(struct emul_ctxt *c, enum emul_sysop op, u64 arg)
{
	struct machine *m = machine(c);

	m->sysops |= 1u << op;
	m->sysop_arg = arg;
	if (op == EMUL_SYS_HYPERCALL)
		c->gpr[EMUL_RAX] = 0x600d;
	return EMUL_CONTINUE;
}

static const struct emul_ops ops = {
	.read = op_read, .write = op_write, .cmpxchg = op_cmpxchg, .probe = op_probe,
	.pio = op_pio, .get_seg = op_get_seg, .set_seg = op_set_seg, .xmm = op_xmm,
	.get = op_get, .set = op_set, .cpuid = op_cpuid, .system = op_system,
};

void machine_init(struct machine *m, enum emul_mode mode)
{
	bool small = mode <= EMUL_MODE_PROT16;
	unsigned int i;

	memset(m, 0, sizeof(*m));
	for (i = 0; i < EMUL_NR_SEGS; i++)
		m->segs[i] = (struct emul_seg){
			.limit = mode <= EMUL_MODE_VM86 ? 0xffff : 0xffffffff,
			.type = i == EMUL_CS ? 0xb : i == EMUL_TR ? 0xb : 3,
			.s = i != EMUL_TR, .present = true, .db = !small,
			.selector = 8 * (i + 1),
		};
	m->cr[0] = 1;
	m->cr[4] = 1 << 9 | 1 << 18;	/* OSFXSR, OSXSAVE */
	m->next_read = 0x40;
	emul_init(&m->c, &ops, m, mode, mode == EMUL_MODE_VM86 ? 3 : 0, 48);
	memset(m->c.gpr, 0, sizeof(m->c.gpr));
	m->c.gpr[EMUL_RSP] = 0x8000;
	m->c.rip = CODE_AT;
	m->c.rflags = 0x202 | (mode == EMUL_MODE_VM86 ? 1 << 17 : 0);
}

void machine_insn(struct machine *m, const void *bytes, unsigned int n)
{
	memset(m->ram + CODE_AT, 0xcc, 32);
	memcpy(m->ram + CODE_AT, bytes, n);
}

enum emul_result machine_run(struct machine *m)
{
	enum emul_result res;
	u8 data[EMUL_PIO_BUF];
	unsigned int i;

	/* Registers are as the test has set them; the context begins anew. */
	emul_init(&m->c, &ops, m, m->c.mode, m->c.cpl, m->c.va_bits);
	while ((res = emul_run(&m->c)) == EMUL_IO_NEEDED || res == EMUL_NO_PAGE) {
		const struct seen *s;

		if (res == EMUL_NO_PAGE) {
			CHECK_EQ(m->no_page_at, 0);
			continue;
		}
		s = &m->seen[m->n_seen - 1];
		m->exits++;
		if (m->between)
			m->between(m);
		for (i = 0; !s->write && i < s->len; i++)
			data[i] = m->next_read++;
		if (!emul_io_done(&m->c, data, s->len)) {
			tap_fail("emul_io_done() took nothing");
			break;
		}
	}
	return res;
}

u64 machine_peek(struct machine *m, u64 at, unsigned int len)
{
	u64 val = 0;

	memcpy(&val, ram(m, at), len);
	return val;
}

void machine_poke(struct machine *m, u64 at, u64 val, unsigned int len)
{
	memcpy(ram(m, at), &val, len);
}
