// SPDX-License-Identifier: GPL-2.0-only
/* A VM's lifetime, its capabilities, and requests to all of its vCPUs. */
#define pr_fmt(fmt) "keel: " fmt

#include <linux/anon_inodes.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "keel.h"

/* ---- lifetime --------------------------------------------------------------------- */

static void vm_free(struct keel_vm *vm)
{
	cleanup_srcu_struct(&vm->srcu);
	mmdrop(vm->mm);
	kfree(vm);
	keel_hw_put();
	module_put(THIS_MODULE);
}

static struct keel_vm *vm_alloc(void)
{
	struct keel_vm *vm;
	int ret;

	/* Files on this VM hold the module as well; this reference is for what outlives them. */
	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	ret = keel_hw_get();
	if (ret)
		goto err_module;

	ret = -ENOMEM;
	vm = kzalloc(keel_ops.vm_size, GFP_KERNEL_ACCOUNT);
	if (!vm)
		goto err_hw;
	ret = init_srcu_struct(&vm->srcu);
	if (ret)
		goto err_vm;

	vm->mm = current->mm;
	mmgrab(vm->mm);
	refcount_set(&vm->users, 1);
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	INIT_LIST_HEAD(&vm->ioeventfds);
	raw_spin_lock_init(&vm->tsc_lock);
	vm->max_vcpu_ids = KEEL_MAX_VCPU_ID;
	return vm;

err_vm:
	kfree(vm);
err_hw:
	keel_hw_put();
err_module:
	module_put(THIS_MODULE);
	return ERR_PTR(ret);
}

static struct keel_vm *vm_create(void)
{
	struct keel_vm *vm = vm_alloc();
	int ret;

	if (IS_ERR(vm))
		return vm;

	keel_clock_vm_init(vm);
	keel_irqchip_vm_init(vm);
	ret = keel_slots_vm_init(vm);
	if (ret)
		goto err_vm;
	ret = keel_bus_vm_init(vm);
	if (ret)
		goto err_slots;
	ret = keel_mmu_vm_init(vm);
	if (ret)
		goto err_bus;
	/* Last: from here on the host's memory management calls in. */
	ret = keel_notifier_register(vm);
	if (ret)
		goto err_mmu;
	return vm;

err_mmu:
	keel_mmu_vm_destroy(vm);
err_bus:
	keel_bus_vm_destroy(vm);
err_slots:
	keel_slots_vm_destroy(vm);
err_vm:
	keel_irqchip_vm_destroy(vm);
	vm_free(vm);
	return ERR_PTR(ret);
}

static void vm_destroy(struct keel_vm *vm)
{
	int i;

	/* What could still call into vCPUs stops before they go. */
	keel_irqchip_vm_stop(vm);
	keel_ioeventfd_vm_destroy(vm);
	keel_notifier_unregister(vm);

	for (i = 0; i < vm->nr_vcpus; i++)
		keel_vcpu_destroy(vm->vcpus[i]);

	keel_irqchip_vm_destroy(vm);
	keel_mmu_vm_destroy(vm);
	keel_bus_vm_destroy(vm);
	keel_slots_vm_destroy(vm);
	vm_free(vm);
}

/**
 * keel_vm_get() - one more user of a VM that has some
 * @vm: the VM
 */
void keel_vm_get(struct keel_vm *vm)
{
	refcount_inc(&vm->users);
}

/**
 * keel_vm_put() - one user less; the last one frees the VM
 * @vm: the VM
 *
 * May sleep; no lock of the VM held.
 */
void keel_vm_put(struct keel_vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		vm_destroy(vm);
}

/**
 * keel_vm_create_fd() - KVM_CREATE_VM
 * @type: the machine type; 0 is the only one
 *
 * Return: a file descriptor or -errno (-EBUSY: another hypervisor owns the CPUs).
 */
int keel_vm_create_fd(unsigned long type)
{
	struct keel_vm *vm;
	struct file *file;
	int fd;

	if (type)
		return -EINVAL;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;

	vm = vm_create();
	if (IS_ERR(vm)) {
		put_unused_fd(fd);
		return PTR_ERR(vm);
	}
	snprintf(vm->stats_name, sizeof(vm->stats_name), "keel-%d", task_pid_nr(current));

	file = anon_inode_getfile("keel-vm", &keel_vm_fops, vm, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		keel_vm_put(vm);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
}

/* ---- all vCPUs -------------------------------------------------------------------- */

/**
 * keel_vcpu_by_id() - the vCPU with this id, or NULL
 * @vm: the VM
 * @id: the id it was made with
 *
 * Any context; the VM has to stay.
 */
struct keel_vcpu *keel_vcpu_by_id(struct keel_vm *vm, u32 id)
{
	struct keel_vcpu *vcpu;
	int i;

	/* Clients number vCPUs in the order they make them. */
	if (id < smp_load_acquire(&vm->nr_vcpus)) {
		vcpu = vm->vcpus[array_index_nospec(id, KEEL_MAX_VCPUS)];
		if (vcpu->id == id)
			return vcpu;
	}
	keel_for_each_vcpu(i, vcpu, vm)
		if (vcpu->id == id)
			return vcpu;
	return NULL;
}

static void ack_ipi(void *unused)
{
}

/**
 * keel_vm_request() - ask all vCPUs of a VM for something
 * @vm: the VM
 * @req: what to ask
 * @wait: return only when no vCPU is in the guest that entered before the request
 *
 * The wait is what makes a TLB flush safe: the IPI is taken after the exit, and
 * the next entry sees the request.  A vCPU whose mode is not IN_GUEST sees it
 * anyway (run.c sets the mode, then looks).  May be called under vm->tdp.lock; with
 * @wait interrupts must be on.
 *
 * Return: true if an IPI was sent.
 */
bool keel_vm_request(struct keel_vm *vm, enum keel_request req, bool wait)
{
	struct keel_vcpu *vcpu;
	cpumask_var_t mask;
	bool all = false, sent;
	int i, me, cpu;

	/* Without memory for the mask, everybody is asked: slow, and right. */
	if (!zalloc_cpumask_var(&mask, GFP_ATOMIC))
		all = true;

	me = get_cpu();
	keel_for_each_vcpu(i, vcpu, vm) {
		keel_request(vcpu, req);
		if (!wait)
			keel_vcpu_wake(vcpu);
		/* Pairs with the full barrier between setting the mode and looking. */
		cpu = READ_ONCE(vcpu->cpu);
		if (cmpxchg(&vcpu->mode, KEEL_IN_GUEST, KEEL_EXITING) == KEEL_OUTSIDE)
			continue;
		if (cpu >= 0 && cpu != me && !all)
			cpumask_set_cpu(cpu, mask);
	}
	if (all) {
		smp_call_function(ack_ipi, NULL, wait);
		sent = true;
	} else {
		sent = !cpumask_empty(mask);
		if (sent)
			smp_call_function_many(mask, ack_ipi, NULL, wait);
	}
	put_cpu();
	if (!all)
		free_cpumask_var(mask);
	return sent;
}

/**
 * keel_vm_kill() - make the VM good for nothing but freeing
 * @vm: the VM
 *
 * For errors after which the guest cannot go on safely.  All ioctls answer -EIO.
 */
void keel_vm_kill(struct keel_vm *vm)
{
	WRITE_ONCE(vm->dead, true);
	keel_vm_request(vm, KEEL_REQ_VM_DEAD, false);
}
