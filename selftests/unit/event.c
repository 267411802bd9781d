// SPDX-License-Identifier: GPL-2.0-only
/*
 * The queue of events (module/event.c): what two exceptions in a row make, for each
 * pair of vectors, against the table of SDM vol. 3, 'Interrupt 8-Double Fault
 * Exception' written out here once more; error codes; interrupted deliveries.
 */
#include <stdio.h>
#include <string.h>

#include <linux/bits.h>

#include "event.h"

static int tests, failed;

static void check(bool ok, const char *what)
{
	tests++;
	if (!ok)
		failed++;
	printf("%sok %d - %s\n", ok ? "" : "not ", tests, what);
}

enum class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

/* By vector, as the manual lists them; 21 is #CP. */
static enum class class_of(int vector)
{
	switch (vector) {
	case 0: case 10: case 11: case 12: case 13: case 21:
		return CONTRIBUTORY;
	case 14:
		return PAGE_FAULT;
	}
	return BENIGN;
}

static bool double_fault(int first, int second)
{
	static const bool table[3][3] = {
		[CONTRIBUTORY] = { [CONTRIBUTORY] = true },
		[PAGE_FAULT] = { [CONTRIBUTORY] = true, [PAGE_FAULT] = true },
	};

	return table[class_of(first)][class_of(second)];
}

static bool pair_is_right(int first, int second, bool injected)
{
	struct keel_events e = {};
	enum keel_queue_result res;

	keel_events_add_exception(&e, first, true, 0x11, true, 0x1234);
	if (injected) {
		e.exc.pending = false;
		e.exc.injected = true;
	}
	res = keel_events_add_exception(&e, second, true, 0x22, true, 0x5678);

	if (first == 8 && class_of(second) != BENIGN)
		return res == KEEL_TRIPLE_FAULT && !e.exc.pending && !e.exc.injected;
	if (res != KEEL_QUEUED || !e.exc.pending || e.exc.injected)
		return false;
	if (double_fault(first, second))
		return e.exc.vector == 8 && e.exc.has_error && e.exc.error == 0 &&
		       !e.exc.has_payload;
	return e.exc.vector == second && e.exc.error == 0x22 && e.exc.payload == 0x5678;
}

static void test_pairs(void)
{
	int first, second, wrong = 0;

	for (first = 0; first < 32; first++)
		for (second = 0; second < 32; second++)
			wrong += !pair_is_right(first, second, false) +
				 !pair_is_right(first, second, true);
	check(wrong == 0, "each pair of exceptions: the later one, a double fault, or shutdown");
}

static void test_error_codes(void)
{
	static const int with[] = { 8, 10, 11, 12, 13, 14, 17, 21, 29, 30 };
	int v, i, wrong = 0;

	for (v = 0; v < 256; v++) {
		bool has = false;

		for (i = 0; i < (int)(sizeof(with) / sizeof(with[0])); i++)
			has |= with[i] == v;
		wrong += keel_exception_has_error(v) != has;
	}
	check(wrong == 0, "error codes: with the vectors that have one, and with no other");
}

static void test_requeue(void)
{
	const struct keel_event irq = { .type = KEEL_EVENT_IRQ, .vector = 0x81 };
	const struct keel_event soft = { .type = KEEL_EVENT_SOFT_INT, .vector = 0x80, .insn_len = 2 };
	const struct keel_event nmi = { .type = KEEL_EVENT_NMI, .vector = 2 };
	const struct keel_event pf = { .type = KEEL_EVENT_EXCEPTION, .vector = 14,
				       .has_error = true, .error = 6 };
	const struct keel_event none = { .type = KEEL_EVENT_NONE };
	struct keel_events e = {};

	keel_events_requeue(&e, &none);
	check(!keel_events_any_injected(&e), "nothing interrupted, nothing to deliver again");

	keel_events_requeue(&e, &irq);
	check(e.irq.injected && e.irq.vector == 0x81 && !e.irq.soft, "an interrupt goes in again");
	keel_events_clear_injected(&e);
	check(e.irq.injected, "a run of the guest delivers nothing else");
	e.given = KEEL_EVENT_IRQ;
	keel_events_clear_injected(&e);
	check(!keel_events_any_injected(&e), "a run of the guest delivers what was given to it");

	keel_events_requeue(&e, &soft);
	check(e.irq.injected && e.irq.soft && e.irq.insn_len == 2, "INT n keeps its length");
	e.given = KEEL_EVENT_SOFT_INT;
	keel_events_clear_injected(&e);

	keel_events_requeue(&e, &nmi);
	check(e.nmi_injected && !e.irq.injected && !e.exc.injected, "an NMI goes in again");
	e.given = KEEL_EVENT_NMI;
	keel_events_clear_injected(&e);

	keel_events_requeue(&e, &pf);
	check(e.exc.injected && e.exc.vector == 14 && e.exc.has_error && e.exc.error == 6 &&
	      !e.exc.has_payload, "a page fault goes in again with its code, CR2 left alone");

	keel_events_add_exception(&e, 13, true, 0, false, 0);
	check(e.exc.pending && e.exc.vector == 8,
	      "a fault in the delivery of a page fault is a double fault");
}

static void test_behind_exception(void)
{
	struct keel_events e = {};

	e.exc.injected = true;
	e.given = KEEL_EVENT_EXCEPTION;
	e.irq.injected = true;
	e.irq.vector = 0x81;
	keel_events_behind_exception(&e);
	keel_events_clear_injected(&e);
	check(!e.exc.injected && e.irq.injected && e.irq.vector == 0x81,
	      "an interrupt behind an exception waits");

	e.irq.soft = true;
	keel_events_behind_exception(&e);
	check(!e.irq.injected, "INT n behind an exception is executed again");

	e.nmi_injected = true;
	e.nmi_masked = true;
	keel_events_behind_exception(&e);
	check(!e.nmi_injected && !e.nmi_masked && e.nmi_pending == 1,
	      "an NMI behind an exception is pending again, and NMIs are not blocked");
	e.nmi_injected = true;
	e.nmi_pending = 2;
	keel_events_behind_exception(&e);
	check(e.nmi_pending == 2, "no more than two NMIs wait");
}

int main(void)
{
	test_pairs();
	test_error_codes();
	test_requeue();
	test_behind_exception();
	printf("1..%d\n", tests);
	return failed != 0;
}
