// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's access to a frame that is not mapped (so): find the host's page and
 * map it, as large as the host does.
 *
 * No reference to a page outlives the fault.  What keeps the mapping right
 * afterwards is the mmu notifier: before the host changes or takes away what
 * it maps at an address, notifier.c zaps the guest's entries.  A fault that
 * overlaps an invalidation must not install what the host had before it:
 *
 *	fault				notifier
 *	seq = notify_seq		start: lock, notify_count++, zap, unlock
 *	look the page up		(the host changes its tables)
 *	lock for reading		end: lock, notify_seq++, notify_count--, unlock
 *	count is 0 or of elsewhere,
 *	and seq == notify_seq: install
 *
 * vm->srcu is held from the lookup of the slot to the installation, so that a
 * slot's removal, which waits for readers and then zaps, finds all entries.
 */
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "../compat.h"
#include "../keel.h"
#include "tdp_iter.h"

/**
 * struct tdp_fault - one fault on its way
 * @slot: where @gfn lies
 * @gfn: the frame of the access
 * @hva: of @gfn's page
 * @seq: notify_seq before the host's tables were looked at
 * @write: the guest wants to write
 * @exec: the guest fetches code
 * @may_write: the slot allows it
 * @writable: so does the host, for all of @pages
 * @log: the slot's writes are logged: 4K pages
 * @nr: pages found from @hva upwards
 * @pages: a reference is held on each; none with @pfnmap
 * @pfnmap: memory without reference counts: @pfn, and no pages
 * @pfn: the host's frame then
 */
struct tdp_fault {
	const struct keel_memslot *slot;
	gfn_t gfn;
	unsigned long hva;
	unsigned long seq;
	bool write, exec, may_write, writable, log;
	bool pfnmap;
	int nr;
	kvm_pfn_t pfn;
	struct page *pages[KEEL_TDP_AROUND];
};

/* ---- the host's side -------------------------------------------------------------- */

/*
 * keel_tdp_host_level(): the size of the host's mapping at @hva, which is current->mm's.
 * Without locks: interrupts off keep table pages from being freed (they are freed after
 * an IPI or an RCU grace period), and each entry is read once, since it may
 * turn from a table into a leaf meanwhile.
 */
int keel_tdp_host_level(unsigned long hva)
{
	int level = KEEL_TDP_4K;
	unsigned long flags;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(current->mm, hva));
	if (!pgd_present(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (!p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (!pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		level = KEEL_TDP_1G;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_present(pmd) && pmd_leaf(pmd))
		level = KEEL_TDP_2M;
out:
	local_irq_restore(flags);
	return level;
}

/* How many pages from @gfn on may be mapped at once: in the slot, and in one 4K table. */
static int around(const struct tdp_fault *f)
{
	gfn_t in_slot = f->slot->base_gfn + f->slot->npages - f->gfn;
	int in_table = KEEL_TDP_ENTRIES - keel_tdp_index(f->gfn, KEEL_TDP_4K);

	return min3((gfn_t)KEEL_TDP_AROUND, in_slot, (gfn_t)in_table);
}

/*
 * What the host has mapped already: cheap, and the neighbours come with it.  A
 * read is mapped writable where the host's page is, which saves the fault of
 * the write that often follows; pages shared copy-on-write (the zero page, KSM,
 * after a fork) are not writable in the host's tables, so they are not here.
 */
static bool get_fast(struct tdp_fault *f)
{
	/* Under a large page neighbours come by themselves, but where writes are logged. */
	int n = !f->log && keel_tdp_host_level(f->hva) > KEEL_TDP_4K ? 1 : around(f);

	if (f->may_write) {
		f->nr = get_user_pages_fast_only(f->hva, n, FOLL_WRITE, f->pages);
		f->writable = f->nr > 0;
	}
	if (!f->nr && !f->write)
		f->nr = get_user_pages_fast_only(f->hva, n, 0, f->pages);
	return f->nr > 0;
}

/* The host's entry, after the driver's fault handler if need be.  -EAGAIN: look the vma up again. */
static int fault_in_pte(struct tdp_fault *f, struct vm_area_struct *vma,
			struct keel_host_pte *pte)
{
	bool unlocked = false;
	int ret;

	if (!keel_follow_pte(vma, f->hva, pte) && (!f->write || pte->writable))
		return 0;
	ret = fixup_user_fault(vma->vm_mm, f->hva, f->write ? FAULT_FLAG_WRITE : 0, &unlocked);
	if (ret)
		return ret;
	if (unlocked)
		return -EAGAIN;
	/* Not there now either: mapped in a size that this cannot read. */
	if (keel_follow_pte(vma, f->hva, pte) || (f->write && !pte->writable))
		return -EFAULT;
	return 0;
}

/*
 * Memory that drivers map without reference counts (VM_PFNMAP, VM_IO).  Who
 * frees it must unmap it from user space first, and that calls the notifier.
 * Only RAM, mapped write-back: the guest's entry has that memory type, and
 * one page with two types is undefined on both vendors' CPUs.
 */
static int get_pfnmap(struct tdp_fault *f)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct keel_host_pte pte;
	int ret = -EFAULT;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, f->hva);
	if (vma && (vma->vm_flags & (VM_IO | VM_PFNMAP)))
		ret = fault_in_pte(f, vma, &pte);
	mmap_read_unlock(mm);
	if (ret)
		return ret;

	if (!pte.write_back || !page_is_ram(pte.pfn))
		return -EFAULT;
	f->pfnmap = true;
	f->pfn = pte.pfn;
	f->nr = 1;
	f->writable = f->may_write && pte.writable;
	return 0;
}

/* The host has to fault the page in: swap, first touch, copy-on-write. */
static int get_slow(struct tdp_fault *f)
{
	unsigned int flags = FOLL_HWPOISON | (f->write ? FOLL_WRITE : 0);
	struct page *writable;
	long n;

	n = get_user_pages_unlocked(f->hva, 1, f->pages, flags);
	if (!n || n == -EFAULT)
		return fatal_signal_pending(current) ? -EINTR : get_pfnmap(f);
	if (n < 0)
		return n;

	f->nr = 1;
	f->writable = f->write;
	if (!f->write && f->may_write &&
	    get_user_pages_fast_only(f->hva, 1, FOLL_WRITE, &writable) == 1) {
		put_page(f->pages[0]);
		f->pages[0] = writable;
		f->writable = true;
	}
	return 0;
}

static void put_pages(struct tdp_fault *f)
{
	int i;

	if (f->pfnmap)
		return;
	for (i = 0; i < f->nr; i++)
		put_page(f->pages[i]);
}

/*
 * A writable mapping means that the page may get dirty at any time without the
 * host's page-table entry saying so.  Under tdp.lock, while the notifier is
 * held off: later the page might have been cleaned and unmapped.
 */
static void mark_dirty(const struct tdp_fault *f, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (!PageDirty(f->pages[i]) && !PageReserved(f->pages[i]))
			SetPageDirty(f->pages[i]);
}

/* ---- the guest's side ------------------------------------------------------------- */

/* Does an invalidation under way touch [hva, hva + len)? */
static bool invalidating(const struct keel_tdp *tdp, unsigned long hva, unsigned long len)
{
	return tdp->notify_count && hva < tdp->notify_end && hva + len > tdp->notify_start;
}

/* The frame's page of this level is all in the slot, and host and guest agree on its offset. */
static bool level_fits(const struct tdp_fault *f, int level, kvm_pfn_t pfn)
{
	const struct keel_memslot *slot = f->slot;
	gfn_t span = keel_tdp_span(level);
	gfn_t first = f->gfn & ~(span - 1);

	return first >= slot->base_gfn && first + span <= slot->base_gfn + slot->npages &&
	       !(((f->hva >> PAGE_SHIFT) ^ f->gfn) & (span - 1)) &&
	       !((pfn ^ f->gfn) & (span - 1));
}

/*
 * tdp.lock held and @f not stale, so the host's tables still map the page that
 * was found; the size that they map it with is what they say now.
 */
static int map_level(const struct keel_vm *vm, const struct tdp_fault *f, kvm_pfn_t pfn)
{
	int level;

	if (f->pfnmap || f->log || (f->exec && keel_caps.nx_large))
		return KEEL_TDP_4K;
	level = keel_tdp_host_level(f->hva);
	if (level == KEEL_TDP_1G && !keel_caps.tdp_1g)
		level = KEEL_TDP_2M;
	for (; level > KEEL_TDP_4K; level--) {
		unsigned long size = keel_tdp_span(level) << PAGE_SHIFT;

		/* Part of the large page may be on its way out. */
		if (level_fits(f, level, pfn) &&
		    !invalidating(&vm->tdp, f->hva & ~(size - 1), size))
			break;
	}
	return level;
}

/* The host allows writing to @nr pages, and the guest's entries do so as far as make_leaf() says. */
static void mapped_writable(struct keel_vcpu *vcpu, const struct tdp_fault *f, int nr)
{
	if (f->log && !keel_caps.pml) {
		if (!f->write)
			return;
		/* After the entry, as tdp_log.c says. */
		keel_dirty_mark(vcpu, f->slot, f->gfn);
		nr = 1;
	}
	if (!f->pfnmap)
		mark_dirty(f, nr);
}

static enum keel_tdp_map_result install_locked(struct keel_vcpu *vcpu, const struct tdp_fault *f,
					       struct keel_tdp_mapping *m)
{
	struct keel_vm *vm = vcpu->vm;
	struct keel_tdp *tdp = &vm->tdp;
	enum keel_tdp_map_result ret;
	int i;

	if (tdp->notify_seq != f->seq || invalidating(tdp, f->hva, PAGE_SIZE))
		return KEEL_TDP_STALE;

	m->level = map_level(vm, f, m->pfns[0]);
	m->nr = f->nr;
	if (m->level > KEEL_TDP_4K || invalidating(tdp, f->hva, (unsigned long)f->nr << PAGE_SHIFT))
		m->nr = 1;
	for (i = 1; i < m->nr; i++)
		m->pfns[i] = page_to_pfn(f->pages[i]);

	ret = keel_tdp_map(vm, m);
	if (ret == KEEL_TDP_MAPPED && m->writable)
		mapped_writable(vcpu, f, m->nr);
	return ret;
}

/* KEEL_FAULT_FIXED, -ENOMEM, or -EAGAIN: the host has changed its tables meanwhile. */
static int install(struct keel_vcpu *vcpu, const struct tdp_fault *f)
{
	struct keel_vm *vm = vcpu->vm;
	struct keel_tdp_mapping m = {
		.gfn = f->gfn,
		.write = f->write,
		.exec = f->exec,
		.writable = f->writable,
		.log = f->log,
	};
	enum keel_tdp_map_result ret;

	m.pfns[0] = f->pfnmap ? f->pfn : page_to_pfn(f->pages[0]);
	for (;;) {
		read_lock(&vm->tdp.lock);
		ret = install_locked(vcpu, f, &m);
		read_unlock(&vm->tdp.lock);
		if (ret != KEEL_TDP_NEED_TABLE)
			break;
		m.spare = keel_tdp_alloc_table();
		if (!m.spare)
			return -ENOMEM;
	}
	keel_tdp_free_table(m.spare);

	if (ret == KEEL_TDP_STALE)
		return -EAGAIN;
	if (ret == KEEL_TDP_CONFLICT)
		keel_tdp_zap_conflict(vm, f->gfn, m.level);
	return KEEL_FAULT_FIXED;
}

/* vm->srcu held.  As keel_mmu_fault(), and -EAGAIN: begin again. */
static int handle(struct keel_vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct keel_vm *vm = vcpu->vm;
	struct tdp_fault f = {
		.gfn = gpa >> PAGE_SHIFT,
		.write = access & KEEL_ACC_WRITE,
		.exec = access & KEEL_ACC_FETCH,
	};
	int ret;

	f.slot = keel_gfn_to_slot(keel_slots(vm), f.gfn, &vcpu->tdp_slot_hint);
	if (!f.slot)
		return KEEL_FAULT_MMIO;
	if (f.slot->flags & KEEL_SLOT_MOVING)
		return KEEL_FAULT_FIXED;
	f.may_write = !(f.slot->flags & KVM_MEM_READONLY);
	f.log = f.slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
	if (f.write && !f.may_write)
		return KEEL_FAULT_READONLY;
	f.hva = keel_slot_hva(f.slot, f.gfn);

	f.seq = READ_ONCE(vm->tdp.notify_seq);
	/* Before the host's tables are read. */
	smp_rmb();

	if (!get_fast(&f)) {
		ret = get_slow(&f);
		if (ret == -EHWPOISON) {
			/* As if the thread had touched it: the client tells its guest. */
			send_sig_mceerr(BUS_MCEERR_AR, (void __user *)f.hva, PAGE_SHIFT, current);
			return KEEL_FAULT_FIXED;
		}
		if (ret)
			return ret;
	}
	ret = install(vcpu, &f);
	put_pages(&f);
	return ret;
}

/*
 * Other threads invalidate: let them run, they may need this CPU for it.  Not
 * for long, since a request to the vCPU does not end the wait; looking at the
 * count without the lock is good enough for that.
 */
static void wait_for_invalidation(struct keel_tdp *tdp)
{
	wait_event_interruptible_timeout(tdp->notify_wait, !READ_ONCE(tdp->notify_count),
					 msecs_to_jiffies(1));
}

/**
 * keel_mmu_fault() - handle a fault of two-dimensional paging
 * @vcpu: the vCPU
 * @gpa: the guest-physical address
 * @access: KEEL_ACC_*
 *
 * By the vCPU's thread, in the mm of the VM; may sleep.
 *
 * Return: enum keel_fault_result; or -EFAULT (the host has nothing there that could be
 * mapped), -EINTR (a fatal signal), -ENOMEM, -EIO.
 */
int keel_mmu_fault(struct keel_vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct keel_vm *vm = vcpu->vm;
	int idx, ret;

	/* A reserved bit in an entry of ours: the fault would come back for ever. */
	if (WARN_ON_ONCE(access & KEEL_ACC_RSVD))
		return -EIO;
	if (current->mm != vm->mm)
		return -EIO;

	idx = srcu_read_lock(&vm->srcu);
	ret = handle(vcpu, gpa, access);
	/*
	 * Copy-on-write in our own get_user_pages_unlocked() is an invalidation
	 * too, so a second try often does it.  After that the guest tries, and
	 * requests and signals have their turn in between.
	 */
	if (ret == -EAGAIN)
		ret = handle(vcpu, gpa, access);
	srcu_read_unlock(&vm->srcu, idx);
	if (ret != -EAGAIN)
		return ret;
	wait_for_invalidation(&vm->tdp);
	return KEEL_FAULT_FIXED;
}
