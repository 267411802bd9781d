// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of /dev/keel itself, and the capabilities. */
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/keel.h>
#include "irqchip/irqchip.h"
#include "ioctl.h"
#include "keel.h"

/* ---- capabilities ----------------------------------------------------------------- */

/*
 * Capabilities with a fixed answer.  Each works in full; Documentation/abi.rst says
 * what is not here, and why.
 */
static const struct {
	u16 cap;
	u32 answer;
} fixed_caps[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_NR_MEMSLOTS, KEEL_USER_MEM_SLOTS },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_VAPIC, 1 },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IRQ_ROUTING, KEEL_NR_GSIS },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_MCE, 32 },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, KEEL_CAN_RESAMPLE },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC | KVM_CLOCK_TSC_STABLE },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_MAX_VCPUS, KEEL_MAX_VCPUS },
	{ KVM_CAP_MAX_VCPU_ID, KEEL_MAX_VCPU_ID },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE |
				   KVM_X86_QUIRK_OUT_7E_INC_RIP |
				   KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |
				   KVM_X86_QUIRK_FIX_HYPERCALL_INSN |
				   KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS },
	{ KVM_CAP_DIRTY_LOG_RING, KEEL_DIRTY_RING_MAX },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KEEL_DIRTY_RING_MAX },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
					     KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE },
	{ KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS |
			      KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
};

/* Those that depend on the CPU or on the VM. */
static int computed_cap(struct keel_vm *vm, long cap)
{
	switch (cap) {
	case KVM_CAP_NR_VCPUS:
		return min_t(unsigned int, num_online_cpus(), KEEL_MAX_VCPUS);
	case KVM_CAP_XCRS:
		return boot_cpu_has(X86_FEATURE_XSAVE);
	case KVM_CAP_XSAVE2:
		return max_t(u32, sizeof(struct kvm_xsave),
			     keel_fpu_xsave_size(keel_fpu_xcr0_supported()));
	case KVM_CAP_TSC_CONTROL:
	case KVM_CAP_VM_TSC_CONTROL:
		return keel_caps.tsc_scaling;
	}
	return 0;
}

/**
 * keel_vm_cap() - KVM_CHECK_EXTENSION
 * @vm: the VM, or NULL when asked of the device
 * @cap: KVM_CAP_*
 *
 * Return: 0 if keel has it not, else the capability's answer.
 */
int keel_vm_cap(struct keel_vm *vm, long cap)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(fixed_caps); i++)
		if (fixed_caps[i].cap == cap)
			return fixed_caps[i].answer;
	return computed_cap(vm, cap);
}

/* ---- handlers --------------------------------------------------------------------- */

static long get_api_version(void *obj, void *arg)
{
	return arg ? -EINVAL : KVM_API_VERSION;
}

static long create_vm(void *obj, void *arg)
{
	return keel_vm_create_fd((unsigned long)arg);
}

static long check_extension(void *obj, void *arg)
{
	return keel_vm_cap(NULL, (long)arg);
}

static long get_vcpu_mmap_size(void *obj, void *arg)
{
	return arg ? -EINVAL : 2 * PAGE_SIZE;
}

static long get_supported_cpuid(void *obj, void *arg)
{
	return keel_cpuid_ioctl_supported((struct kvm_cpuid2 __user *)arg, false);
}

static long get_emulated_cpuid(void *obj, void *arg)
{
	return keel_cpuid_ioctl_supported((struct kvm_cpuid2 __user *)arg, true);
}

static long get_msr_index_list(void *obj, void *arg)
{
	return keel_msr_index_list((struct kvm_msr_list __user *)arg, false);
}

static long get_msr_feature_index_list(void *obj, void *arg)
{
	return keel_msr_index_list((struct kvm_msr_list __user *)arg, true);
}

static int feature_msr(void *obj, u32 index, u64 *data)
{
	return keel_msr_feature_get(index, data);
}

/**
 * keel_msrs_ioctl() - the loop of KVM_GET_MSRS and KVM_SET_MSRS
 * @u: the client's list
 * @obj: passed to @fn
 * @fn: gets or sets one; not 0 stops
 * @get: values go back
 *
 * Return: how many were done, or -errno.
 */
long keel_msrs_ioctl(struct kvm_msrs __user *u, void *obj,
		     int (*fn)(void *obj, u32 index, u64 *data), bool get)
{
	struct kvm_msr_entry *entry;
	struct kvm_msrs head;
	size_t size;
	long ret = 0;
	u32 i;

	if (copy_from_user(&head, u, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= KEEL_MAX_MSR_ENTRIES)
		return -E2BIG;
	size = sizeof(*entry) * head.nmsrs;
	entry = memdup_user(u->entries, size);
	if (IS_ERR(entry))
		return PTR_ERR(entry);

	for (i = 0; i < head.nmsrs; i++) {
		ret = fn(obj, entry[i].index, &entry[i].data);
		if (ret)
			break;
	}
	/* A refused one ends the list; one that writes to guest memory may find none. */
	if (ret != -EFAULT)
		ret = i;
	if (get && copy_to_user(u->entries, entry, size))
		ret = -EFAULT;
	kfree(entry);
	return ret;
}

static long get_feature_msrs(void *obj, void *arg)
{
	return keel_msrs_ioctl((struct kvm_msrs __user *)arg, NULL, feature_msr, true);
}

static long get_mce_cap(void *obj, void *arg)
{
	*(u64 *)arg = KEEL_MCG_CAP_SUPPORTED;
	return 0;
}

static long get_info(void *obj, void *arg)
{
	struct keel_info *info = arg;

	info->version = KEEL_INFO_VERSION;
	strscpy(info->backend, keel_ops.name, sizeof(info->backend));
	strscpy(info->release, THIS_MODULE->version ?: "", sizeof(info->release));
	return 0;
}

const struct keel_ioctl keel_sys_ioctls[] = {
	KEEL_IOC(KVM_GET_API_VERSION, KEEL_IOC_RAW, get_api_version),
	KEEL_IOC(KVM_CREATE_VM, KEEL_IOC_RAW, create_vm),
	KEEL_IOC(KVM_GET_MSR_INDEX_LIST, KEEL_IOC_RAW, get_msr_index_list),
	KEEL_IOC(KVM_CHECK_EXTENSION, KEEL_IOC_RAW, check_extension),
	KEEL_IOC(KVM_GET_VCPU_MMAP_SIZE, KEEL_IOC_RAW, get_vcpu_mmap_size),
	KEEL_IOC(KVM_GET_SUPPORTED_CPUID, KEEL_IOC_RAW, get_supported_cpuid),
	KEEL_IOC(KVM_GET_EMULATED_CPUID, KEEL_IOC_RAW, get_emulated_cpuid),
	KEEL_IOC(KVM_GET_MSR_FEATURE_INDEX_LIST, KEEL_IOC_RAW, get_msr_feature_index_list),
	KEEL_IOC(KVM_GET_MSRS, KEEL_IOC_RAW, get_feature_msrs),
	KEEL_IOC(KVM_X86_GET_MCE_CAP_SUPPORTED, 0, get_mce_cap),
	KEEL_IOC(KEEL_GET_INFO, 0, get_info),
	{}
};
