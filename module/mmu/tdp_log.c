// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots whose writes are logged: how the next write to a page is noticed.
 *
 * An entry is armed by taking its write permission, so that the write faults; or,
 * where the CPU lists the pages that it makes dirty (keel_caps.pml), by clearing
 * its dirty bit.  That list has the one address that was written of a large page,
 * so large pages lose their write permission in either case, and the fault brings
 * 4K pages in their place.
 *
 * The log takes a page's bit first and arms its entry then; a fault opens the entry
 * first and sets the bit then.  Both hold tdp.lock for reading, and may be at the
 * same page: an entry that is open in the end was opened after it was armed, and
 * the bit set after it was taken.  Who has armed entries flushes before the client
 * looks at the pages: until then CPUs may write as the entries were.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "../keel.h"
#include "tdp_iter.h"

static void arm(const struct keel_tdp_iter *it)
{
	const struct keel_tdp_format *fmt = keel_caps.tdp;
	u64 bit = keel_caps.pml && it->level == KEEL_TDP_4K ? fmt->dirty : fmt->writable;

	/* This bit alone, and locked: CPUs set the accessed and dirty bits at any moment. */
	if (it->entry & bit)
		clear_bit(__ffs64(bit), (unsigned long *)it->ptr);
}

/**
 * keel_mmu_log_pages() - the next write to each of these frames is to be noticed
 * @vm: the VM
 * @first: a guest frame
 * @mask: bit 0 is @first; at least one is set
 *
 * tdp.lock held for reading.  keel_mmu_flush_always() must follow.
 */
void keel_mmu_log_pages(struct keel_vm *vm, gfn_t first, unsigned long mask)
{
	struct keel_tdp_iter it;

	lockdep_assert_held_read(&vm->tdp.lock);

	keel_tdp_iter_start(&it, &vm->tdp, first + __ffs(mask), first + __fls(mask) + 1);
	while (it.ptr) {
		if (!keel_tdp_present(it.entry)) {
			keel_tdp_iter_next(&it);
		} else if (!keel_tdp_leaf(it.entry, it.level)) {
			keel_tdp_iter_down(&it);
		} else {
			/* Of a large page more than asked for: no harm, it faults sooner. */
			if (it.level > KEEL_TDP_4K || (mask & BIT(it.gfn - first)))
				arm(&it);
			keel_tdp_iter_next(&it);
		}
	}
}

/**
 * keel_mmu_log_slot() - the next write to each page of a slot is to be noticed; may sleep
 * @vm: the VM
 * @slot: the slot, published with KVM_MEM_LOG_DIRTY_PAGES: faults map as that asks for
 */
void keel_mmu_log_slot(struct keel_vm *vm, const struct keel_memslot *slot)
{
	gfn_t end = slot->base_gfn + slot->npages;
	struct keel_tdp *tdp = &vm->tdp;
	struct keel_tdp_iter it;
	bool progress = false;

	read_lock(&tdp->lock);
	keel_tdp_iter_start(&it, tdp, slot->base_gfn, end);
	while (it.ptr) {
		if (progress && cond_resched_rwlock_read(&tdp->lock)) {
			keel_tdp_iter_start(&it, tdp, it.gfn, end);
			progress = false;
			continue;
		}
		progress = true;
		if (keel_tdp_present(it.entry) && !keel_tdp_leaf(it.entry, it.level)) {
			keel_tdp_iter_down(&it);
			continue;
		}
		if (keel_tdp_present(it.entry))
			arm(&it);
		keel_tdp_iter_next(&it);
	}
	read_unlock(&tdp->lock);
	keel_mmu_flush_always(vm);
}

/**
 * keel_mmu_unlog_slot() - a slot's writes are not logged any more; may sleep
 * @vm: the VM
 * @slot: the slot, published without KVM_MEM_LOG_DIRTY_PAGES
 *
 * Where the host has a large page, what was made of 4K for the log goes, and faults
 * bring it back large.  Elsewhere entries stay, and a write that finds one without
 * permission gets it by a fault.
 */
void keel_mmu_unlog_slot(struct keel_vm *vm, const struct keel_memslot *slot)
{
	gfn_t span = keel_tdp_span(KEEL_TDP_2M);
	gfn_t end = slot->base_gfn + slot->npages;
	gfn_t gfn;

	/* Never large. */
	if (((slot->hva >> PAGE_SHIFT) ^ slot->base_gfn) & (span - 1))
		return;
	for (gfn = round_up(slot->base_gfn, span); gfn + span <= end; gfn += span) {
		cond_resched();
		if (keel_tdp_host_level(keel_slot_hva(slot, gfn)) == KEEL_TDP_4K)
			continue;
		write_lock(&vm->tdp.lock);
		keel_mmu_zap_gfns(vm, gfn, gfn + span, false);
		write_unlock(&vm->tdp.lock);
	}
	keel_mmu_flush(vm);
}
