// SPDX-License-Identifier: GPL-2.0-only
/*
 * The iterator over a VM's table: entries in the order of the frames that they
 * map, an entry before what is below it.  The caller says whether to go down.
 */
#include "../keel.h"
#include "tdp_iter.h"

static void look(struct keel_tdp_iter *it)
{
	it->ptr = &it->table[it->level][keel_tdp_index(it->gfn, it->level)];
	it->entry = READ_ONCE(*it->ptr);
}

/**
 * keel_tdp_iter_start() - look at the root's entry for @start
 * @it: the iterator
 * @tdp: the table
 * @start: first guest frame
 * @end: the frame after the last
 */
void keel_tdp_iter_start(struct keel_tdp_iter *it, struct keel_tdp *tdp, gfn_t start, gfn_t end)
{
	int levels = keel_caps.tdp->levels;

	it->gfn = start;
	it->end = min_t(gfn_t, end, keel_tdp_span(levels + 1));
	it->level = levels;
	it->table[levels] = tdp->root;
	it->ptr = NULL;
	if (start < it->end)
		look(it);
}

/**
 * keel_tdp_iter_down() - look into the table that the entry points to
 * @it: the iterator
 *
 * The entry is present and not a leaf.
 */
void keel_tdp_iter_down(struct keel_tdp_iter *it)
{
	it->table[it->level - 1] = keel_tdp_child(it->entry);
	it->level--;
	look(it);
}

/**
 * keel_tdp_iter_next() - look at the next entry beside, or where that is another table, above
 * @it: the iterator
 */
void keel_tdp_iter_next(struct keel_tdp_iter *it)
{
	gfn_t span = keel_tdp_span(it->level);

	it->gfn = (it->gfn & ~(span - 1)) + span;
	if (it->gfn >= it->end) {
		it->ptr = NULL;
		return;
	}
	/* Behind the last entry of a table its parent's next one follows. */
	while (!keel_tdp_index(it->gfn, it->level))
		it->level++;
	look(it);
}
