/* SPDX-License-Identifier: GPL-2.0-only */
/* The log of written pages: bitmaps, and rings. */
#ifndef KEEL_TEST_DIRTY_H
#define KEEL_TEST_DIRTY_H

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "vm.h"

#define LOG	KVM_MEM_LOG_DIRTY_PAGES

static inline int get_log(struct vm *vm, u32 slot, void *bitmap)
{
	struct kvm_dirty_log l = { .slot = slot, .dirty_bitmap = bitmap };

	return err_of(vm->fd, KVM_GET_DIRTY_LOG, &l);
}

static inline int clear_log(struct vm *vm, u32 slot, u64 first, u32 n, void *bitmap)
{
	struct kvm_clear_dirty_log l = {
		.slot = slot, .first_page = first, .num_pages = n, .dirty_bitmap = bitmap,
	};

	return err_of(vm->fd, KVM_CLEAR_DIRTY_LOG, &l);
}

static inline void set_manual(struct vm *vm, u64 flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { flags },
	};

	must(vm->fd, KVM_ENABLE_CAP, &cap);
}

static inline bool bit(const u64 *map, u64 n)
{
	return map[n / 64] >> n % 64 & 1;
}

/* A vCPU's ring as its reader sees it. */
struct ring {
	struct kvm_dirty_gfn *entry;
	u32 nr, at;
};

static inline int ring_enable(struct vm *vm, u64 size)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { size } };

	return err_of(vm->fd, KVM_ENABLE_CAP, &cap);
}

static inline void ring_map(struct vcpu *v, struct ring *r, u64 size)
{
	r->entry = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
			KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
	if (r->entry == MAP_FAILED)
		die("mmap of the ring: %s", strerror(errno));
	r->nr = size / sizeof(*r->entry);
	r->at = 0;
}

/* The next entry if there is one, else NULL. */
static inline struct kvm_dirty_gfn *ring_look(struct ring *r)
{
	struct kvm_dirty_gfn *e = &r->entry[r->at % r->nr];

	return __atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY ? e : NULL;
}

/* It has been read. */
static inline void ring_take(struct ring *r)
{
	__atomic_store_n(&r->entry[r->at++ % r->nr].flags, KVM_DIRTY_GFN_F_RESET,
			 __ATOMIC_RELEASE);
}

#endif
