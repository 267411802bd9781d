/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86 architecture: bits, MSR numbers and one-instruction wrappers for guest
 * code.  Numbers that <linux/kvm.h> or <asm/...> already have are not repeated.
 */
#ifndef KEEL_TEST_X86_H
#define KEEL_TEST_X86_H

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT(n)			(1ULL << (n))
#define ARRAY_LEN(a)		(sizeof(a) / sizeof((a)[0]))
#define PAGE			4096UL
#define PAGE_2M			(2UL << 20)
#define PAGE_1G			(1UL << 30)
#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))

#define X86_CR0_PE		BIT(0)
#define X86_CR0_MP		BIT(1)
#define X86_CR0_EM		BIT(2)
#define X86_CR0_TS		BIT(3)
#define X86_CR0_ET		BIT(4)
#define X86_CR0_NE		BIT(5)
#define X86_CR0_WP		BIT(16)
#define X86_CR0_AM		BIT(18)
#define X86_CR0_NW		BIT(29)
#define X86_CR0_CD		BIT(30)
#define X86_CR0_PG		BIT(31)
#define X86_CR4_TSD		BIT(2)
#define X86_CR4_DE		BIT(3)
#define X86_CR4_PSE		BIT(4)
#define X86_CR4_PAE		BIT(5)
#define X86_CR4_PGE		BIT(7)
#define X86_CR4_OSFXSR		BIT(9)
#define X86_CR4_OSXMMEXCPT	BIT(10)
#define X86_CR4_UMIP		BIT(11)
#define X86_CR4_FSGSBASE	BIT(16)
#define X86_CR4_OSXSAVE		BIT(18)
#define X86_CR4_SMEP		BIT(20)
#define X86_CR4_SMAP		BIT(21)

#define EFER_SCE		BIT(0)
#define EFER_LME		BIT(8)
#define EFER_LMA		BIT(10)
#define EFER_NX			BIT(11)
#define EFER_SVME		BIT(12)

#define FLAG_CF			BIT(0)
#define FLAG_FIXED		BIT(1)
#define FLAG_ZF			BIT(6)
#define FLAG_TF			BIT(8)
#define FLAG_IF			BIT(9)
#define FLAG_DF			BIT(10)
#define FLAG_RF			BIT(16)
#define FLAG_AC			BIT(18)

#define PTE_P			BIT(0)
#define PTE_W			BIT(1)
#define PTE_U			BIT(2)
#define PTE_A			BIT(5)
#define PTE_D			BIT(6)
#define PTE_PS			BIT(7)
#define PTE_G			BIT(8)
#define PTE_NX			BIT(63)

#define PF_P			BIT(0)
#define PF_W			BIT(1)
#define PF_U			BIT(2)
#define PF_RSVD			BIT(3)
#define PF_I			BIT(4)

enum {
	VEC_DE, VEC_DB, VEC_NMI, VEC_BP, VEC_OF, VEC_BR, VEC_UD, VEC_NM, VEC_DF,
	VEC_TS = 10, VEC_NP, VEC_SS, VEC_GP, VEC_PF, VEC_MF = 16, VEC_AC, VEC_MC, VEC_XM,
};

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_TSC_ADJUST		0x3b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MISC_ENABLE		0x1a0
#define MSR_MTRR_CAP		0xfe
#define MSR_MTRR_DEFTYPE	0x2ff
#define MSR_PAT			0x277
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103
#define MSR_KVM_WALL_CLOCK	0x4b564d00
#define MSR_KVM_SYSTEM_TIME	0x4b564d01

#define APIC_BASE_BSP		BIT(8)
#define APIC_BASE_X2		BIT(10)
#define APIC_BASE_EN		BIT(11)

#define DEFINE_OUT(sfx, type)							\
static inline void out##sfx(u16 port, type v)					\
{										\
	asm volatile("out" #sfx " %0, %1" : : "a"(v), "Nd"(port) : "memory");	\
}
#define DEFINE_IN(sfx, type)							\
static inline type in##sfx(u16 port)						\
{										\
	type v;									\
										\
	asm volatile("in" #sfx " %1, %0" : "=a"(v) : "Nd"(port) : "memory");	\
	return v;								\
}
DEFINE_OUT(b, u8)
DEFINE_OUT(w, u16)
DEFINE_OUT(l, u32)
DEFINE_IN(b, u8)
DEFINE_IN(w, u16)
DEFINE_IN(l, u32)

#define DEFINE_REG(reg)								\
static inline u64 read_##reg(void)						\
{										\
	u64 v;									\
										\
	asm volatile("mov %%" #reg ", %0" : "=r"(v) : : "memory");		\
	return v;								\
}										\
static inline void write_##reg(u64 v)						\
{										\
	asm volatile("mov %0, %%" #reg : : "r"(v) : "memory");			\
}
DEFINE_REG(cr0)
DEFINE_REG(cr2)
DEFINE_REG(cr3)
DEFINE_REG(cr4)
DEFINE_REG(cr8)
DEFINE_REG(dr0)
DEFINE_REG(dr1)
DEFINE_REG(dr2)
DEFINE_REG(dr3)
DEFINE_REG(dr6)
DEFINE_REG(dr7)

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (u64)hi << 32;
}

static inline u64 rdtscp(u32 *aux)
{
	u32 lo, hi;

	asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(*aux) : : "memory");
	return lo | (u64)hi << 32;
}

static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "a"(leaf), "c"(sub) : "memory");
}

static inline u64 read_flags(void)
{
	u64 v;

	asm volatile("pushfq; pop %0" : "=r"(v) : : "memory");
	return v;
}

static inline void write_flags(u64 v)
{
	asm volatile("push %0; popfq" : : "r"(v) : "memory", "cc");
}

static inline u64 xgetbv(u32 i)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(i));
	return lo | (u64)hi << 32;
}

static inline void sti(void)		{ asm volatile("sti" : : : "memory"); }
static inline void cli(void)		{ asm volatile("cli" : : : "memory"); }
static inline void hlt(void)		{ asm volatile("hlt" : : : "memory"); }
/* No interrupt can come between the two: STI holds them off for one instruction. */
static inline void sti_hlt(void)	{ asm volatile("sti; hlt" : : : "memory"); }
static inline void cpu_pause(void)	{ asm volatile("pause" : : : "memory"); }
static inline void invlpg(u64 va)	{ asm volatile("invlpg (%0)" : : "r"(va) : "memory"); }
static inline void ud2(void)		{ asm volatile("ud2"); }

#define MMIO(type, addr)	(*(volatile type *)(uintptr_t)(addr))

#endif
