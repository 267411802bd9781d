/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the VMX back end offer each other. */
#ifndef KEEL_VMX_H
#define KEEL_VMX_H

#include <linux/list.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/desc_defs.h>

#include "../keel.h"
#include "switch.h"
#include "vmcs.h"

/* The fields of controls, kept in vmx_vcpu.ctl as the VMCS is to have them. */
enum vmx_ctl {
	VMX_CTL_PIN, VMX_CTL_CPU, VMX_CTL_CPU2, VMX_CTL_ENTRY, VMX_CTL_EXCEPTIONS,
	VMX_CTL_TPR_THRESHOLD, VMX_NR_CTLS,
};

/* Bits of vmx_vcpu.stale: what the next entry has to see to. */
#define STALE_CTL(ctl)	BIT(ctl)	/* a control field differs from vmx_vcpu.ctl */
#define STALE_OWNED	BIT(8)		/* so do the masks of CR0 and CR4 */
#define STALE_EPTP	BIT(9)		/* and the EPT pointer */
#define STALE_EPT_TLB	BIT(10)		/* guest-physical mappings are to be forgotten */
#define STALE_GUEST_TLB	BIT(11)		/* the guest's own are */
/* For as long as they are set, at each entry. */
#define STALE_PEBS	BIT(12)		/* PEBS_ENABLE may have been written by an NMI */
#define STALE_L1D	BIT(13)		/* the L1 data cache may have to be flushed */

/**
 * struct vmx_caps - what the CPU has; fixed after hw_setup
 * @pin, @cpu, @cpu2, @exit, @entry: the control fields' values for a vCPU that needs nothing
 *	special: what keel always wants, and what the CPU demands
 * @revision: VMCS revision identifier
 * @vpid, @invvpid_single: use them; INVVPID of a single context, else of all
 * @invept_single: INVEPT of a single context, else of all
 * @ept_ad: accessed and dirty bits
 * @tpr_shadow, @apicv, @preempt_timer, @ple, @pml, @tsc_scaling, @encls, @rdtscp, @invpcid,
 *	@waitpkg, @rdrand_exit, @rdseed_exit: the controls of these names
 * @timer_shift: the preemption timer counts once in so many ticks of the TSC, log2
 * @spec_ctrl, @ibpb: the CPU has these MSRs
 * @debugctl: the CPU has this MSR; an emulated one may not
 * @pebs: host counters may write records to memory
 * @l1d_flush: before which entries the L1 data cache is emptied of the host's data (L1TF)
 */
struct vmx_caps {
	u32 pin, cpu, cpu2, exit, entry;
	u32 revision;
	bool vpid, invvpid_single, invept_single, ept_ad;
	bool tpr_shadow, apicv, preempt_timer, ple, pml, tsc_scaling, encls;
	bool rdtscp, invpcid, waitpkg, rdrand_exit, rdseed_exit;
	u8 timer_shift;
	bool spec_ctrl, ibpb, debugctl, pebs;
	enum vmx_l1d_flush { L1D_FLUSH_NEVER, L1D_FLUSH_IF_STALE, L1D_FLUSH_ALWAYS } l1d_flush;
};
extern struct vmx_caps vmx_caps;

struct vmx_vcpu;

/**
 * struct vmx_cpu - one physical CPU; touched by it alone, preemption off
 * @on: VMX is on, by keel
 * @current_vcpu: whose VMCS is current
 * @vcpus: those whose VMCS is active here; interrupts off to change it, and at each moment
 *	fit to be walked forwards by an NMI
 * @vmxon: the region for VMXON
 * @pml: page of the page-modification log, of the vCPU whose VMCS is current; or NULL
 * @gdt: the host's GDTR while a vCPU is loaded
 * @fs, @gs, @ds, @es, @ldt: its selectors that a VM exit does not bring back
 * @kernel_gs_base: user mode's GS base
 * @umwait: IA32_UMWAIT_CONTROL of the host, while a guest's is in force
 * @host: the MSRs of these names as the host has them; a loaded vCPU's own are vcpu->sysmsr's
 */
struct vmx_cpu {
	bool on;
	struct vmx_vcpu *current_vcpu;
	struct list_head vcpus;
	struct vmcs *vmxon;
	u64 *pml;
	struct desc_ptr gdt;
	u16 fs, gs, ds, es, ldt;
	unsigned long kernel_gs_base;
	u32 umwait;
	struct vmx_syscall_msrs {
		u64 star, lstar, cstar, sfmask, tsc_aux;
	} host;
};
DECLARE_PER_CPU(struct vmx_cpu, vmx_cpus);

struct vmx_vm {
	struct keel_vm vm;
};

/* MSRs of the host that the exit does not bring back, or that must not work in the guest. */
struct vmx_host_perf {
	u64 debugctl, pebs;
};

#define PLE_WINDOW_TICKS	4096	/* of a loop around PAUSE, until an exit, */
#define PLE_WINDOW_MAX		(64 * PLE_WINDOW_TICKS)	/* at most */

/* What the VMCS holds of the host, so that a field is written when it changes. */
struct vmx_host_state {
	unsigned long cr3, cr4, fs_base;
	u16 fs, gs;
};

/**
 * struct vmx_vcpu - all v (vcpu->mutex) unless said otherwise
 * @sw: operands of the switch
 * @vmcs: its VMCS (C)
 * @msr_bitmap: a page (C)
 * @on_cpu: in vmx_cpu.vcpus of @cpu
 * @cpu: where the VMCS is active, -1 nowhere; changed on that CPU with interrupts off
 * @vpid: 0 none (C)
 * @stale: STALE_*; flushes are owed on any CPU
 * @ctl: controls as the next entry is to have them
 * @eptp: the EPT pointer
 * @windows: KEEL_WIN_*
 * @entry_info, @entry_error, @entry_len: the event for the next entry; 0 none
 * @entry_extint: with apicv, the event given last was not the local APIC's
 * @result: SWITCH_*
 * @exit_reason: VM_EXIT_REASON
 * @exit_info: VM_EXIT_INTR_INFO, after an exit for an exception or an NMI
 * @host: of the host, as the VMCS has it
 * @perf: of the host, between prepare() and finish()
 * @cr0_owned, @cr4_owned: bits that the guest reads and writes without an exit
 * @spec_open: the guest writes SPEC_CTRL without an exit
 * @dr_opened: debug registers are the guest's own for this run, see vcpu->dr_open
 * @use_tsc_aux, @use_umwait: the guest can see these MSRs
 * @umwait_control: IA32_UMWAIT_CONTROL
 * @host_freeze: DEBUGCTLMSR_FREEZE_IN_SMM, if the host has set it
 * @timer_armed: the preemption timer counts
 * @apicv_on: the controls say so; vcpu->apicv is what is wanted
 * @eoi_exits: EOI-exit bitmap
 * @logging: vm->logging as of the last entry
 * @switches: the thread's context switches as of the last load
 */
struct vmx_vcpu {
	struct keel_vcpu vcpu;
	struct vmx_switch sw;
	struct vmcs *vmcs;
	unsigned long *msr_bitmap;
	struct list_head on_cpu;
	int cpu;
	u16 vpid;
	u32 stale;
	u32 ctl[VMX_NR_CTLS];
	u64 eptp;
	u32 windows;
	u32 entry_info, entry_error, entry_len;
	bool entry_extint;
	int result;
	u32 exit_reason, exit_info;
	struct vmx_host_state host;
	struct vmx_host_perf perf;
	unsigned long cr0_owned, cr4_owned;
	bool spec_open, dr_opened, use_tsc_aux, use_umwait;
	u32 umwait_control;
	u64 host_freeze;
	bool timer_armed;
	bool apicv_on;
	u64 eoi_exits[4];
	bool logging;
	unsigned long switches;
};

static inline struct vmx_vcpu *to_vmx(struct keel_vcpu *vcpu)
{
	return container_of(vcpu, struct vmx_vcpu, vcpu);
}

/* The guest has not run. */
static inline bool vmx_entry_failed(const struct vmx_vcpu *vmx)
{
	return vmx->result != SWITCH_EXIT || (vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY);
}

/* A control field is to have this value at the next entry. */
static inline void vmx_want(struct vmx_vcpu *vmx, enum vmx_ctl ctl, u32 value)
{
	if (vmx->ctl[ctl] == value)
		return;
	vmx->ctl[ctl] = value;
	vmx->stale |= STALE_CTL(ctl);
}

static inline void vmx_want_bits(struct vmx_vcpu *vmx, enum vmx_ctl ctl, u32 bits, bool on)
{
	vmx_want(vmx, ctl, on ? vmx->ctl[ctl] | bits : vmx->ctl[ctl] & ~bits);
}

static inline void vmx_pull_shadow(struct keel_vcpu *vcpu)
{
	u32 info = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	vcpu->int_shadow = 0;
	vcpu->events.nmi_masked = false;
	if (likely(!info))
		return;
	vcpu->int_shadow = (info & GUEST_INTR_STATE_STI ? KVM_X86_SHADOW_INT_STI : 0) |
			   (info & GUEST_INTR_STATE_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
	/* With virtual NMIs, the guest's blocking. */
	vcpu->events.nmi_masked = info & GUEST_INTR_STATE_NMI;
}

#define SEG_AR_L	BIT(13)		/* of a segment's access rights */

/* The current privilege level is SS's DPL, usable or not ('Guest Register State'). */
static inline void vmx_pull_mode(struct keel_vcpu *vcpu)
{
	if (!(vcpu->avail & KEEL_R_SS))
		vcpu->guest_cpl = vmcs_read(GUEST_SS_AR_BYTES) >> 5 & 3;
	vcpu->guest_cs_l = vcpu->avail & KEEL_R_CS ? vcpu->cs.l :
			   !!(vmcs_read(GUEST_CS_AR_BYTES) & SEG_AR_L);
	vcpu->avail |= KEEL_R_MODE;
}

/* A guest that halts without an exit goes on where software sends it. */
static inline void vmx_push_rip(struct keel_vcpu *vcpu)
{
	vmcs_write(GUEST_RIP, vcpu->rip);
	if (unlikely(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
}

/* caps.c */
const char *vmx_ident(void);
int vmx_hw_setup(struct keel_caps *caps);
void vmx_hw_teardown(void);
int vmx_cpu_enable(void);
void vmx_cpu_disable(void);

/* vmx.c */
void vmx_clear_vmcs(struct vmx_vcpu *vmx);
void vmx_make_current_slowly(struct vmx_vcpu *vmx);

/**
 * vmx_make_current() - VMREAD and VMWRITE are to mean this vCPU's VMCS, on this CPU
 * @vmx: the vCPU
 *
 * Preemption off, interrupts on unless it is current already.
 */
static inline void vmx_make_current(struct vmx_vcpu *vmx)
{
	if (unlikely(this_cpu_read(vmx_cpus.current_vcpu) != vmx))
		vmx_make_current_slowly(vmx);
}

/* vmcs.c */
void vmx_pull(struct keel_vcpu *vcpu, u32 mask);
void vmx_push_rest(struct keel_vcpu *vcpu);
void vmx_update_owned(struct vmx_vcpu *vmx);

/* host.c */
void vmx_init_host_state(struct vmx_vcpu *vmx);
void vmx_load_host_state(struct vmx_vcpu *vmx, struct vmx_cpu *cpu);
void vmx_put_host_state(struct vmx_vcpu *vmx, struct vmx_cpu *cpu);
void vmx_update_host_state(struct vmx_vcpu *vmx);
void vmx_stop_host_perf(struct vmx_vcpu *vmx);
void vmx_resume_host_perf(struct vmx_vcpu *vmx);
int vmx_l1d_flush_setup(void);
void vmx_l1d_flush_free(void);
void vmx_l1d_flush(void);

/* exit.c */
void vmx_decode_exit(struct vmx_vcpu *vmx, u32 exit_reason, struct keel_exit *exit);
void vmx_decode_failure(struct vmx_vcpu *vmx, struct keel_exit *exit);

/* check.c */
const char *vmx_find_fault(bool vmfail, u32 exit_reason);

/* event.c */
void vmx_inject(struct keel_vcpu *vcpu, const struct keel_event *ev);
void vmx_cancel_inject(struct keel_vcpu *vcpu, struct keel_event *ev);
bool vmx_event_allowed(struct keel_vcpu *vcpu, enum keel_event_type type);
void vmx_want_window(struct keel_vcpu *vcpu, u32 windows);
void vmx_write_event(struct vmx_vcpu *vmx);
void vmx_decode_vectoring(struct vmx_vcpu *vmx, u32 info, struct keel_event *ev);
void vmx_note_nmi_unblocked(struct vmx_vcpu *vmx);

/* apicv.c */
void vmx_apicv_init(struct vmx_vcpu *vmx);
void vmx_apicv_sync(struct vmx_vcpu *vmx);
void vmx_apicv_fix_vector(struct vmx_vcpu *vmx, struct keel_event *ev);
void vmx_update_tpr_threshold(struct vmx_vcpu *vmx);

/* msr.c */
int vmx_msr_bitmap_alloc(struct vmx_vcpu *vmx);
void vmx_msr_bitmap_free(struct vmx_vcpu *vmx);
void vmx_msr_bitmap_update(struct vmx_vcpu *vmx);
void vmx_msr_bitmap_x2apic(struct vmx_vcpu *vmx, bool on);
int vmx_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int vmx_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
void vmx_pull_sysmsr(struct vmx_vcpu *vmx);
void vmx_push_sysmsr(struct vmx_vcpu *vmx);
void vmx_read_host_msrs(struct vmx_cpu *cpu);
void vmx_prepare_spec_ctrl(struct vmx_vcpu *vmx);
void vmx_load_msrs(struct vmx_vcpu *vmx, struct vmx_cpu *cpu);
void vmx_put_msrs(struct vmx_vcpu *vmx, struct vmx_cpu *cpu);

/* pml.c */
void vmx_pml_take(const struct vmx_cpu *cpu);
void vmx_pml_empty(void);
void vmx_pml_follow(struct vmx_vcpu *vmx, bool logging);
void vmx_pml_drain(struct vmx_vcpu *vmx);

/* ept.c */
const struct keel_tdp_format *vmx_ept_setup(u64 cap);
u64 vmx_eptp(hpa_t root);
void vmx_flush(struct vmx_vcpu *vmx);
void vmx_flush_all(void);
u16 vmx_vpid_alloc(void);
void vmx_vpid_free(u16 vpid);

#endif
