// SPDX-License-Identifier: GPL-2.0-only
/*
 * The features that a guest can have here.
 *
 * A feature is given when it stands in the table, the CPU has it, the host's
 * kernel has not turned it off, and the back end does not hide it.  What the
 * module provides itself is given always.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>

#include "keel.h"
#include "state.h"

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
	X86_FEATURE_AVX512VBMI, X86_FEATURE_WAITPKG, X86_FEATURE_LA57, X86_FEATURE_PKU, X86_FEATURE_RDPID,
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

u32 keel_cpuid_word_given(int word)
{
	return keel_caps_word[word];
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
	return keel_cpuid_value(&e, w->reg);
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
