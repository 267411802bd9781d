// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linear to guest-physical, by the guest's own tables: what the CPU does on a
 * TLB miss, for the instruction emulator and KVM_TRANSLATE.
 *
 * Intel SDM vol. 3, chapter "Paging"; AMD APM vol. 2, "Page Translation and
 * Protection".  Where they differ, struct keel_gwalk says which one the guest has.
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../exit.h"
#include "gwalk.h"

#define PTE_P		BIT_ULL(0)
#define PTE_W		BIT_ULL(1)
#define PTE_U		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_G		BIT_ULL(8)
#define PTE_NX		BIT_ULL(63)
#define PTE_ADDR	GENMASK_ULL(51, 12)
#define PTE_PKEY_SHIFT	59

/* Protection key; the rest of the error code has the places of KEEL_ACC_*. */
#define PF_PK		BIT(5)

#define MAX_LEVELS	5

/*
 * Another vCPU that keeps changing the entries under the walk may make it
 * start over so often; then the guest gets a page fault, which it must be able
 * to take at any time, and its own CPU time goes on paying.
 */
#define MAX_TRIES	32

enum { WALK_RETRY = -EAGAIN, WALK_HOST = -EFAULT, WALK_OK = 0, WALK_FAULT = 1 };

/* One walk: the mode, and the entries that it went through. */
struct walk {
	struct keel_gwalk *w;
	struct keel_gwalk_fault *fault;
	u64 gva;
	u32 access;
	bool user;		/* a user-mode access in the manual's sense */
	bool lma;
	u8 levels;
	u8 entry_size;		/* bytes: 4 without PAE, else 8 */
	u8 index_bits;
	u8 level;		/* of the entry looked at; in the end the leaf's */
	u64 entry[MAX_LEVELS + 1];
	gpa_t where[MAX_LEVELS + 1];
	bool writable, user_page, no_exec;	/* over all levels */
};

static u64 table_root(const struct walk *k)
{
	if (k->lma)
		return k->w->cr3 & PTE_ADDR;
	/* The root of PAE paging is 32 bytes, four entries. */
	return k->w->cr3 & (k->entry_size == 8 ? 0xffffffe0ull : 0xfffff000ull);
}

static void walk_mode(struct walk *k)
{
	struct keel_gwalk *w = k->w;

	k->lma = w->efer & EFER_LMA;
	if (!(w->cr4 & X86_CR4_PAE)) {
		k->levels = 2;
		k->entry_size = 4;
		k->index_bits = 10;
	} else {
		k->levels = !k->lma ? 3 : w->cr4 & X86_CR4_LA57 ? 5 : 4;
		k->entry_size = 8;
		k->index_bits = 9;
	}
}

/* PAE's top level: no rights, no accessed bit, reserved bits of its own. */
static bool is_pdpte(const struct walk *k)
{
	return k->entry_size == 8 && !k->lma && k->level == 3;
}

static bool is_large(const struct walk *k, u64 entry)
{
	if (!(entry & PTE_PS))
		return false;
	if (k->level == 2)
		return k->entry_size == 8 || (k->w->cr4 & X86_CR4_PSE);
	return k->level == 3 && k->lma && k->w->has_1g;
}

/*
 * Bit 5 is reserved as well, but QEMU's emulated CPU takes it for an accessed bit and sets it
 * as it walks: to fault for that would stop each guest with PAE paging there.
 */
static u64 pdpte_reserved(u64 gpa_rsvd)
{
	return (gpa_rsvd & GENMASK_ULL(62, 12)) | GENMASK_ULL(63, 52) |
	       GENMASK_ULL(8, 6) | GENMASK_ULL(2, 1);
}

/* Bits that must be 0 in this entry. */
static u64 reserved_bits(const struct walk *k, u64 entry)
{
	const struct keel_gwalk *w = k->w;
	u64 mask;

	if (k->entry_size == 4) {
		/* "PSE-36": bits 20:13 of a 4M entry are address bits 39:32. */
		if (is_large(k, entry))
			return BIT_ULL(21) | (((w->gpa_rsvd >> 32) & 0xff) << 13);
		return 0;
	}
	if (is_pdpte(k))
		return pdpte_reserved(w->gpa_rsvd);

	mask = w->gpa_rsvd & PTE_ADDR;
	if (!k->lma)
		mask |= GENMASK_ULL(62, 52);
	if (!(w->efer & EFER_NX))
		mask |= PTE_NX;
	if (k->level >= 4)
		mask |= PTE_PS | (w->amd ? PTE_G : 0);
	else if (k->level == 3 && (entry & PTE_PS))
		mask |= w->has_1g ? GENMASK_ULL(29, 13) : PTE_PS;
	else if (k->level == 2 && (entry & PTE_PS))
		mask |= GENMASK_ULL(20, 13);
	return mask;
}

static int walk_fault(struct walk *k, u32 error)
{
	const struct keel_gwalk *w = k->w;

	error |= k->access & KEEL_ACC_WRITE;
	if (k->user)
		error |= KEEL_ACC_USER;
	/* The instruction-fetch flag exists only where fetches can be told apart. */
	if ((k->access & KEEL_ACC_FETCH) &&
	    ((w->cr4 & X86_CR4_SMEP) || ((w->cr4 & X86_CR4_PAE) && (w->efer & EFER_NX))))
		error |= KEEL_ACC_FETCH;

	k->fault->error = error;
	k->fault->address = k->gva;
	k->fault->not_memory = false;
	return WALK_FAULT;
}

static int read_entry(struct walk *k, u64 *entry)
{
	gpa_t where = k->where[k->level];
	u32 half = 0;
	int ret;

	if (k->entry_size == 8)
		return k->w->read(k->w->ctx, where, entry, sizeof(*entry));
	ret = k->w->read(k->w->ctx, where, &half, sizeof(half));
	*entry = half;
	return ret;
}

/* From the root to the leaf; collects the rights on the way. */
static int walk_down(struct walk *k)
{
	gpa_t table = table_root(k);
	u64 entry;
	int ret;

	k->writable = true;
	k->user_page = true;
	k->no_exec = false;

	for (k->level = k->levels; ; k->level--) {
		unsigned int shift = 12 + k->index_bits * (k->level - 1);
		u64 index = (k->gva >> shift) & (BIT_ULL(k->index_bits) - 1);

		k->where[k->level] = table + index * k->entry_size;
		if (is_pdpte(k) && k->w->pdpte) {
			entry = k->w->pdpte[index];
			ret = 0;
		} else {
			ret = read_entry(k, &entry);
		}
		if (ret == -EFAULT)
			return WALK_HOST;
		if (ret) {
			walk_fault(k, 0);
			k->fault->not_memory = true;
			return WALK_FAULT;
		}
		k->entry[k->level] = entry;

		if (!(entry & PTE_P))
			return walk_fault(k, 0);
		if (entry & reserved_bits(k, entry))
			return walk_fault(k, KEEL_ACC_PRESENT | KEEL_ACC_RSVD);

		if (!is_pdpte(k)) {
			k->writable &= !!(entry & PTE_W);
			k->user_page &= !!(entry & PTE_U);
			k->no_exec |= !!(entry & PTE_NX);
		}
		if (k->level == 1 || is_large(k, entry))
			return WALK_OK;
		table = entry & (k->entry_size == 4 ? 0xfffff000ull : PTE_ADDR);
	}
}

/* SDM, "Protection Keys": data accesses to user-mode addresses in 4- and 5-level paging. */
static bool pkey_denies(const struct walk *k)
{
	const struct keel_gwalk *w = k->w;
	u32 rights;

	if (!(w->cr4 & X86_CR4_PKE) || !k->lma || !k->user_page || (k->access & KEEL_ACC_FETCH))
		return false;
	rights = w->pkru >> (2 * ((k->entry[k->level] >> PTE_PKEY_SHIFT) & 15));
	if (rights & 1)
		return true;
	return (rights & 2) && (k->access & KEEL_ACC_WRITE) &&
	       (k->user || (w->cr0 & X86_CR0_WP));
}

/* SDM, "Determination of Access Rights". */
static bool rights_deny(const struct walk *k)
{
	const struct keel_gwalk *w = k->w;

	if (k->access & KEEL_ACC_FETCH) {
		if (k->no_exec)
			return true;
		return k->user ? !k->user_page : k->user_page && (w->cr4 & X86_CR4_SMEP);
	}
	if (k->user)
		return !k->user_page || ((k->access & KEEL_ACC_WRITE) && !k->writable);
	/* EFLAGS.AC lifts SMAP for explicit accesses only. */
	if (k->user_page && (w->cr4 & X86_CR4_SMAP) &&
	    ((k->access & KEEL_ACC_IMPLICIT) || !(w->rflags & X86_EFLAGS_AC)))
		return true;
	return (k->access & KEEL_ACC_WRITE) && !k->writable && (w->cr0 & X86_CR0_WP);
}

/*
 * The accessed bit of every entry used, the dirty bit of the leaf.  Only after
 * the rights are known: a write that faults must leave no dirty bit.
 */
static int update_bits(struct walk *k)
{
	const struct keel_gwalk *w = k->w;
	u8 leaf = k->level;
	int ret;

	if (!w->set_bits)
		return WALK_OK;
	for (k->level = k->levels; k->level >= leaf; k->level--) {
		u64 old = k->entry[k->level];
		u64 new = old | PTE_A;

		if (is_pdpte(k))
			continue;
		if (k->level == leaf && (k->access & KEEL_ACC_WRITE))
			new |= PTE_D;
		if (new == old)
			continue;
		ret = w->set_bits(w->ctx, k->where[k->level], old, new, k->entry_size);
		if (ret == -EAGAIN)
			return WALK_RETRY;
		if (ret == -EFAULT)
			return WALK_HOST;
	}
	k->level = leaf;
	return WALK_OK;
}

static gpa_t leaf_address(const struct walk *k, u64 *page_size)
{
	u64 entry = k->entry[k->level];
	u64 size = BIT_ULL(12 + k->index_bits * (k->level - 1));
	u64 base = entry & PTE_ADDR & ~(size - 1);

	if (k->entry_size == 4 && k->level == 2)
		base = (entry & 0xffc00000) | ((entry >> 13) & 0xff) << 32;
	if (page_size)
		*page_size = size;
	return base | (k->gva & (size - 1));
}

/* With the values before update_bits(): where bits were missing the path is no good once more. */
static void note_path(const struct walk *k, struct keel_gwalk_path *path, gpa_t gpa)
{
	int level;

	path->nr = 0;
	if (!k->lma)
		return;
	for (level = k->levels; level >= k->level; level--) {
		path->where[path->nr] = k->where[level];
		path->entry[path->nr++] = k->entry[level];
	}
	path->gpa = gpa & ~0xfffull;
}

/**
 * keel_gwalk() - translate a linear address as the guest's CPU would
 * @w: the walk
 * @gva: linear address; only 32 bits of it count outside of long mode
 * @access: KEEL_ACC_WRITE, _FETCH, _USER (CPL is 3), _IMPLICIT (a supervisor access whatever
 *	CPL is)
 * @gpa: the result
 * @page_size: bytes of the page that @gpa lies in; may be NULL
 * @fault: the #PF, if there is to be one
 *
 * Whether @gva is canonical, and segment limits, are the caller's to check:
 * these faults come before paging and are not page faults.
 *
 * Return: 0 with *@gpa and *@page_size; 1 with *@fault; -EFAULT when a callback said so.
 */
int keel_gwalk(struct keel_gwalk *w, u64 gva, u32 access, gpa_t *gpa, u64 *page_size,
	       struct keel_gwalk_fault *fault)
{
	struct walk k = {
		.w = w,
		.fault = fault,
		.access = access,
		.user = (access & KEEL_ACC_USER) && !(access & KEEL_ACC_IMPLICIT),
	};
	int tries, ret;
	u32 pk;

	walk_mode(&k);
	k.gva = k.lma ? gva : (u32)gva;
	if (!(w->cr0 & X86_CR0_PG)) {
		*gpa = k.gva;
		if (page_size)
			*page_size = BIT_ULL(12);
		return WALK_OK;
	}

	for (tries = 0; tries < MAX_TRIES; tries++) {
		ret = walk_down(&k);
		if (ret != WALK_OK)
			return ret;
		pk = pkey_denies(&k) ? PF_PK : 0;
		if (pk || rights_deny(&k))
			return walk_fault(&k, KEEL_ACC_PRESENT | pk);
		ret = update_bits(&k);
		if (ret == WALK_HOST)
			return ret;
		if (ret == WALK_OK) {
			*gpa = leaf_address(&k, page_size);
			if (w->path)
				note_path(&k, w->path, *gpa);
			return WALK_OK;
		}
	}
	return walk_fault(&k, 0);
}

/**
 * keel_gwalk_pdptes_valid() - may a guest load these four PDPTEs?
 * @pdpte: their values
 * @gpa_rsvd: bits beyond MAXPHYADDR
 *
 * SDM, "PDPTE Registers": MOV to CR3 in PAE paging faults if one that is present has a
 * reserved bit set.
 */
bool keel_gwalk_pdptes_valid(const u64 pdpte[4], u64 gpa_rsvd)
{
	int i;

	for (i = 0; i < 4; i++)
		if ((pdpte[i] & PTE_P) && (pdpte[i] & pdpte_reserved(gpa_rsvd)))
			return false;
	return true;
}
