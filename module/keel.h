/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine and a virtual CPU, and what the files of the module offer
 * each other.
 *
 * Every field is tagged with the lock that guards it, or its lifetime:
 *   C   constant once the object is published
 *   v   vcpu->mutex: only the thread that runs the vCPU (or an ioctl on it)
 *   V   vm->lock
 *   S   vm->slots_lock for writing, vm->srcu for reading
 *   M   vm->tdp.lock
 *   A   atomic, or its own lock as said there
 *
 * Lock order, outermost first:
 *   keel_hw_lock (main.c; not while a vCPU is loaded)
 *   vcpu->mutex
 *     vm->lock
 *       vm->slots_lock
 *         mmap_lock of vm->mm
 *           page-table locks of the host
 *             vm->tdp.lock (rwlock)
 *   vm->srcu may be entered under any of the mutexes and must be left before
 *   synchronize_srcu(); never take vm->lock or slots_lock inside it.
 *   vm->irqchip.resampler_lock, inside it .lock (mutexes: routing, ack notifiers); the
 *   innermost of the mutexes, may wait for vm->srcu.
 *   The wait-queue lock of an eventfd, inside it vm->irqchip.irqfd_lock (spinlocks, irqs off),
 *   inside either:
 *   pic.lock, ioapic.lock, apic_map_lock (raw spinlocks, irqs off), each alone; pit.lock holds
 *   none of them (it waits for the PIT's timer, whose callback takes the first two).
 *   Ack notifiers are called with none of these held, inside vm->srcu.
 *   Local APIC state has no lock: see irqchip/lapic.h.
 */
#ifndef KEEL_H
#define KEEL_H

#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/kvm_types.h>
#include <linux/hrtimer.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/preempt.h>
#include <linux/rbtree.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/srcu.h>
#include <linux/sched.h>
#include <linux/xarray.h>
#include <asm/fpu/types.h>

#include "backend.h"
#include "event.h"
#include "mmu/tdp.h"
#include "irqchip/irqchip.h"
#include "iobus.h"
#include "stats.h"

#define KEEL_MAX_VCPUS		256
#define KEEL_MAX_VCPU_ID	256
#define KEEL_MAX_CPUID_ENTRIES	256
#define KEEL_MAX_MSR_ENTRIES	256
#define KEEL_CPUID_RANGES	3
#define KEEL_CPUID_LEAVES	0x24
/* KVM_X86_GET_MCE_CAP_SUPPORTED: MCG_CTL, software error recovery; the low byte counts banks. */
#define KEEL_MCG_CAP_SUPPORTED	(BIT_ULL(8) | BIT_ULL(24))
/* Slots that user space may have; ids are below this. */
#define KEEL_USER_MEM_SLOTS	509
/* Bytes of the largest dirty ring: 65536 entries, as KVM has them. */
#define KEEL_DIRTY_RING_MAX	(65536 * sizeof(struct kvm_dirty_gfn))

/* Debug register bits (SDM, 'Debug Registers'). */
#define KEEL_DR6_FIXED	0xffff0ff0UL	/* read as 1; RTM and BLD are not offered */
#define KEEL_DR6_B	GENMASK(3, 0)
#define KEEL_DR6_BD	BIT(13)
#define KEEL_DR7_GD	BIT(13)
#define KEEL_DR7_ACTIVE	0xffUL		/* L0-L3, G0-G3 */

/* x86 encoding order; entry.S depends on it. */
enum keel_gpr {
	KEEL_RAX, KEEL_RCX, KEEL_RDX, KEEL_RBX, KEEL_RSP, KEEL_RBP, KEEL_RSI, KEEL_RDI,
	KEEL_R8, KEEL_R9, KEEL_R10, KEEL_R11, KEEL_R12, KEEL_R13, KEEL_R14, KEEL_R15,
	KEEL_NR_GPRS,
};

/* Bits of vcpu->requests: things to do before the next entry. */
enum keel_request {
	KEEL_REQ_TLB_FLUSH,	/* backend flush_tlb: the VM's tables changed */
	KEEL_REQ_GUEST_FLUSH,	/* ... the guest's own did, or how it uses them */
	KEEL_REQ_EVENT,		/* look again for events to inject */
	KEEL_REQ_CLOCK,		/* rewrite the guest's kvmclock page */
	KEEL_REQ_STEAL,		/* account steal time */
	KEEL_REQ_APIC_EVENT,	/* INIT or SIPI waits in lapic */
	KEEL_REQ_TIMER,		/* the local APIC's timer fired */
	KEEL_REQ_TRIPLE_FAULT,
	KEEL_REQ_IOAPIC_EOI,	/* split irqchip: tell user space of vcpu->lapic's pending EOI vector */
	KEEL_REQ_VM_DEAD,	/* KVM_RUN gives -EIO from now on */
	KEEL_REQ_TPR_ACCESS,	/* KVM_EXIT_TPR_ACCESS is due */
	KEEL_REQ_DRAIN,		/* leave the guest once: the CPU's list of pages is read then, or a kick looked at */
	KEEL_REQ_UNBLOCK,	/* wake from HLT and look around; nothing to do */
};

/* vcpu->mode: who must be sent an IPI to notice a request. */
enum keel_mode {
	KEEL_OUTSIDE,		/* will look at requests before it enters */
	KEEL_IN_GUEST,		/* between the last check and the exit */
	KEEL_EXITING,		/* has been kicked already */
};

/**
 * struct keel_memslot - one KVM_SET_USER_MEMORY_REGION
 * @base_gfn: first guest frame
 * @npages: number of 4K pages
 * @hva: where the first page is in vm->mm
 * @id: the client's number
 * @flags: KVM_MEM_*, KEEL_SLOT_MOVING
 * @dirty: a bit for each page that was written (dirty.c), with KVM_MEM_LOG_DIRTY_PAGES; the
 *	array is the same one in each set that has the slot
 */
struct keel_memslot {
	gfn_t base_gfn;
	unsigned long npages;
	unsigned long hva;
	unsigned long *dirty;
	u32 flags;
	u16 id;
};

/* The slot is about to move or to go: faults wait until it has. */
#define KEEL_SLOT_MOVING	BIT(16)

/**
 * struct keel_memslots - all slots of a VM, sorted by base_gfn; published whole
 * @generation: counts publications; caches compare it
 * @nr: entries in @slot
 */
struct keel_memslots {
	u64 generation;
	int nr;
	struct keel_memslot slot[];
};

/* gpa -> hva of one structure shared with the guest (kvmclock, steal time, PV EOI). */
struct keel_gpa_cache {
	u64 generation;		/* of the slots; ~0 invalid */
	gpa_t gpa;
	unsigned long hva;	/* 0: not memory */
	unsigned long len;
	const struct keel_memslot *slot;	/* of hva, in the set of that generation */
};

/**
 * struct keel_kvmclock - a VM's paravirtual clock (kvmclock.c)
 * @lock: guards all of it; raw, irqs off
 * @offset: guest boottime ns = host boottime ns + offset
 */
struct keel_kvmclock {
	raw_spinlock_t lock;
	s64 offset;
	bool use_master;
	u64 master_ns;		/* host boottime at the reference point */
	u64 master_tsc;		/* host TSC there */
	u64 epoch;		/* the suspend after which the point was taken */
	u64 wall_msr;
};

struct keel_vm {
	refcount_t users;		/* A: the fd, each vCPU fd, each statistics fd */
	struct mm_struct *mm;		/* C: mmgrab()bed; the creator's */
	struct mutex lock;		/* V: vCPU and irqchip creation, caps */
	struct mutex slots_lock;	/* S */
	struct srcu_struct srcu;	/* slots, buses, routing */
	bool dead;			/* A: READ_ONCE; set once, VM is only good for freeing */

	/* memory */
	struct keel_memslots __rcu *slots;	/* S */
	bool logging;				/* S, A: a slot's writes are logged, in bitmap or rings */
	struct keel_tdp tdp;			/* M */
	struct mmu_notifier notifier;		/* C */
	u64 tss_addr, identity_map_addr;	/* V: kept for the ABI */

	/* buses and interrupt controllers */
	struct keel_bus __rcu *bus[KEEL_NR_BUSES];	/* S */
	struct list_head ioeventfds;			/* S */
	struct keel_irqchip irqchip;			/* see irqchip.h */

	/* vCPUs: an entry is published with smp_store_release() and stays until the end */
	int nr_vcpus;				/* A: release after vcpus[] is set */
	u32 bsp_id;				/* V */
	struct keel_vcpu *vcpus[KEEL_MAX_VCPUS];

	/* time */
	struct keel_kvmclock clock;
	u32 default_tsc_khz;			/* V */
	raw_spinlock_t tsc_lock;		/* the next four */
	u64 tsc_last_ns, tsc_last_write;	/* for matching writes of several vCPUs */
	u64 tsc_cur_offset;
	u32 tsc_last_khz;

	/* capabilities turned on by KVM_ENABLE_CAP */
	u64 disabled_exits;			/* V, C once a vCPU exists: KVM_X86_DISABLE_EXITS_* */
	bool exception_payload;			/* V */
	u32 max_vcpu_ids;			/* V */
	bool x2apic_api_32bit;			/* V */
	bool x2apic_no_broadcast_quirk;		/* V */
	u64 disabled_quirks;			/* V */
	u32 dirty_manual;			/* A: KVM_DIRTY_LOG_* */
	u32 dirty_ring_size;			/* V, C once a vCPU exists: bytes; 0 none */

	struct keel_vm_stats stats;		/* A: relaxed */
	char stats_name[32];			/* C */
};

/* System-call and other MSRs the CPU holds for the guest; group KEEL_R_SYSMSR. */
struct keel_sysmsr {
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat;
	u64 tsc_aux;
	u64 spec_ctrl;
	u64 debugctl;
};

/**
 * struct keel_cpuid - what KVM_SET_CPUID2 set, and what follows from it
 */
struct keel_cpuid {
	int nent;
	struct kvm_cpuid_entry2 *entry;
	u8 maxphyaddr;
	u64 gpa_rsvd;		/* bits of a guest physical address that must be 0 */
	u64 xcr0_allowed;
	u64 cr4_allowed;
	u64 efer_allowed;
	u32 xsave_size;		/* of the enabled components: CPUID 0xD, subleaf 0, EBX */
	u32 xsavec_size;	/* compacted: subleaf 1, EBX */
	/* a function's first entry, or NULL: basic, hypervisor, extended */
	struct kvm_cpuid_entry2 *first[KEEL_CPUID_RANGES * KEEL_CPUID_LEAVES];
	u32 caps[NCAPINTS];	/* the guest's features in the kernel's word layout; keel_guest_has() */
	bool amd;		/* vendor string is AMD's (or Hygon's) */
};

/**
 * struct keel_dirty_ring - a vCPU's log of written pages (dirty_ring.c)
 * @entry: C: shared with the client; NULL without rings
 * @nr: C: how many, a power of two
 * @head: v: where the next goes; free-running, read by anybody
 * @tail: S: the oldest; free-running, read by anybody
 * @last_slot, @last_offset: v: what was put in last
 */
struct keel_dirty_ring {
	struct kvm_dirty_gfn *entry;
	u32 nr;
	u32 head, tail;
	u16 last_slot;
	u64 last_offset;
};

/* TSC as the guest sees it: guest = (host * ratio >> frac) + offset */
struct keel_tsc {
	u64 offset;		/* as set for the guest: without nested anything the hardware's too */
	u64 ratio;
	u32 khz;		/* virtual TSC frequency */
	u64 adjust;		/* IA32_TSC_ADJUST */
	bool catchup;		/* no hardware scaling and the guest's is faster: follow by offset */
	u64 ref_ns, ref_tsc;	/* the guest's TSC was ref_tsc at ref_ns; for catchup, unstable hosts */
	unsigned long followed;	/* jiffies when a new clock page was asked for last */
	int last_cpu;		/* where the TSC was loaded last */
	u64 lost_seen;		/* of what host TSCs lost in suspend, how much is in offset */
};

/* A port access that user space is to finish: where it began and how long its instruction is. */
struct keel_pending_pio {
	unsigned long rip;
	u8 insn_len;
	u8 size;
	bool in;
};

struct keel_emul_state;		/* emul_glue.c */
struct keel_mmio;			/* mmio.c */

struct keel_vcpu {
	/* ---- what each exit touches, first ---- */
	unsigned long gpr[KEEL_NR_GPRS];	/* v: RSP valid only if avail says so */
	unsigned long rip, rflags;		/* v */
	u32 avail, dirty;			/* v: KEEL_R_* */
	unsigned long requests;			/* A: enum keel_request */
	int mode;				/* A: enum keel_mode */
	int cpu;				/* A: where loaded; -1 not */
	struct keel_vm *vm;			/* C */
	struct kvm_run *run;			/* C; shared with user space: read once */
	struct keel_events events;		/* v; see event.h */
	bool fpu_live;				/* v: guest FPU state is in the registers */
	bool loaded;				/* v */
	u8 guest_cpl;				/* v: with KEEL_R_SS or KEEL_R_MODE */
	bool guest_cs_l;			/* v: with KEEL_R_MODE */
	unsigned long rcu_noted;		/* v: guest_ctx.h */
	u64 msr_data;				/* v: exit.c: of the RDMSR on its way */
	struct keel_exit exit;			/* v: run.c; why the guest stopped last */

	/* ---- registers, by group ---- */
	unsigned long cr0, cr2, cr3, cr4, cr8;	/* v: guest's values; cr8 only without lapic */
	u64 efer;
	struct kvm_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct kvm_dtable gdt, idt;
	u64 pdptr[4];				/* v: group KEEL_R_PDPTR */
	unsigned long dr[4], dr6, dr7;
	u8 int_shadow;				/* KVM_X86_SHADOW_INT_* */
	struct keel_sysmsr sysmsr;
	u64 xcr0, xss;
	struct keel_tsc tsc;			/* v */
	u64 apic_base;				/* v */
	u64 misc_enable, smi_count;		/* v */
	u64 mcg_cap, mcg_status, mcg_ctl, *mce_banks;	/* v */
	u64 mtrr[32];				/* v: see mtrr.c */
	u64 arch_caps, microcode, msr_platform_info, hwcr;	/* v */
	bool dr_live;				/* v: guest's DR0-3 are in the CPU */
	bool dr_open;				/* v: until the next exit, accesses do not exit;
						 * not with KEEL_WIN_NMI
						 */
	bool l1d_stale;				/* v: code has run since the last entry that may
						 * have brought what is not the guest's into
						 * the L1 data cache (L1TF)
						 */

	/* ---- the rest ---- */
	int idx, id;				/* C: index in vm->vcpus; APIC id */
	u64 serial;				/* C: names this vCPU for ever */
	struct mutex mutex;
	struct pid __rcu *pid;			/* the thread that runs it */
	struct rcuwait wait;			/* A: HLT sleeps here */
	sigset_t sigset;			/* v */
	bool sigset_active;
	u32 mp_state;				/* v (others only look): KVM_MP_STATE_* */
	bool pv_unhalted;			/* A */
	u64 halt_poll_ns;			/* v */

	struct keel_cpuid cpuid;		/* v */
	bool has_run;				/* v: CPUID is frozen */
	bool published;				/* V: in vm->vcpus */
	struct keel_lapic *lapic;		/* C; NULL without in-kernel local APIC */
	bool apicv;				/* v, A: the CPU delivers lapic's interrupts and EOIs */
	bool apicv_stale;			/* v: software changed what is in service */
	u64 exit_at;				/* v: guest TSC at which to leave the guest; 0 none */
	bool vapic;				/* v: a TPR in guest memory (vapic.c) */
	bool pv_eoi, pv_eoi_offered;		/* v: lapic.c: the guest wants it; may have used it */
	struct keel_fpu *fpu;			/* C: fpu.c */
	int tdp_slot_hint;			/* v: last slot used by a fault */
	int mem_slot_hint;			/* v: ... by software */
	struct keel_dirty_ring ring;

	/* user space has to finish an access: called on the next KVM_RUN; v */
	int (*complete_io)(struct keel_vcpu *vcpu);
	struct keel_exit failed_exit;		/* v: exit.c handles it again, ... */
	unsigned long failed_rip;		/* v: ... if RIP is still this */
	struct keel_pending_pio pio;
	void *pio_data;				/* C: second page of the run mapping */
	struct keel_emul_state *emul;		/* C */
	struct keel_mmio *mmio;			/* v: NULL before its first access */

	/* paravirtual: v */
	struct {
		u64 system_time_msr;
		struct keel_gpa_cache time;
		u32 version;
		bool guest_stopped;	/* KVM_KVMCLOCK_CTRL */
		u64 steal_msr, steal_last;
		bool steal_marked;	/* the guest has been told that this vCPU is off the CPU */
		struct keel_gpa_cache steal;
		u64 poll_control;
	} pv;

	struct keel_vcpu_stats stats;		/* v, read by anyone: relaxed */
};

/* ---- registers ------------------------------------------------------------------ */

void __keel_need(struct keel_vcpu *vcpu, u32 mask);

/**
 * keel_need() - make register groups readable in the vcpu struct
 * @mask: KEEL_R_*
 */
static inline void keel_need(struct keel_vcpu *vcpu, u32 mask)
{
	if (mask & ~vcpu->avail)
		__keel_need(vcpu, mask);
}

/**
 * keel_dirty() - say that the vcpu struct's value of these groups is the newer one
 * @mask: KEEL_R_*; a group must be whole, so keel_need() it before changing a part of it
 */
static inline void keel_dirty(struct keel_vcpu *vcpu, u32 mask)
{
	vcpu->avail |= mask;
	vcpu->dirty |= mask;
	if (mask & (KEEL_R_CS | KEEL_R_SS))
		vcpu->avail &= ~KEEL_R_MODE;
}

static inline unsigned long keel_gpr_get(struct keel_vcpu *vcpu, int reg)
{
	if (reg == KEEL_RSP)
		keel_need(vcpu, KEEL_R_RSP);
	return vcpu->gpr[reg & (KEEL_NR_GPRS - 1)];
}

static inline void keel_gpr_set(struct keel_vcpu *vcpu, int reg, unsigned long val)
{
	vcpu->gpr[reg & (KEEL_NR_GPRS - 1)] = val;
	if (reg == KEEL_RSP)
		keel_dirty(vcpu, KEEL_R_RSP);
}

static inline unsigned long keel_rip(struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_RIP);
	return vcpu->rip;
}

static inline void keel_set_rip(struct keel_vcpu *vcpu, unsigned long rip)
{
	vcpu->rip = rip;
	keel_dirty(vcpu, KEEL_R_RIP);
}

static inline unsigned long keel_rflags(struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_RFLAGS);
	return vcpu->rflags;
}

static inline void keel_set_rflags(struct keel_vcpu *vcpu, unsigned long rflags)
{
	vcpu->rflags = rflags | X86_EFLAGS_FIXED;
	keel_dirty(vcpu, KEEL_R_RFLAGS);
	set_bit(KEEL_REQ_EVENT, &vcpu->requests);
}

static inline bool keel_long_mode(struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_EFER);
	return vcpu->efer & EFER_LMA;
}

/* In 64-bit mode proper (CS.L), not compatibility mode. */
static inline bool keel_64bit(struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_MODE);
	return keel_long_mode(vcpu) && vcpu->guest_cs_l;
}

static inline int keel_cpl(struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_MODE);
	return vcpu->guest_cpl;
}

/*
 * regs.c: each returns 0, or 1 if the guest is to get a #GP (nothing changed then); those that
 * load PDPTEs -EFAULT as well.
 */
int keel_set_cr0(struct keel_vcpu *vcpu, unsigned long cr0);
int keel_set_cr3(struct keel_vcpu *vcpu, unsigned long cr3);
int keel_set_cr4(struct keel_vcpu *vcpu, unsigned long cr4);
int keel_set_cr8(struct keel_vcpu *vcpu, unsigned long cr8);
unsigned long keel_get_cr8(struct keel_vcpu *vcpu);
int keel_set_efer(struct keel_vcpu *vcpu, u64 efer, bool host);
int keel_set_xcr(struct keel_vcpu *vcpu, u32 index, u64 xcr);
int keel_set_dr(struct keel_vcpu *vcpu, int dr, unsigned long val);
unsigned long keel_get_dr(struct keel_vcpu *vcpu, int dr);
void keel_regs_reset(struct keel_vcpu *vcpu, bool init);
/* The guest had the debug registers to itself (dr_open): its DR6 and DR7, after the exit. */
void keel_dr_take_back(struct keel_vcpu *vcpu, unsigned long dr6, unsigned long dr7);
/* DR7 is read back where the guest could write it, so the vcpu's copy is good. */
static inline bool keel_wants_dr(const struct keel_vcpu *vcpu)
{
	return (vcpu->dr7 & KEEL_DR7_ACTIVE) || vcpu->dr_open;
}
void keel_switch_guest_dr(struct keel_vcpu *vcpu);	/* irqs off, before entry */
void keel_switch_host_dr(struct keel_vcpu *vcpu);	/* irqs off, after exit */
int keel_get_regs(struct keel_vcpu *vcpu, struct kvm_regs *regs);
int keel_set_regs(struct keel_vcpu *vcpu, struct kvm_regs *regs);
int keel_get_sregs(struct keel_vcpu *vcpu, struct kvm_sregs *sregs);
int keel_set_sregs(struct keel_vcpu *vcpu, struct kvm_sregs *sregs);
int keel_get_sregs2(struct keel_vcpu *vcpu, struct kvm_sregs2 *sregs);
int keel_set_sregs2(struct keel_vcpu *vcpu, struct kvm_sregs2 *sregs);
int keel_get_debugregs(struct keel_vcpu *vcpu, struct kvm_debugregs *d);
int keel_set_debugregs(struct keel_vcpu *vcpu, struct kvm_debugregs *d);

/* fpu.c */
int keel_fpu_module_init(void);
void keel_fpu_module_exit(void);
int keel_fpu_create(struct keel_vcpu *vcpu);
void keel_fpu_free(struct keel_vcpu *vcpu);
void keel_fpu_reset(struct keel_vcpu *vcpu, bool init);
void keel_fpu_load(struct keel_vcpu *vcpu);	/* begins a section: preemption off on return */
void keel_fpu_put(struct keel_vcpu *vcpu);	/* ends it; no-op when not live */
void keel_fpu_xmm_get(struct keel_vcpu *vcpu, int reg, u8 data[16]);	/* not live */
void keel_fpu_xmm_set(struct keel_vcpu *vcpu, int reg, const u8 data[16]);
u32 keel_fpu_pkru(struct keel_vcpu *vcpu);	/* the guest's; ends the section if live */
/* Around accesses to user memory that may be made with the state live. */
u32 keel_fpu_user_begin(struct keel_vcpu *vcpu);
void keel_fpu_user_end(struct keel_vcpu *vcpu, u32 guest);
u64 keel_fpu_xcr0_supported(void);		/* 0 without XSAVE */
u32 keel_fpu_xsave_size(u64 xcr0);		/* bytes, standard format */
int keel_get_fpu(struct keel_vcpu *vcpu, struct kvm_fpu *fpu);
int keel_set_fpu(struct keel_vcpu *vcpu, struct kvm_fpu *fpu);
int keel_get_xsave(struct keel_vcpu *vcpu, void __user *dst, size_t size);
int keel_set_xsave(struct keel_vcpu *vcpu, const void __user *src);
int keel_get_xcrs(struct keel_vcpu *vcpu, struct kvm_xcrs *xcrs);
int keel_set_xcrs(struct keel_vcpu *vcpu, struct kvm_xcrs *xcrs);

/* cpuid.c */
int keel_cpuid_module_init(void);		/* builds the supported set, after hw_setup */
int keel_cpuid_ioctl_supported(struct kvm_cpuid2 __user *u, bool emulated);
int keel_cpuid_ioctl_set(struct keel_vcpu *vcpu, struct kvm_cpuid2 __user *u);
int keel_cpuid_ioctl_get(struct keel_vcpu *vcpu, struct kvm_cpuid2 __user *u);
void keel_cpuid_free(struct keel_vcpu *vcpu);
/* As CPUID does for the guest, out-of-range rules included: in four words, or in its registers. */
void keel_cpuid(struct keel_vcpu *vcpu, u32 regs[4]);
void keel_cpuid_exec(struct keel_vcpu *vcpu);
bool keel_guest_has(struct keel_vcpu *vcpu, unsigned int x86_feature);
bool keel_supported(unsigned int x86_feature);	/* keel can give it to a guest at all */
void keel_cpuid_runtime_update(struct keel_vcpu *vcpu);	/* OSXSAVE, APIC bit, XSAVE sizes follow CRs */

/* msr.c; both: 0, 1 for #GP (guest) / stop counting (user space), or -EFAULT */
bool keel_msr_may_sleep(u32 msr);	/* if not, both may be called with the vCPU loaded */
int keel_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int keel_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
int keel_msr_index_list(struct kvm_msr_list __user *u, bool features);
int keel_msr_feature_get(u32 msr, u64 *data);	/* system-level KVM_GET_MSRS */
int keel_msr_vcpu_init(struct keel_vcpu *vcpu);
void keel_msr_vcpu_free(struct keel_vcpu *vcpu);
void keel_msr_reset(struct keel_vcpu *vcpu, bool init);
int keel_setup_mce(struct keel_vcpu *vcpu, u64 mcg_cap);
int keel_set_mce(struct keel_vcpu *vcpu, struct kvm_x86_mce *mce);
void keel_deliver_machine_check(void);		/* the host's, on this CPU; irqs off */
/* msr_spec.c: the guest may use SPEC_CTRL, PRED_CMD */
bool keel_guest_has_spec_ctrl(struct keel_vcpu *vcpu);
bool keel_guest_has_ibpb(struct keel_vcpu *vcpu);

/* tsc.c */
void keel_tsc_module_init(void);
int keel_tsc_vcpu_init(struct keel_vcpu *vcpu);
u64 keel_guest_tsc(struct keel_vcpu *vcpu, u64 host_tsc);
bool keel_tsc_is_scaled(const struct keel_tsc *tsc);
void keel_tsc_write(struct keel_vcpu *vcpu, u64 guest_tsc, bool host);
void keel_tsc_adjust_write(struct keel_vcpu *vcpu, u64 adjust);
int keel_set_tsc_khz(struct keel_vcpu *vcpu, u32 khz);
int keel_vm_set_tsc_khz(struct keel_vm *vm, u32 khz);	/* vCPUs to come; 0: the host's */
void keel_tsc_put(struct keel_vcpu *vcpu);
void keel_tsc_load(struct keel_vcpu *vcpu, int cpu);	/* another CPU: unsynchronised TSCs */

/* kvmclock.c: clock, wall clock; the PV MSRs, steal.c's among them */
void keel_clock_vm_init(struct keel_vm *vm);
int keel_clock_module_init(void);
void keel_clock_module_exit(void);
int keel_get_clock(struct keel_vm *vm, struct kvm_clock_data *data);
int keel_set_clock(struct keel_vm *vm, struct kvm_clock_data *data);
int keel_kvmclock_ctrl(struct keel_vcpu *vcpu);
int keel_pv_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data);	/* -ENOENT: not a PV MSR */
int keel_pv_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
void keel_pv_reset(struct keel_vcpu *vcpu);
int keel_clock_update(struct keel_vcpu *vcpu);	/* KEEL_REQ_CLOCK; may sleep */
int keel_steal_update(struct keel_vcpu *vcpu);	/* KEEL_REQ_STEAL; may sleep */
void keel_steal_preempted(struct keel_vcpu *vcpu);	/* at put, preemption off; must not sleep */

/* hypercall.c: returns keel_result; RAX etc. from vcpu */
int keel_hypercall(struct keel_vcpu *vcpu);
/*
 * After the exit: can this one be served without sleeping?  What a 64-bit guest may have above
 * 32 bits makes it a number that nobody knows.
 */
static inline bool keel_hypercall_is_atomic(const struct keel_vcpu *vcpu)
{
	u32 nr = vcpu->gpr[KEEL_RAX];

	return nr == KVM_HC_VAPIC_POLL_IRQ || nr == KVM_HC_SEND_IPI;
}

/* ---- memory --------------------------------------------------------------------- */

/* memslot.c */
int keel_slots_vm_init(struct keel_vm *vm);
void keel_slots_vm_destroy(struct keel_vm *vm);
int keel_set_memory_region(struct keel_vm *vm,
			   const struct kvm_userspace_memory_region *r);	/* slots_lock held */
/* Inside vm->srcu. */
const struct keel_memslot *keel_gfn_to_slot(struct keel_memslots *slots, gfn_t gfn, int *hint);
const struct keel_memslot *keel_slot_by_id(const struct keel_memslots *slots, u16 id);
static inline struct keel_memslots *keel_slots(struct keel_vm *vm)
{
	return srcu_dereference_check(vm->slots, &vm->srcu, lockdep_is_held(&vm->slots_lock));
}

static inline unsigned long keel_slot_hva(const struct keel_memslot *s, gfn_t gfn)
{
	/* The guest chose the gfn. */
	return s->hva + (array_index_nospec(gfn - s->base_gfn, s->npages) << PAGE_SHIFT);
}

/* dirty.c; slots_lock held for the first three, taken by the ioctls */
int keel_dirty_slot_init(struct keel_vm *vm, struct keel_memslot *slot,
			 const struct keel_memslot *old);
bool keel_dirty_starts_set(struct keel_vm *vm);
void keel_dirty_slot_free(const struct keel_memslot *slot, const struct keel_memslot *heir);
void keel_dirty_mark(struct keel_vcpu *vcpu, const struct keel_memslot *slot, gfn_t gfn);
void keel_dirty_mark_gpa(struct keel_vcpu *vcpu, gpa_t gpa);
int keel_get_dirty_log(struct keel_vm *vm, const struct kvm_dirty_log *log);
int keel_clear_dirty_log(struct keel_vm *vm, const struct kvm_clear_dirty_log *log);

/* dirty_ring.c */
int keel_dirty_ring_enable(struct keel_vm *vm, u64 size);
int keel_dirty_ring_create(struct keel_vcpu *vcpu);
void keel_dirty_ring_free(struct keel_vcpu *vcpu);
struct page *keel_dirty_ring_page(struct keel_vcpu *vcpu, unsigned long pgoff);
bool keel_dirty_ring_within(struct keel_vcpu *vcpu, unsigned long pgoff, unsigned long n);
bool keel_dirty_ring_full(struct keel_vcpu *vcpu);
void keel_dirty_ring_push(struct keel_vcpu *vcpu, u16 slot, u64 offset);
int keel_dirty_rings_reset(struct keel_vm *vm);

/*
 * guest_mem.c: copies may sleep; 0, -EFAULT, or -ENXIO for what is no memory; they enter vm->srcu
 * themselves.  Writes are some vCPU's, by the thread that holds its mutex: the log of dirty pages
 * may be one a vCPU.
 */
int keel_gpa_read(struct keel_vm *vm, gpa_t gpa, void *dst, size_t len);
int keel_gpa_write(struct keel_vcpu *vcpu, gpa_t gpa, const void *src, size_t len);
/* *ok: exchanged; 0, -EFAULT, or -EINVAL for a bad size or an operand over a page's end */
int keel_gpa_cmpxchg(struct keel_vcpu *vcpu, gpa_t gpa, const void *old, const void *new,
		     size_t len, bool *ok);
int keel_gpa_cache_init(struct keel_vm *vm, struct keel_gpa_cache *c, gpa_t gpa, size_t len);
int keel_gpa_cache_read(struct keel_vm *vm, struct keel_gpa_cache *c, void *dst,
			size_t off, size_t len);
int keel_gpa_cache_write(struct keel_vcpu *vcpu, struct keel_gpa_cache *c, const void *src,
			 size_t off, size_t len);
/* The same without sleeping (page faults disabled): -EFAULT if the page is not there. */
int keel_gpa_cache_write_atomic(struct keel_vcpu *vcpu, struct keel_gpa_cache *c,
				const void *src, size_t off, size_t len);
int keel_gpa_cache_read_atomic(struct keel_vm *vm, struct keel_gpa_cache *c, void *dst,
			       size_t off, size_t len);

/* notifier.c */
int keel_notifier_register(struct keel_vm *vm);
void keel_notifier_unregister(struct keel_vm *vm);

/* ---- lifetimes ------------------------------------------------------------------ */

/* main.c */
int keel_hw_get(void);		/* first VM: turn the extension on everywhere; 0, -EBUSY, -EIO, -ENODEV */
void keel_hw_put(void);
extern unsigned int keel_halt_poll_ns;
extern bool keel_rebooting;

/* vm.c */
int keel_vm_create_fd(unsigned long type);
void keel_vm_get(struct keel_vm *vm);
void keel_vm_put(struct keel_vm *vm);
struct keel_vcpu *keel_vcpu_by_id(struct keel_vm *vm, u32 id);
bool keel_vm_request(struct keel_vm *vm, enum keel_request req, bool wait);
void keel_vm_kill(struct keel_vm *vm);
int keel_vm_cap(struct keel_vm *vm, long cap);		/* KVM_CHECK_EXTENSION; vm may be NULL */

/* Walk the published vCPUs. */
#define keel_for_each_vcpu(i, vcpu, vm)						\
	for ((i) = 0; (i) < smp_load_acquire(&(vm)->nr_vcpus) &&		\
		      ((vcpu) = READ_ONCE((vm)->vcpus[i]), true); (i)++)

/* vcpu.c */
int keel_vcpu_create_fd(struct keel_vm *vm, u32 id);
void keel_vcpu_destroy(struct keel_vcpu *vcpu);
void keel_vcpu_reset(struct keel_vcpu *vcpu, bool init);
void keel_vcpu_load(struct keel_vcpu *vcpu);
void keel_vcpu_put(struct keel_vcpu *vcpu);
void keel_vcpu_kick(struct keel_vcpu *vcpu);	/* wake from HLT or force an exit; any context */
void keel_vcpu_wake(struct keel_vcpu *vcpu);	/* wake from HLT only */

/* Ask, without a kick. */
static inline void keel_request(struct keel_vcpu *vcpu, enum keel_request req)
{
	/* What the request is about must be seen by who sees the request. */
	smp_mb__before_atomic();
	set_bit(req, &vcpu->requests);
	smp_mb__after_atomic();
}

/* run.c */
int keel_vcpu_run(struct keel_vcpu *vcpu);
int keel_vcpu_halt(struct keel_vcpu *vcpu);	/* HLT: KEEL_RESUME or KEEL_TO_USER */
bool keel_vcpu_runnable(struct keel_vcpu *vcpu);
void keel_request_triple_fault(struct keel_vcpu *vcpu);
int keel_internal_error(struct keel_vcpu *vcpu, u32 suberror, int ndata, const u64 *data);
int keel_get_mp_state(struct keel_vcpu *vcpu, struct kvm_mp_state *s);
int keel_set_mp_state(struct keel_vcpu *vcpu, struct kvm_mp_state *s);

/* inject.c: queue events from anywhere in the vCPU's own thread */
void keel_queue_exception(struct keel_vcpu *vcpu, u8 vector);
void keel_queue_exception_e(struct keel_vcpu *vcpu, u8 vector, u32 error);
void keel_queue_page_fault(struct keel_vcpu *vcpu, u64 addr, u32 error);
void keel_queue_db(struct keel_vcpu *vcpu, unsigned long dr6_bits);
int keel_inject_gp(struct keel_vcpu *vcpu, u32 error);	/* queues #GP, returns KEEL_RESUME */
void keel_queue_nmi(struct keel_vcpu *vcpu);		/* any context */
bool keel_user_irq_possible(struct keel_vcpu *vcpu);	/* KVM_INTERRUPT makes sense now */
void keel_inject_events(struct keel_vcpu *vcpu);	/* before entry */
int keel_get_vcpu_events(struct keel_vcpu *vcpu, struct kvm_vcpu_events *e);
int keel_set_vcpu_events(struct keel_vcpu *vcpu, struct kvm_vcpu_events *e);
int keel_interrupt(struct keel_vcpu *vcpu, u32 vector);	/* KVM_INTERRUPT */

/* exit.c: also for the emulator's use */
int keel_skip(struct keel_vcpu *vcpu, u8 len);
void keel_advance_rip(struct keel_vcpu *vcpu, u8 len);
void keel_queue_step(struct keel_vcpu *vcpu, bool branch);
u32 keel_exception_exits(const struct keel_vcpu *vcpu);
unsigned long keel_cr_get(struct keel_vcpu *vcpu, u8 cr);
int keel_cr_set(struct keel_vcpu *vcpu, u8 cr, unsigned long val);	/* 1: #GP */

/* task_switch.c */
int keel_task_switch(struct keel_vcpu *vcpu, struct keel_exit *exit);	/* KEEL_EXIT_TASK_SWITCH */

/* emul_glue.c */
int keel_emul_create(struct keel_vcpu *vcpu);
void keel_emul_free(struct keel_vcpu *vcpu);
int keel_emulate(struct keel_vcpu *vcpu, const struct keel_exit *exit);
int keel_emulate_mmio(struct keel_vcpu *vcpu, const struct keel_exit *exit);
int keel_emulate_ud(struct keel_vcpu *vcpu, const struct keel_exit *exit);
/* Fills in exit->insn_len; may sleep.  0; 1: it cannot be skipped, resume; or -EFAULT. */
int keel_find_length(struct keel_vcpu *vcpu, struct keel_exit *exit);
/* Port access of an exit that needs no emulator; its insn_len is known. */
int keel_pio(struct keel_vcpu *vcpu, const struct keel_exit *exit);

/* ioctl.c and its tables */
extern const struct file_operations keel_dev_fops, keel_vm_fops, keel_vcpu_fops;

#endif
