// SPDX-License-Identifier: GPL-2.0-only
/* The whole state of a VM, read out and put into another one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

struct kvm_cpuid2 *vcpu_get_cpuid(struct vcpu *v)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	unsigned int i;

	c->nent = 256;
	for (i = 0; i < 256; i++)
		c->entries[i].function = -1;
	must(v->fd, KVM_GET_CPUID2, c);
	/* 6.1's KVM leaves the count as it was given. */
	for (i = 0; i < c->nent && c->entries[i].function != (u32)-1; i++)
		;
	c->nent = i;
	return c;
}

struct kvm_msr_list *msr_list(unsigned long cmd)
{
	struct kvm_msr_list n = {}, *l;

	if (err_of(dev_fd, cmd, &n) != E2BIG || !n.nmsrs)
		die("the length of the MSR list");
	l = calloc(1, sizeof(*l) + n.nmsrs * sizeof(l->indices[0]));
	l->nmsrs = n.nmsrs;
	must(dev_fd, cmd, l);
	return l;
}

/* One at a time: what this guest's CPUID has not, cannot be read. */
static struct kvm_msrs *save_msrs(struct vcpu *v)
{
	struct kvm_msr_list *list = msr_list(KVM_GET_MSR_INDEX_LIST);
	struct kvm_msrs *all = calloc(1, sizeof(*all) + STATE_MAX_MSRS * sizeof(all->entries[0]));
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} one;
	unsigned int i;

	for (i = 0; i < list->nmsrs && all->nmsrs < STATE_MAX_MSRS; i++) {
		memset(&one, 0, sizeof(one));
		one.h.nmsrs = 1;
		one.e.index = list->indices[i];
		if (ioctl(v->fd, KVM_GET_MSRS, &one) == 1)
			all->entries[all->nmsrs++] = one.e;
	}
	free(list);
	return all;
}

void vcpu_save(struct vcpu *v, struct vcpu_state *s)
{
	int size = has_ext(KVM_CAP_XSAVE2);

	memset(s, 0, sizeof(*s));
	s->xsave = calloc(1, size < 4096 ? 4096 : size);
	s->cpuid = vcpu_get_cpuid(v);
	must(v->fd, KVM_GET_MP_STATE, &s->mp);
	must(v->fd, KVM_GET_REGS, &s->regs);
	must(v->fd, KVM_GET_SREGS, &s->sregs);
	must(v->fd, KVM_GET_XSAVE2, s->xsave);
	must(v->fd, KVM_GET_XCRS, &s->xcrs);
	s->msrs = save_msrs(v);
	if (v->vm->flags & VM_IRQCHIP)
		must(v->fd, KVM_GET_LAPIC, &s->lapic);
	must(v->fd, KVM_GET_DEBUGREGS, &s->debug);
	must(v->fd, KVM_GET_VCPU_EVENTS, &s->events);
}

/*
 * The order matters: CPUID decides what may be set; the mode (EFER, CR4) and
 * the APIC's base stand in the sregs; the APIC's timer mode must be there
 * before its deadline, which is an MSR; events come last.
 */
void vcpu_restore(struct vcpu *v, struct vcpu_state *s)
{
	unsigned int i;

	must(v->fd, KVM_SET_CPUID2, s->cpuid);
	must(v->fd, KVM_SET_SREGS, &s->sregs);
	must(v->fd, KVM_SET_REGS, &s->regs);
	must(v->fd, KVM_SET_XCRS, &s->xcrs);
	must(v->fd, KVM_SET_XSAVE, s->xsave);
	if (v->vm->flags & VM_IRQCHIP)
		must(v->fd, KVM_SET_LAPIC, &s->lapic);
	i = must(v->fd, KVM_SET_MSRS, s->msrs);
	if (i != s->msrs->nmsrs)
		die("MSR %#x cannot be set to the value that was read, %#llx",
		    s->msrs->entries[i].index, s->msrs->entries[i].data);
	must(v->fd, KVM_SET_DEBUGREGS, &s->debug);
	must(v->fd, KVM_SET_MP_STATE, &s->mp);
	s->events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	if (s->mp.mp_state != KVM_MP_STATE_SIPI_RECEIVED)
		s->events.flags &= ~KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	must(v->fd, KVM_SET_VCPU_EVENTS, &s->events);
}

void vcpu_state_free(struct vcpu_state *s)
{
	free(s->cpuid);
	free(s->xsave);
	free(s->msrs);
}

void vm_save(struct vm *vm, struct vm_state *s)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 3 && vm->flags & VM_IRQCHIP; i++) {
		s->chip[i].chip_id = i;
		must(vm->fd, KVM_GET_IRQCHIP, &s->chip[i]);
	}
	if (vm->flags & VM_PIT)
		must(vm->fd, KVM_GET_PIT2, &s->pit);
	must(vm->fd, KVM_GET_CLOCK, &s->clock);
}

void vm_restore(struct vm *vm, struct vm_state *s)
{
	unsigned int i;

	s->clock.flags = 0;
	must(vm->fd, KVM_SET_CLOCK, &s->clock);
	if (vm->flags & VM_PIT)
		must(vm->fd, KVM_SET_PIT2, &s->pit);
	for (i = 0; i < 3 && vm->flags & VM_IRQCHIP; i++)
		must(vm->fd, KVM_SET_IRQCHIP, &s->chip[i]);
}

void vcpu_complete_io(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	if (vcpu_run(v) != EINTR)
		die("vCPU %u: immediate_exit did not end KVM_RUN", v->id);
	v->run->immediate_exit = 0;
}
