// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that a hypervisor can take away: what the guest's CPUID lacks is undefined, what it
 * has works. Where the CPU has no control for one, it stays what the CPU makes of it.
 */
#include "harness.h"
#include "state.h"

#define EAX	0
#define EBX	1
#define ECX	2
#define EDX	3

static u8 xsave_area[4096] __attribute__((aligned(64)));

static int try_rdtscp(void)
{
	return G_TRY("rdtscp");
}

static int try_rdpid(void)
{
	return G_TRY(".byte 0xf3, 0x0f, 0xc7, 0xf8");
}

static int try_invpcid(void)
{
	u64 desc[2] = {};

	return G_TRY("invpcid %1, %2", "m"(desc), "r"(2UL));
}

static int try_rdrand(void)
{
	return G_TRY("rdrand %%rax");
}

static int try_rdseed(void)
{
	return G_TRY("rdseed %%rax");
}

static int try_xsaves(void)
{
	register u64 vec asm("r9") = -1;

	asm volatile("1: xsaves %1\n2:\n" GUEST_FIXUP
		     : "+r"(vec), "+m"(xsave_area) : "a"(1), "d"(0) : "memory");
	return vec;
}

static int try_xrstors(void)
{
	register u64 vec asm("r9") = -1;

	memset(xsave_area, 0, sizeof(xsave_area));
	*(u64 *)(xsave_area + 520) = 1ULL << 63;	/* XCOMP_BV: compacted, nothing in it */
	asm volatile("1: xrstors %1\n2:\n" GUEST_FIXUP
		     : "+r"(vec) : "m"(xsave_area), "a"(1), "d"(0) : "memory");
	return vec;
}

/* TPAUSE until a time that has passed. */
static int try_tpause(void)
{
	register u64 vec asm("r9") = -1;

	asm volatile("1: .byte 0x66, 0x0f, 0xae, 0xf1\n2:\n" GUEST_FIXUP
		     : "+r"(vec) : "a"(0), "c"(0), "d"(0) : "memory", "cc");
	return vec;
}

/* Leaf 0, of which every enclave page cache has more than this argument. */
static int try_encls(void)
{
	register u64 vec asm("r9") = -1;

	asm volatile("1: .byte 0x0f, 0x01, 0xcf\n2:\n" GUEST_FIXUP
		     : "+r"(vec) : "a"(0), "b"(0), "c"(0) : "memory", "cc");
	return vec;
}

struct feature {
	const char *name;
	u32 leaf, sub;
	int reg, bit;
	int (*try)(void);
	int works;		/* the vector where it is there: -1 or a fault of its operands */
	bool intel_only;	/* SVM has no control for it */
};

static const struct feature features[] = {
	{ "RDTSCP", 0x80000001, 0, EDX, 27, try_rdtscp, -1, false },
	{ "RDPID", 7, 0, ECX, 22, try_rdpid, -1, true },
	{ "INVPCID", 7, 0, EBX, 10, try_invpcid, -1, false },
	{ "RDRAND", 1, 0, ECX, 30, try_rdrand, -1, true },
	{ "RDSEED", 7, 0, EBX, 18, try_rdseed, -1, true },
	{ "XSAVES", 0xd, 1, EAX, 3, try_xsaves, -1, true },
	{ "XRSTORS", 0xd, 1, EAX, 3, try_xrstors, -1, true },
	{ "TPAUSE", 7, 0, ECX, 5, try_tpause, -1, true },
	{ "ENCLS", 7, 0, EBX, 2, try_encls, VEC_GP, true },
};

static void guest_try(u64 arg)
{
	const struct feature *f = &features[arg >> 1];

	if (arg & 1)
		write_cr4(read_cr4() | X86_CR4_OSXSAVE);
	guest_sync(f->try() & 0xff);
	guest_done();
}

static void set_bit(struct kvm_cpuid2 *c, u32 leaf, u32 sub, int reg, int bit, bool on)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, sub);
	u32 *regs[4];

	if (!e)
		return;
	regs[EAX] = &e->eax;
	regs[EBX] = &e->ebx;
	regs[ECX] = &e->ecx;
	regs[EDX] = &e->edx;
	*regs[reg] = on ? *regs[reg] | BIT(bit) : *regs[reg] & ~BIT(bit);
}

/* What one control stands for goes together: RDTSCP with RDPID. */
static void hide(struct vcpu *v, const struct feature *f)
{
	struct kvm_cpuid2 *c = vcpu_get_cpuid(v);

	set_bit(c, f->leaf, f->sub, f->reg, f->bit, false);
	if (f->try == try_rdtscp || f->try == try_rdpid) {
		set_bit(c, 0x80000001, 0, EDX, 27, false);
		set_bit(c, 7, 0, ECX, 22, false);
	}
	must(v->fd, KVM_SET_CPUID2, c);
	free(c);
}

static bool try_in_guest(struct __test_metadata *_metadata, unsigned int i, bool present)
{
	const struct feature *f = &features[i];
	struct vcpu *v = vcpu_create(vm_create(VM_IRQCHIP), 0);
	int vec = present ? f->works : VEC_UD;

	if (!present)
		hide(v, f);
	vcpu_long(v, guest_try, i << 1 | cpuid_has(1, 0, ECX, 26));
	ASSERT_RUN(UC_SYNC, v);
	EXPECT_EQ((u64)(vec & 0xff), v->sync)
		ksft_print_msg("%s, %s\n", f->name, present ? "present" : "absent");
	ASSERT_DONE(v);
	return true;
}

TEST(absent_is_undefined)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(features); i++) {
		if (!host_is_intel() && features[i].intel_only)
			continue;
		/* TCG has no intercept of RDTSCP. */
		if (host_is_tcg() && features[i].try == try_rdtscp)
			continue;
		try_in_guest(_metadata, i, false);
	}
}

TEST(present_works)
{
	const struct feature *f;
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_LEN(features); i++) {
		f = &features[i];
		if (cpuid_has(f->leaf, f->sub, f->reg, f->bit))
			n += try_in_guest(_metadata, i, true);
	}
	if (!n)
		SKIP(return, "the processor has none of them");
}

TEST_MAIN
