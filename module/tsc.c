// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's time-stamp counter: guest = (host * ratio >> fraction bits) + offset
 * (APM vol. 2, "TSC Ratio MSR"; SDM vol. 3, "Time-Stamp Counter Offset and Multiplier").
 */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "keel.h"
#include "state.h"

/* A requested frequency as near as this to the host's is the host's: in parts per million. */
#define KEEL_TSC_TOLERANCE_PPM	250

static u64 keel_tsc_ratio_one(void)
{
	return 1ULL << keel_caps.tsc_frac_bits;
}

/**
 * keel_tsc_is_scaled() - are the guest's ticks of another length than the host's?
 * @tsc: the guest's TSC
 */
bool keel_tsc_is_scaled(const struct keel_tsc *tsc)
{
	return keel_caps.tsc_scaling && tsc->ratio != keel_tsc_ratio_one();
}

u64 keel_tsc_scale(const struct keel_tsc *tsc, u64 host_tsc)
{
	if (!keel_tsc_is_scaled(tsc))
		return host_tsc;
	return mul_u64_u64_shr(host_tsc, tsc->ratio, keel_caps.tsc_frac_bits);
}

u64 keel_ns_to_cycles(u32 khz, u64 ns)
{
	return mul_u64_u32_div(ns, khz, USEC_PER_SEC);
}

/**
 * keel_guest_tsc() - what the guest's TSC is when the host's is @host_tsc
 * @vcpu: the vCPU
 * @host_tsc: the host's
 */
u64 keel_guest_tsc(struct keel_vcpu *vcpu, u64 host_tsc)
{
	return keel_tsc_scale(&vcpu->tsc, host_tsc) + vcpu->tsc.offset;
}

static void keel_tsc_put_offset(struct keel_vcpu *vcpu, u64 offset)
{
	/* Others compare it, see keel_clock_tsc_changed(). */
	WRITE_ONCE(vcpu->tsc.offset, offset);
	keel_dirty(vcpu, KEEL_R_TSC);
}

/* Remember a point that the guest's TSC has gone through. */
static void keel_tsc_put_ref(struct keel_vcpu *vcpu)
{
	vcpu->tsc.ref_ns = keel_host_base_ns();
	vcpu->tsc.ref_tsc = keel_guest_tsc(vcpu, rdtsc());
}

/* What follows from a changed offset or frequency. */
static void keel_tsc_changed(struct keel_vcpu *vcpu)
{
	keel_tsc_put_ref(vcpu);
	keel_clock_tsc_changed(vcpu);
	keel_request(vcpu, KEEL_REQ_CLOCK);
	if (vcpu->lapic)
		keel_lapic_timer_restart(vcpu);
}

/*
 * A write by user space.  Values that several vCPUs get within a second of
 * each other, each where a running counter would be, are meant to be the same
 * counter: it is how clients restore or start an SMP machine.  So is 0, which
 * a fresh vCPU gets.
 */
static void keel_tsc_synchronise(struct keel_vcpu *vcpu, u64 guest_tsc)
{
	struct keel_vm *vm = vcpu->vm;
	struct keel_tsc *t = &vcpu->tsc;
	u64 offset, ns, elapsed, expected, second;
	bool same = false, matched;
	unsigned long flags;

	raw_spin_lock_irqsave(&vm->tsc_lock, flags);
	offset = guest_tsc - keel_tsc_scale(t, rdtsc());
	ns = keel_host_base_ns();
	elapsed = ns - vm->tsc_last_ns;
	second = (u64)t->khz * 1000;
	expected = vm->tsc_last_write + keel_ns_to_cycles(t->khz, elapsed);
	if (!guest_tsc)
		same = true;
	else
		same = guest_tsc < expected + second && guest_tsc + second > expected;

	matched = same && t->khz == vm->tsc_last_khz;
	if (matched) {
		if (check_tsc_unstable())
			offset += keel_ns_to_cycles(t->khz, elapsed);
		else
			offset = vm->tsc_cur_offset;
	} else {
		vm->tsc_cur_offset = offset;
	}
	vm->tsc_last_ns = ns;
	vm->tsc_last_write = guest_tsc;
	vm->tsc_last_khz = t->khz;
	keel_tsc_put_offset(vcpu, offset);
	raw_spin_unlock_irqrestore(&vm->tsc_lock, flags);
}

/**
 * keel_tsc_write() - write the TSC
 * @vcpu: the vCPU
 * @guest_tsc: the value
 * @host: by user space; the guest's write moves IA32_TSC_ADJUST along
 */
void keel_tsc_write(struct keel_vcpu *vcpu, u64 guest_tsc, bool host)
{
	if (host) {
		keel_tsc_synchronise(vcpu, guest_tsc);
	} else {
		u64 delta = guest_tsc - keel_guest_tsc(vcpu, rdtsc());

		vcpu->tsc.adjust += delta;
		keel_tsc_put_offset(vcpu, vcpu->tsc.offset + delta);
	}
	keel_tsc_changed(vcpu);
}

/**
 * keel_tsc_adjust_write() - the guest writes IA32_TSC_ADJUST: the TSC moves by as much
 * @vcpu: the vCPU
 * @adjust: the value
 */
void keel_tsc_adjust_write(struct keel_vcpu *vcpu, u64 adjust)
{
	u64 delta = adjust - vcpu->tsc.adjust;

	vcpu->tsc.adjust = adjust;
	if (!delta)
		return;
	keel_tsc_put_offset(vcpu, vcpu->tsc.offset + delta);
	keel_tsc_changed(vcpu);
}

/* 0 and *ratio, *catchup, or -EINVAL. */
static int keel_tsc_ratio(u32 khz, u64 *ratio, bool *catchup)
{
	u64 one = keel_tsc_ratio_one();
	u64 slack = div_u64((u64)tsc_khz * KEEL_TSC_TOLERANCE_PPM, 1000000);

	*ratio = one;
	*catchup = false;
	if (khz + slack >= tsc_khz && khz <= tsc_khz + slack)
		return 0;
	if (!keel_caps.tsc_scaling) {
		/* A faster one can be followed in steps; a slower one cannot be held back. */
		*catchup = true;
		return khz > tsc_khz ? 0 : -EINVAL;
	}
	*ratio = mul_u64_u32_div(one, khz, tsc_khz);
	return *ratio && *ratio < keel_caps.max_tsc_ratio ? 0 : -EINVAL;
}

/**
 * keel_set_tsc_khz() - KVM_SET_TSC_KHZ
 * @vcpu: the vCPU
 * @khz: the guest's frequency; 0: the host's
 */
int keel_set_tsc_khz(struct keel_vcpu *vcpu, u32 khz)
{
	bool catchup;
	u64 ratio;
	int ret;

	if (!khz)
		khz = tsc_khz;
	ret = keel_tsc_ratio(khz, &ratio, &catchup);
	if (ret)
		return ret;
	vcpu->tsc.khz = khz;
	vcpu->tsc.catchup = catchup;
	WRITE_ONCE(vcpu->tsc.ratio, ratio);
	keel_dirty(vcpu, KEEL_R_TSC);
	keel_tsc_changed(vcpu);
	return 0;
}

/**
 * keel_vm_set_tsc_khz() - KVM_SET_TSC_KHZ on a VM: the frequency of vCPUs to come
 * @vm: the VM
 * @khz: the frequency; 0: the host's
 */
int keel_vm_set_tsc_khz(struct keel_vm *vm, u32 khz)
{
	bool catchup;
	u64 ratio;
	int ret;

	if (!khz)
		khz = tsc_khz;
	ret = keel_tsc_ratio(khz, &ratio, &catchup);
	if (!ret)
		WRITE_ONCE(vm->default_tsc_khz, khz);
	return ret;
}

/**
 * keel_tsc_follow() - bring the guest's TSC to where time says it should be
 * @vcpu: the vCPU
 *
 * For a guest faster than the host without hardware scaling, and for hosts
 * whose CPUs' TSCs differ.  Forward only: a TSC must not go back.
 */
void keel_tsc_follow(struct keel_vcpu *vcpu)
{
	struct keel_tsc *t = &vcpu->tsc;
	u64 due = t->ref_tsc + keel_ns_to_cycles(t->khz, keel_host_base_ns() - t->ref_ns);
	s64 behind = due - keel_guest_tsc(vcpu, rdtsc());

	if (behind > 0)
		keel_tsc_put_offset(vcpu, t->offset + behind);
}

/**
 * keel_tsc_load() - the vCPU is loaded on a CPU, perhaps another one
 * @vcpu: the vCPU
 * @cpu: the CPU, preemption off
 */
void keel_tsc_load(struct keel_vcpu *vcpu, int cpu)
{
	struct keel_tsc *t = &vcpu->tsc;
	u64 lost = READ_ONCE(keel_tsc_lost) - t->lost_seen;

	if (unlikely(lost)) {
		t->lost_seen += lost;
		keel_tsc_put_offset(vcpu, t->offset + keel_tsc_scale(t, lost));
		keel_request(vcpu, KEEL_REQ_CLOCK);
	}
	if (likely(!t->catchup && !check_tsc_unstable()))
		return;
	/* Another CPU's TSC may be ahead, which only a new clock page can mend. */
	if (cpu != t->last_cpu)
		keel_request(vcpu, KEEL_REQ_CLOCK);
	t->last_cpu = cpu;
	keel_tsc_follow(vcpu);
}

/**
 * keel_tsc_put() - the vCPU is put away
 * @vcpu: the vCPU, preemption off
 *
 * The TSC of an unstable host drifts against its time, so the guest's clock page is
 * made anew once a tick.  Asked for here and not at the load: there it would keep
 * a slow host, on which a tick passes between any two loads, from ever entering.
 */
void keel_tsc_put(struct keel_vcpu *vcpu)
{
	struct keel_tsc *t = &vcpu->tsc;

	if (likely(!t->catchup && !check_tsc_unstable()) || jiffies == t->followed)
		return;
	t->followed = jiffies;
	keel_request(vcpu, KEEL_REQ_CLOCK);
}

int keel_tsc_vcpu_init(struct keel_vcpu *vcpu)
{
	int ret;

	vcpu->tsc.lost_seen = READ_ONCE(keel_tsc_lost);
	vcpu->tsc.ratio = keel_tsc_ratio_one();
	ret = keel_set_tsc_khz(vcpu, vcpu->vm->default_tsc_khz);
	if (ret)
		return ret;
	/* A fresh counter, the same as that of the vCPUs already there. */
	keel_tsc_write(vcpu, 0, true);
	return 0;
}

void keel_tsc_module_init(void)
{
	if (check_tsc_unstable())
		pr_info("keel: this host's TSC is unstable: guests' clocks are corrected as vCPUs move\n");
}
