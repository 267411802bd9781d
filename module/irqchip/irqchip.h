/* SPDX-License-Identifier: GPL-2.0-only */
/* The interrupt controllers and timers in the kernel, as the rest of the module sees them. */
#ifndef KEEL_IRQCHIP_H
#define KEEL_IRQCHIP_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

struct keel_vm;
struct keel_vcpu;
struct keel_pic;
struct keel_ioapic;
struct keel_pit;
struct keel_routes;
struct keel_lapic;

enum keel_irqchip_mode {
	KEEL_IRQCHIP_NONE,	/* all of it in user space */
	KEEL_IRQCHIP_SPLIT,	/* local APICs in the kernel, PIC and IOAPIC in user space */
	KEEL_IRQCHIP_KERNEL,
};

#define KEEL_NR_GSIS		4096	/* of the routing table; KVM's number */
#define KEEL_IOAPIC_PINS	24
/* Who holds a line: several sources may hold one GSI, which is the OR of them. */
#define KEEL_IRQ_SRC_USER	0
#define KEEL_IRQ_SRC_RESAMPLE	1
#define KEEL_IRQ_SRC_PIT	2

/**
 * struct keel_irqchip - a VM's interrupt hardware
 * @mode: V; smp_store_release()d when the chips are in place
 * @pic, @ioapic: C once mode is KERNEL
 * @pit: V; C once set
 * @routes: published whole under @lock; read under vm->srcu
 * @lock: routing, ack notifiers
 * @irqfds, @ended_irqfds: under irqfd_lock
 */
struct keel_irqchip {
	enum keel_irqchip_mode mode;
	struct keel_pic *pic;
	struct keel_ioapic *ioapic;
	struct keel_pit *pit;
	struct keel_routes __rcu *routes;
	struct mutex lock;
	struct hlist_head ack_notifiers;	/* under lock; read under vm->srcu */
	spinlock_t irqfd_lock;
	struct list_head irqfds, ended_irqfds, resamplers;
	struct work_struct irqfd_work;		/* ends those in ended_irqfds */
	struct mutex resampler_lock;
	u32 split_gsis;				/* C: KVM_CAP_SPLIT_IRQCHIP's argument */
	struct keel_apic_map __rcu *apic_map;	/* lapic_deliver.c; under apic_map_lock */
	raw_spinlock_t apic_map_lock;		/* irqs off */
	atomic_t lvt0_nmi;			/* local APICs whose LVT0 is unmasked in NMI mode */
};

static inline bool keel_lapic_in_kernel(struct keel_irqchip *chip)
{
	return smp_load_acquire(&chip->mode) != KEEL_IRQCHIP_NONE;
}

static inline bool keel_irqchip_full(struct keel_irqchip *chip)
{
	return smp_load_acquire(&chip->mode) == KEEL_IRQCHIP_KERNEL;
}

/* One interrupt message (MSI, IOAPIC entry, IPI) to local APICs. */
struct keel_apic_msg {
	u32 dest_id;
	u8 vector;
	u8 delivery;		/* 0 fixed, 1 lowest, 2 SMI, 4 NMI, 5 INIT, 6 SIPI, 7 ExtINT */
	bool logical;
	bool level;
	bool trig_level;
	bool x2apic_ids;	/* dest_id is 32 bits wide */
	u8 shorthand;		/* 0 none, 1 self, 2 all, 3 all but self */
};

/* The source of the ack: a pin's EOI calls the notifiers of its GSI. */
struct keel_ack_notifier {
	struct hlist_node link;
	u32 gsi;
	void (*acked)(struct keel_ack_notifier *n);
};

/* irqchip.c: VM level ------------------------------------------------------------------- */
void keel_irqchip_vm_init(struct keel_vm *vm);
/* Before the vCPUs go: stop whatever may still deliver to them by itself (PIT timer and worker). */
void keel_irqchip_vm_stop(struct keel_vm *vm);
void keel_irqchip_vm_destroy(struct keel_vm *vm);	/* after them; no vCPU, no irqfd left */
int keel_irqchip_create(struct keel_vm *vm);		/* KVM_CREATE_IRQCHIP; vm->lock held */
int keel_irqchip_create_split(struct keel_vm *vm, u32 gsis);	/* vm->lock held */
int keel_irqchip_get(struct keel_vm *vm, struct kvm_irqchip *chip);
int keel_irqchip_set(struct keel_vm *vm, const struct kvm_irqchip *chip);

/* Interrupt of @vcpu by any in-kernel source: ExtINT of the PIC or the local APIC. */
bool keel_irq_pending(struct keel_vcpu *vcpu);
bool keel_irq_to_inject(struct keel_vcpu *vcpu);
/* Take it: IRR to ISR (or PIC INTA).  The vector, or -1 if it went away. */
int keel_irq_take(struct keel_vcpu *vcpu);

/* route.c; keel_set_irq: >0 delivered to so many, 0 coalesced, <0 masked or routed nowhere */
int keel_set_irq(struct keel_vm *vm, int source, u32 gsi, int level);
int keel_send_msi(struct keel_vm *vm, const struct kvm_msi *msi);
int keel_set_routing(struct keel_vm *vm, const struct kvm_irq_routing_entry *e, u32 nr);
void keel_ack_register(struct keel_vm *vm, struct keel_ack_notifier *n);
void keel_ack_unregister(struct keel_vm *vm, struct keel_ack_notifier *n);
void keel_notify_acked(struct keel_vm *vm, int chip, unsigned int pin);	/* KVM_IRQCHIP_* */

/* irqfd.c */
int keel_irqfd_module_init(void);
void keel_irqfd_module_exit(void);
void keel_irqfd_vm_init(struct keel_vm *vm);
/* An EOI is handled with preemption off; signalling takes a lock that sleeps on such a kernel. */
#define KEEL_CAN_RESAMPLE	(!IS_ENABLED(CONFIG_PREEMPT_RT))
int keel_irqfd(struct keel_vm *vm, const struct kvm_irqfd *args);
void keel_irqfd_vm_release(struct keel_vm *vm);		/* detach all; waits */

/* pit.c */
int keel_pit_create(struct keel_vm *vm, const struct kvm_pit_config *cfg);	/* vm->lock held */
int keel_pit_get(struct keel_vm *vm, struct kvm_pit_state2 *ps);
int keel_pit_set(struct keel_vm *vm, const struct kvm_pit_state2 *ps);
int keel_pit_reinject(struct keel_vm *vm, bool on);
void keel_pit_get_legacy(struct keel_vm *vm, struct kvm_pit_state *ps);

/* lapic.c ------------------------------------------------------------------------------- */
int keel_lapic_create(struct keel_vcpu *vcpu);
void keel_lapic_free(struct keel_vcpu *vcpu);
void keel_lapic_reset(struct keel_vcpu *vcpu, bool init);
/* Highest IRR above PPR, or -1; software-enabled APICs only. */
int keel_lapic_pending(struct keel_vcpu *vcpu);
int keel_lapic_take(struct keel_vcpu *vcpu);
bool keel_lapic_accepts_extint(struct keel_vcpu *vcpu);	/* LVT0 lets the PIC through */
/* Highest IRR whatever the priority (for CR8 interception), -1 none. */
int keel_lapic_highest_irr(struct keel_vcpu *vcpu);
u8 keel_lapic_tpr(struct keel_vcpu *vcpu);		/* as CR8: 0..15 */
void keel_lapic_set_tpr(struct keel_vcpu *vcpu, u8 cr8);
/* For back ends with a local APIC in the CPU. */
void *keel_lapic_page(struct keel_vcpu *vcpu);
int keel_lapic_sync_irr(struct keel_vcpu *vcpu);
int keel_lapic_highest_isr(struct keel_vcpu *vcpu);
bool keel_lapic_in_service(struct keel_vcpu *vcpu, u8 vector);
void keel_lapic_eoi_exits(struct keel_vcpu *vcpu, u64 bits[4]);
void keel_lapic_eoi_done(struct keel_vcpu *vcpu, u8 vector);
void keel_lapic_written(struct keel_vcpu *vcpu, unsigned int reg);
/* Deliver to whoever matches; number reached (0 none, -1 all masked).  Any context (irqs off ok). */
int keel_apic_deliver(struct keel_vm *vm, struct keel_vcpu *src, const struct keel_apic_msg *msg);
bool keel_lapic_mmio_match(struct keel_vcpu *vcpu, gpa_t addr);
int keel_lapic_mmio_read(struct keel_vcpu *vcpu, gpa_t addr, int len, void *val);
int keel_lapic_mmio_write(struct keel_vcpu *vcpu, gpa_t addr, int len, const void *val);
int keel_lapic_msr_read(struct keel_vcpu *vcpu, u32 msr, u64 *data);	/* x2APIC; 1: #GP */
int keel_lapic_msr_write(struct keel_vcpu *vcpu, u32 msr, u64 data);
int keel_lapic_set_base(struct keel_vcpu *vcpu, u64 base, bool host);	/* 1: #GP */
u64 keel_lapic_get_deadline(struct keel_vcpu *vcpu);
void keel_lapic_set_deadline(struct keel_vcpu *vcpu, u64 tsc);
int keel_lapic_get_state(struct keel_vcpu *vcpu, struct kvm_lapic_state *s);
int keel_lapic_set_state(struct keel_vcpu *vcpu, const struct kvm_lapic_state *s);
bool keel_lapic_apic_event_pending(struct keel_vcpu *vcpu);	/* INIT or SIPI */
/* INIT or SIPI: resets the vCPU, sets mp_state; in the vCPU's own thread, not loaded. */
void keel_lapic_accept_events(struct keel_vcpu *vcpu);
void keel_lapic_set_sipi_vector(struct keel_vcpu *vcpu, u8 vector);	/* KVM_SET_VCPU_EVENTS */
void keel_lapic_latch_sipi(struct keel_vcpu *vcpu);	/* KVM_SET_MP_STATE(SIPI_RECEIVED) */
/* KVM_INTERRUPT with a split irqchip: 0 or -EEXIST; delivered when LVT0 lets ExtINT through. */
int keel_lapic_set_extint(struct keel_vcpu *vcpu, u8 vector);
/* Local APIC timer fired (KEEL_REQ_TIMER): inject; wakeups are done by the hrtimer itself. */
void keel_lapic_timer_inject(struct keel_vcpu *vcpu);
/* vcpu->exit_at has come, or is still to come; and: the vCPU goes to sleep in HLT. */
void keel_lapic_timer_exit(struct keel_vcpu *vcpu);
void keel_lapic_timer_sleep(struct keel_vcpu *vcpu);
/* The TSC offset or frequency changed: re-arm. */
void keel_lapic_timer_restart(struct keel_vcpu *vcpu);
/* PV EOI (MSR_KVM_PV_EOI_EN) */
int keel_pv_eoi_set(struct keel_vcpu *vcpu, u64 data);
u64 keel_pv_eoi_get(struct keel_vcpu *vcpu);
void keel_pv_eoi_sync_to(struct keel_vcpu *vcpu);	/* before entry; does not sleep */
/* After exit; false: put the vCPU and call again. */
bool keel_pv_eoi_sync_from(struct keel_vcpu *vcpu);
/* KVM_SET_VAPIC_ADDR, KVM_TPR_ACCESS_REPORTING */
int keel_set_vapic_addr(struct keel_vcpu *vcpu, const struct kvm_vapic_addr *va);
int keel_tpr_access_reporting(struct keel_vcpu *vcpu, struct kvm_tpr_access_ctl *ctl);
int keel_exit_tpr_access(struct keel_vcpu *vcpu);
void keel_vapic_sync_to(struct keel_vcpu *vcpu);	/* before entry; may put, and sleep then */
void keel_vapic_sync_from(struct keel_vcpu *vcpu);	/* after exit; likewise */
/* PV IPI (KVM_HC_SEND_IPI): number delivered or -KVM_E* */
int keel_pv_send_ipi(struct keel_vm *vm, unsigned long lo, unsigned long hi, u32 min,
		     unsigned long icr, bool op64);
/* EOI of @vector at this vCPU's APIC reached a level-triggered pin of a split irqchip. */
bool keel_lapic_take_split_eoi(struct keel_vcpu *vcpu, u8 *vector);

/* ioapic.c */
void keel_ioapic_eoi(struct keel_vm *vm, u8 vector, int trigger_level);

#endif
