// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: injecting them, taking them back, and stopping when one can be taken (SDM vol. 3,
 * 'Event Injection', 'Information for VM Exits That Occur During Event Delivery',
 * 'Virtual NMIs', 'Interrupt-Window Exiting and Virtual-Interrupt Delivery').
 *
 * Everything is kept in memory until the entry: common code asks for events and windows
 * whether the VMCS is current or not.
 */
#include <linux/kernel.h>
#include <asm/trapnr.h>

#include "vmx.h"

/* ---- injection -------------------------------------------------------------------------- */

static const u32 hw_types[] = {
	[KEEL_EVENT_IRQ]	= INTR_TYPE_EXT_INTR,
	[KEEL_EVENT_NMI]	= INTR_TYPE_NMI_INTR,
	[KEEL_EVENT_EXCEPTION]	= INTR_TYPE_HARD_EXCEPTION,
	[KEEL_EVENT_SOFT_INT]	= INTR_TYPE_SOFT_INTR,
	[KEEL_EVENT_SOFT_EXC]	= INTR_TYPE_SOFT_EXCEPTION,
	[KEEL_EVENT_PRIV_EXC]	= INTR_TYPE_PRIV_SW_EXCEPTION,
};

/* #BP and #OF are what INT3 and INTO raise, and nothing else does. */
static u8 event_type(const struct keel_event *ev)
{
	if (ev->type == KEEL_EVENT_EXCEPTION &&
	    (ev->vector == X86_TRAP_BP || ev->vector == X86_TRAP_OF))
		return KEEL_EVENT_SOFT_EXC;
	return ev->type;
}

/* It is on its way in already, and must find nothing that blocks it. */
static void open_for_nmi(struct keel_vcpu *vcpu)
{
	keel_need(vcpu, KEEL_R_SHADOW);
	if (!vcpu->int_shadow && !vcpu->events.nmi_masked)
		return;
	vcpu->int_shadow = 0;
	vcpu->events.nmi_masked = false;
	keel_dirty(vcpu, KEEL_R_SHADOW);
}

void vmx_inject(struct keel_vcpu *vcpu, const struct keel_event *ev)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u8 type = event_type(ev);

	if (type == KEEL_EVENT_NONE || WARN_ON_ONCE(type >= ARRAY_SIZE(hw_types)))
		return;
	vmx->entry_info = INTR_INFO_VALID_MASK | hw_types[type] | ev->vector |
			  (ev->has_error ? INTR_INFO_DELIVER_CODE_MASK : 0);
	/* AMD's have 32 bits, which a client may have taken from there. */
	vmx->entry_error = (u16)ev->error;
	vmx->entry_len = 0;
	if (type == KEEL_EVENT_NMI)
		open_for_nmi(vcpu);
	vmx->entry_extint = vcpu->apicv && type == KEEL_EVENT_IRQ &&
			    !keel_lapic_in_service(vcpu, ev->vector);
	/* Without a length, that of the plain forms; 0 is not allowed everywhere. */
	if (type >= KEEL_EVENT_SOFT_INT)
		vmx->entry_len = ev->insn_len ?: type == KEEL_EVENT_SOFT_INT ? 2 : 1;
}

/*
 * vmx_write_event(): before the entry; the CPU clears the valid bit itself at the exit
 *
 * An event ends the wait in HLT, where the guest executes that without an exit: not all may
 * be injected into a halted CPU ('Checks on Guest Non-Register State').
 */
void vmx_write_event(struct vmx_vcpu *vmx)
{
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, vmx->entry_info);
	if (vmx->entry_info & INTR_INFO_DELIVER_CODE_MASK)
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, vmx->entry_error);
	if (vmx->entry_len)
		vmcs_write(VM_ENTRY_INSTRUCTION_LEN, vmx->entry_len);
	if (vmx->vcpu.vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT)
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
}

static u8 neutral_type(u32 info)
{
	int i;

	for (i = KEEL_EVENT_IRQ; i < ARRAY_SIZE(hw_types); i++) {
		if (hw_types[i] == (info & INTR_INFO_INTR_TYPE_MASK))
			return i;
	}
	return KEEL_EVENT_NONE;
}

static void read_event(u32 info, u32 error, u32 len, struct keel_event *ev)
{
	*ev = (struct keel_event) {
		.type = neutral_type(info),
		.vector = info & INTR_INFO_VECTOR_MASK,
		.has_error = info & INTR_INFO_DELIVER_CODE_MASK,
	};
	if (ev->has_error)
		ev->error = error;
	if (ev->type >= KEEL_EVENT_SOFT_INT)
		ev->insn_len = len;
}

void vmx_cancel_inject(struct keel_vcpu *vcpu, struct keel_event *ev)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	ev->type = KEEL_EVENT_NONE;
	if (vmx->entry_info)
		read_event(vmx->entry_info, vmx->entry_error, vmx->entry_len, ev);
	vmx->entry_info = 0;
}

/*
 * vmx_decode_vectoring(): the event whose delivery the exit interrupted, by valid @info
 *
 * An NMI's delivery has blocked NMIs already; it is to be injected once more, which must find
 * them open ('Resuming Guest Software after Handling an Exception').
 */
void vmx_decode_vectoring(struct vmx_vcpu *vmx, u32 info, struct keel_event *ev)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;
	u32 error = 0, len = 0;

	if (info & VECTORING_INFO_DELIVER_CODE_MASK)
		error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	if (neutral_type(info) >= KEEL_EVENT_SOFT_INT)
		len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	read_event(info, error, len, ev);
	if (vmx->apicv_on && ev->type == KEEL_EVENT_IRQ)
		vmx_apicv_fix_vector(vmx, ev);
	if (ev->type == KEEL_EVENT_NMI)
		open_for_nmi(vcpu);
}

/*
 * vmx_note_nmi_unblocked(): the exit says that an IRET had ended the blocking of NMIs before
 * it faulted: it will be executed again, and is not over ('Information for VM Exits Due to
 * Vectored Events', 'NMI unblocking due to IRET')
 */
void vmx_note_nmi_unblocked(struct vmx_vcpu *vmx)
{
	struct keel_vcpu *vcpu = &vmx->vcpu;

	keel_need(vcpu, KEEL_R_SHADOW);
	vcpu->events.nmi_masked = true;
	keel_dirty(vcpu, KEEL_R_SHADOW);
}

/* ---- what can be taken ------------------------------------------------------------------ */

bool vmx_event_allowed(struct keel_vcpu *vcpu, enum keel_event_type type)
{
	if (to_vmx(vcpu)->entry_info)
		return false;
	keel_need(vcpu, KEEL_R_SHADOW);
	if (vcpu->int_shadow)
		return false;
	if (type == KEEL_EVENT_NMI)
		return !vcpu->events.nmi_masked;
	return keel_rflags(vcpu) & X86_EFLAGS_IF;
}

/*
 * The NMI window does not look at blocking by STI, in which an NMI may not be injected on all
 * CPUs; the interrupt window opens right behind it ('Other Causes of VM Exits').  An event that
 * goes in with this entry ends that blocking by itself, and its gate may clear IF.
 */
static u32 window_controls(struct keel_vcpu *vcpu, u32 windows)
{
	u32 bits = windows & KEEL_WIN_IRQ ? CPU_BASED_INTR_WINDOW_EXITING : 0;

	if (windows & KEEL_WIN_NMI) {
		keel_need(vcpu, KEEL_R_SHADOW);
		bits |= (vcpu->int_shadow & KVM_X86_SHADOW_INT_STI) && !to_vmx(vcpu)->entry_info ?
			CPU_BASED_INTR_WINDOW_EXITING : CPU_BASED_NMI_WINDOW_EXITING;
	}
	return bits;
}

void vmx_want_window(struct keel_vcpu *vcpu, u32 windows)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const u32 both = CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING;

	/* KEEL_WIN_TPR: vmx_update_tpr_threshold() */
	if (!((vmx->windows | windows) & ~KEEL_WIN_TPR)) {
		vmx->windows = windows;
		return;
	}
	vmx->windows = windows;
	vmx_want(vmx, VMX_CTL_CPU, (vmx->ctl[VMX_CTL_CPU] & ~both) | window_controls(vcpu, windows));
}
