// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: a write to an eventfd raises a GSI.
 *
 * The interrupt is delivered straight from the eventfd's wait-queue callback, under
 * its spinlock with interrupts off: all that keel_set_irq() takes are raw locks.
 *
 * Lifetimes.  An irqfd is on chip->irqfds from its making until somebody decides
 * its end: KVM_IRQFD_FLAG_DEASSIGN, the eventfd's last close (EPOLLHUP), or the
 * end of the VM's file.  Whoever moves it from that list to chip->ended_irqfds, under
 * irqfd_lock, queues the VM's work, so that happens once.  The work leaves the wait
 * queue, after which no callback runs or will; then the irqfd is freed.
 * keel_irqfd_vm_release() ends all and flushes the work, and comes from the release of
 * the VM's file, when no ioctl can make another: so an irqfd needs no reference to its VM.
 *
 * The work may have to wait for vm->srcu, and with it for pages that the client provides
 * when it likes (userfaultfd).  So each VM has one work, waits for no other VM's, and
 * takes no more than one place of the workqueue.
 *
 * Resampling: a level-triggered GSI is held up (KEEL_IRQ_SRC_RESAMPLE) from the
 * eventfd's signal until the guest's EOI; then it is lowered, and all who share it
 * are told through their second eventfd to look at their device again.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/list.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../compat.h"
#include "chips.h"

/**
 * struct resampler - one for each GSI with resampling irqfds
 * @vm: the VM
 * @irqfds: those; changed under chip->resampler_lock, read under vm->srcu
 * @ack: told of EOIs
 * @link: in chip->resamplers, under chip->resampler_lock
 */
struct resampler {
	struct keel_vm *vm;
	struct list_head irqfds;
	struct keel_ack_notifier ack;
	struct list_head link;
};

/**
 * struct keel_irqfd - one eventfd that raises a GSI
 * @vm: the VM
 * @gsi: the GSI
 * @ctx: the eventfd
 * @wait: our place in its wait queue
 * @poll: how we got there
 * @link: in chip->irqfds or ended_irqfds, under irqfd_lock; empty: not yet, or not any more
 * @ended: it is to be shut down, or its making has not come to its end; under irqfd_lock
 * @resampler: NULL for an edge
 * @resample_ctx: signalled after the guest's EOI
 * @resampler_link: in resampler->irqfds
 */
struct keel_irqfd {
	struct keel_vm *vm;
	u32 gsi;
	struct eventfd_ctx *ctx;
	wait_queue_entry_t wait;
	poll_table poll;
	struct list_head link;
	bool ended;
	struct resampler *resampler;
	struct eventfd_ctx *resample_ctx;
	struct list_head resampler_link;
};

static struct workqueue_struct *irqfd_wq;

/* ---- resampling -------------------------------------------------------------------- */

static void resample_acked(struct keel_ack_notifier *n)
{
	struct resampler *r = container_of(n, struct resampler, ack);
	struct keel_irqfd *irqfd;

	/* Down before they are told: one that finds its device still busy raises it again. */
	keel_set_irq(r->vm, KEEL_IRQ_SRC_RESAMPLE, n->gsi, 0);
	list_for_each_entry_srcu(irqfd, &r->irqfds, resampler_link,
				 srcu_read_lock_held(&r->vm->srcu))
		keel_eventfd_signal(irqfd->resample_ctx);
}

static struct resampler *find_resampler(struct keel_vm *vm, u32 gsi)
{
	struct resampler *r;

	list_for_each_entry(r, &vm->irqchip.resamplers, link) {
		if (r->ack.gsi == gsi)
			return r;
	}
	return NULL;
}

static int resampler_join(struct keel_irqfd *irqfd)
{
	struct keel_irqchip *chip = &irqfd->vm->irqchip;
	struct resampler *r;

	mutex_lock(&chip->resampler_lock);
	r = find_resampler(irqfd->vm, irqfd->gsi);
	if (!r) {
		r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
		if (!r) {
			mutex_unlock(&chip->resampler_lock);
			return -ENOMEM;
		}
		r->vm = irqfd->vm;
		r->ack.gsi = irqfd->gsi;
		r->ack.acked = resample_acked;
		INIT_LIST_HEAD(&r->irqfds);
		list_add(&r->link, &chip->resamplers);
		keel_ack_register(irqfd->vm, &r->ack);
	}
	list_add_rcu(&irqfd->resampler_link, &r->irqfds);
	irqfd->resampler = r;
	mutex_unlock(&chip->resampler_lock);
	return 0;
}

/* Nothing uses irqfd->resample_ctx after this. */
static void resampler_leave(struct keel_irqfd *irqfd)
{
	struct keel_irqchip *chip = &irqfd->vm->irqchip;
	struct resampler *r = irqfd->resampler;

	mutex_lock(&chip->resampler_lock);
	list_del_rcu(&irqfd->resampler_link);
	synchronize_srcu(&irqfd->vm->srcu);
	if (list_empty(&r->irqfds)) {
		list_del(&r->link);
		keel_ack_unregister(irqfd->vm, &r->ack);
		keel_set_irq(irqfd->vm, KEEL_IRQ_SRC_RESAMPLE, r->ack.gsi, 0);
		kfree(r);
	}
	mutex_unlock(&chip->resampler_lock);
}

/* ---- the signal -------------------------------------------------------------------- */

static void raise_gsi(struct keel_irqfd *irqfd)
{
	if (irqfd->resampler) {
		keel_set_irq(irqfd->vm, KEEL_IRQ_SRC_RESAMPLE, irqfd->gsi, 1);
		return;
	}
	/* An edge; where the GSI is a message, the second call does nothing. */
	keel_set_irq(irqfd->vm, KEEL_IRQ_SRC_USER, irqfd->gsi, 1);
	keel_set_irq(irqfd->vm, KEEL_IRQ_SRC_USER, irqfd->gsi, 0);
}

static void shut_down(struct keel_irqfd *irqfd)
{
	u64 count;

	/* Takes the wait queue's lock: a callback that runs is waited for, none follows. */
	eventfd_ctx_remove_wait_queue(irqfd->ctx, &irqfd->wait, &count);
	if (irqfd->resampler) {
		resampler_leave(irqfd);
		eventfd_ctx_put(irqfd->resample_ctx);
	}
	eventfd_ctx_put(irqfd->ctx);
	kfree(irqfd);
}

static struct keel_irqfd *take_ended(struct keel_irqchip *chip)
{
	struct keel_irqfd *irqfd;

	spin_lock_irq(&chip->irqfd_lock);
	irqfd = list_first_entry_or_null(&chip->ended_irqfds, struct keel_irqfd, link);
	if (irqfd)
		list_del_init(&irqfd->link);
	spin_unlock_irq(&chip->irqfd_lock);
	return irqfd;
}

static void irqfd_work(struct work_struct *work)
{
	struct keel_irqchip *chip = container_of(work, struct keel_irqchip, irqfd_work);
	struct keel_irqfd *irqfd;

	while ((irqfd = take_ended(chip)))
		shut_down(irqfd);
}

/* chip->irqfd_lock held; the irqfd is in chip->irqfds */
static void deactivate(struct keel_irqfd *irqfd)
{
	struct keel_irqchip *chip = &irqfd->vm->irqchip;

	irqfd->ended = true;
	list_move_tail(&irqfd->link, &chip->ended_irqfds);
	queue_work(irqfd_wq, &chip->irqfd_work);
}

/* Under the eventfd's wait-queue lock, interrupts off. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct keel_irqfd *irqfd = container_of(wait, struct keel_irqfd, wait);
	struct keel_irqchip *chip = &irqfd->vm->irqchip;
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	u64 count;
	int ret = 0;

	if (events & EPOLLIN) {
		/* The signal is ours; else the counter would run full in the end. */
		eventfd_ctx_do_read(irqfd->ctx, &count);
		raise_gsi(irqfd);
		ret = 1;
	}
	if (events & EPOLLHUP) {
		/* The eventfd goes; somebody else may have begun the shutdown. */
		spin_lock_irqsave(&chip->irqfd_lock, flags);
		if (!irqfd->ended)
			deactivate(irqfd);
		spin_unlock_irqrestore(&chip->irqfd_lock, flags);
	}
	return ret;
}

static void queue_proc(struct file *file, wait_queue_head_t *wqh, poll_table *poll)
{
	struct keel_irqfd *irqfd = container_of(poll, struct keel_irqfd, poll);

	add_wait_queue_priority(wqh, &irqfd->wait);
}

/* ---- KVM_IRQFD --------------------------------------------------------------------- */

static struct keel_irqfd *irqfd_alloc(struct keel_vm *vm, u32 gsi)
{
	struct keel_irqfd *irqfd;

	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		return NULL;
	irqfd->vm = vm;
	irqfd->gsi = gsi;
	INIT_LIST_HEAD(&irqfd->link);
	irqfd->ended = true;
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	init_poll_funcptr(&irqfd->poll, queue_proc);
	return irqfd;
}

static int join_resample(struct keel_irqfd *irqfd, int fd)
{
	int ret;

	irqfd->resample_ctx = eventfd_ctx_fdget(fd);
	if (IS_ERR(irqfd->resample_ctx))
		return PTR_ERR(irqfd->resample_ctx);
	ret = resampler_join(irqfd);
	if (ret)
		eventfd_ctx_put(irqfd->resample_ctx);
	return ret;
}

static bool ctx_in_use(struct keel_irqchip *chip, struct eventfd_ctx *ctx)
{
	struct keel_irqfd *other;

	list_for_each_entry(other, &chip->irqfds, link) {
		if (other->ctx == ctx)
			return true;
	}
	return false;
}

/*
 * Wait for signals, then announce.  In this order, since from the announcement on
 * anybody may shut it down, which leaves the wait queue; and an irqfd that is not
 * announced ignores EPOLLHUP, which @file, held by us, rules out anyway.  A signal
 * from before is delivered under the lock: the irqfd cannot go meanwhile.
 */
static int irqfd_start(struct keel_irqfd *irqfd, struct file *file)
{
	struct keel_irqchip *chip = &irqfd->vm->irqchip;
	__poll_t events;
	bool busy;
	u64 count;

	events = vfs_poll(file, &irqfd->poll);
	spin_lock_irq(&chip->irqfd_lock);
	busy = ctx_in_use(chip, irqfd->ctx);
	if (!busy) {
		irqfd->ended = false;
		list_add_tail(&irqfd->link, &chip->irqfds);
		if (events & EPOLLIN)
			raise_gsi(irqfd);
	}
	spin_unlock_irq(&chip->irqfd_lock);
	if (!busy)
		return 0;
	eventfd_ctx_remove_wait_queue(irqfd->ctx, &irqfd->wait, &count);
	return -EBUSY;
}

static int irqfd_assign(struct keel_vm *vm, const struct kvm_irqfd *args)
{
	struct keel_irqfd *irqfd;
	struct file *file;
	int ret;

	irqfd = irqfd_alloc(vm, args->gsi);
	if (!irqfd)
		return -ENOMEM;
	file = eventfd_fget(args->fd);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto err_free;
	}
	irqfd->ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->ctx)) {
		ret = PTR_ERR(irqfd->ctx);
		goto err_file;
	}
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		ret = join_resample(irqfd, args->resamplefd);
		if (ret)
			goto err_ctx;
	}
	ret = irqfd_start(irqfd, file);
	if (ret)
		goto err_resample;
	fput(file);
	return 0;

err_resample:
	if (irqfd->resampler) {
		resampler_leave(irqfd);
		eventfd_ctx_put(irqfd->resample_ctx);
	}
err_ctx:
	eventfd_ctx_put(irqfd->ctx);
err_file:
	fput(file);
err_free:
	kfree(irqfd);
	return ret;
}

/* What is not there need not be taken away: no error, as KVM has it. */
static int irqfd_deassign(struct keel_vm *vm, const struct kvm_irqfd *args)
{
	struct keel_irqchip *chip = &vm->irqchip;
	struct keel_irqfd *irqfd, *tmp;
	struct eventfd_ctx *ctx;

	ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	spin_lock_irq(&chip->irqfd_lock);
	list_for_each_entry_safe(irqfd, tmp, &chip->irqfds, link) {
		if (irqfd->ctx == ctx && irqfd->gsi == args->gsi)
			deactivate(irqfd);
	}
	spin_unlock_irq(&chip->irqfd_lock);
	eventfd_ctx_put(ctx);
	/* The caller relies on no interrupt after this. */
	flush_work(&chip->irqfd_work);
	return 0;
}

/**
 * keel_irqfd() - KVM_IRQFD
 * @vm: the VM
 * @args: the ioctl's argument
 *
 * Return: 0; -EINVAL for unknown flags, KVM_IRQFD_FLAG_RESAMPLE with PREEMPT_RT, a GSI out of
 * range or an irqchip that cannot; -EBUSY if the eventfd raises a GSI of this VM already; -EBADF,
 * -EINVAL for no eventfd.
 */
int keel_irqfd(struct keel_vm *vm, const struct kvm_irqfd *args)
{
	bool resample = args->flags & KVM_IRQFD_FLAG_RESAMPLE;

	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (resample && !KEEL_CAN_RESAMPLE)
		return -EINVAL;
	if (args->gsi >= KEEL_NR_GSIS)
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, args);
	/* With a split irqchip user space sees the EOI itself. */
	if (resample ? !keel_irqchip_full(&vm->irqchip) : !keel_lapic_in_kernel(&vm->irqchip))
		return -EINVAL;
	return irqfd_assign(vm, args);
}

/**
 * keel_irqfd_vm_init() - no irqfds yet
 * @vm: the VM
 */
void keel_irqfd_vm_init(struct keel_vm *vm)
{
	struct keel_irqchip *chip = &vm->irqchip;

	mutex_init(&chip->resampler_lock);
	spin_lock_init(&chip->irqfd_lock);
	INIT_LIST_HEAD(&chip->irqfds);
	INIT_LIST_HEAD(&chip->ended_irqfds);
	INIT_LIST_HEAD(&chip->resamplers);
	INIT_WORK(&chip->irqfd_work, irqfd_work);
}

/**
 * keel_irqfd_vm_release() - detach all; the VM's file is being released
 * @vm: the VM
 */
void keel_irqfd_vm_release(struct keel_vm *vm)
{
	struct keel_irqchip *chip = &vm->irqchip;
	struct keel_irqfd *irqfd, *tmp;

	spin_lock_irq(&chip->irqfd_lock);
	list_for_each_entry_safe(irqfd, tmp, &chip->irqfds, link)
		deactivate(irqfd);
	spin_unlock_irq(&chip->irqfd_lock);
	flush_work(&chip->irqfd_work);
}

int keel_irqfd_module_init(void)
{
	irqfd_wq = alloc_workqueue("keel-irqfd", 0, WQ_MAX_ACTIVE);
	return irqfd_wq ? 0 : -ENOMEM;
}

void keel_irqfd_module_exit(void)
{
	destroy_workqueue(irqfd_wq);
}
