// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of a vCPU. */
#include <linux/kvm.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ioctl.h"
#include "keel.h"

static long run(void *obj, void *arg)
{
	return arg ? -EINVAL : keel_vcpu_run(obj);
}

/*
 * Handlers whose work has a home elsewhere: vcpu->mutex held, the argument a copy.
 */
#define FORWARD(name, fn)						\
static long name(void *obj, void *arg)					\
{									\
	return fn(obj, arg);						\
}

FORWARD(get_regs, keel_get_regs)
FORWARD(set_regs, keel_set_regs)
FORWARD(get_sregs, keel_get_sregs)
FORWARD(set_sregs, keel_set_sregs)
FORWARD(get_sregs2, keel_get_sregs2)
FORWARD(set_sregs2, keel_set_sregs2)
FORWARD(get_fpu, keel_get_fpu)
FORWARD(set_fpu, keel_set_fpu)
FORWARD(get_xcrs, keel_get_xcrs)
FORWARD(set_xcrs, keel_set_xcrs)
FORWARD(get_debugregs, keel_get_debugregs)
FORWARD(set_debugregs, keel_set_debugregs)
FORWARD(get_mp_state, keel_get_mp_state)
FORWARD(set_mp_state, keel_set_mp_state)
FORWARD(get_vcpu_events, keel_get_vcpu_events)
FORWARD(set_vcpu_events, keel_set_vcpu_events)
FORWARD(set_mce, keel_set_mce)
FORWARD(set_vapic_addr, keel_set_vapic_addr)
FORWARD(tpr_access_reporting, keel_tpr_access_reporting)

/* ---- memory and CPUID ------------------------------------------------------------- */

static long translate(void *obj, void *arg)
{
	struct kvm_translation *tr = arg;
	struct keel_gwalk_fault fault;
	struct keel_gwalk walk;
	gpa_t gpa;
	int ret;

	keel_gwalk_init(&walk, obj);
	ret = keel_gwalk(&walk, tr->linear_address, 0, &gpa, NULL, &fault);
	if (ret < 0)
		return ret;
	tr->valid = !ret;
	tr->physical_address = tr->valid ? gpa : ~0ULL;
	tr->writeable = 1;
	tr->usermode = 0;
	return 0;
}

static long set_cpuid2(void *obj, void *arg)
{
	return keel_cpuid_ioctl_set(obj, (struct kvm_cpuid2 __user *)arg);
}

static long get_cpuid2(void *obj, void *arg)
{
	return keel_cpuid_ioctl_get(obj, (struct kvm_cpuid2 __user *)arg);
}

static int msr_get(void *obj, u32 index, u64 *data)
{
	return keel_msr_get(obj, index, data, true);
}

static int msr_set(void *obj, u32 index, u64 *data)
{
	return keel_msr_set(obj, index, *data, true);
}

static long get_msrs(void *obj, void *arg)
{
	return keel_msrs_ioctl((struct kvm_msrs __user *)arg, obj, msr_get, true);
}

static long set_msrs(void *obj, void *arg)
{
	return keel_msrs_ioctl((struct kvm_msrs __user *)arg, obj, msr_set, false);
}

/* ---- FPU -------------------------------------------------------------------------- */

static long get_xsave(void *obj, void *arg)
{
	/* The old structure has no room for more; KVM_GET_XSAVE2 has. */
	if (keel_vm_cap(NULL, KVM_CAP_XSAVE2) > sizeof(struct kvm_xsave))
		return -EINVAL;
	return keel_get_xsave(obj, (void __user *)arg, sizeof(struct kvm_xsave));
}

static long get_xsave2(void *obj, void *arg)
{
	return keel_get_xsave(obj, (void __user *)arg, keel_vm_cap(NULL, KVM_CAP_XSAVE2));
}

static long set_xsave(void *obj, void *arg)
{
	return keel_set_xsave(obj, (const void __user *)arg);
}

/* ---- local APIC and events -------------------------------------------------------- */

static long get_lapic(void *obj, void *arg)
{
	struct keel_vcpu *vcpu = obj;

	return vcpu->lapic ? keel_lapic_get_state(vcpu, arg) : -EINVAL;
}

static long set_lapic(void *obj, void *arg)
{
	struct keel_vcpu *vcpu = obj;

	return vcpu->lapic ? keel_lapic_set_state(vcpu, arg) : -EINVAL;
}

static long interrupt(void *obj, void *arg)
{
	return keel_interrupt(obj, ((struct kvm_interrupt *)arg)->irq);
}

static long nmi(void *obj, void *arg)
{
	keel_queue_nmi(obj);
	return 0;
}

static long setup_mce(void *obj, void *arg)
{
	return keel_setup_mce(obj, *(u64 *)arg);
}

/* Signals that KVM_RUN lets through while it runs; a null argument takes the mask away. */
static long set_signal_mask(void *obj, void *arg)
{
	struct kvm_signal_mask __user *u = (struct kvm_signal_mask __user *)arg;
	struct keel_vcpu *vcpu = obj;
	struct kvm_signal_mask head;
	sigset_t set;

	if (!u) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&head, u, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, u->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset = set;
	vcpu->sigset_active = true;
	return 0;
}

/* ---- time and the rest ------------------------------------------------------------ */

static long set_tsc_khz(void *obj, void *arg)
{
	unsigned long khz = (unsigned long)arg;

	return khz > U32_MAX ? -EINVAL : keel_set_tsc_khz(obj, khz ?: tsc_khz);
}

static long get_tsc_khz(void *obj, void *arg)
{
	return ((struct keel_vcpu *)obj)->tsc.khz;
}

static long kvmclock_ctrl(void *obj, void *arg)
{
	return keel_kvmclock_ctrl(obj);
}

/* No capability is turned on for a single vCPU. */
static long enable_cap(void *obj, void *arg)
{
	return -EINVAL;
}

static long stats_fd(void *obj, void *arg)
{
	return keel_stats_fd_vcpu(obj);
}

#define VCPU	KEEL_IOC_VCPU
#define RAW	KEEL_IOC_RAW

const struct keel_ioctl keel_vcpu_ioctls[] = {
	KEEL_IOC(KVM_RUN, VCPU | RAW, run),
	KEEL_IOC(KVM_GET_REGS, VCPU, get_regs),
	KEEL_IOC(KVM_SET_REGS, VCPU, set_regs),
	KEEL_IOC(KVM_GET_SREGS, VCPU, get_sregs),
	KEEL_IOC(KVM_SET_SREGS, VCPU, set_sregs),
	KEEL_IOC(KVM_GET_SREGS2, VCPU, get_sregs2),
	KEEL_IOC(KVM_SET_SREGS2, VCPU, set_sregs2),
	KEEL_IOC(KVM_TRANSLATE, VCPU, translate),
	KEEL_IOC(KVM_INTERRUPT, VCPU, interrupt),
	KEEL_IOC(KVM_GET_MSRS, VCPU | RAW, get_msrs),
	KEEL_IOC(KVM_SET_MSRS, VCPU | RAW, set_msrs),
	KEEL_IOC(KVM_SET_SIGNAL_MASK, VCPU | RAW, set_signal_mask),
	KEEL_IOC(KVM_GET_FPU, VCPU, get_fpu),
	KEEL_IOC(KVM_SET_FPU, VCPU, set_fpu),
	KEEL_IOC(KVM_GET_LAPIC, VCPU, get_lapic),
	KEEL_IOC(KVM_SET_LAPIC, VCPU, set_lapic),
	KEEL_IOC(KVM_SET_VAPIC_ADDR, VCPU, set_vapic_addr),
	KEEL_IOC(KVM_TPR_ACCESS_REPORTING, VCPU, tpr_access_reporting),
	KEEL_IOC(KVM_SET_CPUID2, VCPU | RAW, set_cpuid2),
	KEEL_IOC(KVM_GET_CPUID2, VCPU | RAW, get_cpuid2),
	KEEL_IOC(KVM_GET_MP_STATE, VCPU, get_mp_state),
	KEEL_IOC(KVM_SET_MP_STATE, VCPU, set_mp_state),
	KEEL_IOC(KVM_NMI, VCPU | RAW, nmi),
	KEEL_IOC(KVM_X86_SETUP_MCE, VCPU, setup_mce),
	KEEL_IOC(KVM_X86_SET_MCE, VCPU, set_mce),
	KEEL_IOC(KVM_GET_VCPU_EVENTS, VCPU, get_vcpu_events),
	KEEL_IOC(KVM_SET_VCPU_EVENTS, VCPU, set_vcpu_events),
	KEEL_IOC(KVM_GET_DEBUGREGS, VCPU, get_debugregs),
	KEEL_IOC(KVM_SET_DEBUGREGS, VCPU, set_debugregs),
	KEEL_IOC(KVM_ENABLE_CAP, VCPU, enable_cap),
	KEEL_IOC(KVM_GET_XSAVE, VCPU | RAW, get_xsave),
	KEEL_IOC(KVM_SET_XSAVE, VCPU | RAW, set_xsave),
	KEEL_IOC(KVM_GET_XSAVE2, VCPU | RAW, get_xsave2),
	KEEL_IOC(KVM_GET_XCRS, VCPU, get_xcrs),
	KEEL_IOC(KVM_SET_XCRS, VCPU, set_xcrs),
	KEEL_IOC(KVM_KVMCLOCK_CTRL, VCPU | RAW, kvmclock_ctrl),
	KEEL_IOC(KVM_SET_TSC_KHZ, VCPU | RAW, set_tsc_khz),
	KEEL_IOC(KVM_GET_TSC_KHZ, VCPU | RAW, get_tsc_khz),
	KEEL_IOC(KVM_GET_STATS_FD, RAW, stats_fd),
	{}
};
