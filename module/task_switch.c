// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware task switches, for CPUs that leave them to the hypervisor: JMP, CALL and IRET to a
 * TSS, and task gates in the IDT (SDM vol. 3, 'Task Management'; 'Treatment of Task Switches').
 *
 * Before the point of commitment a fault finds the old task as it was.  Behind it, a fault is
 * the new task's, which then has its selectors, but not all segments.
 *
 * Privileges, of the gate or of the TSS, have been checked by the CPU before it exited; it does
 * not tell which of the two it was.  There are no task switches in IA-32e mode.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/stddef.h>
#include <asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "task.h"

/* '16-Bit Task-State Segment (TSS)' */
struct tss16 {
	u16 link, stacks[6], ip, flags, gpr[8], sel[4], ldt;
};
static_assert(sizeof(struct tss16) == 0x2c);

/* What is saved as a task is left: from the instruction pointer up to LDTR. */
#define SAVED_AT(tss, first)	offsetof(tss, first)
#define SAVED_LEN(tss, first)	(offsetof(tss, ldt) - offsetof(tss, first))

#define TSS_TRAP	BIT(0)

/* What there is of EFLAGS: other bits of the image are not loaded. */
#define EFLAGS_BITS	0x3f7fd5
/* L0-L3 and LE ('Debug Control Register (DR7)') */
#define DR7_LOCAL	0x155

static bool is_soft(const struct keel_event *event)
{
	return event->type == KEEL_EVENT_SOFT_INT || event->type == KEEL_EVENT_SOFT_EXC;
}

static bool nested(const struct task_switch *t)
{
	return t->source == KEEL_TASK_CALL || t->source == KEEL_TASK_GATE;
}

static unsigned int tss_size(const struct kvm_segment *tr)
{
	return tr->type & TYPE_32 ? sizeof(struct tss32) : sizeof(struct tss16);
}

/* ---- checks, and all memory that is needed up to the segments --------------------------- */

/* 'Exception Conditions Checked During a Task Switch': the new task's TSS */
static int check_tss(struct task_switch *t)
{
	u8 vector = t->source == KEEL_TASK_IRET ? X86_TRAP_TS : X86_TRAP_GP;
	struct kvm_segment *tr = &t->tr;
	int res;
	u64 linear;

	if ((t->selector & 4) || !task_locate(t, t->selector, &linear))
		return task_raise(t, vector, t->selector);
	res = task_read_descriptor(t, linear, t->selector, tr);
	if (res != TASK_OK)
		return res;
	if (tr->s || (tr->type & ~(TYPE_32 | TYPE_BUSY)) != TYPE_TSS ||
	    !!(tr->type & TYPE_BUSY) != (t->source == KEEL_TASK_IRET))
		return task_raise(t, vector, t->selector);
	if (!tr->present)
		return task_raise(t, X86_TRAP_NP, t->selector);
	if (tr->limit < tss_size(tr) - 1)
		return task_raise(t, X86_TRAP_TS, t->selector);
	return task_find(t, linear + TYPE_BYTE, 1, KEEL_ACC_IMPLICIT | KEEL_ACC_WRITE,
			 &t->new_type);
}

static int find_old_state(struct task_switch *t)
{
	const struct kvm_segment *tr = &t->vcpu->tr;
	u32 off, len;

	if (tr->unusable || tr->limit < tss_size(tr) - 1)
		return task_raise(t, X86_TRAP_TS, tr->selector);
	if (tr->type & TYPE_32) {
		off = SAVED_AT(struct tss32, eip);
		len = SAVED_LEN(struct tss32, eip);
	} else {
		off = SAVED_AT(struct tss16, ip);
		len = SAVED_LEN(struct tss16, ip);
	}
	return task_find(t, tr->base + off, len, KEEL_ACC_IMPLICIT | KEEL_ACC_WRITE,
			 &t->old_state);
}

/* So that no fault comes half way. */
static int find_memory(struct task_switch *t)
{
	const u32 write = KEEL_ACC_IMPLICIT | KEEL_ACC_WRITE;
	u64 old_type = t->vcpu->gdt.base + (t->vcpu->tr.selector & ~7) + TYPE_BYTE;
	int res;

	res = find_old_state(t);
	if (res == TASK_OK)
		res = task_find(t, t->tr.base, tss_size(&t->tr), KEEL_ACC_IMPLICIT,
				&t->new_state);
	if (res != TASK_OK)
		return res;
	return nested(t) ? task_find(t, t->tr.base, sizeof(u16), write, &t->link) :
			   task_find(t, old_type, 1, write, &t->old_type);
}

/* The old task goes on behind the instruction that has left it, or with the one that faulted. */
static u32 old_eip(const struct task_switch *t, const struct keel_exit *exit)
{
	u32 eip = t->vcpu->rip;

	return t->source == KEEL_TASK_GATE && t->event->type < KEEL_EVENT_SOFT_INT ?
	       eip : eip + exit->insn_len;
}

/* ---- the old task ----------------------------------------------------------------------- */

/* RFLAGS.RF is as the CPU would have saved it ('Saving RIP, RSP, RFLAGS, and SSP'). */
static int save_state(struct task_switch *t)
{
	const struct keel_vcpu *v = t->vcpu;
	struct tss32 s32 = {
		.eip = t->old_eip, .eflags = v->rflags,
		.sel = { v->es.selector, v->cs.selector, v->ss.selector,
			 v->ds.selector, v->fs.selector, v->gs.selector },
	};
	struct tss16 s16;
	int i;

	if (t->source == KEEL_TASK_IRET)
		s32.eflags &= ~X86_EFLAGS_NT;
	for (i = 0; i < ARRAY_SIZE(s32.gpr); i++)
		s32.gpr[i] = v->gpr[i];
	if (v->tr.type & TYPE_32)
		return task_write(t, &t->old_state, &s32.eip);

	s16.ip = s32.eip;
	s16.flags = s32.eflags;
	for (i = 0; i < ARRAY_SIZE(s16.gpr); i++)
		s16.gpr[i] = s32.gpr[i];
	for (i = 0; i < ARRAY_SIZE(s16.sel); i++)
		s16.sel[i] = s32.sel[i];
	return task_write(t, &t->old_state, &s16.ip);
}

/* ---- the new task ----------------------------------------------------------------------- */

/* FS, GS and the upper halves, which a 16-bit TSS does not have, become 0. */
static int read_state(struct task_switch *t, struct tss32 *new)
{
	struct tss16 s16;
	int i, res;

	if (t->tr.type & TYPE_32)
		return task_read(t, &t->new_state, new);
	res = task_read(t, &t->new_state, &s16);
	if (res != TASK_OK)
		return res;
	*new = (struct tss32) { .eip = s16.ip, .eflags = s16.flags, .ldt = s16.ldt };
	for (i = 0; i < ARRAY_SIZE(s16.gpr); i++)
		new->gpr[i] = s16.gpr[i];
	for (i = 0; i < ARRAY_SIZE(s16.sel); i++)
		new->sel[i] = s16.sel[i];
	return TASK_OK;
}

static int link_old(struct task_switch *t)
{
	u16 link = t->vcpu->tr.selector;
	int res;
	u8 type;

	if (nested(t))
		return task_write(t, &t->link, &link);
	res = task_read(t, &t->old_type, &type);
	type &= ~TYPE_BUSY;
	return res == TASK_OK ? task_write(t, &t->old_type, &type) : res;
}

/*
 * Marks the new task as busy, and the old one as waiting for it or as available.  If another
 * CPU has taken the new one since, all is looked at again.  So it is if the old one's page is
 * not to be had, and then must not find the new one busy.
 */
static int link_tasks(struct task_switch *t)
{
	bool take = t->source != KEEL_TASK_IRET;
	u8 type = task_type_byte(&t->tr);
	int res = TASK_OK;

	if (take)
		res = task_replace(t, &t->new_type, type, type | TYPE_BUSY);
	if (res != TASK_OK)
		return res;
	res = link_old(t);
	if (res < 0 && take && task_replace(t, &t->new_type, type | TYPE_BUSY, type) != TASK_OK)
		return TASK_FAIL;
	return res;
}

/*
 * The event that came through the gate is not delivered again: an interrupt or an NMI not from
 * here on, an exception not after all of it, since it makes a double fault with another one.
 * The return from a task ends the blocking of NMIs, as any IRET does.
 */
static void commit_events(struct task_switch *t)
{
	struct keel_events *e = &t->vcpu->events;

	switch (t->event->type) {
	case KEEL_EVENT_NMI:
		e->nmi_injected = false;
		e->nmi_masked = true;
		break;
	case KEEL_EVENT_IRQ:
	case KEEL_EVENT_SOFT_INT:
		e->irq.injected = false;
		break;
	}
	if (t->source == KEEL_TASK_IRET)
		e->nmi_masked = false;
	t->vcpu->int_shadow = 0;
	keel_dirty(t->vcpu, KEEL_R_SHADOW);
}

static void load_registers(struct task_switch *t, const struct tss32 *new)
{
	struct keel_vcpu *vcpu = t->vcpu;
	int i;

	vcpu->tr = t->tr;
	vcpu->tr.type |= TYPE_BUSY;
	keel_dirty(vcpu, KEEL_R_TABLES);
	vcpu->cr0 |= X86_CR0_TS;
	keel_dirty(vcpu, KEEL_R_CR0);
	keel_set_dr(vcpu, 7, vcpu->dr7 & ~DR7_LOCAL);

	keel_set_rip(vcpu, new->eip);
	keel_set_rflags(vcpu, (new->eflags & EFLAGS_BITS) | (nested(t) ? X86_EFLAGS_NT : 0));
	for (i = 0; i < ARRAY_SIZE(new->gpr); i++)
		keel_gpr_set(vcpu, i, new->gpr[i]);
}

/* There is no way back from here: what cannot be had now ends the guest's run for good. */
static int enter_new(struct task_switch *t, const struct tss32 *new)
{
	struct keel_vcpu *vcpu = t->vcpu;
	bool tss_32 = t->tr.type & TYPE_32;
	int res;

	commit_events(t);
	load_registers(t, new);
	task_clear_segments(t, new);
	if (tss_32 && (vcpu->cr0 & X86_CR0_PG)) {
		res = keel_set_cr3(vcpu, new->cr3);
		if (res)
			return res < 0 ? TASK_FAIL : task_raise(t, X86_TRAP_GP, 0);
	}
	res = task_load_segments(t, new);
	if (res == TASK_OK && t->event->type != KEEL_EVENT_NONE && t->event->has_error)
		res = task_push_error(t);
	if (res == TASK_OK && new->eip > vcpu->cs.limit)
		return task_raise(t, X86_TRAP_GP, 0);
	if (res != TASK_OK)
		return res < 0 ? TASK_FAIL : res;

	vcpu->events.exc.injected = false;
	if (tss_32 && (new->trap & TSS_TRAP))
		keel_queue_db(vcpu, DR_SWITCH);
	return TASK_OK;
}

static int switch_tasks(struct task_switch *t)
{
	struct tss32 new;
	int res;

	res = check_tss(t);
	if (res == TASK_OK)
		res = find_memory(t);
	if (res == TASK_OK)
		res = save_state(t);
	if (res == TASK_OK)
		res = read_state(t, &new);
	if (res == TASK_OK)
		res = link_tasks(t);
	return res == TASK_OK ? enter_new(t, &new) : res;
}

/**
 * keel_task_switch() - handle KEEL_EXIT_TASK_SWITCH
 * @vcpu: the vCPU
 * @exit: the exit
 *
 * vcpu->mutex held, not loaded; may sleep.
 * Return: KEEL_RESUME, KEEL_TO_USER, or -EFAULT: a page of the guest's is not to be had now, and
 * it can be tried again.
 */
int keel_task_switch(struct keel_vcpu *vcpu, struct keel_exit *exit)
{
	struct task_switch t = {
		.vcpu = vcpu,
		.event = &exit->vectoring,
		.selector = exit->u.task.selector,
		.source = exit->u.task.source,
		.ext = exit->u.task.source == KEEL_TASK_GATE && !is_soft(&exit->vectoring),
	};
	int res = TASK_FAIL;

	vcpu->l1d_stale = true;
	keel_need(vcpu, KEEL_R_ALL);
	t.old_eip = old_eip(&t, exit);
	if ((vcpu->cr0 & X86_CR0_PE) && !(vcpu->efer & EFER_LMA))
		res = switch_tasks(&t);
	if (res < 0)
		return res;
	if (res == TASK_FAIL)
		return keel_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, 0, NULL);
	return KEEL_RESUME;
}
