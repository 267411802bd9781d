// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host does to the memory behind the slots: unmapping, swapping out,
 * migration, protection changes, and asking which pages are in use.
 *
 * The callbacks come with locks of the host's memory management held (mmap_lock,
 * i_mmap_rwsem, anon_vma; aging even a page-table lock), from reclaim as well:
 * no sleeping lock of ours and no allocation that may enter reclaim in here.
 * The protocol with faults is described in mmu/fault.c.
 */
#include <linux/mmu_notifier.h>

#include "keel.h"

static struct keel_vm *to_vm(struct mmu_notifier *mn)
{
	return container_of(mn, struct keel_vm, notifier);
}

/* The part of a slot that is mapped from [start, end); false if none is. */
static bool slot_part(const struct keel_memslot *slot, unsigned long start, unsigned long end,
		      gfn_t *first, gfn_t *last)
{
	unsigned long from = max(start, slot->hva);
	unsigned long to = min(end, slot->hva + (slot->npages << PAGE_SHIFT));

	if (from >= to)
		return false;
	*first = slot->base_gfn + ((from - slot->hva) >> PAGE_SHIFT);
	*last = slot->base_gfn + ((to - slot->hva + PAGE_SIZE - 1) >> PAGE_SHIFT);
	return true;
}

static void zap_hvas(struct keel_vm *vm, const struct keel_memslots *slots,
		     const struct mmu_notifier_range *range)
{
	bool may_yield = mmu_notifier_range_blockable(range);
	gfn_t first, last;
	int i;

	for (i = 0; i < slots->nr; i++)
		if (slot_part(&slots->slot[i], range->start, range->end, &first, &last))
			keel_mmu_zap_gfns(vm, first, last, may_yield);
}

/*
 * The count goes up for every range, also for one outside of all slots: a slot
 * that covers it may come before the range's end does.  Where several are under
 * way, one range that covers them all is kept until the last one has ended.
 */
static void begin(struct keel_tdp *tdp, const struct mmu_notifier_range *range)
{
	if (tdp->notify_count++) {
		tdp->notify_start = min(tdp->notify_start, range->start);
		tdp->notify_end = max(tdp->notify_end, range->end);
	} else {
		tdp->notify_start = range->start;
		tdp->notify_end = range->end;
	}
}

static int invalidate_range_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct keel_vm *vm = to_vm(mn);
	struct keel_tdp *tdp = &vm->tdp;
	bool owed;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	write_lock(&tdp->lock);
	begin(tdp, range);
	zap_hvas(vm, keel_slots(vm), range);
	/* Somebody else's zap counts too: it may have been of the same pages. */
	owed = tdp->zap_seq != READ_ONCE(tdp->flushed_seq);
	write_unlock(&tdp->lock);
	srcu_read_unlock(&vm->srcu, idx);

	/* The host takes the pages away when this returns. */
	if (owed)
		keel_mmu_flush(vm);
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct keel_tdp *tdp = &to_vm(mn)->tdp;

	write_lock(&tdp->lock);
	tdp->notify_seq++;
	tdp->notify_count--;
	WARN_ON_ONCE(tdp->notify_count < 0);
	write_unlock(&tdp->lock);

	if (wq_has_sleeper(&tdp->notify_wait))
		wake_up_all(&tdp->notify_wait);
}

static int age(struct mmu_notifier *mn, unsigned long start, unsigned long end, bool clear)
{
	struct keel_vm *vm = to_vm(mn);
	bool needs_write = clear && keel_mmu_age_needs_write();
	const struct keel_memslots *slots;
	gfn_t first, last;
	int idx, i, young = 0;

	idx = srcu_read_lock(&vm->srcu);
	slots = keel_slots(vm);
	if (needs_write)
		write_lock(&vm->tdp.lock);
	else
		read_lock(&vm->tdp.lock);

	for (i = 0; i < slots->nr; i++)
		if (slot_part(&slots->slot[i], start, end, &first, &last))
			young |= keel_mmu_age_gfns(vm, first, last, clear);

	if (needs_write)
		write_unlock(&vm->tdp.lock);
	else
		read_unlock(&vm->tdp.lock);
	srcu_read_unlock(&vm->srcu, idx);

	if (needs_write && young)
		keel_mmu_flush(vm);
	return young;
}

static int clear_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
		       unsigned long end)
{
	return age(mn, start, end, true);
}

static int test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long address)
{
	return age(mn, address, address + PAGE_SIZE, false);
}

/* The mm ends, or keel_notifier_unregister(): nothing is heard of the pages after it. */
static void release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	keel_mmu_zap_all(to_vm(mn));
}

static const struct mmu_notifier_ops notifier_ops = {
	.invalidate_range_start	= invalidate_range_start,
	.invalidate_range_end	= invalidate_range_end,
	/* The same without a flush either way: see keel_mmu_age_gfns(). */
	.clear_flush_young	= clear_young,
	.clear_young		= clear_young,
	.test_young		= test_young,
	.release		= release,
};

/**
 * keel_notifier_register() - let the host's memory management call in
 * @vm: the VM
 *
 * By the VM's creator in vm->mm; slots, table and SRCU are ready.
 */
int keel_notifier_register(struct keel_vm *vm)
{
	vm->notifier.ops = &notifier_ops;
	return mmu_notifier_register(&vm->notifier, vm->mm);
}

/**
 * keel_notifier_unregister() - no more calls; all of the guest's mappings are gone
 * @vm: the VM
 *
 * The slots and vm->srcu must still be there, and vCPUs that exist must not run.
 */
void keel_notifier_unregister(struct keel_vm *vm)
{
	mmu_notifier_unregister(&vm->notifier, vm->mm);
}
