// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_DIRTY_LOG_RING: the log as a ring for each vCPU. */
#include "dirty.h"
#include "harness.h"

#define GPA	HIGH_GPA
#define SLOT	FIRST_SLOT
#define PAGES	1500UL
#define SIZE	(PAGES * PAGE)
#define NOWHERE	(GPA + (64UL << 20))

FIXTURE(dirty_ring) {
	struct vm *vm;
	struct vcpu *v, *v2;
	u8 *mem;
	u64 size;		/* bytes of a ring: few, but the host may ask for more */
	struct ring ring, ring2;
};

FIXTURE_SETUP(dirty_ring)
{
	self->vm = vm_create(0);
	if (!vm_has_ext(self->vm, KVM_CAP_DIRTY_LOG_RING))
		SKIP(return, "no dirty rings");
	self->size = PAGE;
	if (ring_enable(self->vm, self->size)) {
		self->size = 4 * PAGE;
		ASSERT_EQ(0, ring_enable(self->vm, self->size));
	}
	self->v = vcpu_create(self->vm, 0);
	self->v2 = vcpu_create(self->vm, 1);
	ring_map(self->v, &self->ring, self->size);
	ring_map(self->v2, &self->ring2, self->size);
	self->mem = map_anon(SIZE);
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, SIZE, self->mem));
}

FIXTURE_TEARDOWN(dirty_ring)
{
}

static u64 write_at[16];

static void guest_write(u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		MMIO(u64, write_at[i])++;
	guest_done();
}

static void do_writes(struct __test_metadata *_metadata, struct vcpu *v, const u64 *offsets, u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		write_at[i] = GPA + offsets[i];
	vcpu_long(v, guest_write, n);
	ASSERT_DONE(v);
}

/* Takes entries, which must be these, in this order. */
static void take(struct __test_metadata *_metadata, struct ring *r, const u64 *pages, u64 n)
{
	struct kvm_dirty_gfn *e;
	u64 i;

	for (i = 0; i < n; i++) {
		e = ring_look(r);
		ASSERT_NE(NULL, e) TH_LOG("entry %lu is missing", i);
		EXPECT_EQ(KVM_DIRTY_GFN_F_DIRTY, e->flags);
		EXPECT_EQ(SLOT, e->slot);
		EXPECT_EQ(pages[i], e->offset);
		ring_take(r);
	}
}

#define WRITE(v, ...) do {						\
	const u64 list_[] = { __VA_ARGS__ };				\
									\
	do_writes(_metadata, v, list_, ARRAY_LEN(list_));		\
} while (0)
#define TAKE(r, ...) do {						\
	const u64 list_[] = { __VA_ARGS__ };				\
									\
	take(_metadata, r, list_, ARRAY_LEN(list_));			\
} while (0)
#define RESET(n)	ASSERT_EQ(n, ioctl(self->vm->fd, KVM_RESET_DIRTY_RINGS, 0))

TEST_F(dirty_ring, writes)
{
	EXPECT_EQ(NULL, ring_look(&self->ring));
	RESET(0);
	WRITE(self->v, 7 * PAGE, 3 * PAGE, 1000 * PAGE, 3 * PAGE + 8, (PAGES - 1) * PAGE);
	TAKE(&self->ring, 7, 3, 1000, PAGES - 1);
	EXPECT_EQ(NULL, ring_look(&self->ring));
	/* Until they are reset, nothing tells of more writes to these pages. */
	WRITE(self->v, 7 * PAGE, 8 * PAGE);
	TAKE(&self->ring, 8);
	EXPECT_EQ(NULL, ring_look(&self->ring));
	RESET(5);
	RESET(0);
	WRITE(self->v, 3 * PAGE, 7 * PAGE, 8 * PAGE, 1000 * PAGE, (PAGES - 1) * PAGE);
	TAKE(&self->ring, 3, 7, 8, 1000, PAGES - 1);
	EXPECT_EQ(NULL, ring_look(&self->ring));
}

/* What has not been taken stays, and is not reset. */
TEST_F(dirty_ring, taken_in_part)
{
	WRITE(self->v, 1 * PAGE, 2 * PAGE, 3 * PAGE);
	RESET(0);
	TAKE(&self->ring, 1);
	RESET(1);
	WRITE(self->v, 1 * PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE);
	TAKE(&self->ring, 2, 3, 1, 4);
	EXPECT_EQ(NULL, ring_look(&self->ring));
	RESET(4);
}

TEST_F(dirty_ring, one_for_each_vcpu)
{
	WRITE(self->v, 1 * PAGE);
	/* Writable by now, for both. */
	WRITE(self->v2, 1 * PAGE, 2 * PAGE);
	TAKE(&self->ring, 1);
	TAKE(&self->ring2, 2);
	EXPECT_EQ(NULL, ring_look(&self->ring));
	EXPECT_EQ(NULL, ring_look(&self->ring2));
	RESET(2);
	WRITE(self->v2, 1 * PAGE);
	WRITE(self->v, 2 * PAGE);
	TAKE(&self->ring, 2);
	TAKE(&self->ring2, 1);
}

static void guest_fill(u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		MMIO(u64, GPA + i * PAGE) = i + 1;
	guest_done();
}

/*
 * Takes all entries: pages *next and up.  The first may be the last one of before, whose write
 * was not made yet when the vCPU stopped.
 */
static u64 take_run(struct __test_metadata *_metadata, struct ring *r, u64 *next)
{
	struct kvm_dirty_gfn *e;
	u64 n;

	for (n = 0; (e = ring_look(r)); n++) {
		if (n || e->offset + 1 != *next)
			ASSERT_EQ((*next)++, e->offset);
		ring_take(r);
	}
	return n;
}

/* More pages than fit: the vCPU stops, and goes on where it was. */
TEST_F(dirty_ring, full)
{
	u64 next = 0, i, times = 0;
	int r;

	vcpu_long(self->v, guest_fill, PAGES);
	while ((r = guest_run(self->v)) == KVM_EXIT_DIRTY_RING_FULL) {
		times++;
		/* No room, no step. */
		ASSERT_RUN(KVM_EXIT_DIRTY_RING_FULL, self->v);
		EXPECT_EQ(0, *(u64 *)(self->mem + (PAGES - 1) * PAGE));
		i = take_run(_metadata, &self->ring, &next);
		EXPECT_LT(0, i);
		EXPECT_LE(i, self->ring.nr);
		ASSERT_RUN(KVM_EXIT_DIRTY_RING_FULL, self->v);
		RESET(i);
	}
	ASSERT_EQ(UC_DONE, r) vcpu_dump(self->v);
	EXPECT_LE(PAGES / self->ring.nr, times);
	take_run(_metadata, &self->ring, &next);
	EXPECT_EQ(PAGES, next);
	for (i = 0; i < PAGES; i++)
		ASSERT_EQ(i + 1, *(u64 *)(self->mem + i * PAGE));
}

static void guest_movs(u64 off)
{
	u64 src = NOWHERE, dst = GPA + off, n = 3;

	asm volatile("rep movsq" : "+S"(src), "+D"(dst), "+c"(n) : : "memory");
	guest_done();
}

/* Pages by the emulator, by kvmclock: each of them at least once. */
TEST_F(dirty_ring, by_the_hypervisor)
{
	struct kvm_dirty_gfn *e;
	u64 seen[3] = { 0 }, i;

	vcpu_long(self->v, guest_movs, 10 * PAGE - 12);
	for (i = 0; i < 3; i++)
		ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	ASSERT_DONE(self->v);
	vcpu_set_msr(self->v, MSR_KVM_SYSTEM_TIME, (GPA + 11 * PAGE) | 1);
	WRITE(self->v, 20 * PAGE);
	for (; (e = ring_look(&self->ring)); ring_take(&self->ring)) {
		if (e->offset == 20)
			continue;
		ASSERT_TRUE(e->offset >= 9 && e->offset <= 11) TH_LOG("page %llu", e->offset);
		seen[e->offset - 9]++;
	}
	EXPECT_TRUE(seen[0] && seen[1] && seen[2]);
}

static void guest_movs_page(void)
{
	u64 dst = GPA + 30 * PAGE, n = 512, src = NOWHERE;

	asm volatile("rep movsq" : "+S"(src), "+D"(dst), "+c"(n) : : "memory");
	guest_done();
}

/* More emulated writes to one page than there are entries. */
TEST_F(dirty_ring, many_emulated_writes)
{
	int r;

	/* An entry for each write, and no look at the room while it emulates. */
	if (is_kvm())
		SKIP(return, "KVM 6.1 overruns the ring, and warns");
	vcpu_long(self->v, guest_movs_page, 0);
	while ((r = guest_run(self->v)) == KVM_EXIT_MMIO)
		;
	ASSERT_EQ(UC_DONE, r) vcpu_dump(self->v);
	TAKE(&self->ring, 30);
	EXPECT_EQ(NULL, ring_look(&self->ring));
}

/* Taken is taken, reset or not: what the emulator writes then has an entry again. */
TEST_F(dirty_ring, emulated_after_taken)
{
	int i, r;

	for (i = 0; i < 3; i++) {
		vcpu_long(self->v, guest_movs, 40 * PAGE);
		while ((r = guest_run(self->v)) == KVM_EXIT_MMIO)
			;
		ASSERT_EQ(UC_DONE, r) vcpu_dump(self->v);
		TAKE(&self->ring, 40);
		/* KVM has one for each of the three words. */
		while (ring_look(&self->ring))
			ring_take(&self->ring);
	}
}

/* The client may write anything into its ring: it harms nobody else. */
TEST_F(dirty_ring, nonsense_in_the_ring)
{
	WRITE(self->v, 1 * PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE);
	self->ring.entry[0].slot = 0xffffffff;
	self->ring.entry[1].offset = ~0ULL;
	self->ring.entry[2].offset = PAGES;
	self->ring.entry[3].slot = SLOT + 1;
	self->ring.entry[0].flags = self->ring.entry[1].flags = self->ring.entry[2].flags =
		self->ring.entry[3].flags = ~0u;
	RESET(4);
	self->ring.at = 4;
	TAKE(&self->ring, 5);
	RESET(1);
	WRITE(self->v, 5 * PAGE);
	TAKE(&self->ring, 5);
}

TEST_F(dirty_ring, other_ioctls)
{
	u64 map[32] = { 0 };

	EXPECT_EQ(ENXIO, get_log(self->vm, SLOT, map));
	EXPECT_EQ(ENXIO, get_log(self->vm, SLOT + 1, map));
	EXPECT_EQ(ENXIO, clear_log(self->vm, SLOT, 0, 64, map));
}

TEST_F(dirty_ring, mapping)
{
	off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, self->v->fd, at));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, self->v->fd, at));
	EXPECT_EQ(EINVAL, errno);
	/* KVM looks at the range's first and last page alone. */
	if (!is_kvm())
		EXPECT_EQ(MAP_FAILED, mmap(NULL, at + self->size + PAGE, PROT_READ, MAP_PRIVATE,
					   self->v->fd, 0));
	/* The mapping outlives the VM. */
	munmap(self->v->run, self->v->run_size);
	close(self->v->fd);
	munmap(self->v2->run, self->v2->run_size);
	close(self->v2->fd);
	close(self->vm->fd);
	EXPECT_EQ(0, self->ring.entry[0].flags);
	self->ring.entry[self->ring.nr - 1].flags = 1;
}

TEST(enabling)
{
	struct vm *vm = vm_create(0);
	u64 max = vm_has_ext(vm, KVM_CAP_DIRTY_LOG_RING);

	if (!max)
		SKIP(return, "no dirty rings");
	EXPECT_EQ(EINVAL, err_of_ul(vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	EXPECT_EQ(EINVAL, ring_enable(vm, 0));
	EXPECT_EQ(EINVAL, ring_enable(vm, 3 * PAGE));
	EXPECT_EQ(EINVAL, ring_enable(vm, PAGE / 2));
	EXPECT_EQ(EINVAL, ring_enable(vm, 16 * PAGE + 16));
	EXPECT_EQ(E2BIG, ring_enable(vm, 2 * max));
	EXPECT_EQ(0, ring_enable(vm, 16 * PAGE));
	/* Once. */
	EXPECT_EQ(EINVAL, ring_enable(vm, 16 * PAGE));
	EXPECT_EQ(0, ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	vm_free(vm);

	vm = vm_create(0);
	vcpu_create(vm, 0);
	EXPECT_EQ(EINVAL, ring_enable(vm, 16 * PAGE));
}

TEST_MAIN
