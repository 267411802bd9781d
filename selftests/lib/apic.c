// SPDX-License-Identifier: GPL-2.0-only
/* Guest-side set-up of the local APIC and the 8259s. */
#include "apic.h"

bool apic_x2;

void apic_enable(void)
{
	apic_write(APIC_SVR, 0x1ff);
	apic_write(APIC_TPR, 0);
	/* Lines reach the 8259s too, whose vectors nobody has set up. */
	apic_write(APIC_LVT0, LVT_MASKED);
}

static void on_first(struct trap_frame *f)
{
	apic_eoi();
}

/*
 * Bochs forgets which event it delivers by APIC virtualisation: a VM exit in such a delivery tells
 * the one before. That it be an interrupt as well is all that a hypervisor needs.
 */
static void take_an_interrupt(void)
{
	bool enabled = read_flags() & FLAG_IF;

	guest_handlers[0xef] = on_first;
	apic_enable();
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0xef);
	sti();
	G_WAIT(guest_irqs[0xef]);
	guest_irqs[0xef] = 0;
	if (!enabled)
		cli();
	guest_handlers[0xef] = NULL;
}

void apic_enable_x2(void)
{
	if (test_bochs_vmx && !apic_x2)
		take_an_interrupt();
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2 | APIC_BASE_EN);
	apic_x2 = true;
	apic_enable();
}

void pic_init(u8 base, u16 unmasked)
{
	outb(PIC1, 0x11);
	outb(PIC2, 0x11);
	outb(PIC1 + 1, base);
	outb(PIC2 + 1, base + 8);
	outb(PIC1 + 1, 4);
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1);
	outb(PIC2 + 1, 1);
	outb(PIC1 + 1, ~unmasked);
	outb(PIC2 + 1, ~unmasked >> 8);
}
