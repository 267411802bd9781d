// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's local APIC in the CPU: the TPR shadow, and with virtual-interrupt delivery the
 * whole way from IRR through ISR to EOI, for guests in x2APIC mode (SDM vol. 3, 'APIC
 * Virtualization and Virtual Interrupts').
 *
 * The virtual-APIC page is the page of registers that the software APIC has.
 */
#include <linux/io.h>
#include <linux/kernel.h>

#include "../irqchip/lapic_regs.h"
#include "vmx.h"

#define APICV_CONTROLS	(SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | SECONDARY_EXEC_APIC_REGISTER_VIRT | \
			 SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)

/* Guest interrupt status: RVI in the low byte, SVI above. */
#define SVI_SHIFT	8

/*
 * vmx_apicv_init(): for a vCPU after RESET; the VMCS is current
 *
 * Without a local APIC here, or a TPR shadow in the CPU, each access to CR8 exits.
 */
void vmx_apicv_init(struct vmx_vcpu *vmx)
{
	bool shadow = vmx_caps.tpr_shadow && vmx->vcpu.lapic;

	vmx_want_bits(vmx, VMX_CTL_CPU, CPU_BASED_TPR_SHADOW, shadow);
	vmx_want_bits(vmx, VMX_CTL_CPU, CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING,
		      !shadow);
	if (shadow)
		vmcs_write(VIRTUAL_APIC_PAGE_ADDR, virt_to_phys(keel_lapic_page(&vmx->vcpu)));
	vmx->vcpu.apicv_stale = true;
}

/*
 * vmx_update_tpr_threshold(): before an entry without virtual-interrupt delivery
 *
 * The guest's CR8 falling below the class of an interrupt that it holds back must exit.  A
 * threshold above it already would fail the entry ('VM-Execution Control Fields').
 */
void vmx_update_tpr_threshold(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;
	u32 threshold = 0;

	if (unlikely(vmx->windows & KEEL_WIN_TPR) &&
	    (vmx->ctl[VMX_CTL_CPU] & CPU_BASED_TPR_SHADOW)) {
		int irr = keel_lapic_highest_irr(vcpu);

		if (irr >= 0)
			threshold = min_t(u32, irr >> 4, keel_lapic_tpr(vcpu));
	}
	vmx_want(vmx, VMX_CTL_TPR_THRESHOLD, threshold);
}

static void turn(struct vmx_vcpu *vmx, bool on)
{
	int i;

	vmx->apicv_on = on;
	vmx_want_bits(vmx, VMX_CTL_CPU2, APICV_CONTROLS, on);
	vmx_want(vmx, VMX_CTL_TPR_THRESHOLD, 0);
	vmx_msr_bitmap_x2apic(vmx, on);
	vmx->vcpu.apicv_stale = on;
	for (i = 0; on && i < ARRAY_SIZE(vmx->eoi_exits); i++) {
		vmx->eoi_exits[i] = 0;
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, 0);
	}
}

/* Vectors whose EOI somebody besides the local APIC waits for, among those that may have one. */
static void update_eoi_exits(struct vmx_vcpu *vmx)
{
	u64 want[ARRAY_SIZE(vmx->eoi_exits)];
	int i;

	memcpy(want, vmx->eoi_exits, sizeof(want));
	keel_lapic_eoi_exits(&vmx->vcpu, want);
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		if (likely(want[i] == vmx->eoi_exits[i]))
			continue;
		vmx->eoi_exits[i] = want[i];
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, want[i]);
	}
}

/*
 * vmx_apicv_fix_vector(): the interrupt whose delivery was interrupted, in @ev
 *
 * One that the local APIC has delivered is in service.  Bochs 2.7 gives another vector for it:
 * VMX_Deliver_Virtual_Interrupt() leaves the IDT-vectoring information as it was.  One of the
 * PIC's, which software injects, is not in service.
 */
void vmx_apicv_fix_vector(struct vmx_vcpu *vmx, struct keel_event *ev)
{
	if (!vmx->entry_extint && !keel_lapic_in_service(&vmx->vcpu, ev->vector))
		ev->vector = vmcs_read(GUEST_INTR_STATUS) >> SVI_SHIFT;
}

/*
 * vmx_apicv_sync(): before an entry, interrupts off: tell the CPU what has come for the guest,
 * and where software has changed it, what the guest has in service
 */
void vmx_apicv_sync(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;
	u16 status, old;
	int irr;

	if (unlikely(vcpu->apicv != vmx->apicv_on))
		turn(vmx, vcpu->apicv);
	if (!vcpu->apicv)
		return;

	irr = keel_lapic_sync_irr(vcpu);
	if (irr < 0 && likely(!vcpu->apicv_stale))
		return;
	update_eoi_exits(vmx);

	old = vmcs_read(GUEST_INTR_STATUS);
	status = max(irr, 0) | (old & ~0xff);
	if (unlikely(vcpu->apicv_stale)) {
		vcpu->apicv_stale = false;
		status = max(irr, 0) | max(keel_lapic_highest_isr(vcpu), 0) << SVI_SHIFT;
	}
	if (status != old)
		vmcs_write(GUEST_INTR_STATUS, status);
}
