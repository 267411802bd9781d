// SPDX-License-Identifier: GPL-2.0-only
/* KVM_IOEVENTFD: guest writes that signal an eventfd and do not come out. */
#include <sys/eventfd.h>
#include "harness.h"

#define PORT	0x560
#define GPA	0xd0000000UL

FIXTURE(ioeventfd) {
	struct vm *vm;
	struct vcpu *v;
	int fd;
};

FIXTURE_SETUP(ioeventfd)
{
	self->vm = vm_create(0);
	self->v = vcpu_create(self->vm, 0);
	self->fd = eventfd(0, EFD_NONBLOCK);
}

FIXTURE_TEARDOWN(ioeventfd)
{
}

static int ioeventfd(struct vm *vm, int fd, u64 addr, u32 len, u32 flags, u64 match)
{
	struct kvm_ioeventfd e = {
		.fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = match,
	};

	return err_of(vm->fd, KVM_IOEVENTFD, &e);
}

static u64 signals(int fd)
{
	u64 n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

#define PIO	KVM_IOEVENTFD_FLAG_PIO
#define MATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN KVM_IOEVENTFD_FLAG_DEASSIGN

static void guest_ports(u64 arg)
{
	outw(PORT, 7);
	outw(PORT, 8);
	outb(PORT, 7);	/* another size: out it comes */
	outw(PORT, 7);
	guest_done();
}

TEST_F(ioeventfd, port)
{
	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, PORT, 2, PIO, 0));
	vcpu_long(self->v, guest_ports, 0);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(1, self->v->run->io.size);
	EXPECT_EQ(2, signals(self->fd));
	ASSERT_DONE(self->v);
	EXPECT_EQ(1, signals(self->fd));
}

TEST_F(ioeventfd, port_with_data)
{
	int other = eventfd(0, EFD_NONBLOCK);

	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, PORT, 2, PIO | MATCH, 7));
	ASSERT_EQ(0, ioeventfd(self->vm, other, PORT, 2, PIO | MATCH, 9));
	vcpu_long(self->v, guest_ports, 0);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(2, self->v->run->io.size);
	EXPECT_EQ(1, signals(self->fd));
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(1, self->v->run->io.size);
	ASSERT_DONE(self->v);
	EXPECT_EQ(1, signals(self->fd));
	EXPECT_EQ(0, signals(other));
}

static void guest_mmio(u64 arg)
{
	MMIO(u32, GPA) = 1;
	MMIO(u32, GPA + 4) = 1;
	MMIO(u64, GPA + 8) = 0x1122334455667788;
	MMIO(u8, GPA) = 1;
	guest_done();
}

TEST_F(ioeventfd, mmio)
{
	int wide = eventfd(0, EFD_NONBLOCK);

	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, GPA, 4, 0, 0));
	ASSERT_EQ(0, ioeventfd(self->vm, wide, GPA + 8, 8, MATCH, 0x1122334455667788));
	vcpu_long(self->v, guest_mmio, 0);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(GPA + 4, self->v->run->mmio.phys_addr);
	EXPECT_EQ(1, signals(self->fd));
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(1, self->v->run->mmio.len);
	EXPECT_EQ(1, signals(wide));
	ASSERT_DONE(self->v);
}

/* Length 0: a write of any size at the address. */
TEST_F(ioeventfd, any_length)
{
	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, GPA, 0, 0, 0));
	vcpu_long(self->v, guest_mmio, 0);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(GPA + 4, self->v->run->mmio.phys_addr);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(GPA + 8, self->v->run->mmio.phys_addr);
	ASSERT_DONE(self->v);
	EXPECT_EQ(2, signals(self->fd));
}

static void guest_read(u64 arg)
{
	guest_sync(MMIO(u32, GPA) & 0xffff);
	guest_sync(inw(PORT));
	guest_done();
}

TEST_F(ioeventfd, reads_come_out)
{
	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, GPA, 4, 0, 0));
	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, PORT, 2, PIO, 0));
	vcpu_long(self->v, guest_read, 0);
	ASSERT_RUN(KVM_EXIT_MMIO, self->v);
	EXPECT_EQ(0, self->v->run->mmio.is_write);
	memcpy(self->v->run->mmio.data, "\x34\x12\0\0", 4);
	ASSERT_SYNC(0x1234, self->v);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(KVM_EXIT_IO_IN, self->v->run->io.direction);
	EXPECT_EQ(0, signals(self->fd));
}

TEST_F(ioeventfd, deassign)
{
	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, PORT, 2, PIO | MATCH, 7));
	EXPECT_EQ(ENOENT, ioeventfd(self->vm, self->fd, PORT, 2, PIO | MATCH | DEASSIGN, 8));
	EXPECT_EQ(ENOENT, ioeventfd(self->vm, self->fd, PORT, 2, MATCH | DEASSIGN, 7));
	EXPECT_EQ(0, ioeventfd(self->vm, self->fd, PORT, 2, PIO | MATCH | DEASSIGN, 7));
	EXPECT_EQ(ENOENT, ioeventfd(self->vm, self->fd, PORT, 2, PIO | MATCH | DEASSIGN, 7));
	vcpu_long(self->v, guest_ports, 0);
	ASSERT_RUN(KVM_EXIT_IO, self->v);
	EXPECT_EQ(0, signals(self->fd));
}

TEST_F(ioeventfd, errors)
{
	int other = eventfd(0, EFD_NONBLOCK);

	EXPECT_EQ(EINVAL, ioeventfd(self->vm, self->fd, PORT, 3, PIO, 0));
	EXPECT_EQ(EINVAL, ioeventfd(self->vm, self->fd, GPA, 16, 0, 0));
	EXPECT_EQ(EINVAL, ioeventfd(self->vm, self->fd, -4ULL, 8, 0, 0));
	EXPECT_EQ(EINVAL, ioeventfd(self->vm, self->fd, PORT, 2, 0x100 | PIO, 0));
	/* Any length goes without data only. */
	EXPECT_EQ(EINVAL, ioeventfd(self->vm, self->fd, GPA, 0, MATCH, 1));
	EXPECT_EQ(EBADF, ioeventfd(self->vm, -1, PORT, 2, PIO, 0));
	EXPECT_EQ(EINVAL, ioeventfd(self->vm, dev_fd, PORT, 2, PIO, 0));
	ASSERT_EQ(0, ioeventfd(self->vm, self->fd, PORT, 2, PIO | MATCH, 7));
	EXPECT_EQ(EEXIST, ioeventfd(self->vm, other, PORT, 2, PIO | MATCH, 7));
	EXPECT_EQ(EEXIST, ioeventfd(self->vm, other, PORT, 2, PIO, 0));
	EXPECT_EQ(0, ioeventfd(self->vm, other, PORT, 2, PIO | MATCH, 6));
	EXPECT_EQ(0, ioeventfd(self->vm, other, PORT, 4, PIO, 0));
}

TEST_MAIN
