/* SPDX-License-Identifier: GPL-2.0-only */
/* Two-dimensional paging: the VM's table from guest-physical to host-physical. */
#ifndef KEEL_MMU_TDP_H
#define KEEL_MMU_TDP_H

#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include "../exit.h"
#include "gwalk.h"

struct keel_vm;
struct keel_vcpu;
struct keel_memslot;

/* Table levels: 1 is a 4K leaf, 2 a 2M leaf or a table of 4K, 3 1G, 4 and 5 tables. */
enum { KEEL_TDP_4K = 1, KEEL_TDP_2M = 2, KEEL_TDP_1G = 3 };

/**
 * struct keel_tdp_format - what an entry looks like; the back end's
 * @levels: levels of a root
 * @table: bits of an entry that points to a table, presence included (its address is ORed in)
 * @present: an entry with one of these is present; an entry that is not present is all 0
 * @writable: the write permission
 * @exec: the permission to fetch code; 0 if there is none that could be left out
 * @accessed, @dirty: hardware-set; 0 if the format has none
 * @large: marks a leaf above level 1
 * @leaf: bits of every leaf: presence, read, user, execute, memory type write-back
 * @addr_mask: the address bits, without those that the host uses for memory encryption
 * @soft_host_writable: a software-available bit: the host's mapping was writable
 */
struct keel_tdp_format {
	u8 levels;
	u64 table, present, writable, exec, accessed, dirty, large, leaf, addr_mask;
	u64 soft_host_writable;
};

/**
 * struct keel_tdp - a VM's table
 * @lock: read: faults install entries (cmpxchg), aging clears accessed bits; write: zaps and
 *	all other fields.  Taken under the host's page-table locks (aging), so nothing that sleeps
 *	and none of those locks inside it.
 * @root: the root page, host virtual; made with the VM
 * @root_hpa: its host-physical address, for the back end
 * @notify_seq: counts finished invalidations of the host's mappings
 * @notify_count: invalidations under way; a fault that began before must retry
 * @notify_start, @notify_end: hva range under way while notify_count is not 0
 * @notify_wait: faults that wait for invalidations to end
 * @zap_seq: counts entries taken out
 * @flushed_seq: the zap_seq that all vCPUs have flushed up to; cmpxchg without the lock
 * @dead: table pages taken out that a CPU may still walk, until the flush
 */
struct keel_tdp {
	rwlock_t lock;
	u64 *root;
	hpa_t root_hpa;
	unsigned long notify_seq;
	long notify_count;
	unsigned long notify_start, notify_end;
	wait_queue_head_t notify_wait;
	u64 zap_seq;
	u64 flushed_seq;
	struct list_head dead;
};

enum keel_fault_result {
	KEEL_FAULT_FIXED,	/* mapped (or somebody else did): run on */
	KEEL_FAULT_MMIO,	/* no memory there: emulate the access */
	KEEL_FAULT_READONLY,	/* write to a read-only slot: emulate, user space gets the write */
	/* negative: -EFAULT (host has nothing mapped), -EINTR (fatal signal), -ENOMEM, -EIO */
};

int keel_mmu_module_init(void);
int keel_mmu_vm_init(struct keel_vm *vm);
void keel_mmu_vm_destroy(struct keel_vm *vm);

/* Handle a fault of the guest at @gpa; may sleep.  Returns enum keel_fault_result or -errno. */
int keel_mmu_fault(struct keel_vcpu *vcpu, gpa_t gpa, u32 access);
/* The same without sleeping, interrupts off, inside vm->srcu: -EAGAIN if it cannot. */
int keel_mmu_fault_quick(struct keel_vcpu *vcpu, gpa_t gpa, u32 access);

/* Slots: forget everything that maps [slot->base_gfn, +npages); flushes.  slots_lock held. */
void keel_mmu_zap_slot(struct keel_vm *vm, const struct keel_memslot *slot);
/* The host's memory is going away: forget everything; flushes. */
void keel_mmu_zap_all(struct keel_vm *vm);
/* Notifier: gfn ranges; tdp.lock held for writing (may be dropped for a while if @may_yield). */
void keel_mmu_zap_gfns(struct keel_vm *vm, gfn_t start, gfn_t end, bool may_yield);
/* Was the range accessed?  tdp.lock held, for writing if keel_mmu_age_needs_write(). */
bool keel_mmu_age_gfns(struct keel_vm *vm, gfn_t start, gfn_t end, bool clear);
bool keel_mmu_age_needs_write(void);
/* Logging of writes (tdp_log.c): begins for all of a slot; flushes.  slots_lock held. */
void keel_mmu_log_slot(struct keel_vm *vm, const struct keel_memslot *slot);
/* Begins anew for the frames of @mask, counted from @first; tdp.lock held for reading. */
void keel_mmu_log_pages(struct keel_vm *vm, gfn_t first, unsigned long mask);
/* Has ended: large pages may come back; flushes.  slots_lock held, by a thread of the VM's mm. */
void keel_mmu_unlog_slot(struct keel_vm *vm, const struct keel_memslot *slot);
/* All vCPUs forget their translations before it returns: no write passes an entry's new bits. */
void keel_mmu_flush_always(struct keel_vm *vm);
/* If a zap, anybody's, is not yet flushed: flush all vCPUs and free the tables taken out. */
void keel_mmu_flush(struct keel_vm *vm);

/* guest_mem.c: gwalk.c's walk with this vCPU's registers and memory (see gwalk.h). */
void keel_gwalk_init(struct keel_gwalk *w, struct keel_vcpu *vcpu);
/* The PDPTEs of PAE paging into vcpu->pdptr, as MOV CR3 does: 0, 1 for #GP, -EFAULT. */
int keel_pdptrs_load(struct keel_vcpu *vcpu, unsigned long cr3);

#endif
