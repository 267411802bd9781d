// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel samepage merging under a running guest: equal pages become one, and a write parts
 * them again without the others' seeing it.
 */
#include <fcntl.h>
#include "harness.h"

#define KSM		"/sys/kernel/mm/ksm/"
#define GPA		HIGH_GPA
#define PAGES		32UL
#define SIZE		(PAGES * PAGE)
#define PM_PRESENT	BIT(63)
#define PM_PFN		(BIT(55) - 1)
#define SAME		0x5a5a5a5a5a5a5a5a

static u64 expected[PAGES];
static volatile u64 asked, answered, stop;
static int pagemap = -1;

static const char *const knobs[] = { "run", "pages_to_scan", "sleep_millisecs" };
static long before[ARRAY_LEN(knobs)];

static long knob(const char *name, long val)
{
	char path[64], text[32] = "";
	int fd, n;

	snprintf(path, sizeof(path), KSM "%s", name);
	fd = open(path, val < 0 ? O_RDONLY : O_WRONLY);
	if (fd < 0)
		return -1;
	if (val < 0) {
		n = read(fd, text, sizeof(text) - 1);
		val = n > 0 ? atol(text) : -1;
	} else {
		n = snprintf(text, sizeof(text), "%ld\n", val);
		if (write(fd, text, n) != n)
			val = -1;
	}
	close(fd);
	return val;
}

/* The frame behind an address, 0 if there is none or we may not know. */
static u64 pfn_of(const void *p)
{
	u64 entry;

	if (pread(pagemap, &entry, sizeof(entry), (uintptr_t)p / PAGE * sizeof(entry)) !=
	    sizeof(entry))
		return 0;
	return entry & PM_PRESENT ? entry & PM_PFN : 0;
}

FIXTURE(ksm) {
	struct vm *vm;
	struct vcpu *v;
	u8 *mem;
};

FIXTURE_SETUP(ksm)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(knobs); i++)
		before[i] = knob(knobs[i], -1);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (before[0] < 0)
		SKIP(return, "this kernel has no KSM");
	if (pagemap < 0 || !pfn_of(&pagemap) || knob("run", before[0]) < 0)
		SKIP(return, "KSM and the page map are for root");
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->mem = vm_add_mem(self->vm, FIRST_SLOT, 0, GPA, SIZE);
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_MERGEABLE));
	knob("pages_to_scan", 200);
	knob("sleep_millisecs", 10);
	ASSERT_EQ(1, knob("run", 1));
}

FIXTURE_TEARDOWN(ksm)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(knobs); i++)
		knob(knobs[i], before[i]);
}

/* Waits until a page is the same frame as another one. */
static void wait_merged(u8 *mem, u64 page, u64 other)
{
	while (!pfn_of(mem + page * PAGE) ||
	       pfn_of(mem + page * PAGE) != pfn_of(mem + other * PAGE))
		usleep(2000);
}

static void guest_fill(u64 arg)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		MMIO(u64, GPA + i * PAGE + 8) = SAME;
	guest_sync(0);
	/* Merged meanwhile. */
	for (i = 0; i < PAGES; i++)
		G_EQ(MMIO(u64, GPA + i * PAGE + 8), SAME);
	for (i = 0; i < PAGES; i += 2)
		MMIO(u64, GPA + i * PAGE + 8) = i;
	for (i = 0; i < PAGES; i++)
		G_EQ(MMIO(u64, GPA + i * PAGE + 8), i & 1 ? SAME : i);
	guest_done();
}

TEST_F(ksm, merge_and_part)
{
	u64 i;

	vcpu_long(self->v, guest_fill, 0);
	ASSERT_SYNC(0, self->v);
	for (i = 1; i < PAGES; i++)
		wait_merged(self->mem, i, 0);
	ASSERT_DONE(self->v);
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(i & 1 ? SAME : i, *(u64 *)(self->mem + i * PAGE + 8));
	EXPECT_EQ(pfn_of(self->mem + PAGE), pfn_of(self->mem + 3 * PAGE));
	EXPECT_NE(pfn_of(self->mem + PAGE), pfn_of(self->mem));
}

/* The guest looks at all pages all the time, and writes to one when it is asked to. */
static void guest_watch(u64 arg)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		MMIO(u64, GPA + i * PAGE + 8) = expected[i] = SAME;
	guest_sync(0);
	spin_begin();
	while (!stop) {
		for (i = 0; i < PAGES; i++)
			G_EQ(MMIO(u64, GPA + i * PAGE + 8), expected[i]);
		i = asked;
		if (i != answered) {
			expected[i] = i;
			MMIO(u64, GPA + i * PAGE + 8) = i;
			answered = i;
		}
	}
	guest_done();
}

TEST_F(ksm, while_running)
{
	u64 i, n = PAGES / 2 / test_scale;

	vcpu_long(self->v, guest_watch, 0);
	ASSERT_SYNC(0, self->v);
	vcpu_start(self->v);
	for (i = 1; i <= n; i++) {
		/* The guest's own mapping of it is at work meanwhile. */
		wait_merged(self->mem, i, PAGES - 1);
		asked = i;
		G_WAIT(answered == i);
		EXPECT_EQ(i, READ_ONCE(*(u64 *)(self->mem + i * PAGE + 8)));
		EXPECT_EQ(SAME, READ_ONCE(*(u64 *)(self->mem + (PAGES - 1) * PAGE + 8)));
	}
	stop = 1;
	ASSERT_EQ(UC_DONE, vcpu_join(self->v));
}

TEST_MAIN
