/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the SVM back end offer each other. */
#ifndef KEEL_SVM_H
#define KEEL_SVM_H

#include <linux/mem_encrypt.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>

#include "../keel.h"
#include "switch.h"
#include "vmcb.h"

#define SVM_TSC_RATIO_ONE	BIT_ULL(32)
#define SVM_MSRPM_ORDER		1	/* two pages */
#define PAUSE_COUNT		3000	/* PAUSEs in a row until an exit */

/**
 * struct svm_caps - what the CPU has beyond SVM and nested paging; fixed after hw_setup
 */
struct svm_caps {
	bool nrips, decode_assists, flush_by_asid, vmcb_clean;
	bool pause_filter, pause_threshold, tsc_ratio, lbrv;
	bool v_spec_ctrl, spec_ctrl, ibpb, tsc_aux;
	u64 iopm_pa;
};
extern struct svm_caps svm_caps;

/**
 * struct svm_cpu - one physical CPU; touched by it alone, preemption off
 * @on: SVM is on, by keel
 * @asid_gen: generation of ASIDs; a vCPU's number of an older one is void
 * @next_asid, @max_asid: the pool of this generation
 * @tsc_ratio, @tsc_aux: what these MSRs hold
 * @host_tsc_aux: the host's TSC_AUX
 * @hsave: page for VMRUN's own use (VM_HSAVE_PA)
 * @host: page for VMSAVE and VMLOAD of the host's state, of a VMCB's form
 */
struct svm_cpu {
	bool on;
	u64 asid_gen;
	u32 next_asid, max_asid;
	u64 tsc_ratio;
	u32 tsc_aux, host_tsc_aux;
	u64 host_pa;
	void *hsave, *host;
};
DECLARE_PER_CPU(struct svm_cpu, svm_cpus);

struct svm_vm {
	struct keel_vm vm;
};

/**
 * struct svm_vcpu - all v (vcpu->mutex)
 * @sw: operands of the switch
 * @asid_gen: generation of control.asid; 0 void
 * @asid_cpu: the CPU it belongs to
 * @flush: a flush of the guest's TLB entries is owed
 * @use_tsc_aux: the guest can read TSC_AUX
 * @spec_open: the guest writes SPEC_CTRL without an exit
 * @switched: enter() got as far as VMRUN
 * @tpr: V_TPR as of the entry
 * @windows: KEEL_WIN_*
 * @iret_seen: an NMI's IRET is about to be executed, at @iret_rip
 * @step: this entry single-steps, the guest's own TF being @step_tf
 * @stepped: the last one did so
 * @dr_opened: debug registers are the guest's own for this run, see vcpu->dr_open
 * @soft: a soft event was injected with RIP put from @soft_rip to @soft_next by software
 * @de_cfg: MSR DE_CFG
 */
struct svm_vcpu {
	struct keel_vcpu vcpu;
	struct vmcb *vmcb;
	void *msrpm;
	struct svm_switch sw;
	u64 asid_gen;
	int asid_cpu;
	bool flush;
	bool use_tsc_aux;
	bool spec_open;
	bool switched;
	u8 tpr;
	u32 windows;
	bool iret_seen, step, step_tf, stepped;
	unsigned long iret_rip;
	bool dr_opened;
	bool soft;
	unsigned long soft_rip, soft_next;
	u64 de_cfg;
};

static inline struct svm_vcpu *to_svm(struct keel_vcpu *vcpu)
{
	return container_of(vcpu, struct svm_vcpu, vcpu);
}

/* Software changed these groups of the VMCB. */
static inline void svm_changed(struct svm_vcpu *svm, u32 clean)
{
	svm->vmcb->control.clean &= ~clean;
}

/* caps.c */
const char *svm_ident(void);
int svm_hw_setup(struct keel_caps *caps);
void svm_hw_teardown(void);
int svm_cpu_enable(void);
void svm_cpu_disable(void);

/* svm.c */
void svm_update_cr_intercepts(struct svm_vcpu *svm);
void svm_rebuild(struct svm_vcpu *svm);

/* vmcb.c */
u8 svm_shadow(const struct vmcb *vmcb);
void svm_pull(struct keel_vcpu *vcpu, u32 mask);
void svm_push(struct keel_vcpu *vcpu, u32 mask);

/* exit.c */
void svm_decode_exit(struct svm_vcpu *svm, struct keel_exit *exit);

/* check.c */
const char *svm_find_fault(const struct vmcb *vmcb);

/* event.c */
void svm_inject(struct keel_vcpu *vcpu, const struct keel_event *ev);
void svm_cancel_inject(struct keel_vcpu *vcpu, struct keel_event *ev);
bool svm_event_allowed(struct keel_vcpu *vcpu, enum keel_event_type type);
void svm_want_window(struct keel_vcpu *vcpu, u32 windows);
void svm_nmi_prepare(struct svm_vcpu *svm);
void svm_nmi_finish(struct svm_vcpu *svm);
void svm_nmi_cancel(struct svm_vcpu *svm);
void svm_finish_soft(struct svm_vcpu *svm);
void svm_decode_vectoring(struct svm_vcpu *svm, struct keel_event *ev);

/* msr.c */
int svm_msrpm_alloc(struct svm_vcpu *svm);
void svm_msrpm_free(struct svm_vcpu *svm);
void svm_msrpm_update(struct svm_vcpu *svm);
int svm_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data, bool host);
int svm_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host);
void svm_pull_sysmsr(struct svm_vcpu *svm);
void svm_prepare_spec_ctrl(struct svm_vcpu *svm);
void svm_push_sysmsr(struct svm_vcpu *svm);
void svm_load_msrs(struct svm_vcpu *svm, struct svm_cpu *cpu);
void svm_put_msrs(struct svm_cpu *cpu);

/* npt.c */
const struct keel_tdp_format *svm_npt_setup(void);

#endif
