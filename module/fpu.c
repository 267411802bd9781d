// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's x87, SSE, AVX, AVX-512 and PKRU state.
 *
 * It rests in a buffer of the module's own, in the standard (not compacted)
 * XSAVE format, and is in the registers only inside a kernel_fpu_begin()
 * section.  kernel_fpu_begin() saves the thread's user state first, and sets
 * it up to be loaded again on the way to user mode, so the two never mix.
 *
 * Save and restore run with the host's XCR0, which has every component that a
 * guest can have: what the guest turned off in its own XCR0 keeps its value,
 * as the manual asks (SDM vol. 1, "Managing State Using the XSAVE Feature
 * Set").  The guest's XCR0 is in force only between the two.  No XSAVE of the
 * host can run in between: interrupts see irq_fpu_usable() false, and
 * preemption is off.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/special_insns.h>

#include "keel.h"
#include "state.h"

/* What a guest may have at all; the host decides how much of it. */
#define KEEL_XCR0_GIVEN	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM | \
			 XFEATURE_MASK_AVX512 | XFEATURE_MASK_PKRU)

#define KEEL_FCW_INIT		0x37f
/* Processors whose FXSAVE stores 0 for MXCSR_MASK have this one (SDM vol. 1, "MXCSR"). */
#define KEEL_MXCSR_MASK_OLD	0xffbf

/**
 * struct keel_fpu - one vCPU's state; 64-byte aligned as XSAVE wants it
 * @xsave: the image; the slab object goes on to keel_fpu_size bytes
 */
struct keel_fpu {
	struct xregs_state xsave;
};

static struct kmem_cache *keel_fpu_cache;
static u32 keel_fpu_size;		/* bytes of an image */
static u64 keel_fpu_mask;		/* components switched; 0 without XSAVE */
static u64 keel_fpu_host_xcr0;
static u64 keel_fpu_host_xss;
static u32 keel_fpu_mxcsr_mask;
static struct {
	u32 offset, size;
	bool aligned;			/* in the compacted format */
} keel_fpu_comp[64];

/* PKRU of the thread whose section this CPU is in, and the XCR0 in force. */
static DEFINE_PER_CPU(u32, keel_fpu_host_pkru);
static DEFINE_PER_CPU(u64, keel_fpu_hw_xcr0);

u64 keel_fpu_xcr0_supported(void)
{
	return keel_fpu_mask;
}

/**
 * keel_fpu_xsave_size() - bytes of an XSAVE image in the standard format
 * @xcr0: its components
 */
u32 keel_fpu_xsave_size(u64 xcr0)
{
	u32 size = FXSAVE_SIZE + XSAVE_HDR_SIZE;
	u64 left = xcr0 & ~XFEATURE_MASK_FPSSE;
	int i;

	for (; left; left &= left - 1) {
		i = __ffs64(left);
		size = max(size, keel_fpu_comp[i].offset + keel_fpu_comp[i].size);
	}
	return size;
}

/**
 * keel_fpu_xsavec_size() - bytes of an XSAVE image in the compacted format
 * @xcr0: its components
 */
u32 keel_fpu_xsavec_size(u64 xcr0)
{
	u32 size = FXSAVE_SIZE + XSAVE_HDR_SIZE;
	u64 left = xcr0 & ~XFEATURE_MASK_FPSSE;
	int i;

	for (; left; left &= left - 1) {
		i = __ffs64(left);
		if (keel_fpu_comp[i].aligned)
			size = ALIGN(size, 64);
		size += keel_fpu_comp[i].size;
	}
	return size;
}

static void keel_fpu_save(struct keel_fpu *fpu)
{
	u32 lo = keel_fpu_mask, hi = keel_fpu_mask >> 32;

	/* Cannot fault: aligned, mapped, and CR4.OSXSAVE is the host's. */
	if (keel_fpu_mask)
		asm volatile("xsave64 %0" : "+m" (fpu->xsave) : "a" (lo), "d" (hi) : "memory");
	else
		asm volatile("fxsave64 %0" : "=m" (fpu->xsave.i387) : : "memory");
}

/*
 * The image was checked when user space set it.  The exception table is the
 * second line of defence: a #GP here would take the host down.
 */
static int keel_fpu_restore(struct keel_fpu *fpu)
{
	u32 lo = keel_fpu_mask, hi = keel_fpu_mask >> 32;
	int err;

	/*
	 * AMD does not load FIP, FDP and FOP unless an exception is pending
	 * (APM vol. 2, "FXRSTOR"): an x87 instruction with an operand known to
	 * the guest anyhow keeps the host's from being seen.
	 */
	if (static_cpu_has_bug(X86_BUG_FXSAVE_LEAK))
		asm volatile("fnclex\n\temms\n\tfildl %0" : : "m" (fpu->xsave.header));

	if (keel_fpu_mask)
		asm volatile("1: xrstor64 %1\n\txor %0, %0\n2:\n"
			     _ASM_EXTABLE(1b, 2b)
			     : "=&r" (err)
			     : "m" (fpu->xsave), "a" (lo), "d" (hi), "0" (-EFAULT)
			     : "memory");
	else
		asm volatile("1: fxrstor64 %1\n\txor %0, %0\n2:\n"
			     _ASM_EXTABLE(1b, 2b)
			     : "=&r" (err)
			     : "m" (fpu->xsave.i387), "0" (-EFAULT)
			     : "memory");
	return err;
}

static void keel_fpu_init_image(struct keel_fpu *fpu)
{
	memset(fpu, 0, keel_fpu_size);
	fpu->xsave.i387.cwd = KEEL_FCW_INIT;
	fpu->xsave.i387.mxcsr = MXCSR_DEFAULT;
	fpu->xsave.i387.mxcsr_mask = keel_fpu_mxcsr_mask;
}

/* XCR0 that must be in the CPU while the guest runs. */
static u64 keel_fpu_want_xcr0(struct keel_vcpu *vcpu)
{
	/* Without CR4.OSXSAVE the guest cannot tell: save two XSETBVs. */
	return vcpu->cr4 & X86_CR4_OSXSAVE ? vcpu->xcr0 : keel_fpu_host_xcr0;
}

static void keel_fpu_put_xcr0(u64 xcr0)
{
	if (__this_cpu_read(keel_fpu_hw_xcr0) == xcr0)
		return;
	xsetbv(XCR_XFEATURE_ENABLED_MASK, xcr0);
	__this_cpu_write(keel_fpu_hw_xcr0, xcr0);
}

/**
 * keel_fpu_xcr0_changed() - the guest's XCR0 or CR4.OSXSAVE has a new value
 * @vcpu: the vCPU
 */
void keel_fpu_xcr0_changed(struct keel_vcpu *vcpu)
{
	if (vcpu->fpu_live && keel_fpu_mask)
		keel_fpu_put_xcr0(keel_fpu_want_xcr0(vcpu));
}

/**
 * keel_fpu_load() - put the guest's state into the registers
 * @vcpu: the vCPU
 *
 * Opens a kernel_fpu_begin() section: preemption is off on return.
 */
void keel_fpu_load(struct keel_vcpu *vcpu)
{
	if (vcpu->fpu_live)
		return;
	/* The restore below sets everything, so nothing need be initialised. */
	kernel_fpu_begin_mask(0);
	vcpu->fpu_live = true;
	vcpu->stats.fpu_loads++;
	/*
	 * PKRU is not part of what the kernel reloads on return to user mode:
	 * the thread's value lives in the register all the time.
	 */
	if (keel_fpu_mask & XFEATURE_MASK_PKRU)
		__this_cpu_write(keel_fpu_host_pkru, rdpkru());
	if (unlikely(keel_fpu_restore(vcpu->fpu))) {
		pr_warn_once("keel: a guest's FPU image did not load\n");
		keel_fpu_init_image(vcpu->fpu);
		keel_fpu_restore(vcpu->fpu);
	}
	if (!keel_fpu_mask)
		return;
	/* Not every CPU can stop a guest's XSAVES: with XSS 0 it saves nothing of the host. */
	if (keel_fpu_host_xss)
		wrmsrl(MSR_IA32_XSS, 0);
	__this_cpu_write(keel_fpu_hw_xcr0, keel_fpu_host_xcr0);
	keel_fpu_put_xcr0(keel_fpu_want_xcr0(vcpu));
}

/*
 * Not every emulator of a CPU stops a guest's XSETBV (QEMU's TCG does not, as of
 * 7.2).  There, what the guest wrote is found here, before the host's value is
 * believed to be in place.
 */
static void keel_fpu_find_xcr0(struct keel_vcpu *vcpu)
{
	u64 now;

	if (!static_cpu_has(X86_FEATURE_HYPERVISOR))
		return;
	now = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (likely(now == __this_cpu_read(keel_fpu_hw_xcr0)))
		return;
	__this_cpu_write(keel_fpu_hw_xcr0, now);
	/*
	 * By the rules for any XSETBV: a client's CPUID may leave out parts of what goes
	 * together, and such a rest would be a #GP in the host at the next load.
	 */
	keel_set_xcr(vcpu, XCR_XFEATURE_ENABLED_MASK, now);
}

/**
 * keel_fpu_put() - take the guest's state out of the registers
 * @vcpu: the vCPU
 *
 * Ends what keel_fpu_load() began; nothing when the state is not live.
 */
void keel_fpu_put(struct keel_vcpu *vcpu)
{
	if (!vcpu->fpu_live)
		return;
	if (keel_fpu_mask) {
		keel_fpu_find_xcr0(vcpu);
		keel_fpu_put_xcr0(keel_fpu_host_xcr0);
		if (keel_fpu_host_xss)
			wrmsrl(MSR_IA32_XSS, keel_fpu_host_xss);
	}
	keel_fpu_save(vcpu->fpu);
	/* After the save, and before anything touches user memory again. */
	if (keel_fpu_mask & XFEATURE_MASK_PKRU)
		wrpkru(__this_cpu_read(keel_fpu_host_pkru));
	vcpu->fpu_live = false;
	kernel_fpu_end();
}

/* The reset that follows sets it up. */
int keel_fpu_create(struct keel_vcpu *vcpu)
{
	vcpu->fpu = kmem_cache_alloc(keel_fpu_cache, GFP_KERNEL_ACCOUNT);
	return vcpu->fpu ? 0 : -ENOMEM;
}

void keel_fpu_free(struct keel_vcpu *vcpu)
{
	if (vcpu->fpu)
		kmem_cache_free(keel_fpu_cache, vcpu->fpu);
	vcpu->fpu = NULL;
}

/**
 * keel_fpu_reset() - as RESET or INIT leaves the FPU
 * @vcpu: the vCPU
 * @init: INIT, which keeps all of it (SDM vol. 3, "Processor State After Reset")
 *
 * RESET leaves FCW at 40H by that table; a vCPU starts as after FNINIT all the
 * same, which is what clients of KVM find and some guests rely on.
 */
void keel_fpu_reset(struct keel_vcpu *vcpu, bool init)
{
	if (init)
		return;
	keel_vcpu_put(vcpu);
	keel_fpu_init_image(vcpu->fpu);
	vcpu->xcr0 = XFEATURE_MASK_FP;
	vcpu->xss = 0;
}

static void keel_fpu_probe_components(void)
{
	u32 eax, ebx, ecx, edx;
	int i;

	for (i = FIRST_EXTENDED_XFEATURE; i < 63; i++) {
		if (!(keel_fpu_mask & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
		keel_fpu_comp[i].size = eax;
		keel_fpu_comp[i].offset = ebx;
		keel_fpu_comp[i].aligned = ecx & BIT(1);
	}
}

static u32 keel_fpu_probe_mxcsr_mask(void)
{
	static struct fxregs_state fx;

	kernel_fpu_begin();
	asm volatile("fxsave %0" : "=m" (fx));
	kernel_fpu_end();
	return fx.mxcsr_mask ? fx.mxcsr_mask : KEEL_MXCSR_MASK_OLD;
}

int keel_fpu_module_init(void)
{
	u64 mask = 0;

	if (boot_cpu_has(X86_FEATURE_XSAVE) && boot_cpu_has(X86_FEATURE_OSXSAVE)) {
		keel_fpu_host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
		mask = keel_fpu_host_xcr0 & KEEL_XCR0_GIVEN;
		/* The three AVX-512 components come together or not at all. */
		if ((mask & XFEATURE_MASK_AVX512) != XFEATURE_MASK_AVX512)
			mask &= ~(u64)XFEATURE_MASK_AVX512;
		if (!boot_cpu_has(X86_FEATURE_OSPKE))
			mask &= ~(u64)XFEATURE_MASK_PKRU;
		/* Host's perf wants it in a section as well: it saves branch records by XSAVES. */
		if (boot_cpu_has(X86_FEATURE_XSAVES) && !keel_caps.no_xsaves)
			rdmsrl(MSR_IA32_XSS, keel_fpu_host_xss);
	}
	keel_fpu_mask = mask;
	keel_fpu_probe_components();
	keel_fpu_mxcsr_mask = keel_fpu_probe_mxcsr_mask();
	keel_fpu_size = max_t(u32, keel_fpu_xsave_size(mask), sizeof(struct keel_fpu));
	keel_fpu_cache = kmem_cache_create("keel_fpu", ALIGN(keel_fpu_size, 64), 64,
					   SLAB_ACCOUNT, NULL);
	return keel_fpu_cache ? 0 : -ENOMEM;
}

void keel_fpu_module_exit(void)
{
	kmem_cache_destroy(keel_fpu_cache);
	keel_fpu_cache = NULL;
}

/* ---- the image, read and written from outside ---- */

/*
 * A component whose bit is clear in XSTATE_BV is in its initial state whatever
 * the image holds.  Before a part is changed, the rest has to say the same
 * with its bit set.
 */
static void keel_fpu_materialise(struct keel_fpu *fpu, u64 component)
{
	u64 missing = component & keel_fpu_mask & ~fpu->xsave.header.xfeatures;

	if (missing & XFEATURE_MASK_FP) {
		struct fxregs_state *fx = &fpu->xsave.i387;

		fx->cwd = KEEL_FCW_INIT;
		fx->swd = 0;
		fx->twd = 0;
		fx->fop = 0;
		fx->rip = 0;
		fx->rdp = 0;
		memset(fx->st_space, 0, sizeof(fx->st_space));
	}
	if (missing & XFEATURE_MASK_SSE)
		memset(fpu->xsave.i387.xmm_space, 0, sizeof(fpu->xsave.i387.xmm_space));
	fpu->xsave.header.xfeatures |= missing;
}

void keel_fpu_xmm_get(struct keel_vcpu *vcpu, int reg, u8 data[16])
{
	keel_vcpu_put(vcpu);
	keel_fpu_materialise(vcpu->fpu, XFEATURE_MASK_SSE);
	memcpy(data, (u8 *)vcpu->fpu->xsave.i387.xmm_space + 16 * (reg & 15), 16);
}

void keel_fpu_xmm_set(struct keel_vcpu *vcpu, int reg, const u8 data[16])
{
	keel_vcpu_put(vcpu);
	keel_fpu_materialise(vcpu->fpu, XFEATURE_MASK_SSE);
	memcpy((u8 *)vcpu->fpu->xsave.i387.xmm_space + 16 * (reg & 15), data, 16);
}

/**
 * keel_fpu_pkru() - the guest's PKRU, for the walk of its page tables
 * @vcpu: the vCPU, its state not live
 */
u32 keel_fpu_pkru(struct keel_vcpu *vcpu)
{
	struct keel_fpu *fpu = vcpu->fpu;

	keel_vcpu_put(vcpu);
	if (!(keel_fpu_mask & fpu->xsave.header.xfeatures & XFEATURE_MASK_PKRU))
		return 0;
	return *(u32 *)((u8 *)fpu + keel_fpu_comp[XFEATURE_PKRU].offset);
}

/**
 * keel_fpu_user_begin() - before user memory is touched with the guest's state live
 * @vcpu: the vCPU
 *
 * The kernel's accesses to user pages obey the PKRU in the register: the thread's goes there.
 * Return: for keel_fpu_user_end().
 */
u32 keel_fpu_user_begin(struct keel_vcpu *vcpu)
{
	u32 guest;

	if (!vcpu->fpu_live || !(keel_fpu_mask & XFEATURE_MASK_PKRU))
		return 0;
	guest = rdpkru();
	if (guest != __this_cpu_read(keel_fpu_host_pkru))
		wrpkru(__this_cpu_read(keel_fpu_host_pkru));
	return guest;
}

/**
 * keel_fpu_user_end() - after it
 * @vcpu: the vCPU
 * @guest: what keel_fpu_user_begin() returned
 */
void keel_fpu_user_end(struct keel_vcpu *vcpu, u32 guest)
{
	if (!vcpu->fpu_live || !(keel_fpu_mask & XFEATURE_MASK_PKRU))
		return;
	if (guest != __this_cpu_read(keel_fpu_host_pkru))
		wrpkru(guest);
}

int keel_get_fpu(struct keel_vcpu *vcpu, struct kvm_fpu *f)
{
	const struct fxregs_state *fx = &vcpu->fpu->xsave.i387;

	keel_vcpu_put(vcpu);
	keel_fpu_materialise(vcpu->fpu, XFEATURE_MASK_FPSSE);
	memset(f, 0, sizeof(*f));
	memcpy(f->fpr, fx->st_space, sizeof(f->fpr));
	f->fcw = fx->cwd;
	f->fsw = fx->swd;
	f->ftwx = fx->twd;
	f->last_opcode = fx->fop;
	f->last_ip = fx->rip;
	f->last_dp = fx->rdp;
	memcpy(f->xmm, fx->xmm_space, sizeof(f->xmm));
	f->mxcsr = fx->mxcsr;
	return 0;
}

int keel_set_fpu(struct keel_vcpu *vcpu, struct kvm_fpu *f)
{
	struct fxregs_state *fx = &vcpu->fpu->xsave.i387;

	if (f->mxcsr & ~keel_fpu_mxcsr_mask)
		return -EINVAL;
	keel_vcpu_put(vcpu);
	keel_fpu_materialise(vcpu->fpu, XFEATURE_MASK_FPSSE);
	memcpy(fx->st_space, f->fpr, sizeof(f->fpr));
	fx->cwd = f->fcw;
	fx->swd = f->fsw;
	fx->twd = f->ftwx;
	fx->fop = f->last_opcode;
	fx->rip = f->last_ip;
	fx->rdp = f->last_dp;
	memcpy(fx->xmm_space, f->xmm, sizeof(f->xmm));
	fx->mxcsr = f->mxcsr;
	return 0;
}

/**
 * keel_get_xsave() - KVM_GET_XSAVE and KVM_GET_XSAVE2
 * @vcpu: the vCPU
 * @dst: user space's buffer
 * @size: its length; all of it is written
 */
int keel_get_xsave(struct keel_vcpu *vcpu, void __user *dst, size_t size)
{
	struct xregs_state *image;
	int ret = 0;

	size = max(size, sizeof(struct kvm_xsave));
	if (WARN_ON_ONCE(keel_fpu_size > size))
		return -EINVAL;
	image = kzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!image)
		return -ENOMEM;

	keel_vcpu_put(vcpu);
	keel_fpu_materialise(vcpu->fpu, XFEATURE_MASK_FPSSE);
	memcpy(image, vcpu->fpu, keel_fpu_size);
	if (!keel_fpu_mask)
		image->header.xfeatures = XFEATURE_MASK_FPSSE;
	if (copy_to_user(dst, image, size))
		ret = -EFAULT;
	kfree(image);
	return ret;
}

/* What XRSTOR would answer with #GP (SDM vol. 1, "Standard Form of XRSTOR"), and MXCSR. */
static bool keel_fpu_image_valid(const struct xregs_state *image)
{
	const struct xstate_header *h = &image->header;

	if (h->xfeatures & ~(keel_fpu_mask | XFEATURE_MASK_FPSSE))
		return false;
	if (h->xcomp_bv || memchr_inv(h->reserved, 0, sizeof(h->reserved)))
		return false;
	return !(image->i387.mxcsr & ~keel_fpu_mxcsr_mask);
}

int keel_set_xsave(struct keel_vcpu *vcpu, const void __user *src)
{
	struct xregs_state *image;
	int ret = 0;

	image = memdup_user(src, sizeof(struct kvm_xsave));
	if (IS_ERR(image))
		return PTR_ERR(image);
	if (keel_fpu_image_valid(image)) {
		keel_vcpu_put(vcpu);
		memcpy(vcpu->fpu, image, keel_fpu_size);
		vcpu->fpu->xsave.i387.mxcsr_mask = keel_fpu_mxcsr_mask;
		vcpu->fpu->xsave.header.xfeatures &= keel_fpu_mask;
	} else {
		ret = -EINVAL;
	}
	kfree(image);
	return ret;
}

int keel_get_xcrs(struct keel_vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	if (!keel_fpu_mask)
		return -EINVAL;
	memset(xcrs, 0, sizeof(*xcrs));
	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	xcrs->xcrs[0].value = vcpu->xcr0;
	return 0;
}

int keel_set_xcrs(struct keel_vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	u32 i;

	if (!keel_fpu_mask || xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++) {
		if (xcrs->xcrs[i].xcr != XCR_XFEATURE_ENABLED_MASK)
			continue;
		return keel_set_xcr(vcpu, 0, xcrs->xcrs[i].value) ? -EINVAL : 0;
	}
	return 0;
}
