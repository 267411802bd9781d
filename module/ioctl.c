// SPDX-License-Identifier: GPL-2.0-only
/* From a file operation to a row of an ioctl table: arguments copied, locks taken. */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/keel.h>
#include "ioctl.h"
#include "keel.h"

/* Arguments up to this many bytes are kept on the stack. */
#define SMALL_ARG	320

static const struct keel_ioctl *find(const struct keel_ioctl *table, unsigned int cmd)
{
	const struct keel_ioctl *row;

	for (row = table; row->handler; row++)
		if (row->cmd == cmd)
			return row;
	return NULL;
}

static int take_locks(u32 flags, struct keel_vm *vm, struct keel_vcpu *vcpu)
{
	if ((flags & KEEL_IOC_VCPU) && mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	if (flags & KEEL_IOC_LOCK)
		mutex_lock(&vm->lock);
	if (flags & KEEL_IOC_SLOTS)
		mutex_lock(&vm->slots_lock);
	return 0;
}

static void drop_locks(u32 flags, struct keel_vm *vm, struct keel_vcpu *vcpu)
{
	if (flags & KEEL_IOC_SLOTS)
		mutex_unlock(&vm->slots_lock);
	if (flags & KEEL_IOC_LOCK)
		mutex_unlock(&vm->lock);
	if (flags & KEEL_IOC_VCPU)
		mutex_unlock(&vcpu->mutex);
}

static long call_locked(const struct keel_ioctl *row, struct keel_vm *vm,
			struct keel_vcpu *vcpu, void *arg)
{
	long ret = take_locks(row->flags, vm, vcpu);

	if (ret)
		return ret;
	ret = row->handler(vcpu ? (void *)vcpu : vm, arg);
	drop_locks(row->flags, vm, vcpu);
	return ret;
}

/*
 * The copy in is before the locks and the copy out after them: a client's page
 * fault (userfaultfd may take for ever) holds up nobody.
 */
static noinline long call_with_copy(const struct keel_ioctl *row, struct keel_vm *vm,
				    struct keel_vcpu *vcpu, void __user *user)
{
	unsigned int size = _IOC_SIZE(row->cmd), dir = _IOC_DIR(row->cmd);
	u64 small[SMALL_ARG / sizeof(u64)];
	bool in, out;
	void *buf = small;
	long ret = 0;

	if (size > sizeof(small)) {
		buf = kzalloc(size, GFP_KERNEL_ACCOUNT);
		if (!buf)
			return -ENOMEM;
	} else {
		memset(small, 0, size);
	}
	in = (dir & _IOC_WRITE) || (row->flags & KEEL_IOC_IN);
	out = (dir & _IOC_READ) && !(row->flags & KEEL_IOC_IN);
	if (in && copy_from_user(buf, user, size))
		ret = -EFAULT;
	if (!ret)
		ret = call_locked(row, vm, vcpu, buf);
	if (ret >= 0 && out && copy_to_user(user, buf, size))
		ret = -EFAULT;
	if (buf != small)
		kfree(buf);
	return ret;
}

static long dispatch(const struct keel_ioctl *table, struct keel_vm *vm, struct keel_vcpu *vcpu,
		     unsigned int cmd, unsigned long arg)
{
	const struct keel_ioctl *row = find(table, cmd);

	if (!row)
		return -ENOTTY;
	if (row->flags & KEEL_IOC_RAW)
		return call_locked(row, vm, vcpu, (void *)arg);
	return call_with_copy(row, vm, vcpu, (void __user *)arg);
}

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return dispatch(keel_sys_ioctls, NULL, NULL, cmd, arg);
}

/*
 * Guest memory is user memory of the process that made the VM: another one,
 * that got the file by fork or over a socket, would copy to and from its own.
 */
static bool foreign(struct keel_vm *vm)
{
	return vm->mm != current->mm || READ_ONCE(vm->dead);
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct keel_vm *vm = file->private_data;

	if (foreign(vm))
		return -EIO;
	return dispatch(keel_vm_ioctls, vm, NULL, cmd, arg);
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct keel_vcpu *vcpu = file->private_data;

	if (foreign(vcpu->vm))
		return -EIO;
	return dispatch(keel_vcpu_ioctls, vcpu->vm, vcpu, cmd, arg);
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct keel_vm *vm = file->private_data;

	keel_irqfd_vm_release(vm);
	keel_vm_put(vm);
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct keel_vcpu *vcpu = file->private_data;

	keel_vm_put(vcpu->vm);
	return 0;
}

/* Page 0 is struct kvm_run, page 1 the data of port accesses; far behind them is the dirty ring. */
static vm_fault_t vcpu_mmap_fault(struct vm_fault *vmf)
{
	struct keel_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff == 0)
		page = virt_to_page(vcpu->run);
	else if (vmf->pgoff == KVM_PIO_PAGE_OFFSET)
		page = virt_to_page(vcpu->pio_data);
	else
		page = keel_dirty_ring_page(vcpu, vmf->pgoff);
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_mmap_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct keel_vcpu *vcpu = file->private_data;

	/* A private copy of the ring would show entries and free none; and it is no code. */
	if (keel_dirty_ring_within(vcpu, vma->vm_pgoff, vma_pages(vma)) &&
	    ((vma->vm_flags & VM_EXEC) || !(vma->vm_flags & VM_SHARED)))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

const struct file_operations keel_dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

const struct file_operations keel_vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

const struct file_operations keel_vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.mmap = vcpu_mmap,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};
