// SPDX-License-Identifier: GPL-2.0-only
/* The system file descriptor: version, extensions, sizes, what is unknown. */
#include <fcntl.h>
#include "harness.h"

TEST(api_version)
{
	EXPECT_EQ(12, ioctl(dev_fd, KVM_GET_API_VERSION, 0));
	EXPECT_EQ(EINVAL, err_of_ul(dev_fd, KVM_GET_API_VERSION, 1));
}

TEST(vcpu_mmap_size)
{
	int size = ioctl(dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	EXPECT_LE((int)sizeof(struct kvm_run), size);
	EXPECT_EQ(0, size % (int)PAGE);
	EXPECT_EQ(EINVAL, err_of_ul(dev_fd, KVM_GET_VCPU_MMAP_SIZE, 1));
}

/* And the host's kernel makes use of it. */
static bool host_has_xsave(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	return r[2] & BIT(27);
}

TEST(extensions_needed)
{
	static const int needed[] = {
		KVM_CAP_IRQCHIP, KVM_CAP_USER_MEMORY, KVM_CAP_SET_TSS_ADDR, KVM_CAP_EXT_CPUID,
		KVM_CAP_NR_VCPUS, KVM_CAP_NR_MEMSLOTS, KVM_CAP_MP_STATE, KVM_CAP_PIT2,
		KVM_CAP_SYNC_MMU, KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
		KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, KVM_CAP_USER_NMI, KVM_CAP_IRQ_ROUTING,
		KVM_CAP_IRQ_INJECT_STATUS, KVM_CAP_SET_BOOT_CPU_ID, KVM_CAP_IRQFD,
		KVM_CAP_PIT_STATE2, KVM_CAP_IOEVENTFD, KVM_CAP_SET_IDENTITY_MAP_ADDR,
		KVM_CAP_ADJUST_CLOCK, KVM_CAP_VCPU_EVENTS, KVM_CAP_DEBUGREGS, KVM_CAP_ENABLE_CAP_VM,
		KVM_CAP_XSAVE, KVM_CAP_XCRS, KVM_CAP_GET_TSC_KHZ, KVM_CAP_MAX_VCPUS,
		KVM_CAP_TSC_DEADLINE_TIMER, KVM_CAP_SIGNAL_MSI, KVM_CAP_READONLY_MEM,
		KVM_CAP_IRQFD_RESAMPLE, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_IMMEDIATE_EXIT,
		KVM_CAP_CHECK_EXTENSION_VM, KVM_CAP_MAX_VCPU_ID, KVM_CAP_IOEVENTFD_ANY_LENGTH,
		KVM_CAP_EXT_EMUL_CPUID, KVM_CAP_XSAVE2, KVM_CAP_SREGS2, KVM_CAP_BINARY_STATS_FD,
		KVM_CAP_GET_MSR_FEATURES, KVM_CAP_NOP_IO_DELAY,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(needed); i++) {
		/* Where the processor has XSAVE. */
		if (needed[i] == KVM_CAP_XCRS && !host_has_xsave())
			continue;
		EXPECT_LT(0, has_ext(needed[i]))
			TH_LOG("capability %d", needed[i]);
	}
}

TEST(extensions_unknown)
{
	EXPECT_EQ(0, has_ext(0x7fff));
	EXPECT_EQ(0, has_ext(-1));
}

TEST(extensions_sane)
{
	int nr = has_ext(KVM_CAP_NR_VCPUS), max = has_ext(KVM_CAP_MAX_VCPUS);

	EXPECT_LE(1, nr);
	EXPECT_LE(nr, max);
	EXPECT_LE(64, max);
	EXPECT_LE(max, has_ext(KVM_CAP_MAX_VCPU_ID));
	EXPECT_LE(64, has_ext(KVM_CAP_NR_MEMSLOTS));
	EXPECT_LE(4096, has_ext(KVM_CAP_XSAVE2));
}

TEST(extensions_of_a_vm)
{
	struct vm *vm = vm_create(VM_BARE);
	int i;

	/* The same answers, unless the VM's own settings make the difference. */
	for (i = 0; i < 100; i++)
		EXPECT_EQ(has_ext(i), vm_has_ext(vm, i))
			TH_LOG("capability %d", i);
}

TEST(unknown_ioctls)
{
	struct vm *vm = vm_create(VM_BARE);
	struct vcpu *v = vcpu_create(vm, 0);
	unsigned long cmd = _IO(KVMIO, 0xff);
	int e;

	/* 6.1's KVM says EINVAL for the system's and the vCPU's, ENOTTY for the VM's. */
	e = err_of(dev_fd, cmd, NULL);
	EXPECT_TRUE(e == ENOTTY || e == EINVAL);
	EXPECT_ERR(ENOTTY, vm->fd, cmd, NULL);
	e = err_of(v->fd, cmd, NULL);
	EXPECT_TRUE(e == ENOTTY || e == EINVAL);
	/* Each kind of file has its own. */
	EXPECT_ERR(ENOTTY, vm->fd, KVM_RUN, NULL);
	EXPECT_ERR(ENOTTY, vm->fd, KVM_GET_API_VERSION, NULL);
	EXPECT_NE(0, err_of(v->fd, KVM_CREATE_IRQCHIP, NULL));
	EXPECT_NE(0, err_of(dev_fd, KVM_RUN, NULL));
}

TEST(create_vm_type)
{
	int fd;

	EXPECT_EQ(EINVAL, err_of_ul(dev_fd, KVM_CREATE_VM, 0x1000));
	fd = must(dev_fd, KVM_CREATE_VM, 0);
	/* It does not leak into programs that are started. */
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
}

TEST_MAIN
