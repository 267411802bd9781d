/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The switch to the guest and back (APM vol. 2, 'VMRUN Instruction', '#VMEXIT',
 * 'VMSAVE and VMLOAD Instructions', 'Global Interrupt Flag, STGI and CLGI
 * Instructions').
 *
 * CLGI comes first: from there on no interrupt, NMI, SMI or INIT can come between
 * the host's and the guest's state, in particular while GS's base is the guest's.
 * It is also the one instruction that may find SVM off (a CPU that was made ready
 * for reboot or kexec by an interrupt or an NMI): #UD then, and its fixup.
 *
 * RFLAGS.IF of the host decides whether physical interrupts end the guest's run,
 * as the VMCB has V_INTR_MASKING.  It is set right after CLGI, with other
 * instructions between it and VMRUN: CPUs let STI's shadow leak into the guest's.
 *
 * Until the return there is no RET and no indirect branch between the exit and
 * the host's return predictions and SPEC_CTRL being back in place.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include "../compat.h"
#include "switch.h"
#include "../entry_macros.h"

/* Kernels that know buffers to be cleared for guests alone have their own name for it. */
#ifndef VM_CLEAR_CPU_BUFFERS
#define VM_CLEAR_CPU_BUFFERS	CLEAR_CPU_BUFFERS
#endif

/*
 * A division by zero leaves the last quotient to be guessed from (Zen 1): a
 * harmless division overwrites the host's.  Clobbers RAX, RCX, RDX.
 */
.macro clear_divider
	xor	%eax, %eax
	xor	%edx, %edx
	mov	$1, %ecx
	ALTERNATIVE "", "div %ecx", X86_BUG_DIV0
.endm

	.section .noinstr.text, "ax"

/**
 * svm_switch - enter the guest, come back after its exit
 * @gpr:	RDI: vcpu->gpr; RAX and RSP are in the VMCB
 * @sw:		RSI: struct svm_switch
 *
 * Interrupts off before and after; a physical NMI that ended the guest's run is
 * taken at STGI.  Returns 0; 1 if SVM was off and nothing was done.
 */
SYM_FUNC_START(svm_switch)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rsi
	push	%rdi

1:	clgi
	sti
	/*
	 * The host's FS, GS, LDTR, TR, KERNEL_GS_BASE and system-call MSRs, each time
	 * anew: another thread may have changed the process's LDT by an IPI since the
	 * last entry.
	 */
	mov	SWITCH_HOST_PA(%rsi), %rax
	vmsave	%rax

	clear_divider
	guest_spec_ctrl

	mov	SWITCH_VMCB_PA(%rsi), %rax
	vmload	%rax
	load_guest_gprs
	/* VERW (TSA): behind the last load of the host's. */
	VM_CLEAR_CPU_BUFFERS
	vmrun	%rax

	save_guest_gprs
	vmsave	%rax
	mov	ON_STACK_SWITCH, %rsi
	mov	SWITCH_HOST_PA(%rsi), %rax
	vmload	%rax

	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT
	host_spec_ctrl
	/* Before anything that returns: interrupt handlers do not do it on the way out. */
	VALIDATE_UNRET_END
	CALL_UNTRAIN_RET
	exit_ibpb
	clear_gprs

	cli
	stgi
	xor	%eax, %eax
2:	add	$16, %rsp
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

3:	mov	$1, %eax
	jmp	2b

	_ASM_EXTABLE(1b, 3b)
SYM_FUNC_END(svm_switch)
