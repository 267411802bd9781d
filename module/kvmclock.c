// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: a page a vCPU, from which the guest computes nanoseconds out of its TSC.
 *
 * As long as the host's clock is the TSC and all vCPUs have the same TSC, one
 * reference point serves the whole VM (the "master"), and the guest may use any
 * vCPU's page on any vCPU.  The point is taken once and kept, so that nothing
 * jumps.  Otherwise each page gets a point of its own at each update.
 */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <asm/kvm_para.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "keel.h"
#include "state.h"

/* ---- cycles to nanoseconds, by the page's own formula ---- */

/*
 * ns = (cycles * 2^shift) * mul / 2^32, for a TSC of @hz.  A shift that brings
 * the rate between one and two per nanosecond makes mul use all of its 32 bits.
 */
static void keel_clock_scale(u64 hz, u32 *mul, s8 *shift)
{
	const u64 ns = NSEC_PER_SEC;
	s8 s = 0;

	hz = max(hz, 1000ULL);
	for (; hz > 2 * ns; s--)
		hz >>= 1;
	for (; hz <= ns; s++)
		hz <<= 1;
	*mul = div64_u64(ns << 32, hz);
	*shift = s;
}

static u64 keel_clock_cycles_to_ns(u64 cycles, u32 mul, s8 shift)
{
	cycles = shift < 0 ? cycles >> -shift : cycles << shift;
	return mul_u64_u32_shr(cycles, mul, 32);
}

/* ---- the VM's reference point ---- */

static bool keel_clock_vcpus_agree(struct keel_vm *vm)
{
	struct keel_vcpu *vcpu, *first = NULL;
	int i;

	keel_for_each_vcpu(i, vcpu, vm) {
		if (!first)
			first = vcpu;
		else if (READ_ONCE(vcpu->tsc.offset) != READ_ONCE(first->tsc.offset) ||
			 READ_ONCE(vcpu->tsc.ratio) != READ_ONCE(first->tsc.ratio))
			return false;
	}
	return true;
}

/* Take or drop the common reference point; true if that changed anything. */
static bool keel_clock_track(struct keel_vm *vm)
{
	struct keel_kvmclock *c = &vm->clock;
	struct keel_instant now;
	unsigned long flags;
	bool changed = false, want;

	raw_spin_lock_irqsave(&c->lock, flags);
	/*
	 * Under the lock, so that of two verdicts the later one stays, and so that no instant
	 * is from before the reference point that it is compared with.
	 */
	keel_host_instant(&now);
	want = now.by_tsc && !check_tsc_unstable() && keel_clock_vcpus_agree(vm);
	if (want && (!c->use_master || c->epoch != keel_suspend_epoch)) {
		c->master_ns = now.base_ns;
		c->master_tsc = now.tsc;
		c->epoch = keel_suspend_epoch;
		changed = true;
	}
	if (want != c->use_master) {
		c->use_master = want;
		changed = true;
	}
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return changed;
}

/* The vCPUs' TSCs, or the host's, may have changed. */
static void keel_clock_retrack(struct keel_vm *vm)
{
	struct keel_vcpu *vcpu;
	int i;

	if (!keel_clock_track(vm))
		return;
	/* The others learn of it before they enter again: pages must not mix two kinds. */
	keel_for_each_vcpu(i, vcpu, vm) {
		keel_request(vcpu, KEEL_REQ_CLOCK);
		keel_vcpu_kick(vcpu);
	}
}

/*
 * All vCPUs agreed with the first one when the reference point was taken, and each that does not
 * any more has it judged again: so nothing changes if this one agrees now, and is not the first.
 */
static bool keel_clock_stays(struct keel_vcpu *vcpu)
{
	struct keel_kvmclock *c = &vcpu->vm->clock;
	struct keel_vcpu *first;

	if (!smp_load_acquire(&vcpu->vm->nr_vcpus))
		return false;
	first = vcpu->vm->vcpus[0];
	return vcpu != first && READ_ONCE(c->use_master) &&
	       READ_ONCE(c->epoch) == READ_ONCE(keel_suspend_epoch) &&
	       vcpu->tsc.offset == READ_ONCE(first->tsc.offset) &&
	       vcpu->tsc.ratio == READ_ONCE(first->tsc.ratio);
}

/**
 * keel_clock_tsc_changed() - a vCPU's TSC has changed
 * @vcpu: the vCPU
 */
void keel_clock_tsc_changed(struct keel_vcpu *vcpu)
{
	if (!keel_clock_stays(vcpu))
		keel_clock_retrack(vcpu->vm);
}

/* kvmclock at the instant @now; the lock is held. */
static u64 keel_clock_at(const struct keel_kvmclock *c, const struct keel_instant *now)
{
	u32 mul;
	s8 shift;

	if (!c->use_master)
		return now->base_ns + c->offset;
	keel_clock_scale((u64)tsc_khz * 1000, &mul, &shift);
	return c->master_ns + c->offset +
	       keel_clock_cycles_to_ns(now->tsc - c->master_tsc, mul, shift);
}

/* A host that resumed may count its TSC anew: the point from before does not fit then. */
static void keel_clock_after_suspend(struct keel_vm *vm)
{
	if (READ_ONCE(vm->clock.epoch) != READ_ONCE(keel_suspend_epoch))
		keel_clock_retrack(vm);
}

/* ---- KVM_GET_CLOCK, KVM_SET_CLOCK, KVM_KVMCLOCK_CTRL ---- */

int keel_get_clock(struct keel_vm *vm, struct kvm_clock_data *data)
{
	struct keel_instant now;
	unsigned long flags;

	memset(data, 0, sizeof(*data));
	keel_clock_after_suspend(vm);
	raw_spin_lock_irqsave(&vm->clock.lock, flags);
	keel_host_instant(&now);
	data->clock = keel_clock_at(&vm->clock, &now);
	if (vm->clock.use_master)
		data->flags |= KVM_CLOCK_TSC_STABLE;
	raw_spin_unlock_irqrestore(&vm->clock.lock, flags);
	if (now.by_tsc) {
		data->flags |= KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
		data->realtime = now.real_ns;
		data->host_tsc = now.tsc;
	}
	return 0;
}

int keel_set_clock(struct keel_vm *vm, struct kvm_clock_data *data)
{
	const u32 known = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	struct keel_kvmclock *c = &vm->clock;
	struct keel_instant now;
	unsigned long flags;
	u64 clock = data->clock;

	if (data->flags & ~known)
		return -EINVAL;
	keel_clock_track(vm);
	raw_spin_lock_irqsave(&c->lock, flags);
	keel_host_instant(&now);
	/* The guest's clock ran on while it was away; never backwards. */
	if ((data->flags & KVM_CLOCK_REALTIME) && now.real_ns > data->realtime)
		clock += now.real_ns - data->realtime;
	c->offset += clock - keel_clock_at(c, &now);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	keel_vm_request(vm, KEEL_REQ_CLOCK, false);
	return 0;
}

/* User space had the guest stopped: its watchdogs are told by a flag in the page. */
int keel_kvmclock_ctrl(struct keel_vcpu *vcpu)
{
	if (!(vcpu->pv.system_time_msr & KVM_MSR_ENABLED))
		return -EINVAL;
	vcpu->pv.guest_stopped = true;
	keel_request(vcpu, KEEL_REQ_CLOCK);
	return 0;
}

/* ---- the page ---- */

/* The rate at which the guest's TSC really counts. */
static u64 keel_clock_tsc_hz(struct keel_vcpu *vcpu)
{
	return keel_tsc_scale(&vcpu->tsc, (u64)tsc_khz * 1000);
}

static void keel_clock_fill(struct keel_vcpu *vcpu, struct pvclock_vcpu_time_info *p)
{
	struct keel_kvmclock *c = &vcpu->vm->clock;
	struct keel_instant now;
	unsigned long flags;

	raw_spin_lock_irqsave(&c->lock, flags);
	keel_host_instant(&now);
	if (c->use_master) {
		now.tsc = c->master_tsc;
		now.base_ns = c->master_ns;
	}
	p->system_time = now.base_ns + c->offset;
	p->flags = c->use_master ? PVCLOCK_TSC_STABLE_BIT : 0;
	raw_spin_unlock_irqrestore(&c->lock, flags);
	p->tsc_timestamp = keel_guest_tsc(vcpu, now.tsc);
	keel_clock_scale(keel_clock_tsc_hz(vcpu), &p->tsc_to_system_mul, &p->tsc_shift);
}

/* The guest reads the version before and after: odd means "being written". */
static int keel_clock_publish(struct keel_vcpu *vcpu, struct pvclock_vcpu_time_info *page)
{
	struct keel_gpa_cache *cache = &vcpu->pv.time;
	const size_t v = sizeof(page->version);
	int ret;

	ret = keel_gpa_cache_write(vcpu, cache, &page->version, 0, v);
	if (ret)
		return ret;
	/* A guest that sees new contents must see the odd version. */
	smp_wmb();
	ret = keel_gpa_cache_write(vcpu, cache, (u8 *)page + v, v, sizeof(*page) - v);
	if (ret)
		return ret;
	/* And the even one only with all of them in place. */
	smp_wmb();
	page->version++;
	vcpu->pv.version = page->version;
	return keel_gpa_cache_write(vcpu, cache, &page->version, 0, v);
}

/**
 * keel_clock_update() - write the vCPU's kvmclock page (KEEL_REQ_CLOCK)
 * @vcpu: the vCPU; may sleep
 *
 * Return: 0, also for a page that is no memory: the guest's own mistake; -EFAULT.
 */
int keel_clock_update(struct keel_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info page, old;
	struct keel_vm *vm = vcpu->vm;
	int ret;

	if (!(vcpu->pv.system_time_msr & KVM_MSR_ENABLED))
		return 0;
	keel_clock_after_suspend(vm);
	if (vcpu->tsc.catchup)
		keel_tsc_follow(vcpu);
	ret = keel_gpa_cache_read(vm, &vcpu->pv.time, &old, 0, sizeof(old));
	if (ret)
		goto out;

	memset(&page, 0, sizeof(page));
	keel_clock_fill(vcpu, &page);
	/* The guest clears it when it has seen it. */
	page.flags |= old.flags & PVCLOCK_GUEST_STOPPED;
	if (vcpu->pv.guest_stopped)
		page.flags |= PVCLOCK_GUEST_STOPPED;
	page.version = (old.version + 1) | 1;
	ret = keel_clock_publish(vcpu, &page);
	if (!ret)
		vcpu->pv.guest_stopped = false;
out:
	if (ret != -EFAULT)
		return 0;
	/* The version may be odd now, and the guest would wait for an even one. */
	keel_request(vcpu, KEEL_REQ_CLOCK);
	return ret;
}

/* Wall-clock time at which kvmclock was 0; the guest asks once at boot.  0, -ENXIO or -EFAULT. */
static int keel_clock_write_wall(struct keel_vcpu *vcpu, u64 msr)
{
	struct keel_vm *vm = vcpu->vm;
	struct pvclock_wall_clock wall;
	struct keel_instant now;
	unsigned long flags;
	u64 boot;
	u32 version, rem;
	int ret;

	if (!msr)
		return 0;
	ret = keel_gpa_read(vm, msr, &version, sizeof(version));
	if (ret)
		return ret;
	version = (version + 1) | 1;
	ret = keel_gpa_write(vcpu, msr, &version, sizeof(version));
	if (ret)
		return ret;

	keel_clock_after_suspend(vm);
	raw_spin_lock_irqsave(&vm->clock.lock, flags);
	keel_host_instant(&now);
	boot = now.real_ns - keel_clock_at(&vm->clock, &now);
	raw_spin_unlock_irqrestore(&vm->clock.lock, flags);
	wall.version = version;
	wall.sec = div_u64_rem(boot, NSEC_PER_SEC, &rem);
	wall.nsec = rem;
	/* As in keel_clock_publish(). */
	smp_wmb();
	ret = keel_gpa_write(vcpu, msr, &wall, sizeof(wall));
	if (ret)
		return ret;
	/* As in keel_clock_publish(). */
	smp_wmb();
	version++;
	return keel_gpa_write(vcpu, msr, &version, sizeof(version));
}

/* ---- the registers ---- */

static void keel_system_time_set(struct keel_vcpu *vcpu, u64 data)
{
	vcpu->pv.system_time_msr = data;
	vcpu->pv.time.hva = 0;
	if (!(data & KVM_MSR_ENABLED))
		return;
	/* An address that is no memory just gets no clock, as on KVM. */
	if (keel_gpa_cache_init(vcpu->vm, &vcpu->pv.time, data & ~1ULL,
				sizeof(struct pvclock_vcpu_time_info)))
		return;
	keel_clock_retrack(vcpu->vm);
	keel_request(vcpu, KEEL_REQ_CLOCK);
}

int keel_pv_msr_get(struct keel_vcpu *vcpu, u32 msr, u64 *data)
{
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*data = vcpu->vm->clock.wall_msr;
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*data = vcpu->pv.system_time_msr;
		return 0;
	case MSR_KVM_STEAL_TIME:
		*data = vcpu->pv.steal_msr;
		return 0;
	case MSR_KVM_PV_EOI_EN:
		*data = vcpu->lapic ? keel_pv_eoi_get(vcpu) : 0;
		return 0;
	case MSR_KVM_POLL_CONTROL:
		*data = vcpu->pv.poll_control;
		return 0;
	default:
		return -ENOENT;
	}
}

int keel_pv_msr_set(struct keel_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	int ret;

	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		vcpu->vm->clock.wall_msr = data;
		ret = keel_clock_write_wall(vcpu, data);
		/* Who restores a guest may do so before its memory is there. */
		return ret == -EFAULT && !host ? -EFAULT : 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		keel_system_time_set(vcpu, data);
		return 0;
	case MSR_KVM_STEAL_TIME:
		return keel_steal_set(vcpu, data, host);
	case MSR_KVM_PV_EOI_EN:
		if (!vcpu->lapic)
			return data ? 1 : 0;
		return keel_pv_eoi_set(vcpu, data);
	case MSR_KVM_POLL_CONTROL:
		if (data & ~1ULL)
			return 1;
		vcpu->pv.poll_control = data;
		return 0;
	default:
		return -ENOENT;
	}
}

/**
 * keel_pv_reset() - after RESET and INIT the guest shares nothing with the host
 * @vcpu: the vCPU
 */
void keel_pv_reset(struct keel_vcpu *vcpu)
{
	memset(&vcpu->pv, 0, sizeof(vcpu->pv));
	/* Polling before HLT blocks is the host's business until the guest says otherwise. */
	vcpu->pv.poll_control = 1;
}

/* ---- life ---- */

void keel_clock_vm_init(struct keel_vm *vm)
{
	raw_spin_lock_init(&vm->clock.lock);
	vm->clock.offset = -(s64)keel_host_base_ns();
	keel_clock_track(vm);
}

int keel_clock_module_init(void)
{
	keel_hostclock_init();
	return 0;
}

void keel_clock_module_exit(void)
{
	keel_hostclock_exit();
}
