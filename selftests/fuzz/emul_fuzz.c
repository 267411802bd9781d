// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any bytes, any registers, any mode, any answer of the
 * callbacks. Each input runs twice, once with devices that answer at once and
 * once with devices that leave every access to user space. Both runs must end
 * alike, with the same accesses to devices in the same order: each exactly once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../module/emul/emul_priv.h"

#define RAM_PAGES	2
#define MAX_ACCESSES	8192
#define MAX_REPLAYS	8192

#define ASSERT(cond)							\
	do {								\
		if (!(cond)) {						\
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);	\
			abort();					\
		}							\
	} while (0)

/* What an input decides. */
struct setup {
	u8 mode;		/* low bits: mode; 8: 57-bit addresses; 16: bytes are supplied */
	u8 cpl;
	u8 seed;		/* which pages are what */
	u8 seg;			/* attributes of segments */
	u8 insn[EMUL_INSN_MAX];
	u8 cr_bits;
	u32 rflags;
	u64 rip;
	u64 gpr[16];
};

struct machine {
	struct setup s;
	bool defer;		/* devices leave their accesses to user space */
	u8 ram[RAM_PAGES][4096];
	u8 xmm[16][16];
	u32 accesses[MAX_ACCESSES];	/* a digest of each device access */
	unsigned int n_accesses;
	unsigned int ram_writes;
	unsigned int fetched;
	unsigned int calls;
	u64 answer;		/* of the device read under way */
};

enum page_kind { PAGE_RAM, PAGE_READ_ONLY, PAGE_DEVICE, PAGE_ABSENT };

static struct machine *machine(struct emul_ctxt *c)
{
	return c->opaque;
}

static enum page_kind page_kind(const struct machine *m, u64 linear)
{
	static const enum page_kind kinds[8] = {
		PAGE_RAM, PAGE_RAM, PAGE_RAM, PAGE_RAM,
		PAGE_READ_ONLY, PAGE_DEVICE, PAGE_DEVICE, PAGE_ABSENT,
	};
	u64 page = linear >> 12;

	return kinds[(page ^ page >> 9 ^ page >> 20 ^ m->s.seed) & 7];
}

static u8 *ram(struct machine *m, u64 linear)
{
	return &m->ram[(linear >> 12) % RAM_PAGES][linear & 4095];
}

static void check_access(struct emul_ctxt *c, u64 linear, unsigned int len, unsigned int most)
{
	struct machine *m = machine(c);

	ASSERT(len >= 1 && len <= most);
	ASSERT((linear & 4095) + len <= 4096);
	if (c->mode == EMUL_MODE_LONG64)
		ASSERT(emul_canonical(c, linear));
	else
		ASSERT(linear >> 32 == 0);
	ASSERT(!c->pending);
	ASSERT(++m->calls < 100000);
}

/* A device sees an access: what it answers depends on how many it saw before. */
static enum emul_result device(struct emul_ctxt *c, u64 where, unsigned int len, unsigned int kind,
			       void *in, const void *out)
{
	struct machine *m = machine(c);
	u32 digest = (u32)(where * 31 + len * 7 + kind);
	unsigned int i;
	u8 *p = in;

	if (out)
		for (i = 0; i < len; i++)
			digest = digest * 33 + ((const u8 *)out)[i];
	ASSERT(m->n_accesses < MAX_ACCESSES);
	m->accesses[m->n_accesses++] = digest;
	if (m->defer) {
		m->answer = m->n_accesses;
		return EMUL_IO_NEEDED;
	}
	for (i = 0; in && i < len; i++)
		p[i] = m->n_accesses * 13 + i;
	return EMUL_CONTINUE;
}

static enum emul_result translate(struct emul_ctxt *c, u64 linear, unsigned int access,
				  bool *is_device)
{
	enum page_kind kind = page_kind(machine(c), linear);

	*is_device = kind == PAGE_DEVICE;
	if (kind == PAGE_ABSENT || (kind == PAGE_READ_ONLY && (access & EMUL_ACC_WRITE)))
		return emul_raise_pf(c, linear, access & EMUL_ACC_WRITE ? 2 : 0);
	return EMUL_CONTINUE;
}

static enum emul_result op_read(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
				unsigned int access)
{
	struct machine *m = machine(c);
	enum emul_result res;
	bool is_device;

	check_access(c, linear, len, access & EMUL_ACC_FETCH ? EMUL_INSN_MAX : 8);
	res = translate(c, linear, access, &is_device);
	if (res != EMUL_CONTINUE)
		return res;
	if (access & EMUL_ACC_FETCH) {
		u64 off = c->rip + c->insn.fetched - m->s.rip;

		ASSERT((m->fetched += len) <= EMUL_INSN_MAX);
		ASSERT(off + len <= EMUL_INSN_MAX);
		memcpy(buf, m->s.insn + off, len);
		return EMUL_CONTINUE;
	}
	/* The TSS: nobody keeps it in a device, and it is not logged. */
	if (is_device && !(access & EMUL_ACC_IMPLICIT))
		return device(c, linear, len, 1, buf, NULL);
	memcpy(buf, ram(m, linear), len);
	return EMUL_CONTINUE;
}

static enum emul_result op_write(struct emul_ctxt *c, u64 linear, const void *buf,
				 unsigned int len, unsigned int access)
{
	struct machine *m = machine(c);
	enum emul_result res;
	bool is_device;

	check_access(c, linear, len, 8);
	ASSERT(access & EMUL_ACC_WRITE);
	res = translate(c, linear, access, &is_device);
	if (res != EMUL_CONTINUE)
		return res;
	m->ram_writes++;
	if (is_device)
		return device(c, linear, len, 2, NULL, buf);
	memcpy(ram(m, linear), buf, len);
	return EMUL_CONTINUE;
}

static enum emul_result op_cmpxchg(struct emul_ctxt *c, u64 linear, void *old, const void *new,
				   unsigned int len)
{
	struct machine *m = machine(c);
	enum emul_result res;
	bool is_device;

	check_access(c, linear, len, 16);
	res = translate(c, linear, EMUL_ACC_WRITE, &is_device);
	if (res != EMUL_CONTINUE)
		return res;
	if (is_device) {
		m->ram_writes++;
		return device(c, linear, len, 3, NULL, new);
	}
	if ((m->s.seed & 0x80) && !(c->gpr[EMUL_RBX] & 7))	/* another CPU was faster */
		memset(ram(m, linear), m->calls, len);
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
	bool is_device;

	check_access(c, linear, len, 4096);
	return translate(c, linear, access, &is_device);
}

static enum emul_result op_pio(struct emul_ctxt *c, bool out, u16 port, unsigned int size,
			       void *buf, unsigned int count)
{
	ASSERT(size == 1 || size == 2 || size == 4);
	ASSERT(count >= 1 && count * size <= EMUL_PIO_BUF);
	ASSERT(!c->pending);
	return device(c, port, count * size, 4 + out, out ? NULL : buf, out ? buf : NULL);
}

static enum emul_result op_get_seg(struct emul_ctxt *c, enum emul_segreg reg,
				   struct emul_seg *seg)
{
	const struct setup *s = &machine(c)->s;

	ASSERT(reg < EMUL_NR_SEGS);
	*seg = (struct emul_seg){
		.base = reg == EMUL_CS ? 0 : (u64)s->seg << 4,
		.limit = s->seg & 1 ? 0xffff : 0xffffffff,
		.selector = s->seg * 8, .type = reg == EMUL_TR ? 0xb : reg == EMUL_CS ? 0xb : 3,
		.s = reg != EMUL_TR, .dpl = c->cpl, .present = true, .db = s->seg & 2,
		.l = c->mode == EMUL_MODE_LONG64,
	};
	if (reg == EMUL_ES && (s->seg & 4))
		seg->type = s->seg & 8 ? 7 : 1;		/* expand-down, read-only */
	if (reg == EMUL_DS && (s->seg & 16))
		seg->unusable = true;
	return EMUL_CONTINUE;
}

static enum emul_result op_set_seg(struct emul_ctxt *c, enum emul_segreg reg,
				   const struct emul_seg *seg)
{
	(void)seg;
	ASSERT(reg < EMUL_TR && reg != EMUL_CS);
	ASSERT(c->mode == EMUL_MODE_REAL || c->mode == EMUL_MODE_VM86);
	return EMUL_CONTINUE;
}

static enum emul_result op_xmm(struct emul_ctxt *c, unsigned int reg, u8 buf[16], bool write)
{
	struct machine *m = machine(c);

	ASSERT(reg < 16);
	memcpy(write ? m->xmm[reg] : buf, write ? buf : m->xmm[reg], 16);
	return EMUL_CONTINUE;
}

static enum emul_result op_get(struct emul_ctxt *c, enum emul_file file, u32 index, u64 *val)
{
	u8 bits = machine(c)->s.cr_bits;

	(void)file;
	*val = 0;
	if (file == EMUL_FILE_CR && index == 4)
		*val = (bits & 1 ? 0 : CR4_OSFXSR) | (bits & 2 ? CR4_TSD : 0) |
		       (bits & 4 ? CR4_OSXSAVE : 0) | (bits & 8 ? CR4_UMIP : 0);
	else if (file == EMUL_FILE_CR && index == 0)
		*val = bits & 16 ? CR0_TS : 0;
	else if (index & 0x40)
		return emul_raise(c, XV_GP, 0);
	return EMUL_CONTINUE;
}

static enum emul_result op_set(struct emul_ctxt *c, enum emul_file file, u32 index, u64 val)
{
	ASSERT(c->cpl == 0 || c->mode == EMUL_MODE_REAL);
	if (file == EMUL_FILE_CR)
		ASSERT(index == 0 || index == 2 || index == 3 || index == 4 || index == 8);
	return val & 0x80 ? emul_raise(c, XV_GP, 0) : EMUL_CONTINUE;
}

static enum emul_result op_cpuid(struct emul_ctxt *c, u32 regs[4])
{
	(void)c;
	regs[1] = ~regs[0];
	return EMUL_CONTINUE;
}

static enum emul_result op_system(struct emul_ctxt *c, enum emul_sysop op, u64 arg)
{
	return device(c, arg, op, 6, NULL, NULL);
}

static const struct emul_ops ops = {
	.read = op_read, .write = op_write, .cmpxchg = op_cmpxchg, .probe = op_probe,
	.pio = op_pio, .get_seg = op_get_seg, .set_seg = op_set_seg, .xmm = op_xmm,
	.get = op_get, .set = op_set, .cpuid = op_cpuid, .system = op_system,
};

static bool is_branch(const struct emul_ctxt *c)
{
	static const emul_exec_fn branches[] = {
		emul_op_call, emul_op_call_rm, emul_op_jmp, emul_op_jmp_rm, emul_op_ret,
		emul_op_jcc, emul_op_loop, emul_op_jcxz,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(branches); i++)
		if (c->insn.op->exec == branches[i])
			return true;
	return false;
}

static bool is_repeated(const struct emul_ctxt *c)
{
	return c->insn.op && c->insn.rep && (c->insn.flags & F_STRING) &&
	       !(c->insn.flags & F_MODRM);
}

static void check_end(const struct emul_ctxt *c, const struct machine *m, enum emul_result res)
{
	const struct setup *s = &m->s;

	ASSERT(c->rflags & 2);
	ASSERT(c->insn.len <= EMUL_INSN_MAX && c->insn.fetched <= EMUL_INSN_MAX);
	if (res == EMUL_CONTINUE) {
		ASSERT(!(c->rflags & FL_RF) || c->rip == s->rip);
		if (!is_branch(c))
			ASSERT(c->rip == s->rip || c->rip == emul_next_rip(c) ||
			       ((c->rip - s->rip) & 0xffffffff) == c->insn.len);
		return;
	}
	ASSERT(res == EMUL_EXCEPTION || res == EMUL_UNHANDLEABLE);
	ASSERT(c->rip == s->rip);
	ASSERT(c->fault.vector < 32);
	if (is_repeated(c))
		return;
	ASSERT(!memcmp(c->gpr, s->gpr, sizeof(c->gpr)));
	ASSERT(c->rflags == s->rflags);
	ASSERT(!m->ram_writes);
}

static enum emul_result run(struct machine *m, struct emul_ctxt *c)
{
	const struct setup *s = &m->s;
	unsigned int mode = (s->mode & 7) % EMUL_NR_MODES, cpl = s->cpl & 3, replays = 0;
	u8 data[EMUL_PIO_BUF];
	enum emul_result res;
	unsigned int i;

	if (mode == EMUL_MODE_REAL)
		cpl = 0;
	else if (mode == EMUL_MODE_VM86)
		cpl = 3;
	memset(c, 0xa5, sizeof(*c));	/* emul_init() must not rely on what was there */
	emul_init(c, &ops, m, mode, cpl, s->mode & 8 ? 57 : 48);
	memcpy(c->gpr, s->gpr, sizeof(c->gpr));
	c->rip = s->rip;
	c->rflags = s->rflags;
	if (s->mode & 16)
		emul_supply_bytes(c, s->insn, EMUL_INSN_MAX);
	for (;;) {
		res = emul_run(c);
		if (res != EMUL_IO_NEEDED)
			break;
		ASSERT(m->defer && c->pending);
		ASSERT(emul_run(c) == EMUL_IO_NEEDED);	/* nothing moves until it is done */
		if (c->pending_in)
			ASSERT(!emul_io_done(c, data, c->pending_len + 1));
		for (i = 0; i < c->pending_len && i < sizeof(data); i++)
			data[i] = m->answer * 13 + i;
		ASSERT(emul_io_done(c, data, c->pending_len));
		ASSERT(!emul_io_done(c, data, 1));
		ASSERT(++replays < MAX_REPLAYS);
	}
	check_end(c, m, res);
	return res;
}

static void prepare(struct machine *m, const struct setup *s, bool defer)
{
	static u8 ram[RAM_PAGES][4096];
	unsigned int i;

	if (!ram[0][1])
		for (i = 0; i < sizeof(ram); i++)
			ram[i >> 12][i & 4095] = i * 7 + (i >> 8);
	memcpy(m->ram, ram, sizeof(ram));
	memcpy(m->xmm, ram, sizeof(m->xmm));
	m->s = *s;
	m->defer = defer;
	m->n_accesses = 0;
	m->ram_writes = 0;
	m->fetched = 0;
	m->calls = 0;
}

static void check_same(const struct machine *a, const struct machine *b,
		       const struct emul_ctxt *ca, const struct emul_ctxt *cb)
{
	ASSERT(a->n_accesses == b->n_accesses);
	ASSERT(!memcmp(a->accesses, b->accesses, a->n_accesses * sizeof(a->accesses[0])));
	ASSERT(!memcmp(a->ram, b->ram, sizeof(a->ram)));
	ASSERT(!memcmp(a->xmm, b->xmm, sizeof(a->xmm)));
	ASSERT(!memcmp(ca->gpr, cb->gpr, sizeof(ca->gpr)));
	ASSERT(ca->rip == cb->rip && ca->rflags == cb->rflags);
	ASSERT(ca->shadow == cb->shadow && ca->single_step == cb->single_step);
}

static void read_setup(struct setup *s, const u8 *data, size_t size)
{
	u8 raw[8 + 16 + 4 + 8 + 128] = { 0 };

	memcpy(raw, data, size < sizeof(raw) ? size : sizeof(raw));
	s->mode = raw[0];
	s->cpl = raw[1];
	s->seed = raw[2];
	s->seg = raw[3];
	s->cr_bits = raw[4];
	memcpy(s->insn, raw + 5, EMUL_INSN_MAX);
	memcpy(&s->rflags, raw + 20, 4);
	memcpy(&s->rip, raw + 24, 8);
	memcpy(s->gpr, raw + 32, 128);
	s->rflags = (s->rflags & 0x3f7fd5) | 2;
	s->rflags &= ~FL_VM;
	if ((s->mode & 7) % EMUL_NR_MODES == EMUL_MODE_VM86)
		s->rflags |= FL_VM;
	if ((s->mode & 7) % EMUL_NR_MODES != EMUL_MODE_LONG64)
		s->rip &= 0xffffffff;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct machine at_once, deferred;
	static struct emul_ctxt ca, cb;
	enum emul_result ra, rb;
	struct setup s;

	read_setup(&s, data, size);
	prepare(&at_once, &s, false);
	prepare(&deferred, &s, true);
	ra = run(&at_once, &ca);
	rb = run(&deferred, &cb);
	ASSERT(ra == rb);
	if (ra == EMUL_EXCEPTION)
		ASSERT(ca.fault.vector == cb.fault.vector && ca.fault.error == cb.fault.error &&
		       ca.fault.address == cb.fault.address);
	check_same(&at_once, &deferred, &ca, &cb);
	return 0;
}
