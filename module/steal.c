// SPDX-License-Identifier: GPL-2.0-only
/*
 * Steal time: an area shared with the guest that tells how long its vCPU was
 * ready and did not run, and whether it is off the CPU now.
 */
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <asm/kvm_para.h>

#include "keel.h"
#include "state.h"

/* The thread's own figure is not known when user space restores the register. */
#define KEEL_STEAL_UNKNOWN	(~0ULL)

static u64 keel_steal_run_delay(void)
{
	return current->sched_info.run_delay;
}

int keel_steal_set(struct keel_vcpu *vcpu, u64 data, bool host)
{
	if (!sched_info_on() || (data & KVM_STEAL_RESERVED_MASK))
		return 1;
	vcpu->pv.steal_msr = data;
	vcpu->pv.steal.hva = 0;
	vcpu->pv.steal_marked = false;
	vcpu->pv.steal_last = host ? KEEL_STEAL_UNKNOWN : keel_steal_run_delay();
	if (!(data & KVM_MSR_ENABLED))
		return 0;
	if (keel_gpa_cache_init(vcpu->vm, &vcpu->pv.steal, data & KVM_STEAL_VALID_BITS,
				sizeof(struct kvm_steal_time)))
		return 0;
	keel_request(vcpu, KEEL_REQ_STEAL);
	return 0;
}

/**
 * keel_steal_update() - account what was stolen since the last time (KEEL_REQ_STEAL)
 * @vcpu: the vCPU, by its own thread; may sleep
 *
 * Return: 0, or -EFAULT.
 */
int keel_steal_update(struct keel_vcpu *vcpu)
{
	struct keel_gpa_cache *cache = &vcpu->pv.steal;
	u64 now = keel_steal_run_delay();
	struct kvm_steal_time st;
	u64 stolen = 0;
	int ret;

	if (!(vcpu->pv.steal_msr & KVM_MSR_ENABLED) || current->mm != vcpu->vm->mm)
		return 0;
	ret = keel_gpa_cache_read(vcpu->vm, cache, &st, 0, sizeof(st));
	if (ret)
		goto out;
	/* Another thread may run the vCPU now, with a smaller figure of its own. */
	if (now > vcpu->pv.steal_last)
		stolen = now - vcpu->pv.steal_last;

	st.version = (st.version + 1) | 1;
	ret = keel_gpa_cache_write(vcpu, cache, &st.version,
				   offsetof(struct kvm_steal_time, version), sizeof(st.version));
	if (ret)
		goto out;
	/* Odd before the figures change, even after: the guest reads it around them. */
	smp_wmb();
	st.steal += stolen;
	st.preempted = 0;
	ret = keel_gpa_cache_write(vcpu, cache, &st.preempted,
				   offsetof(struct kvm_steal_time, preempted),
				   sizeof(st.preempted));
	if (!ret)
		ret = keel_gpa_cache_write(vcpu, cache, &st.steal,
					   offsetof(struct kvm_steal_time, steal),
					   sizeof(st.steal));
	if (ret)
		goto out;
	/* They are in the guest's sum now, and must not get there twice. */
	vcpu->pv.steal_last = now;
	vcpu->pv.steal_marked = false;
	/* As above. */
	smp_wmb();
	st.version++;
	ret = keel_gpa_cache_write(vcpu, cache, &st.version,
				   offsetof(struct kvm_steal_time, version), sizeof(st.version));
out:
	if (ret != -EFAULT)
		return 0;
	/* The version may be odd now, and the guest would wait for an even one. */
	keel_request(vcpu, KEEL_REQ_STEAL);
	return ret;
}

/**
 * keel_steal_preempted() - tell the guest that this vCPU is off the CPU
 * @vcpu: the vCPU, being put; preemption off, so the page is written only if it is there
 */
void keel_steal_preempted(struct keel_vcpu *vcpu)
{
	static const u8 preempted = KVM_VCPU_PREEMPTED;

	if (!(vcpu->pv.steal_msr & KVM_MSR_ENABLED) || vcpu->pv.steal_marked)
		return;
	/* On the way out of a process its memory may be gone. */
	if (current->mm != vcpu->vm->mm)
		return;
	if (!keel_gpa_cache_write_atomic(vcpu, &vcpu->pv.steal, &preempted,
					 offsetof(struct kvm_steal_time, preempted),
					 sizeof(preempted))) {
		vcpu->pv.steal_marked = true;
		/* Cleared, and the time counted, before the next entry. */
		keel_request(vcpu, KEEL_REQ_STEAL);
	}
}
