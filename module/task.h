/* SPDX-License-Identifier: GPL-2.0-only */
/* A task switch on its way: task_switch.c, and the memory and segments it needs, task_mem.c. */
#ifndef KEEL_TASK_H
#define KEEL_TASK_H

#include "keel.h"

/* Segments in the order of a TSS. */
enum { TASK_ES, TASK_CS, TASK_SS, TASK_DS, TASK_FS, TASK_GS, TASK_NR_SEGS };

/* 'Task-State Segment (TSS)'; the upper half of each selector's field is reserved. */
struct tss32 {
	u32 link, stacks[6], cr3, eip, eflags, gpr[8], sel[TASK_NR_SEGS], ldt;
	u16 trap, iomap;
};
static_assert(sizeof(struct tss32) == 0x68);

/* Type field of a descriptor. */
#define TYPE_ACCESSED	BIT(0)
#define TYPE_BUSY	BIT(1)	/* TSS */
#define TYPE_RW		BIT(1)	/* data: writable, code: readable */
#define TYPE_DOWN	BIT(2)	/* data that expands down */
#define TYPE_CONFORMING	BIT(2)	/* code */
#define TYPE_32		BIT(3)	/* TSS */
#define TYPE_CODE	BIT(3)
#define TYPE_TSS	1
#define TYPE_LDT	2
#define TYPE_BYTE	5	/* of a descriptor: type, S, DPL, P */

/*
 * What a step returns.  STOP: the guest goes on without the rest, an exception being queued;
 * CHANGED: another CPU was faster, and it is to be looked at again; FAIL: user space is told;
 * negative: an errno for KVM_RUN.
 */
enum { TASK_OK, TASK_STOP, TASK_CHANGED, TASK_FAIL };

/* Linear addresses that have been translated; at most a page of them. */
struct task_area {
	gpa_t gpa[2];
	unsigned int len[2];
};

/**
 * struct task_switch - a task switch on its way
 * @vcpu: the vCPU
 * @event: what is being delivered through a gate in the IDT; type NONE if it is none
 * @selector: of the new TSS
 * @source: enum keel_task_source
 * @ext: @event is not the program's own doing: bit 0 of error codes
 * @tr: the new TR
 * @old_eip: where the old task goes on
 * @old_state, @new_state: of the two TSSs, what is saved or loaded
 * @link: the new TSS's back link
 * @old_type, @new_type: TYPE_BYTE of the TSSs' descriptors
 */
struct task_switch {
	struct keel_vcpu *vcpu;
	const struct keel_event *event;
	u16 selector;
	u8 source;
	bool ext;
	struct kvm_segment tr;
	u32 old_eip;
	struct task_area old_state, new_state, link, new_type, old_type;
};

/* With an error code; together with the event being delivered it may become a double fault. */
static inline int task_raise(struct task_switch *t, u8 vector, u16 selector)
{
	keel_queue_exception_e(t->vcpu, vector, (selector & ~3) | t->ext);
	return TASK_STOP;
}

/* P, DPL, S and type, as in memory. */
static inline u8 task_type_byte(const struct kvm_segment *seg)
{
	return seg->type | seg->s << 4 | seg->dpl << 5 | seg->present << 7;
}

int task_find(struct task_switch *t, u64 linear, unsigned int len, u32 access,
	      struct task_area *area);
int task_read(struct task_switch *t, const struct task_area *area, void *buf);
int task_write(struct task_switch *t, const struct task_area *area, const void *buf);
int task_replace(struct task_switch *t, const struct task_area *area, u8 old, u8 new);
bool task_locate(struct task_switch *t, u16 selector, u64 *linear);
int task_read_descriptor(struct task_switch *t, u64 linear, u16 selector,
			 struct kvm_segment *seg);
void task_clear_segments(struct task_switch *t, const struct tss32 *new);
int task_load_segments(struct task_switch *t, const struct tss32 *new);
int task_push_error(struct task_switch *t);

#endif
