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
static enum task_step check_tss(struct task_switch *t)
{
	u8 vector = t->source == KEEL_TASK_IRET ? X86_TRAP_TS : X86_TRAP_GP;
	struct kvm_segment *tr = &t->tr;
	enum task_step res;
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

static enum task_step find_old_state(struct task_switch *t)
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
static enum task_step find_memory(struct task_switch *t)
{
	const u32 write = KEEL_ACC_IMPLICIT | KEEL_ACC_WRITE;
	u64 old_type = t->vcpu->gdt.base + (t->vcpu->tr.selector & ~7) + TYPE_BYTE;
	enum task_step res;

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

/* Another CPU may have taken the task since: then all is looked at again. */
static enum task_step set_busy(struct task_switch *t)
{
	u8 old = task_type_byte(&t->tr), new = old | TYPE_BUSY;
	bool ok;

	if (t->source == KEEL_TASK_IRET)
		return TASK_OK;
	if (keel_gpa_cmpxchg(t->vcpu, t->new_type.gpa[0], &old, &new, sizeof(new), &ok))
		return TASK_FAIL;
	return ok ? TASK_OK : TASK_STOP;
}

static enum task_step clear_busy(struct task_switch *t)
{
	enum task_step res;
	u8 type;

	res = task_read(t, &t->old_type, &type);
	if (res != TASK_OK)
		return res;
	type &= ~TYPE_BUSY;
	return task_write(t, &t->old_type, &type);
}

/* RFLAGS.RF is as the CPU would have saved it ('Saving RIP, RSP, RFLAGS, and SSP'). */
static enum task_step save_state(struct task_switch *t)
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

static enum task_step leave_old(struct task_switch *t)
{
	u16 link = t->vcpu->tr.selector;
	enum task_step res;

	res = set_busy(t);
	if (res == TASK_OK && !nested(t))
		res = clear_busy(t);
	if (res == TASK_OK)
		res = save_state(t);
	if (res == TASK_OK && nested(t))
		res = task_write(t, &t->link, &link);
	return res;
}

/* ---- the new task ----------------------------------------------------------------------- */

/* FS, GS and the upper halves, which a 16-bit TSS does not have, become 0. */
static enum task_step read_state(struct task_switch *t, struct tss32 *new)
{
	enum task_step res;
	struct tss16 s16;
	int i;

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

static enum task_step enter_new(struct task_switch *t)
{
	struct keel_vcpu *vcpu = t->vcpu;
	bool tss_32 = t->tr.type & TYPE_32;
	enum task_step res;
	struct tss32 new;

	res = read_state(t, &new);
	if (res != TASK_OK)
		return res;
	commit_events(t);
	load_registers(t, &new);
	task_clear_segments(t, &new);
	if (tss_32 && (vcpu->cr0 & X86_CR0_PG) && keel_set_cr3(vcpu, new.cr3))
		return task_raise(t, X86_TRAP_GP, 0);
	res = task_load_segments(t, &new);
	if (res == TASK_OK && t->event->has_error)
		res = task_push_error(t);
	if (res == TASK_OK && new.eip > vcpu->cs.limit)
		return task_raise(t, X86_TRAP_GP, 0);
	if (res != TASK_OK)
		return res;

	vcpu->events.exc.injected = false;
	if (tss_32 && (new.trap & TSS_TRAP))
		keel_queue_db(vcpu, DR_SWITCH);
	return TASK_OK;
}

/**
 * keel_task_switch() - handle KEEL_EXIT_TASK_SWITCH
 * @vcpu: the vCPU
 * @exit: the exit
 *
 * vcpu->mutex held, not loaded; may sleep.
 * Return: KEEL_RESUME or KEEL_TO_USER.
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
	enum task_step res = TASK_FAIL;

	keel_need(vcpu, KEEL_R_ALL);
	if ((vcpu->cr0 & X86_CR0_PE) && !(vcpu->efer & EFER_LMA)) {
		t.old_eip = old_eip(&t, exit);
		res = check_tss(&t);
		if (res == TASK_OK)
			res = find_memory(&t);
		if (res == TASK_OK)
			res = leave_old(&t);
		if (res == TASK_OK)
			res = enter_new(&t);
	}
	if (res == TASK_FAIL)
		return keel_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, 0, NULL);
	return KEEL_RESUME;
}
