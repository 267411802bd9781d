// SPDX-License-Identifier: GPL-2.0-only
/*
 * The CPUID leaves that a guest can have here: KVM_GET_SUPPORTED_CPUID and
 * KVM_GET_EMULATED_CPUID.
 */
#include <linux/kernel.h>
#include <linux/sched/stat.h>
#include <linux/string.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>

#include "keel.h"
#include "state.h"

#define KEEL_MAX_BASIC		0x1fU
#define KEEL_MAX_EXTENDED	0x80000021U
/* CPUID 0x80000021 EAX; the kernel's numbering has no word for it on every version. */
#define KEEL_8021_NO_NESTED_BP	BIT(0)
#define KEEL_8021_LFENCE_SERIAL	BIT(2)
#define KEEL_8021_NULL_SEL_BASE	BIT(6)
#define KEEL_8021_NO_SMM_CTL	BIT(9)

struct keel_cpuid_list {
	struct kvm_cpuid_entry2 *e;
	u32 nr, max;
};

/* Leaves whose ECX chooses a subleaf. */
static bool keel_leaf_has_index(u32 function)
{
	switch (function) {
	case 0x4: case 0x7: case 0xb: case 0xd: case 0xf: case 0x10: case 0x12: case 0x14:
	case 0x17: case 0x18: case 0x1d: case 0x1e: case 0x1f: case 0x8000001d:
		return true;
	default:
		return false;
	}
}

static struct kvm_cpuid_entry2 *keel_list_add(struct keel_cpuid_list *l, u32 function, u32 index)
{
	struct kvm_cpuid_entry2 *e;

	if (l->nr >= l->max)
		return NULL;
	e = &l->e[l->nr++];
	memset(e, 0, sizeof(*e));
	e->function = function;
	e->index = index;
	if (keel_leaf_has_index(function))
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	return e;
}

/* An entry with the host's own values. */
static struct kvm_cpuid_entry2 *keel_list_host(struct keel_cpuid_list *l, u32 function, u32 index)
{
	struct kvm_cpuid_entry2 *e = keel_list_add(l, function, index);

	if (e)
		cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

/* Put the feature words that belong to this entry in place of the host's. */
static void keel_entry_words(struct kvm_cpuid_entry2 *e)
{
	int i;

	for (i = 0; i < NCAPINTS; i++) {
		const struct keel_cpuid_word *w = &keel_cpuid_words[i];

		if (w->valid && w->function == e->function && w->index == e->index)
			*keel_cpuid_reg(e, w->reg) = keel_cpuid_word_given(i);
	}
}

static void keel_entry_clear(struct kvm_cpuid_entry2 *e)
{
	e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* Cache descriptions: subleaves until the type is "none". */
static int keel_fill_caches(struct keel_cpuid_list *l, struct kvm_cpuid_entry2 *e)
{
	u32 function = e->function, i;

	for (i = 1; (e->eax & 0x1f) && i < 64; i++) {
		e = keel_list_host(l, function, i);
		if (!e)
			return -E2BIG;
	}
	return 0;
}

static int keel_fill_7(struct keel_cpuid_list *l, struct kvm_cpuid_entry2 *e)
{
	u32 last = min(e->eax, 1U);

	e->eax = last;
	keel_entry_words(e);
	if (last < 1)
		return 0;
	e = keel_list_host(l, 7, 1);
	if (!e)
		return -E2BIG;
	e->ebx = e->ecx = e->edx = 0;
	keel_entry_words(e);
	return 0;
}

static int keel_fill_d(struct keel_cpuid_list *l, struct kvm_cpuid_entry2 *e)
{
	u64 xcr0 = keel_fpu_xcr0_supported();
	u32 i;

	keel_entry_clear(e);
	if (!xcr0)
		return 0;
	e->eax = xcr0;
	e->edx = xcr0 >> 32;
	e->ebx = e->ecx = keel_fpu_xsave_size(xcr0);

	e = keel_list_add(l, 0xd, 1);
	if (!e)
		return -E2BIG;
	keel_entry_words(e);
	if (keel_supported(X86_FEATURE_XSAVEC))
		e->ebx = keel_fpu_xsavec_size(xcr0);

	for (i = FIRST_EXTENDED_XFEATURE; i < 63; i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		e = keel_list_host(l, 0xd, i);
		if (!e)
			return -E2BIG;
		/* Bit 2 is XFD's, bit 0 would make it a supervisor component. */
		e->ecx &= BIT(1);
		e->edx = 0;
	}
	return 0;
}

static int keel_fill_basic(struct keel_cpuid_list *l, struct kvm_cpuid_entry2 *e)
{
	switch (e->function) {
	case 0:
		e->eax = min(e->eax, KEEL_MAX_BASIC);
		return 0;
	case 1:
		keel_entry_words(e);
		return 0;
	case 2:
		return 0;
	case 4:
		return keel_fill_caches(l, e);
	case 6:
		keel_entry_clear(e);
		e->eax = BIT(2);	/* ARAT: the APIC timer never stops */
		return 0;
	case 7:
		return keel_fill_7(l, e);
	case 0xb:
	case 0x1f:
		/* The topology is the client's to tell; EDX would be a host CPU's id. */
		keel_entry_clear(e);
		return 0;
	case 0xd:
		return keel_fill_d(l, e);
	default:
		/* 5 MONITOR, 0xA PMU, 0xF..0x12 RDT and SGX, 0x14 PT, 0x15, 0x16, 0x1D, 0x1E */
		keel_entry_clear(e);
		return 0;
	}
}

static void keel_fill_addr_sizes(struct kvm_cpuid_entry2 *e)
{
	u32 virt = max((e->eax >> 8) & 0xff, 48U);

	if (!keel_supported(X86_FEATURE_LA57))
		virt = 48;
	e->eax = keel_host_maxphyaddr() | virt << 8;
	/* ECX keeps the number of threads only where the client sets it. */
	e->ecx = 0;
	e->edx = 0;
	keel_entry_words(e);
}

static void keel_fill_8021(struct kvm_cpuid_entry2 *e)
{
	u32 eax = e->eax & KEEL_8021_NO_NESTED_BP;

	if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
		eax |= KEEL_8021_LFENCE_SERIAL;
	if (!boot_cpu_has_bug(X86_BUG_NULL_SEG))
		eax |= KEEL_8021_NULL_SEL_BASE;
	keel_entry_clear(e);
	e->eax = eax | KEEL_8021_NO_SMM_CTL;
}

static int keel_fill_extended(struct keel_cpuid_list *l, struct kvm_cpuid_entry2 *e)
{
	switch (e->function) {
	case 0x80000000:
		e->eax = min(e->eax, KEEL_MAX_EXTENDED);
		/* Worth telling even where the CPU's leaves end earlier, as on Zen 2. */
		if (e->eax >= 0x8000001d)
			e->eax = KEEL_MAX_EXTENDED;
		return 0;
	case 0x80000001:
		e->ebx &= ~GENMASK(27, 16);
		keel_entry_words(e);
		return 0;
	case 0x80000002 ... 0x80000005:
		return 0;
	case 0x80000006:
		e->edx &= ~GENMASK(17, 16);
		return 0;
	case 0x80000007:
		e->eax = e->ebx = e->ecx = 0;
		e->edx &= BIT(8) & boot_cpu_data.x86_power;	/* invariant TSC */
		return 0;
	case 0x80000008:
		keel_fill_addr_sizes(e);
		return 0;
	case 0x80000019:
		e->ecx = e->edx = 0;
		return 0;
	case 0x8000001a:
		e->eax &= GENMASK(2, 0);
		e->ebx = e->ecx = e->edx = 0;
		return 0;
	case 0x8000001d:
		return keel_fill_caches(l, e);
	case 0x80000021:
		keel_fill_8021(e);
		return 0;
	default:
		/* 0x8000000A SVM, 0x8000001B IBS, 0x8000001C LWP, 0x8000001E ids, 0x8000001F SEV */
		keel_entry_clear(e);
		return 0;
	}
}

static u32 keel_pv_features(void)
{
	u32 f = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
		BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_PV_EOI) |
		BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) |
		BIT(KVM_FEATURE_POLL_CONTROL) | BIT(KVM_FEATURE_PV_SCHED_YIELD) |
		BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);

	/*
	 * No PV_TLB_FLUSH: it lets other vCPUs put off a flush for one that is
	 * off the CPU, which may be in the middle of emulating an instruction
	 * with translations that it has read before.
	 */
	if (sched_info_on())
		f |= BIT(KVM_FEATURE_STEAL_TIME);
	return f;
}

static int keel_fill_pv(struct keel_cpuid_list *l)
{
	struct kvm_cpuid_entry2 *e = keel_list_add(l, KVM_CPUID_SIGNATURE, 0);

	if (!e)
		return -E2BIG;
	e->eax = KVM_CPUID_FEATURES;
	memcpy(&e->ebx, KVM_SIGNATURE, 4);
	memcpy(&e->ecx, KVM_SIGNATURE + 4, 4);
	memcpy(&e->edx, KVM_SIGNATURE + 8, 4);

	e = keel_list_add(l, KVM_CPUID_FEATURES, 0);
	if (!e)
		return -E2BIG;
	e->eax = keel_pv_features();
	return 0;
}

typedef int (*keel_fill_fn)(struct keel_cpuid_list *l, struct kvm_cpuid_entry2 *e);

/* Every leaf from @first to the limit that the first one gives. */
static int keel_fill_range(struct keel_cpuid_list *l, u32 first, keel_fill_fn fill)
{
	struct kvm_cpuid_entry2 *e;
	u32 function, limit = first;
	int ret;

	for (function = first; function <= limit; function++) {
		e = keel_list_host(l, function, 0);
		if (!e)
			return -E2BIG;
		ret = fill(l, e);
		if (ret)
			return ret;
		if (function == first)
			limit = e->eax;
	}
	return 0;
}

static int keel_fill_emulated(struct keel_cpuid_list *l)
{
	struct kvm_cpuid_entry2 *e = keel_list_add(l, 0, 0);

	if (!e)
		return -E2BIG;
	e->eax = 1;
	e = keel_list_add(l, 1, 0);
	if (!e)
		return -E2BIG;
	/* The emulator has MOVBE, for MMIO on CPUs that do not. */
	e->ecx = BIT(X86_FEATURE_MOVBE % 32);
	return 0;
}

/**
 * keel_cpuid_fill_supported() - the entries of KVM_GET_SUPPORTED_CPUID
 * @e: room for them
 * @max: how many
 * @emulated: those of KVM_GET_EMULATED_CPUID instead
 *
 * Return: how many there are, or -E2BIG if @max was too few.
 */
int keel_cpuid_fill_supported(struct kvm_cpuid_entry2 *e, u32 max, bool emulated)
{
	struct keel_cpuid_list l = { .e = e, .max = max };
	int ret;

	if (emulated) {
		ret = keel_fill_emulated(&l);
		return ret ? ret : l.nr;
	}
	/* One CPU for all: the leaves of hybrid CPUs differ. */
	get_cpu();
	ret = keel_fill_range(&l, 0, keel_fill_basic);
	if (!ret)
		ret = keel_fill_range(&l, 0x80000000, keel_fill_extended);
	put_cpu();
	if (!ret)
		ret = keel_fill_pv(&l);
	return ret ? ret : l.nr;
}
