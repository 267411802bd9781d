// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory: mapped for the first time, logged, and taken back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "dirty.h"

#define ROUNDS		(TRACED_ROUND + 1)	/* the first one is not counted */
#define NEAR_SIZE	(8UL << 20)		/* of a round: every page */
#define FAR_SIZE	(16UL << 20)		/* ... every FAR_STEP, and every huge one */
#define FAR_STEP	(64 * PAGE)		/* more than hypervisors map at once */

#define THP		"/sys/kernel/mm/transparent_hugepage/enabled"

/* A figure in kB of a file in /proc. */
static u64 proc_bytes(const char *path, const char *name)
{
	FILE *f = fopen(path, "r");
	size_t len = strlen(name);
	char line[256];
	u64 kb = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ':')
			kb = strtoul(line + len + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return kb << 10;
}

static u64 mem_available(void)
{
	return proc_bytes("/proc/meminfo", "MemAvailable");
}

static void advise(u8 *mem, u64 size, int advice)
{
	if (madvise(mem, size, advice))
		die("madvise(%d): %s", advice, strerror(errno));
}

/* Address space, aligned to 2M; @advice is about huge pages. */
static u8 *space(u64 size, int advice)
{
	u8 *mem = map_anon(size + PAGE_2M);

	mem = (u8 *)(((uintptr_t)mem + PAGE_2M - 1) & ~(PAGE_2M - 1));
	/* A kernel without huge pages need not be told to use none. */
	madvise(mem, size, advice);
	return mem;
}

/* ---- first accesses --------------------------------------------------------------- */

static u64 round_size, step;

/* Every round has memory of its own; page tables and the guest's own pages get warm in the first. */
static void touch_rounds(u64 base)
{
	u64 at, t;
	u32 r;

	for (r = 0; r < ROUNDS; r++) {
		magic(r);
		t = rdtsc();
		for (at = base; at < base + round_size; at += step)
			MMIO(u64, at) = at;
		t = rdtsc() - t;
		magic(r);
		if (r)
			sample(t);
		base += round_size;
	}
}

static void guest_touch(u64 base)
{
	touch_rounds(base);
	guest_done();
}

static u64 touch(u64 size, u64 distance, int advice, bool present)
{
	u64 all = ROUNDS * size;
	struct vcpu *v;
	u8 *mem;

	if (mem_available() < all)
		return NOT_HERE;
	v = bench_vcpu(0, guest_touch, BENCH_GPA);
	round_size = size;
	step = distance;
	mem = space(all, advice);
	if (present)
		advise(mem, all, MADV_POPULATE_WRITE);
	if (vm_slot(v->vm, FIRST_SLOT, 0, BENCH_GPA, all, mem))
		die("cannot add the memory");
	bench_run(v);
	/* In fragmented memory the host may have found none. */
	if (advice == MADV_HUGEPAGE && proc_bytes("/proc/self/smaps_rollup", "AnonHugePages") < all)
		return NOT_HERE;
	return median(&samples) / (size / distance);
}

static u64 row_map_4k(void)
{
	return touch(NEAR_SIZE, PAGE, MADV_NOHUGEPAGE, true);
}

static u64 row_map_4k_far(void)
{
	return touch(FAR_SIZE, FAR_STEP, MADV_NOHUGEPAGE, true);
}

static u64 row_populate_4k(void)
{
	return touch(NEAR_SIZE, PAGE, MADV_NOHUGEPAGE, false);
}

static u64 row_populate_4k_far(void)
{
	return touch(FAR_SIZE, FAR_STEP, MADV_NOHUGEPAGE, false);
}

static u64 huge(bool present)
{
	if (!file_says(THP, "[always]") && !file_says(THP, "[madvise]"))
		return NOT_HERE;
	return touch(FAR_SIZE, PAGE_2M, MADV_HUGEPAGE, present);
}

static u64 row_map_2m(void)
{
	return huge(true);
}

static u64 row_populate_2m(void)
{
	return huge(false);
}

static u64 row_native_populate_4k(void)
{
	u8 *mem = space(ROUNDS * NEAR_SIZE, MADV_NOHUGEPAGE);

	round_size = NEAR_SIZE;
	step = PAGE;
	touch_rounds((uintptr_t)mem);
	return median(&samples) / (NEAR_SIZE / PAGE);
}

/* ---- a GiB ------------------------------------------------------------------------ */

#define BIG		PAGE_1G
#define BIG_PAGES	(BIG / PAGE)
#define ONE_PERCENT	100		/* every so many pages */
#define DIRTY_ROUNDS	6		/* the first one is not counted */

static volatile u64 dirty_round;

/* Whoever reads a page of shared memory gets it writable, and its neighbours with it. */
static void map_gib(u8 *mem)
{
	u64 i;

	for (i = 0; i < BIG_PAGES; i++)
		READ_ONCE(mem[i * PAGE]);
}

/*
 * Shared memory, which is there several times where a GiB of it would take the host's memory, or
 * an emulated host's time: page tables do not know the difference.
 */
u8 *bench_gib(void)
{
	u8 *mem = space(BIG, MADV_NOHUGEPAGE);
	u64 size = BIG, at;
	int fd = memfd_create("bench", 0);

	while (size > mem_available() / 16 && size > PAGE_2M)
		size /= 2;
	if (fd < 0 || ftruncate(fd, size))
		die("shared memory: %s", strerror(errno));
	for (at = 0; at < BIG; at += size) {
		if (mmap(mem + at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		    MAP_FAILED)
			die("shared memory: %s", strerror(errno));
	}
	close(fd);
	madvise(mem, BIG, MADV_NOHUGEPAGE);
	advise(mem, size, MADV_POPULATE_WRITE);
	map_gib(mem);
	return mem;
}

static void guest_map_big(void)
{
	u64 i;

	for (i = 0; i < BIG_PAGES; i++)
		MMIO(u64, BENCH_GPA + i * PAGE) = i;
}

static void guest_map_once(u64 unused)
{
	guest_sync(0);
	guest_map_big();
	guest_done();
}

struct vcpu *bench_map(u8 *gib)
{
	struct vcpu *v = bench_vcpu(0, guest_map_once, 0);

	if (vm_slot(v->vm, FIRST_SLOT, 0, BENCH_GPA, BIG, gib))
		die("cannot add the memory");
	if (guest_run(v) != UC_SYNC)
		die("the guest does not start");
	return v;
}

static void guest_dirty(u64 unused)
{
	u64 i;

	guest_map_big();
	for (;;) {
		guest_sync(0);
		for (i = dirty_round; i < BIG_PAGES; i += ONE_PERCENT)
			MMIO(u64, BENCH_GPA + i * PAGE) = i;
	}
}

static u64 log_round(struct vcpu *v, u64 *bitmap)
{
	u64 t = rdtsc();
	int reason = guest_run(v), e = get_log(v->vm, FIRST_SLOT, bitmap);

	t = rdtsc() - t;
	if (reason != UC_SYNC || e)
		die("exit %d, KVM_GET_DIRTY_LOG: %s", reason, strerror(e));
	return t;
}

static u64 row_dirty_log(void)
{
	struct vcpu *v = bench_vcpu(0, guest_dirty, 0);
	u64 *bitmap = calloc(BIG_PAGES / 64, 8), i, t;
	u32 r;

	if (vm_slot(v->vm, FIRST_SLOT, LOG, BENCH_GPA, BIG, bench_gib()))
		die("cannot add the memory");
	log_round(v, bitmap);
	for (i = 0; i < BIG_PAGES / 64; i++)
		if (bitmap[i] != ~0UL)
			die("pages %lu to %lu are written, the log has %#lx of them", i * 64,
			    i * 64 + 63, bitmap[i]);
	for (r = 0; r < DIRTY_ROUNDS; r++) {
		dirty_round = r;
		magic(r == DIRTY_ROUNDS - 1 ? TRACED_ROUND : 0);
		t = log_round(v, bitmap);
		magic(r == DIRTY_ROUNDS - 1 ? TRACED_ROUND : 0);
		for (i = 0; i < BIG_PAGES; i++)
			if (bit(bitmap, i) != (i % ONE_PERCENT == r))
				die("round %u: page %lu is %slogged", r, i,
				    bit(bitmap, i) ? "" : "not ");
		if (r)
			sample(t);
	}
	return median(&samples);
}

static u64 unmap(u8 *mem, u32 round)
{
	u64 t;

	magic(round);
	t = rdtsc();
	advise(mem, BIG, MADV_DONTNEED);
	t = rdtsc() - t;
	magic(round);
	return t;
}

static u64 row_notifier_unmap(void)
{
	u8 *mem = bench_gib();
	u64 without, with;

	/* The first time, pages become active ones as well. */
	unmap(mem, 0);
	map_gib(mem);
	without = unmap(mem, 0);
	map_gib(mem);
	bench_run(bench_map(mem));
	with = unmap(mem, TRACED_ROUND);
	return with > without ? with - without : NOT_HERE;
}

const struct bench_row mem_rows[] = {
	{ "map_4k", "ticks", "first write to a 4K page that the host has; one of 2048 in a row",
	  row_map_4k },
	{ "map_4k_far", "ticks", "the same, 64 pages from the one before", row_map_4k_far },
	{ "populate_4k", "ticks",
	  "first write to a 4K page that the host allocates and clears; one of 2048 in a row",
	  row_populate_4k },
	{ "populate_4k_far", "ticks", "the same, 64 pages from the one before",
	  row_populate_4k_far },
	{ "map_2m", "ticks", "first write to a 2M page that the host has", row_map_2m },
	{ "populate_2m", "ticks", "first write to a 2M page that the host allocates and clears",
	  row_populate_2m },
	{ "native_populate_4k", "ticks", "populate_4k by a process, without a VM: the limit",
	  row_native_populate_4k },
	{ "dirty_log", "ticks",
	  "a guest writes every 100th page of a logged GiB, and KVM_GET_DIRTY_LOG; "
	  "fails if the log is not exact", row_dirty_log },
	{ "notifier_unmap", "ticks",
	  "MADV_DONTNEED of a GiB that a guest has mapped in 4K pages, less that of one without",
	  row_notifier_unmap },
	{ }
};
