// SPDX-License-Identifier: GPL-2.0-only
/* The log of written pages while the guest writes: no write is forgotten. */
#include <sched.h>
#include <unistd.h>
#include "dirty.h"
#include "harness.h"

#define GPA		HIGH_GPA
#define SLOT		FIRST_SLOT
#define NOWHERE		(GPA + (64UL << 20))
#define LOG_PAGES	(2 * PAGE_2M / PAGE)
#define LOG_WORDS	(LOG_PAGES / 64)
/* Pages in use: more than one huge page has. */
#define USED_PAGES	560UL
#define WRITERS		2

/* Entries that are never all in use: a page is in the rings once, or a few times. */
#define RING_SIZE	(64UL << 10)

static volatile u64 stop, hold, held[WRITERS], rounds[WRITERS];
static bool rings;

FIXTURE(dirty_race) {
	struct vm *vm;
	struct vcpu *v[WRITERS];
	u8 *mem, *copy;
	struct ring ring[WRITERS];
};

FIXTURE_VARIANT(dirty_race) {
	bool manual, ring, restart, fork;
};

FIXTURE_VARIANT_ADD(dirty_race, plain) {
};

FIXTURE_VARIANT_ADD(dirty_race, manual) {
	.manual = true,
};

FIXTURE_VARIANT_ADD(dirty_race, ring) {
	.ring = true,
};

FIXTURE_VARIANT_ADD(dirty_race, restarted) {
	.restart = true,
};

FIXTURE_VARIANT_ADD(dirty_race, with_copy_on_write) {
	.fork = true,
};

FIXTURE_SETUP(dirty_race)
{
	u64 i;

	self->vm = vm_create(0);
	if (variant->ring && !vm_has_ext(self->vm, KVM_CAP_DIRTY_LOG_RING))
		SKIP(return, "no dirty rings");
	if (variant->manual && !vm_has_ext(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		SKIP(return, "no KVM_CLEAR_DIRTY_LOG");
	rings = variant->ring;
	if (variant->ring)
		ASSERT_EQ(0, ring_enable(self->vm, RING_SIZE));
	if (variant->manual)
		set_manual(self->vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	for (i = 0; i < WRITERS; i++) {
		self->v[i] = vcpu_create(self->vm, i);
		if (variant->ring)
			ring_map(self->v[i], &self->ring[i], RING_SIZE);
	}
	self->mem = map_anon(3 * PAGE_2M);
	self->mem = (u8 *)(((uintptr_t)self->mem + PAGE_2M - 1) & ~(PAGE_2M - 1));
	madvise(self->mem, 2 * PAGE_2M, MADV_HUGEPAGE);
	memset(self->mem, 0, 2 * PAGE_2M);
	self->copy = map_anon(USED_PAGES * PAGE);
}

FIXTURE_TEARDOWN(dirty_race)
{
}

/* CPU 0 by itself, CPU 1 every other time by the emulator: a word of a page, all over them. */
static void guest_writer(u64 cpu)
{
	u64 x = cpu * 77 + 1, src, dst;

	spin_begin();
	while (!stop) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		dst = GPA + x % USED_PAGES * PAGE + (x >> 40) % 250 * 16 + cpu * 8;
		if (cpu && x & BIT(20)) {
			src = NOWHERE;
			asm volatile("movsq" : "+S"(src), "+D"(dst) : : "memory");
		} else {
			MMIO(u64, dst) = x;
		}
		rounds[cpu]++;
		if (!hold)
			continue;
		/* The ring has all that was written when the vCPU has left KVM_RUN. */
		if (rings)
			guest_sync(0);
		held[cpu] = 1;
		while (hold)
			wait_step();
		held[cpu] = 0;
	}
	guest_done();
}

static void *run_writer(void *arg)
{
	struct vcpu *v = arg;
	u64 n = 1;
	int r;

	while ((r = guest_run(v)) == KVM_EXIT_MMIO || r == UC_SYNC)
		if (r == KVM_EXIT_MMIO)
			*(u64 *)v->run->mmio.data = n++;
	v->result = r;
	return NULL;
}

static void take_bitmap(struct vm *vm, bool by_hand, u64 *got)
{
	if (get_log(vm, SLOT, got) || (by_hand && clear_log(vm, SLOT, 0, LOG_PAGES, got)))
		die("no log: %s", strerror(errno));
}

static void take_rings(struct vm *vm, struct ring *ring, u64 *got)
{
	struct kvm_dirty_gfn *e;
	int i, n = 0;

	memset(got, 0, LOG_WORDS * 8);
	for (i = 0; i < WRITERS; i++) {
		for (; (e = ring_look(&ring[i])); n++) {
			if (e->slot != SLOT || e->offset >= LOG_PAGES)
				die("slot %u, page %llu", e->slot, e->offset);
			got[e->offset / 64] |= BIT(e->offset % 64);
			ring_take(&ring[i]);
		}
	}
	if (must(vm->fd, KVM_RESET_DIRTY_RINGS, 0) != n)
		die("other than %d entries reset", n);
}

/* The memcpy() here is by bytes, and guests write meanwhile. */
static void copy_words(void *to, const void *from, u64 size)
{
	volatile const u64 *src = from;
	u64 *dst = to, i;

	for (i = 0; i < size / 8; i++)
		dst[i] = src[i];
}

static void restart(struct vm *vm, u8 *copy, u8 *mem)
{
	if (vm_slot(vm, SLOT, 0, GPA, 2 * PAGE_2M, mem) ||
	    vm_slot(vm, SLOT, LOG, GPA, 2 * PAGE_2M, mem))
		die("cannot turn logging off and on");
	copy_words(copy, mem, USED_PAGES * PAGE);
}

static void copy_on_write(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

/* Takes the log, and then what the pages hold. */
#define COLLECT do {								\
	u64 got_[LOG_WORDS], i_;						\
										\
	if (variant->ring)							\
		take_rings(self->vm, self->ring, got_);				\
	else									\
		take_bitmap(self->vm, variant->manual, got_);			\
	for (i_ = 0; i_ < USED_PAGES; i_++)					\
		if (bit(got_, i_))						\
			copy_words(self->copy + i_ * PAGE, self->mem + i_ * PAGE, PAGE); \
} while (0)

/* On this side of the guest: on one CPU the others need it. */
#define WAIT(cond) do {		\
	while (!(cond))		\
		usleep(50);	\
} while (0)

static void pin(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(thread, sizeof(set), &set);
}

static void compare(struct __test_metadata *_metadata, const u8 *copy, const u8 *mem)
{
	const u64 *a = (const u64 *)copy, *b = (const u64 *)mem;
	u64 i;

	for (i = 0; i < USED_PAGES * PAGE / 8; i++)
		if (a[i] != b[i])
			break;
	ASSERT_EQ(USED_PAGES, i / (PAGE / 8)) TH_LOG("page %lu differs", i / (PAGE / 8));
}

/*
 * The log is taken several times while the guest writes, and once more soon after, when it has
 * stopped to: a write that went past would be in no copy, unless its page was written again.
 */
TEST_F_TIMEOUT(dirty_race, nothing_is_lost, 120)
{
	/* Bochs has one CPU, so little can race, and it is slow. */
	u64 i, j, n = test_bochs ? 2 : 20 / test_scale + 4, was;

	ASSERT_EQ(0, vm_slot(self->vm, SLOT, 0, GPA, 2 * PAGE_2M, self->mem));
	for (i = 0; i < WRITERS; i++) {
		vcpu_long(self->v[i], guest_writer, i);
		ASSERT_EQ(0, pthread_create(&self->v[i]->thread, NULL, run_writer, self->v[i]));
	}
	/* The one that leaves the guest only when it must has a CPU of its own, if there are two. */
	pin(pthread_self(), 0);
	pin(self->v[0]->thread, 1);
	pin(self->v[1]->thread, 0);
	WAIT(rounds[0] > 100 && rounds[1] > 100);
	ASSERT_EQ(0, vm_slot(self->vm, SLOT, LOG, GPA, 2 * PAGE_2M, self->mem));
	copy_words(self->copy, self->mem, USED_PAGES * PAGE);
	for (i = 0; i < n; i++) {
		for (j = 0; j < 16; j++) {
			was = rounds[j % WRITERS];
			WAIT(rounds[j % WRITERS] > was + j % 4);
			if (variant->restart && j % 8 == 7)
				restart(self->vm, self->copy, self->mem);
			else
				COLLECT;
			if (variant->fork && j == 9)
				copy_on_write();
		}
		hold = 1;
		WAIT(held[0] && held[1]);
		COLLECT;
		compare(_metadata, self->copy, self->mem);
		hold = 0;
		WAIT(!held[0] && !held[1]);
	}
	stop = 1;
	for (i = 0; i < WRITERS; i++)
		ASSERT_EQ(UC_DONE, vcpu_join(self->v[i]));
	COLLECT;
	compare(_metadata, self->copy, self->mem);
}

TEST_MAIN
