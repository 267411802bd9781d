// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of a VM. */
#include <linux/compat.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ioctl.h"
#include "keel.h"

static long check_extension(void *obj, void *arg)
{
	return keel_vm_cap(obj, (long)arg);
}

static long create_vcpu(void *obj, void *arg)
{
	unsigned long id = (unsigned long)arg;

	return id > U32_MAX ? -EINVAL : keel_vcpu_create_fd(obj, id);
}

static long set_user_memory_region(void *obj, void *arg)
{
	return keel_set_memory_region(obj, arg);
}

/* Of a pointer in an argument, a 32-bit client fills in half. */
static void __user *user_pointer(void __user *p)
{
	unsigned long value = (unsigned long)p;

	return in_compat_syscall() ? (void __user *)(unsigned long)lower_32_bits(value) : p;
}

static long get_dirty_log(void *obj, void *arg)
{
	struct kvm_dirty_log *log = arg;

	log->dirty_bitmap = user_pointer(log->dirty_bitmap);
	return keel_get_dirty_log(obj, log);
}

static long clear_dirty_log(void *obj, void *arg)
{
	struct kvm_clear_dirty_log *log = arg;

	log->dirty_bitmap = user_pointer(log->dirty_bitmap);
	return keel_clear_dirty_log(obj, log);
}

static long reset_dirty_rings(void *obj, void *arg)
{
	return keel_dirty_rings_reset(obj);
}

/*
 * Three pages that Intel's real-mode emulation once needed.  keel runs real mode
 * natively; the address is kept and checked because the ABI says so.
 */
static long set_tss_addr(void *obj, void *arg)
{
	struct keel_vm *vm = obj;
	unsigned long addr = (unsigned long)arg;

	if (addr > (unsigned int)(-3 * PAGE_SIZE))
		return -EINVAL;
	vm->tss_addr = addr;
	return 0;
}

static long set_identity_map_addr(void *obj, void *arg)
{
	struct keel_vm *vm = obj;

	if (vm->nr_vcpus)
		return -EINVAL;
	vm->identity_map_addr = *(u64 *)arg;
	return 0;
}

static long set_boot_cpu_id(void *obj, void *arg)
{
	struct keel_vm *vm = obj;

	if (vm->nr_vcpus)
		return -EBUSY;
	vm->bsp_id = (unsigned long)arg;
	return 0;
}

/* ---- interrupt controllers -------------------------------------------------------- */

static long create_irqchip(void *obj, void *arg)
{
	return keel_irqchip_create(obj);
}

static long get_irqchip(void *obj, void *arg)
{
	struct keel_vm *vm = obj;

	return keel_irqchip_full(&vm->irqchip) ? keel_irqchip_get(vm, arg) : -ENXIO;
}

static long set_irqchip(void *obj, void *arg)
{
	struct keel_vm *vm = obj;

	return keel_irqchip_full(&vm->irqchip) ? keel_irqchip_set(vm, arg) : -ENXIO;
}

static long irq_line(void *obj, void *arg)
{
	struct kvm_irq_level *line = arg;
	struct keel_vm *vm = obj;

	if (!keel_lapic_in_kernel(&vm->irqchip))
		return -ENXIO;
	line->status = keel_set_irq(vm, KEEL_IRQ_SRC_USER, line->irq, !!line->level);
	return 0;
}

static long signal_msi(void *obj, void *arg)
{
	struct keel_vm *vm = obj;
	const struct kvm_msi *msi = arg;

	if (!keel_lapic_in_kernel(&vm->irqchip) || msi->flags)
		return -EINVAL;
	return keel_send_msi(vm, msi);
}

static long set_gsi_routing(void *obj, void *arg)
{
	struct kvm_irq_routing __user *u = (struct kvm_irq_routing __user *)arg;
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing head;
	struct keel_vm *vm = obj;
	long ret;

	if (copy_from_user(&head, u, sizeof(head)))
		return -EFAULT;
	if (!keel_lapic_in_kernel(&vm->irqchip) || head.nr > KEEL_NR_GSIS || head.flags)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_user(u->entries, array_size(sizeof(*entries), head.nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	ret = keel_set_routing(vm, entries, head.nr);
	kvfree(entries);
	return ret;
}

static long irqfd(void *obj, void *arg)
{
	return keel_irqfd(obj, arg);
}

static long ioeventfd(void *obj, void *arg)
{
	return keel_ioeventfd(obj, arg);
}

/* ---- PIT -------------------------------------------------------------------------- */

static long create_pit2(void *obj, void *arg)
{
	return keel_pit_create(obj, arg);
}

static long create_pit(void *obj, void *arg)
{
	const struct kvm_pit_config cfg = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return keel_pit_create(obj, &cfg);
}

static bool has_pit(struct keel_vm *vm)
{
	return smp_load_acquire(&vm->irqchip.pit);
}

static long get_pit2(void *obj, void *arg)
{
	return has_pit(obj) ? keel_pit_get(obj, arg) : -ENXIO;
}

static long set_pit2(void *obj, void *arg)
{
	return has_pit(obj) ? keel_pit_set(obj, arg) : -ENXIO;
}

static long get_pit(void *obj, void *arg)
{
	if (!has_pit(obj))
		return -ENXIO;
	keel_pit_get_legacy(obj, arg);
	return 0;
}

static long set_pit(void *obj, void *arg)
{
	struct kvm_pit_state2 state = {};
	int ret;

	if (!has_pit(obj))
		return -ENXIO;
	/* The old structure has no flags: they stay as they are. */
	ret = keel_pit_get(obj, &state);
	if (ret)
		return ret;
	memcpy(state.channels, ((struct kvm_pit_state *)arg)->channels, sizeof(state.channels));
	return keel_pit_set(obj, &state);
}

static long reinject_control(void *obj, void *arg)
{
	struct kvm_reinject_control control;

	if (copy_from_user(&control, (void __user *)arg, sizeof(control)))
		return -EFAULT;
	return has_pit(obj) ? keel_pit_reinject(obj, control.pit_reinject) : -ENXIO;
}

/* ---- time ------------------------------------------------------------------------- */

static long get_clock(void *obj, void *arg)
{
	return keel_get_clock(obj, arg);
}

static long set_clock(void *obj, void *arg)
{
	return keel_set_clock(obj, arg);
}

static long set_tsc_khz(void *obj, void *arg)
{
	struct keel_vm *vm = obj;
	unsigned long khz = (unsigned long)arg;

	if (vm->nr_vcpus || khz > U32_MAX)
		return -EINVAL;
	return keel_vm_set_tsc_khz(vm, khz);
}

static long get_tsc_khz(void *obj, void *arg)
{
	struct keel_vm *vm = obj;

	return vm->default_tsc_khz ?: tsc_khz;
}

/* ---- capabilities ----------------------------------------------------------------- */

static int enable_x2apic_api(struct keel_vm *vm, u64 flags)
{
	if (flags & ~(u64)(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		return -EINVAL;
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		vm->x2apic_api_32bit = true;
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		vm->x2apic_no_broadcast_quirk = true;
	return 0;
}

static int enable_split(struct keel_vm *vm, u64 gsis)
{
	if (gsis > KEEL_NR_GSIS)
		return -EINVAL;
	if (keel_lapic_in_kernel(&vm->irqchip) || vm->nr_vcpus)
		return -EEXIST;
	return keel_irqchip_create_split(vm, gsis);
}

static int disable_exits(struct keel_vm *vm, u64 which)
{
	if (which & ~(u64)keel_vm_cap(vm, KVM_CAP_X86_DISABLE_EXITS))
		return -EINVAL;
	if (vm->nr_vcpus)
		return -EINVAL;
	vm->disabled_exits |= which;
	return 0;
}

static int enable_manual_dirty_log(struct keel_vm *vm, u64 flags)
{
	if (flags & ~(u64)keel_vm_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		return -EINVAL;
	/* All set at first is of use only to who clears bits himself. */
	if (flags == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	/* Not while a slot gets its bitmap, or one is read, by the old setting. */
	mutex_lock(&vm->slots_lock);
	WRITE_ONCE(vm->dirty_manual, flags);
	mutex_unlock(&vm->slots_lock);
	return 0;
}

static long enable_cap(void *obj, void *arg)
{
	const struct kvm_enable_cap *cap = arg;
	struct keel_vm *vm = obj;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_DISABLE_QUIRKS2:
		if (cap->args[0] & ~(u64)keel_vm_cap(vm, KVM_CAP_DISABLE_QUIRKS2))
			return -EINVAL;
		fallthrough;
	case KVM_CAP_DISABLE_QUIRKS:
		vm->disabled_quirks = cap->args[0];
		return 0;
	case KVM_CAP_SPLIT_IRQCHIP:
		return enable_split(vm, cap->args[0]);
	case KVM_CAP_X2APIC_API:
		return enable_x2apic_api(vm, cap->args[0]);
	case KVM_CAP_X86_DISABLE_EXITS:
		return disable_exits(vm, cap->args[0]);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_dirty_log(vm, cap->args[0]);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return keel_dirty_ring_enable(vm, cap->args[0]);
	case KVM_CAP_EXCEPTION_PAYLOAD:
		vm->exception_payload = cap->args[0];
		return 0;
	case KVM_CAP_MAX_VCPU_ID:
		if (!cap->args[0] || cap->args[0] > KEEL_MAX_VCPU_ID || vm->nr_vcpus)
			return -EINVAL;
		vm->max_vcpu_ids = cap->args[0];
		return 0;
	}
	return -EINVAL;
}

static long stats_fd(void *obj, void *arg)
{
	return keel_stats_fd_vm(obj);
}

const struct keel_ioctl keel_vm_ioctls[] = {
	KEEL_IOC(KVM_CHECK_EXTENSION, KEEL_IOC_RAW, check_extension),
	KEEL_IOC(KVM_CREATE_VCPU, KEEL_IOC_RAW | KEEL_IOC_LOCK, create_vcpu),
	KEEL_IOC(KVM_SET_USER_MEMORY_REGION, KEEL_IOC_SLOTS, set_user_memory_region),
	KEEL_IOC(KVM_GET_DIRTY_LOG, 0, get_dirty_log),
	KEEL_IOC(KVM_CLEAR_DIRTY_LOG, KEEL_IOC_IN, clear_dirty_log),
	KEEL_IOC(KVM_RESET_DIRTY_RINGS, KEEL_IOC_RAW | KEEL_IOC_SLOTS, reset_dirty_rings),
	KEEL_IOC(KVM_SET_TSS_ADDR, KEEL_IOC_RAW | KEEL_IOC_LOCK, set_tss_addr),
	KEEL_IOC(KVM_SET_IDENTITY_MAP_ADDR, KEEL_IOC_LOCK, set_identity_map_addr),
	KEEL_IOC(KVM_SET_BOOT_CPU_ID, KEEL_IOC_RAW | KEEL_IOC_LOCK, set_boot_cpu_id),
	KEEL_IOC(KVM_CREATE_IRQCHIP, KEEL_IOC_RAW | KEEL_IOC_LOCK, create_irqchip),
	KEEL_IOC(KVM_GET_IRQCHIP, 0, get_irqchip),
	KEEL_IOC(KVM_SET_IRQCHIP, KEEL_IOC_IN, set_irqchip),
	KEEL_IOC(KVM_IRQ_LINE, 0, irq_line),
	KEEL_IOC(KVM_IRQ_LINE_STATUS, 0, irq_line),
	KEEL_IOC(KVM_SIGNAL_MSI, 0, signal_msi),
	KEEL_IOC(KVM_SET_GSI_ROUTING, KEEL_IOC_RAW, set_gsi_routing),
	KEEL_IOC(KVM_IRQFD, 0, irqfd),
	KEEL_IOC(KVM_IOEVENTFD, 0, ioeventfd),
	KEEL_IOC(KVM_CREATE_PIT, KEEL_IOC_RAW | KEEL_IOC_LOCK, create_pit),
	KEEL_IOC(KVM_CREATE_PIT2, KEEL_IOC_LOCK, create_pit2),
	KEEL_IOC(KVM_GET_PIT, 0, get_pit),
	KEEL_IOC(KVM_SET_PIT, KEEL_IOC_IN, set_pit),
	KEEL_IOC(KVM_GET_PIT2, 0, get_pit2),
	KEEL_IOC(KVM_SET_PIT2, 0, set_pit2),
	KEEL_IOC(KVM_REINJECT_CONTROL, KEEL_IOC_RAW, reinject_control),
	KEEL_IOC(KVM_GET_CLOCK, 0, get_clock),
	KEEL_IOC(KVM_SET_CLOCK, 0, set_clock),
	KEEL_IOC(KVM_SET_TSC_KHZ, KEEL_IOC_RAW | KEEL_IOC_LOCK, set_tsc_khz),
	KEEL_IOC(KVM_GET_TSC_KHZ, KEEL_IOC_RAW, get_tsc_khz),
	KEEL_IOC(KVM_ENABLE_CAP, KEEL_IOC_LOCK, enable_cap),
	KEEL_IOC(KVM_GET_STATS_FD, KEEL_IOC_RAW, stats_fd),
	{}
};
