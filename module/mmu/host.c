// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host maps already, by a look at its page tables.
 *
 * Without a reference to any page, and without the host's locks.  Interrupts are off, which keeps
 * table pages from being freed (they are freed after an IPI or an RCU grace period); each entry is
 * read once, since it may turn from a table into a leaf meanwhile.  And tdp.lock is held for
 * reading: before the host changes what an entry maps, it calls the notifier, which waits for that
 * lock to say so and to zap.  So an entry of an address that no invalidation is under way for
 * holds until the lock is dropped, and a frame that goes into the guest's tables before is zapped
 * before the host takes it away.
 */
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>

#include "../compat.h"
#include "../keel.h"
#include "tdp_iter.h"

/* Memory of user space's, write-back, without protection key, and with a reference count. */
#define LOOKED_AT	(_PAGE_PRESENT | _PAGE_USER | _PAGE_PWT | _PAGE_PCD | _PAGE_SPECIAL | \
			 _PAGE_DEVMAP | _PAGE_PKEY_MASK)
#define GOOD		(_PAGE_PRESENT | _PAGE_USER)

static bool good_4k(u64 entry)
{
	return (entry & (LOOKED_AT | _PAGE_PAT)) == GOOD;
}

static bool good_2m(u64 entry)
{
	return (entry & (LOOKED_AT | _PAGE_PAT_LARGE | _PAGE_PSE)) == (GOOD | _PAGE_PSE);
}

static __always_inline kvm_pfn_t entry_pfn(u64 entry, int level)
{
	return (entry & (level == KEEL_TDP_4K ? PTE_PFN_MASK : PHYSICAL_PMD_PAGE_MASK)) >> PAGE_SHIFT;
}

/*
 * Secret memory has left the kernel's own map, and must not be given to guests.  It belongs to a
 * file whose pages may not be evicted; other such files (ramfs, SHM_LOCK) are get_user_pages()'s
 * as well.  A page keeps its file while it is mapped.
 */
static bool is_of_file(const struct page *page)
{
	struct address_space *mapping = READ_ONCE(page->mapping);

	return mapping && !((unsigned long)mapping & PAGE_MAPPING_FLAGS) &&
	       !mapping_unevictable(mapping);
}

static __always_inline bool is_common(struct page *page)
{
	return likely(PageAnon(page)) || PageCompound(page) || is_of_file(page);
}

/*
 * A writable mapping of the guest's means that the page may get dirty without the host's entry
 * saying so.  Where that says so already, the host makes the page dirty when it takes it away.
 */
static __always_inline void will_be_written(u64 entry, struct page *page)
{
	if (unlikely(!(entry & _PAGE_DIRTY)) && !PageDirty(page))
		SetPageDirty(page);
}

/* The host's PMD entry for @hva, NULL if it has no table there.  Interrupts off. */
static pmd_t *find_pmd(unsigned long hva, pud_t *pudp)
{
	pgd_t pgd = READ_ONCE(*pgd_offset(current->mm, hva));
	p4d_t p4d;

	*pudp = __pud(0);
	if (!pgd_present(pgd))
		return NULL;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (!p4d_present(p4d))
		return NULL;
	*pudp = READ_ONCE(*pud_offset(&p4d, hva));
	if (!pud_present(*pudp) || pud_leaf(*pudp))
		return NULL;
	return pmd_offset(pudp, hva);
}

/*
 * keel_tdp_host_level(): the size of the host's mapping at @hva, which is current->mm's.
 */
int keel_tdp_host_level(unsigned long hva)
{
	int level = KEEL_TDP_4K;
	unsigned long flags;
	pmd_t *pmdp, pmd;
	pud_t pud;

	local_irq_save(flags);
	pmdp = find_pmd(hva, &pud);
	if (pmdp) {
		pmd = READ_ONCE(*pmdp);
		if (pmd_present(pmd) && pmd_leaf(pmd))
			level = KEEL_TDP_2M;
	} else if (pud_present(pud) && pud_leaf(pud)) {
		level = KEEL_TDP_1G;
	}
	local_irq_restore(flags);
	return level;
}

/*
 * The neighbours in m->pfns that the host maps as it does @entry, which is *@ptep; the others
 * become 0.  @ptep is the faulting page's, and all of them are in its table.
 */
static void find_neighbours(struct keel_tdp_mapping *m, const pte_t *ptep, u64 entry)
{
	const u64 mask = LOOKED_AT | _PAGE_PAT | _PAGE_RW, like = entry & mask;
	bool writable = m->writable;
	int i, nr = m->nr;

	ptep += (long)(m->first - m->gfn);
	for (i = 0; i < nr; i++) {
		u64 e = READ_ONCE(ptep[i].pte);
		kvm_pfn_t pfn = entry_pfn(e, KEEL_TDP_4K);

		m->pfns[i] = 0;
		if ((e & mask) != like || !is_common(pfn_to_page(pfn)))
			continue;
		m->pfns[i] = pfn;
		if (writable)
			will_be_written(e, pfn_to_page(pfn));
	}
}

/* [m->first, + m->nr): at most @max pages around m->gfn, in the slot and in one table of the host's. */
static void choose_window(struct keel_tdp_mapping *m, const struct keel_memslot *slot,
			  unsigned long hva, int max)
{
	gfn_t base = m->gfn & ~((gfn_t)max - 1);
	/* The frames whose addresses are in this table of the host's. */
	gfn_t low = m->gfn - min_t(gfn_t, pte_index(hva), m->gfn);
	gfn_t high = m->gfn + PTRS_PER_PTE - pte_index(hva);

	m->first = max3(base, low, slot->base_gfn);
	m->nr = min3(base + max, high, slot->base_gfn + slot->npages) - m->first;
}

static bool find_small(struct keel_tdp_mapping *m, const struct keel_memslot *slot,
		       unsigned long hva, pmd_t *pmdp, int max)
{
	const pte_t *ptep = pte_offset_kernel(pmdp, hva);
	u64 entry = READ_ONCE(ptep->pte);

	if (!good_4k(entry) || (m->write && !(entry & _PAGE_RW)))
		return false;
	m->writable = m->writable && (entry & _PAGE_RW);
	m->level = KEEL_TDP_4K;
	choose_window(m, slot, hva, max);
	find_neighbours(m, ptep, entry);
	return m->pfns[m->gfn - m->first];
}

/* A large page of the host's: whole, or if it may not be, those of its pages that are neighbours. */
static bool find_large(struct keel_tdp_mapping *m, const struct keel_memslot *slot,
		       unsigned long hva, u64 entry, int max, bool whole)
{
	kvm_pfn_t head = entry_pfn(entry, KEEL_TDP_2M), pfn = head + pte_index(hva);
	struct page *page = pfn_to_page(head);
	int i;

	if (!good_2m(entry) || (m->write && !(entry & _PAGE_RW)) || !is_common(page))
		return false;
	m->writable = m->writable && (entry & _PAGE_RW);
	if (m->writable)
		will_be_written(entry, page);
	if (whole && keel_tdp_slot_fits(slot, m->gfn, hva, KEEL_TDP_2M)) {
		m->level = KEEL_TDP_2M;
		m->first = m->gfn;
		m->nr = 1;
		m->pfns[0] = pfn;
		return true;
	}
	m->level = KEEL_TDP_4K;
	choose_window(m, slot, hva, max);
	for (i = 0; i < m->nr; i++)
		m->pfns[i] = pfn + (m->first + i - m->gfn);
	return true;
}

/**
 * keel_tdp_find_host() - look what the host has at a faulting address
 * @m: the mapping: @gfn, @write, @exec, @log and @writable (may it be?) filled in; the rest is
 *	filled in here
 * @slot: where @gfn lies
 * @hva: its address
 * @max: most pages around it to map, a power of two up to KEEL_TDP_AROUND
 * @whole: as large as the host has it
 *
 * tdp.lock held for reading, no invalidation under way for any of them, interrupts off;
 * current->mm is the VM's.  False: nothing that can be mapped like this, get_user_pages() knows
 * more.
 */
bool keel_tdp_find_host(struct keel_tdp_mapping *m, const struct keel_memslot *slot,
			unsigned long hva, int max, bool whole)
{
	pmd_t *pmdp, pmd;
	pud_t pud;

	pmdp = find_pmd(hva, &pud);
	if (!pmdp)
		return false;
	pmd = READ_ONCE(*pmdp);
	if (!(pmd_flags(pmd) & _PAGE_PRESENT))
		return false;
	if (pmd_leaf(pmd))
		return find_large(m, slot, hva, pmd_val(pmd), max, whole);
	return find_small(m, slot, hva, &pmd, max);
}
