/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions, NMIs and interrupts that wait to enter the guest; pure. */
#ifndef KEEL_EVENT_H
#define KEEL_EVENT_H

#include "exit.h"

/**
 * struct keel_events - the events of one vCPU
 * @exc: an exception: @pending, not yet given to the CPU, or @injected, given to it and
 *	perhaps interrupted by an exit
 * @irq: an external or software interrupt that was taken from its source and must be delivered
 *	(until RFLAGS.IF is set, if an exception went in first)
 * @given: KEEL_EVENT_*: which of them goes to the CPU with the entry that is being made; the
 *	CPU takes one at a time, and what else is @injected stays
 * @nmi_pending: NMIs that wait, at most 2 (one held back by the one being handled)
 * @nmi_injected: given to the CPU
 * @nmi_masked: blocked until IRET
 */
struct keel_events {
	struct {
		bool pending, injected;
		u8 vector;
		bool has_error;
		bool has_payload;
		u32 error;
		u64 payload;
		u8 type;	/* enum keel_event_type */
		u8 insn_len;
	} exc;
	struct {
		bool injected;
		bool soft;
		u8 vector;
		u8 insn_len;
	} irq;
	unsigned int nmi_pending;
	unsigned int nmi_queued;	/* A: atomic_t semantics by xchg; from other threads */
	bool nmi_injected;
	bool nmi_masked;
	u8 given;
};

enum keel_queue_result { KEEL_QUEUED, KEEL_TRIPLE_FAULT };

bool keel_exception_has_error(u8 vector);
enum keel_queue_result keel_events_add_exception(struct keel_events *e, u8 vector,
						 bool has_error, u32 error,
						 bool has_payload, u64 payload);
void keel_events_requeue(struct keel_events *e, const struct keel_event *ev);
bool keel_events_any_injected(const struct keel_events *e);
void keel_events_delivered(struct keel_events *e);
void keel_events_behind_exception(struct keel_events *e);

/**
 * keel_events_clear_injected() - the guest ran: what had been given to the CPU is delivered
 * @e: the vCPU's events
 *
 * Nothing else is: an interrupt or an NMI behind which an exception came up, for example.
 */
static inline void keel_events_clear_injected(struct keel_events *e)
{
	if (e->given != KEEL_EVENT_NONE)
		keel_events_delivered(e);
}

#endif
