// SPDX-License-Identifier: GPL-2.0-only
/*
 * Putting entries into a VM's table and taking them out.
 *
 * Software walks a table only inside tdp.lock, and tables are taken out only
 * with it held for writing; so the one other reader that a table may still
 * have then is a CPU in the guest.  Table pages wait on tdp.dead until the
 * flush has made every vCPU leave the guest and forget what it had cached.
 *
 * A zap need not be followed by its flush under the same lock: zap_seq and
 * flushed_seq tell everybody who must not return before the flush (the
 * notifier, whose caller frees the pages) that one is owed, even if somebody
 * else did the zap.
 */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/vmstat.h>

#include "../keel.h"
#include "tdp_iter.h"

/* Faults count in parallel. */
static void stat_add(u64 *stat, long n)
{
	atomic64_add(n, (atomic64_t *)stat);
}

static u64 *leaf_stat(struct keel_vm *vm, int level)
{
	switch (level) {
	case KEEL_TDP_4K:
		return &vm->stats.pages_4k;
	case KEEL_TDP_2M:
		return &vm->stats.pages_2m;
	default:
		return &vm->stats.pages_1g;
	}
}

/* ---- table pages ------------------------------------------------------------------ */

/**
 * keel_tdp_alloc_table() - an empty table, charged to the caller's memory cgroup; may sleep
 *
 * Return: the table or NULL.
 */
u64 *keel_tdp_alloc_table(void)
{
	u64 *table = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (table)
		mod_lruvec_page_state(virt_to_page(table), NR_SECONDARY_PAGETABLE, 1);
	return table;
}

/**
 * keel_tdp_free_table() - free a table that no CPU can reach; NULL is fine
 * @table: the table
 */
void keel_tdp_free_table(u64 *table)
{
	if (!table)
		return;
	mod_lruvec_page_state(virt_to_page(table), NR_SECONDARY_PAGETABLE, -1);
	free_page((unsigned long)table);
}

static void free_dead(struct keel_vm *vm, struct list_head *dead)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, dead, lru) {
		list_del(&page->lru);
		keel_tdp_free_table(page_address(page));
		stat_add(&vm->stats.tdp_tables, -1);
	}
}

/*
 * A table has been taken out with all below it: count its leaves out and queue
 * its pages.  The entries stay as they are: a CPU may be walking them.
 */
static void bury_table(struct keel_vm *vm, u64 *table, int level)
{
	long leaves = 0;
	int i;

	for (i = 0; i < KEEL_TDP_ENTRIES; i++) {
		u64 entry = READ_ONCE(table[i]);

		if (!keel_tdp_present(entry))
			continue;
		if (keel_tdp_leaf(entry, level))
			leaves++;
		else
			bury_table(vm, keel_tdp_child(entry), level - 1);
	}
	if (leaves)
		stat_add(leaf_stat(vm, level), -leaves);
	list_add(&virt_to_page(table)->lru, &vm->tdp.dead);
}

/* ---- map -------------------------------------------------------------------------- */

/* @write: it is for a write to this very page. */
static u64 make_leaf(const struct keel_tdp_mapping *m, kvm_pfn_t pfn, bool write)
{
	const struct keel_tdp_format *fmt = keel_caps.tdp;
	u64 entry = ((u64)pfn << PAGE_SHIFT) | fmt->leaf;

	if (m->level > KEEL_TDP_4K)
		entry |= fmt->large;
	if (m->level > KEEL_TDP_4K && keel_caps.nx_large)
		entry &= ~fmt->exec;
	if (!m->writable)
		return entry;
	entry |= fmt->soft_host_writable;
	/*
	 * The host's page is marked dirty when it is mapped writable (fault.c), so
	 * it is for the log only that anybody wants the dirty bit: spare the CPU
	 * setting it where there is none.
	 */
	if (!m->log || (write && !keel_caps.pml))
		entry |= fmt->writable | fmt->dirty;
	else if (keel_caps.pml)
		entry |= fmt->writable;
	return entry;
}

/* The same frame is mapped already: at most the permission is missing. */
static enum keel_tdp_map_result upgrade_leaf(u64 *ptr, u64 old, const struct keel_tdp_mapping *m,
					     u64 new)
{
	const struct keel_tdp_format *fmt = keel_caps.tdp;

	if ((old ^ new) & fmt->addr_mask)
		return KEEL_TDP_CONFLICT;
	if (!m->write || (old & fmt->writable))
		return KEEL_TDP_PRESENT;
	if (!m->writable)
		return KEEL_TDP_CONFLICT;
	/*
	 * No flush for more permission: a CPU that has the old entry cached
	 * faults, and the fault makes it forget the entry.  If the cmpxchg
	 * fails, it was another vCPU doing the same or a CPU setting the
	 * accessed bit; the guest's next try sees which.
	 */
	return try_cmpxchg64(ptr, &old, new | (old & fmt->accessed)) ?
		KEEL_TDP_MAPPED : KEEL_TDP_PRESENT;
}

/* Neighbours of a page just mapped, in the same table, where there is nothing yet. */
static int map_around(u64 *table, const struct keel_tdp_mapping *m)
{
	int at = keel_tdp_index(m->gfn, KEEL_TDP_4K) + (int)(m->first - m->gfn);
	int i, end = min(m->nr, KEEL_TDP_ENTRIES - at), n = 0;
	u64 leaf = make_leaf(m, 0, false);

	table += at;
	for (i = max(-at, 0); i < end; i++) {
		u64 old = 0;

		if (!READ_ONCE(table[i]) && m->pfns[i] &&
		    try_cmpxchg64(&table[i], &old, leaf | (u64)m->pfns[i] << PAGE_SHIFT))
			n++;
	}
	return n;
}

static enum keel_tdp_map_result map_leaf(struct keel_vm *vm, u64 *table,
					 const struct keel_tdp_mapping *m)
{
	u64 *ptr = &table[keel_tdp_index(m->gfn, m->level)];
	kvm_pfn_t pfn = m->pfns[m->gfn - m->first] & ~(keel_tdp_span(m->level) - 1);
	u64 new = make_leaf(m, pfn, m->write);
	u64 old = READ_ONCE(*ptr);
	int n = 1;

	if (keel_tdp_present(old)) {
		if (!keel_tdp_leaf(old, m->level))
			return KEEL_TDP_CONFLICT;
		return upgrade_leaf(ptr, old, m, new);
	}
	/* Only the page of the access itself counts as accessed. */
	if (!try_cmpxchg64(ptr, &old, new | keel_caps.tdp->accessed))
		return KEEL_TDP_PRESENT;
	if (m->level == KEEL_TDP_4K && m->nr > 1)
		n += map_around(table, m);
	stat_add(leaf_stat(vm, m->level), n);
	return KEEL_TDP_MAPPED;
}

/*
 * Where code has been found, small pages have taken a large one's place (keel_caps.nx_large): what
 * comes after stays small as well, or the two would take turns.
 */
static bool is_split(u64 *table, const struct keel_tdp_mapping *m)
{
	u64 entry;

	if (!keel_caps.nx_large || m->level == KEEL_TDP_4K)
		return false;
	entry = READ_ONCE(table[keel_tdp_index(m->gfn, m->level)]);
	return keel_tdp_present(entry) && !keel_tdp_leaf(entry, m->level);
}

/**
 * keel_tdp_map() - install a leaf, and the tables above it that are missing
 * @vm: the VM
 * @m: what to map, and how
 *
 * tdp.lock held for reading: other faults install at the same time, and who
 * comes second takes what the first one has put there.
 */
enum keel_tdp_map_result keel_tdp_map(struct keel_vm *vm, struct keel_tdp_mapping *m)
{
	const struct keel_tdp_format *fmt = keel_caps.tdp;
	u64 *table = vm->tdp.root;
	int level;

	lockdep_assert_held_read(&vm->tdp.lock);

	for (level = fmt->levels; level > m->level || is_split(table, m); level--) {
		u64 *ptr = &table[keel_tdp_index(m->gfn, level)];
		u64 old = READ_ONCE(*ptr);

		m->level = min(m->level, level - 1);
		if (!keel_tdp_present(old)) {
			u64 new;

			if (!m->spare)
				return KEEL_TDP_NEED_TABLE;
			new = __pa(m->spare) | fmt->table;
			if (try_cmpxchg64(ptr, &old, new)) {
				m->spare = NULL;
				stat_add(&vm->stats.tdp_tables, 1);
				old = new;
			}
		}
		if (keel_tdp_leaf(old, level)) {
			if ((m->write && !(old & fmt->writable)) ||
			    (m->exec && fmt->exec && !(old & fmt->exec)))
				return KEEL_TDP_CONFLICT;
			return KEEL_TDP_PRESENT;
		}
		table = keel_tdp_child(old);
	}
	return map_leaf(vm, table, m);
}

/* ---- zap -------------------------------------------------------------------------- */

/*
 * Tables are taken out whole up to this level of entry (1G): above, counting
 * out what is below would take too long between two looks at the scheduler.
 */
#define BURY_LEVEL	KEEL_TDP_1G

static bool covers(const struct keel_tdp_iter *it, gfn_t start)
{
	gfn_t span = keel_tdp_span(it->level);
	gfn_t first = it->gfn & ~(span - 1);

	return first >= start && first + span <= it->end;
}

/* Take the entry out, or go down to find smaller ones; true if it is out. */
static bool zap_entry(struct keel_vm *vm, struct keel_tdp_iter *it, gfn_t start)
{
	bool leaf = keel_tdp_leaf(it->entry, it->level);

	/* A leaf goes even if it maps more than the range: it comes back with a fault. */
	if (!leaf && (it->level > BURY_LEVEL || !covers(it, start)))
		return false;

	/* The CPU may be setting bits of the entry at this moment. */
	xchg(it->ptr, 0);
	vm->tdp.zap_seq++;
	if (leaf)
		stat_add(leaf_stat(vm, it->level), -1);
	else
		bury_table(vm, keel_tdp_child(it->entry), it->level - 1);
	return true;
}

/**
 * keel_mmu_zap_gfns() - take out all that maps frames of [start, end)
 * @vm: the VM
 * @start: first guest frame
 * @end: the frame after the last
 * @may_yield: the lock may be dropped on the way, for faults and the scheduler
 *
 * tdp.lock held for writing.  keel_mmu_flush() must follow, when the lock is dropped.
 */
void keel_mmu_zap_gfns(struct keel_vm *vm, gfn_t start, gfn_t end, bool may_yield)
{
	struct keel_tdp *tdp = &vm->tdp;
	struct keel_tdp_iter it;
	u64 before = tdp->zap_seq;
	bool progress = false;

	lockdep_assert_held_write(&tdp->lock);

	keel_tdp_iter_start(&it, tdp, start, end);
	while (it.ptr) {
		if (may_yield && progress && cond_resched_rwlock_write(&tdp->lock)) {
			keel_tdp_iter_start(&it, tdp, it.gfn, end);
			progress = false;
			continue;
		}
		progress = true;
		if (!keel_tdp_present(it.entry) || zap_entry(vm, &it, start))
			keel_tdp_iter_next(&it);
		else
			keel_tdp_iter_down(&it);
	}
	if (tdp->zap_seq != before)
		stat_add(&vm->stats.mmu_zaps, 1);
}

/**
 * keel_mmu_flush() - make zaps take effect before the caller goes on
 * @vm: the VM
 *
 * When it returns, no vCPU can reach what anybody had zapped before the call.
 * Any context with interrupts on in which tdp.lock can be taken.
 */
void keel_mmu_flush(struct keel_vm *vm)
{
	struct keel_tdp *tdp = &vm->tdp;
	LIST_HEAD(dead);
	u64 seq, was;

	/* The tables that this flush is for, none that is taken out meanwhile. */
	write_lock(&tdp->lock);
	seq = tdp->zap_seq;
	list_splice_init(&tdp->dead, &dead);
	write_unlock(&tdp->lock);

	/* Pairs with the cmpxchg below: who sees that number sees the flush done. */
	was = smp_load_acquire(&tdp->flushed_seq);
	if (was < seq) {
		keel_vm_request(vm, KEEL_REQ_TLB_FLUSH, true);
		stat_add(&vm->stats.remote_tlb_flush, 1);
		/* Ordered after the flush: who sees it need not flush. */
		while (was < seq && !try_cmpxchg64(&tdp->flushed_seq, &was, seq))
			;
	}
	/* Whoever flushed up to here took its number after @dead was taken off the list. */
	free_dead(vm, &dead);
}

/**
 * keel_mmu_flush_always() - as keel_mmu_flush(), also for entries that were only changed
 * @vm: the VM
 *
 * Who made entries less permissive calls it, and after it no vCPU goes by what they were.
 * Interrupts on.
 */
void keel_mmu_flush_always(struct keel_vm *vm)
{
	keel_vm_request(vm, KEEL_REQ_TLB_FLUSH, true);
	stat_add(&vm->stats.remote_tlb_flush, 1);
}

/**
 * keel_mmu_zap_slot() - forget everything that maps a slot; may sleep
 * @vm: the VM
 * @slot: the slot
 *
 * The slot is out of vm->slots and its readers have left, so nothing of it comes back.
 */
void keel_mmu_zap_slot(struct keel_vm *vm, const struct keel_memslot *slot)
{
	write_lock(&vm->tdp.lock);
	keel_mmu_zap_gfns(vm, slot->base_gfn, slot->base_gfn + slot->npages, true);
	write_unlock(&vm->tdp.lock);
	keel_mmu_flush(vm);
}

/**
 * keel_mmu_zap_all() - forget everything; may sleep
 * @vm: the VM
 */
void keel_mmu_zap_all(struct keel_vm *vm)
{
	write_lock(&vm->tdp.lock);
	keel_mmu_zap_gfns(vm, 0, keel_tdp_span(keel_caps.tdp->levels + 1), true);
	write_unlock(&vm->tdp.lock);
	keel_mmu_flush(vm);
}

/**
 * keel_tdp_zap_conflict() - make room for a leaf of this level at @gfn; may sleep
 * @vm: the VM
 * @gfn: guest frame
 * @level: size of the leaf
 */
void keel_tdp_zap_conflict(struct keel_vm *vm, gfn_t gfn, int level)
{
	gfn_t span = keel_tdp_span(level);
	gfn_t first = gfn & ~(span - 1);

	write_lock(&vm->tdp.lock);
	keel_mmu_zap_gfns(vm, first, first + span, false);
	write_unlock(&vm->tdp.lock);
	keel_mmu_flush(vm);
}

/* ---- age -------------------------------------------------------------------------- */

/**
 * keel_mmu_age_needs_write() - does keel_mmu_age_gfns() take entries out?
 *
 * It must where the format has no accessed bit: a fault is then the only sign of an access.
 */
bool keel_mmu_age_needs_write(void)
{
	return !keel_caps.tdp->accessed;
}

static bool age_leaf(struct keel_vm *vm, struct keel_tdp_iter *it, bool clear)
{
	u64 accessed = keel_caps.tdp->accessed;

	if (!accessed) {
		if (clear)
			zap_entry(vm, it, it->gfn);
		return true;
	}
	if (!(it->entry & accessed))
		return false;
	/* Bits beside it may change at any moment, by CPUs and by faults. */
	if (clear)
		clear_bit(__ffs64(accessed), (unsigned long *)it->ptr);
	return true;
}

/**
 * keel_mmu_age_gfns() - has the guest accessed a frame of [start, end)?
 * @vm: the VM
 * @start: first guest frame
 * @end: the frame after the last
 * @clear: and forget that it has
 *
 * A CPU that has the translation cached will not set the bit again until it
 * loses it.  No flush makes it: the host's own page tables on x86 are aged
 * without one too, because a page that looks idle too early costs less.
 */
bool keel_mmu_age_gfns(struct keel_vm *vm, gfn_t start, gfn_t end, bool clear)
{
	struct keel_tdp_iter it;
	bool young = false;

	lockdep_assert_held(&vm->tdp.lock);

	keel_tdp_iter_start(&it, &vm->tdp, start, end);
	while (it.ptr) {
		if (keel_tdp_present(it.entry) && !keel_tdp_leaf(it.entry, it.level)) {
			keel_tdp_iter_down(&it);
			continue;
		}
		if (keel_tdp_present(it.entry))
			young |= age_leaf(vm, &it, clear);
		keel_tdp_iter_next(&it);
	}
	return young;
}

/* ---- lifetimes -------------------------------------------------------------------- */

/**
 * keel_mmu_module_init() - check the back end's page-table format
 */
int keel_mmu_module_init(void)
{
	const struct keel_tdp_format *fmt = keel_caps.tdp;

	if (fmt->levels < 4 || fmt->levels > KEEL_TDP_MAX_LEVELS ||
	    !(fmt->leaf & fmt->present) || !(fmt->table & fmt->present) ||
	    (keel_caps.pml && !fmt->dirty)) {
		pr_err("page-table format of the %s back end is unusable\n", keel_ops.name);
		return -EINVAL;
	}
	return 0;
}

/**
 * keel_mmu_vm_init() - a VM's empty table; before the notifier is registered
 * @vm: the VM
 */
int keel_mmu_vm_init(struct keel_vm *vm)
{
	struct keel_tdp *tdp = &vm->tdp;

	rwlock_init(&tdp->lock);
	INIT_LIST_HEAD(&tdp->dead);
	init_waitqueue_head(&tdp->notify_wait);
	tdp->root = keel_tdp_alloc_table();
	if (!tdp->root)
		return -ENOMEM;
	tdp->root_hpa = __pa(tdp->root);
	stat_add(&vm->stats.tdp_tables, 1);
	return 0;
}

/**
 * keel_mmu_vm_destroy() - free the table
 * @vm: the VM
 *
 * No vCPU exists, and the notifier is gone; its end has taken all leaves out,
 * so what is here is a few tables of the upper levels.
 */
void keel_mmu_vm_destroy(struct keel_vm *vm)
{
	struct keel_tdp *tdp = &vm->tdp;

	bury_table(vm, tdp->root, keel_caps.tdp->levels);
	free_dead(vm, &tdp->dead);
	tdp->root = NULL;
}
