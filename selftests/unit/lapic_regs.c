// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules over a local APIC's registers (module/irqchip/lapic_regs.c), against
 * Intel SDM vol. 3, 'Advanced Programmable Interrupt Controller (APIC)': each
 * expectation is written out or computed here in another way than there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "irqchip/lapic_regs.h"

static int tests, failed;

static void check(bool ok, const char *what)
{
	tests++;
	if (!ok)
		failed++;
	printf("%sok %d - %s\n", ok ? "" : "not ", tests, what);
}

/* A page of its own, so that the sanitizer sees every byte beyond it. */
static void *new_page(void)
{
	void *page = aligned_alloc(LAPIC_PAGE_SIZE, LAPIC_PAGE_SIZE);

	memset(page, 0, LAPIC_PAGE_SIZE);
	return page;
}

/* ---- the 256-bit registers --------------------------------------------------------- */

/* Vector v is bit v % 32 of the word at 16 * (v / 32) behind the register's first. */
static bool vector_lies_right(void *page, int v)
{
	const u32 *word = page + LAPIC_IRR + 16 * (v / 32);
	int other;

	memset(page, 0, LAPIC_PAGE_SIZE);
	if (lapic_vec_test_and_set(page, LAPIC_IRR, v) || *word != 1u << (v % 32))
		return false;
	if (!lapic_vec_test_and_set(page, LAPIC_IRR, v))
		return false;
	for (other = 0; other < 256; other++) {
		if (lapic_vec_test(page, LAPIC_IRR, other) != (other == v))
			return false;
	}
	lapic_vec_clear(page, LAPIC_IRR, v);
	for (other = 0; other < LAPIC_PAGE_SIZE; other++) {
		if (((u8 *)page)[other])
			return false;
	}
	return true;
}

static void test_vectors(void *page)
{
	bool ok = true;
	int v, w;

	for (v = 0; v < 256; v++)
		ok &= vector_lies_right(page, v);
	check(ok, "each vector has its bit, and touches no other");

	memset(page, 0, LAPIC_PAGE_SIZE);
	check(lapic_vec_highest(page, LAPIC_ISR) == -1, "the highest of none is -1");

	ok = true;
	for (v = 0; v < 256; v++) {
		for (w = 0; w < 256; w++) {
			memset(page, 0, LAPIC_PAGE_SIZE);
			lapic_vec_set(page, LAPIC_ISR, v);
			lapic_vec_set(page, LAPIC_ISR, w);
			ok &= lapic_vec_highest(page, LAPIC_ISR) == (v > w ? v : w);
			ok &= lapic_vec_count(page, LAPIC_ISR) == 1 + (v != w);
		}
	}
	check(ok, "of any two the higher is found, and both are counted");
}

/* ---- priorities -------------------------------------------------------------------- */

/*
 * 'Task and Processor Priorities': the class of PPR is the higher of TPR's and the
 * ISR vector's; the sub-class is TPR's if its class is the higher or equal, else 0.
 */
static u8 manual_ppr(u8 tpr, int isr)
{
	int tpr_class = tpr / 16, isr_class = isr < 0 ? 0 : isr / 16;

	if (tpr_class > isr_class)
		return tpr;
	return tpr_class == isr_class ? tpr : isr_class * 16;
}

static void test_priorities(void *page)
{
	bool ppr = true, apr = true;
	int tpr, isr;

	for (tpr = 0; tpr < 256; tpr++) {
		for (isr = -1; isr < 256; isr++) {
			memset(page, 0, LAPIC_PAGE_SIZE);
			lapic_set(page, LAPIC_TPR, tpr);
			if (isr >= 0)
				lapic_vec_set(page, LAPIC_ISR, isr);
			ppr &= lapic_ppr(page) == manual_ppr(tpr, isr);
			lapic_vec_set(page, LAPIC_IRR, 0x75);
			apr &= lapic_arbitration(page) / 16 >= 7 &&
			       lapic_arbitration(page) / 16 >= manual_ppr(tpr, isr) / 16;
		}
	}
	check(ppr, "PPR for each TPR and vector in service");
	check(apr, "what waits or is in service raises the arbitration priority");
}

/* ---- destinations ------------------------------------------------------------------ */

static void xapic(void *page, u8 id, u8 ldr, bool flat)
{
	memset(page, 0, LAPIC_PAGE_SIZE);
	lapic_set(page, LAPIC_ID, (u32)id << 24);
	lapic_set(page, LAPIC_LDR, (u32)ldr << 24);
	lapic_set(page, LAPIC_DFR, flat ? LAPIC_DFR_FLAT : LAPIC_DFR_CLUSTER);
}

static void test_xapic_match(void *page)
{
	const struct keel_apic_ident me = { .x2apic = false, .x2id = 5 };
	const struct keel_apic_ident wide = { .x2apic = false, .x2id = 300 };
	bool phys = true, flat = true, cluster = true;
	int ldr, dest;

	for (dest = 0; dest < 256; dest++) {
		xapic(page, 5, 0, true);
		phys &= lapic_match(page, &me, dest, false) == (dest == 5 || dest == 255);
		for (ldr = 0; ldr < 256; ldr++) {
			xapic(page, 5, ldr, true);
			flat &= lapic_match(page, &me, dest, true) ==
				(dest == 255 || (ldr & dest) != 0);
			xapic(page, 5, ldr, false);
			cluster &= lapic_match(page, &me, dest, true) ==
				   (dest == 255 || (ldr / 16 == dest / 16 &&
						    (ldr % 16 & dest % 16) != 0));
		}
	}
	check(phys, "xAPIC, physical: its id and 0xff");
	check(flat, "xAPIC, flat: any common bit");
	check(cluster, "xAPIC, cluster: same cluster and any common bit");

	xapic(page, 5, 0xff, true);
	check(!lapic_match(page, &me, 0x101, true), "xAPIC, logical: no 32-bit destination");
	check(!lapic_match(page, &me, 0x105, false), "xAPIC, physical: all 32 bits count");
	xapic(page, 300 & 0xff, 0, true);
	check(lapic_match(page, &wide, 300, false) && lapic_match(page, &wide, 300 & 0xff, false),
	      "xAPIC, physical: an id beyond 8 bits is reached by it, and by what the register shows");
}

static void test_x2apic_match(void *page)
{
	struct keel_apic_ident me = { .x2apic = true };
	bool phys = true, logical = true, ldr_ok = true;
	u32 id, other;

	for (id = 0; id < 1024; id++) {
		memset(page, 0, LAPIC_PAGE_SIZE);
		me.x2id = id;
		lapic_set(page, LAPIC_ID, id);
		lapic_set(page, LAPIC_LDR, lapic_x2apic_ldr(id));
		ldr_ok &= lapic_get(page, LAPIC_LDR) == ((id / 16) * 65536 + (1u << id % 16));
		for (other = 0; other < 1024; other += 7) {
			phys &= lapic_match(page, &me, other, false) == (other == id);
			logical &= lapic_match(page, &me, lapic_x2apic_ldr(other), true) ==
				   (other == id);
		}
		phys &= lapic_match(page, &me, 0xffffffff, false);
		phys &= lapic_match(page, &me, 0xff, false) == (id == 255);
		logical &= lapic_match(page, &me, (id / 16) << 16 | 0xffff, true);
		logical &= !lapic_match(page, &me, (id / 16 + 1) << 16 | 0xffff, true);
	}
	check(ldr_ok, "x2APIC: the logical id follows from the id");
	check(phys, "x2APIC, physical: its id and 0xffffffff; 0xff is an id");
	check(logical, "x2APIC, logical: its cluster and bit");
}

/* ---- IA32_APIC_BASE ---------------------------------------------------------------- */

#define EN	(1 << 11)
#define EXTD	(1 << 10)

static void test_base(void)
{
	static const u64 state[3] = { 0, EN, EN | EXTD };
	/* 'x2APIC State Transitions': from disabled, xAPIC, x2APIC to each. */
	static const bool allowed[3][3] = {
		{ true, true, false },
		{ true, true, true },
		{ true, false, true },
	};
	bool guest = true, host = true;
	int from, to;

	for (from = 0; from < 3; from++) {
		for (to = 0; to < 3; to++) {
			guest &= lapic_base_ok(state[from], state[to], 0, false) == allowed[from][to];
			host &= lapic_base_ok(state[from], state[to], 0, true);
		}
		guest &= !lapic_base_ok(state[from], EXTD, 0, false);
		host &= !lapic_base_ok(state[from], EXTD, 0, true);
	}
	check(guest, "IA32_APIC_BASE: the guest's transitions");
	check(host, "IA32_APIC_BASE: user space may set any valid state");
	check(!lapic_base_ok(EN, EN | 1ull << 52, 1ull << 52, true) &&
	      lapic_base_ok(EN, EN | 1ull << 52, 0, true), "IA32_APIC_BASE: reserved bits");
}

/* ---- registers --------------------------------------------------------------------- */

static void test_divide(void)
{
	/* 'Divide Configuration Register': bits 3, 1, 0. */
	static const struct { u32 dcr; unsigned int by; } t[] = {
		{ 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 },
		{ 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
	};
	bool ok = true;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ok &= lapic_timer_divide(t[i].dcr) == t[i].by &&
		      lapic_timer_divide(t[i].dcr | 4) == t[i].by;
	check(ok, "timer divisors");
}

static void test_reset(void *page)
{
	unsigned int reg;
	bool masked = true;

	memset(page, 0xa5, LAPIC_PAGE_SIZE);
	lapic_regs_reset(page, true);
	for (reg = 0x320; reg <= 0x370; reg += 0x10)
		masked &= lapic_get(page, reg) == 0x10000;
	check(masked, "reset masks all LVT entries");
	check(lapic_get(page, LAPIC_SVR) == 0xff && lapic_get(page, LAPIC_DFR) == 0xffffffff,
	      "reset: software disabled, spurious vector 0xff, flat model");
	check(lapic_get(page, LAPIC_ID) == 0xa5a5a5a5, "INIT keeps the id");
	check(lapic_vec_highest(page, LAPIC_IRR) == -1 && lapic_vec_highest(page, LAPIC_ISR) == -1 &&
	      !lapic_get(page, LAPIC_TPR) && !lapic_get(page, LAPIC_TIMER_ICR), "the rest is 0");
	lapic_regs_reset(page, false);
	check(!lapic_get(page, LAPIC_ID), "power-up does not keep the id");
}

/* 'Local APIC Register Address Map' and 'x2APIC Register Address Space'. */
static void test_readable(void)
{
	static const unsigned int both[] = {
		0x20, 0x30, 0x80, 0xa0, 0xd0, 0xf0, 0x100, 0x170, 0x180, 0x1f0, 0x200, 0x270,
		0x280, 0x300, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3e0,
	};
	static const unsigned int xapic_only[] = { 0x90, 0xb0, 0xc0, 0xe0, 0x310 };
	static const unsigned int neither[] = { 0x0, 0x10, 0x40, 0x290, 0x2f0, 0x3a0, 0x3f0, 0x400 };
	bool ok = true;
	size_t i;

	for (i = 0; i < sizeof(both) / sizeof(both[0]); i++)
		ok &= lapic_readable(both[i], false) && lapic_readable(both[i], true);
	for (i = 0; i < sizeof(xapic_only) / sizeof(xapic_only[0]); i++)
		ok &= lapic_readable(xapic_only[i], false) && !lapic_readable(xapic_only[i], true);
	for (i = 0; i < sizeof(neither) / sizeof(neither[0]); i++)
		ok &= !lapic_readable(neither[i], false) && !lapic_readable(neither[i], true);
	check(ok, "which registers can be read in which mode");
}

static void test_x2apic_values(void)
{
	const u32 modes = 3u << 17;

	check(lapic_x2apic_value_ok(LAPIC_EOI, 0, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_EOI, 1, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_ESR, 1, modes, false), "x2APIC: EOI and ESR take only 0");
	check(lapic_x2apic_value_ok(LAPIC_TPR, 0xff, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_TPR, 0x100, modes, false), "x2APIC: TPR has 8 bits");
	check(lapic_x2apic_value_ok(LAPIC_ICR, 0xffffffff000ccfffull, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_ICR, 1 << 13, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_ICR, 1 << 20, modes, false), "x2APIC: ICR's reserved bits");
	check(lapic_x2apic_value_ok(LAPIC_LVT_TIMER, 0x40031, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_LVT_TIMER, 0x40031, 1u << 17, false) &&
	      !lapic_x2apic_value_ok(LAPIC_LVT_TIMER, 0x431, modes, false),
	      "x2APIC: the timer's mode bits are there if the CPU has the mode");
	check(!lapic_x2apic_value_ok(LAPIC_SVR, 0x11ff, modes, false) &&
	      lapic_x2apic_value_ok(LAPIC_SVR, 0x11ff, modes, true),
	      "x2APIC: EOI broadcast suppression");
	check(!lapic_x2apic_value_ok(LAPIC_ID, 0, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_PPR, 0, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_TIMER_CCR, 0, modes, false) &&
	      !lapic_x2apic_value_ok(LAPIC_DFR, 0, modes, false), "x2APIC: read-only registers");
}

int main(void)
{
	void *page = new_page();

	printf("TAP version 13\n");
	test_vectors(page);
	test_priorities(page);
	test_xapic_match(page);
	test_x2apic_match(page);
	test_base();
	test_divide();
	test_reset(page);
	test_readable();
	test_x2apic_values();
	printf("1..%d\n", tests);
	free(page);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
