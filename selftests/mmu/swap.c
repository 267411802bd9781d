// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host swaps the guest's memory out and in.  What proves that it did is the process's own
 * page map; a host that swaps nothing out, not even a page that no guest knows, is a skip.
 */
#include <fcntl.h>
#include "harness.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define GPA		HIGH_GPA
#define PAGES		256UL
#define SIZE		(PAGES * PAGE)
#define VA		(1UL << 39)
#define PORT		0x2345
#define NOWHERE		(HIGH_GPA + (1UL << 26))
#define PM_PRESENT	BIT(63)

static volatile u64 stop, passes, on_device;
static int pagemap = -1;

/*
 * How many pages are out for good: what somebody holds is unmapped as well, but is still in
 * the swap cache, where mincore() sees it.
 */
static u64 swapped_of(u8 *mem, u64 size)
{
	static unsigned char resident[LOW_SIZE / PAGE];
	static u64 entry[LOW_SIZE / PAGE];
	ssize_t bytes = size / PAGE * sizeof(entry[0]);
	u64 i, n = 0;

	if (pread(pagemap, entry, bytes, (uintptr_t)mem / PAGE * sizeof(entry[0])) != bytes ||
	    mincore(mem, size, resident))
		die("/proc/self/pagemap: %s", strerror(errno));
	for (i = 0; i < size / PAGE; i++)
		n += !(entry[i] & PM_PRESENT) && !(resident[i] & 1);
	return n;
}

/* A page in use at the moment stays, so a few tries; how many pages are out then. */
static u64 swap_out(u8 *mem, u64 size)
{
	unsigned int tries;
	u64 n = 0;

	for (tries = 0; tries < 20 && n < size / PAGE; tries++) {
		madvise(mem, size, MADV_PAGEOUT);
		n = swapped_of(mem, size);
	}
	return n;
}

FIXTURE(swap) {
	struct vm *vm;
	struct vcpu *v;
	u8 *mem;
};

FIXTURE_VARIANT(swap) {
	bool shared;
};

FIXTURE_VARIANT_ADD(swap, anonymous) {
	.shared = false,
};

FIXTURE_VARIANT_ADD(swap, shared) {
	.shared = true,
};

/*
 * A read maps a page of shared memory writable and clean, so that nothing but the hypervisor
 * knows of the guest's writes; a clean page of zeroes is dropped.
 */
static u8 *map_shared(void)
{
	int fd = memfd_create("keel", 0);
	volatile u8 *mem;
	u64 i;

	if (fd < 0 || ftruncate(fd, SIZE))
		die("memfd: %s", strerror(errno));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		die("mmap of a memfd: %s", strerror(errno));
	for (i = 0; i < SIZE; i += PAGE)
		mem[i];
	return (u8 *)mem;
}

FIXTURE_SETUP(swap)
{
	u8 *probe = map_anon(PAGE);

	pagemap = open("/proc/self/pagemap", O_RDONLY);
	*probe = 1;
	if (pagemap < 0 || !swap_out(probe, PAGE))
		SKIP(return, "this host swaps nothing out");
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->mem = variant->shared ? map_shared() : map_anon(SIZE);
	ASSERT_EQ(0, vm_slot(self->vm, FIRST_SLOT, 0, GPA, SIZE, self->mem));
}

FIXTURE_TEARDOWN(swap)
{
}

/* Each page has a word of its own; every pass finds what the last one left. */
static u64 word(u64 page, u64 pass)
{
	return (page + 1) * 0x10001 + pass;
}

static void one_pass(u64 pass, u64 pause)
{
	u64 i, start;

	for (i = 0; i < PAGES; i++) {
		for (start = rdtsc(); rdtsc() - start < pause; )
			cpu_pause();
		if (pass)
			G_EQ(MMIO(u64, GPA + i * PAGE + 16), word(i, pass - 1));
		MMIO(u64, GPA + i * PAGE + 16) = word(i, pass);
	}
}

static void guest_passes(u64 n)
{
	for (passes = 0; passes < n; passes++) {
		one_pass(passes, 0);
		guest_sync(passes);
	}
	guest_done();
}

TEST_F(swap, out_and_in)
{
	u64 pass, i;

	vcpu_long(self->v, guest_passes, 4);
	for (pass = 0; pass < 4; pass++) {
		ASSERT_SYNC(pass, self->v);
		/* Nothing of the guest's may be pinned; some pages the host may not catch. */
		EXPECT_LT(PAGES * 3 / 4, swap_out(self->mem, SIZE));
	}
	for (i = 0; i < PAGES; i++)
		ASSERT_EQ(word(i, 3), *(u64 *)(self->mem + i * PAGE + 16));
	ASSERT_DONE(self->v);
}

/* In for reading first, out again, then written: the write must reach the next time out. */
static void guest_read_then_write(u64 arg)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		G_EQ(MMIO(u64, GPA + i * PAGE + 16), word(i, 0));
	guest_sync(0);
	for (i = 0; i < PAGES; i++) {
		G_EQ(MMIO(u64, GPA + i * PAGE + 16), word(i, 0));
		MMIO(u64, GPA + i * PAGE + 16) = word(i, 1);
	}
	guest_sync(1);
	for (i = 0; i < PAGES; i++)
		G_EQ(MMIO(u64, GPA + i * PAGE + 16), word(i, 1));
	guest_done();
}

TEST_F(swap, read_then_written)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		*(u64 *)(self->mem + i * PAGE + 16) = word(i, 0);
	swap_out(self->mem, SIZE);
	vcpu_long(self->v, guest_read_then_write, 0);
	ASSERT_SYNC(0, self->v);
	/* Clean copies are in swap; the host need not write them again. */
	EXPECT_LT(PAGES * 3 / 4, swap_out(self->mem, SIZE));
	ASSERT_SYNC(1, self->v);
	EXPECT_LT(PAGES * 3 / 4, swap_out(self->mem, SIZE));
	ASSERT_DONE(self->v);
}

/*
 * What the hypervisor reads and writes on the guest's behalf: the guest's page tables, its
 * code, and the memory of a string instruction.
 */
static void guest_by_proxy(u64 arg)
{
	u64 from = VA, to = VA + 8 * PAGE, count = 8;

	guest_map(VA, GPA, SIZE, PAGE, PTE_P | PTE_W);
	for (u64 i = 0; i < 16; i++)
		MMIO(u64, VA + i * PAGE) = 0;
	guest_sync(1);
	asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"((u16)PORT) : "memory");
	guest_sync(2);
	count = 8;
	asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"((u16)PORT) : "memory");
	guest_sync(3);
	on_device = MMIO(u64, NOWHERE);
	guest_sync(4);
	G_EQ(MMIO(u64, VA + 8 * PAGE), 0x1122334455667788);
	G_EQ(on_device, 0x8877665544332211);
	guest_done();
}

/* All that the guest has, its tables and stack included; the code if the host can. */
static void all_out(struct __test_metadata *_metadata, struct vm *vm, u8 *mem)
{
	extern char __executable_start[], _end[];
	u64 from = (uintptr_t)__executable_start & ~(PAGE - 1);

	EXPECT_LT(0, swap_out(mem, SIZE));
	swap_out(vm->low, LOW_SIZE);
	madvise((void *)(uintptr_t)from, (uintptr_t)_end - from, MADV_PAGEOUT);
	EXPECT_LT(PAGES * 3 / 4, swapped_of(mem, SIZE));
}

TEST_F(swap, memory_that_the_hypervisor_touches)
{
	struct kvm_translation t = { .linear_address = VA + 3 * PAGE };
	struct vcpu *v = self->v;
	struct kvm_run *run = v->run;
	u8 data[8], *at = (u8 *)run;
	unsigned int n = 0;
	u64 in = 0x1122334455667788, i;

	vcpu_long(v, guest_by_proxy, 0);
	ASSERT_SYNC(1, v);
	for (i = 0; i < PAGES; i++)
		*(u64 *)(self->mem + i * PAGE + 16) = word(i, 0);
	memcpy(self->mem, "swapped!", 8);
	all_out(_metadata, self->vm, self->mem);
	must(v->fd, KVM_TRANSLATE, &t);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(GPA + 3 * PAGE, t.physical_address);
	all_out(_metadata, self->vm, self->mem);
	while (n < 8) {
		ASSERT_RUN(KVM_EXIT_IO, v);
		ASSERT_EQ(PORT, run->io.port);
		ASSERT_EQ(KVM_EXIT_IO_OUT, run->io.direction);
		ASSERT_GE(8 - n, run->io.count);
		memcpy(data + n, at + run->io.data_offset, run->io.count);
		n += run->io.count;
	}
	EXPECT_EQ(0, memcmp(data, "swapped!", 8));
	ASSERT_SYNC(2, v);
	all_out(_metadata, self->vm, self->mem);
	for (n = 0; n < 8; n += run->io.count) {
		ASSERT_RUN(KVM_EXIT_IO, v);
		ASSERT_EQ(KVM_EXIT_IO_IN, run->io.direction);
		ASSERT_GE(8 - n, run->io.count);
		memcpy(at + run->io.data_offset, (u8 *)&in + n, run->io.count);
		/* Gone once more between the exit and the store. */
		swap_out(self->mem, SIZE);
	}
	ASSERT_SYNC(3, v);
	all_out(_metadata, self->vm, self->mem);
	ASSERT_RUN(KVM_EXIT_MMIO, v);
	ASSERT_EQ(NOWHERE, run->mmio.phys_addr);
	in = 0x8877665544332211;
	memcpy(run->mmio.data, &in, 8);
	ASSERT_SYNC(4, v);
	ASSERT_DONE(v);
}

/*
 * While the guest is at work in the very pages, but slowly: what was touched since the
 * kernel last looked is not swapped out.
 */
static void guest_at_work(u64 arg)
{
	spin_begin();
	for (passes = 0; !stop; passes++)
		one_pass(passes, guest_tsc_khz / 10);
	guest_done();
}

/* The last of @n whole passes began after the call, if n is 2. */
static void wait_passes(u64 n)
{
	u64 from = passes;

	while (passes < from + n)
		usleep(1000);
}

TEST_F_TIMEOUT(swap, while_running, 60)
{
	unsigned int round, rounds = 16 / test_scale + 2;
	u64 part = SIZE / 8, out = 0, i;
	u8 *at;

	vcpu_long(self->v, guest_at_work, 0);
	vcpu_start(self->v);
	/* On until some have gone: the guest may be faster than a host whose calls are repeated. */
	for (round = 0; round < rounds || (!out && round < 200); round++) {
		wait_passes(round % 4 == 0);
		at = self->mem + round % 8 * part;
		for (i = 0; i < 3; i++)
			madvise(at, part, MADV_PAGEOUT);
		out += swapped_of(at, part);
	}
	wait_passes(2);
	stop = 1;
	ASSERT_EQ(UC_DONE, vcpu_join(self->v));
	for (i = 0; i < PAGES; i++)
		ASSERT_EQ(word(i, passes - 1), *(u64 *)(self->mem + i * PAGE + 16));
	EXPECT_LT(0, out);
}

TEST_MAIN
