/* SPDX-License-Identifier: GPL-2.0-only */
/* Entries of a VM's table, and the one iterator over them; for the files of mmu/. */
#ifndef KEEL_MMU_TDP_ITER_H
#define KEEL_MMU_TDP_ITER_H

#include <linux/io.h>
#include "../keel.h"
#include "tdp.h"

#define KEEL_TDP_MAX_LEVELS	5
#define KEEL_TDP_ENTRIES	512

/* Guest frames under one entry of this level. */
static inline gfn_t keel_tdp_span(int level)
{
	return 1ull << (9 * (level - 1));
}

static inline unsigned int keel_tdp_index(gfn_t gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (KEEL_TDP_ENTRIES - 1);
}

static inline bool keel_tdp_present(u64 entry)
{
	return entry & keel_caps.tdp->present;
}

static inline bool keel_tdp_leaf(u64 entry, int level)
{
	return level == KEEL_TDP_4K || (entry & keel_caps.tdp->large);
}

static inline u64 *keel_tdp_child(u64 entry)
{
	return __va(entry & keel_caps.tdp->addr_mask);
}

/**
 * struct keel_tdp_iter - a position in a VM's table
 * @gfn: the first frame of the range that is not behind the position
 * @end: where the range ends
 * @level: of the entry looked at
 * @ptr: the entry; NULL behind the end
 * @entry: its value when it was looked at
 * @table: the way from the root
 *
 * vm->tdp.lock is held from start to end.  Who drops it starts again at @gfn: the tables
 * below may be gone.
 */
struct keel_tdp_iter {
	gfn_t gfn, end;
	int level;
	u64 *ptr;
	u64 entry;
	u64 *table[KEEL_TDP_MAX_LEVELS + 1];
};

void keel_tdp_iter_start(struct keel_tdp_iter *it, struct keel_tdp *tdp, gfn_t start, gfn_t end);
void keel_tdp_iter_down(struct keel_tdp_iter *it);
void keel_tdp_iter_next(struct keel_tdp_iter *it);

/* Most pages that one fault maps: aligned like this. */
#define KEEL_TDP_AROUND		16

/**
 * struct keel_tdp_mapping - what a fault wants to have mapped
 * @gfn: the faulting frame, not rounded to @level
 * @level: size of the leaf; smaller on return, if it had to be
 * @write: the access needs write permission
 * @exec: it is a fetch of code
 * @writable: the host allows writing, so the mapping may
 * @log: each page's first write is to be noticed
 * @first, @nr: with level 4K: pages to map, the faulting one included; others only where nothing
 *	is; all in one table of the host's, not of the guest's
 * @pfns: host frames of @first and those after it; 0: not that one
 * @spare: a zeroed page to make a table of; taken (NULL) when used
 */
struct keel_tdp_mapping {
	gfn_t gfn;
	int level;
	bool write, exec, writable, log;
	gfn_t first;
	int nr;
	kvm_pfn_t pfns[KEEL_TDP_AROUND];
	u64 *spare;
};

enum keel_tdp_map_result {
	KEEL_TDP_MAPPED,
	KEEL_TDP_PRESENT,	/* an entry that allows the access is or was there */
	KEEL_TDP_NEED_TABLE,	/* give a spare page and call again */
	KEEL_TDP_CONFLICT,	/* something else is mapped: zap, flush, and let the guest retry */
	/* Not by keel_tdp_map(): */
	KEEL_TDP_STALE,		/* the page found is not the host's any more */
	KEEL_TDP_NOT_THERE,	/* a look at the host's tables has found none */
};

enum keel_tdp_map_result keel_tdp_map(struct keel_vm *vm, struct keel_tdp_mapping *m);

/* host.c: the size of the host's mapping at @hva, which is current->mm's; and all about it. */
int keel_tdp_host_level(unsigned long hva);
bool keel_tdp_find_host(struct keel_tdp_mapping *m, const struct keel_memslot *slot,
			unsigned long hva, int max, bool whole);

/* The frame's page of this level is all in the slot, and host and guest agree on its offset. */
static inline bool keel_tdp_slot_fits(const struct keel_memslot *slot, gfn_t gfn,
				      unsigned long hva, int level)
{
	gfn_t span = keel_tdp_span(level);
	gfn_t first = gfn & ~(span - 1);

	return first >= slot->base_gfn && first + span <= slot->base_gfn + slot->npages &&
	       !(((hva >> PAGE_SHIFT) ^ gfn) & (span - 1));
}

void keel_tdp_zap_conflict(struct keel_vm *vm, gfn_t gfn, int level);
u64 *keel_tdp_alloc_table(void);
void keel_tdp_free_table(u64 *table);

#endif
