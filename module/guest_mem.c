// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading and writing the guest's memory, through the client's mapping of it.
 *
 * Only a thread of the VM's mm can: everybody else gets -EFAULT.  The guest and
 * the client may change the bytes at any time, so a value that is checked must
 * be one that was copied once.
 *
 * -ENXIO is the guest's affair: it has no memory there, perhaps a device.  -EFAULT is the
 * host's: it has no page where the guest has memory, for want of one, maybe.  The guest must
 * not see that, so whoever gets it changes nothing, and KVM_RUN fails.
 */
#include <linux/cache.h>
#include <linux/mm.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>

#include "keel.h"

/**
 * struct gpa_run - guest-physical bytes that are one after the other in the client's memory too
 * @hva: of the first
 * @len: how many of those asked for
 * @slot: where they are
 */
struct gpa_run {
	void __user *hva;
	size_t len;
	const struct keel_memslot *slot;
};

/* Inside vm->srcu.  0, or -ENXIO: no memory, or not for writing. */
static int find_run(struct keel_memslots *slots, gpa_t gpa, size_t len, bool write,
		    struct gpa_run *run)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	const struct keel_memslot *slot;
	int hint = -1;
	u64 room;

	slot = keel_gfn_to_slot(slots, gfn, &hint);
	if (!slot || (write && (slot->flags & KVM_MEM_READONLY)))
		return -ENXIO;
	room = ((u64)(slot->base_gfn + slot->npages) << PAGE_SHIFT) - gpa;
	run->hva = (void __user *)(keel_slot_hva(slot, gfn) + offset_in_page(gpa));
	run->len = min_t(u64, len, room);
	run->slot = slot;
	return 0;
}

/*
 * [gpa, gpa + len) of the slot have been written, maybe in part; len is not 0.
 * Inside the section of vm->srcu in which the slot was found.
 */
static void written(struct keel_vcpu *vcpu, const struct keel_memslot *slot, gpa_t gpa, size_t len)
{
	gfn_t gfn;

	if (likely(!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES)))
		return;
	for (gfn = gpa >> PAGE_SHIFT; gfn <= (gpa + len - 1) >> PAGE_SHIFT; gfn++)
		keel_dirty_mark(vcpu, slot, gfn);
}

static bool own_mm(const struct keel_vm *vm)
{
	return likely(current->mm == vm->mm);
}

/**
 * keel_gpa_read() - copy from guest-physical memory; may sleep
 * @vm: the VM
 * @gpa: guest-physical address
 * @dst: where to
 * @len: bytes
 *
 * Return: 0, or -ENXIO or -EFAULT with any part of @dst written.
 */
int keel_gpa_read(struct keel_vm *vm, gpa_t gpa, void *dst, size_t len)
{
	struct gpa_run run;
	int idx, ret = 0;

	if (!own_mm(vm))
		return -EFAULT;
	idx = srcu_read_lock(&vm->srcu);
	while (len) {
		ret = find_run(keel_slots(vm), gpa, len, false, &run);
		if (!ret && copy_from_user(dst, run.hva, run.len))
			ret = -EFAULT;
		if (ret)
			break;
		gpa += run.len;
		dst += run.len;
		len -= run.len;
	}
	srcu_read_unlock(&vm->srcu, idx);
	return ret;
}

/**
 * keel_gpa_write() - copy to guest-physical memory; may sleep
 * @vcpu: the vCPU that writes, by its thread
 * @gpa: guest-physical address
 * @src: where from
 * @len: bytes
 *
 * Return: 0, or -ENXIO (no memory there, or read-only) or -EFAULT with any part written.
 */
int keel_gpa_write(struct keel_vcpu *vcpu, gpa_t gpa, const void *src, size_t len)
{
	struct keel_vm *vm = vcpu->vm;
	struct gpa_run run;
	int idx, ret = 0;

	if (!own_mm(vm))
		return -EFAULT;
	idx = srcu_read_lock(&vm->srcu);
	while (len) {
		ret = find_run(keel_slots(vm), gpa, len, true, &run);
		if (ret)
			break;
		if (copy_to_user(run.hva, src, run.len))
			ret = -EFAULT;
		written(vcpu, run.slot, gpa, run.len);
		if (ret)
			break;
		gpa += run.len;
		src += run.len;
		len -= run.len;
	}
	srcu_read_unlock(&vm->srcu, idx);
	return ret;
}

/* 0 exchanged, 1 not, -EFAULT.  The kernel's macro has __old and __new of its own. */
#define CMPXCHG_USER(type, hva, old, new)					\
({										\
	type expected_, wanted_;						\
										\
	memcpy(&expected_, old, sizeof(type));					\
	memcpy(&wanted_, new, sizeof(type));					\
	__try_cmpxchg_user((type __user *)(hva), &expected_, wanted_,		\
			   fault_##type);					\
})

static int cmpxchg_user(void __user *hva, const void *old, const void *new, size_t len)
{
	switch (len) {
	case 1:
		return CMPXCHG_USER(u8, hva, old, new);
	case 2:
		return CMPXCHG_USER(u16, hva, old, new);
	case 4:
		return CMPXCHG_USER(u32, hva, old, new);
	default:
		return CMPXCHG_USER(u64, hva, old, new);
	}
}

/*
 * A locked access over the end of a cache line is #AC in the kernel where the host
 * looks for split locks, and would take the host down.
 */
static bool splits_lock(gpa_t gpa, size_t len)
{
	return boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) &&
	       (gpa & (cache_line_size() - 1)) + len > cache_line_size();
}

/**
 * keel_gpa_cmpxchg() - replace the bytes at @gpa by @new if they are @old, atomically for
 *	the guest's CPUs too; may sleep
 * @vcpu: the vCPU that writes, by its thread
 * @gpa: guest-physical address
 * @old: expected bytes
 * @new: replacing bytes
 * @len: 1, 2, 4 or 8, within a page; need not be aligned
 * @ok: they were
 *
 * Return: 0, -ENXIO (no memory there, or read-only), -EFAULT, -EINVAL for another @len or a
 * page's end in between (on some hosts a cache line's).
 */
int keel_gpa_cmpxchg(struct keel_vcpu *vcpu, gpa_t gpa, const void *old, const void *new,
		     size_t len, bool *ok)
{
	struct keel_vm *vm = vcpu->vm;
	struct gpa_run run;
	int idx, ret;

	if (!is_power_of_2(len) || len > 8 || offset_in_page(gpa) + len > PAGE_SIZE ||
	    splits_lock(gpa, len))
		return -EINVAL;
	if (!own_mm(vm))
		return -EFAULT;
	idx = srcu_read_lock(&vm->srcu);
	ret = find_run(keel_slots(vm), gpa, len, true, &run);
	if (!ret) {
		ret = cmpxchg_user(run.hva, old, new, len);
		if (!ret)
			written(vcpu, run.slot, gpa, len);
	}
	srcu_read_unlock(&vm->srcu, idx);
	if (ret < 0)
		return ret;
	*ok = !ret;
	return 0;
}

/* ---- structures that are used again and again --------------------------------------- */

/*
 * Inside vm->srcu.  c->hva is 0 where one address does not do: over the end of a
 * slot, or read-only.  The slow way then decides at each access.
 */
static void cache_refresh(struct keel_memslots *slots, struct keel_gpa_cache *c)
{
	struct gpa_run run;

	c->generation = slots->generation;
	c->hva = 0;
	if (!find_run(slots, c->gpa, c->len, true, &run) && run.len == c->len) {
		c->hva = (unsigned long)run.hva;
		c->slot = run.slot;
	}
}

/**
 * keel_gpa_cache_init() - remember where @len bytes at @gpa are
 * @vm: the VM
 * @c: the cache
 * @gpa: guest-physical address
 * @len: bytes
 *
 * Return: 0, or -ENXIO if not all of it is memory.
 */
int keel_gpa_cache_init(struct keel_vm *vm, struct keel_gpa_cache *c, gpa_t gpa, size_t len)
{
	struct keel_memslots *slots;
	struct gpa_run run;
	size_t done;
	int idx, ret = 0;

	c->gpa = gpa;
	c->len = len;
	idx = srcu_read_lock(&vm->srcu);
	slots = keel_slots(vm);
	cache_refresh(slots, c);
	for (done = 0; !c->hva && !ret && done < len; done += run.len)
		ret = find_run(slots, gpa + done, len - done, false, &run);
	srcu_read_unlock(&vm->srcu, idx);
	if (ret)
		c->generation = ~0ull;
	return ret;
}

/*
 * Inside vm->srcu: where the byte at @off is, or NULL for the slow way.  If not, c->slot
 * is good until the section's end.
 */
static void __user *cache_hva(struct keel_vm *vm, struct keel_gpa_cache *c, size_t off)
{
	struct keel_memslots *slots = keel_slots(vm);

	if (unlikely(c->generation != slots->generation))
		cache_refresh(slots, c);
	return c->hva ? (void __user *)(c->hva + off) : NULL;
}

static bool cache_usable(const struct keel_vm *vm, const struct keel_gpa_cache *c, size_t off,
			 size_t len)
{
	return own_mm(vm) && !WARN_ON_ONCE(off > c->len || len > c->len - off);
}

/**
 * keel_gpa_cache_read() - copy from the remembered place; may sleep
 * @vm: the VM
 * @c: the cache
 * @dst: where to
 * @off: offset of the first byte in the structure
 * @len: bytes
 *
 * Return: 0, -ENXIO or -EFAULT.
 */
int keel_gpa_cache_read(struct keel_vm *vm, struct keel_gpa_cache *c, void *dst,
			size_t off, size_t len)
{
	const void __user *hva;
	int idx, ret = 0;

	if (!cache_usable(vm, c, off, len))
		return -EFAULT;
	idx = srcu_read_lock(&vm->srcu);
	hva = cache_hva(vm, c, off);
	if (hva && copy_from_user(dst, hva, len))
		ret = -EFAULT;
	srcu_read_unlock(&vm->srcu, idx);
	return hva ? ret : keel_gpa_read(vm, c->gpa + off, dst, len);
}

/**
 * keel_gpa_cache_write() - copy to the remembered place; may sleep
 * @vcpu: the vCPU that writes, by its thread
 * @c: the cache
 * @src: where from
 * @off: offset of the first byte in the structure
 * @len: bytes
 *
 * Return: 0, -ENXIO or -EFAULT.
 */
int keel_gpa_cache_write(struct keel_vcpu *vcpu, struct keel_gpa_cache *c, const void *src,
			 size_t off, size_t len)
{
	struct keel_vm *vm = vcpu->vm;
	void __user *hva;
	int idx, ret = 0;

	if (!cache_usable(vm, c, off, len))
		return -EFAULT;
	idx = srcu_read_lock(&vm->srcu);
	hva = cache_hva(vm, c, off);
	if (hva) {
		if (copy_to_user(hva, src, len))
			ret = -EFAULT;
		written(vcpu, c->slot, c->gpa + off, len);
	}
	srcu_read_unlock(&vm->srcu, idx);
	return hva ? ret : keel_gpa_write(vcpu, c->gpa + off, src, len);
}

/*
 * Without sleeping: a page that would have to be faulted in is -EFAULT.  @writer: the vCPU,
 * or NULL to read.
 */
static int cache_copy_atomic(struct keel_vm *vm, struct keel_gpa_cache *c, void *buf,
			     size_t off, size_t len, struct keel_vcpu *writer)
{
	unsigned long left = len;
	void __user *hva;
	int idx;

	if (!cache_usable(vm, c, off, len))
		return -EFAULT;
	idx = srcu_read_lock(&vm->srcu);
	hva = cache_hva(vm, c, off);
	if (hva && access_ok(hva, len)) {
		pagefault_disable();
		left = writer ? __copy_to_user_inatomic(hva, buf, len) :
				__copy_from_user_inatomic(buf, hva, len);
		pagefault_enable();
		if (writer)
			written(writer, c->slot, c->gpa + off, len);
	}
	srcu_read_unlock(&vm->srcu, idx);
	return left ? -EFAULT : 0;
}

/**
 * keel_gpa_cache_write_atomic() - keel_gpa_cache_write() that does not sleep
 * @vcpu: the vCPU that writes, by its thread
 * @c: the cache
 * @src: where from
 * @off: offset of the first byte in the structure
 * @len: bytes
 *
 * Return: 0, or -EFAULT also where the page would have to be faulted in.
 */
int keel_gpa_cache_write_atomic(struct keel_vcpu *vcpu, struct keel_gpa_cache *c,
				const void *src, size_t off, size_t len)
{
	return cache_copy_atomic(vcpu->vm, c, (void *)src, off, len, vcpu);
}

/**
 * keel_gpa_cache_read_atomic() - keel_gpa_cache_read() that does not sleep
 * @vm: the VM
 * @c: the cache
 * @dst: where to
 * @off: offset of the first byte in the structure
 * @len: bytes
 *
 * Return: 0, or -EFAULT also where the page would have to be faulted in.
 */
int keel_gpa_cache_read_atomic(struct keel_vm *vm, struct keel_gpa_cache *c, void *dst,
			       size_t off, size_t len)
{
	return cache_copy_atomic(vm, c, dst, off, len, NULL);
}

/* ---- the guest's own page tables ---------------------------------------------------- */

static int gwalk_read(void *ctx, gpa_t gpa, void *dst, size_t len)
{
	struct keel_vcpu *vcpu = ctx;

	return keel_gpa_read(vcpu->vm, gpa, dst, len);
}

static int gwalk_set_bits(void *ctx, gpa_t gpa, u64 old, u64 new, int size)
{
	bool ok = false;
	int ret;

	/* Little-endian: the lower half of a u64 comes first. */
	ret = keel_gpa_cmpxchg(ctx, gpa, &old, &new, size, &ok);
	if (ret)
		return ret;
	return ok ? 0 : -EAGAIN;
}

/**
 * keel_gwalk_init() - set up a walk with a vCPU's registers and its VM's memory
 * @w: the walk
 * @vcpu: the vCPU
 *
 * By the vCPU's thread.
 */
void keel_gwalk_init(struct keel_gwalk *w, struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_CR0 | KEEL_R_CR3 | KEEL_R_CR4 | KEEL_R_EFER | KEEL_R_RFLAGS);
	*w = (struct keel_gwalk) {
		.vm = vcpu->vm,
		.read = gwalk_read,
		.set_bits = gwalk_set_bits,
		.ctx = vcpu,
		.cr0 = vcpu->cr0,
		.cr3 = vcpu->cr3,
		.cr4 = vcpu->cr4,
		.efer = vcpu->efer,
		.rflags = vcpu->rflags,
		.gpa_rsvd = vcpu->cpuid.gpa_rsvd,
		.has_1g = keel_guest_has(vcpu, X86_FEATURE_GBPAGES),
		.amd = vcpu->cpuid.amd,
		.cpl = keel_cpl(vcpu),
	};
	if (keel_caps.pdpte_registers && (vcpu->cr4 & X86_CR4_PAE) && !(vcpu->efer & EFER_LMA)) {
		keel_need(vcpu, KEEL_R_PDPTR);
		w->pdpte = vcpu->pdptr;
	}
	if (vcpu->cr4 & X86_CR4_PKE)
		w->pkru = keel_fpu_pkru(vcpu);
}

/* The CPU loads them itself at the entry, by its own width, and takes no bit 5 (see gwalk.c). */
static bool loadable(const u64 pdpte[4])
{
	u64 rsvd = BIT_ULL(5) | GENMASK_ULL(63, boot_cpu_data.x86_phys_bits);
	int i;

	for (i = 0; i < 4; i++) {
		if ((pdpte[i] & 1) && (pdpte[i] & rsvd))
			return false;
	}
	return true;
}

/**
 * keel_pdptrs_load() - load the PDPTEs of PAE paging
 * @vcpu: the vCPU
 * @cr3: where they are
 *
 * Return: 0; 1 if they cannot be loaded (reserved bits, no memory: #GP), or -EFAULT; nothing
 * changed then.
 */
int keel_pdptrs_load(struct keel_vcpu *vcpu, unsigned long cr3)
{
	u64 pdpte[4];
	int ret;

	ret = keel_gpa_read(vcpu->vm, cr3 & 0xffffffe0ul, pdpte, sizeof(pdpte));
	if (ret)
		return ret == -EFAULT ? ret : 1;
	if (!keel_gwalk_pdptes_valid(pdpte, vcpu->cpuid.gpa_rsvd) ||
	    (keel_caps.pdpte_registers && !loadable(pdpte)))
		return 1;
	memcpy(vcpu->pdptr, pdpte, sizeof(pdpte));
	keel_dirty(vcpu, KEEL_R_PDPTR);
	return 0;
}
