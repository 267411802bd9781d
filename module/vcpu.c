// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU's lifetime; loading it on a CPU and putting it away; kicking it. */
#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>

#include "compat.h"
#include "keel.h"
#include "trace.h"

/* ---- load and put ----------------------------------------------------------------- */

static atomic64_t last_serial;
static DEFINE_PER_CPU(u64, ran_last);	/* serial of the vCPU that ran here last */

/*
 * Another vCPU's branch predictions must not steer this one's: each is a domain of its
 * own, even in one VM, where the guest may put programs that distrust each other on
 * different vCPUs.  Not needed where each exit has a barrier.
 */
static void separate_predictions(struct keel_vcpu *vcpu)
{
	if (__this_cpu_read(ran_last) == vcpu->serial)
		return;
	__this_cpu_write(ran_last, vcpu->serial);
	if (!cpu_feature_enabled(X86_FEATURE_IBPB_ON_VMEXIT))
		indirect_branch_prediction_barrier();
}

/**
 * keel_vcpu_load() - make this vCPU's state current on this CPU
 * @vcpu: the vCPU
 *
 * vcpu->mutex held, interrupts on.  Begins the section in which the guest's FPU
 * state is in the registers and the back end's MSRs and control structure are
 * loaded: preemption is off until keel_vcpu_put().  As nothing can come between,
 * no preempt notifier is needed (kernels without KVM have none), and the section
 * may span several exits as long as their handlers do not sleep.
 */
void keel_vcpu_load(struct keel_vcpu *vcpu)
{
	int cpu;

	keel_fpu_load(vcpu);
	cpu = smp_processor_id();
	WRITE_ONCE(vcpu->cpu, cpu);
	separate_predictions(vcpu);
	keel_tsc_load(vcpu, cpu);
	static_call(keel_load)(vcpu, cpu);
	vcpu->loaded = true;
}

/**
 * keel_vcpu_put() - undo keel_vcpu_load(); nothing if not loaded
 * @vcpu: the vCPU
 *
 * Interrupts on.  May schedule (preemption comes back on).
 */
void keel_vcpu_put(struct keel_vcpu *vcpu)
{
	if (!vcpu->loaded)
		return;
	vcpu->loaded = false;
	keel_tsc_put(vcpu);
	static_call(keel_put)(vcpu);
	if (keel_host_lacks_exit_barrier())
		indirect_branch_prediction_barrier();
	keel_fpu_put(vcpu);
}

/* ---- kicks ------------------------------------------------------------------------ */

/**
 * keel_vcpu_wake() - end the vCPU's sleep in HLT, if it sleeps.  Any context.
 * @vcpu: the vCPU
 */
void keel_vcpu_wake(struct keel_vcpu *vcpu)
{
	if (rcuwait_wake_up(&vcpu->wait))
		WRITE_ONCE(vcpu->stats.halt_wakeup, vcpu->stats.halt_wakeup + 1);
}

/**
 * keel_vcpu_kick() - make the vCPU look at its requests and events
 * @vcpu: the vCPU
 *
 * Wakes it from HLT, or forces an exit from the guest by an IPI.  Any context,
 * interrupts on or off.  Whoever calls has published what is to be seen before.
 */
void keel_vcpu_kick(struct keel_vcpu *vcpu)
{
	int cpu, me;

	if (rcuwait_active(&vcpu->wait))
		keel_vcpu_wake(vcpu);

	/* Pairs with smp_store_mb() of the mode in run.c. */
	smp_mb();
	me = get_cpu();
	if (READ_ONCE(vcpu->mode) == KEEL_IN_GUEST &&
	    cmpxchg(&vcpu->mode, KEEL_IN_GUEST, KEEL_EXITING) == KEEL_IN_GUEST) {
		/* vcpu->cpu cannot change while the mode is IN_GUEST: preemption is off there. */
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu == me)
			keel_request(vcpu, KEEL_REQ_DRAIN);	/* see run_guest() */
		else if (cpu >= 0 && cpu_online(cpu))
			smp_send_reschedule(cpu);
	}
	put_cpu();
}

/* ---- registers -------------------------------------------------------------------- */

/* The slow half of keel_need(). */
void __keel_need(struct keel_vcpu *vcpu, u32 mask)
{
	mask &= ~vcpu->avail;
	static_call(keel_pull)(vcpu, mask);
	vcpu->avail |= mask;
}

/**
 * keel_vcpu_reset() - the state after RESET or INIT
 * @vcpu: the vCPU
 * @init: INIT: FPU, MSRs, CR0.CD and CR0.NW and the like stay (SDM, 'Processor State
 *	After Reset')
 *
 * vcpu->mutex held, or the vCPU not published yet.
 */
void keel_vcpu_reset(struct keel_vcpu *vcpu, bool init)
{
	memset(&vcpu->events, 0, sizeof(vcpu->events));
	vcpu->pv_unhalted = false;
	vcpu->complete_io = NULL;

	keel_lapic_reset(vcpu, init);
	keel_regs_reset(vcpu, init);
	keel_msr_reset(vcpu, init);
	keel_fpu_reset(vcpu, init);
	keel_pv_reset(vcpu);
	vcpu->avail = KEEL_R_ALL;
	vcpu->dirty = KEEL_R_ALL | KEEL_R_TSC;
	keel_ops.vcpu_reset(vcpu, init);
	keel_request(vcpu, KEEL_REQ_EVENT);
	keel_request(vcpu, KEEL_REQ_GUEST_FLUSH);
}

/* ---- lifetime --------------------------------------------------------------------- */

static int alloc_shared(struct keel_vcpu *vcpu)
{
	struct page *page;

	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	vcpu->run = page_address(page);
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page) {
		free_page((unsigned long)vcpu->run);
		return -ENOMEM;
	}
	vcpu->pio_data = page_address(page);
	return 0;
}

static void free_shared(struct keel_vcpu *vcpu)
{
	/* A mapping may outlive the vCPU: each mapped page has its own reference. */
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
}

static void vcpu_init(struct keel_vcpu *vcpu, struct keel_vm *vm, u32 id)
{
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->serial = atomic64_inc_return(&last_serial);
	vcpu->cpu = -1;
	vcpu->mode = KEEL_OUTSIDE;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	/* Without a local APIC in the kernel, user space decides who runs. */
	vcpu->mp_state = !keel_lapic_in_kernel(&vm->irqchip) || id == vm->bsp_id ?
			 KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
}

/* The parts of a vCPU, each with its undo, in the order they are made. */
static int vcpu_create_parts(struct keel_vcpu *vcpu)
{
	bool lapic = keel_lapic_in_kernel(&vcpu->vm->irqchip);
	int ret;

	ret = alloc_shared(vcpu);
	if (ret)
		return ret;
	ret = keel_dirty_ring_create(vcpu);
	if (ret)
		goto err_shared;
	ret = keel_fpu_create(vcpu);
	if (ret)
		goto err_ring;
	ret = keel_emul_create(vcpu);
	if (ret)
		goto err_fpu;
	ret = keel_msr_vcpu_init(vcpu);
	if (ret)
		goto err_emul;
	if (lapic) {
		ret = keel_lapic_create(vcpu);
		if (ret)
			goto err_msr;
	}
	ret = keel_ops.vcpu_create(vcpu);
	if (ret)
		goto err_lapic;
	ret = keel_tsc_vcpu_init(vcpu);
	if (ret)
		goto err_backend;
	return 0;

err_backend:
	keel_ops.vcpu_free(vcpu);
err_lapic:
	if (lapic)
		keel_lapic_free(vcpu);
err_msr:
	keel_msr_vcpu_free(vcpu);
err_emul:
	keel_emul_free(vcpu);
err_fpu:
	keel_fpu_free(vcpu);
err_ring:
	keel_dirty_ring_free(vcpu);
err_shared:
	free_shared(vcpu);
	return ret;
}

/**
 * keel_vcpu_destroy() - free a vCPU that nobody can reach any more
 * @vcpu: the vCPU
 */
void keel_vcpu_destroy(struct keel_vcpu *vcpu)
{
	if (vcpu->lapic)
		keel_lapic_free(vcpu);
	keel_ops.vcpu_free(vcpu);
	keel_cpuid_free(vcpu);
	keel_msr_vcpu_free(vcpu);
	keel_emul_free(vcpu);
	keel_fpu_free(vcpu);
	keel_dirty_ring_free(vcpu);
	free_shared(vcpu);
	put_pid(rcu_dereference_protected(vcpu->pid, 1));
	kfree(vcpu);
}

static struct file *vcpu_file(struct keel_vcpu *vcpu)
{
	char name[16];

	snprintf(name, sizeof(name), "keel-vcpu:%d", vcpu->id);
	return anon_inode_getfile(name, &keel_vcpu_fops, vcpu, O_RDWR);
}

/*
 * Make the vCPU reachable: by file, and for the others in the VM.  After this it
 * stays until the VM goes.
 */
static int vcpu_publish(struct keel_vm *vm, struct keel_vcpu *vcpu)
{
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = vcpu_file(vcpu);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	keel_vm_get(vm);	/* the file's */

	vcpu->idx = vm->nr_vcpus;
	vm->vcpus[vcpu->idx] = vcpu;
	vcpu->published = true;
	/* Pairs with keel_for_each_vcpu(): who sees the count sees the vCPU. */
	smp_store_release(&vm->nr_vcpus, vcpu->idx + 1);
	fd_install(fd, file);
	return fd;
}

/**
 * keel_vcpu_create_fd() - KVM_CREATE_VCPU
 * @vm: the VM
 * @id: the vCPU's number, its initial APIC id
 *
 * vm->lock held.
 * Return: a file descriptor; -EINVAL for an id out of range or too many vCPUs,
 * -EEXIST for one in use.
 */
int keel_vcpu_create_fd(struct keel_vm *vm, u32 id)
{
	struct keel_vcpu *vcpu;
	int ret;

	if (id >= min_t(u32, vm->max_vcpu_ids, KEEL_MAX_VCPU_ID) ||
	    vm->nr_vcpus >= KEEL_MAX_VCPUS)
		return -EINVAL;
	if (keel_vcpu_by_id(vm, id))
		return -EEXIST;

	vcpu = kzalloc(keel_ops.vcpu_size, GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return -ENOMEM;
	vcpu_init(vcpu, vm, id);
	ret = vcpu_create_parts(vcpu);
	if (ret) {
		kfree(vcpu);
		return ret;
	}
	keel_vcpu_reset(vcpu, false);

	ret = vcpu_publish(vm, vcpu);
	if (ret < 0)
		keel_vcpu_destroy(vcpu);
	return ret;
}
