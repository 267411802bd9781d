// SPDX-License-Identifier: GPL-2.0-only
/* Between the emulator and the vCPU: the only file, with mmio.c, that knows both. */
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/trapnr.h>

#include "emul/emul.h"
#include "keel.h"
#include "mmio.h"
#include "trace.h"

/**
 * struct keel_emul_state - a vCPU's emulator
 * @c: the instruction on its way
 * @halted: it was HLT
 * @old_cr8: task priority before it
 * @pio_pending: the access that user space is to finish is a port's
 * @fetch: the way to its bytes, if they were fetched last
 */
struct keel_emul_state {
	struct emul_ctxt c;
	bool halted;
	unsigned long old_cr8;
	bool pio_pending;
	struct keel_gwalk_path fetch;
};

static struct keel_vcpu *vcpu_of(struct emul_ctxt *c)
{
	return c->opaque;
}

/* ---- memory ----------------------------------------------------------------------- */

static u32 walk_access(const struct emul_ctxt *c, unsigned int access)
{
	u32 acc = 0;

	if (access & EMUL_ACC_WRITE)
		acc |= KEEL_ACC_WRITE;
	if (access & EMUL_ACC_FETCH)
		acc |= KEEL_ACC_FETCH;
	if (access & EMUL_ACC_IMPLICIT)
		acc |= KEEL_ACC_IMPLICIT;
	else if (c->cpl == 3)
		acc |= KEEL_ACC_USER;
	return acc;
}

static enum emul_result translate(struct emul_ctxt *c, u64 linear, unsigned int access, gpa_t *gpa)
{
	struct keel_gwalk_fault fault;
	struct keel_gwalk walk;
	int ret;

	keel_gwalk_init(&walk, vcpu_of(c));
	if (access & EMUL_ACC_FETCH)
		walk.path = &vcpu_of(c)->emul->fetch;
	ret = keel_gwalk(&walk, linear, walk_access(c, access), gpa, NULL, &fault);
	if (ret < 0)
		return EMUL_NO_PAGE;
	return ret ? emul_raise_pf(c, fault.address, fault.error) : EMUL_CONTINUE;
}

/**
 * keel_mmio_tell() - leave an access to user space
 * @vcpu: the vCPU
 * @gpa: where
 * @data: what is written
 * @len: 1 to 8 bytes
 * @write: else a read
 */
void keel_mmio_tell(struct keel_vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len,
		    bool write)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = gpa;
	run->mmio.len = len;
	run->mmio.is_write = write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (write)
		memcpy(run->mmio.data, data, len);
}

static enum emul_result mmio_to_user(struct keel_vcpu *vcpu, gpa_t gpa, const void *data,
				     unsigned int len, bool write)
{
	keel_mmio_tell(vcpu, gpa, data, len, write);
	vcpu->emul->pio_pending = false;
	return EMUL_IO_NEEDED;
}

static u64 trace_value(const void *data, unsigned int len)
{
	u64 val = 0;

	memcpy(&val, data, min_t(unsigned int, len, sizeof(val)));
	return val;
}

static enum emul_result glue_read(struct emul_ctxt *c, u64 linear, void *buf, unsigned int len,
				  unsigned int access)
{
	struct keel_vcpu *vcpu = vcpu_of(c);
	enum emul_result res;
	gpa_t gpa;
	int ret;

	res = translate(c, linear, access, &gpa);
	if (res != EMUL_CONTINUE)
		return res;
	ret = keel_gpa_read(vcpu->vm, gpa, buf, len);
	if (ret != -ENXIO)
		return ret ? EMUL_NO_PAGE : EMUL_CONTINUE;
	/* Code in device memory is nothing that a sane guest has. */
	if ((access & EMUL_ACC_FETCH) || len > 8)
		return EMUL_UNHANDLEABLE;
	if (!keel_bus_read(vcpu, KEEL_BUS_MMIO, gpa, len, buf)) {
		trace_keel_mmio(false, gpa, len, trace_value(buf, len));
		return EMUL_CONTINUE;
	}
	trace_keel_mmio(false, gpa, len, 0);
	return mmio_to_user(vcpu, gpa, buf, len, false);
}

static enum emul_result write_gpa(struct keel_vcpu *vcpu, gpa_t gpa, const void *buf,
				  unsigned int len)
{
	int ret = keel_gpa_write(vcpu, gpa, buf, len);

	if (ret != -ENXIO)
		return ret ? EMUL_NO_PAGE : EMUL_CONTINUE;
	if (len > 8)
		return EMUL_UNHANDLEABLE;
	trace_keel_mmio(true, gpa, len, trace_value(buf, len));
	if (!keel_bus_write(vcpu, KEEL_BUS_MMIO, gpa, len, buf))
		return EMUL_CONTINUE;
	return mmio_to_user(vcpu, gpa, buf, len, true);
}

static enum emul_result glue_write(struct emul_ctxt *c, u64 linear, const void *buf,
				   unsigned int len, unsigned int access)
{
	enum emul_result res;
	gpa_t gpa;

	res = translate(c, linear, access | EMUL_ACC_WRITE, &gpa);
	return res == EMUL_CONTINUE ? write_gpa(vcpu_of(c), gpa, buf, len) : res;
}

static enum emul_result glue_cmpxchg(struct emul_ctxt *c, u64 linear, void *old, const void *new,
				     unsigned int len)
{
	struct keel_vcpu *vcpu = vcpu_of(c);
	enum emul_result res;
	int tries, ret;
	u8 seen[16];
	gpa_t gpa;
	bool ok;

	res = translate(c, linear, EMUL_ACC_WRITE, &gpa);
	if (res != EMUL_CONTINUE)
		return res;
	for (tries = 0; tries < 16; tries++) {
		ret = keel_gpa_cmpxchg(vcpu, gpa, old, new, len, &ok);
		if (ret == -ENXIO)
			return write_gpa(vcpu, gpa, new, len);	/* a device: the read came before */
		if (ret)
			return ret == -EFAULT ? EMUL_NO_PAGE : EMUL_UNHANDLEABLE;
		if (ok)
			return EMUL_CONTINUE;
		if (len > sizeof(seen))
			return EMUL_UNHANDLEABLE;
		ret = keel_gpa_read(vcpu->vm, gpa, seen, len);
		if (ret)
			return ret == -EFAULT ? EMUL_NO_PAGE : EMUL_UNHANDLEABLE;
		/* Changed and changed back: to report the old value would mean success. */
		if (memcmp(seen, old, len)) {
			memcpy(old, seen, len);
			return EMUL_CONTINUE;
		}
	}
	return EMUL_UNHANDLEABLE;
}

static enum emul_result glue_probe(struct emul_ctxt *c, u64 linear, unsigned int len,
				   unsigned int access)
{
	gpa_t gpa;

	return translate(c, linear, access, &gpa);
}

/* ---- ports ------------------------------------------------------------------------ */

/* All items through the kernel's devices; false if there is none at this port. */
static bool pio_in_kernel(struct keel_vcpu *vcpu, bool out, u16 port, unsigned int size,
			  void *buf, unsigned int count)
{
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++, buf += size) {
		if (out)
			ret = keel_bus_write(vcpu, KEEL_BUS_PIO, port, size, buf);
		else
			ret = keel_bus_read(vcpu, KEEL_BUS_PIO, port, size, buf);
		if (ret && !i)
			return false;
		/* The device went away between two items: the rest goes nowhere. */
		if (ret && !out)
			memset(buf, 0xff, size);
	}
	return true;
}

static void tell_pio(struct kvm_run *run, bool out, u16 port, unsigned int size,
		     unsigned int count)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
}

static enum emul_result glue_pio(struct emul_ctxt *c, bool out, u16 port, unsigned int size,
				 void *buf, unsigned int count)
{
	struct keel_vcpu *vcpu = vcpu_of(c);

	if (size * count > PAGE_SIZE)
		return EMUL_UNHANDLEABLE;
	trace_keel_pio(out, port, size, out ? trace_value(buf, size) : count);
	if (pio_in_kernel(vcpu, out, port, size, buf, count))
		return EMUL_CONTINUE;
	tell_pio(vcpu->run, out, port, size, count);
	if (out)
		memcpy(vcpu->pio_data, buf, size * count);
	else
		memset(vcpu->pio_data, 0, size * count);
	vcpu->emul->pio_pending = true;
	return EMUL_IO_NEEDED;
}

static void finish_in(struct keel_vcpu *vcpu, const void *data, u8 size)
{
	unsigned long mask = size == 4 ? U32_MAX : (1UL << (size * 8)) - 1;
	u32 val = 0;

	memcpy(&val, data, size);
	/* A 32-bit result clears the upper half, smaller ones leave the rest alone. */
	vcpu->gpr[KEEL_RAX] = size == 4 ? val : (vcpu->gpr[KEEL_RAX] & ~mask) | (val & mask);
}

static int complete_pio(struct keel_vcpu *vcpu)
{
	/* The client moved the guest elsewhere (reset it, say): nothing to finish. */
	if (keel_rip(vcpu) != vcpu->pio.rip)
		return KEEL_RESUME;
	if (vcpu->pio.in)
		finish_in(vcpu, vcpu->pio_data, vcpu->pio.size);
	return keel_skip(vcpu, vcpu->pio.insn_len);
}

/**
 * keel_pio() - IN or OUT of one item, no string
 * @vcpu: the vCPU
 * @exit: the exit, insn_len and u.io filled in
 *
 * By KVM's quirk an OUT to port 0x7E is over before user space hears of it
 * (KVM_X86_QUIRK_OUT_7E_INC_RIP): firmware counts on a reset there to go on behind it.
 * Does not sleep.
 * Return: KEEL_RESUME if a device in the kernel took it, else KEEL_TO_USER.
 */
int keel_pio(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	bool out = !exit->u.io.in;
	u16 port = exit->u.io.port;
	u8 size = exit->u.io.size;
	u32 val = vcpu->gpr[KEEL_RAX];
	int ret;

	vcpu->pio.rip = keel_rip(vcpu);
	vcpu->pio.insn_len = exit->insn_len;
	vcpu->pio.size = size;
	vcpu->pio.in = !out;

	trace_keel_pio(out, port, size, out ? val : 0);
	if (out)
		ret = keel_bus_write(vcpu, KEEL_BUS_PIO, port, size, &val);
	else
		ret = keel_bus_read(vcpu, KEEL_BUS_PIO, port, size, &val);
	if (!ret) {
		if (!out)
			finish_in(vcpu, &val, size);
		return keel_skip(vcpu, exit->insn_len);
	}
	tell_pio(vcpu->run, out, port, size, 1);
	/* Of which user space reads or writes @size bytes. */
	*(u32 *)vcpu->pio_data = out ? val : 0;
	if (out && unlikely(port == 0x7e) &&
	    !(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_OUT_7E_INC_RIP)) {
		keel_skip(vcpu, exit->insn_len);
		return KEEL_TO_USER;
	}
	vcpu->complete_io = complete_pio;
	return KEEL_TO_USER;
}

/* ---- registers -------------------------------------------------------------------- */

static struct kvm_segment *segment(struct keel_vcpu *vcpu, enum emul_segreg reg, u32 *group)
{
	switch (reg) {
	case EMUL_CS: *group = KEEL_R_CS; return &vcpu->cs;
	case EMUL_SS: *group = KEEL_R_SS; return &vcpu->ss;
	case EMUL_DS: *group = KEEL_R_SEGS; return &vcpu->ds;
	case EMUL_ES: *group = KEEL_R_SEGS; return &vcpu->es;
	case EMUL_FS: *group = KEEL_R_SEGS; return &vcpu->fs;
	case EMUL_GS: *group = KEEL_R_SEGS; return &vcpu->gs;
	default:      *group = KEEL_R_TABLES; return &vcpu->tr;
	}
}

static enum emul_result glue_get_seg(struct emul_ctxt *c, enum emul_segreg reg,
				     struct emul_seg *seg)
{
	struct keel_vcpu *vcpu = vcpu_of(c);
	const struct kvm_segment *s;
	u32 group;

	s = segment(vcpu, reg, &group);
	keel_need(vcpu, group);
	*seg = (struct emul_seg) {
		.base = s->base, .limit = s->limit, .selector = s->selector, .type = s->type,
		.dpl = s->dpl, .s = s->s, .present = s->present, .db = s->db, .l = s->l,
		.unusable = s->unusable,
	};
	return EMUL_CONTINUE;
}

static enum emul_result glue_set_seg(struct emul_ctxt *c, enum emul_segreg reg,
				     const struct emul_seg *seg)
{
	struct keel_vcpu *vcpu = vcpu_of(c);
	struct kvm_segment *s;
	u32 group;

	s = segment(vcpu, reg, &group);
	keel_need(vcpu, group);
	s->base = seg->base;
	s->selector = seg->selector;
	s->limit = seg->limit;
	s->type = seg->type;
	s->dpl = seg->dpl;
	s->s = seg->s;
	s->present = seg->present;
	s->db = seg->db;
	s->l = seg->l;
	s->unusable = seg->unusable;
	keel_dirty(vcpu, group);
	return EMUL_CONTINUE;
}

static enum emul_result glue_xmm(struct emul_ctxt *c, unsigned int reg, u8 buf[16], bool write)
{
	if (write)
		keel_fpu_xmm_set(vcpu_of(c), reg, buf);
	else
		keel_fpu_xmm_get(vcpu_of(c), reg, buf);
	return EMUL_CONTINUE;
}

static enum emul_result gp_if(struct emul_ctxt *c, int failed)
{
	if (failed == -EFAULT)
		return EMUL_NO_PAGE;
	return failed ? emul_raise(c, X86_TRAP_GP, 0) : EMUL_CONTINUE;
}

/*
 * Debug registers that may not be used now raise #UD or #DB; 4 and 5 are names of
 * 6 and 7 unless CR4.DE is set.
 */
static enum emul_result check_dr(struct emul_ctxt *c, u8 *dr)
{
	struct keel_vcpu *vcpu = vcpu_of(c);

	keel_need(vcpu, KEEL_R_CR4 | KEEL_R_DR);
	if (*dr == 4 || *dr == 5) {
		if (vcpu->cr4 & X86_CR4_DE)
			return emul_raise(c, X86_TRAP_UD, 0);
		*dr += 2;
	}
	return vcpu->dr7 & KEEL_DR7_GD ? emul_raise(c, X86_TRAP_DB, 0) : EMUL_CONTINUE;
}

static enum emul_result glue_get(struct emul_ctxt *c, enum emul_file file, u32 index, u64 *val)
{
	struct keel_vcpu *vcpu = vcpu_of(c);
	enum emul_result res;
	u8 dr = index;

	switch (file) {
	case EMUL_FILE_CR:
		*val = keel_cr_get(vcpu, index);
		return EMUL_CONTINUE;
	case EMUL_FILE_DR:
		res = check_dr(c, &dr);
		if (res == EMUL_CONTINUE)
			*val = keel_get_dr(vcpu, dr);
		return res;
	case EMUL_FILE_MSR:
		return gp_if(c, keel_msr_get(vcpu, index, val, false));
	case EMUL_FILE_TSC:
		*val = index ? vcpu->sysmsr.tsc_aux : keel_guest_tsc(vcpu, rdtsc());
		return EMUL_CONTINUE;
	case EMUL_FILE_XCR:
		*val = vcpu->xcr0;
		return gp_if(c, index != 0);
	case EMUL_FILE_PMC:
		return gp_if(c, 1);
	}
	return EMUL_UNHANDLEABLE;
}

static enum emul_result glue_set(struct emul_ctxt *c, enum emul_file file, u32 index, u64 val)
{
	struct keel_vcpu *vcpu = vcpu_of(c);
	enum emul_result res;
	u8 dr = index;

	switch (file) {
	case EMUL_FILE_CR:
		return gp_if(c, keel_cr_set(vcpu, index, val));
	case EMUL_FILE_DR:
		res = check_dr(c, &dr);
		return res == EMUL_CONTINUE ? gp_if(c, keel_set_dr(vcpu, dr, val)) : res;
	case EMUL_FILE_MSR:
		return gp_if(c, keel_msr_set(vcpu, index, val, false));
	case EMUL_FILE_XCR:
		return gp_if(c, keel_set_xcr(vcpu, index, val));
	default:
		return EMUL_UNHANDLEABLE;
	}
}

static enum emul_result glue_cpuid(struct emul_ctxt *c, u32 regs[4])
{
	keel_cpuid(vcpu_of(c), regs);
	return EMUL_CONTINUE;
}

static enum emul_result glue_system(struct emul_ctxt *c, enum emul_sysop op, u64 arg)
{
	struct keel_vcpu *vcpu = vcpu_of(c);

	switch (op) {
	case EMUL_SYS_HLT:
		vcpu->emul->halted = true;
		return EMUL_CONTINUE;
	case EMUL_SYS_INVLPG:
		keel_ops.flush_tlb(vcpu, KEEL_FLUSH_GUEST);
		return EMUL_CONTINUE;
	case EMUL_SYS_HYPERCALL:
		memcpy(vcpu->gpr, c->gpr, sizeof(vcpu->gpr));
		if (keel_hypercall(vcpu) < 0)
			return EMUL_NO_PAGE;
		memcpy(c->gpr, vcpu->gpr, sizeof(vcpu->gpr));
		return EMUL_CONTINUE;
	default:
		/* PAUSE, MONITOR, MWAIT, INVD, WBINVD: nothing to do (exit.c says why). */
		return EMUL_CONTINUE;
	}
}

static const struct emul_ops glue_ops = {
	.read = glue_read,
	.write = glue_write,
	.cmpxchg = glue_cmpxchg,
	.probe = glue_probe,
	.pio = glue_pio,
	.get_seg = glue_get_seg,
	.set_seg = glue_set_seg,
	.xmm = glue_xmm,
	.get = glue_get,
	.set = glue_set,
	.cpuid = glue_cpuid,
	.system = glue_system,
};

/* ---- one instruction -------------------------------------------------------------- */

static void begin(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	struct emul_ctxt *c = &vcpu->emul->c;
	enum emul_mode mode;

	vcpu->l1d_stale = true;
	keel_need(vcpu, KEEL_R_RSP | KEEL_R_RIP | KEEL_R_RFLAGS | KEEL_R_CR0 | KEEL_R_CR4 |
			KEEL_R_EFER | KEEL_R_CS | KEEL_R_SS);
	mode = emul_mode_of(vcpu->cr0 & X86_CR0_PE, vcpu->rflags & X86_EFLAGS_VM,
			    vcpu->efer & EFER_LMA, vcpu->cs.l, vcpu->cs.db);
	emul_init(c, &glue_ops, vcpu, mode, keel_cpl(vcpu),
		  vcpu->cr4 & X86_CR4_LA57 ? 57 : 48);
	memcpy(c->gpr, vcpu->gpr, sizeof(c->gpr));
	c->rip = vcpu->rip;
	c->rflags = vcpu->rflags;
	if (exit && exit->nr_bytes)
		emul_supply_bytes(c, exit->bytes, exit->nr_bytes);
	vcpu->emul->halted = false;
	vcpu->emul->fetch.nr = 0;
	vcpu->emul->old_cr8 = keel_get_cr8(vcpu);
}

static void commit(struct keel_vcpu *vcpu)
{
	const struct emul_ctxt *c = &vcpu->emul->c;

	memcpy(vcpu->gpr, c->gpr, sizeof(vcpu->gpr));
	vcpu->rip = c->rip;
	vcpu->rflags = c->rflags | X86_EFLAGS_FIXED;
	keel_dirty(vcpu, KEEL_R_RSP | KEEL_R_RIP | KEEL_R_RFLAGS);
	keel_request(vcpu, KEEL_REQ_EVENT);
}

static int raise(struct keel_vcpu *vcpu, const struct emul_fault *f)
{
	if (f->vector == X86_TRAP_PF)
		keel_queue_page_fault(vcpu, f->address, f->error);
	else if (f->vector == X86_TRAP_DB)
		keel_queue_db(vcpu, KEEL_DR6_BD);
	else if (f->has_error)
		keel_queue_exception_e(vcpu, f->vector, f->error);
	else
		keel_queue_exception(vcpu, f->vector);
	return KEEL_RESUME;
}

/*
 * An instruction that is not emulated.  A user program of the guest that points one
 * at a device's registers gets a #UD and cannot stop the VM.
 */
static int unhandleable(struct keel_vcpu *vcpu)
{
	const struct emul_insn *insn = &vcpu->emul->c.insn;
	struct kvm_run *run = vcpu->run;
	int ret;

	vcpu->stats.insn_emulation_fail++;
	/* Iterations of a repeated instruction that are done stay done. */
	commit(vcpu);
	if (keel_cpl(vcpu)) {
		keel_queue_exception(vcpu, X86_TRAP_UD);
		return KEEL_RESUME;
	}
	ret = keel_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, 0, NULL);
	run->emulation_failure.ndata = 4;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = insn->fetched;
	memset(run->emulation_failure.insn_bytes, 0x90, sizeof(run->emulation_failure.insn_bytes));
	memcpy(run->emulation_failure.insn_bytes, insn->bytes,
	       min_t(size_t, insn->fetched, sizeof(run->emulation_failure.insn_bytes)));
	return ret;
}

static int completed(struct keel_vcpu *vcpu)
{
	const struct emul_ctxt *c = &vcpu->emul->c;

	commit(vcpu);
	keel_need(vcpu, KEEL_R_SHADOW);
	/* The instruction ends the shadow before it, and may begin one. */
	vcpu->int_shadow = (c->shadow & EMUL_SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0) |
			   (c->shadow & EMUL_SHADOW_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
	keel_dirty(vcpu, KEEL_R_SHADOW);
	if (c->single_step)
		keel_queue_step(vcpu, c->branched);
	if (vcpu->emul->halted)
		return keel_vcpu_halt(vcpu);
	if (!vcpu->lapic && keel_get_cr8(vcpu) < vcpu->emul->old_cr8) {
		vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
		return KEEL_TO_USER;
	}
	return KEEL_RESUME;
}

static int complete_access(struct keel_vcpu *vcpu);
static int try_again(struct keel_vcpu *vcpu);

static int go_on(struct keel_vcpu *vcpu)
{
	struct emul_ctxt *c = &vcpu->emul->c;

	switch (emul_run(c)) {
	case EMUL_CONTINUE:
		return completed(vcpu);
	case EMUL_EXCEPTION:
		commit(vcpu);
		return raise(vcpu, &c->fault);
	case EMUL_IO_NEEDED:
		vcpu->complete_io = complete_access;
		return KEEL_TO_USER;
	case EMUL_NO_PAGE:
		/* What devices have seen is in the context's log: not from the start again. */
		vcpu->complete_io = try_again;
		return -EFAULT;
	default:
		return unhandleable(vcpu);
	}
}

/* KVM_RUN had failed in the middle of the instruction. */
static int try_again(struct keel_vcpu *vcpu)
{
	return keel_rip(vcpu) == vcpu->emul->c.rip ? go_on(vcpu) : KEEL_RESUME;
}

/* User space has finished the access that the instruction waits for. */
static int complete_access(struct keel_vcpu *vcpu)
{
	struct emul_ctxt *c = &vcpu->emul->c;
	struct kvm_run *run = vcpu->run;
	u8 data[sizeof(run->mmio.data)];
	bool ok;

	/* The client moved the guest elsewhere (reset it, say): nothing to finish. */
	if (keel_rip(vcpu) != c->rip)
		return KEEL_RESUME;
	/* The shared page says which kind it was only to user space; the context knows. */
	if (vcpu->emul->pio_pending) {
		ok = emul_io_done(c, vcpu->pio_data, c->pending_len);
	} else {
		memcpy(data, run->mmio.data, sizeof(data));
		ok = emul_io_done(c, data, c->pending_len);
	}
	return ok ? go_on(vcpu) : KEEL_RESUME;
}

static enum emul_class class_of(const struct keel_exit *exit)
{
	switch (exit->reason) {
	case KEEL_EXIT_CPUID:
		return EMUL_CLS_CPUID;
	case KEEL_EXIT_HLT:
		return EMUL_CLS_HLT;
	case KEEL_EXIT_MSR:
		return exit->u.msr.write ? EMUL_CLS_WRMSR : EMUL_CLS_RDMSR;
	case KEEL_EXIT_HYPERCALL:
		return EMUL_CLS_HYPERCALL;
	case KEEL_EXIT_XSETBV:
		return EMUL_CLS_XSETBV;
	case KEEL_EXIT_PAUSE:
		return EMUL_CLS_PAUSE;
	case KEEL_EXIT_MONITOR:
		return EMUL_CLS_MONITOR;
	case KEEL_EXIT_MWAIT:
		return EMUL_CLS_MWAIT;
	case KEEL_EXIT_INVD:
		return EMUL_CLS_INVD;
	case KEEL_EXIT_IO:
		return exit->u.io.in ? EMUL_CLS_IN : EMUL_CLS_OUT;
	default:
		return EMUL_CLS_ANY;
	}
}

/* Past the decoded instruction; RF and the interrupt shadow end with each one that completes. */
static void step_over(struct keel_vcpu *vcpu)
{
	keel_set_rip(vcpu, emul_next_rip(&vcpu->emul->c));
	keel_set_rflags(vcpu, vcpu->rflags & ~X86_EFLAGS_RF);
	keel_need(vcpu, KEEL_R_SHADOW);
	vcpu->int_shadow = 0;
	keel_dirty(vcpu, KEEL_R_SHADOW);
}

/**
 * keel_find_length() - how long is the instruction that exited?
 * @vcpu: the vCPU
 * @exit: the exit; insn_len is filled in
 *
 * For CPUs that do not say it.  vcpu->mutex held, not loaded; may sleep.
 * Return: 0; 1 if it cannot be skipped: an exception is queued, or something else has to run in
 * its place; -EFAULT.
 */
int keel_find_length(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	struct emul_ctxt *c = &vcpu->emul->c;
	enum emul_result res;
	unsigned int len;

	begin(vcpu, exit);
	res = emul_insn_length(c, class_of(exit), &len);
	/* One reason for both. */
	if (res == EMUL_UNHANDLEABLE && exit->reason == KEEL_EXIT_INVD)
		res = emul_insn_length(c, EMUL_CLS_WBINVD, &len);
	switch (res) {
	case EMUL_CONTINUE:
		exit->insn_len = len;
		return 0;
	case EMUL_EXCEPTION:
		raise(vcpu, &c->fault);
		return 1;
	case EMUL_NO_PAGE:
		return -EFAULT;
	default:
		/*
		 * Another CPU has changed the bytes since, or a table entry on the way to
		 * them, which the TLB may not know yet: what is there now runs.
		 */
		if (emul_decode(c) == EMUL_CONTINUE) {
			keel_ops.flush_tlb(vcpu, KEEL_FLUSH_GUEST);
			return 1;
		}
		/* A form that no guest uses (VMMCALL with prefixes): it would exit for ever. */
		keel_queue_exception(vcpu, X86_TRAP_UD);
		return 1;
	}
}

/**
 * keel_emulate_ud() - after a #UD: another vendor's hypercall, or the #UD back to the guest
 * @vcpu: the vCPU
 * @exit: the exit; supplies the instruction's bytes if the CPU gave them
 *
 * VMCALL where VMMCALL is the CPU's, or the other way round: guests carry either.
 * vcpu->mutex held, not loaded; may sleep.
 * Return: KEEL_RESUME, KEEL_TO_USER or -errno.
 */
int keel_emulate_ud(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	enum emul_result res = EMUL_UNHANDLEABLE;
	struct emul_ctxt *c = &vcpu->emul->c;
	unsigned int len;
	int ret;

	begin(vcpu, exit);
	if (!(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_FIX_HYPERCALL_INSN))
		res = emul_insn_length(c, EMUL_CLS_HYPERCALL, &len);
	if (res == EMUL_NO_PAGE)
		return -EFAULT;
	if (res != EMUL_CONTINUE) {
		keel_queue_exception(vcpu, X86_TRAP_UD);
		return KEEL_RESUME;
	}
	vcpu->stats.hypercalls++;
	ret = keel_hypercall(vcpu);
	if (ret < 0)
		return ret;
	step_over(vcpu);
	if (vcpu->rflags & X86_EFLAGS_TF)
		keel_queue_step(vcpu, false);
	return ret;
}

static int again(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	int idx, ret;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	ret = keel_mmio_again(vcpu, exit);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return ret;
}

/**
 * keel_emulate_mmio() - an access to device memory
 * @vcpu: the vCPU
 * @exit: the exit, a fault at an address that has no memory, or none for writing
 *
 * vcpu->mutex held, not loaded, by a thread of vm->mm; may sleep.
 * Return: KEEL_RESUME, KEEL_TO_USER or -errno.
 */
int keel_emulate_mmio(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	struct emul_ctxt *c = &vcpu->emul->c;
	int ret;

	ret = again(vcpu, exit);
	if (ret != KEEL_NOT_QUICK)
		return ret;
	begin(vcpu, exit);
	vcpu->stats.mmio_exits++;
	vcpu->stats.insn_emulation++;
	/* If not, go_on() finds out why. */
	if (emul_decode(c) == EMUL_CONTINUE)
		keel_mmio_note(vcpu, c, &vcpu->emul->fetch);
	return go_on(vcpu);
}

/**
 * keel_emulate() - complete the instruction at RIP in software
 * @vcpu: the vCPU
 * @exit: the exit; supplies the instruction's bytes if the CPU gave them
 *
 * vcpu->mutex held, not loaded; may sleep.
 * Return: KEEL_RESUME, KEEL_TO_USER or -errno.
 */
int keel_emulate(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	begin(vcpu, exit);
	vcpu->stats.insn_emulation++;
	return go_on(vcpu);
}

int keel_emul_create(struct keel_vcpu *vcpu)
{
	vcpu->emul = kzalloc(sizeof(*vcpu->emul), GFP_KERNEL_ACCOUNT);
	return vcpu->emul ? 0 : -ENOMEM;
}

void keel_emul_free(struct keel_vcpu *vcpu)
{
	keel_mmio_free(vcpu);
	kfree(vcpu->emul);
}
