// SPDX-License-Identifier: GPL-2.0-only
/* KVM_MEM_LOG_DIRTY_PAGES: which pages were written, by whom ever, and none forgotten. */
#include <sys/wait.h>
#include "dirty.h"
#include "harness.h"

#define GPA	HIGH_GPA
#define SLOT	FIRST_SLOT
#define PAGES	130UL		/* does not fill the bitmap's last word */
#define SIZE	(PAGES * PAGE)
#define WORDS	3
#define NOWHERE	(GPA + (64UL << 20))

FIXTURE(dirty_log) {
	struct vm *vm;
	struct vcpu *v;
	u8 *mem;
	u64 got[WORDS];
};

FIXTURE_SETUP(dirty_log)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->mem = map_anon(SIZE);
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
}

FIXTURE_TEARDOWN(dirty_log)
{
}

/* The log has these pages, in growing order, and no others. */
static void check_log(struct __test_metadata *_metadata, struct vm *vm, const u64 *pages, u64 n)
{
	u64 got[WORDS] = { 1, 2, 3 }, i, next = 0;

	ASSERT_EQ(0, get_log(vm, SLOT, got));
	for (i = 0; i < WORDS * 64; i++) {
		bool want = next < n && pages[next] == i;

		next += want;
		EXPECT_EQ(want, bit(got, i)) TH_LOG("page %lu", i);
	}
}

#define CHECK_LOG(...) do {						\
	const u64 list_[] = { __VA_ARGS__ };				\
									\
	check_log(_metadata, self->vm, list_, ARRAY_LEN(list_));	\
} while (0)
#define CHECK_NONE	check_log(_metadata, self->vm, NULL, 0)

/* ---- the CPU's writes ------------------------------------------------------------- */

static u64 write_at[16];

static void guest_write(u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		MMIO(u64, write_at[i])++;
	guest_done();
}

static void guest_read_all(void)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		(void)MMIO(u64, GPA + i * PAGE);
	guest_done();
}

/* One write to each of these bytes of the slot. */
static void do_writes(struct __test_metadata *_metadata, struct vcpu *v, const u64 *offsets, u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		write_at[i] = GPA + offsets[i];
	vcpu_long(v, guest_write, n);
	ASSERT_DONE(v);
}

#define WRITE(...) do {							\
	const u64 list_[] = { __VA_ARGS__ };				\
									\
	do_writes(_metadata, self->v, list_, ARRAY_LEN(list_));		\
} while (0)

TEST_F(dirty_log, writes)
{
	CHECK_NONE;
	WRITE(0, 5 * PAGE + 8, 63 * PAGE, 64 * PAGE + 4088, (PAGES - 1) * PAGE);
	CHECK_LOG(0, 5, 63, 64, PAGES - 1);
	CHECK_NONE;
	/* Again, to pages that are mapped by now. */
	WRITE(5 * PAGE, 6 * PAGE, 64 * PAGE);
	CHECK_LOG(5, 6, 64);
	WRITE(5 * PAGE);
	WRITE(5 * PAGE);
	CHECK_LOG(5);
	CHECK_NONE;
}

TEST_F(dirty_log, reads)
{
	/* Untouched memory, then memory that the process has. */
	vcpu_long(self->v, guest_read_all, 0);
	ASSERT_DONE(self->v);
	CHECK_NONE;
	WRITE(7 * PAGE);
	CHECK_LOG(7);
	memset(self->mem, 1, SIZE);
	vcpu_long(self->v, guest_read_all, 0);
	ASSERT_DONE(self->v);
	/* Pages that the host may write KVM maps writable, and takes them for written. */
	if (is_kvm())
		ASSERT_EQ(0, get_log(self->vm, SLOT, self->got));
	CHECK_NONE;
	/* What was mapped for reading is written. */
	WRITE(8 * PAGE, 16 * PAGE, 20 * PAGE, 48 * PAGE);
	CHECK_LOG(8, 16, 20, 48);
}

TEST_F(dirty_log, over_a_page_end)
{
	WRITE(3 * PAGE - 4);
	CHECK_LOG(2, 3);
	WRITE(3 * PAGE - 1);
	CHECK_LOG(2, 3);
	WRITE(64 * PAGE - 7);
	CHECK_LOG(63, 64);
}

/* The process writes to its memory by itself: that is no business of the log. */
TEST_F(dirty_log, writes_of_the_process)
{
	memset(self->mem, 1, SIZE);
	CHECK_NONE;
}

TEST_F(dirty_log, discarded_pages)
{
	WRITE(0, PAGE);
	CHECK_LOG(0, 1);
	WRITE(PAGE, 2 * PAGE);
	/* The mapping goes, what was written stays so. */
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_DONTNEED));
	CHECK_LOG(1, 2);
	WRITE(2 * PAGE);
	CHECK_LOG(2);
	EXPECT_EQ(1, *(u64 *)(self->mem + 2 * PAGE));
}

/* The accessed bits of the guest's own page tables are writes too. */
static void guest_by_tables(u64 va)
{
	(void)MMIO(u64, va);
	guest_done();
}

TEST_F(dirty_log, guest_page_tables)
{
	u64 va = 5ULL << 39, got[WORDS], f = PTE_P | PTE_W, i;

	guest_pml4[5] = GPA | f;
	*(u64 *)self->mem = (GPA + PAGE) | f;
	*(u64 *)(self->mem + PAGE) = (GPA + 2 * PAGE) | f;
	*(u64 *)(self->mem + 2 * PAGE) = (GPA + 3 * PAGE) | f;
	vcpu_long(self->v, guest_by_tables, va);
	ASSERT_DONE(self->v);
	ASSERT_EQ(0, get_log(self->vm, SLOT, got));
	EXPECT_EQ(7, got[0]);
	for (i = 0; i < 3; i++)
		EXPECT_NE(0, *(u64 *)(self->mem + i * PAGE) & PTE_A);
	guest_pml4[5] = 0;
}

/* ---- writes by the hypervisor ------------------------------------------------------ */

static void guest_movs(u64 off)
{
	u64 src = NOWHERE, dst = GPA + off, n = 3;

	asm volatile("rep movsq" : "+S"(src), "+D"(dst), "+c"(n) : : "memory");
	guest_done();
}

/* A string from a device, over a page's end: the emulator writes. */
TEST_F(dirty_log, emulated_string)
{
	u64 i;

	vcpu_long(self->v, guest_movs, 10 * PAGE - 12);
	for (i = 0; i < 3; i++) {
		ASSERT_RUN(KVM_EXIT_MMIO, self->v);
		EXPECT_EQ(NOWHERE + 8 * i, self->v->run->mmio.phys_addr);
		memset(self->v->run->mmio.data, 0x11 * (i + 1), 8);
	}
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x2222222211111111, *(u64 *)(self->mem + 10 * PAGE - 8));
	CHECK_LOG(9, 10);
	CHECK_NONE;
	/* And in one page, that is mapped. */
	WRITE(20 * PAGE);
	CHECK_LOG(20);
	vcpu_long(self->v, guest_movs, 20 * PAGE);
	for (i = 0; i < 3; i++)
		ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	ASSERT_DONE(self->v);
	CHECK_LOG(20);
}

static void guest_ins(u64 off)
{
	u64 dst = GPA + off, n = 8;

	asm volatile("rep insb" : "+D"(dst), "+c"(n) : "d"(0xe100) : "memory");
	guest_done();
}

TEST_F(dirty_log, string_from_a_port)
{
	struct kvm_run *run = self->v->run;
	u32 n = 0;
	int r;

	vcpu_long(self->v, guest_ins, 31 * PAGE - 4);
	while ((r = guest_run(self->v)) == KVM_EXIT_IO) {
		memset((u8 *)run + run->io.data_offset, 0x44, run->io.count);
		n += run->io.count;
	}
	ASSERT_EQ(UC_DONE, r) vcpu_dump(self->v);
	EXPECT_EQ(8, n);
	EXPECT_EQ(0x4444444444444444, *(u64 *)(self->mem + 31 * PAGE - 4));
	CHECK_LOG(30, 31);
}

static void guest_set_msr(u64 msr, u64 val)
{
	wrmsr(msr, val);
	guest_sync(0);
	guest_sync(1);
	guest_done();
}

static void run_set_msr(struct __test_metadata *_metadata, struct vcpu *v, u64 msr, u64 val)
{
	struct kvm_regs r;

	vcpu_long(v, guest_set_msr, msr);
	r = vcpu_regs(v);
	r.rsi = val;
	vcpu_set_regs(v, r);
	ASSERT_SYNC(0, v);
}

TEST_F(dirty_log, kvmclock)
{
	run_set_msr(_metadata, self->v, MSR_KVM_SYSTEM_TIME, (GPA + 40 * PAGE + 64) | 1);
	CHECK_LOG(40);
	CHECK_NONE;
	/* Told to, the hypervisor writes the page anew. */
	must(self->v->fd, KVM_KVMCLOCK_CTRL, 0);
	ASSERT_SYNC(1, self->v);
	CHECK_LOG(40);
	ASSERT_DONE(self->v);
}

/* Logging began after the place was made known. */
TEST_F(dirty_log, kvmclock_before_logging)
{
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, GPA, SIZE, self->mem));
	run_set_msr(_metadata, self->v, MSR_KVM_SYSTEM_TIME, (GPA + 40 * PAGE + 64) | 1);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
	must(self->v->fd, KVM_KVMCLOCK_CTRL, 0);
	ASSERT_SYNC(1, self->v);
	CHECK_LOG(40);
}

TEST_F(dirty_log, wall_clock)
{
	/* Over a page's end. */
	run_set_msr(_metadata, self->v, MSR_KVM_WALL_CLOCK, GPA + 51 * PAGE - 4);
	CHECK_LOG(50, 51);
}

#define MSR_KVM_STEAL_TIME	0x4b564d03

TEST_F(dirty_log, steal_time)
{
	if (!cpuid_has(0x40000001, 0, 0, 5))
		SKIP(return, "no steal time");
	run_set_msr(_metadata, self->v, MSR_KVM_STEAL_TIME, (GPA + 60 * PAGE + 64) | 1);
	CHECK_LOG(60);
}

/* ---- on and off ------------------------------------------------------------------- */

TEST_F(dirty_log, on_and_off)
{
	u64 i;

	WRITE(PAGE);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, GPA, SIZE, self->mem));
		EXPECT_EQ(ENOENT, get_log(self->vm, SLOT, self->got));
		WRITE(2 * PAGE, 3 * PAGE, 70 * PAGE);
		ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
		/* A new log, and what was writable is watched. */
		CHECK_NONE;
		WRITE(3 * PAGE, 4 * PAGE, 70 * PAGE);
		CHECK_LOG(3, 4, 70);
		WRITE(4 * PAGE);
		/* Once more the same: nothing changes. */
		ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
		CHECK_LOG(4);
	}
}

TEST_F(dirty_log, moved)
{
	WRITE(PAGE);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA + SIZE, SIZE, self->mem));
	CHECK_LOG(1);
	WRITE(SIZE + 2 * PAGE);
	CHECK_LOG(2);
	/* With logging turned off and on in the same call. */
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, GPA, SIZE, self->mem));
	EXPECT_EQ(ENOENT, get_log(self->vm, SLOT, self->got));
	WRITE(2 * PAGE);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA + SIZE, SIZE, self->mem));
	CHECK_NONE;
	WRITE(SIZE + 2 * PAGE, SIZE + 3 * PAGE);
	CHECK_LOG(2, 3);
}

TEST_F(dirty_log, removed)
{
	WRITE(PAGE);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, 0, 0, NULL));
	EXPECT_EQ(ENOENT, get_log(self->vm, SLOT, self->got));
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
	CHECK_NONE;
}

/* Two slots over the same memory: each has its log. */
TEST_F(dirty_log, aliases)
{
	u64 got[WORDS];

	ASSERT_EQ(0, vm_slot(self->vm, SLOT + 1, LOG, GPA + SIZE, SIZE, self->mem));
	ASSERT_EQ(0, vm_slot(self->vm, SLOT + 2, 0, GPA + 2 * SIZE, SIZE, self->mem));
	WRITE(PAGE, SIZE + 2 * PAGE, 2 * SIZE + 3 * PAGE);
	CHECK_LOG(1);
	ASSERT_EQ(0, get_log(self->vm, SLOT + 1, got));
	EXPECT_EQ(4, got[0]);
	EXPECT_EQ(ENOENT, get_log(self->vm, SLOT + 2, got));
}

TEST_F(dirty_log, read_only)
{
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, 0, 0, NULL));
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG | KVM_MEM_READONLY, GPA, SIZE, self->mem));
	write_at[0] = GPA + PAGE;
	vcpu_long(self->v, guest_write, 1);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	ASSERT_DONE(self->v);
	CHECK_NONE;
	EXPECT_EQ(EINVAL, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
	EXPECT_EQ(0, vm_slot(self->vm, SLOT, KVM_MEM_READONLY, GPA, SIZE, self->mem));
}

/* ---- large pages ------------------------------------------------------------------ */

#define BIG_PAGES	(2 * PAGE_2M / PAGE)
#define BIG_WORDS	(BIG_PAGES / 64)

/* Two huge pages, used by the guest as such if the host has any; not logged. */
static u8 *big_slot(struct __test_metadata *_metadata, struct vcpu *v)
{
	u8 *mem = map_anon(3 * PAGE_2M);

	mem = (u8 *)(((uintptr_t)mem + PAGE_2M - 1) & ~(PAGE_2M - 1));
	madvise(mem, 2 * PAGE_2M, MADV_HUGEPAGE);
	memset(mem, 0, 2 * PAGE_2M);
	must(v->vm->fd, KVM_SET_USER_MEMORY_REGION, (&(struct kvm_userspace_memory_region) {
		.slot = SLOT }));
	if (vm_slot(v->vm, SLOT, 0, GPA, 2 * PAGE_2M, mem))
		die("no slot");
	do_writes(_metadata, v, (u64[]) { 0, PAGE_2M }, 2);
	return mem;
}

static u64 pages_2m(struct vm *vm)
{
	int fd = must(vm->fd, KVM_GET_STATS_FD, 0);
	u64 n = stat_value(fd, "pages_2m");

	close(fd);
	return n;
}

static u64 count_big(struct vm *vm, u64 *got)
{
	u64 i, n = 0;

	if (get_log(vm, SLOT, got))
		die("no log");
	for (i = 0; i < BIG_PAGES; i++)
		n += bit(got, i);
	return n;
}

TEST_F(dirty_log, large_pages)
{
	u8 *mem = big_slot(_metadata, self->v);
	u64 got[BIG_WORDS], before = pages_2m(self->vm);

	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, 2 * PAGE_2M, mem));
	EXPECT_EQ(0, count_big(self->vm, got));
	/* Read first: then the write. */
	vcpu_long(self->v, guest_read_all, 0);
	ASSERT_DONE(self->v);
	EXPECT_EQ(0, count_big(self->vm, got));
	WRITE(7 * PAGE, 511 * PAGE, 700 * PAGE);
	EXPECT_EQ(3, count_big(self->vm, got));
	EXPECT_TRUE(bit(got, 7) && bit(got, 511) && bit(got, 700));
	WRITE(7 * PAGE, 8 * PAGE, 513 * PAGE);
	EXPECT_EQ(3, count_big(self->vm, got));
	EXPECT_TRUE(bit(got, 7) && bit(got, 8) && bit(got, 513));
	EXPECT_EQ(2, *(u64 *)(mem + 7 * PAGE));
	/* Without the log they are large again, although nothing had to fault. */
	WRITE(7 * PAGE, 513 * PAGE);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, GPA, 2 * PAGE_2M, mem));
	WRITE(7 * PAGE, 513 * PAGE);
	EXPECT_EQ(before, pages_2m(self->vm));
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, 2 * PAGE_2M, mem));
	WRITE(7 * PAGE);
	EXPECT_EQ(1, count_big(self->vm, got));
}

static void reserve(const char *n)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "w");

	if (!f)
		return;
	fputs(n, f);
	fclose(f);
}

TEST_F(dirty_log, hugetlb)
{
	u64 got[BIG_WORDS];
	u8 *mem;

	reserve("2");
	mem = mmap(NULL, 2 * PAGE_2M, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED) {
		reserve("0");
		SKIP(return, "no huge pages are reserved");
	}
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, 0, 0, NULL));
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, 2 * PAGE_2M, mem));
	WRITE(0, 300 * PAGE, 600 * PAGE);
	EXPECT_EQ(3, count_big(self->vm, got));
	WRITE(301 * PAGE);
	EXPECT_EQ(1, count_big(self->vm, got));
	EXPECT_TRUE(bit(got, 301));
	munmap(mem, 2 * PAGE_2M);
	/* Not before: what is beyond the limit and fails to be mapped once is gone. */
	reserve("0");
}

/* ---- clearing by hand --------------------------------------------------------------- */

TEST_F(dirty_log, clear_without_manual)
{
	u64 mask[WORDS] = { BIT(5), 0, 0 };

	if (!vm_has_ext(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		SKIP(return, "no KVM_CLEAR_DIRTY_LOG");
	WRITE(4 * PAGE, 5 * PAGE);
	ASSERT_EQ(0, clear_log(self->vm, SLOT, 0, PAGES, mask));
	CHECK_LOG(4);
}

TEST_F(dirty_log, manual)
{
	u64 mask[WORDS];

	if (!vm_has_ext(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		SKIP(return, "no KVM_CLEAR_DIRTY_LOG");
	set_manual(self->vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	WRITE(4 * PAGE, 5 * PAGE, 64 * PAGE, 66 * PAGE, 129 * PAGE);
	CHECK_LOG(4, 5, 64, 66, 129);
	/* Asking does not clear. */
	CHECK_LOG(4, 5, 64, 66, 129);
	/* A part: bits that are not in the mask stay; those without a write before are no matter. */
	mask[0] = BIT(2);
	mask[1] = BIT(1);
	ASSERT_EQ(0, clear_log(self->vm, SLOT, 64, 64, mask));
	CHECK_LOG(4, 5, 64, 129);
	WRITE(5 * PAGE, 66 * PAGE);
	CHECK_LOG(4, 5, 64, 66, 129);
	/* To the end, with an odd number of pages and bits behind the last one. */
	memset(mask, 0xff, sizeof(mask));
	ASSERT_EQ(0, clear_log(self->vm, SLOT, 128, 2, mask));
	CHECK_LOG(4, 5, 64, 66);
	ASSERT_EQ(0, clear_log(self->vm, SLOT, 0, PAGES, mask));
	CHECK_NONE;
	WRITE(4 * PAGE, 129 * PAGE);
	CHECK_LOG(4, 129);
	/* Nothing. */
	EXPECT_EQ(0, clear_log(self->vm, SLOT, 128, 0, mask));
	CHECK_LOG(4, 129);
	/* Off again. */
	set_manual(self->vm, 0);
	CHECK_LOG(4, 129);
	CHECK_NONE;
}

TEST_F(dirty_log, initially_set)
{
	u64 got[BIG_WORDS], mask[BIG_WORDS] = { 0 };
	u8 *mem;

	if (!(vm_has_ext(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) &
	      KVM_DIRTY_LOG_INITIALLY_SET))
		SKIP(return, "no KVM_DIRTY_LOG_INITIALLY_SET");
	set_manual(self->vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	/* A log that there is already stays as it is. */
	CHECK_NONE;
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, GPA, SIZE, self->mem));
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
	ASSERT_EQ(0, get_log(self->vm, SLOT, got));
	EXPECT_EQ(~0ULL, got[0]);
	EXPECT_EQ(~0ULL, got[1]);
	EXPECT_EQ(3, got[2]);

	mem = big_slot(_metadata, self->v);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, 2 * PAGE_2M, mem));
	EXPECT_EQ(BIG_PAGES, count_big(self->vm, got));
	/* Some of them cleared: only those are watched. */
	mask[0] = BIT(0) | BIT(9);
	mask[8] = ~0ULL;
	ASSERT_EQ(0, clear_log(self->vm, SLOT, 0, 9 * 64, mask));
	EXPECT_EQ(BIG_PAGES - 66, count_big(self->vm, got));
	WRITE(1 * PAGE, 9 * PAGE, 513 * PAGE);
	EXPECT_EQ(BIG_PAGES - 64, count_big(self->vm, got));
	EXPECT_TRUE(bit(got, 9) && bit(got, 513) && !bit(got, 0) && !bit(got, 514));
}

/* ---- errors ----------------------------------------------------------------------- */

TEST_F(dirty_log, errors)
{
	u64 mask[WORDS] = { 0 };

	EXPECT_EQ(EINVAL, get_log(self->vm, vm_has_ext(self->vm, KVM_CAP_NR_MEMSLOTS), mask));
	EXPECT_EQ(EINVAL, get_log(self->vm, SLOT | 2 << 16, mask));
	EXPECT_EQ(ENOENT, get_log(self->vm, SLOT + 1, mask));
	EXPECT_EQ(ENOENT, get_log(self->vm, 0, mask));
	WRITE(PAGE);
	EXPECT_EQ(EFAULT, get_log(self->vm, SLOT, (void *)8));
	/* KVM has forgotten what it could not tell. */
	if (!is_kvm())
		CHECK_LOG(1);

	if (!vm_has_ext(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		return;
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT | 2 << 16, 0, 64, mask));
	EXPECT_EQ(ENOENT, clear_log(self->vm, SLOT + 1, 0, 64, mask));
	EXPECT_EQ(ENOENT, clear_log(self->vm, 0, 0, 64, mask));
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT, 1, 64, mask));
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT, 0, 63, mask));
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT, 0, PAGES - 1, mask));
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT, 0, PAGES + 1, mask));
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT, 128, 64, mask));
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT, 192, 0, mask));
	EXPECT_EQ(EINVAL, clear_log(self->vm, SLOT, 1ULL << 63, 64, mask));
	EXPECT_EQ(EFAULT, clear_log(self->vm, SLOT, 0, 64, (void *)8));
}

TEST_F(dirty_log, enabling)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 };

	if (!vm_has_ext(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		SKIP(return, "no KVM_CLEAR_DIRTY_LOG");
	cap.args[0] = KVM_DIRTY_LOG_INITIALLY_SET;
	EXPECT_ERR(EINVAL, self->vm->fd, KVM_ENABLE_CAP, &cap);
	cap.args[0] = 4;
	EXPECT_ERR(EINVAL, self->vm->fd, KVM_ENABLE_CAP, &cap);
	cap.args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	cap.flags = 1;
	EXPECT_ERR(EINVAL, self->vm->fd, KVM_ENABLE_CAP, &cap);
	cap.flags = 0;
	EXPECT_ERR(0, self->vm->fd, KVM_ENABLE_CAP, &cap);
}

/* ---- a 32-bit client ---------------------------------------------------------------- */

/* As a 32-bit program calls the kernel; the argument lies below 4 GiB. */
static long ioctl_32(int fd, u32 cmd, void *arg)
{
	long ret;

	asm volatile("int $0x80" : "=a"(ret)
		     : "a"(54L), "b"((long)fd), "c"((long)cmd), "d"(arg)
		     : "r8", "r9", "r10", "r11", "memory");
	return ret;
}

/* In a process of its own: a kernel without such calls kills it. */
static bool kernel_takes_32(void)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(ioctl_32(-1, KVM_GET_DIRTY_LOG, NULL) != -EBADF);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

/* It writes half of the pointer's field; the other half holds what was there before. */
TEST_F(dirty_log, client_32bit)
{
	static struct kvm_clear_dirty_log clear = { .slot = SLOT, .num_pages = PAGES };
	static struct kvm_dirty_log get = { .slot = SLOT };
	static u64 map[WORDS];

	if (!kernel_takes_32())
		SKIP(return, "the kernel has no 32-bit system calls");
	get.dirty_bitmap = (void *)((uintptr_t)map | 0xdead00000000);
	clear.dirty_bitmap = get.dirty_bitmap;
	WRITE(3 * PAGE, 70 * PAGE);
	EXPECT_EQ(0, ioctl_32(self->vm->fd, KVM_GET_DIRTY_LOG, &get));
	EXPECT_TRUE(map[0] == BIT(3) && map[1] == BIT(6) && !map[2]);

	if (!vm_has_ext(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		return;
	set_manual(self->vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	WRITE(3 * PAGE, 70 * PAGE);
	map[1] = 0;
	EXPECT_EQ(0, ioctl_32(self->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear));
	CHECK_LOG(70);
}

TEST_MAIN
