// SPDX-License-Identifier: GPL-2.0-only
/* The guest sees what the host does to the memory: unmap, remap, protect, discard. */
#include "harness.h"

#define GPA	HIGH_GPA
#define SIZE	(64 * PAGE)

static volatile u64 seen, asked, answered, stop;
static u64 sum;

FIXTURE(notifier) {
	struct vm *vm;
	struct vcpu *v;
	u8 *mem;
};

FIXTURE_SETUP(notifier)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->mem = vm_add_mem(self->vm, FIRST_SLOT, 0, GPA, SIZE);
}

FIXTURE_TEARDOWN(notifier)
{
}

static void guest_read(u64 gpa)
{
	seen = MMIO(u64, gpa);
	guest_done();
}

static void guest_write(u64 gpa)
{
	MMIO(u64, gpa) = 0x9999;
	guest_done();
}

static u64 guest_sees(struct vcpu *v, u64 gpa)
{
	vcpu_long(v, guest_read, gpa);
	if (guest_run(v) != UC_DONE)
		die("exit %u", v->run->exit_reason);
	return seen;
}

TEST_F(notifier, plain_writes)
{
	unsigned int i;

	for (i = 1; i < 20; i++) {
		*(volatile u64 *)self->mem = i;
		ASSERT_EQ(i, guest_sees(self->v, GPA));
	}
	vcpu_long(self->v, guest_write, GPA);
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x9999, *(volatile u64 *)self->mem);
}

TEST_F(notifier, discard)
{
	*(u64 *)self->mem = 5;
	EXPECT_EQ(5, guest_sees(self->v, GPA));
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, guest_sees(self->v, GPA));
	*(u64 *)self->mem = 6;
	EXPECT_EQ(6, guest_sees(self->v, GPA));
}

TEST_F(notifier, other_pages_in_place)
{
	u64 *other;

	*(u64 *)self->mem = 5;
	EXPECT_EQ(5, guest_sees(self->v, GPA));
	other = mmap(self->mem, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ((void *)self->mem, other);
	*other = 7;
	EXPECT_EQ(7, guest_sees(self->v, GPA));
	/* Moved in from elsewhere. */
	other = map_anon(PAGE);
	*other = 8;
	ASSERT_EQ((void *)self->mem,
		  mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, self->mem));
	EXPECT_EQ(8, guest_sees(self->v, GPA));
}

/* Nothing is behind the address: KVM_RUN fails with EFAULT, and works again after. */
TEST_F(notifier, unmapped)
{
	EXPECT_EQ(0, guest_sees(self->v, GPA));
	ASSERT_EQ(0, munmap(self->mem, PAGE));
	vcpu_long(self->v, guest_read, GPA);
	EXPECT_EQ(EFAULT, vcpu_run(self->v));
	ASSERT_EQ((void *)self->mem, mmap(self->mem, PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*(u64 *)self->mem = 0x4444;
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x4444, seen);
}

static volatile u64 faulted_at;

static void on_gp(struct trap_frame *f)
{
	faulted_at = f->rip;
}

/* What the client has for the guest after such a failure comes before the access is tried again. */
TEST_F(notifier, unmapped_then_exception)
{
	struct kvm_vcpu_events e;

	ASSERT_EQ(0, munmap(self->mem, PAGE));
	guest_handlers[VEC_GP] = on_gp;
	vcpu_long(self->v, guest_read, GPA);
	EXPECT_EQ(EFAULT, vcpu_run(self->v));
	must(self->v->fd, KVM_GET_VCPU_EVENTS, &e);
	e.exception.injected = 1;
	e.exception.nr = VEC_GP;
	e.exception.has_error_code = 1;
	must(self->v->fd, KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(EFAULT, vcpu_run(self->v));
	EXPECT_NE(0, faulted_at);
	EXPECT_EQ(faulted_at, vcpu_regs(self->v).rip);
}

TEST_F(notifier, protected)
{
	*(u64 *)self->mem = 3;
	EXPECT_EQ(3, guest_sees(self->v, GPA));
	vcpu_long(self->v, guest_write, GPA);
	ASSERT_DONE(self->v);
	ASSERT_EQ(0, mprotect(self->mem, PAGE, PROT_READ));
	EXPECT_EQ(0x9999, guest_sees(self->v, GPA));
	vcpu_long(self->v, guest_write, GPA + 8);
	EXPECT_EQ(EFAULT, vcpu_run(self->v));
	EXPECT_EQ(0, *(volatile u64 *)(self->mem + 8));
	ASSERT_EQ(0, mprotect(self->mem, PAGE, PROT_READ | PROT_WRITE));
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x9999, *(volatile u64 *)(self->mem + 8));
	ASSERT_EQ(0, mprotect(self->mem, PAGE, PROT_NONE));
	vcpu_long(self->v, guest_read, GPA);
	EXPECT_EQ(EFAULT, vcpu_run(self->v));
}

/* A read of untouched memory maps the zero page; the write after it must not be lost. */
TEST_F(notifier, zero_page)
{
	EXPECT_EQ(0, guest_sees(self->v, GPA + PAGE));
	vcpu_long(self->v, guest_write, GPA + PAGE);
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x9999, *(volatile u64 *)(self->mem + PAGE));
	EXPECT_EQ(0, *(volatile u64 *)(self->mem + 2 * PAGE));
	/* And the other way round: mapped for reading, then written by the host. */
	EXPECT_EQ(0, guest_sees(self->v, GPA + 2 * PAGE));
	*(volatile u64 *)(self->mem + 2 * PAGE) = 12;
	EXPECT_EQ(12, guest_sees(self->v, GPA + 2 * PAGE));
}

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

TEST_F(notifier, page_out)
{
	unsigned int i;

	for (i = 0; i < SIZE / PAGE; i++)
		*(u64 *)(self->mem + i * PAGE) = i + 1;
	for (i = 0; i < SIZE / PAGE; i += 8)
		EXPECT_EQ(i + 1, guest_sees(self->v, GPA + i * PAGE));
	/* Without swap the kernel tries and gives up; nothing may change. */
	madvise(self->mem, SIZE, MADV_PAGEOUT);
	for (i = 0; i < SIZE / PAGE; i += 8)
		EXPECT_EQ(i + 1, guest_sees(self->v, GPA + i * PAGE));
}

/* After fork() the parent's pages are shared with the child until someone writes. */
TEST_F(notifier, fork_copy_on_write)
{
	int to_child[2], to_parent[2], status;
	pid_t pid;
	char c;

	*(u64 *)self->mem = 1;
	EXPECT_EQ(1, guest_sees(self->v, GPA));
	vcpu_long(self->v, guest_write, GPA + 8);
	ASSERT_DONE(self->v);
	ASSERT_EQ(0, pipe(to_child));
	ASSERT_EQ(0, pipe(to_parent));
	pid = fork();
	if (!pid) {
		if (read(to_child[0], &c, 1) != 1)
			_exit(3);
		_exit(*(volatile u64 *)(self->mem + 16) == 0 ? 0 : 1);
	}
	/* What the guest writes now is the parent's. */
	vcpu_long(self->v, guest_write, GPA + 16);
	ASSERT_DONE(self->v);
	EXPECT_EQ(0x9999, *(volatile u64 *)(self->mem + 16));
	ASSERT_EQ(1, write(to_child[1], "", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	*(volatile u64 *)self->mem = 2;
	EXPECT_EQ(2, guest_sees(self->v, GPA));
}

/* All of it while the guest is at work in the same pages. */
static void guest_spin(u64 arg)
{
	u64 i, ask;

	spin_begin();
	while (!stop) {
		for (i = 0; i < SIZE / PAGE; i++) {
			sum += MMIO(u64, GPA + i * PAGE);
			MMIO(u64, GPA + i * PAGE + 8) = i;
		}
		if (asked != answered) {
			ask = asked;
			i = ask % (SIZE / PAGE);
			seen = MMIO(u64, GPA + i * PAGE);
			/* What was written above may have gone with the page. */
			MMIO(u64, GPA + i * PAGE + 8) = i;
			answered = ask;
		}
	}
	guest_done();
}

TEST_F(notifier, while_running)
{
	unsigned int i, n = 60 / test_scale;
	u8 *page;

	vcpu_long(self->v, guest_spin, 0);
	vcpu_start(self->v);
	for (i = 1; i <= n; i++) {
		page = self->mem + (i % (SIZE / PAGE)) * PAGE;
		switch (i % 4) {
		case 0:
			madvise(page, PAGE, MADV_DONTNEED);
			break;
		case 1:
			ASSERT_NE(MAP_FAILED, mmap(page, PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
			break;
		case 2:
			madvise(page, PAGE, MADV_PAGEOUT);
			break;
		case 3:
			if (!fork())
				_exit(0);
			wait(NULL);
			break;
		}
		*(volatile u64 *)page = i * 1000;
		asked = i;
		G_WAIT(answered == i);
		ASSERT_EQ(i * 1000, seen);
		ASSERT_EQ(i % (SIZE / PAGE), READ_ONCE(*(u64 *)(page + 8)));
	}
	stop = 1;
	ASSERT_EQ(UC_DONE, vcpu_join(self->v));
}

TEST_MAIN
