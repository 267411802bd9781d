// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of the guest's page tables (module/mmu/gwalk.c) in each paging mode,
 * over tables built in a fake memory; error codes, rights, reserved bits,
 * accessed and dirty bits, and races.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bits.h>
#include <linux/types.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "exit.h"
#include "mmu/gwalk.h"

#define P	BIT_ULL(0)
#define W	BIT_ULL(1)
#define U	BIT_ULL(2)
#define A	BIT_ULL(5)
#define D	BIT_ULL(6)
#define PS	BIT_ULL(7)
#define G	BIT_ULL(8)
#define NX	BIT_ULL(63)
#define ALL	(P | W | U)

#define READ	0
#define WRITE	KEEL_ACC_WRITE
#define FETCH	KEEL_ACC_FETCH
#define USER	KEEL_ACC_USER
#define IMPL	KEEL_ACC_IMPLICIT

/* Error codes, in the manual's names. */
#define E_P	BIT(0)
#define E_W	BIT(1)
#define E_U	BIT(2)
#define E_RSVD	BIT(3)
#define E_I	BIT(4)
#define E_PK	BIT(5)

#define MEM_SIZE	0x10000
static u8 mem[MEM_SIZE];

static struct keel_gwalk w;
static int tests, failed, writes, lose_races;

static int fake_read(void *ctx, gpa_t gpa, void *dst, size_t len)
{
	if (gpa > MEM_SIZE - len)
		return -ENXIO;
	memcpy(dst, mem + gpa, len);
	return 0;
}

static int fake_set_bits(void *ctx, gpa_t gpa, u64 old, u64 new, int size)
{
	u64 now = 0;

	if (gpa > MEM_SIZE - size)
		return -ENXIO;
	if (lose_races) {
		lose_races--;
		return -EAGAIN;
	}
	memcpy(&now, mem + gpa, size);
	if (now != old)
		return -EAGAIN;
	memcpy(mem + gpa, &new, size);
	writes++;
	return 0;
}

/* Counts down to an access for which the host has no page. */
static int reach = -1;

static int failing_read(void *ctx, gpa_t gpa, void *dst, size_t len)
{
	return reach-- ? fake_read(ctx, gpa, dst, len) : -EFAULT;
}

static int failing_set_bits(void *ctx, gpa_t gpa, u64 old, u64 new, int size)
{
	return reach-- ? fake_set_bits(ctx, gpa, old, new, size) : -EFAULT;
}

static int rom_set_bits(void *ctx, gpa_t gpa, u64 old, u64 new, int size)
{
	return -ENXIO;
}

/* Another vCPU makes the leaf read-only before the dirty bit is set. */
static int racing_set_bits(void *ctx, gpa_t gpa, u64 old, u64 new, int size)
{
	if (gpa == 0x4000) {
		mem[0x4000] &= ~W;
		w.set_bits = fake_set_bits;
		return -EAGAIN;
	}
	return fake_set_bits(ctx, gpa, old, new, size);
}

static void report(int ok, int line, const char *what)
{
	tests++;
	if (!ok)
		failed++;
	printf("%sok %d - %s:%d\n", ok ? "" : "not ", tests, what, line);
}

static void want_gpa_at(int line, const char *what, u64 gva, u32 access, u64 gpa, u64 size)
{
	struct keel_gwalk_fault fault = {};
	u64 got = ~0ull, got_size = 0;
	int ret = keel_gwalk(&w, gva, access, &got, &got_size, &fault);

	if (ret || got != gpa || got_size != size)
		printf("# ret %d gpa %#llx size %#llx error %#x, wanted gpa %#llx size %#llx\n", ret,
		       (unsigned long long)got, (unsigned long long)got_size, fault.error,
		       (unsigned long long)gpa, (unsigned long long)size);
	report(!ret && got == gpa && got_size == size, line, what);
}

static void want_pf_at(int line, const char *what, u64 gva, u32 access, u32 error)
{
	struct keel_gwalk_fault fault = {};
	u64 got = 0, size;
	int ret = keel_gwalk(&w, gva, access, &got, &size, &fault);
	int ok = ret == 1 && fault.error == error && fault.address == gva;

	if (!ok)
		printf("# ret %d error %#x address %#llx, wanted %#x\n", ret, fault.error,
		       (unsigned long long)fault.address, error);
	report(ok, line, what);
}

#define want_gpa(...)	want_gpa_at(__LINE__, __func__, __VA_ARGS__)
#define want_pf(...)	want_pf_at(__LINE__, __func__, __VA_ARGS__)
#define want(x)		report(!!(x), __LINE__, __func__)

static void put64(u64 gpa, u64 val)
{
	memcpy(mem + gpa, &val, 8);
}

static u64 get64(u64 gpa)
{
	u64 val;

	memcpy(&val, mem + gpa, 8);
	return val;
}

static void put32(u64 gpa, u32 val)
{
	memcpy(mem + gpa, &val, 4);
}

static u32 get32(u64 gpa)
{
	u32 val;

	memcpy(&val, mem + gpa, 4);
	return val;
}

static void reset(unsigned long cr4, unsigned long efer)
{
	memset(mem, 0, sizeof(mem));
	writes = lose_races = 0;
	w = (struct keel_gwalk) {
		.read = fake_read,
		.set_bits = fake_set_bits,
		.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP,
		.cr3 = 0x1000,
		.cr4 = cr4,
		.efer = efer,
		.gpa_rsvd = GENMASK_ULL(63, 40),
		.has_1g = true,
	};
}

/*
 * Four levels for addresses below 2M: PML4 at 1000, PDPT at 2000, PD at 3000,
 * PT at 4000 whose entry i maps frame 0x100 + i.
 */
static void reset_long(unsigned long cr4, u64 leaf_bits)
{
	int i;

	reset(cr4 | X86_CR4_PAE, EFER_LMA | EFER_LME | EFER_NX);
	put64(0x1000, 0x2000 | ALL);
	put64(0x2000, 0x3000 | ALL);
	put64(0x3000, 0x4000 | ALL);
	for (i = 0; i < 512; i++)
		put64(0x4000 + 8 * i, (0x100000 + 0x1000ull * i) | leaf_bits);
}

static void no_paging(void)
{
	reset(0, 0);
	w.cr0 = X86_CR0_PE;
	want_gpa(0x12345678, WRITE | USER, 0x12345678, 4096);
	want_gpa(0xffff800012345678, READ, 0x12345678, 4096);
	want(!writes);
	want(keel_gwalk(&w, 5, READ, &(gpa_t){ 0 }, NULL, NULL) == 0);
}

static void two_levels(void)
{
	reset(0, 0);
	w.cr3 = 0x1fff;			/* bits 11:0 are not the address */
	put32(0x1000 + 4 * 3, 0x2000 | ALL);
	put32(0x2000 + 4 * 5, 0xabcde000 | ALL);
	want_gpa(0x00c05123, READ, 0xabcde123, 4096);
	want_gpa(0xffffffff00c05123, READ, 0xabcde123, 4096);
	want(get32(0x100c) == (0x2000 | ALL | A) && get32(0x2014) == (0xabcde000 | ALL | A));
	want_pf(0x00c06000, WRITE | USER, E_W | E_U);
	want_pf(0x01000000, FETCH, 0);			/* no NX, no SMEP: the flag is 0 */
	w.cr4 |= X86_CR4_SMEP;
	want_pf(0x01000000, FETCH, E_I);
	w.efer |= EFER_NX;
	w.cr4 = 0;
	want_pf(0x01000000, FETCH, 0);			/* NXE without PAE has no effect */
}

static void four_megabytes(void)
{
	reset(X86_CR4_PSE, 0);
	put32(0x1000 + 4 * 1, 0x80000000 | ALL | PS);
	want_gpa(0x00523456, WRITE, 0x80123456, 4 << 20);
	want(get32(0x1004) == (0x80000000 | ALL | PS | A | D));
	/* Without CR4.PSE the bit is ignored and the entry points to a table. */
	w.cr4 = 0;
	want_pf(0x00523456, READ, 0);
	put32(0x1004, 0x2000 | ALL | PS);
	put32(0x2000 + 4 * 0x123, 0x5000 | ALL);
	want_gpa(0x00523456, READ, 0x5456, 4096);

	/* PSE-36 */
	w.cr4 = X86_CR4_PSE;
	put32(0x1004, 0x80000000 | 0x9a << 13 | ALL | PS);
	want_gpa(0x00400000, READ, 0x9a80000000, 4 << 20);
	w.gpa_rsvd = GENMASK_ULL(63, 36);
	want_pf(0x00400000, READ, E_P | E_RSVD);
	put32(0x1004, 0x80000000 | 0x0a << 13 | ALL | PS);
	want_gpa(0x00400000, READ, 0x0a80000000, 4 << 20);
	put32(0x1004, 0x80000000 | BIT(21) | ALL | PS);
	want_pf(0x00400000, WRITE, E_P | E_RSVD | E_W);
	/* The PAT bit of a large page is not an address bit. */
	put32(0x1004, 0x80000000 | BIT(12) | ALL | PS);
	want_gpa(0x00400000, READ, 0x80000000, 4 << 20);
}

static void pae(void)
{
	reset(X86_CR4_PAE, EFER_NX);
	w.cr3 = 0x1020 | 0x18;		/* 32-byte aligned; PWT and PCD set */
	put64(0x1020 + 8 * 2, 0x2000 | P);
	put64(0x2000 + 8 * 1, 0x3000 | ALL);
	put64(0x3000 + 8 * 7, 0x7f00000000 | ALL);
	put64(0x2000 + 8 * 2, 0x1200000000 | ALL | PS);
	/* The top level gives no rights and has no accessed bit. */
	want_gpa(0x80207abc, WRITE | USER, 0x7f00000abc, 4096);
	want(get64(0x1030) == (0x2000 | P));
	want(get64(0x2008) == (0x3000 | ALL | A));
	want(get64(0x3038) == (0x7f00000000 | ALL | A | D));
	want_gpa(0x80543210, READ, 0x1200143210, 2 << 20);
	want_pf(0x00000000, READ, 0);
	want_pf(0xc0000000, FETCH, E_I);

	put64(0x3038, 0x5000 | ALL | NX);
	want_pf(0x80207000, FETCH | USER, E_P | E_U | E_I);
	want_gpa(0x80207000, READ, 0x5000, 4096);
	w.efer = 0;
	want_pf(0x80207000, READ, E_P | E_RSVD);
	w.efer = EFER_NX;
	put64(0x3038, 0x5000 | ALL | BIT_ULL(52));
	want_pf(0x80207000, READ, E_P | E_RSVD);
	put64(0x3038, 0x5000 | ALL | BIT_ULL(40));
	want_pf(0x80207000, READ, E_P | E_RSVD);
	put64(0x2010, 0x1200000000 | ALL | PS | BIT_ULL(13));
	want_pf(0x80400000, READ, E_P | E_RSVD);
	put64(0x1030, 0x2000 | P | W);
	want_pf(0x80400000, READ, E_P | E_RSVD);
	put64(0x1030, 0x2000 | P | BIT_ULL(5));
	want_pf(0x80400000, READ, E_P | E_RSVD);
}

static void pdptes(void)
{
	u64 e[4] = { 0x1000 | P, 0, ~1ull, 0x2000 | P | 0xe18 };

	want(keel_gwalk_pdptes_valid(e, GENMASK_ULL(63, 40)));
	e[1] = 0x1000 | P | BIT_ULL(1);
	want(!keel_gwalk_pdptes_valid(e, GENMASK_ULL(63, 40)));
	e[1] = 0x1000 | P | BIT_ULL(8);
	want(!keel_gwalk_pdptes_valid(e, GENMASK_ULL(63, 40)));
	e[1] = 0x1000 | P | BIT_ULL(40);
	want(!keel_gwalk_pdptes_valid(e, GENMASK_ULL(63, 40)));
	e[1] = 0x1000 | P | BIT_ULL(39);
	want(keel_gwalk_pdptes_valid(e, GENMASK_ULL(63, 40)));
	e[1] = 0x1000 | P | NX;
	want(!keel_gwalk_pdptes_valid(e, GENMASK_ULL(63, 40)));
}

static void four_levels(void)
{
	reset_long(0, ALL);
	w.cr3 |= BIT_ULL(63) | 0xfff;	/* not address bits */
	want_gpa(0x5678, READ, 0x105678, 4096);
	want(get64(0x1000) == (0x2000 | ALL | A) && get64(0x4028) == (0x105000 | ALL | A));
	want_pf(0x8000000000, READ, 0);
	want_pf(0x40000000, WRITE, E_W);
	want_pf(0x200000, FETCH | USER, E_I | E_U);

	put64(0x3008, 0x3200000000 | ALL | PS);
	want_gpa(0x2abcde, READ, 0x32000abcde, 2 << 20);
	put64(0x2008, 0x4c0000000 | ALL | PS);
	want_gpa(0x7bcdef01, READ, 0x4fbcdef01, 1 << 30);
	w.has_1g = false;
	want_pf(0x7bcdef01, READ, E_P | E_RSVD);
	/* The sign-extended half: index 511 at all levels. */
	put64(0x1000 + 8 * 511, 0x5000 | ALL);
	put64(0x5000 + 8 * 511, 0x6000 | ALL);
	put64(0x6000 + 8 * 511, 0x7000 | ALL);
	put64(0x7000 + 8 * 511, 0x123000 | ALL);
	want_gpa(0xffffffffffffffff, READ, 0x123fff, 4096);
	/* CR4.PSE means nothing here. */
	w.cr4 |= X86_CR4_PSE;
	want_gpa(0x2abcde, READ, 0x32000abcde, 2 << 20);
}

static void five_levels(void)
{
	reset_long(X86_CR4_LA57, ALL);
	w.cr3 = 0x5000;
	put64(0x5000 + 8 * 3, 0x1000 | ALL);
	want_gpa(3ull << 48 | 0x1234, READ, 0x101234, 4096);
	want(get64(0x5018) == (0x1000 | ALL | A));
	want_pf(4ull << 48, READ, 0);
	put64(0x5018, 0x1000 | ALL | PS);
	want_pf(3ull << 48, READ, E_P | E_RSVD);
}

static void reserved(void)
{
	int level;

	/* Address bits beyond MAXPHYADDR, at each level. */
	for (level = 1; level <= 4; level++) {
		reset_long(0, ALL);
		put64(level * 0x1000, get64(level * 0x1000) | BIT_ULL(40));
		want_pf(0, READ, E_P | E_RSVD);
		reset_long(0, ALL);
		put64(level * 0x1000, get64(level * 0x1000) | BIT_ULL(51));
		want_pf(0, USER, E_P | E_RSVD | E_U);
		/* Not if the entry is not present. */
		put64(level * 0x1000, BIT_ULL(51));
		want_pf(0, READ, 0);
		/* Bits 62:52 are the software's in long mode. */
		reset_long(0, ALL);
		put64(level * 0x1000, get64(level * 0x1000) | GENMASK_ULL(62, 52));
		want_gpa(0, READ, 0x100000, 4096);
		/* NX without EFER.NXE */
		reset_long(0, ALL);
		w.efer &= ~EFER_NX;
		put64(level * 0x1000, get64(level * 0x1000) | NX);
		want_pf(0, READ, E_P | E_RSVD);
	}
	reset_long(0, ALL);
	put64(0x1000, get64(0x1000) | PS);
	want_pf(0, READ, E_P | E_RSVD);
	put64(0x1000, (get64(0x1000) & ~PS) | G);
	want_gpa(0, READ, 0x100000, 4096);
	w.amd = true;
	want_pf(0, READ, E_P | E_RSVD);
	reset_long(0, ALL);
	w.amd = true;
	put64(0x2000, get64(0x2000) | G);
	want_gpa(0, READ, 0x100000, 4096);
	put64(0x3000, 0x200000 | BIT_ULL(20) | ALL | PS);
	want_pf(0, READ, E_P | E_RSVD);
	put64(0x3000, 0x200000 | BIT_ULL(12) | ALL | PS);
	want_gpa(0, READ, 0x200000, 2 << 20);
	put64(0x2000, 0x40000000 | BIT_ULL(29) | ALL | PS);
	want_pf(0, READ, E_P | E_RSVD);
	put64(0x2000, 0x40000000 | BIT_ULL(12) | ALL | PS);
	want_gpa(0, READ, 0x40000000, 1 << 30);
	/* A reserved bit above wins over "not present" below. */
	reset_long(0, 0);
	put64(0x2000, get64(0x2000) | BIT_ULL(45));
	want_pf(0, READ, E_P | E_RSVD);
}

static void rights(void)
{
	int level;

	/* One level without the right is enough. */
	for (level = 1; level <= 4; level++) {
		reset_long(0, ALL);
		put64(level * 0x1000, get64(level * 0x1000) & ~W);
		want_gpa(0, READ | USER, 0x100000, 4096);
		want_pf(0, WRITE | USER, E_P | E_W | E_U);
		want_pf(0, WRITE, E_P | E_W);
		w.cr0 &= ~X86_CR0_WP;
		want_gpa(0, WRITE, 0x100000, 4096);
		want_pf(0, WRITE | USER, E_P | E_W | E_U);

		reset_long(0, ALL);
		put64(level * 0x1000, get64(level * 0x1000) & ~U);
		want_gpa(0, WRITE, 0x100000, 4096);
		want_pf(0, READ | USER, E_P | E_U);
		want_pf(0, WRITE | USER, E_P | E_U | E_W);
		want_pf(0, FETCH | USER, E_P | E_U | E_I);
		/* A supervisor access by whatever CPL. */
		want_gpa(0, READ | USER | IMPL, 0x100000, 4096);

		reset_long(0, ALL);
		put64(level * 0x1000, get64(level * 0x1000) | NX);
		want_gpa(0, READ | USER, 0x100000, 4096);
		want_pf(0, FETCH, E_P | E_I);
		want_pf(0, FETCH | USER, E_P | E_I | E_U);
	}
}

static void smep_smap(void)
{
	reset_long(X86_CR4_SMEP | X86_CR4_SMAP, ALL);
	want_pf(0, FETCH, E_P | E_I);
	want_gpa(0, FETCH | USER, 0x100000, 4096);
	want_pf(0, READ, E_P);
	want_pf(0, WRITE, E_P | E_W);
	want_gpa(0, READ | USER, 0x100000, 4096);
	w.rflags = X86_EFLAGS_AC;
	want_gpa(0, READ, 0x100000, 4096);
	want_gpa(0, WRITE, 0x100000, 4096);
	want_pf(0, READ | IMPL, E_P);
	want_pf(0, READ | USER | IMPL, E_P);
	/* SMAP says nothing of fetches, AC nothing of SMEP. */
	want_pf(0, FETCH, E_P | E_I);
	w.cr4 &= ~X86_CR4_SMEP;
	w.rflags = 0;
	want_gpa(0, FETCH, 0x100000, 4096);
	/* Supervisor pages are not meant: one level without U makes one. */
	w.cr4 |= X86_CR4_SMEP;
	put64(0x3000, get64(0x3000) & ~U);
	want_gpa(0, FETCH, 0x100000, 4096);
	want_gpa(0, WRITE | IMPL, 0x100000, 4096);
	/* SMEP alone makes the flag of fetches valid. */
	reset_long(X86_CR4_SMEP, P | W);
	w.efer &= ~EFER_NX;
	want_pf(0, FETCH | USER, E_P | E_U | E_I);
	w.cr4 &= ~X86_CR4_SMEP;
	want_pf(0, FETCH | USER, E_P | E_U);
}

static void protection_keys(void)
{
	reset_long(X86_CR4_PKE, ALL | 5ull << 59);
	want_gpa(0, WRITE | USER, 0x100000, 4096);
	w.pkru = ~(3u << 10);
	want_gpa(0, WRITE | USER, 0x100000, 4096);
	w.pkru = 1u << 10;		/* key 5: no access */
	want_pf(0, READ | USER, E_P | E_U | E_PK);
	want_pf(0, READ, E_P | E_PK);
	want_gpa(0, FETCH | USER, 0x100000, 4096);
	w.pkru = 2u << 10;		/* key 5: no writing */
	want_gpa(0, READ | USER, 0x100000, 4096);
	want_pf(0, WRITE | USER, E_P | E_W | E_U | E_PK);
	want_pf(0, WRITE, E_P | E_W | E_PK);
	w.cr0 &= ~X86_CR0_WP;
	want_gpa(0, WRITE, 0x100000, 4096);
	want_pf(0, WRITE | USER, E_P | E_W | E_U | E_PK);
	w.cr4 &= ~X86_CR4_PKE;
	want_gpa(0, WRITE | USER, 0x100000, 4096);
	/* Supervisor pages have no keys. */
	reset_long(X86_CR4_PKE, P | W | 5ull << 59);
	w.pkru = 3u << 10;
	want_gpa(0, WRITE, 0x100000, 4096);
	/* Both reasons at once: the flag tells of the key all the same. */
	reset_long(X86_CR4_PKE, P | U | 5ull << 59);
	w.pkru = 2u << 10;
	want_pf(0, WRITE | USER, E_P | E_W | E_U | E_PK);
	/* The large page's key is its own entry's. */
	reset_long(X86_CR4_PKE, ALL);
	put64(0x3000, 0x200000 | ALL | PS | 9ull << 59);
	w.pkru = 1u << 18;
	want_pf(0, READ | USER, E_P | E_U | E_PK);
}

static void accessed_dirty(void)
{
	int level;

	reset_long(0, ALL);
	want_gpa(0x1000, READ, 0x101000, 4096);
	for (level = 1; level <= 3; level++)
		want(get64(level * 0x1000) & A);
	want((get64(0x4008) & (A | D)) == A);
	want(!(get64(0x4000) & A) && writes == 4);
	/* The second time there is nothing to write. */
	want_gpa(0x1000, READ, 0x101000, 4096);
	want(writes == 4);
	want_gpa(0x1000, WRITE, 0x101000, 4096);
	want(writes == 5 && (get64(0x4008) & (A | D)) == (A | D));
	want(!(get64(0x3000) & D));
	/* A fault leaves no dirty bit. */
	reset_long(0, P | U);
	want_pf(0, WRITE, E_P | E_W);
	want(!(get64(0x4000) & D));
	/* The large page has both. */
	reset_long(0, ALL);
	put64(0x3000, 0x200000 | ALL | PS);
	want_gpa(0, WRITE, 0x200000, 2 << 20);
	want(get64(0x3000) == (0x200000 | ALL | PS | A | D));

	reset_long(0, ALL);
	w.set_bits = NULL;
	want_gpa(0, WRITE, 0x100000, 4096);
	want(get64(0x4000) == (0x100000 | ALL));
	w.set_bits = rom_set_bits;
	want_gpa(0, WRITE, 0x100000, 4096);
}

static void races(void)
{
	reset_long(0, ALL);
	lose_races = 3;
	want_gpa(0, WRITE, 0x100000, 4096);
	want(get64(0x4000) & D);
	/* It starts over with the entry as it is now. */
	reset_long(0, ALL);
	w.set_bits = racing_set_bits;
	want_pf(0, WRITE, E_P | E_W);
	want(!(get64(0x4000) & D));
	/* Without end: a fault, not a hang. */
	reset_long(0, ALL);
	lose_races = 1 << 30;
	want_pf(0, WRITE, E_W);
}

/* The four entries are read, then their bits are set: wherever it ends, it can be done again. */
static void host_without_page(void)
{
	struct keel_gwalk_fault fault = {};
	gpa_t gpa;
	int n;

	for (n = 0; n < 8; n++) {
		reset_long(0, ALL);
		w.read = failing_read;
		w.set_bits = failing_set_bits;
		reach = n;
		want(keel_gwalk(&w, 0, WRITE, &gpa, NULL, &fault) == -EFAULT);
		want_gpa(0, WRITE, 0x100000, 4096);
		want(get64(0x4000) & D);
	}
	reset_long(0, ALL);
	w.read = failing_read;
	w.set_bits = failing_set_bits;
	reach = n;
	want_gpa(0, WRITE, 0x100000, 4096);
	w.read = fake_read;
}

static void tables_outside(void)
{
	struct keel_gwalk_fault fault = {};
	gpa_t gpa;
	int level;

	for (level = 1; level <= 3; level++) {
		reset_long(0, ALL);
		put64(level * 0x1000, 0x7000000 | ALL);
		want_pf(0, WRITE | USER, E_W | E_U);
		want(keel_gwalk(&w, 0, READ, &gpa, NULL, &fault) == 1 && fault.not_memory);
	}
	reset_long(0, 0);
	want(keel_gwalk(&w, 0, READ, &gpa, NULL, &fault) == 1 && !fault.not_memory);
	w.cr3 = 0xffffffffff000;
	want(keel_gwalk(&w, 0, READ, &gpa, NULL, &fault) == 1 && fault.not_memory);
}

/* Whatever the tables hold, the walk ends, and its result is one that the mode can give. */
static void garbage(void)
{
	struct keel_gwalk_fault fault;
	int i, k, bad = 0;
	gpa_t gpa;
	u64 size;

	srandom(1);
	for (i = 0; i < 200; i++) {
		reset(random() & (X86_CR4_PAE | X86_CR4_PSE | X86_CR4_SMEP | X86_CR4_SMAP |
				  X86_CR4_PKE | X86_CR4_LA57), random() & EFER_NX);
		if ((w.cr4 & X86_CR4_PAE) && (random() & 1))
			w.efer |= EFER_LMA;
		for (k = 0; k < MEM_SIZE; k += 4)
			put32(k, random() << 1 | !!(random() & 7));
		/* Let most addresses be in memory. */
		for (k = 0; k < MEM_SIZE; k += 8)
			if (w.cr4 & X86_CR4_PAE)
				put64(k, get64(k) & (0xffff | (random() & 3 ? 0 : ~0ull)));
		for (k = 0; k < 500; k++) {
			u64 gva = (u64)random() << 33 ^ (u64)random() << 12 ^ random();
			int ret;

			gpa = ~0ull;
			size = 0;
			ret = keel_gwalk(&w, gva, random() & (WRITE | USER | FETCH | IMPL), &gpa, &size,
					 &fault);
			if (ret == 0)
				bad += (gpa & w.gpa_rsvd) || !size || (size & (size - 1)) ||
				       ((gpa ^ gva) & (size - 1));
			else
				bad += ret != 1 || (fault.error & ~0x3fu) ||
				       ((fault.error & E_RSVD) && !(fault.error & E_P));
		}
	}
	want(!bad);
}

int main(void)
{
	printf("TAP version 13\n");
	no_paging();
	two_levels();
	four_megabytes();
	pae();
	pdptes();
	four_levels();
	five_levels();
	reserved();
	rights();
	smep_smap();
	protection_keys();
	accessed_dirty();
	races();
	host_without_page();
	tables_outside();
	garbage();
	printf("1..%d\n# %d passed, %d failed\n", tests, tests - failed, failed);
	return failed != 0;
}
