/* SPDX-License-Identifier: GPL-2.0-only */
/* PIC, IOAPIC, PIT and routing, between the files of irqchip/. */
#ifndef KEEL_CHIPS_H
#define KEEL_CHIPS_H

#include "../keel.h"

#define KEEL_PIC_PINS	16

/* pic.c */
int keel_pic_create(struct keel_vm *vm);	/* vm->slots_lock held */
void keel_pic_destroy(struct keel_vm *vm);	/* vm->slots_lock held, or the VM dies */
void keel_pic_unplug(struct keel_vm *vm);	/* off the bus; vm->slots_lock held */
bool keel_pic_output(struct keel_vm *vm);
int keel_pic_inta(struct keel_vm *vm);
int keel_pic_set_irq(struct keel_vm *vm, unsigned int pin, int source, int level);
void keel_pic_get(struct keel_vm *vm, unsigned int chip, struct kvm_pic_state *s);
void keel_pic_put(struct keel_vm *vm, unsigned int chip, const struct kvm_pic_state *s);

/* ioapic.c */
int keel_ioapic_create(struct keel_vm *vm);	/* vm->slots_lock held */
void keel_ioapic_destroy(struct keel_vm *vm);
void keel_ioapic_stop(struct keel_vm *vm);
void keel_ioapic_unplug(struct keel_vm *vm);	/* vm->slots_lock held */
int keel_ioapic_set_irq(struct keel_vm *vm, unsigned int pin, int source, int level);
void keel_ioapic_get(struct keel_vm *vm, struct kvm_ioapic_state *s);
void keel_ioapic_put(struct keel_vm *vm, const struct kvm_ioapic_state *s);
bool keel_ioapic_has_vector(struct keel_vm *vm, u8 vector);

/* pit.c */
void keel_pit_stop(struct keel_vm *vm);
void keel_pit_destroy(struct keel_vm *vm);

/* route.c */
int keel_routes_default(struct keel_vm *vm);
int keel_routes_empty(struct keel_vm *vm);
void keel_routes_destroy(struct keel_vm *vm);
bool keel_routes_have_level(struct keel_vm *vm, u8 vector);

/* lapic.c */
int keel_lapic_extint(struct keel_vcpu *vcpu, bool take);
void keel_lapic_pit_nmi(struct keel_vcpu *vcpu);

#endif
