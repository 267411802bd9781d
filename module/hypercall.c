// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls, by KVM's numbers and errors.  The result goes to RAX; the exit's
 * handler skips the instruction after keel_hypercall() has returned.
 */
#include <linux/kvm_para.h>
#include <linux/math64.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task.h>

#include "keel.h"
#include "state.h"

/* Instead of an answer: KVM_RUN fails.  The guest's errors are small. */
#define KEEL_HC_HOST_ERROR	LONG_MIN

/* The guest gives a whole register; ids have 32 bits. */
static struct keel_vcpu *keel_hc_vcpu(struct keel_vcpu *vcpu, unsigned long id)
{
	return id > U32_MAX ? NULL : keel_vcpu_by_id(vcpu->vm, id);
}

/* Let the thread of vCPU @id run in place of this one. */
static void keel_hc_yield_to(struct keel_vcpu *vcpu, unsigned long id)
{
	struct keel_vcpu *target = keel_hc_vcpu(vcpu, id);
	struct task_struct *task = NULL;
	struct pid *pid;

	/* Running already, or run by nobody: there is nothing to give it. */
	if (!target || target == vcpu || READ_ONCE(target->loaded) ||
	    !mutex_is_locked(&target->mutex))
		return;
	rcu_read_lock();
	pid = rcu_dereference(target->pid);
	if (pid)
		task = get_pid_task(pid, PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return;
	yield_to(task, true);
	put_task_struct(task);
}

/* The holder of a ticket lock wakes the next in line, which sleeps in HLT. */
static long keel_hc_kick(struct keel_vcpu *vcpu, unsigned long id)
{
	struct keel_vcpu *target = keel_hc_vcpu(vcpu, id);

	if (target) {
		WRITE_ONCE(target->pv_unhalted, true);
		keel_request(target, KEEL_REQ_UNBLOCK);
		keel_vcpu_kick(target);
		keel_hc_yield_to(vcpu, id);
	}
	return 0;
}

/*
 * The host's real-time clock and the guest's TSC at one instant (ptp_kvm).  No
 * answer to the guest where the host has no page for it.
 */
static long keel_hc_clock_pairing(struct keel_vcpu *vcpu, gpa_t gpa, unsigned long type)
{
	struct kvm_clock_pairing pair = {};
	struct keel_instant now;
	int ret;
	u32 rem;

	if (type != KVM_CLOCK_PAIRING_WALLCLOCK)
		return -KVM_EOPNOTSUPP;
	keel_host_instant(&now);
	if (!now.by_tsc || vcpu->tsc.catchup)
		return -KVM_EOPNOTSUPP;
	pair.sec = div_u64_rem(now.real_ns, NSEC_PER_SEC, &rem);
	pair.nsec = rem;
	pair.tsc = keel_guest_tsc(vcpu, now.tsc);
	ret = keel_gpa_write(vcpu, gpa, &pair, sizeof(pair));
	if (ret == -EFAULT)
		return KEEL_HC_HOST_ERROR;
	return ret ? -KVM_EFAULT : 0;
}

static long keel_hc_do(struct keel_vcpu *vcpu, unsigned long nr, bool op64)
{
	unsigned long mask = op64 ? ~0UL : GENMASK(31, 0);
	unsigned long a[4] = {
		keel_gpr_get(vcpu, KEEL_RBX) & mask, keel_gpr_get(vcpu, KEEL_RCX) & mask,
		keel_gpr_get(vcpu, KEEL_RDX) & mask, keel_gpr_get(vcpu, KEEL_RSI) & mask,
	};

	switch (nr) {
	case KVM_HC_KICK_CPU:
		return keel_hc_kick(vcpu, a[1]);
	case KVM_HC_CLOCK_PAIRING:
		return keel_hc_clock_pairing(vcpu, a[0], a[1]);
	case KVM_HC_SEND_IPI:
		if (!vcpu->lapic)
			return -KVM_ENOSYS;
		return keel_pv_send_ipi(vcpu->vm, a[0], a[1], a[2], a[3], op64);
	case KVM_HC_SCHED_YIELD:
		keel_hc_yield_to(vcpu, a[0]);
		return 0;
	default:
		return -KVM_ENOSYS;
	}
}

static noinline int keel_hc_serve(struct keel_vcpu *vcpu, unsigned long nr, bool op64)
{
	long ret = keel_cpl(vcpu) ? -KVM_EPERM : keel_hc_do(vcpu, nr, op64);

	if (ret == KEEL_HC_HOST_ERROR)
		return -EFAULT;
	keel_gpr_set(vcpu, KEEL_RAX, op64 ? ret : (u32)ret);
	return KEEL_RESUME;
}

/**
 * keel_hypercall() - VMCALL or VMMCALL
 * @vcpu: the vCPU; may sleep, unless keel_hypercall_is_atomic()
 *
 * Return: KEEL_RESUME; -EFAULT, nothing has changed.
 */
int keel_hypercall(struct keel_vcpu *vcpu)
{
	bool op64 = keel_64bit(vcpu);
	unsigned long rax = vcpu->gpr[KEEL_RAX];
	unsigned long nr = op64 ? rax : (u32)rax;

	/* The exit was the point of it. */
	if (nr == KVM_HC_VAPIC_POLL_IRQ && !keel_cpl(vcpu)) {
		vcpu->gpr[KEEL_RAX] = 0;
		return KEEL_RESUME;
	}
	return keel_hc_serve(vcpu, nr, op64);
}
