// SPDX-License-Identifier: GPL-2.0-only
/* KVM_IRQFD: an eventfd as an interrupt line, and its resampling. */
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/userfaultfd.h>
#include "harness.h"
#include "apic.h"

#define VEC	0x58
#define PIN	11

static volatile u32 count;

FIXTURE(irqfd) {
	struct vm *vm;
	struct vcpu *v;
	int fd;
};

static void on_irq(struct trap_frame *f)
{
	count++;
	apic_eoi();
}

static void guest_poll(u64 rte)
{
	u32 i;

	apic_enable();
	guest_handlers[VEC] = on_irq;
	rte_write(PIN, rte);
	for (i = 0;; i++) {
		guest_sync(i);
		sti_nop_cli();
	}
}

FIXTURE_SETUP(irqfd)
{
	self->vm = vm_create(VM_IRQCHIP);
	self->v = vcpu_create(self->vm, 0);
	self->fd = eventfd(0, EFD_NONBLOCK);
	vcpu_long(self->v, guest_poll, VEC);
	ASSERT_RUN(UC_SYNC, self->v);
}

FIXTURE_TEARDOWN(irqfd)
{
}

static void signal_fd(int fd)
{
	u64 one = 1;

	if (write(fd, &one, 8) != 8)
		die("eventfd: %s", strerror(errno));
}

/* Delivery runs through a work item of the kernel: it may take a moment. */
static bool comes(struct vcpu *v, u32 n)
{
	unsigned int i;

	for (i = 0; i < 2000; i++) {
		if (guest_run(v) != UC_SYNC)
			return false;
		if (count >= n)
			return count == n;
		usleep(1000);
	}
	return false;
}

static int irqfd(struct vm *vm, int fd, u32 gsi, u32 flags, int resample)
{
	struct kvm_irqfd i = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample };

	return err_of(vm->fd, KVM_IRQFD, &i);
}

TEST_F(irqfd, edge)
{
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, 0, 0));
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 1));
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 2));
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_fd(self->fd);
	usleep(10000);
	EXPECT_TRUE(comes(self->v, 2));
}

TEST_F(irqfd, msi)
{
	struct {
		struct kvm_irq_routing h;
		struct kvm_irq_routing_entry e;
	} r = {
		.h.nr = 1, .e = { .gsi = 30, .type = KVM_IRQ_ROUTING_MSI,
				  .u.msi = { .address_lo = 0xfee00000, .data = VEC } },
	};

	/* Before its route exists, and then with it. */
	ASSERT_EQ(0, irqfd(self->vm, self->fd, 30, 0, 0));
	must(self->vm->fd, KVM_SET_GSI_ROUTING, &r);
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 1));
	/* The route may change under it. */
	r.e.u.msi.data = VEC | 0x100;
	must(self->vm->fd, KVM_SET_GSI_ROUTING, &r);
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 2));
}

TEST_F(irqfd, signalled_before)
{
	signal_fd(self->fd);
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, 0, 0));
	EXPECT_TRUE(comes(self->v, 1));
}

TEST_F(irqfd, errors)
{
	int other = eventfd(0, 0);

	EXPECT_EQ(EINVAL, irqfd(self->vm, self->fd, PIN, 0x80, 0));
	EXPECT_EQ(EBADF, irqfd(self->vm, -1, PIN, 0, 0));
	EXPECT_EQ(EINVAL, irqfd(self->vm, dev_fd, PIN, 0, 0));
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, 0, 0));
	EXPECT_EQ(EBUSY, irqfd(self->vm, self->fd, PIN, 0, 0));
	EXPECT_EQ(EBUSY, irqfd(self->vm, self->fd, PIN + 1, 0, 0));
	EXPECT_EQ(0, irqfd(self->vm, other, PIN, 0, 0));
	EXPECT_EQ(0, irqfd(self->vm, other, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0));
	/* Taking away what is not there does no harm. */
	EXPECT_EQ(0, irqfd(self->vm, other, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0));
}

TEST_F(irqfd, file_closed_first)
{
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, 0, 0));
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 1));
	close(self->fd);
	usleep(5000);
	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, 0, 0));
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 2));
}

/* Level-triggered: the EOI lowers the line and tells the device's owner. */
TEST_F(irqfd, resample)
{
	int again = eventfd(0, EFD_NONBLOCK);
	u64 n;

	vcpu_long(self->v, guest_poll, VEC | RTE_LEVEL);
	ASSERT_RUN(UC_SYNC, self->v);
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, again));
	EXPECT_EQ(-1, read(again, &n, 8));
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 1));
	EXPECT_EQ(8, read(again, &n, 8));
	EXPECT_EQ(1, n);
	usleep(5000);
	EXPECT_TRUE(comes(self->v, 1));
	/* The device still wants it: raised again. */
	signal_fd(self->fd);
	EXPECT_TRUE(comes(self->v, 2));
	EXPECT_EQ(8, read(again, &n, 8));
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, again));
}

static void guest_hlt(u64 arg)
{
	apic_enable();
	guest_handlers[VEC] = on_irq;
	rte_write(PIN, VEC);
	sti_hlt();
	G_EQ(count, 1);
	guest_done();
}

TEST_F(irqfd, wakes_hlt)
{
	ASSERT_EQ(0, irqfd(self->vm, self->fd, PIN, 0, 0));
	vcpu_long(self->v, guest_hlt, 0);
	vcpu_start(self->v);
	usleep(30000);
	signal_fd(self->fd);
	ASSERT_EQ(UC_DONE, vcpu_join(self->v));
}

#define STUCK_VA	(1ULL << 39)

/* A string output is emulated: the hypervisor itself reads the byte. */
static void guest_stuck(void)
{
	u64 si = STUCK_VA;

	guest_map(STUCK_VA, HIGH_GPA, PAGE, PAGE, PTE_P);
	asm volatile("outsb" : "+S"(si) : "d"(0xe100) : "memory");
	guest_done();
}

static void *detach_stuck(void *arg)
{
	struct kvm_irqfd *irqfd = arg;
	int vm = irqfd->flags;

	irqfd->flags = KVM_IRQFD_FLAG_DEASSIGN;
	ioctl(vm, KVM_IRQFD, irqfd);
	return NULL;
}

/* Hands out @mem by userfaultfd; -1 if there is none. */
static int fault_handler(void *mem)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)mem, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	must(fd, UFFDIO_API, &api);
	must(fd, UFFDIO_REGISTER, &reg);
	return fd;
}

/*
 * One VM's vCPU is stuck in an access to memory that its client does not provide, and the end
 * of an irqfd of that VM may have to wait for it. Other VMs' irqfds may not.
 */
TEST_F(irqfd, other_vm_is_stuck)
{
	struct kvm_irqfd stuck = {
		.fd = self->fd, .gsi = PIN, .flags = KVM_IRQFD_FLAG_RESAMPLE,
		.resamplefd = eventfd(0, EFD_NONBLOCK),
	};
	struct kvm_irqfd irqfd = { .fd = eventfd(0, EFD_NONBLOCK), .gsi = PIN };
	void *mem = map_anon(PAGE);
	struct uffdio_zeropage zero = { .range = { (uintptr_t)mem, PAGE } };
	struct pollfd p = { .fd = fault_handler(mem), .events = POLLIN };
	struct vm *other;
	pthread_t thread;

	if (p.fd < 0)
		SKIP(return, "no userfaultfd");
	ASSERT_EQ(0, vm_slot(self->vm, FIRST_SLOT, 0, HIGH_GPA, PAGE, mem));
	must(self->vm->fd, KVM_IRQFD, &stuck);
	vcpu_long(self->v, guest_stuck, 0);
	vcpu_start(self->v);
	ASSERT_EQ(1, poll(&p, 1, 10000 * test_scale));

	stuck.flags = self->vm->fd;
	ASSERT_EQ(0, pthread_create(&thread, NULL, detach_stuck, &stuck));
	usleep(200000);

	/* Where this waits for the other VM, the time limit ends the test. */
	other = vm_create(VM_IRQCHIP);
	must(other->fd, KVM_IRQFD, &irqfd);
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	must(other->fd, KVM_IRQFD, &irqfd);

	must(p.fd, UFFDIO_ZEROPAGE, &zero);
	pthread_join(thread, NULL);
	EXPECT_EQ(KVM_EXIT_IO, vcpu_join(self->v));
}

TEST_MAIN
