// SPDX-License-Identifier: GPL-2.0-only
/* Kinds of memory behind a slot: small and huge pages, files, shared and private. */
#include <sys/syscall.h>
#include <linux/mman.h>
#include "harness.h"

#define GPA	HIGH_GPA
#define SIZE	(3 * PAGE_2M)

FIXTURE(backing) {
	struct vm *vm;
	struct vcpu *v;
};

FIXTURE_SETUP(backing)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(backing)
{
}

/* One word of each page, in an order that neither grows nor falls. */
static u64 fill_at = GPA;

static void guest_fill(u64 size)
{
	u64 n = size / PAGE, i;

	for (i = 0; i < n; i++)
		MMIO(u64, fill_at + (i * 7919 % n) * PAGE + 8) += i * 7919 % n + 1;
	guest_done();
}

static void check_fill(struct __test_metadata *_metadata, struct vcpu *v, u8 *mem, u64 size)
{
	u64 i;

	for (i = 0; i < size / PAGE; i += 3)
		*(u64 *)(mem + i * PAGE + 8) = 1000;
	vcpu_long(v, guest_fill, size);
	ASSERT_DONE(v);
	for (i = 0; i < size / PAGE; i++)
		ASSERT_EQ(i + 1 + (i % 3 ? 0 : 1000), *(u64 *)(mem + i * PAGE + 8));
}

TEST_F(backing, small_pages)
{
	u8 *mem = map_anon(SIZE);

	madvise(mem, SIZE, MADV_NOHUGEPAGE);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, mem));
	check_fill(_metadata, self->v, mem, SIZE);
}

TEST_F(backing, transparent_huge_pages)
{
	u8 *mem = map_anon(SIZE + PAGE_2M);

	mem = (u8 *)(((uintptr_t)mem + PAGE_2M - 1) & ~(PAGE_2M - 1));
	madvise(mem, SIZE, MADV_HUGEPAGE);
	memset(mem, 0, SIZE);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, mem));
	check_fill(_metadata, self->v, mem, SIZE);
	/* One small page taken out of a huge one. */
	ASSERT_EQ(0, madvise(mem + 5 * PAGE, PAGE, MADV_DONTNEED));
	memset(mem, 0, SIZE);
	check_fill(_metadata, self->v, mem, SIZE);
}

/* Guest and host address disagree within 2 MiB: huge mappings must not be used. */
TEST_F(backing, misaligned_huge_pages)
{
	u8 *mem = map_anon(SIZE + 2 * PAGE_2M);

	mem = (u8 *)(((uintptr_t)mem + PAGE_2M - 1) & ~(PAGE_2M - 1));
	madvise(mem, SIZE + PAGE_2M, MADV_HUGEPAGE);
	memset(mem, 0, SIZE + PAGE_2M);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, mem + 3 * PAGE));
	check_fill(_metadata, self->v, mem + 3 * PAGE, SIZE);
	EXPECT_EQ(0, *(u64 *)(mem + 8));
	EXPECT_EQ(0, *(u64 *)(mem + SIZE + 3 * PAGE + 8));
}

/* The slot ends inside a huge page: what is behind stays out of reach. */
static void guest_behind(u64 gpa)
{
	MMIO(u64, gpa - 8) = 1;
	MMIO(u64, gpa) = 2;
	guest_done();
}

TEST_F(backing, slot_smaller_than_huge_page)
{
	u8 *mem = map_anon(2 * PAGE_2M);

	mem = (u8 *)(((uintptr_t)mem + PAGE_2M - 1) & ~(PAGE_2M - 1));
	madvise(mem, PAGE_2M, MADV_HUGEPAGE);
	memset(mem, 0, PAGE_2M);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, 5 * PAGE, mem));
	vcpu_long(self->v, guest_behind, GPA + 5 * PAGE);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(GPA + 5 * PAGE, self->v->run->mmio.phys_addr);
	EXPECT_EQ(1, *(u64 *)(mem + 5 * PAGE - 8));
	EXPECT_EQ(0, *(u64 *)(mem + 5 * PAGE));
}

static void hugetlb(struct __test_metadata *_metadata, struct vcpu *v, unsigned int shift,
		    u64 size, u64 gpa)
{
	u8 *mem;

	mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | shift << MAP_HUGE_SHIFT, -1, 0);
	if (mem == MAP_FAILED)
		SKIP(return, "no huge pages of 2^%u bytes are reserved", shift);
	ASSERT_EQ(0, vm_slot(v->vm, 2, 0, gpa, size, mem));
	fill_at = gpa;
	check_fill(_metadata, v, mem, size < SIZE ? size : SIZE);
	munmap(mem, size);
}

static void reserve(const char *size, const char *n)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%skB/nr_hugepages", size);
	f = fopen(path, "w");
	if (!f)
		return;
	fputs(n, f);
	fclose(f);
}

TEST_F(backing, hugetlb_2m)
{
	reserve("2048", "3");
	hugetlb(_metadata, self->v, 21, SIZE, GPA);
	reserve("2048", "0");
}

/* The host clears all of the page. */
TEST_F_TIMEOUT(backing, hugetlb_1g, 120)
{
	/* Not reserved here but at boot: an emulated host would move memory for minutes. */
	hugetlb(_metadata, self->v, 30, PAGE_1G, PAGE_1G);
}

TEST_F(backing, shared_memory_file)
{
	int fd = memfd_create("keel", 0);
	u8 *mem, *other;

	ASSERT_EQ(0, ftruncate(fd, SIZE));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, SIZE, mem));
	check_fill(_metadata, self->v, mem, SIZE / 8);
	EXPECT_EQ(2, *(u64 *)(other + PAGE + 8));
	/* Cut shorter, what was behind the end is not there any more. */
	ASSERT_EQ(0, ftruncate(fd, 4 * PAGE));
	vcpu_long(self->v, guest_fill, SIZE / 8);
	EXPECT_EQ(EFAULT, vcpu_run(self->v));
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	EXPECT_EQ(0, *(u64 *)(other + 6 * PAGE + 8));
	ASSERT_DONE(self->v);
	EXPECT_EQ(7, *(u64 *)(other + 6 * PAGE + 8));
}

/* A private mapping of a file: reads show the file, writes do not reach it. */
static volatile u64 seen;

static void guest_private(u64 arg)
{
	seen = MMIO(u64, GPA);
	guest_sync(0);
	seen = MMIO(u64, GPA);
	MMIO(u64, GPA + 8) = 0x2222;
	guest_sync(1);
	seen = MMIO(u64, GPA);
	guest_done();
}

TEST_F(backing, private_file)
{
	int fd = memfd_create("keel", 0);
	u64 val = 0x1111;
	u8 *mem;

	ASSERT_EQ(8, write(fd, &val, 8));
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, PAGE, mem));
	vcpu_long(self->v, guest_private, 0);
	ASSERT_SYNC(0, self->v);
	EXPECT_EQ(0x1111, seen);
	val = 0x1112;
	ASSERT_EQ(8, pwrite(fd, &val, 8, 0));
	ASSERT_SYNC(1, self->v);
	EXPECT_EQ(0x1112, seen);
	EXPECT_EQ(0x2222, *(u64 *)(mem + 8));
	ASSERT_EQ(8, pread(fd, &val, 8, 8));
	EXPECT_EQ(0, val);
	/* Copied by now: the file is out of sight. */
	val = 0x1113;
	ASSERT_EQ(8, pwrite(fd, &val, 8, 0));
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x1112, seen);
}

static void guest_read(u64 gpa)
{
	seen = MMIO(u64, gpa);
	guest_done();
}

/*
 * Secret memory beside memory that the guest has already; by now the kernel has noted its pages as
 * some of its own, which it does by fifteens.
 */
TEST_F(backing, secret_memory)
{
	int fd = syscall(__NR_memfd_secret, 0);
	u8 *mem;

	if (fd < 0)
		SKIP(return, "the kernel has no memfd_secret()");
	ASSERT_EQ(0, ftruncate(fd, 64 * PAGE));
	mem = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	memset(mem, 0x55, 64 * PAGE);
	ASSERT_EQ(0, vm_slot(self->vm, 2, 0, GPA, PAGE, map_anon(PAGE)));
	ASSERT_EQ(0, vm_slot(self->vm, 3, 0, GPA + PAGE, 64 * PAGE, mem));
	vcpu_long(self->v, guest_read, GPA);
	ASSERT_DONE(self->v);
	vcpu_long(self->v, guest_read, GPA + PAGE);
	EXPECT_EQ(EFAULT, vcpu_run(self->v));
}

TEST_MAIN
