/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk of the guest's own page tables.  It touches nothing but its
 * arguments and its two callbacks, so that the unit tests build it unchanged.
 */
#ifndef KEEL_MMU_GWALK_H
#define KEEL_MMU_GWALK_H

#include <linux/kvm_types.h>
#include <linux/types.h>

struct keel_vm;

/**
 * struct keel_gwalk_path - the entries that a translation went through
 * @nr: how many; 0: there is no translation, or one that did not come from memory alone
 * @where: guest-physical addresses, from the root down
 * @entry: their values
 * @gpa: of the first byte of the 4K page
 */
struct keel_gwalk_path {
	u8 nr;
	gpa_t where[5];
	u64 entry[5];
	gpa_t gpa;
};

/**
 * struct keel_gwalk - what a walk needs to know of the guest
 * @vm: for the default callbacks
 * @read: read @len bytes of guest-physical memory; 0, -ENXIO (no memory), or -EFAULT, which ends
 *	the walk
 * @set_bits: replace an entry's @old value by @new if it still is @old; 0, -EAGAIN if it is
 *	not, -EFAULT, which ends the walk, or another -errno (a table in read-only memory: the
 *	write is lost, as on a machine with its tables in ROM).  NULL: leave the accessed and
 *	dirty bits alone.
 * @ctx: first argument of both
 * @pdpte: the four PDPTEs of PAE paging; NULL: they are in memory
 * @cr0, @cr3, @cr4, @efer, @rflags: the guest's registers
 * @gpa_rsvd: bits of a guest-physical address beyond MAXPHYADDR
 * @pkru: read only with CR4.PKE in long mode
 * @has_1g: CPUID says 1G pages
 * @amd: bit 8 of PML4 and PML5 entries is reserved
 * @path: if not NULL, filled in by a walk in long mode that succeeds
 * @cpl: for the caller to choose KEEL_ACC_USER by; the walk does not look
 */
struct keel_gwalk {
	struct keel_vm *vm;
	int (*read)(void *ctx, gpa_t gpa, void *dst, size_t len);
	int (*set_bits)(void *ctx, gpa_t gpa, u64 old, u64 new, int size);
	void *ctx;
	const u64 *pdpte;
	struct keel_gwalk_path *path;
	unsigned long cr0, cr3, cr4, efer, rflags;
	u64 gpa_rsvd;
	u32 pkru;
	bool has_1g;
	bool amd;
	u8 cpl;
};

/**
 * struct keel_gwalk_fault - where a walk failed
 * @error: the error code of the #PF that the guest is due
 * @address: what CR2 gets
 * @not_memory: a table lies outside of memory; @error says "not present"
 */
struct keel_gwalk_fault {
	u32 error;
	u64 address;
	bool not_memory;
};

int keel_gwalk(struct keel_gwalk *w, u64 gva, u32 access, gpa_t *gpa, u64 *page_size,
	       struct keel_gwalk_fault *fault);
bool keel_gwalk_pdptes_valid(const u64 pdpte[4], u64 gpa_rsvd);

#endif
