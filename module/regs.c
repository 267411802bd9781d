// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers, EFER and XCR0 by the manual's rules
 * (SDM vol. 3, "Control Registers", "Initializing IA-32e Mode"; APM vol. 2,
 * "System-Control Registers", "Long-Mode Activation"), and the state after RESET and INIT.
 */
#include <linux/bitops.h>
#include <linux/string.h>
#include <asm/fpu/xcr.h>
#include <asm/processor-flags.h>

#include "keel.h"
#include "state.h"

#define KEEL_CR0_BITS	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)
/* Changes of these need the PDPTEs of PAE paging read again ("PDPTE Registers"). */
#define KEEL_CR0_PDPTE	(X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)
#define KEEL_CR4_PDPTE	(X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)
/* Changes of these invalidate translations ("Operations that Invalidate TLBs"). */
#define KEEL_CR0_TLB	(X86_CR0_PG | X86_CR0_WP)
#define KEEL_CR4_TLB	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | \
			 X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_LA57)

static bool keel_pae_paging(unsigned long cr0, unsigned long cr4, u64 efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LMA);
}

static bool keel_cr0_valid(unsigned long cr0)
{
	if (cr0 >> 32)
		return false;
	if ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD))
		return false;
	return !(cr0 & X86_CR0_PG) || (cr0 & X86_CR0_PE);
}

/* What is forbidden about turning paging on or off, beyond the bits themselves: 1, or -EFAULT. */
static int keel_cr0_check_change(struct keel_vcpu *vcpu, unsigned long cr0)
{
	bool was = vcpu->cr0 & X86_CR0_PG, is = cr0 & X86_CR0_PG;

	if (is && !was && (vcpu->efer & EFER_LME)) {
		keel_need(vcpu, KEEL_R_CS);
		if (!(vcpu->cr4 & X86_CR4_PAE) || vcpu->cs.l)
			return 1;
		/*
		 * Nor with a TSS of 16 bits (SDM, 'Initializing IA-32e Mode').  The APM's long-mode
		 * consistency checks do not name it.
		 */
		keel_need(vcpu, KEEL_R_TABLES);
		if (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL && !(vcpu->tr.type & 8))
			return 1;
	}
	if (was && !is && ((vcpu->cr4 & X86_CR4_PCIDE) || keel_64bit(vcpu)))
		return 1;
	if (is && !(vcpu->efer & EFER_LME) && (vcpu->cr4 & X86_CR4_PAE) &&
	    ((cr0 ^ vcpu->cr0) & KEEL_CR0_PDPTE)) {
		keel_need(vcpu, KEEL_R_CR3);
		return keel_pdptrs_load(vcpu, vcpu->cr3);
	}
	return 0;
}

int keel_set_cr0(struct keel_vcpu *vcpu, unsigned long cr0)
{
	unsigned long changed;
	int ret;

	keel_need(vcpu, KEEL_R_CR0 | KEEL_R_CR4 | KEEL_R_EFER);
	if (!keel_cr0_valid(cr0))
		return 1;
	cr0 = (cr0 & KEEL_CR0_BITS) | X86_CR0_ET;
	ret = keel_cr0_check_change(vcpu, cr0);
	if (ret)
		return ret;

	changed = cr0 ^ vcpu->cr0;
	vcpu->cr0 = cr0;
	keel_dirty(vcpu, KEEL_R_CR0);
	if ((changed & X86_CR0_PG) && (vcpu->efer & EFER_LME)) {
		if (cr0 & X86_CR0_PG)
			vcpu->efer |= EFER_LMA;
		else
			vcpu->efer &= ~EFER_LMA;
		keel_dirty(vcpu, KEEL_R_EFER);
	}
	if (changed & KEEL_CR0_TLB)
		keel_request(vcpu, KEEL_REQ_GUEST_FLUSH);
	return 0;
}

int keel_set_cr3(struct keel_vcpu *vcpu, unsigned long cr3)
{
	bool keep_tlb = false;
	int ret;

	keel_need(vcpu, KEEL_R_CR0 | KEEL_R_CR3 | KEEL_R_CR4 | KEEL_R_EFER);
	if (vcpu->cr4 & X86_CR4_PCIDE) {
		keep_tlb = cr3 & X86_CR3_PCID_NOFLUSH;
		cr3 &= ~X86_CR3_PCID_NOFLUSH;
	}
	if (cr3 & vcpu->cpuid.gpa_rsvd)
		return 1;
	if (keel_pae_paging(vcpu->cr0, vcpu->cr4, vcpu->efer)) {
		ret = keel_pdptrs_load(vcpu, cr3);
		if (ret)
			return ret;
	}

	vcpu->cr3 = cr3;
	keel_dirty(vcpu, KEEL_R_CR3);
	if (!keep_tlb)
		keel_request(vcpu, KEEL_REQ_GUEST_FLUSH);
	return 0;
}

static int keel_cr4_check_change(struct keel_vcpu *vcpu, unsigned long cr4)
{
	unsigned long changed = cr4 ^ vcpu->cr4;

	if (changed & cr4 & X86_CR4_PCIDE) {
		keel_need(vcpu, KEEL_R_CR3);
		if (!(vcpu->efer & EFER_LMA) || (vcpu->cr3 & X86_CR3_PCID_MASK))
			return 1;
	}
	if (vcpu->efer & EFER_LMA)
		return !(cr4 & X86_CR4_PAE) || (changed & X86_CR4_LA57);
	if (!(vcpu->cr0 & X86_CR0_PG) || !(cr4 & X86_CR4_PAE) || !(changed & KEEL_CR4_PDPTE))
		return 0;
	/* Last, since it changes what the guest has. */
	keel_need(vcpu, KEEL_R_CR3);
	return keel_pdptrs_load(vcpu, vcpu->cr3);
}

int keel_set_cr4(struct keel_vcpu *vcpu, unsigned long cr4)
{
	unsigned long changed;
	int ret;

	keel_need(vcpu, KEEL_R_CR0 | KEEL_R_CR4 | KEEL_R_EFER);
	if (cr4 & ~vcpu->cpuid.cr4_allowed)
		return 1;
	ret = keel_cr4_check_change(vcpu, cr4);
	if (ret)
		return ret;

	changed = cr4 ^ vcpu->cr4;
	vcpu->cr4 = cr4;
	keel_dirty(vcpu, KEEL_R_CR4);
	if (changed & X86_CR4_OSXSAVE)
		keel_fpu_xcr0_changed(vcpu);
	if (changed & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		keel_cpuid_runtime_update(vcpu);
	if (changed & KEEL_CR4_TLB)
		keel_request(vcpu, KEEL_REQ_GUEST_FLUSH);
	return 0;
}

int keel_set_cr8(struct keel_vcpu *vcpu, unsigned long cr8)
{
	if (cr8 & ~0xfUL)
		return 1;
	if (vcpu->lapic)
		keel_lapic_set_tpr(vcpu, cr8);
	else
		vcpu->cr8 = cr8;
	return 0;
}

unsigned long keel_get_cr8(struct keel_vcpu *vcpu)
{
	return vcpu->lapic ? keel_lapic_tpr(vcpu) : vcpu->cr8;
}

/**
 * keel_set_efer() - write EFER
 * @vcpu: the vCPU
 * @efer: the value; LMA is the CPU's own and is taken from CR0.PG and LME
 * @host: user space writes: bounded by the host's features, not the guest's CPUID
 */
int keel_set_efer(struct keel_vcpu *vcpu, u64 efer, bool host)
{
	u64 allowed = host ? keel_cpuid_efer_bits(NULL) : vcpu->cpuid.efer_allowed;

	keel_need(vcpu, KEEL_R_CR0 | KEEL_R_EFER);
	if (efer & ~(allowed | EFER_LMA))
		return 1;
	if (((efer ^ vcpu->efer) & EFER_LME) && (vcpu->cr0 & X86_CR0_PG))
		return 1;

	efer = (efer & ~(u64)EFER_LMA) | (vcpu->efer & EFER_LMA);
	/* NX gives bit 63 of an entry another meaning. */
	if ((efer ^ vcpu->efer) & EFER_NX)
		keel_request(vcpu, KEEL_REQ_GUEST_FLUSH);
	vcpu->efer = efer;
	keel_dirty(vcpu, KEEL_R_EFER);
	return 0;
}

/* Which sets of components go together: SDM vol. 1, "Enabling the XSAVE Feature Set". */
static bool keel_xcr0_valid(u64 xcr0)
{
	u64 avx512 = xcr0 & XFEATURE_MASK_AVX512;

	if (!(xcr0 & XFEATURE_MASK_FP))
		return false;
	if ((xcr0 & XFEATURE_MASK_YMM) && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	return !avx512 || (avx512 == XFEATURE_MASK_AVX512 && (xcr0 & XFEATURE_MASK_YMM));
}

int keel_set_xcr(struct keel_vcpu *vcpu, u32 index, u64 xcr)
{
	if (index != XCR_XFEATURE_ENABLED_MASK || !keel_xcr0_valid(xcr))
		return 1;
	if (xcr & ~(vcpu->cpuid.xcr0_allowed | XFEATURE_MASK_FP))
		return 1;
	vcpu->xcr0 = xcr;
	keel_fpu_xcr0_changed(vcpu);
	keel_cpuid_runtime_update(vcpu);
	return 0;
}

int keel_set_apic_base(struct keel_vcpu *vcpu, u64 base, bool host)
{
	/* The register's own rules hold wherever the APIC is. */
	return keel_lapic_set_base(vcpu, base, host);
}

/* ---- RESET and INIT ---- */

static void keel_reset_segment(struct kvm_segment *s, u8 type, bool code_or_data)
{
	memset(s, 0, sizeof(*s));
	s->limit = 0xffff;
	s->type = type;
	s->s = code_or_data;
	s->present = 1;
}

static void keel_reset_segments(struct keel_vcpu *vcpu)
{
	keel_reset_segment(&vcpu->cs, 0xb, true);
	vcpu->cs.selector = 0xf000;
	vcpu->cs.base = 0xffff0000;
	keel_reset_segment(&vcpu->ds, 0x3, true);
	keel_reset_segment(&vcpu->es, 0x3, true);
	keel_reset_segment(&vcpu->fs, 0x3, true);
	keel_reset_segment(&vcpu->gs, 0x3, true);
	keel_reset_segment(&vcpu->ss, 0x3, true);
	keel_reset_segment(&vcpu->tr, 0xb, false);
	keel_reset_segment(&vcpu->ldt, 0x2, false);
	memset(&vcpu->gdt, 0, sizeof(vcpu->gdt));
	memset(&vcpu->idt, 0, sizeof(vcpu->idt));
	vcpu->gdt.limit = 0xffff;
	vcpu->idt.limit = 0xffff;
	vcpu->guest_cpl = 0;
}

/**
 * keel_regs_reset() - registers after RESET or INIT
 * @vcpu: the vCPU; for INIT loaded
 * @init: INIT, which keeps CR0.CD and NW, the FPU and most MSRs
 *
 * SDM vol. 3, "Processor State After Reset".
 */
void keel_regs_reset(struct keel_vcpu *vcpu, bool init)
{
	unsigned long cache = X86_CR0_CD | X86_CR0_NW;
	u32 regs[4] = { 1 };

	if (init) {
		keel_need(vcpu, KEEL_R_CR0);
		cache &= vcpu->cr0;
	}
	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	keel_cpuid(vcpu, regs);
	vcpu->gpr[KEEL_RDX] = regs[0] ? regs[0] : 0x600;
	vcpu->rip = 0xfff0;
	vcpu->rflags = X86_EFLAGS_FIXED;
	vcpu->cr0 = X86_CR0_ET | cache;
	vcpu->cr2 = 0;
	vcpu->cr3 = 0;
	vcpu->cr4 = 0;
	vcpu->cr8 = 0;
	vcpu->efer = 0;
	keel_dr_reset(vcpu);
	vcpu->int_shadow = 0;
	keel_reset_segments(vcpu);
	keel_dirty(vcpu, KEEL_R_ALL & ~KEEL_R_SYSMSR);
	keel_fpu_xcr0_changed(vcpu);
	keel_cpuid_runtime_update(vcpu);
	keel_request(vcpu, KEEL_REQ_GUEST_FLUSH);
	keel_request(vcpu, KEEL_REQ_EVENT);
}

/* ---- the ioctls ---- */

int keel_get_regs(struct keel_vcpu *vcpu, struct kvm_regs *regs)
{
	unsigned long *g = vcpu->gpr;

	keel_need(vcpu, KEEL_R_RSP | KEEL_R_RIP | KEEL_R_RFLAGS);
	*regs = (struct kvm_regs) {
		.rax = g[KEEL_RAX], .rbx = g[KEEL_RBX], .rcx = g[KEEL_RCX], .rdx = g[KEEL_RDX],
		.rsi = g[KEEL_RSI], .rdi = g[KEEL_RDI], .rsp = g[KEEL_RSP], .rbp = g[KEEL_RBP],
		.r8 = g[KEEL_R8], .r9 = g[KEEL_R9], .r10 = g[KEEL_R10], .r11 = g[KEEL_R11],
		.r12 = g[KEEL_R12], .r13 = g[KEEL_R13], .r14 = g[KEEL_R14], .r15 = g[KEEL_R15],
		.rip = vcpu->rip, .rflags = vcpu->rflags,
	};
	return 0;
}

int keel_set_regs(struct keel_vcpu *vcpu, struct kvm_regs *regs)
{
	unsigned long *g = vcpu->gpr;

	g[KEEL_RAX] = regs->rax;
	g[KEEL_RBX] = regs->rbx;
	g[KEEL_RCX] = regs->rcx;
	g[KEEL_RDX] = regs->rdx;
	g[KEEL_RSI] = regs->rsi;
	g[KEEL_RDI] = regs->rdi;
	g[KEEL_RSP] = regs->rsp;
	g[KEEL_RBP] = regs->rbp;
	g[KEEL_R8] = regs->r8;
	g[KEEL_R9] = regs->r9;
	g[KEEL_R10] = regs->r10;
	g[KEEL_R11] = regs->r11;
	g[KEEL_R12] = regs->r12;
	g[KEEL_R13] = regs->r13;
	g[KEEL_R14] = regs->r14;
	g[KEEL_R15] = regs->r15;
	/* RFLAGS.IF and TF have a say in what a shadow holds back. */
	keel_need(vcpu, KEEL_R_SHADOW);
	keel_dirty(vcpu, KEEL_R_RSP | KEEL_R_SHADOW);
	keel_set_rip(vcpu, regs->rip);
	keel_set_rflags(vcpu, regs->rflags);
	/* An exception that has not been delivered belonged to the old registers. */
	vcpu->events.exc.pending = false;
	return 0;
}

static void keel_get_sregs_common(struct keel_vcpu *vcpu, struct kvm_sregs *s)
{
	keel_need(vcpu, KEEL_R_ALL);
	memset(s, 0, sizeof(*s));
	s->cs = vcpu->cs;
	s->ds = vcpu->ds;
	s->es = vcpu->es;
	s->fs = vcpu->fs;
	s->gs = vcpu->gs;
	s->ss = vcpu->ss;
	s->tr = vcpu->tr;
	s->ldt = vcpu->ldt;
	s->gdt = vcpu->gdt;
	s->idt = vcpu->idt;
	s->cr0 = vcpu->cr0;
	s->cr2 = vcpu->cr2;
	s->cr3 = vcpu->cr3;
	s->cr4 = vcpu->cr4;
	s->cr8 = keel_get_cr8(vcpu);
	s->efer = vcpu->efer;
	s->apic_base = vcpu->apic_base;
}

int keel_get_sregs(struct keel_vcpu *vcpu, struct kvm_sregs *sregs)
{
	keel_get_sregs_common(vcpu, sregs);
	if (vcpu->events.irq.injected && !vcpu->events.irq.soft)
		__set_bit(vcpu->events.irq.vector, (unsigned long *)sregs->interrupt_bitmap);
	return 0;
}

/* Nothing is changed before all of it has been found good. */
static bool keel_sregs_valid(struct keel_vcpu *vcpu, const struct kvm_sregs *s)
{
	if (!keel_cr0_valid(s->cr0) || (s->cr4 & ~vcpu->cpuid.cr4_allowed))
		return false;
	if (s->efer & ~(keel_cpuid_efer_bits(NULL) | EFER_LMA))
		return false;
	if ((s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		/* Long mode is active: it has PAE, and LMA says so. */
		return (s->cr4 & X86_CR4_PAE) && (s->efer & EFER_LMA) &&
		       !(s->cr3 & vcpu->cpuid.gpa_rsvd);
	}
	return !(s->efer & EFER_LMA) && !s->cs.l;
}

static void keel_sregs_apply(struct keel_vcpu *vcpu, const struct kvm_sregs *s)
{
	vcpu->cs = s->cs;
	vcpu->ds = s->ds;
	vcpu->es = s->es;
	vcpu->fs = s->fs;
	vcpu->gs = s->gs;
	vcpu->ss = s->ss;
	vcpu->tr = s->tr;
	vcpu->ldt = s->ldt;
	vcpu->gdt = s->gdt;
	vcpu->idt = s->idt;
	vcpu->guest_cpl = s->ss.dpl & 3;
	vcpu->cr0 = (s->cr0 & KEEL_CR0_BITS) | X86_CR0_ET;
	vcpu->cr2 = s->cr2;
	vcpu->cr3 = s->cr3;
	vcpu->cr4 = s->cr4;
	vcpu->efer = s->efer;
	keel_dirty(vcpu, KEEL_R_CR0 | KEEL_R_CR2 | KEEL_R_CR3 | KEEL_R_CR4 | KEEL_R_EFER |
			 KEEL_R_CS | KEEL_R_SS | KEEL_R_SEGS | KEEL_R_TABLES);
	/* As it is already, it stays with the lower half of the APIC's TPR, which CR8 lacks. */
	if (keel_get_cr8(vcpu) != (s->cr8 & 0xf))
		keel_set_cr8(vcpu, s->cr8 & 0xf);
	keel_fpu_xcr0_changed(vcpu);
	keel_cpuid_runtime_update(vcpu);
	keel_request(vcpu, KEEL_REQ_GUEST_FLUSH);
	keel_request(vcpu, KEEL_REQ_EVENT);

	/* Clients that put the boot CPU back to its reset vector expect it to run. */
	if (vcpu->id == vcpu->vm->bsp_id && keel_rip(vcpu) == 0xfff0 &&
	    s->cs.selector == 0xf000 && s->cs.base == 0xffff0000 && !(s->cr0 & X86_CR0_PE))
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

/* The client's order of filling memory and registers is its own: none is no error. */
static void keel_sregs_pdptrs(struct keel_vcpu *vcpu)
{
	if (keel_pae_paging(vcpu->cr0, vcpu->cr4, vcpu->efer) &&
	    keel_pdptrs_load(vcpu, vcpu->cr3)) {
		memset(vcpu->pdptr, 0, sizeof(vcpu->pdptr));
		keel_dirty(vcpu, KEEL_R_PDPTR);
	}
}

int keel_set_sregs(struct keel_vcpu *vcpu, struct kvm_sregs *sregs)
{
	unsigned long vector;

	if (!keel_sregs_valid(vcpu, sregs) || keel_set_apic_base(vcpu, sregs->apic_base, true))
		return -EINVAL;
	keel_sregs_apply(vcpu, sregs);
	keel_sregs_pdptrs(vcpu);
	vector = find_first_bit((unsigned long *)sregs->interrupt_bitmap, KVM_NR_INTERRUPTS);
	if (vector < KVM_NR_INTERRUPTS) {
		vcpu->events.irq.injected = true;
		vcpu->events.irq.soft = false;
		vcpu->events.irq.vector = vector;
		vcpu->events.irq.insn_len = 0;
	}
	return 0;
}

static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) ==
	      offsetof(struct kvm_sregs2, flags));

int keel_get_sregs2(struct keel_vcpu *vcpu, struct kvm_sregs2 *sregs)
{
	struct kvm_sregs s;
	int ret;

	keel_get_sregs_common(vcpu, &s);
	memset(sregs, 0, sizeof(*sregs));
	memcpy(sregs, &s, offsetof(struct kvm_sregs, interrupt_bitmap));
	if (!keel_pae_paging(vcpu->cr0, vcpu->cr4, vcpu->efer))
		return 0;
	/* Where the CPU reads them from memory at need, so does this. */
	if (keel_caps.pdpte_registers) {
		keel_need(vcpu, KEEL_R_PDPTR);
		memcpy(sregs->pdptrs, vcpu->pdptr, sizeof(sregs->pdptrs));
		ret = 0;
	} else {
		ret = keel_gpa_read(vcpu->vm, vcpu->cr3 & GENMASK(31, 5), sregs->pdptrs,
				    sizeof(sregs->pdptrs));
	}
	if (!ret)
		sregs->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	return ret == -EFAULT ? ret : 0;
}

int keel_set_sregs2(struct keel_vcpu *vcpu, struct kvm_sregs2 *sregs)
{
	bool pdptrs = sregs->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	struct kvm_sregs s = {};

	if (sregs->flags & ~KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if (pdptrs && !keel_pae_paging(sregs->cr0, sregs->cr4, sregs->efer))
		return -EINVAL;
	memcpy(&s, sregs, offsetof(struct kvm_sregs, interrupt_bitmap));
	if (!keel_sregs_valid(vcpu, &s) || keel_set_apic_base(vcpu, s.apic_base, true))
		return -EINVAL;
	keel_sregs_apply(vcpu, &s);
	if (pdptrs) {
		memcpy(vcpu->pdptr, sregs->pdptrs, sizeof(vcpu->pdptr));
		keel_dirty(vcpu, KEEL_R_PDPTR);
	} else {
		keel_sregs_pdptrs(vcpu);
	}
	return 0;
}
