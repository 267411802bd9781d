// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's access to a frame that is not mapped (so): find the host's page and
 * map it, as large as the host does.
 *
 * No reference to a page outlives the fault.  What keeps the mapping right
 * afterwards is the mmu notifier: before the host changes or takes away what
 * it maps at an address, notifier.c zaps the guest's entries.  Most faults look at
 * the host's tables inside the lock that the notifier takes for that (host.c).  One
 * that has to get its page before must not install what the host had before an
 * invalidation:
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
 * @writable: so does the host, for @page
 * @log: the slot's writes are logged: 4K pages
 * @page: a reference is held on it; NULL: memory without reference counts
 * @pfn: the host's frame
 */
struct tdp_fault {
	const struct keel_memslot *slot;
	gfn_t gfn;
	unsigned long hva;
	unsigned long seq;
	bool write, exec, may_write, writable, log;
	struct page *page;
	kvm_pfn_t pfn;
};

/* ---- the host's side -------------------------------------------------------------- */

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
	f->pfn = pte.pfn;
	f->writable = f->may_write && pte.writable;
	return 0;
}

/*
 * The host has to fault the page in: swap, first touch, copy-on-write.  True: it has, and its
 * tables say the rest.
 */
static bool fault_in(const struct tdp_fault *f)
{
	struct mm_struct *mm = current->mm;
	bool unlocked = false;
	int ret;

	if (mmap_read_lock_killable(mm))
		return false;
	ret = fixup_user_fault(mm, f->hva, f->write ? FAULT_FLAG_WRITE : 0, &unlocked);
	mmap_read_unlock(mm);
	return !ret;
}

/* Any page that can be mapped at all, with a reference to it. */
static int get_page_of(struct tdp_fault *f)
{
	unsigned int flags = FOLL_HWPOISON | (f->write ? FOLL_WRITE : 0);
	struct page *writable;
	long n;

	n = get_user_pages_unlocked(f->hva, 1, &f->page, flags);
	if (!n || n == -EFAULT) {
		f->page = NULL;
		return fatal_signal_pending(current) ? -EINTR : get_pfnmap(f);
	}
	if (n < 0)
		return n;

	f->writable = f->write;
	if (!f->write && f->may_write &&
	    get_user_pages_fast_only(f->hva, 1, FOLL_WRITE, &writable) == 1) {
		put_page(f->page);
		f->page = writable;
		f->writable = true;
	}
	f->pfn = page_to_pfn(f->page);
	return 0;
}

/*
 * A writable mapping means that the page may get dirty at any time without the
 * host's page-table entry saying so.  Under tdp.lock, while the notifier is
 * held off: later the page might have been cleaned and unmapped.
 */
static void mark_dirty(struct page *page)
{
	if (page && !PageDirty(page) && !PageReserved(page))
		SetPageDirty(page);
}

/* ---- the guest's side ------------------------------------------------------------- */

/* Does an invalidation under way touch [hva, hva + len)? */
static bool invalidating(const struct keel_tdp *tdp, unsigned long hva, unsigned long len)
{
	return tdp->notify_count && hva < tdp->notify_end && hva + len > tdp->notify_start;
}

/*
 * tdp.lock held and @f not stale, so the host's tables still map the page that
 * was found; the size that they map it with is what they say now.
 */
static int map_level(const struct keel_vm *vm, const struct tdp_fault *f)
{
	int level;

	if (!f->page || f->log || (f->exec && keel_caps.nx_large))
		return KEEL_TDP_4K;
	level = keel_tdp_host_level(f->hva);
	if (level == KEEL_TDP_1G && !keel_caps.tdp_1g)
		level = KEEL_TDP_2M;
	for (; level > KEEL_TDP_4K; level--) {
		unsigned long size = keel_tdp_span(level) << PAGE_SHIFT;

		/* Part of the large page may be on its way out. */
		if (keel_tdp_slot_fits(f->slot, f->gfn, f->hva, level) &&
		    !((f->pfn ^ f->gfn) & (keel_tdp_span(level) - 1)) &&
		    !invalidating(&vm->tdp, f->hva & ~(size - 1), size))
			break;
	}
	return level;
}

/* The first write to a page of a logged slot has its entry; after the entry, as tdp_log.c says. */
static void log_write(struct keel_vcpu *vcpu, const struct tdp_fault *f, bool writable)
{
	if (f->log && !keel_caps.pml && f->write && writable)
		keel_dirty_mark(vcpu, f->slot, f->gfn);
}

static enum keel_tdp_map_result install_locked(struct keel_vcpu *vcpu, const struct tdp_fault *f,
					       struct keel_tdp_mapping *m)
{
	struct keel_vm *vm = vcpu->vm;
	struct keel_tdp *tdp = &vm->tdp;
	enum keel_tdp_map_result ret;

	if (tdp->notify_seq != f->seq || invalidating(tdp, f->hva, PAGE_SIZE))
		return KEEL_TDP_STALE;

	m->level = map_level(vm, f);
	m->writable = f->writable;
	m->first = f->gfn;
	m->nr = 1;
	m->pfns[0] = f->pfn;
	ret = keel_tdp_map(vm, m);
	if (ret != KEEL_TDP_MAPPED || !f->writable)
		return ret;
	if (!f->log || keel_caps.pml || f->write)
		mark_dirty(f->page);
	log_write(vcpu, f, true);
	return ret;
}

/*
 * What the host's own tables have there, and neighbours with it: a read is mapped writable where
 * the host's page is, which saves the fault of the write that often follows; pages shared
 * copy-on-write (KSM, after a fork) are not writable in the host's tables, so they are not here.
 * At most @max pages.  Interrupts off.
 */
static enum keel_tdp_map_result map_host_locked(struct keel_vcpu *vcpu, const struct tdp_fault *f,
						struct keel_tdp_mapping *m, int max)
{
	unsigned long large = ~(PMD_SIZE - 1);
	struct keel_vm *vm = vcpu->vm;
	enum keel_tdp_map_result ret;
	bool whole = !f->log;

	/* Part of the large page, or some neighbour, may be on its way out. */
	if (unlikely(invalidating(&vm->tdp, f->hva & large, PMD_SIZE))) {
		if (invalidating(&vm->tdp, f->hva, PAGE_SIZE))
			return KEEL_TDP_STALE;
		max = 1;
		whole = false;
	}
	/* Logged pages one by one: each is open for the write that was told. */
	if (f->log && !keel_caps.pml)
		max = 1;
	if (f->exec && keel_caps.nx_large)
		whole = false;
	m->writable = f->may_write;
	if (!keel_tdp_find_host(m, f->slot, f->hva, max, whole))
		return KEEL_TDP_NOT_THERE;
	ret = keel_tdp_map(vm, m);
	if (ret == KEEL_TDP_MAPPED)
		log_write(vcpu, f, m->writable);
	return ret;
}

/* What @f asks for; the rest of @m is filled in as it is found, and need not be cleared. */
static void begin_mapping(struct keel_tdp_mapping *m, const struct tdp_fault *f)
{
	m->gfn = f->gfn;
	m->write = f->write;
	m->exec = f->exec;
	m->log = f->log;
	m->spare = NULL;
}

/* By what the host's tables have (@look) or by the page in @f; with a table for it if need be. */
static int map(struct keel_vcpu *vcpu, const struct tdp_fault *f, bool look)
{
	struct keel_vm *vm = vcpu->vm;
	enum keel_tdp_map_result ret;
	struct keel_tdp_mapping m;

	begin_mapping(&m, f);
	for (;;) {
		read_lock(&vm->tdp.lock);
		if (look) {
			local_irq_disable();
			/* Neighbours that the host had were here before, most likely. */
			ret = map_host_locked(vcpu, f, &m, 1);
			local_irq_enable();
		} else {
			ret = install_locked(vcpu, f, &m);
		}
		read_unlock(&vm->tdp.lock);
		if (ret != KEEL_TDP_NEED_TABLE)
			break;
		m.spare = keel_tdp_alloc_table();
		if (!m.spare)
			return -ENOMEM;
	}
	keel_tdp_free_table(m.spare);

	if (ret == KEEL_TDP_NOT_THERE)
		return -ENOENT;
	if (ret == KEEL_TDP_STALE)
		return -EAGAIN;
	if (ret == KEEL_TDP_CONFLICT)
		keel_tdp_zap_conflict(vm, f->gfn, m.level);
	return KEEL_FAULT_FIXED;
}

/* vm->srcu held.  @f is filled in; or false, and *@ret is what keel_mmu_fault() returns. */
static bool find_slot(struct keel_vcpu *vcpu, gpa_t gpa, u32 access, struct tdp_fault *f, int *ret)
{
	struct keel_vm *vm = vcpu->vm;

	f->gfn = gpa >> PAGE_SHIFT;
	f->write = access & KEEL_ACC_WRITE;
	f->exec = access & KEEL_ACC_FETCH;
	f->slot = keel_gfn_to_slot(keel_slots(vm), f->gfn, &vcpu->tdp_slot_hint);
	if (!f->slot) {
		*ret = KEEL_FAULT_MMIO;
		return false;
	}
	if (f->slot->flags & KEEL_SLOT_MOVING) {
		*ret = KEEL_FAULT_FIXED;
		return false;
	}
	f->may_write = !(f->slot->flags & KVM_MEM_READONLY);
	f->log = f->slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
	if (f->write && !f->may_write) {
		*ret = KEEL_FAULT_READONLY;
		return false;
	}
	f->hva = keel_slot_hva(f->slot, f->gfn);
	return true;
}

/* vm->srcu held.  As keel_mmu_fault(), and -EAGAIN: begin again. */
static int handle(struct keel_vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct tdp_fault f;
	int ret;

	if (!find_slot(vcpu, gpa, access, &f, &ret))
		return ret;
	/*
	 * keel_mmu_fault_quick() has looked before, and most often found nothing.  A read of
	 * nothing brings the zero page, which wants get_user_pages().
	 */
	if (f.write && fault_in(&f)) {
		ret = map(vcpu, &f, true);
		if (ret != -ENOENT)
			return ret;
	}
	f.seq = READ_ONCE(vcpu->vm->tdp.notify_seq);
	/* Before the host's tables are read. */
	smp_rmb();
	ret = get_page_of(&f);
	if (ret == -EHWPOISON) {
		/* As if the thread had touched it: the client tells its guest. */
		send_sig_mceerr(BUS_MCEERR_AR, (void __user *)f.hva, PAGE_SHIFT, current);
		return KEEL_FAULT_FIXED;
	}
	if (ret)
		return ret;
	ret = map(vcpu, &f, false);
	if (f.page)
		put_page(f.page);
	return ret;
}

/**
 * keel_mmu_fault_quick() - handle a fault on memory that the host has mapped
 * @vcpu: the vCPU
 * @gpa: the guest-physical address
 * @access: KEEL_ACC_*
 *
 * Interrupts off, inside vm->srcu, by a thread of vm->mm; not with PREEMPT_RT.  Waits for nobody.
 * Return: enum keel_fault_result; -EAGAIN: keel_mmu_fault() has to.
 */
int keel_mmu_fault_quick(struct keel_vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct keel_vm *vm = vcpu->vm;
	enum keel_tdp_map_result done;
	struct keel_tdp_mapping m;
	struct tdp_fault f;
	int ret;

	if (access & KEEL_ACC_RSVD)
		return -EAGAIN;
	/* A slot that is about to go: the slow way, which lets others run, every time. */
	if (!find_slot(vcpu, gpa, access, &f, &ret))
		return ret == KEEL_FAULT_FIXED ? -EAGAIN : ret;
	if (!read_trylock(&vm->tdp.lock))
		return -EAGAIN;
	begin_mapping(&m, &f);
	done = map_host_locked(vcpu, &f, &m, KEEL_TDP_AROUND);
	read_unlock(&vm->tdp.lock);
	return done == KEEL_TDP_MAPPED || done == KEEL_TDP_PRESENT ? KEEL_FAULT_FIXED : -EAGAIN;
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
