// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of pages that were written: a bitmap for each slot that asks for one
 * (KVM_MEM_LOG_DIRTY_PAGES), unless the client wants rings (dirty_ring.c).
 *
 * A bit is set after the write that it tells of, or after the guest got the
 * permission to write.  So whoever takes the bit first, makes the guest ask
 * for permission again (mmu/tdp_log.c), and looks at the page last, either sees
 * a write or finds the bit set again.
 *
 * slots_lock is held over taking and arming, but not while user memory is
 * copied: the client's page fault may take for ever.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>

#include "keel.h"

static unsigned long slot_words(const struct keel_memslot *slot)
{
	return BITS_TO_LONGS(slot->npages);
}

/**
 * keel_dirty_starts_set() - does a new log tell of every page, until the client clears it?
 * @vm: the VM
 */
bool keel_dirty_starts_set(struct keel_vm *vm)
{
	return !READ_ONCE(vm->dirty_ring_size) &&
	       READ_ONCE(vm->dirty_manual) & KVM_DIRTY_LOG_INITIALLY_SET;
}

/**
 * keel_dirty_slot_init() - the bitmap of a slot that is to be published
 * @vm: the VM; slots_lock held
 * @slot: the slot; its flags say whether it is logged
 * @old: the slot that it takes the place of, whose bitmap it keeps; NULL if none
 *
 * Return: 0 or -ENOMEM.
 */
int keel_dirty_slot_init(struct keel_vm *vm, struct keel_memslot *slot,
			 const struct keel_memslot *old)
{
	slot->dirty = NULL;
	if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES) || READ_ONCE(vm->dirty_ring_size))
		return 0;
	if (old && old->dirty) {
		slot->dirty = old->dirty;
		return 0;
	}
	slot->dirty = kvcalloc(slot_words(slot), sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty)
		return -ENOMEM;
	/* No bit behind the last page: keel_clear_dirty_log() relies on it. */
	if (keel_dirty_starts_set(vm))
		bitmap_set(slot->dirty, 0, slot->npages);
	return 0;
}

/**
 * keel_dirty_slot_free() - free a slot's bitmap, unless another slot has it
 * @slot: the slot, which nobody uses any more
 * @heir: the slot in its place, or NULL
 */
void keel_dirty_slot_free(const struct keel_memslot *slot, const struct keel_memslot *heir)
{
	if (!heir || heir->dirty != slot->dirty)
		kvfree(slot->dirty);
}

/* ---- marking ---------------------------------------------------------------------- */

/**
 * keel_dirty_mark() - a page has been written, or may be from now on
 * @vcpu: the vCPU that writes, by its thread
 * @slot: the slot; the caller is in the section of vm->srcu in which it was found
 * @gfn: guest frame in the slot
 *
 * Any context.
 */
void keel_dirty_mark(struct keel_vcpu *vcpu, const struct keel_memslot *slot, gfn_t gfn)
{
	unsigned long offset = array_index_nospec(gfn - slot->base_gfn, slot->npages);

	if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return;
	/* A slot that is older than the rings has a bitmap, which nobody can ask for any more. */
	if (vcpu->ring.entry)
		keel_dirty_ring_push(vcpu, slot->id, offset);
	else if (slot->dirty)
		/* Locked, so it comes after the write. */
		set_bit(offset, slot->dirty);
}

/**
 * keel_dirty_mark_gpa() - the CPU says that it has made a page dirty (keel_caps.pml)
 * @vcpu: the vCPU, by its thread
 * @gpa: guest-physical address
 *
 * For the back end, after each exit that leaves addresses in the CPU's list, and with
 * vcpu->mode not OUTSIDE yet: who waits in keel_vm_request() until a vCPU has left the guest
 * then finds all that it wrote in the log.  Enters vm->srcu; does not sleep; interrupts may
 * be off.
 */
void keel_dirty_mark_gpa(struct keel_vcpu *vcpu, gpa_t gpa)
{
	struct keel_vm *vm = vcpu->vm;
	gfn_t gfn = gpa >> PAGE_SHIFT;
	const struct keel_memslot *slot;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	slot = keel_gfn_to_slot(keel_slots(vm), gfn, &vcpu->tdp_slot_hint);
	if (slot)
		keel_dirty_mark(vcpu, slot, gfn);
	srcu_read_unlock(&vm->srcu, idx);
}

/* ---- the ioctls ------------------------------------------------------------------- */

/* What CPUs have listed by now is in the log when it returns. */
static void drain(struct keel_vm *vm)
{
	if (keel_caps.pml)
		keel_vm_request(vm, KEEL_REQ_DRAIN, true);
}

/* slots_lock held.  NULL: there is no such slot, or it has no log. */
static const struct keel_memslot *logged_slot(struct keel_vm *vm, u32 id)
{
	const struct keel_memslot *slot = keel_slot_by_id(keel_slots(vm), id);

	return slot && slot->dirty ? slot : NULL;
}

/*
 * Take the bits of @mask in each word from @first on; @mask gets those that were
 * set.  slots_lock held; no vCPU writes by what it remembers when it returns.
 */
static void take_bits(struct keel_vm *vm, const struct keel_memslot *slot, unsigned long first,
		      unsigned long *mask, unsigned long n)
{
	atomic_long_t *word = (atomic_long_t *)slot->dirty + first;
	gfn_t gfn = slot->base_gfn + first * BITS_PER_LONG;
	bool any = false;
	unsigned long i;

	read_lock(&vm->tdp.lock);
	for (i = 0; i < n; i++, gfn += BITS_PER_LONG) {
		mask[i] &= atomic_long_read(&word[i]);
		if (mask[i]) {
			mask[i] &= atomic_long_fetch_andnot(mask[i], &word[i]);
			keel_mmu_log_pages(vm, gfn, mask[i]);
			any = true;
		}
		cond_resched_rwlock_read(&vm->tdp.lock);
	}
	read_unlock(&vm->tdp.lock);
	/*
	 * Also where no entry had to be armed: one that the notifier has taken out
	 * may still be in a CPU, until the notifier flushes it.
	 */
	if (any)
		keel_mmu_flush_always(vm);
}

/* They were taken, and the client did not get them.  The slot may have gone meanwhile. */
static void put_bits_back(struct keel_vm *vm, u32 id, const unsigned long *bits, unsigned long n)
{
	const struct keel_memslot *slot;
	unsigned long i;

	mutex_lock(&vm->slots_lock);
	slot = logged_slot(vm, id);
	if (slot && slot_words(slot) == n)
		for (i = 0; i < n; i++)
			atomic_long_or(bits[i], (atomic_long_t *)&slot->dirty[i]);
	mutex_unlock(&vm->slots_lock);
}

/**
 * keel_get_dirty_log() - KVM_GET_DIRTY_LOG
 * @vm: the VM
 * @log: which slot, and where the client wants the bitmap
 *
 * Return: 0; -ENXIO (there are rings), -EINVAL (no such id can be), -ENOENT (the slot is not
 * there, or not logged), -ENOMEM, -EFAULT.
 */
int keel_get_dirty_log(struct keel_vm *vm, const struct kvm_dirty_log *log)
{
	const struct keel_memslot *slot;
	unsigned long *bits = NULL, n;
	bool manual;
	int ret = 0;

	if (READ_ONCE(vm->dirty_ring_size))
		return -ENXIO;
	if (log->slot >= KEEL_USER_MEM_SLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	manual = READ_ONCE(vm->dirty_manual);
	slot = logged_slot(vm, log->slot);
	n = slot ? slot_words(slot) : 0;
	if (slot)
		bits = kvmalloc_array(n, sizeof(long), GFP_KERNEL_ACCOUNT);
	if (bits) {
		drain(vm);
		if (manual) {
			memcpy(bits, slot->dirty, n * sizeof(long));
		} else {
			memset(bits, 0xff, n * sizeof(long));
			take_bits(vm, slot, 0, bits, n);
		}
	} else {
		ret = slot ? -ENOMEM : -ENOENT;
	}
	mutex_unlock(&vm->slots_lock);

	if (!ret && copy_to_user(log->dirty_bitmap, bits, n * sizeof(long))) {
		ret = -EFAULT;
		if (!manual)
			put_bits_back(vm, log->slot, bits, n);
	}
	kvfree(bits);
	return ret;
}

/* slots_lock held. */
static int check_clear(struct keel_vm *vm, const struct kvm_clear_dirty_log *log)
{
	const struct keel_memslot *slot = logged_slot(vm, log->slot);
	u64 room;

	if (!slot)
		return -ENOENT;
	if (log->first_page > slot->npages)
		return -EINVAL;
	room = slot->npages - log->first_page;
	if (log->num_pages > room || (log->num_pages < room && log->num_pages % BITS_PER_LONG))
		return -EINVAL;
	return 0;
}

/**
 * keel_clear_dirty_log() - KVM_CLEAR_DIRTY_LOG
 * @vm: the VM
 * @log: which pages
 *
 * Return: 0; -ENXIO (there are rings), -EINVAL (slot number, range), -ENOENT (the slot is not
 * there, or not logged), -ENOMEM, -EFAULT.
 */
int keel_clear_dirty_log(struct keel_vm *vm, const struct kvm_clear_dirty_log *log)
{
	unsigned long n = BITS_TO_LONGS(log->num_pages), *mask;
	int ret;

	if (READ_ONCE(vm->dirty_ring_size))
		return -ENXIO;
	if (log->slot >= KEEL_USER_MEM_SLOTS || log->first_page % BITS_PER_LONG)
		return -EINVAL;
	/* Before memory is asked for, and again when the slot is held. */
	mutex_lock(&vm->slots_lock);
	ret = check_clear(vm, log);
	mutex_unlock(&vm->slots_lock);
	if (ret)
		return ret;

	mask = kvmalloc_array(n, sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!mask)
		return -ENOMEM;
	if (copy_from_user(mask, log->dirty_bitmap, n * sizeof(long))) {
		kvfree(mask);
		return -EFAULT;
	}
	mutex_lock(&vm->slots_lock);
	ret = check_clear(vm, log);
	if (!ret) {
		drain(vm);
		take_bits(vm, logged_slot(vm, log->slot), log->first_page / BITS_PER_LONG, mask, n);
	}
	mutex_unlock(&vm->slots_lock);
	kvfree(mask);
	return ret;
}
