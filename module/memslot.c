// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots: which guest-physical ranges are memory, and where it is in the
 * client's address space.
 *
 * The set is an array sorted by guest frame, never changed once published.  A
 * change makes a new one, publishes it, waits until no reader has the old one,
 * and only then zaps what has gone: a fault that found its slot in the old
 * set has installed its entry by then.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <asm/processor.h>

#include "keel.h"

#define VALID_FLAGS	((u32)(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES))
/* So that a size in pages fits in what the ABI returns as an int. */
#define MAX_PAGES	((1ul << 31) - 1)

static struct keel_memslots *slots_alloc(int nr)
{
	struct keel_memslots *slots;

	slots = kvzalloc(struct_size(slots, slot, nr), GFP_KERNEL_ACCOUNT);
	if (slots)
		slots->nr = nr;
	return slots;
}

int keel_slots_vm_init(struct keel_vm *vm)
{
	struct keel_memslots *slots = slots_alloc(0);

	if (!slots)
		return -ENOMEM;
	rcu_assign_pointer(vm->slots, slots);
	return 0;
}

/* No reader is left. */
void keel_slots_vm_destroy(struct keel_vm *vm)
{
	struct keel_memslots *slots = rcu_dereference_protected(vm->slots, true);
	int i;

	for (i = 0; i < slots->nr; i++)
		keel_dirty_slot_free(&slots->slot[i], NULL);
	kvfree(slots);
	RCU_INIT_POINTER(vm->slots, NULL);
}

static bool slot_has(const struct keel_memslot *slot, gfn_t gfn)
{
	return gfn >= slot->base_gfn && gfn - slot->base_gfn < slot->npages;
}

/* Index of the first slot that begins above @gfn. */
static int first_above(const struct keel_memslots *slots, gfn_t gfn)
{
	int low = 0, high = slots->nr;

	while (low < high) {
		int mid = (low + high) / 2;

		if (slots->slot[mid].base_gfn > gfn)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/**
 * keel_gfn_to_slot() - the slot that a guest frame lies in, or NULL
 * @slots: a published set
 * @gfn: guest frame
 * @hint: index to try first, and where the one found is put; any value is fine
 *
 * Inside vm->srcu.
 */
const struct keel_memslot *keel_gfn_to_slot(struct keel_memslots *slots, gfn_t gfn, int *hint)
{
	unsigned int i = *hint;

	if (likely(i < slots->nr)) {
		i = array_index_nospec(i, slots->nr);
		if (likely(slot_has(&slots->slot[i], gfn)))
			return &slots->slot[i];
	}
	i = first_above(slots, gfn);
	if (!i)
		return NULL;
	i = array_index_nospec(i - 1, slots->nr);
	if (!slot_has(&slots->slot[i], gfn))
		return NULL;
	*hint = i;
	return &slots->slot[i];
}

/* ---- changing the set ------------------------------------------------------------- */

static struct keel_memslots *current_slots(struct keel_vm *vm)
{
	return rcu_dereference_protected(vm->slots, lockdep_is_held(&vm->slots_lock));
}

/**
 * keel_slot_by_id() - the slot with the client's number, or NULL
 * @slots: a set that stays: inside vm->srcu, or with slots_lock held
 * @id: the number
 */
const struct keel_memslot *keel_slot_by_id(const struct keel_memslots *slots, u16 id)
{
	int i;

	for (i = 0; i < slots->nr; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

/* The set without @out and with @in; either may be NULL. */
static struct keel_memslots *slots_changed(const struct keel_memslots *old,
					   const struct keel_memslot *out,
					   const struct keel_memslot *in)
{
	struct keel_memslots *new;
	int i, n = 0;

	new = slots_alloc(old->nr - !!out + !!in);
	if (!new)
		return NULL;
	for (i = 0; i < old->nr; i++) {
		const struct keel_memslot *slot = &old->slot[i];

		if (in && in->base_gfn < slot->base_gfn) {
			new->slot[n++] = *in;
			in = NULL;
		}
		if (slot != out)
			new->slot[n++] = *slot;
	}
	if (in)
		new->slot[n++] = *in;
	return new;
}

/* When it returns, nobody uses the old set, which is freed. */
static void publish(struct keel_vm *vm, struct keel_memslots *new)
{
	struct keel_memslots *old = current_slots(vm);
	bool logging = false;
	int i;

	for (i = 0; i < new->nr; i++)
		logging |= new->slot[i].flags & KVM_MEM_LOG_DIRTY_PAGES;
	if (logging)
		WRITE_ONCE(vm->logging, true);
	new->generation = old->generation + 1;
	rcu_assign_pointer(vm->slots, new);
	synchronize_srcu_expedited(&vm->srcu);
	if (!logging)
		WRITE_ONCE(vm->logging, false);
	kvfree(old);
}

static int slot_create(struct keel_vm *vm, struct keel_memslot *slot)
{
	struct keel_memslots *new;

	if (keel_dirty_slot_init(vm, slot, NULL))
		return -ENOMEM;
	new = slots_changed(current_slots(vm), NULL, slot);
	if (!new) {
		keel_dirty_slot_free(slot, NULL);
		return -ENOMEM;
	}
	publish(vm, new);
	return 0;
}

/*
 * Take a slot out of its place, and put it to @to unless that is NULL.
 *
 * Until its mappings are gone the slot stays in the set, marked.  Faults on it come
 * again, instead of taking the memory for a device or, where old place and new
 * overlap, bringing mappings of the new one in between.  And the mmu notifier still
 * finds the slot: the host may take pages of it away at this moment, and gets them
 * only when the guest cannot reach them any more.
 */
static int slot_leave(struct keel_vm *vm, const struct keel_memslot *old,
		      const struct keel_memslot *to)
{
	struct keel_memslot marked = *old, gone = *old;
	struct keel_memslots *during, *after;

	marked.flags |= KEEL_SLOT_MOVING;
	during = slots_changed(current_slots(vm), old, &marked);
	if (!during)
		return -ENOMEM;
	after = slots_changed(during, keel_slot_by_id(during, old->id), to);
	if (!after) {
		kvfree(during);
		return -ENOMEM;
	}
	publish(vm, during);
	keel_mmu_zap_slot(vm, &gone);
	publish(vm, after);
	return 0;
}

static int slot_delete(struct keel_vm *vm, const struct keel_memslot *old)
{
	struct keel_memslot gone = *old;
	int ret = slot_leave(vm, old, NULL);

	if (!ret)
		keel_dirty_slot_free(&gone, NULL);
	return ret;
}

/*
 * Logging on or off.  When the set is published no fault goes by the old flags any
 * more; what earlier ones have mapped changes then.
 */
static int slot_set_flags(struct keel_vm *vm, const struct keel_memslot *old,
			  const struct keel_memslot *new)
{
	struct keel_memslots *changed = slots_changed(current_slots(vm), old, new);

	if (!changed)
		return -ENOMEM;
	publish(vm, changed);
	if (!(new->flags & KVM_MEM_LOG_DIRTY_PAGES))
		keel_mmu_unlog_slot(vm, new);
	else if (!keel_dirty_starts_set(vm))
		keel_mmu_log_slot(vm, new);
	/* Else every page counts as written until the client clears its bit. */
	return 0;
}

static bool overlaps_other(const struct keel_memslots *slots, const struct keel_memslot *s)
{
	int i;

	for (i = 0; i < slots->nr; i++) {
		const struct keel_memslot *o = &slots->slot[i];

		if (o->id != s->id && s->base_gfn < o->base_gfn + o->npages &&
		    o->base_gfn < s->base_gfn + s->npages)
			return true;
	}
	return false;
}

/* First guest frame that cannot be mapped. */
static gfn_t gfn_limit(void)
{
	u32 bits = boot_cpu_data.x86_phys_bits;

	/*
	 * With the host's memory encryption on, the kernel counts fewer bits
	 * than there are; nested paging takes the guest's addresses by CPUID's.
	 */
	if (boot_cpu_data.extended_cpuid_level >= 0x80000008)
		bits = cpuid_eax(0x80000008) & 0xff;
	bits = min(bits, 12u + 9 * keel_caps.tdp->levels);
	return 1ull << (bits - PAGE_SHIFT);
}

static int check_region(const struct kvm_userspace_memory_region *r)
{
	if (r->flags & ~VALID_FLAGS)
		return -EINVAL;
	if ((r->memory_size | r->guest_phys_addr | r->userspace_addr) & ~PAGE_MASK)
		return -EINVAL;
	if (r->userspace_addr != untagged_addr(r->userspace_addr) ||
	    !access_ok(u64_to_user_ptr(r->userspace_addr), r->memory_size))
		return -EINVAL;
	/* Bits 16 and up name an address space: there is one. */
	if (r->slot >= KEEL_USER_MEM_SLOTS)
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr)
		return -EINVAL;
	if (r->memory_size >> PAGE_SHIFT > MAX_PAGES)
		return -EINVAL;
	return 0;
}

static int check_place(const struct keel_memslots *slots, const struct keel_memslot *s)
{
	if (overlaps_other(slots, s))
		return -EEXIST;
	return s->base_gfn + s->npages > gfn_limit() ? -EINVAL : 0;
}

static int slot_modify(struct keel_vm *vm, const struct keel_memslot *old,
		       struct keel_memslot *new)
{
	/* The set that @old is in goes. */
	struct keel_memslot was = *old;
	int ret;

	if (new->hva != was.hva || new->npages != was.npages ||
	    (new->flags ^ was.flags) & KVM_MEM_READONLY)
		return -EINVAL;
	if (new->base_gfn == was.base_gfn && new->flags == was.flags)
		return 0;
	ret = check_place(current_slots(vm), new);
	if (!ret)
		ret = keel_dirty_slot_init(vm, new, old);
	if (ret)
		return ret;
	if (new->base_gfn == was.base_gfn)
		ret = slot_set_flags(vm, old, new);
	else
		ret = slot_leave(vm, old, new);
	if (ret)
		keel_dirty_slot_free(new, &was);
	else
		keel_dirty_slot_free(&was, new);
	return ret;
}

/**
 * keel_set_memory_region() - KVM_SET_USER_MEMORY_REGION
 * @vm: the VM
 * @r: what the client asks for
 *
 * vm->slots_lock held.  Returns when the change is in force: a page of a slot
 * that was deleted is not reachable by any vCPU any more.
 *
 * Return: 0, -EINVAL, -EEXIST (overlap), -ENOMEM; nothing has changed on an error.
 */
int keel_set_memory_region(struct keel_vm *vm, const struct kvm_userspace_memory_region *r)
{
	const struct keel_memslot *old;
	struct keel_memslot new;
	int ret;

	lockdep_assert_held(&vm->slots_lock);

	ret = check_region(r);
	if (ret)
		return ret;

	old = keel_slot_by_id(current_slots(vm), r->slot);
	if (!r->memory_size)
		return old ? slot_delete(vm, old) : -EINVAL;

	new = (struct keel_memslot) {
		.base_gfn = r->guest_phys_addr >> PAGE_SHIFT,
		.npages = r->memory_size >> PAGE_SHIFT,
		.hva = r->userspace_addr,
		.flags = r->flags,
		.id = r->slot,
	};
	if (old)
		return slot_modify(vm, old, &new);
	ret = check_place(current_slots(vm), &new);
	return ret ? ret : slot_create(vm, &new);
}
