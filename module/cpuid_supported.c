// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CPUID leaves and features a guest can have here:
 * KVM_GET_SUPPORTED_CPUID and KVM_GET_EMULATED_CPUID.
 *
 * A feature is given when it stands in the table, the CPU has it, the host's
 * kernel has not turned it off, and the back end does not hide it.  What the
 * module provides itself is given always.
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
#define KEEL_7_ECX_LA57		BIT(16)

const struct keel_cpuid_word keel_cpuid_words[NCAPINTS] = {
	[CPUID_1_EDX]		= { 1, 0, KEEL_CPUID_EDX, true },
	[CPUID_1_ECX]		= { 1, 0, KEEL_CPUID_ECX, true },
	[CPUID_6_EAX]		= { 6, 0, KEEL_CPUID_EAX, true },
	[CPUID_7_0_EBX]		= { 7, 0, KEEL_CPUID_EBX, true },
	[CPUID_7_ECX]		= { 7, 0, KEEL_CPUID_ECX, true },
	[CPUID_7_EDX]		= { 7, 0, KEEL_CPUID_EDX, true },
	[CPUID_7_1_EAX]		= { 7, 1, KEEL_CPUID_EAX, true },
	[CPUID_D_1_EAX]		= { 0xd, 1, KEEL_CPUID_EAX, true },
	[CPUID_8000_0001_EDX]	= { 0x80000001, 0, KEEL_CPUID_EDX, true },
	[CPUID_8000_0001_ECX]	= { 0x80000001, 0, KEEL_CPUID_ECX, true },
	[CPUID_8000_0008_EBX]	= { 0x80000008, 0, KEEL_CPUID_EBX, true },
};

/* Given when the host has them.  The order is CPUID's. */
static const u16 keel_given[] = {
	/* 1.EDX */
	X86_FEATURE_FPU, X86_FEATURE_VME, X86_FEATURE_DE, X86_FEATURE_PSE, X86_FEATURE_TSC,
	X86_FEATURE_MSR, X86_FEATURE_PAE, X86_FEATURE_MCE, X86_FEATURE_CX8, X86_FEATURE_APIC,
	X86_FEATURE_SEP, X86_FEATURE_MTRR, X86_FEATURE_PGE, X86_FEATURE_MCA, X86_FEATURE_CMOV,
	X86_FEATURE_PAT, X86_FEATURE_PSE36, X86_FEATURE_CLFLUSH, X86_FEATURE_MMX,
	X86_FEATURE_FXSR, X86_FEATURE_XMM, X86_FEATURE_XMM2, X86_FEATURE_SELFSNOOP,
	/* 1.ECX */
	X86_FEATURE_XMM3, X86_FEATURE_PCLMULQDQ, X86_FEATURE_SSSE3, X86_FEATURE_FMA,
	X86_FEATURE_CX16, X86_FEATURE_PCID, X86_FEATURE_XMM4_1, X86_FEATURE_XMM4_2,
	X86_FEATURE_MOVBE, X86_FEATURE_POPCNT, X86_FEATURE_AES, X86_FEATURE_XSAVE,
	X86_FEATURE_AVX, X86_FEATURE_F16C, X86_FEATURE_RDRAND,
	/* 7.0.EBX */
	X86_FEATURE_FSGSBASE, X86_FEATURE_BMI1, X86_FEATURE_AVX2, X86_FEATURE_FDP_EXCPTN_ONLY,
	X86_FEATURE_SMEP, X86_FEATURE_BMI2, X86_FEATURE_ERMS, X86_FEATURE_INVPCID,
	X86_FEATURE_ZERO_FCS_FDS, X86_FEATURE_AVX512F, X86_FEATURE_AVX512DQ,
	X86_FEATURE_RDSEED, X86_FEATURE_ADX, X86_FEATURE_SMAP, X86_FEATURE_AVX512IFMA,
	X86_FEATURE_CLFLUSHOPT, X86_FEATURE_CLWB, X86_FEATURE_AVX512PF, X86_FEATURE_AVX512ER,
	X86_FEATURE_AVX512CD, X86_FEATURE_SHA_NI, X86_FEATURE_AVX512BW, X86_FEATURE_AVX512VL,
	/* 7.0.ECX */
	X86_FEATURE_AVX512VBMI, X86_FEATURE_LA57, X86_FEATURE_PKU, X86_FEATURE_RDPID,
	X86_FEATURE_AVX512_VPOPCNTDQ, X86_FEATURE_UMIP, X86_FEATURE_AVX512_VBMI2,
	X86_FEATURE_GFNI, X86_FEATURE_VAES, X86_FEATURE_VPCLMULQDQ, X86_FEATURE_AVX512_VNNI,
	X86_FEATURE_AVX512_BITALG, X86_FEATURE_CLDEMOTE, X86_FEATURE_MOVDIRI,
	X86_FEATURE_MOVDIR64B,
	/* 7.0.EDX */
	X86_FEATURE_AVX512_4VNNIW, X86_FEATURE_AVX512_4FMAPS, X86_FEATURE_SPEC_CTRL,
	X86_FEATURE_SPEC_CTRL_SSBD, X86_FEATURE_INTEL_STIBP, X86_FEATURE_MD_CLEAR,
	X86_FEATURE_AVX512_VP2INTERSECT, X86_FEATURE_FSRM, X86_FEATURE_SERIALIZE,
	X86_FEATURE_AVX512_FP16, X86_FEATURE_ARCH_CAPABILITIES,
	/* 7.1.EAX */
	X86_FEATURE_AVX_VNNI, X86_FEATURE_AVX512_BF16,
	/* D.1.EAX */
	X86_FEATURE_XSAVEOPT, X86_FEATURE_XSAVEC, X86_FEATURE_XGETBV1,
	/* 80000001.EDX: the copies of 1.EDX are made by keel_copy_amd_edx() */
	X86_FEATURE_SYSCALL, X86_FEATURE_NX, X86_FEATURE_MMXEXT, X86_FEATURE_FXSR_OPT,
	X86_FEATURE_GBPAGES, X86_FEATURE_RDTSCP, X86_FEATURE_LM, X86_FEATURE_3DNOWEXT,
	X86_FEATURE_3DNOW,
	/* 80000001.ECX */
	X86_FEATURE_LAHF_LM, X86_FEATURE_CMP_LEGACY, X86_FEATURE_CR8_LEGACY, X86_FEATURE_ABM,
	X86_FEATURE_SSE4A, X86_FEATURE_MISALIGNSSE, X86_FEATURE_3DNOWPREFETCH,
	X86_FEATURE_OSVW, X86_FEATURE_XOP, X86_FEATURE_FMA4, X86_FEATURE_TBM,
	X86_FEATURE_TOPOEXT,
	/* 80000008.EBX */
	X86_FEATURE_CLZERO, X86_FEATURE_XSAVEERPTR, X86_FEATURE_WBNOINVD, X86_FEATURE_AMD_IBPB,
	X86_FEATURE_AMD_IBRS, X86_FEATURE_AMD_STIBP, X86_FEATURE_AMD_STIBP_ALWAYS_ON,
	X86_FEATURE_AMD_SSBD, X86_FEATURE_AMD_SSB_NO,
};

/* The module's own work, whatever the CPU has. */
static const u16 keel_emulated[] = {
	X86_FEATURE_X2APIC, X86_FEATURE_TSC_ADJUST, X86_FEATURE_HYPERVISOR,
};

/*
 * Not offered, but right in a guest's CPUID when user space put them there:
 * the TSC-deadline timer has a capability of its own, the rest is for show.
 */
static const u16 keel_tolerated[] = {
	X86_FEATURE_TSC_DEADLINE_TIMER, X86_FEATURE_MWAIT, X86_FEATURE_HT, X86_FEATURE_ARAT,
	X86_FEATURE_TOPOEXT, X86_FEATURE_CMP_LEGACY, X86_FEATURE_ARCH_CAPABILITIES,
};

static u32 keel_caps_word[NCAPINTS];	/* what can be given */
static u32 keel_believed[NCAPINTS];	/* and what is believed of a client */

static void keel_word_set(u32 *words, unsigned int feature)
{
	words[feature / 32] |= BIT(feature % 32);
}

static void keel_word_clear(u32 *words, unsigned int feature)
{
	words[feature / 32] &= ~BIT(feature % 32);
}

bool keel_supported(unsigned int feature)
{
	return keel_caps_word[feature / 32] & BIT(feature % 32);
}

u32 keel_cpuid_word_believed(int word)
{
	return keel_believed[word];
}

static u32 keel_host_word(int word)
{
	const struct keel_cpuid_word *w = &keel_cpuid_words[word];
	struct kvm_cpuid_entry2 e;

	if (!w->valid || cpuid_eax(w->function & 0x80000000) < w->function)
		return 0;
	cpuid_count(w->function, w->index, &e.eax, &e.ebx, &e.ecx, &e.edx);
	return *keel_cpuid_reg(&e, w->reg);
}

/* 80000001.EDX repeats these bits of 1.EDX on AMD (APM vol. 3, "CPUID Fn8000_0001_EDX"). */
#define KEEL_AMD_EDX_COPIES	0x0183f3ffU

static void keel_copy_amd_edx(void)
{
	if (boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
	    boot_cpu_data.x86_vendor == X86_VENDOR_HYGON)
		keel_caps_word[CPUID_8000_0001_EDX] |=
			keel_caps_word[CPUID_1_EDX] & KEEL_AMD_EDX_COPIES;
}

/*
 * The kernel folds both vendors' names of one speculation control into one
 * synthetic bit; the registers behind them are the same, so both names hold.
 */
static void keel_speculation_features(void)
{
	u32 *c = keel_caps_word;

	if (boot_cpu_has(X86_FEATURE_IBPB))
		keel_word_set(c, X86_FEATURE_AMD_IBPB);
	if (boot_cpu_has(X86_FEATURE_IBRS))
		keel_word_set(c, X86_FEATURE_AMD_IBRS);
	if (boot_cpu_has(X86_FEATURE_STIBP)) {
		keel_word_set(c, X86_FEATURE_AMD_STIBP);
		keel_word_set(c, X86_FEATURE_INTEL_STIBP);
	}
	if (boot_cpu_has(X86_FEATURE_IBPB) && boot_cpu_has(X86_FEATURE_IBRS))
		keel_word_set(c, X86_FEATURE_SPEC_CTRL);
	if (boot_cpu_has(X86_FEATURE_AMD_SSBD) || boot_cpu_has(X86_FEATURE_SPEC_CTRL_SSBD)) {
		keel_word_set(c, X86_FEATURE_AMD_SSBD);
		keel_word_set(c, X86_FEATURE_SPEC_CTRL_SSBD);
	}
	if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		keel_word_set(c, X86_FEATURE_AMD_SSB_NO);
}

/* Features that make no sense without another one. */
static void keel_dependent_features(void)
{
	u64 xcr0 = keel_fpu_xcr0_supported();
	u32 *c = keel_caps_word;

	if (!xcr0) {
		keel_word_clear(c, X86_FEATURE_XSAVE);
		c[CPUID_D_1_EAX] = 0;
	}
	if (!(xcr0 & XFEATURE_MASK_YMM)) {
		static const u16 avx[] = {
			X86_FEATURE_AVX, X86_FEATURE_AVX2, X86_FEATURE_FMA, X86_FEATURE_F16C,
			X86_FEATURE_VAES, X86_FEATURE_VPCLMULQDQ, X86_FEATURE_AVX_VNNI,
			X86_FEATURE_XOP, X86_FEATURE_FMA4,
		};
		int i;

		for (i = 0; i < ARRAY_SIZE(avx); i++)
			keel_word_clear(c, avx[i]);
	}
	if (!(xcr0 & XFEATURE_MASK_AVX512)) {
		static const u16 avx512[] = {
			X86_FEATURE_AVX512F, X86_FEATURE_AVX512DQ, X86_FEATURE_AVX512IFMA,
			X86_FEATURE_AVX512PF, X86_FEATURE_AVX512ER, X86_FEATURE_AVX512CD,
			X86_FEATURE_AVX512BW, X86_FEATURE_AVX512VL, X86_FEATURE_AVX512VBMI,
			X86_FEATURE_AVX512_VPOPCNTDQ, X86_FEATURE_AVX512_VBMI2,
			X86_FEATURE_AVX512_VNNI, X86_FEATURE_AVX512_BITALG,
			X86_FEATURE_AVX512_4VNNIW, X86_FEATURE_AVX512_4FMAPS,
			X86_FEATURE_AVX512_VP2INTERSECT, X86_FEATURE_AVX512_FP16,
			X86_FEATURE_AVX512_BF16,
		};
		int i;

		for (i = 0; i < ARRAY_SIZE(avx512); i++)
			keel_word_clear(c, avx512[i]);
	}
	/* The guest's PKRU is switched with XSAVE, and the host must have CR4.PKE on for that. */
	if (!(xcr0 & XFEATURE_MASK_PKRU))
		keel_word_clear(c, X86_FEATURE_PKU);
}

/**
 * keel_cpuid_module_init() - find out what guests can have
 *
 * After backend->hw_setup() (which names what it hides) and keel_fpu_module_init().
 */
int keel_cpuid_module_init(void)
{
	const s16 *hidden;
	int i;

	for (i = 0; i < ARRAY_SIZE(keel_given); i++)
		if (boot_cpu_has(keel_given[i]))
			keel_word_set(keel_caps_word, keel_given[i]);
	for (i = 0; i < NCAPINTS; i++)
		keel_caps_word[i] &= keel_host_word(i);
	/* The kernel drops LA57 when it runs without it; a guest's tables are its own. */
	if (keel_host_word(CPUID_7_ECX) & KEEL_7_ECX_LA57)
		keel_word_set(keel_caps_word, X86_FEATURE_LA57);

	for (i = 0; i < ARRAY_SIZE(keel_emulated); i++)
		keel_word_set(keel_caps_word, keel_emulated[i]);
	keel_speculation_features();
	keel_dependent_features();
	for (hidden = keel_caps.hidden; hidden && *hidden >= 0; hidden++)
		keel_word_clear(keel_caps_word, *hidden);
	keel_copy_amd_edx();

	memcpy(keel_believed, keel_caps_word, sizeof(keel_believed));
	for (i = 0; i < ARRAY_SIZE(keel_tolerated); i++)
		keel_word_set(keel_believed, keel_tolerated[i]);
	return 0;
}

static bool keel_words_have(const u32 *words, unsigned int feature)
{
	return words[feature / 32] & BIT(feature % 32);
}

/**
 * keel_cpuid_cr4_bits() - the bits of CR4 that go with a set of features
 * @words: the features; the supported ones if NULL
 */
u64 keel_cpuid_cr4_bits(const u32 *words)
{
	static const struct {
		u16 feature;
		u32 bit;
	} need[] = {
		{ X86_FEATURE_XSAVE, X86_CR4_OSXSAVE }, { X86_FEATURE_SMEP, X86_CR4_SMEP },
		{ X86_FEATURE_SMAP, X86_CR4_SMAP }, { X86_FEATURE_FSGSBASE, X86_CR4_FSGSBASE },
		{ X86_FEATURE_PKU, X86_CR4_PKE }, { X86_FEATURE_LA57, X86_CR4_LA57 },
		{ X86_FEATURE_UMIP, X86_CR4_UMIP }, { X86_FEATURE_PCID, X86_CR4_PCIDE },
	};
	u64 cr4 = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |
		  X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		  X86_CR4_OSXMMEXCPT;
	int i;

	words = words ? words : keel_caps_word;
	for (i = 0; i < ARRAY_SIZE(need); i++)
		if (keel_words_have(words, need[i].feature))
			cr4 |= need[i].bit;
	return cr4;
}

/**
 * keel_cpuid_efer_bits() - the bits of EFER that go with a set of features, LMA apart
 * @words: the features; the supported ones if NULL
 */
u64 keel_cpuid_efer_bits(const u32 *words)
{
	u64 efer = EFER_SCE;

	words = words ? words : keel_caps_word;
	if (keel_words_have(words, X86_FEATURE_LM))
		efer |= EFER_LME;
	if (keel_words_have(words, X86_FEATURE_NX))
		efer |= EFER_NX;
	if (keel_words_have(words, X86_FEATURE_FXSR_OPT))
		efer |= EFER_FFXSR;
	return efer;
}

/* Guest-physical address bits: the CPU's, as far as the nested tables reach. */
u8 keel_host_maxphyaddr(void)
{
	u8 bits = 36;

	if (cpuid_eax(0x80000000) >= 0x80000008)
		bits = cpuid_eax(0x80000008) & 0xff;
	return min_t(u8, bits, keel_caps.tdp_levels >= 5 ? 52 : 48);
}

/* ---- the entries -------------------------------------------------------------------- */

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
			*keel_cpuid_reg(e, w->reg) = keel_caps_word[i];
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

	/* Both work by the steal-time area, which needs the scheduler's figures. */
	if (sched_info_on())
		f |= BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_TLB_FLUSH);
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
