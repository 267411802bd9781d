// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses to device memory by an instruction that was there before: most are a plain MOV, made
 * by a few places of the guest's again and again.
 *
 * The emulator decodes such an instruction once.  What is kept: its bytes, where they are in the
 * client's memory, the entries of the guest's tables on the way to them, and what the
 * instruction does.  At the next exit at the same RIP all these are read again and compared.
 * The guest may change its tables and its code without an exit, so nothing less would do; if
 * nothing has changed, a walk would end at the same place, and decoding give the same.  The
 * rights of the fetch are not looked at: the CPU has fetched the instruction itself.
 *
 * The operand is not translated either.  Where the fault's own guest-physical address is the
 * operand's (no entry of the guest's tables, no fetch, no delivery of an event), the CPU has
 * checked segment limits, canonical form and rights before it exited (SDM vol. 3, 'EPT Violations',
 * 'Prioritization of EPT Misconfigurations and EPT Violations'; APM vol. 2, 'Nested versus Guest
 * Page Faults, Fault Ordering').
 *
 * No step of it sleeps: user pages are read with page faults disabled, and where one is not
 * there, or anything is other than before, the emulator does it all.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "emul/emul.h"
#include "keel.h"
#include "mmio.h"
#include "trace.h"

#define MMIO_INSNS	8	/* a power of two */
#define CR3_ROOT	GENMASK_ULL(51, 12)

/**
 * struct mmio_insn - an instruction that has accessed device memory
 * @rip: where it is
 * @generation: of the slots, for all addresses here
 * @root: the table that CR3 pointed to
 * @nr: entries of the guest's tables on the way to the code; 0: not known
 * @levels: of the guest's paging
 * @where: these entries, from the root down
 * @entry: their values
 * @code: the first byte
 * @bytes: the instruction
 * @mask: which bits of @bytes are its
 * @mov: what it does; length 0: nothing here yet
 */
struct mmio_insn {
	unsigned long rip;
	u64 generation;
	u64 root;
	u8 nr, levels;
	const u64 __user *where[5];
	u64 entry[5];
	const u64 __user *code;
	u64 bytes[2], mask[2];
	struct emul_mov mov;
};

/**
 * struct keel_mmio - a vCPU's
 * @insn: instructions, by RIP
 * @rip: of the access that user space is to finish
 * @mov: that access
 */
struct keel_mmio {
	struct mmio_insn insn[MMIO_INSNS];
	unsigned long rip;
	struct emul_mov mov;
};

static struct mmio_insn *insn_at(struct keel_vcpu *vcpu, unsigned long rip)
{
	/* Masked, so the guest cannot make it lead elsewhere under speculation. */
	return &vcpu->mmio->insn[(rip ^ rip >> 4) & (MMIO_INSNS - 1)];
}

/* ---- is it the same instruction? -------------------------------------------------- */

/* Inside vm->srcu.  NULL: no memory. */
static const u64 __user *address_of(struct keel_vcpu *vcpu, struct keel_memslots *slots, gpa_t gpa)
{
	const struct keel_memslot *slot;

	slot = keel_gfn_to_slot(slots, gpa >> PAGE_SHIFT, &vcpu->mem_slot_hint);
	if (!slot)
		return NULL;
	return (const u64 __user *)(keel_slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
}

/* Of the entry for the code in the table that CR3 points to. */
static unsigned int root_offset(const struct mmio_insn *in)
{
	return (in->rip >> (12 + 9 * (in->levels - 1)) & 511) * sizeof(u64);
}

/* Another address space may have the same entries but for the root's own place. */
static bool move_root(struct keel_vcpu *vcpu, struct keel_memslots *slots, struct mmio_insn *in)
{
	u64 root = vcpu->cr3 & CR3_ROOT;
	const u64 __user *where;

	if (likely(in->root == root))
		return true;
	where = address_of(vcpu, slots, root | root_offset(in));
	if (!where)
		return false;
	in->where[0] = where;
	in->root = root;
	return true;
}

/* Page faults disabled, and the thread's PKRU in force. */
static bool same_in_memory(const struct mmio_insn *in)
{
	/* By pointers: a check of an index would be a call, which may not be made here. */
	const u64 __user *const *where = in->where;
	const u64 *entry = in->entry, *end = entry + in->nr;
	u64 val, differ = 0;

	if (!user_access_begin(in->code, 1))
		return false;
	for (; entry < end; entry++, where++) {
		unsafe_get_user(val, *where, fault);
		differ |= val ^ *entry;
	}
	unsafe_get_user(val, &in->code[0], fault);
	differ |= (val ^ in->bytes[0]) & in->mask[0];
	if (in->mask[1]) {
		unsafe_get_user(val, &in->code[1], fault);
		differ |= (val ^ in->bytes[1]) & in->mask[1];
	}
	user_access_end();
	return !differ;
fault:
	user_access_end();
	return false;
}

static bool same_as_supplied(const struct mmio_insn *in, const struct keel_exit *exit)
{
	u64 bytes[2];

	BUILD_BUG_ON(sizeof(bytes) != sizeof(exit->bytes));
	memcpy(bytes, exit->bytes, sizeof(bytes));
	return !(((bytes[0] ^ in->bytes[0]) & in->mask[0]) |
		 ((bytes[1] ^ in->bytes[1]) & in->mask[1]));
}

/* Inside vm->srcu, by a thread of vm->mm. */
static bool same_insn(struct keel_vcpu *vcpu, struct mmio_insn *in, const struct keel_exit *exit)
{
	struct keel_memslots *slots;
	bool same;
	u32 pkru;

	if (exit->nr_bytes >= in->mov.len)
		return same_as_supplied(in, exit);
	slots = keel_slots(vcpu->vm);
	if (!in->nr || in->generation != slots->generation)
		return false;
	/* A write of LA57 exits: the vcpu's copy is the newest. */
	if (in->levels != (vcpu->cr4 & X86_CR4_LA57 ? 5 : 4) || !move_root(vcpu, slots, in))
		return false;
	pkru = keel_fpu_user_begin(vcpu);
	pagefault_disable();
	same = same_in_memory(in);
	pagefault_enable();
	keel_fpu_user_end(vcpu, pkru);
	return same;
}

/* ---- the access ------------------------------------------------------------------- */

/* User space has finished it. */
static int complete_mov(struct keel_vcpu *vcpu)
{
	const struct keel_mmio *m = vcpu->mmio;
	u64 val;

	/* The client moved the guest elsewhere (reset it, say): nothing to finish. */
	if (keel_rip(vcpu) != m->rip)
		return KEEL_RESUME;
	if (!m->mov.store) {
		memcpy(&val, vcpu->run->mmio.data, sizeof(val));
		emul_mov_load(&m->mov, (u64 *)vcpu->gpr, val);
		if (m->mov.reg == KEEL_RSP)
			keel_dirty(vcpu, KEEL_R_RSP);
	}
	return keel_skip(vcpu, m->mov.len);
}

static int mov_to_user(struct keel_vcpu *vcpu, const struct emul_mov *mov, gpa_t gpa, u64 val)
{
	vcpu->mmio->rip = vcpu->rip;
	vcpu->mmio->mov = *mov;
	keel_mmio_tell(vcpu, gpa, &val, mov->mem_bytes, mov->store);
	vcpu->complete_io = complete_mov;
	return KEEL_TO_USER;
}

static int store(struct keel_vcpu *vcpu, const struct emul_mov *mov, gpa_t gpa)
{
	u64 val = emul_mov_stored(mov, (u64 *)vcpu->gpr);
	int ret;

	trace_keel_mmio(true, gpa, mov->mem_bytes, val);
	ret = keel_bus_write_inside(vcpu, KEEL_BUS_MMIO, gpa, mov->mem_bytes, &val);
	/* Emulation it is, if a short one; but a mere signal is none, as in stock KVM. */
	if (ret != KEEL_BUS_SIGNALLED)
		vcpu->l1d_stale = true;
	return ret < 0 ? mov_to_user(vcpu, mov, gpa, val) : keel_skip(vcpu, mov->len);
}

static int load(struct keel_vcpu *vcpu, const struct emul_mov *mov, gpa_t gpa)
{
	u64 val = 0;

	vcpu->l1d_stale = true;
	if (keel_bus_read_inside(vcpu, KEEL_BUS_MMIO, gpa, mov->mem_bytes, &val)) {
		trace_keel_mmio(false, gpa, mov->mem_bytes, 0);
		return mov_to_user(vcpu, mov, gpa, 0);
	}
	trace_keel_mmio(false, gpa, mov->mem_bytes, val);
	emul_mov_load(mov, (u64 *)vcpu->gpr, val);
	if (mov->reg == KEEL_RSP)
		keel_dirty(vcpu, KEEL_R_RSP);
	return keel_skip(vcpu, mov->len);
}

/* Is the fault's address the operand's?  One over a page's end has two. */
static bool is_operand(struct keel_vcpu *vcpu, const struct emul_mov *mov,
		       const struct keel_exit *exit)
{
	u64 linear;

	if (mov->store != !!(exit->u.fault.access & KEEL_ACC_WRITE))
		return false;
	linear = emul_mov_address(mov, (u64 *)vcpu->gpr, vcpu->rip);
	if (exit->u.fault.has_linear && linear != exit->u.fault.linear)
		return false;
	return offset_in_page(linear) == offset_in_page(exit->u.fault.gpa) &&
	       offset_in_page(linear) + mov->mem_bytes <= PAGE_SIZE;
}

/**
 * keel_mmio_again() - an access to device memory by an instruction that is known
 * @vcpu: the vCPU, loaded or not
 * @exit: a fault at an address that has no memory, or none for writing
 *
 * vcpu->mutex held, inside vm->srcu, by a thread of vm->mm; does not sleep but where PREEMPT_RT
 * makes a device's lock do so.
 * Return: KEEL_RESUME or KEEL_TO_USER; KEEL_NOT_QUICK: nothing done, the emulator's turn.
 */
int keel_mmio_again(struct keel_vcpu *vcpu, const struct keel_exit *exit)
{
	struct mmio_insn *in;

	if (!vcpu->mmio || exit->vectoring.type != KEEL_EVENT_NONE ||
	    (exit->u.fault.access & (KEEL_ACC_FETCH | KEEL_ACC_GUEST_WALK | KEEL_ACC_RSVD)))
		return KEEL_NOT_QUICK;
	/* In one go. */
	keel_need(vcpu, KEEL_R_RIP | KEEL_R_RSP | KEEL_R_RFLAGS | KEEL_R_SHADOW | KEEL_R_MODE |
			KEEL_R_CR3);
	in = insn_at(vcpu, vcpu->rip);
	if (in->rip != vcpu->rip || !in->mov.len || !keel_64bit(vcpu) ||
	    !is_operand(vcpu, &in->mov, exit) || !same_insn(vcpu, in, exit))
		return KEEL_NOT_QUICK;

	vcpu->stats.mmio_exits++;
	vcpu->stats.insn_emulation++;
	return in->mov.store ? store(vcpu, &in->mov, exit->u.fault.gpa) :
			       load(vcpu, &in->mov, exit->u.fault.gpa);
}

/* ---- what is kept ----------------------------------------------------------------- */

/* Inside vm->srcu. */
static void note_path(struct keel_vcpu *vcpu, struct mmio_insn *in,
		      const struct keel_gwalk_path *path)
{
	struct keel_memslots *slots = keel_slots(vcpu->vm);
	unsigned int off = offset_in_page(in->rip), i;

	in->nr = 0;
	/* It is read in eights, which must lie in the page. */
	if (!path->nr || off + (in->mask[1] ? 16 : 8) > PAGE_SIZE)
		return;
	for (i = 0; i < path->nr; i++) {
		in->where[i] = address_of(vcpu, slots, path->where[i]);
		in->entry[i] = path->entry[i];
		if (!in->where[i])
			return;
	}
	in->code = address_of(vcpu, slots, path->gpa + off);
	if (!in->code)
		return;
	keel_need(vcpu, KEEL_R_CR3 | KEEL_R_CR4);
	in->root = vcpu->cr3 & CR3_ROOT;
	in->levels = vcpu->cr4 & X86_CR4_LA57 ? 5 : 4;
	in->generation = slots->generation;
	in->nr = path->nr;
}

/**
 * keel_mmio_note() - an instruction is about to access device memory
 * @vcpu: the vCPU
 * @c: the emulator's context, which has decoded it
 * @path: the way to its bytes, if they were fetched; else its nr is 0
 *
 * The vCPU's own thread; may sleep.
 */
void keel_mmio_note(struct keel_vcpu *vcpu, const struct emul_ctxt *c,
		    const struct keel_gwalk_path *path)
{
	struct mmio_insn *in;
	u8 mask[16] = {};
	int idx;

	/* Many a vCPU never accesses any. */
	if (!vcpu->mmio)
		vcpu->mmio = kzalloc(sizeof(*vcpu->mmio), GFP_KERNEL_ACCOUNT);
	if (!vcpu->mmio)
		return;
	in = insn_at(vcpu, c->rip);
	in->mov.len = 0;
	if (!emul_mov_of(c, &in->mov))
		return;
	in->rip = c->rip;
	memset(mask, 0xff, in->mov.len);
	memcpy(in->mask, mask, sizeof(in->mask));
	memcpy(in->bytes, c->insn.bytes, sizeof(in->bytes));
	idx = srcu_read_lock(&vcpu->vm->srcu);
	note_path(vcpu, in, path);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

void keel_mmio_free(struct keel_vcpu *vcpu)
{
	kfree(vcpu->mmio);
}
