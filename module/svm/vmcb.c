// SPDX-License-Identifier: GPL-2.0-only
/* The guest's registers, from the VMCB and to it, by group. */
#include <linux/percpu.h>
#include <asm/debugreg.h>

#include "svm.h"

/* ---- registers: from the VMCB ----------------------------------------------------------- */

/* A VMCB's attributes are bits 55:52 and 47:40 of a descriptor. */
static void pull_seg(struct kvm_segment *seg, const struct vmcb_seg *hw)
{
	seg->base = hw->base;
	seg->limit = hw->limit;
	seg->selector = hw->selector;
	seg->type = hw->attrib & 0xf;
	seg->s = hw->attrib >> 4;
	seg->dpl = hw->attrib >> 5;
	seg->present = hw->attrib >> 7;
	seg->avl = hw->attrib >> 8;
	seg->l = hw->attrib >> 9;
	seg->db = hw->attrib >> 10;
	seg->g = hw->attrib >> 11;
	seg->s &= 1;
	seg->dpl &= 3;
	seg->present &= 1;
	seg->avl &= 1;
	seg->l &= 1;
	seg->db &= 1;
	seg->g &= 1;
	/* SVM has no such bit: a segment that is not present cannot be used. */
	seg->unusable = !seg->present;
	seg->padding = 0;
}

/* Other CPUs want what these leave open: the accessed bit set. */
static void pull_data_seg(struct kvm_segment *seg, const struct vmcb_seg *hw)
{
	pull_seg(seg, hw);
	if (!seg->unusable)
		seg->type |= 1;
}

static void pull_segs(struct keel_vcpu *vcpu, const struct vmcb_save *save, u32 mask)
{
	if (mask & (KEEL_R_CS | KEEL_R_SS))
		vcpu->guest_cpl = save->cpl;
	if (mask & KEEL_R_CS) {
		pull_seg(&vcpu->cs, &save->cs);
		/* Some CPUs give the limit in bytes and G as 0. */
		vcpu->cs.g = vcpu->cs.limit > 0xfffff;
	}
	if (mask & KEEL_R_SS) {
		pull_seg(&vcpu->ss, &save->ss);
		/* A null SS keeps bits of what was there before; the privilege is CPL. */
		if (vcpu->ss.unusable)
			vcpu->ss.db = 0;
		vcpu->ss.dpl = save->cpl;
	}
	if (mask & KEEL_R_SEGS) {
		pull_data_seg(&vcpu->ds, &save->ds);
		pull_data_seg(&vcpu->es, &save->es);
		pull_data_seg(&vcpu->fs, &save->fs);
		pull_data_seg(&vcpu->gs, &save->gs);
	}
}

static void pull_table(struct kvm_dtable *table, const struct vmcb_seg *hw)
{
	table->base = hw->base;
	table->limit = hw->limit;
}

static void pull_tables(struct keel_vcpu *vcpu, const struct vmcb_save *save)
{
	pull_table(&vcpu->gdt, &save->gdtr);
	pull_table(&vcpu->idt, &save->idtr);
	pull_seg(&vcpu->ldt, &save->ldtr);
	pull_seg(&vcpu->tr, &save->tr);
	/* A loaded TSS is busy. */
	vcpu->tr.type |= 2;
}

static void pull_crs(struct keel_vcpu *vcpu, const struct vmcb_save *save, u32 mask)
{
	const unsigned long hidden = X86_CR0_CD | X86_CR0_NW;

	if (mask & KEEL_R_CR0)
		vcpu->cr0 = (save->cr0 & ~hidden) | (vcpu->cr0 & hidden);
	if (mask & KEEL_R_CR2)
		vcpu->cr2 = save->cr2;
	if (mask & KEEL_R_CR3)
		vcpu->cr3 = save->cr3;
	if (mask & KEEL_R_CR4)
		vcpu->cr4 = (save->cr4 & ~X86_CR4_MCE) | (vcpu->cr4 & X86_CR4_MCE);
}

/* SVM has one bit for both kinds of shadow.  NMI blocking is kept in vcpu->events. */
u8 svm_shadow(const struct vmcb *vmcb)
{
	return vmcb->control.int_state & INT_STATE_SHADOW ?
	       KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS : 0;
}

void svm_pull(struct keel_vcpu *vcpu, u32 mask)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb *vmcb = svm->vmcb;
	const struct vmcb_save *save = &vmcb->save;

	if (mask & KEEL_R_RSP)
		vcpu->gpr[KEEL_RSP] = save->rsp;
	if (mask & KEEL_R_RIP)
		vcpu->rip = save->rip;
	if (mask & KEEL_R_RFLAGS)
		vcpu->rflags = save->rflags;
	if (mask & (KEEL_R_CR0 | KEEL_R_CR2 | KEEL_R_CR3 | KEEL_R_CR4))
		pull_crs(vcpu, save, mask);
	if (mask & (KEEL_R_CS | KEEL_R_SS | KEEL_R_SEGS))
		pull_segs(vcpu, save, mask);
	if (mask & KEEL_R_TABLES)
		pull_tables(vcpu, save);
	/*
	 * EFER is software's: its writes exit, and so does what changes LMA, a write of CR0.PG.
	 * Bochs changes LMA ahead of that exit, so that what it saves does not go with CR0.
	 * DR6 is software's as well: see push_dr().
	 */
	if (mask & KEEL_R_DR)
		vcpu->dr7 = save->dr7;
	if (mask & KEEL_R_MODE) {
		if (!(vcpu->avail & KEEL_R_SS))
			vcpu->guest_cpl = save->cpl;
		vcpu->guest_cs_l = vcpu->avail & KEEL_R_CS ? vcpu->cs.l :
				   !!(save->cs.attrib & BIT(9));
	}
	if (mask & KEEL_R_SHADOW)
		vcpu->int_shadow = svm_shadow(vmcb);
	if (mask & KEEL_R_SYSMSR)
		svm_pull_sysmsr(svm);
}

/* ---- registers: to the VMCB ------------------------------------------------------------- */

static void push_seg(struct vmcb_seg *hw, const struct kvm_segment *seg)
{
	hw->base = seg->base;
	hw->limit = seg->limit;
	hw->selector = seg->selector;
	hw->attrib = (seg->type & 0xf) | (seg->s & 1) << 4 | (seg->dpl & 3) << 5 |
		     (seg->present && !seg->unusable) << 7 | (seg->avl & 1) << 8 |
		     (seg->l & 1) << 9 | (seg->db & 1) << 10 | (seg->g & 1) << 11;
}

static void push_segs(struct svm_vcpu *svm, u32 mask)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	struct vmcb_save *save = &svm->vmcb->save;

	if (mask & KEEL_R_CS)
		push_seg(&save->cs, &vcpu->cs);
	/*
	 * CPL is SS's DPL, except after a SYSRET, and VMRUN takes it from its own field
	 * (APM vol. 2, 'VMRUN Instruction', 'Saving and Loading CPL').
	 */
	if (mask & KEEL_R_SS) {
		push_seg(&save->ss, &vcpu->ss);
		save->cpl = vcpu->ss.dpl & 3;
		vcpu->guest_cpl = save->cpl;
	}
	/* FS and GS go by VMLOAD and have no clean bit. */
	if (mask & KEEL_R_SEGS) {
		push_seg(&save->ds, &vcpu->ds);
		push_seg(&save->es, &vcpu->es);
		push_seg(&save->fs, &vcpu->fs);
		push_seg(&save->gs, &vcpu->gs);
	}
	svm_changed(svm, CLEAN_SEG);
}

static void push_tables(struct svm_vcpu *svm)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	struct vmcb_save *save = &svm->vmcb->save;

	save->gdtr.base = vcpu->gdt.base;
	save->gdtr.limit = vcpu->gdt.limit;
	save->idtr.base = vcpu->idt.base;
	save->idtr.limit = vcpu->idt.limit;
	push_seg(&save->ldtr, &vcpu->ldt);
	push_seg(&save->tr, &vcpu->tr);
	svm_changed(svm, CLEAN_DT);
}

static void push_crs(struct svm_vcpu *svm, u32 mask)
{
	struct keel_vcpu *vcpu = &svm->vcpu;
	struct vmcb_save *save = &svm->vmcb->save;

	if (mask & KEEL_R_CR0)
		save->cr0 = vcpu->cr0 & ~(X86_CR0_CD | X86_CR0_NW);
	if (mask & KEEL_R_CR3)
		save->cr3 = vcpu->cr3;
	if (mask & KEEL_R_CR4)
		save->cr4 = vcpu->cr4 | X86_CR4_MCE;
	if (mask & KEEL_R_EFER)
		save->efer = vcpu->efer | EFER_SVME;
	svm_changed(svm, CLEAN_CRX);
	if (mask & (KEEL_R_CR0 | KEEL_R_CR4))
		svm_update_cr_intercepts(svm);
}

/*
 * Unless opened, the guest's DR6 is vcpu->dr6, as all its accesses exit, and the
 * hardware's is neutral, so that a #DB exit leaves in it what caused it.
 */
static void push_dr(struct svm_vcpu *svm)
{
	svm->vmcb->save.dr6 = svm->dr_opened ? svm->vcpu.dr6 : DR6_RESERVED;
	svm->vmcb->save.dr7 = svm->vcpu.dr7;
	svm_changed(svm, CLEAN_DRX);
}

static void push_tsc(struct svm_vcpu *svm)
{
	svm->vmcb->control.tsc_offset = svm->vcpu.tsc.offset;
	svm_changed(svm, CLEAN_INTERCEPTS);
	if (svm->vcpu.loaded)
		svm_load_msrs(svm, this_cpu_ptr(&svm_cpus));
}

void svm_push(struct keel_vcpu *vcpu, u32 mask)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_save *save = &svm->vmcb->save;

	if (mask & KEEL_R_RSP)
		save->rsp = vcpu->gpr[KEEL_RSP];
	if (mask & KEEL_R_RIP)
		save->rip = vcpu->rip;
	if (mask & KEEL_R_RFLAGS)
		save->rflags = vcpu->rflags;
	if (mask & KEEL_R_SHADOW)
		svm->vmcb->control.int_state = vcpu->int_shadow ? INT_STATE_SHADOW : 0;
	if (mask & KEEL_R_CR2) {
		save->cr2 = vcpu->cr2;
		svm_changed(svm, CLEAN_CR2);
	}
	if (mask & (KEEL_R_CR0 | KEEL_R_CR3 | KEEL_R_CR4 | KEEL_R_EFER))
		push_crs(svm, mask);
	if (mask & (KEEL_R_CS | KEEL_R_SS | KEEL_R_SEGS))
		push_segs(svm, mask);
	if (mask & KEEL_R_TABLES)
		push_tables(svm);
	if (mask & KEEL_R_DR)
		push_dr(svm);
	if (mask & KEEL_R_SYSMSR)
		svm_push_sysmsr(svm);
	if (mask & KEEL_R_TSC)
		push_tsc(svm);
}
