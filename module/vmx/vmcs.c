// SPDX-License-Identifier: GPL-2.0-only
/* The guest's registers, from the VMCS and to it, by group. */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/percpu.h>
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/desc_defs.h>
#include <asm/msr.h>

#include "vmx.h"

/* Bits of a segment's access rights ('Guest Register State'). */
#define SEG_AR_S		BIT(4)
#define SEG_AR_P		BIT(7)
#define SEG_AR_AVL		BIT(12)
#define SEG_AR_DB		BIT(14)
#define SEG_AR_G		BIT(15)
#define SEG_AR_UNUSABLE	BIT(16)

/*
 * A bug of keel's: the field is not there, or is not writable.  The entry that wanted it will
 * do something else than asked.
 */
void vmx_write_failed(unsigned long field, unsigned long value)
{
	pr_err_ratelimited("VMWRITE of 0x%lx to field 0x%lx failed: VM-instruction error %lu\n",
			   value, field, vmcs_read(VM_INSTRUCTION_ERROR));
}

/* ---- registers: from the VMCS ----------------------------------------------------------- */

/* A segment's four fields lie at the same distance from those of ES. */
enum vmx_seg { VMX_ES, VMX_CS, VMX_SS, VMX_DS, VMX_FS, VMX_GS, VMX_LDTR, VMX_TR };

static void pull_seg(struct kvm_segment *seg, enum vmx_seg i)
{
	u32 ar = vmcs_read(GUEST_ES_AR_BYTES + 2 * i);

	seg->base = vmcs_read(GUEST_ES_BASE + 2 * i);
	seg->limit = vmcs_read(GUEST_ES_LIMIT + 2 * i);
	seg->selector = vmcs_read(GUEST_ES_SELECTOR + 2 * i);
	seg->type = ar & 0xf;
	seg->s = !!(ar & SEG_AR_S);
	seg->dpl = ar >> 5 & 3;
	seg->unusable = !!(ar & SEG_AR_UNUSABLE);
	/* The bit is left as it was in one that cannot be used; clients know one of the two. */
	seg->present = !seg->unusable;
	seg->avl = !!(ar & SEG_AR_AVL);
	seg->l = !!(ar & SEG_AR_L);
	seg->db = !!(ar & SEG_AR_DB);
	seg->g = !!(ar & SEG_AR_G);
	seg->padding = 0;
}

/* The current privilege level is SS's DPL, usable or not ('Guest Register State'). */
static void pull_segs(struct keel_vcpu *vcpu, u32 mask)
{
	if (mask & KEEL_R_CS)
		pull_seg(&vcpu->cs, VMX_CS);
	if (mask & KEEL_R_SS) {
		pull_seg(&vcpu->ss, VMX_SS);
		vcpu->guest_cpl = vcpu->ss.dpl;
	}
	if (mask & KEEL_R_SEGS) {
		pull_seg(&vcpu->ds, VMX_DS);
		pull_seg(&vcpu->es, VMX_ES);
		pull_seg(&vcpu->fs, VMX_FS);
		pull_seg(&vcpu->gs, VMX_GS);
	}
}

static void pull_tables(struct keel_vcpu *vcpu)
{
	vcpu->gdt.base = vmcs_read(GUEST_GDTR_BASE);
	vcpu->gdt.limit = vmcs_read(GUEST_GDTR_LIMIT);
	vcpu->idt.base = vmcs_read(GUEST_IDTR_BASE);
	vcpu->idt.limit = vmcs_read(GUEST_IDTR_LIMIT);
	pull_seg(&vcpu->ldt, VMX_LDTR);
	pull_seg(&vcpu->tr, VMX_TR);
}

/* Bits that are not the guest's own change by exits alone: they are in vcpu already. */
static void pull_crs(struct vmx_vcpu *vmx, u32 mask)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	if (mask & KEEL_R_CR0)
		vcpu->cr0 = (vmcs_read(GUEST_CR0) & vmx->cr0_owned) |
			    (vcpu->cr0 & ~vmx->cr0_owned);
	if (mask & KEEL_R_CR3)
		vcpu->cr3 = vmcs_read(GUEST_CR3);
	if (mask & KEEL_R_CR4)
		vcpu->cr4 = (vmcs_read(GUEST_CR4) & vmx->cr4_owned) |
			    (vcpu->cr4 & ~vmx->cr4_owned);
}

static void pull_pdptrs(struct keel_vcpu *vcpu)
{
	int i;

	for (i = 0; i < 4; i++)
		vcpu->pdptr[i] = vmcs_read(GUEST_PDPTR0 + 2 * i);
}

/* CR2, EFER, DR6 and DR7 are in vcpu at all times: see after_exit(). */
static noinline void pull_rest(struct vmx_vcpu *vmx, u32 mask)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	if (mask & (KEEL_R_CR0 | KEEL_R_CR3 | KEEL_R_CR4))
		pull_crs(vmx, mask);
	if (mask & (KEEL_R_CS | KEEL_R_SS | KEEL_R_SEGS))
		pull_segs(vcpu, mask);
	if (mask & KEEL_R_TABLES)
		pull_tables(vcpu);
	if (mask & KEEL_R_PDPTR)
		pull_pdptrs(vcpu);
	if (mask & KEEL_R_SYSMSR)
		vmx_pull_sysmsr(vmx);
}

/* What most exits want is first. */
static void pull_current(struct vmx_vcpu *vmx, u32 mask)
{
	const u32 often = KEEL_R_RIP | KEEL_R_RFLAGS | KEEL_R_SHADOW | KEEL_R_RSP | KEEL_R_MODE;
	struct keel_vcpu *vcpu = &vmx->vcpu;

	if (mask & KEEL_R_RIP)
		vcpu->rip = vmcs_read(GUEST_RIP);
	if (mask & KEEL_R_RFLAGS)
		vcpu->rflags = vmcs_read(GUEST_RFLAGS);
	if (mask & KEEL_R_SHADOW)
		vmx_pull_shadow(vcpu);
	if (mask & KEEL_R_RSP)
		vcpu->gpr[KEEL_RSP] = vmcs_read(GUEST_RSP);
	if (mask & KEEL_R_MODE)
		vmx_pull_mode(vcpu);
	if (mask & ~often)
		pull_rest(vmx, mask);
}

/*
 * Outside of a section the VMCS may not be current any more; mostly it still is, as
 * nobody else has run here since.
 */
void vmx_pull(struct keel_vcpu *vcpu, u32 mask)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (likely(vcpu->loaded)) {
		pull_current(vmx, mask);
		return;
	}
	preempt_disable();
	vmx_make_current(vmx);
	pull_current(vmx, mask);
	preempt_enable();
}

/* ---- registers: to the VMCS ------------------------------------------------------------- */

static u32 access_rights(const struct kvm_segment *seg)
{
	u32 ar = (seg->type & 0xf) | (seg->dpl & 3) << 5;

	if (seg->unusable || !seg->present)
		return ar | SEG_AR_UNUSABLE;
	return ar | SEG_AR_P | (seg->s ? SEG_AR_S : 0) | (seg->avl ? SEG_AR_AVL : 0) | (seg->l ? SEG_AR_L : 0) |
	       (seg->db ? SEG_AR_DB : 0) | (seg->g ? SEG_AR_G : 0);
}

static void push_seg(const struct kvm_segment *seg, enum vmx_seg i, u32 ar)
{
	vmcs_write(GUEST_ES_BASE + 2 * i, seg->base);
	vmcs_write(GUEST_ES_LIMIT + 2 * i, seg->limit);
	vmcs_write(GUEST_ES_SELECTOR + 2 * i, seg->selector);
	vmcs_write(GUEST_ES_AR_BYTES + 2 * i, ar);
}

/*
 * A loaded segment has been accessed.  Clients that put a vCPU into real mode leave the bit
 * out, and VM entry insists ('Checks on Guest Segment Registers').
 */
static void push_code_or_data(const struct kvm_segment *seg, enum vmx_seg i)
{
	push_seg(seg, i, access_rights(seg) | 1);
}

static void push_segs(struct keel_vcpu *vcpu, u32 mask)
{
	if (mask & KEEL_R_CS)
		push_code_or_data(&vcpu->cs, VMX_CS);
	if (mask & KEEL_R_SS) {
		push_code_or_data(&vcpu->ss, VMX_SS);
		vcpu->guest_cpl = vcpu->ss.dpl & 3;
	}
	if (mask & KEEL_R_SEGS) {
		push_code_or_data(&vcpu->ds, VMX_DS);
		push_code_or_data(&vcpu->es, VMX_ES);
		push_code_or_data(&vcpu->fs, VMX_FS);
		push_code_or_data(&vcpu->gs, VMX_GS);
	}
}

static void push_tables(struct keel_vcpu *vcpu)
{
	vmcs_write(GUEST_GDTR_BASE, vcpu->gdt.base);
	vmcs_write(GUEST_GDTR_LIMIT, vcpu->gdt.limit);
	vmcs_write(GUEST_IDTR_BASE, vcpu->idt.base);
	vmcs_write(GUEST_IDTR_LIMIT, vcpu->idt.limit);
	push_seg(&vcpu->ldt, VMX_LDTR, access_rights(&vcpu->ldt));
	/* A loaded TSS is busy; SVM and some clients do not say so. */
	push_seg(&vcpu->tr, VMX_TR, access_rights(&vcpu->tr) | 2);
}

/*
 * CR0 and CR4 in hardware, and what the guest reads where it may not write.
 *
 * NE and VMXE must be 1 in VMX operation; PE and PG need not, as the guest is unrestricted
 * ('Restrictions on VMX Operation').  A machine check with CR4.MCE 0 would shut the CPU down.
 * VM entry leaves CD and NW alone, and no guest may turn off the caches of the host.
 */
static void push_cr0(struct keel_vcpu *vcpu)
{
	vmcs_write(GUEST_CR0, (vcpu->cr0 & ~(X86_CR0_CD | X86_CR0_NW)) | X86_CR0_NE);
	vmcs_write(CR0_READ_SHADOW, vcpu->cr0);
}

static void push_cr4(struct keel_vcpu *vcpu)
{
	vmcs_write(GUEST_CR4, vcpu->cr4 | X86_CR4_VMXE | X86_CR4_MCE);
	vmcs_write(CR4_READ_SHADOW, vcpu->cr4);
}

static void push_pdptrs(struct keel_vcpu *vcpu)
{
	int i;

	for (i = 0; i < 4; i++)
		vmcs_write(GUEST_PDPTR0 + 2 * i, vcpu->pdptr[i]);
}

/* Without the control for it, VM entry and exit would leave LMA and LME to this control. */
static void push_efer(struct vmx_vcpu *vmx)
{
	u64 efer = vmx->vcpu.efer;

	vmcs_write(GUEST_IA32_EFER, efer);
	vmx_want_bits(vmx, VMX_CTL_ENTRY, VM_ENTRY_IA32E_MODE, efer & EFER_LMA);
}

/*
 * Blocking, and with it the single step that is owed: with TF set, an instruction whose #DB
 * the shadow holds back must have it pending ('Checks on Guest Non-Register State').
 * Interrupts cannot be blocked by an STI that has been undone.  What else is pending belongs to
 * where the guest was, if software has @moved it since.
 */
static void push_shadow(struct keel_vcpu *vcpu, bool moved)
{
	unsigned long pending = moved ? 0 : vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS);
	unsigned long rflags = keel_rflags(vcpu);
	bool step = (rflags & X86_EFLAGS_TF) && !(vcpu->sysmsr.debugctl & DEBUGCTLMSR_BTF);
	u32 info = 0;

	if (vcpu->int_shadow & KVM_X86_SHADOW_INT_MOV_SS)
		info = GUEST_INTR_STATE_MOV_SS;
	else if ((vcpu->int_shadow & KVM_X86_SHADOW_INT_STI) && (rflags & X86_EFLAGS_IF))
		info = GUEST_INTR_STATE_STI;
	if (info)
		pending = (pending & ~(unsigned long)DR_STEP) | (step ? DR_STEP : 0);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
	/* A shadow is not for a CPU that halts ('Checks on Guest Non-Register State'). */
	if (info && unlikely(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	if (vcpu->events.nmi_masked)
		info |= GUEST_INTR_STATE_NMI;
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, info);
}

static void push_crs(struct vmx_vcpu *vmx, u32 mask)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	if (mask & KEEL_R_CR0)
		push_cr0(vcpu);
	if (mask & KEEL_R_CR3)
		vmcs_write(GUEST_CR3, vcpu->cr3);
	if (mask & KEEL_R_CR4)
		push_cr4(vcpu);
	if (mask & KEEL_R_PDPTR)
		push_pdptrs(vcpu);
	if (mask & KEEL_R_EFER)
		push_efer(vmx);
}

static void push_tsc(struct keel_vcpu *vcpu)
{
	vmcs_write(TSC_OFFSET, vcpu->tsc.offset);
	if (vmx_caps.tsc_scaling)
		vmcs_write(TSC_MULTIPLIER, vcpu->tsc.ratio ?: BIT_ULL(48));
}

/* vmx_push_rest(): all groups that are dirty, but for RIP; the VMCS is current */
void vmx_push_rest(struct keel_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 mask = vcpu->dirty;

	if (mask & KEEL_R_RSP)
		vmcs_write(GUEST_RSP, vcpu->gpr[KEEL_RSP]);
	if (mask & KEEL_R_RFLAGS)
		vmcs_write(GUEST_RFLAGS, vcpu->rflags);
	/* A TF that comes or goes in a shadow changes what is pending. */
	if ((mask & KEEL_R_SHADOW) ||
	    ((mask & KEEL_R_RFLAGS) && (vcpu->avail & KEEL_R_SHADOW) && vcpu->int_shadow))
		push_shadow(vcpu, mask & KEEL_R_RIP);
	if (mask & (KEEL_R_CR0 | KEEL_R_CR3 | KEEL_R_CR4 | KEEL_R_PDPTR | KEEL_R_EFER))
		push_crs(vmx, mask);
	if (mask & (KEEL_R_CS | KEEL_R_SS | KEEL_R_SEGS))
		push_segs(vcpu, mask);
	if (mask & KEEL_R_TABLES)
		push_tables(vcpu);
	if (mask & KEEL_R_DR)
		vmcs_write(GUEST_DR7, vcpu->dr7);
	if (mask & KEEL_R_SYSMSR)
		vmx_push_sysmsr(vmx);
	if (mask & KEEL_R_TSC)
		push_tsc(vcpu);
}

/*
 * vmx_update_owned(): the guest's CPUID has changed: what CR4 bits it may write
 *
 * Those that change nothing which keel has to follow: a write of any other bit exits, if it
 * changes it ('Guest/Host Masks and Read Shadows for CR0 and CR4').
 */
void vmx_update_owned(struct vmx_vcpu *vmx)
{
	const unsigned long cr4 = X86_CR4_PVI | X86_CR4_DE | X86_CR4_PCE | X86_CR4_OSFXSR |
				  X86_CR4_OSXMMEXCPT | X86_CR4_PGE | X86_CR4_TSD |
				  X86_CR4_FSGSBASE;
	struct keel_vcpu *vcpu = &vmx->vcpu;

	/* The bits that change hands are known here while they do. */
	keel_need(vcpu, KEEL_R_CR0 | KEEL_R_CR4);
	keel_dirty(vcpu, KEEL_R_CR0 | KEEL_R_CR4);
	vmx->cr0_owned = X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_WP | X86_CR0_AM;
	vmx->cr4_owned = cr4 & vcpu->cpuid.cr4_allowed;
	vmx->stale |= STALE_OWNED;
}
