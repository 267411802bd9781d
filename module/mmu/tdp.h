/* SPDX-License-Identifier: GPL-2.0-only */
/* Two-dimensional paging: the VM's table from guest-physical to host-physical. */
#ifndef KEEL_MMU_TDP_H
#define KEEL_MMU_TDP_H

#include <linux/kvm_types.h>
#include <linux/spinlock.h>
#include "../exit.h"

struct keel_vm;
struct keel_vcpu;
struct keel_memslot;
struct keel_gwalk_fault;

/* Table levels: 1 is a 4K leaf, 2 a 2M leaf or a table of 4K, 3 1G, 4 and 5 tables. */
enum { KEEL_TDP_4K = 1, KEEL_TDP_2M = 2, KEEL_TDP_1G = 3 };

/**
 * struct keel_tdp_format - what an entry looks like (npt.c, ept.c)
 * @levels: levels of a root
 * @table: bits of an entry that points to a table (its address is ORed in)
 * @present: an entry with one of these is present
 * @writable: the write permission
 * @accessed, @dirty: hardware-set; 0 if the format has none
 * @large: marks a leaf above level 1
 * @leaf: bits of every leaf (user, execute, memory type write-back)
 * @no_exec: set where execution is forbidden (0: absence of @exec forbids it)
 * @addr_mask: the address bits
 * @soft_host_writable: a software-available bit: the host's mapping was writable
 */
struct keel_tdp_format {
	u8 levels;
	u64 table, present, writable, accessed, dirty, large, leaf, addr_mask;
	u64 soft_host_writable;
};

/**
 * struct keel_tdp - a VM's table
 * @lock: read: faults install entries (cmpxchg); write: zaps
 * @root: the root page, host virtual; made with the VM
 * @root_hpa: its address for backend->set_root()
 * @notify_seq: counts finished invalidations of the host's mappings
 * @notify_count: invalidations under way; a fault that began before must retry
 * @notify_start, @notify_end: hva range under way while notify_count is not 0
 * @tables: table pages
 */
struct keel_tdp {
	rwlock_t lock;
	u64 *root;
	hpa_t root_hpa;
	unsigned long notify_seq;
	long notify_count;
	unsigned long notify_start, notify_end;
	atomic_long_t tables;
};

enum keel_fault_result {
	KEEL_FAULT_FIXED,	/* mapped (or somebody else did): run on */
	KEEL_FAULT_MMIO,	/* no memory there: emulate the access */
	KEEL_FAULT_READONLY,	/* write to a read-only slot: emulate, user space gets the write */
	/* negative: -EFAULT (host has nothing mapped), -EINTR (fatal signal), -ENOMEM, -EHWPOISON */
};

int keel_mmu_module_init(void);
void keel_mmu_module_exit(void);
int keel_mmu_vm_init(struct keel_vm *vm);
void keel_mmu_vm_destroy(struct keel_vm *vm);

/* Handle a fault of the guest at @gpa; may sleep.  Returns enum keel_fault_result or -errno. */
int keel_mmu_fault(struct keel_vcpu *vcpu, gpa_t gpa, u32 access);

/* Slots: forget everything that maps [slot->base_gfn, +npages); flushes.  slots_lock held. */
void keel_mmu_zap_slot(struct keel_vm *vm, const struct keel_memslot *slot);
/* Notifier: gfn ranges; tdp.lock held for writing; true if a TLB flush is owed. */
bool keel_mmu_zap_gfns(struct keel_vm *vm, gfn_t start, gfn_t end);
bool keel_mmu_age_gfns(struct keel_vm *vm, gfn_t start, gfn_t end, bool clear);
/* Free what zaps took out; after the flush. */
void keel_mmu_flush(struct keel_vm *vm);

/* gwalk.c: the guest's own tables; pure apart from one read callback. */
/**
 * struct keel_gwalk - what a walk needs to know of the guest, filled by keel_gwalk_init()
 */
struct keel_gwalk {
	struct keel_vm *vm;	/* for the default reader */
	int (*read)(void *ctx, gpa_t gpa, void *dst, size_t len);	/* 0 or -errno */
	int (*set_bits)(void *ctx, gpa_t gpa, u64 old, u64 new, int size);	/* A/D; 0, -EAGAIN, -errno */
	void *ctx;
	unsigned long cr0, cr3, cr4, efer, rflags;
	u64 gpa_rsvd;
	u32 pkru;
	bool has_nx_1g;		/* CPUID: 1G pages */
	u8 cpl;
};

/* Where a walk failed: the guest is due a #PF (error, address), as if the CPU had done it. */
struct keel_gwalk_fault {
	u32 error;
	u64 address;
	bool not_memory;	/* the tables themselves lie outside of memory */
};

void keel_gwalk_init(struct keel_gwalk *w, struct keel_vcpu *vcpu);
/* 0 and *gpa; 1 and *fault.  @access: KEEL_ACC_WRITE|USER|FETCH|IMPLICIT. */
int keel_gwalk(struct keel_gwalk *w, u64 gva, u32 access, gpa_t *gpa, u64 *page_size,
	       struct keel_gwalk_fault *fault);
/* The PDPTEs of PAE paging at @cr3 are loadable (no reserved bits): MOV CR3 checks it. */
bool keel_pdptrs_valid(struct keel_vcpu *vcpu, unsigned long cr3);

#endif
