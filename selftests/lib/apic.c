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

static void on_nothing(struct trap_frame *f)
{
}

/*
 * Bochs forgets which interrupt it delivers by APIC virtualisation: if the guest's IDT or stack is
 * not there yet, the VM exit tells the event before that one. So they are touched first.
 */
static void touch_idt_and_stack(void)
{
	guest_handlers[0xef] = on_nothing;
	asm volatile("int $0xef" : : : "memory");
	guest_handlers[0xef] = NULL;
}

void apic_enable_x2(void)
{
	if (test_bochs_vmx)
		touch_idt_and_stack();
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
