// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions, NMIs and interrupts waiting to enter the guest: which error codes
 * they have, what two exceptions in a row make, what an interrupted delivery goes
 * back to.  Pure: nothing here knows of vCPUs; the unit tests build it as it is.
 */
#include <linux/bits.h>
#include <linux/string.h>

#include "event.h"

enum { DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14, AC = 17, CP = 21, VC = 29, SX = 30 };

/* Vectors that push an error code (SDM, 'Protected-Mode Exceptions and Interrupts'; APM adds 29, 30). */
#define HAS_ERROR	(BIT(DF) | BIT(TS) | BIT(NP) | BIT(SS) | BIT(GP) | BIT(PF) | BIT(AC) | \
			 BIT(CP) | BIT(VC) | BIT(SX))
/* The contributory class of SDM, 'Interrupt 8-Double Fault Exception'. */
#define CONTRIBUTORY	(BIT(0) | BIT(TS) | BIT(NP) | BIT(SS) | BIT(GP) | BIT(CP))

/**
 * keel_exception_has_error() - does this exception push an error code in protected mode?
 * @vector: its vector
 */
bool keel_exception_has_error(u8 vector)
{
	return vector < 32 && (HAS_ERROR & BIT(vector));
}

static bool contributory(u8 vector)
{
	return vector < 32 && (CONTRIBUTORY & BIT(vector));
}

static bool makes_double_fault(u8 first, u8 second)
{
	if (contributory(first))
		return contributory(second);
	return first == PF && (contributory(second) || second == PF);
}

/**
 * keel_events_add_exception() - an exception has come up
 * @e: the vCPU's events
 * @vector: its vector
 * @has_error: it pushes an error code
 * @error: that code
 * @has_payload: it changes CR2 or DR6 when it is delivered
 * @payload: to this, or by these bits
 *
 * With one on its way already (waiting, or given to the CPU and interrupted), the two
 * become what the architecture makes of them: a double fault, a shutdown, or the
 * later one alone, whose handler returns to what raises the first again.
 *
 * Return: KEEL_QUEUED or KEEL_TRIPLE_FAULT; then nothing is queued.
 */
enum keel_queue_result keel_events_add_exception(struct keel_events *e, u8 vector,
						 bool has_error, u32 error,
						 bool has_payload, u64 payload)
{
	if (e->exc.pending || e->exc.injected) {
		u8 first = e->exc.vector;

		if (first == DF && (contributory(vector) || vector == PF)) {
			memset(&e->exc, 0, sizeof(e->exc));
			return KEEL_TRIPLE_FAULT;
		}
		if (makes_double_fault(first, vector)) {
			vector = DF;
			has_error = true;
			error = 0;
			has_payload = false;
			payload = 0;
		}
	}
	memset(&e->exc, 0, sizeof(e->exc));
	e->exc.pending = true;
	e->exc.vector = vector;
	e->exc.has_error = has_error;
	e->exc.error = error;
	e->exc.has_payload = has_payload;
	e->exc.payload = payload;
	e->exc.type = KEEL_EVENT_EXCEPTION;
	return KEEL_QUEUED;
}

/**
 * keel_events_requeue() - the delivery of @ev did not come to its end
 * @e: the vCPU's events
 * @ev: the event that was being delivered
 *
 * It must be delivered again with the next entry; it was taken from its source
 * (APIC, pending NMI) before and does not come from there again.
 */
void keel_events_requeue(struct keel_events *e, const struct keel_event *ev)
{
	switch (ev->type) {
	case KEEL_EVENT_NMI:
		e->nmi_injected = true;
		break;
	case KEEL_EVENT_IRQ:
	case KEEL_EVENT_SOFT_INT:
		e->irq.injected = true;
		e->irq.soft = ev->type == KEEL_EVENT_SOFT_INT;
		e->irq.vector = ev->vector;
		e->irq.insn_len = ev->insn_len;
		break;
	case KEEL_EVENT_EXCEPTION:
	case KEEL_EVENT_SOFT_EXC:
	case KEEL_EVENT_PRIV_EXC:
		memset(&e->exc, 0, sizeof(e->exc));
		e->exc.injected = true;
		e->exc.type = ev->type;
		e->exc.vector = ev->vector;
		e->exc.has_error = ev->has_error;
		e->exc.error = ev->error;
		e->exc.insn_len = ev->insn_len;
		break;
	}
}

/**
 * keel_events_any_injected() - has something been given to the CPU that is not delivered yet?
 * @e: the vCPU's events
 */
bool keel_events_any_injected(const struct keel_events *e)
{
	return e->exc.injected || e->nmi_injected || e->irq.injected;
}

/* The slow half of keel_events_clear_injected(). */
void keel_events_delivered(struct keel_events *e)
{
	switch (e->given) {
	case KEEL_EVENT_NMI:
		e->nmi_injected = false;
		break;
	case KEEL_EVENT_IRQ:
	case KEEL_EVENT_SOFT_INT:
		e->irq.injected = false;
		break;
	default:
		e->exc.injected = false;
	}
	e->given = KEEL_EVENT_NONE;
}

/**
 * keel_events_behind_exception() - an exception goes in before what else was to go in again
 * @e: the vCPU's events
 *
 * The NMI's handler has not begun, so it is one that waits, and blocks no other.  INT n is
 * where the exception's handler returns to, and is executed again.  An interrupt, which its
 * controller believes to be in service, keeps its place and waits for RFLAGS.IF, which the
 * handler's gate may clear.
 */
void keel_events_behind_exception(struct keel_events *e)
{
	if (e->nmi_injected) {
		e->nmi_injected = false;
		e->nmi_masked = false;
		if (e->nmi_pending < 2)
			e->nmi_pending++;
	}
	if (e->irq.soft)
		e->irq.injected = false;
}
