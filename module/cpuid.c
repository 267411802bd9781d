// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's CPUID: what user space set, with the bits that follow the guest's
 * registers put in when it is read.  The set itself is never changed, so that
 * "the same set again" is a plain comparison.
 */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>

#include "keel.h"
#include "state.h"

#define KEEL_CPUID_1_OSXSAVE	BIT(27)
#define KEEL_CPUID_1_APIC	BIT(9)
#define KEEL_CPUID_1_MWAIT	BIT(3)
#define KEEL_CPUID_7_OSPKE	BIT(4)

/* Index into cpuid.first for a function; -1: it has no place there. */
static __always_inline int keel_cpuid_place(u32 function)
{
	u32 low = function & ~0xc0000000U, range = function >> 30;

	if (low >= KEEL_CPUID_LEAVES || range >= KEEL_CPUID_RANGES)
		return -1;
	return array_index_nospec(range * KEEL_CPUID_LEAVES + low,
				  KEEL_CPUID_RANGES * KEEL_CPUID_LEAVES);
}

static bool keel_cpuid_is(const struct kvm_cpuid_entry2 *e, u32 function, u32 index)
{
	return e->function == function &&
	       (e->index == index || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX));
}

static const struct kvm_cpuid_entry2 *keel_cpuid_find(const struct keel_cpuid *c,
						      u32 function, u32 index)
{
	int place = keel_cpuid_place(function);
	const struct kvm_cpuid_entry2 *e = c->entry;

	if (place >= 0) {
		e = c->first[place];
		if (!e)
			return NULL;
	}
	for (; e < c->entry + c->nent; e++) {
		if (keel_cpuid_is(e, function, index))
			return e;
	}
	return NULL;
}

static void keel_cpuid_index(struct keel_cpuid *c)
{
	int i, place;

	memset(c->first, 0, sizeof(c->first));
	for (i = c->nent - 1; i >= 0; i--) {
		place = keel_cpuid_place(c->entry[i].function);
		if (place >= 0)
			c->first[place] = &c->entry[i];
	}
}

/* Has keel_cpuid_dynamic() something to do? */
static bool keel_cpuid_is_dynamic(u32 function)
{
	return function < BITS_PER_LONG && (BIT(function) & (BIT(1) | BIT(7) | BIT(0xd)));
}

/* What depends on the guest's registers (SDM vol. 2, "CPUID"). */
static void keel_cpuid_dynamic(struct keel_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	switch (e->function) {
	case 1:
		e->ecx &= ~KEEL_CPUID_1_OSXSAVE;
		/* Writes of CR4 exit: the vcpu's copy is the newest. */
		if (vcpu->cr4 & X86_CR4_OSXSAVE)
			e->ecx |= KEEL_CPUID_1_OSXSAVE;
		if (vcpu->lapic) {
			e->edx &= ~KEEL_CPUID_1_APIC;
			if (vcpu->apic_base & MSR_IA32_APICBASE_ENABLE)
				e->edx |= KEEL_CPUID_1_APIC;
		}
		if (vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT) {
			e->ecx &= ~KEEL_CPUID_1_MWAIT;
			if (vcpu->misc_enable & MSR_IA32_MISC_ENABLE_MWAIT)
				e->ecx |= KEEL_CPUID_1_MWAIT;
		}
		break;
	case 7:
		if (e->index)
			break;
		e->ecx &= ~KEEL_CPUID_7_OSPKE;
		if (vcpu->cr4 & X86_CR4_PKE)
			e->ecx |= KEEL_CPUID_7_OSPKE;
		break;
	case 0xd:
		if (e->index == 0)
			e->ebx = vcpu->cpuid.xsave_size;
		else if (e->index == 1 && (e->eax & BIT(X86_FEATURE_XSAVEC % 32)))
			e->ebx = vcpu->cpuid.xsavec_size;
		break;
	}
}

/**
 * keel_cpuid_runtime_update() - XCR0 has changed
 * @vcpu: the vCPU
 *
 * The other bits that follow registers are put in at each read.
 */
void keel_cpuid_runtime_update(struct keel_vcpu *vcpu)
{
	vcpu->cpuid.xsave_size = keel_fpu_xsave_size(vcpu->xcr0);
	vcpu->cpuid.xsavec_size = keel_fpu_xsavec_size(vcpu->xcr0);
}

/* The highest leaf of @function's range, 0 if the client gave none. */
static u32 keel_cpuid_limit(const struct keel_cpuid *c, u32 function)
{
	u32 base = 0;
	const struct kvm_cpuid_entry2 *e;

	if (function >= 0x40000000 && function <= 0x4fffffff)
		base = function & 0xffffff00;
	else if (function >= 0x80000000)
		base = function >= 0xc0000000 ? 0xc0000000 : 0x80000000;
	e = keel_cpuid_find(c, base, 0);
	return e ? e->eax : 0;
}

/*
 * A leaf that the client did not give.  AMD answers with zeros; Intel answers
 * a leaf above the limit of its range with the highest basic leaf's data (SDM
 * vol. 2, "CPUID": "If a value entered for CPUID.EAX is higher...").
 */
static const struct kvm_cpuid_entry2 *keel_cpuid_out_of_range(const struct keel_cpuid *c,
							      u32 function, u32 index)
{
	const struct kvm_cpuid_entry2 *basic;

	if (c->amd)
		return NULL;
	if (function <= keel_cpuid_limit(c, function))
		return NULL;
	basic = keel_cpuid_find(c, 0, 0);
	return basic ? keel_cpuid_find(c, basic->eax, index) : NULL;
}

/**
 * keel_cpuid() - what CPUID gives the guest
 * @vcpu: the vCPU
 * @regs: EAX, EBX, ECX, EDX: leaf and subleaf, the result
 */
void keel_cpuid(struct keel_vcpu *vcpu, u32 regs[4])
{
	u32 function = regs[0], index = regs[2];
	const struct keel_cpuid *c = &vcpu->cpuid;
	const struct kvm_cpuid_entry2 *found = keel_cpuid_find(c, function, index);
	struct kvm_cpuid_entry2 e = {};

	if (!found)
		found = keel_cpuid_out_of_range(c, function, index);
	if (found) {
		e = *found;
		keel_cpuid_dynamic(vcpu, &e);
	} else if (function == 0xb || function == 0x1f) {
		/* Topology leaves tell their own index and the x2APIC id at every level. */
		found = keel_cpuid_find(c, function, 1);
		if (found) {
			e.ecx = index & 0xff;
			e.edx = found->edx;
		}
	}
	regs[0] = e.eax;
	regs[1] = e.ebx;
	regs[2] = e.ecx;
	regs[3] = e.edx;
}

static noinline void keel_cpuid_exec_slowly(struct keel_vcpu *vcpu)
{
	u32 regs[4] = { vcpu->gpr[KEEL_RAX], 0, vcpu->gpr[KEEL_RCX], 0 };

	keel_cpuid(vcpu, regs);
	vcpu->gpr[KEEL_RAX] = regs[0];
	vcpu->gpr[KEEL_RBX] = regs[1];
	vcpu->gpr[KEEL_RCX] = regs[2];
	vcpu->gpr[KEEL_RDX] = regs[3];
}

/**
 * keel_cpuid_exec() - execute CPUID with the guest's registers
 * @vcpu: the vCPU
 */
void keel_cpuid_exec(struct keel_vcpu *vcpu)
{
	u32 function = vcpu->gpr[KEEL_RAX], index = vcpu->gpr[KEEL_RCX];
	int place = keel_cpuid_place(function);
	const struct kvm_cpuid_entry2 *e = place >= 0 ? vcpu->cpuid.first[place] : NULL;

	if (unlikely(!e || !keel_cpuid_is(e, function, index)) || keel_cpuid_is_dynamic(function)) {
		keel_cpuid_exec_slowly(vcpu);
		return;
	}
	vcpu->gpr[KEEL_RAX] = e->eax;
	vcpu->gpr[KEEL_RBX] = e->ebx;
	vcpu->gpr[KEEL_RCX] = e->ecx;
	vcpu->gpr[KEEL_RDX] = e->edx;
}

/**
 * keel_guest_has() - has the guest this feature?
 * @vcpu: the vCPU
 * @feature: X86_FEATURE_*, one that CPUID shows
 *
 * False for a feature that the module cannot give, whatever the client set:
 * a true answer may be followed by using the host's register behind it.
 */
bool keel_guest_has(struct keel_vcpu *vcpu, unsigned int feature)
{
	return vcpu->cpuid.caps[feature / 32] & BIT(feature % 32);
}

/* ---- what follows from a set ---- */

static void keel_cpuid_derive_caps(struct keel_cpuid *c)
{
	int i;

	for (i = 0; i < NCAPINTS; i++) {
		const struct keel_cpuid_word *w = &keel_cpuid_words[i];
		const struct kvm_cpuid_entry2 *e;

		c->caps[i] = 0;
		if (!w->valid)
			continue;
		e = keel_cpuid_find(c, w->function, w->index);
		if (e)
			c->caps[i] = keel_cpuid_value(e, w->reg) & keel_cpuid_word_believed(i);
	}
}

static bool keel_cpuid_vendor_amd(const struct keel_cpuid *c)
{
	const struct kvm_cpuid_entry2 *e = keel_cpuid_find(c, 0, 0);
	u32 vendor[3];

	if (!e)
		return false;
	vendor[0] = e->ebx;
	vendor[1] = e->edx;
	vendor[2] = e->ecx;
	return !memcmp(vendor, "AuthenticAMD", 12) || !memcmp(vendor, "HygonGenuine", 12);
}

static void keel_cpuid_set_maxphyaddr(struct keel_cpuid *c, u8 bits)
{
	c->maxphyaddr = clamp_t(u8, bits, 32, 52);
	c->gpa_rsvd = ~0ULL << c->maxphyaddr;
}

static void keel_cpuid_derive(struct keel_cpuid *c)
{
	const struct kvm_cpuid_entry2 *e;

	keel_cpuid_index(c);
	keel_cpuid_derive_caps(c);
	c->amd = keel_cpuid_vendor_amd(c);
	c->cr4_allowed = keel_cpuid_cr4_bits(c->caps);
	c->efer_allowed = keel_cpuid_efer_bits(c->caps);

	e = keel_cpuid_find(c, 0xd, 0);
	c->xcr0_allowed = e ? (e->eax | (u64)e->edx << 32) & keel_fpu_xcr0_supported() : 0;

	e = keel_cpuid_find(c, 0x80000000, 0);
	if (e && e->eax >= 0x80000008)
		e = keel_cpuid_find(c, 0x80000008, 0);
	else
		e = NULL;
	keel_cpuid_set_maxphyaddr(c, e && (e->eax & 0xff) ? e->eax & 0xff : 36);
}

/**
 * keel_cpuid_vcpu_init() - before any KVM_SET_CPUID2: nothing shown, nothing forbidden
 * @vcpu: the vCPU
 *
 * Small clients never set CPUID and still use long mode.
 */
void keel_cpuid_vcpu_init(struct keel_vcpu *vcpu)
{
	struct keel_cpuid *c = &vcpu->cpuid;

	c->cr4_allowed = keel_cpuid_cr4_bits(NULL);
	c->efer_allowed = keel_cpuid_efer_bits(NULL);
	keel_cpuid_set_maxphyaddr(c, 36);
	keel_cpuid_runtime_update(vcpu);
}

void keel_cpuid_free(struct keel_vcpu *vcpu)
{
	kvfree(vcpu->cpuid.entry);
	vcpu->cpuid.entry = NULL;
	vcpu->cpuid.nent = 0;
}

/* ---- the ioctls ---- */

static bool keel_cpuid_set_valid(const struct kvm_cpuid_entry2 *e, u32 nent)
{
	u32 i;

	for (i = 0; i < nent; i++) {
		u32 virt = (e[i].eax >> 8) & 0xff;

		if (e[i].function == 0x80000008 && virt != 0 && virt != 48 && virt != 57)
			return false;
	}
	return true;
}

/* A vCPU that has run may be told again what it has been told. */
static bool keel_cpuid_same(struct keel_vcpu *vcpu, const struct kvm_cpuid_entry2 *e, u32 nent)
{
	const struct keel_cpuid *c = &vcpu->cpuid;
	u32 i;

	if (c->nent != nent)
		return false;
	for (i = 0; i < nent; i++) {
		struct kvm_cpuid_entry2 a = c->entry[i], b = e[i];

		/* The new one may come from KVM_GET_CPUID2, with the dynamic bits in it. */
		keel_cpuid_dynamic(vcpu, &a);
		keel_cpuid_dynamic(vcpu, &b);
		/* The padding means nothing, and clients leave it as it came. */
		if (memcmp(&a, &b, offsetof(struct kvm_cpuid_entry2, padding)))
			return false;
	}
	return true;
}

static int keel_cpuid_set(struct keel_vcpu *vcpu, struct kvm_cpuid_entry2 *e, u32 nent)
{
	struct keel_cpuid *c = &vcpu->cpuid;

	if (!keel_cpuid_set_valid(e, nent))
		return -EINVAL;
	if (vcpu->has_run) {
		if (!keel_cpuid_same(vcpu, e, nent))
			return -EINVAL;
		kvfree(e);
		return 0;
	}
	kvfree(c->entry);
	c->entry = e;
	c->nent = nent;
	keel_cpuid_derive(c);
	keel_cpuid_runtime_update(vcpu);
	keel_ops.set_intercepts(vcpu);
	return 0;
}

/**
 * keel_cpuid_ioctl_set() - KVM_SET_CPUID2
 * @vcpu: the vCPU
 * @u: the argument
 */
int keel_cpuid_ioctl_set(struct keel_vcpu *vcpu, struct kvm_cpuid2 __user *u)
{
	struct kvm_cpuid_entry2 *e = NULL;
	struct kvm_cpuid2 head;
	int ret;

	if (copy_from_user(&head, u, sizeof(head)))
		return -EFAULT;
	if (head.nent > KEEL_MAX_CPUID_ENTRIES)
		return -E2BIG;
	if (head.nent) {
		e = vmemdup_user(u->entries, array_size(sizeof(*e), head.nent));
		if (IS_ERR(e))
			return PTR_ERR(e);
	}
	ret = keel_cpuid_set(vcpu, e, head.nent);
	if (ret)
		kvfree(e);
	return ret;
}

/**
 * keel_cpuid_ioctl_get() - KVM_GET_CPUID2
 * @vcpu: the vCPU
 * @u: the argument
 */
int keel_cpuid_ioctl_get(struct keel_vcpu *vcpu, struct kvm_cpuid2 __user *u)
{
	const struct keel_cpuid *c = &vcpu->cpuid;
	struct kvm_cpuid_entry2 e;
	u32 room;
	int i;

	if (get_user(room, &u->nent))
		return -EFAULT;
	if (room < c->nent)
		return -E2BIG;
	for (i = 0; i < c->nent; i++) {
		e = c->entry[i];
		keel_cpuid_dynamic(vcpu, &e);
		if (copy_to_user(&u->entries[i], &e, sizeof(e)))
			return -EFAULT;
	}
	return put_user((u32)c->nent, &u->nent) ? -EFAULT : 0;
}

/* The emulated list was once meant to take input: what is not zero must not be let through. */
static int keel_cpuid_padding_zero(struct kvm_cpuid2 __user *u, u32 nent)
{
	u32 pad[3], i;

	for (i = 0; i < nent; i++) {
		if (copy_from_user(pad, u->entries[i].padding, sizeof(pad)))
			return -EFAULT;
		if (pad[0] || pad[1] || pad[2])
			return -EINVAL;
	}
	return 0;
}

/**
 * keel_cpuid_ioctl_supported() - KVM_GET_SUPPORTED_CPUID, KVM_GET_EMULATED_CPUID
 * @u: the argument
 * @emulated: which
 */
int keel_cpuid_ioctl_supported(struct kvm_cpuid2 __user *u, bool emulated)
{
	struct kvm_cpuid_entry2 *e;
	u32 room;
	int ret;

	if (get_user(room, &u->nent))
		return -EFAULT;
	if (room < 1)
		return -E2BIG;
	room = min_t(u32, room, KEEL_MAX_CPUID_ENTRIES);
	if (emulated) {
		ret = keel_cpuid_padding_zero(u, room);
		if (ret)
			return ret;
	}
	e = kvcalloc(room, sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	ret = keel_cpuid_fill_supported(e, room, emulated);
	if (ret > 0) {
		room = ret;
		ret = 0;
		if (copy_to_user(u->entries, e, array_size(sizeof(*e), room)) ||
		    put_user(room, &u->nent))
			ret = -EFAULT;
	}
	kvfree(e);
	return ret;
}
