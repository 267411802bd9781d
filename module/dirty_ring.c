// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of pages that were written as a ring for each vCPU, which the client maps
 * (KVM_CAP_DIRTY_LOG_RING; the kernel's api.rst has the states of an entry).
 *
 * The vCPU's thread puts entries in at the head.  The client marks what it has seen,
 * in order, and KVM_RESET_DIRTY_RINGS frees that from the tail on and makes
 * the guest's next write to those pages noticed again.  Entries are in the client's
 * hands: what is read from them is checked, and only the module's own indices
 * say how many there are.
 */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "keel.h"

/*
 * Entries that are kept free when the vCPU stops for want of room: what it still may write
 * before it is stopped (one emulated instruction, or EMUL_REP_MAX iterations of one, with the
 * tables on the way to its operands, and the structures shared with the guest), and the CPU's own
 * list.
 */
#define SPARE		64
#define SPARE_PML	512

static u32 spare(void)
{
	return SPARE + (keel_caps.pml ? SPARE_PML : 0);
}

/**
 * keel_dirty_ring_enable() - KVM_CAP_DIRTY_LOG_RING: vCPUs to come have rings
 * @vm: the VM; vm->lock held
 * @size: bytes of a ring
 *
 * Return: 0, -EINVAL (not a power of two, too small, not the first time, or there are vCPUs),
 * -E2BIG.
 */
int keel_dirty_ring_enable(struct keel_vm *vm, u64 size)
{
	if (!is_power_of_2(size) || size < PAGE_SIZE ||
	    size < spare() * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	if (size > KEEL_DIRTY_RING_MAX)
		return -E2BIG;
	if (vm->dirty_ring_size || vm->nr_vcpus)
		return -EINVAL;
	WRITE_ONCE(vm->dirty_ring_size, size);
	return 0;
}

/**
 * keel_dirty_ring_create() - a vCPU's ring, if its VM has them
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int keel_dirty_ring_create(struct keel_vcpu *vcpu)
{
	u32 size = vcpu->vm->dirty_ring_size;

	if (!size)
		return 0;
	vcpu->ring.entry = __vmalloc(size, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->ring.entry)
		return -ENOMEM;
	vcpu->ring.nr = size / sizeof(struct kvm_dirty_gfn);
	return 0;
}

/**
 * keel_dirty_ring_free() - undo keel_dirty_ring_create()
 * @vcpu: the vCPU; its ring may still be mapped, each page has the mapping's reference
 */
void keel_dirty_ring_free(struct keel_vcpu *vcpu)
{
	vfree(vcpu->ring.entry);
}

/**
 * keel_dirty_ring_within() - does a range of the vCPU's mapping have pages of its ring?
 * @vcpu: the vCPU
 * @pgoff: number of the first page
 * @n: how many
 */
bool keel_dirty_ring_within(struct keel_vcpu *vcpu, unsigned long pgoff, unsigned long n)
{
	unsigned long pages = vcpu->vm->dirty_ring_size >> PAGE_SHIFT;

	return pages && pgoff < KVM_DIRTY_LOG_PAGE_OFFSET + pages &&
	       pgoff + n > KVM_DIRTY_LOG_PAGE_OFFSET;
}

/**
 * keel_dirty_ring_page() - what the client maps at a page of the vCPU's file
 * @vcpu: the vCPU
 * @pgoff: the page's number
 *
 * Return: the page, or NULL if it is not one of the ring.
 */
struct page *keel_dirty_ring_page(struct keel_vcpu *vcpu, unsigned long pgoff)
{
	unsigned long n = pgoff - KVM_DIRTY_LOG_PAGE_OFFSET;

	if (!keel_dirty_ring_within(vcpu, pgoff, 1))
		return NULL;
	return vmalloc_to_page((void *)vcpu->ring.entry + (n << PAGE_SHIFT));
}

static struct kvm_dirty_gfn *entry_at(const struct keel_dirty_ring *ring, u32 index)
{
	return &ring->entry[index & (ring->nr - 1)];
}

/* How many are in it; by the vCPU's thread. */
static u32 used(const struct keel_dirty_ring *ring)
{
	/* Pairs with the release in reset_ring(): what is free has been cleared. */
	return ring->head - smp_load_acquire(&ring->tail);
}

/**
 * keel_dirty_ring_full() - must the client take entries out before the vCPU may go on?
 * @vcpu: the vCPU, which has a ring; by its thread
 */
bool keel_dirty_ring_full(struct keel_vcpu *vcpu)
{
	return used(&vcpu->ring) >= vcpu->ring.nr - spare();
}

/**
 * keel_dirty_ring_push() - put a page into the vCPU's ring
 * @vcpu: the vCPU, by its thread; any context
 * @slot: number of the slot
 * @offset: of the page in it
 */
void keel_dirty_ring_push(struct keel_vcpu *vcpu, u16 slot, u64 offset)
{
	struct keel_dirty_ring *ring = &vcpu->ring;
	struct kvm_dirty_gfn *entry;
	u32 n = used(ring);

	/*
	 * A string instruction writes to one page many times.  Once does, as long as the
	 * client has not seen the entry: it looks at the page after that.  The barrier
	 * has the write before this look.
	 */
	smp_mb();
	if (n && ring->last_slot == slot && ring->last_offset == offset &&
	    READ_ONCE(entry_at(ring, ring->head - 1)->flags) == KVM_DIRTY_GFN_F_DIRTY)
		return;
	if (n >= ring->nr) {
		/* Only by ioctls on the vCPU, again and again with a full ring. */
		pr_err_ratelimited("vCPU %d: the dirty ring has no room: the VM ends\n", vcpu->id);
		keel_vm_kill(vcpu->vm);
		return;
	}
	entry = entry_at(ring, ring->head);
	WRITE_ONCE(entry->slot, slot);
	WRITE_ONCE(entry->offset, offset);
	ring->last_slot = slot;
	ring->last_offset = offset;
	/*
	 * Before the flags: a client that sees these may take the entry and have it reset at once.
	 * Pairs with the acquire in reset_ring().
	 */
	smp_store_release(&ring->head, ring->head + 1);
	/* The client reads the flags first. */
	smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
}

/* ---- reset ------------------------------------------------------------------------ */

/* Pages of one slot and one word of a bitmap: neighbours are mostly written one after the other. */
struct group {
	u32 slot;
	u64 word;
	unsigned long mask;
};

/* slots_lock held.  The slot may have gone, or the client may have written anything. */
static void arm_group(struct keel_vm *vm, const struct group *g)
{
	const struct keel_memslot *slot;
	u64 offset = g->word * BITS_PER_LONG;
	unsigned long mask = g->mask;

	if (!mask || g->slot >= KEEL_USER_MEM_SLOTS)
		return;
	slot = keel_slot_by_id(keel_slots(vm), g->slot);
	if (!slot || !(slot->flags & KVM_MEM_LOG_DIRTY_PAGES) || offset >= slot->npages)
		return;
	if (slot->npages - offset < BITS_PER_LONG)
		mask &= BIT(slot->npages - offset) - 1;
	if (!mask)
		return;
	read_lock(&vm->tdp.lock);
	keel_mmu_log_pages(vm, slot->base_gfn + offset, mask);
	read_unlock(&vm->tdp.lock);
}

static u32 reset_ring(struct keel_vm *vm, struct keel_dirty_ring *ring)
{
	/* Pairs with the release in keel_dirty_ring_push(). */
	u32 head = smp_load_acquire(&ring->head), n = 0;
	struct group g = {};

	for (; ring->tail != head; n++) {
		struct kvm_dirty_gfn *entry = entry_at(ring, ring->tail);
		u64 offset;
		u32 slot;

		/* The client's release: it has read the rest. */
		if (!(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		slot = READ_ONCE(entry->slot);
		offset = READ_ONCE(entry->offset);
		WRITE_ONCE(entry->flags, 0);
		/* Pairs with the acquire in used(). */
		smp_store_release(&ring->tail, ring->tail + 1);

		if (slot != g.slot || offset / BITS_PER_LONG != g.word) {
			arm_group(vm, &g);
			g = (struct group) { .slot = slot, .word = offset / BITS_PER_LONG };
		}
		g.mask |= BIT(offset % BITS_PER_LONG);
		cond_resched();
	}
	arm_group(vm, &g);
	return n;
}

/**
 * keel_dirty_rings_reset() - KVM_RESET_DIRTY_RINGS
 * @vm: the VM; slots_lock held
 *
 * When it returns, the next write to each page that was taken out is noticed.
 * Return: how many entries were freed, or -EINVAL without rings.
 */
int keel_dirty_rings_reset(struct keel_vm *vm)
{
	struct keel_vcpu *vcpu;
	u32 n = 0;
	int i;

	lockdep_assert_held(&vm->slots_lock);

	if (!READ_ONCE(vm->dirty_ring_size))
		return -EINVAL;
	keel_for_each_vcpu(i, vcpu, vm)
		n += reset_ring(vm, &vcpu->ring);
	if (n)
		keel_mmu_flush_always(vm);
	return n;
}
