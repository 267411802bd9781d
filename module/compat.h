/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file with a kernel version number in it.  What is here has the name
 * and the meaning of the newest kernel that it is built for, and makes older
 * ones look like it.
 */
#ifndef KEEL_COMPAT_H
#define KEEL_COMPAT_H

#include <linux/version.h>

#ifdef __ASSEMBLY__
/*
 * 6.4 renamed it.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define VALIDATE_UNRET_END	ANNOTATE_UNRET_END
#endif
/*
 * 6.17 renamed it; kernels from before April 2024 do not have it: never then.
 */
#include <asm/cpufeatures.h>
#ifdef X86_FEATURE_CLEAR_BHB_VMEXIT
#define X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT	X86_FEATURE_CLEAR_BHB_VMEXIT
#elif !defined(X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT)
#define X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT	ALT_NOT(X86_FEATURE_ALWAYS)
#endif
#else

#include <linux/context_tracking.h>
#include <linux/cpu.h>
#include <linux/eventfd.h>
#include <linux/hardirq.h>
#include <linux/hrtimer.h>
#include <linux/instrumentation.h>
#include <linux/interrupt.h>
#include <linux/irqflags.h>
#include <linux/kvm.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcutree.h>
#include <linux/smp.h>
#include <linux/vtime.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/reboot.h>

/*
 * 6.8 dropped the count from eventfd_signal(): it had always been 1.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
static inline void keel_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx);
}
#else
static inline void keel_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx, 1);
}
#endif

/*
 * 6.2 dropped the CPU's number, which had never been used.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define keel_rcu_note_guest()	rcu_virt_note_context_switch()
#else
#define keel_rcu_note_guest()	rcu_virt_note_context_switch(smp_processor_id())
#endif

/*
 * MSRs that are there and take any value that software has for them: without the tables of
 * paravirtualisation, and without tracing.  6.16 renamed both.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define keel_rdmsr(msr)		native_rdmsrq(msr)
#define keel_wrmsr(msr, val)	native_wrmsrq(msr, val)
#else
#define keel_rdmsr(msr)		__rdmsr(msr)
#define keel_wrmsr(msr, val)	native_wrmsrl(msr, val)
#endif

/*
 * 6.4 made smp_send_reschedule() a macro with a tracepoint in it.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#include <trace/events/ipi.h>
#endif

/*
 * VMSCAPE: kernels that know of it take a barrier on the way to user mode, but only with KVM.
 */
#if defined(X86_BUG_VMSCAPE) && !IS_ENABLED(CONFIG_MITIGATION_VMSCAPE)
static inline bool keel_host_lacks_exit_barrier(void)
{
	return boot_cpu_has_bug(X86_BUG_VMSCAPE) && !cpu_mitigations_off();
}
#else
static inline bool keel_host_lacks_exit_barrier(void)
{
	return false;
}
#endif

/*
 * What newer kernels know of IA32_ARCH_CAPABILITIES.
 */
#ifndef ARCH_CAP_BHI_NO
#define ARCH_CAP_BHI_NO		BIT_ULL(20)
#endif
#ifndef ARCH_CAP_GDS_NO
#define ARCH_CAP_GDS_NO		BIT_ULL(26)
#endif
#ifndef ARCH_CAP_RFDS_NO
#define ARCH_CAP_RFDS_NO	BIT_ULL(27)
#define ARCH_CAP_RFDS_CLEAR	BIT_ULL(28)
#endif
#ifndef ARCH_CAP_ITS_NO
#define ARCH_CAP_ITS_NO		BIT_ULL(62)
#endif

/*
 * 6.11 renamed immediate_exit for the kernel, which is to read it once: user space writes it.
 */
#ifdef HINT_UNSAFE_IN_KVM
static inline bool keel_immediate_exit(const struct kvm_run *run)
{
	return READ_ONCE(run->immediate_exit__unsafe);
}
#else
static inline bool keel_immediate_exit(const struct kvm_run *run)
{
	return READ_ONCE(run->immediate_exit);
}
#endif

/*
 * The host's entry for @addr, of a vma without reference counts; mmap_lock held.  6.12 brought
 * follow_pfnmap_start(), which knows large entries as well, and took follow_pte() away; 6.10
 * had made that take a vma.
 */
struct keel_host_pte {
	unsigned long pfn;
	bool writable;
	bool write_back;
};

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline int keel_follow_pte(struct vm_area_struct *vma, unsigned long addr,
				  struct keel_host_pte *pte)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int ret = follow_pfnmap_start(&args);

	if (ret)
		return ret;
	pte->pfn = args.pfn;
	pte->writable = args.writable;
	/* In a large entry _PAGE_PAT is PSE, and it counts as not write-back: none for RAM. */
	pte->write_back = !(pgprot_val(args.pgprot) & _PAGE_CACHE_MASK);
	follow_pfnmap_end(&args);
	return 0;
}
#else
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define KEEL_PTES_OF(vma)	(vma)
#else
#define KEEL_PTES_OF(vma)	((vma)->vm_mm)
#endif
static inline int keel_follow_pte(struct vm_area_struct *vma, unsigned long addr,
				  struct keel_host_pte *pte)
{
	spinlock_t *ptl;
	pte_t *ptep;
	int ret;

	ret = follow_pte(KEEL_PTES_OF(vma), addr, &ptep, &ptl);
	if (ret)
		return ret;
	/* Sparse does not know that follow_pte() takes it. */
	__acquire(ptl);
	pte->pfn = pte_pfn(*ptep);
	pte->writable = pte_write(*ptep);
	pte->write_back = !(pte_flags(*ptep) & _PAGE_CACHE_MASK);
	pte_unmap_unlock(ptep, ptl);
	return 0;
}
#endif

/*
 * Up to 6.5 the kernel turns the mode off by itself where it stops CPUs in panic, emergency
 * restart and crash kexec, whoever turned it on.  6.6 calls back who registered, and has
 * one place, if it was built with KVM at all; otherwise nobody can.  Up to 6.11 KVM's
 * vendor module has that place from its load on, and turns the mode off whoever turned it on;
 * to register besides would be a WARN.  From 6.12 KVM has it while it has the CPUs' mode, when
 * keel does not.  6.19 keeps the function for KVM's modules, and nobody else can.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0) && \
	LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0) && \
	(IS_ENABLED(CONFIG_KVM_INTEL) || IS_ENABLED(CONFIG_KVM_AMD))
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
extern bool kvm_rebooting;

static inline bool keel_emergency_place_free(void)
{
	if (!symbol_get(kvm_rebooting))
		return true;
	symbol_put(kvm_rebooting);
	return false;
}
#else
static inline bool keel_emergency_place_free(void)
{
	return true;
}
#endif

/* True: @fn will be called on each CPU, interrupts off or in an NMI, and must be unregistered. */
static inline bool keel_emergency_register(void (*fn)(void))
{
	if (!keel_emergency_place_free())
		return false;
	cpu_emergency_register_virt_callback(fn);
	return true;
}

/* Waits until no CPU is in @fn. */
static inline void keel_emergency_unregister(void (*fn)(void))
{
	cpu_emergency_unregister_virt_callback(fn);
}
#else
static inline bool keel_emergency_register(void (*fn)(void))
{
	return false;
}

static inline void keel_emergency_unregister(void (*fn)(void))
{
}
#endif

/*
 * From 6.15 on a section of kernel_fpu_begin() holds softirqs off, and the end of an interrupt
 * neither runs them nor wakes their thread: who stays in the section has to look.  Before, and
 * with PREEMPT_RT, it only holds preemption off.  Preemption off.
 */
static inline bool keel_softirqs_wait(void)
{
	return LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0) && !IS_ENABLED(CONFIG_PREEMPT_RT) &&
	       local_softirq_pending();
}

/*
 * 6.9 brought FRED, and with it another way for a VM exit's NMI.
 */
#ifdef X86_FEATURE_FRED
static inline bool keel_host_fred(void)
{
	return cpu_feature_enabled(X86_FEATURE_FRED);
}
#else
static inline bool keel_host_fred(void)
{
	return false;
}
#endif

/*
 * Kernels that were built for KVM on Intel note where an interrupt has touched memory, since the
 * L1 data cache was flushed last; others have to be taken for having done so.
 */
#if IS_ENABLED(CONFIG_KVM_INTEL)
static inline bool keel_l1d_touched(void)
{
	return kvm_get_cpu_l1tf_flush_l1d();
}

static inline void keel_l1d_clear_touched(void)
{
	kvm_clear_cpu_l1tf_flush_l1d();
}

/* l1tf=off, or no mitigations at all. */
static inline bool keel_l1tf_ignored(void)
{
	return l1tf_mitigation == L1TF_MITIGATION_OFF;
}

/* l1tf=full: at each entry, whatever ran before it. */
static inline bool keel_l1tf_full(void)
{
	return l1tf_mitigation >= L1TF_MITIGATION_FULL;
}
#else
static inline bool keel_l1d_touched(void)
{
	return true;
}

static inline void keel_l1d_clear_touched(void)
{
}

static inline bool keel_l1tf_ignored(void)
{
	return cpu_mitigations_off();
}

static inline bool keel_l1tf_full(void)
{
	return false;
}
#endif

/*
 * 6.13 brought hrtimer_setup(), 6.15 took hrtimer_init() away.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*fn)(struct hrtimer *timer),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
}
#endif

#endif /* __ASSEMBLY__ */
#endif
