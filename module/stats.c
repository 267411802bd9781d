// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_STATS_FD: counters as a file that describes itself: a header, the
 * name of the object, a descriptor a counter, and the values, all u64.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "keel.h"

#define KEEL_STATS_NAME_SIZE	48

/* A name and what it counts; in the order of the fields in stats.h. */
struct keel_stat {
	const char *name;
	u32 flags;
	s16 exponent;
};

#define COUNT(n)	{ #n, KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE, 0 }
#define LEVEL(n)	{ #n, KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE, 0 }
#define FLAG(n)		{ #n, KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BOOLEAN, 0 }
#define NANOSEC(n)	{ #n, KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS, -9 }

static const struct keel_stat keel_vm_stat[] = {
	COUNT(remote_tlb_flush),
	LEVEL(pages_4k), LEVEL(pages_2m), LEVEL(pages_1g),
	COUNT(mmu_zaps),
	LEVEL(tdp_tables),
};
static_assert(ARRAY_SIZE(keel_vm_stat) == sizeof(struct keel_vm_stats) / sizeof(u64));

static const struct keel_stat keel_vcpu_stat[] = {
	COUNT(exits), COUNT(io_exits), COUNT(mmio_exits), COUNT(halt_exits), COUNT(irq_exits),
	COUNT(irq_window_exits), COUNT(nmi_window_exits), COUNT(request_irq_exits),
	COUNT(signal_exits), COUNT(hypercalls), COUNT(cpuid_exits), COUNT(msr_exits),
	COUNT(cr_exits), COUNT(tdp_faults), COUNT(tdp_fixed), COUNT(insn_emulation),
	COUNT(insn_emulation_fail), COUNT(irq_injections), COUNT(nmi_injections),
	COUNT(exc_injections), COUNT(req_event), COUNT(tlb_flush), COUNT(fpu_loads),
	NANOSEC(halt_poll_success_ns), NANOSEC(halt_poll_fail_ns), NANOSEC(halt_wait_ns),
	COUNT(halt_successful_poll), COUNT(halt_attempted_poll), COUNT(halt_poll_invalid),
	COUNT(halt_wakeup), COUNT(preemptions), FLAG(guest_mode),
};
static_assert(ARRAY_SIZE(keel_vcpu_stat) == sizeof(struct keel_vcpu_stats) / sizeof(u64));

/**
 * struct keel_stats_file - what an open statistics file has
 * @vm: a reference; a vCPU lives as long as its VM
 * @values: the counters, u64 each
 * @nr: how many
 * @head_size: bytes of @head
 * @head: header, name and descriptors, which never change
 */
struct keel_stats_file {
	struct keel_vm *vm;
	const u64 *values;
	u32 nr;
	u32 head_size;
	u8 head[];
};

static ssize_t keel_stats_read_values(const struct keel_stats_file *f, char __user *buf,
				      size_t len, loff_t pos)
{
	size_t size = f->nr * sizeof(u64);
	ssize_t ret;
	u64 *copy;
	u32 i;

	copy = kmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;
	for (i = 0; i < f->nr; i++)
		copy[i] = READ_ONCE(f->values[i]);
	ret = simple_read_from_buffer(buf, len, &pos, copy, size);
	kfree(copy);
	return ret;
}

static ssize_t keel_stats_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	const struct keel_stats_file *f = file->private_data;
	ssize_t head = 0, values;

	if (*pos < f->head_size) {
		head = simple_read_from_buffer(buf, len, pos, f->head, f->head_size);
		if (head < 0 || head == len)
			return head;
	}
	values = keel_stats_read_values(f, buf + head, len - head, *pos - f->head_size);
	if (values < 0)
		return head ? head : values;
	*pos += values;
	return head + values;
}

static int keel_stats_release(struct inode *inode, struct file *file)
{
	struct keel_stats_file *f = file->private_data;

	keel_vm_put(f->vm);
	kfree(f);
	return 0;
}

static const struct file_operations keel_stats_fops = {
	.owner = THIS_MODULE,
	.read = keel_stats_read,
	.release = keel_stats_release,
	.llseek = noop_llseek,
};

static void keel_stats_describe(struct keel_stats_file *f, const char *id,
				const struct keel_stat *stat)
{
	struct kvm_stats_header *h = (void *)f->head;
	u32 i;

	h->name_size = KEEL_STATS_NAME_SIZE;
	h->num_desc = f->nr;
	h->id_offset = sizeof(*h);
	h->desc_offset = h->id_offset + KEEL_STATS_NAME_SIZE;
	h->data_offset = f->head_size;
	strscpy(f->head + h->id_offset, id, KEEL_STATS_NAME_SIZE);

	for (i = 0; i < f->nr; i++) {
		struct kvm_stats_desc *d = (void *)(f->head + h->desc_offset +
					i * (sizeof(*d) + KEEL_STATS_NAME_SIZE));

		d->flags = stat[i].flags | (stat[i].exponent ? KVM_STATS_BASE_POW10 : 0);
		d->exponent = stat[i].exponent;
		d->size = 1;
		d->offset = i * sizeof(u64);
		strscpy(d->name, stat[i].name, KEEL_STATS_NAME_SIZE);
	}
}

static int keel_stats_fd(struct keel_vm *vm, const char *kind, const char *id,
			 const struct keel_stat *stat, u32 nr, const void *values)
{
	u32 head = sizeof(struct kvm_stats_header) + KEEL_STATS_NAME_SIZE +
		   nr * (sizeof(struct kvm_stats_desc) + KEEL_STATS_NAME_SIZE);
	struct keel_stats_file *f;
	struct file *file;
	int fd;

	f = kzalloc(struct_size(f, head, head), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->values = values;
	f->nr = nr;
	f->head_size = head;
	keel_stats_describe(f, id, stat);

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto free;
	file = anon_inode_getfile(kind, &keel_stats_fops, f, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto free;
	}
	/* Monitors read the values over and over from their place in the file. */
	file->f_mode |= FMODE_PREAD;
	keel_vm_get(vm);
	f->vm = vm;
	fd_install(fd, file);
	return fd;
free:
	kfree(f);
	return fd;
}

int keel_stats_fd_vm(struct keel_vm *vm)
{
	return keel_stats_fd(vm, "keel-vm-stats", vm->stats_name, keel_vm_stat,
			     ARRAY_SIZE(keel_vm_stat), &vm->stats);
}

int keel_stats_fd_vcpu(struct keel_vcpu *vcpu)
{
	char name[KEEL_STATS_NAME_SIZE];

	snprintf(name, sizeof(name), "%s/vcpu-%d", vcpu->vm->stats_name, vcpu->id);
	return keel_stats_fd(vcpu->vm, "keel-vcpu-stats", name, keel_vcpu_stat,
			     ARRAY_SIZE(keel_vcpu_stat), &vcpu->stats);
}
