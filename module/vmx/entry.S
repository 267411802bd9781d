/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The switch to the guest and back (SDM vol. 3, 'VM Entries', 'VM Exits',
 * 'VMLAUNCH/VMRESUME').
 *
 * Any of VMWRITE, VMLAUNCH and VMRESUME may find VMX off (a CPU that was made ready for
 * reboot or kexec by an interrupt or an NMI): #UD then, and its fixup.
 *
 * Between the exit and the host's return predictions and SPEC_CTRL being back in place there is
 * no RET and no indirect branch, and the branches that are there end at an LFENCE.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>
#include "../compat.h"
#include "switch.h"
#include "../entry_macros.h"

#define HOST_RSP_FIELD	0x6c14

	.section .noinstr.text, "ax"

/*
 * Branch history injection, on CPUs whose SPEC_CTRL cannot keep the guest's history from
 * predicting the host's indirect branches: so many taken branches overwrite it (Intel's
 * technical documentation, 'Branch History Injection and Intra-mode Branch Target Injection',
 * 'Software BHB-clearing sequence').  Clobbers RAX, RCX.
 */
SYM_FUNC_START_LOCAL(clear_branch_history)
	mov	$5, %ecx
	call	.Lbhb_outer
	lfence
	RET
	.align 64, 0xcc
.Lbhb_outer:
	call	.Lbhb_inner
	RET
	.align 64, 0xcc
.Lbhb_inner:
	mov	$5, %eax
.Lbhb_again:
	jmp	.Lbhb_taken
	nop
.Lbhb_taken:
	sub	$1, %eax
	jnz	.Lbhb_again
	sub	$1, %ecx
	jnz	.Lbhb_outer
	RET
SYM_FUNC_END(clear_branch_history)
/* The calls go deeper each time around, which objtool cannot follow. */
STACK_FRAME_NON_STANDARD clear_branch_history

/**
 * vmx_switch - enter the guest, come back after its exit
 * @gpr:	RDI: vcpu->gpr; RSP is in the VMCS
 * @sw:		RSI: struct vmx_switch
 *
 * Interrupts off before and after; after an exit for an NMI, NMIs are blocked.  The VMCS is
 * current.  Returns SWITCH_EXIT, SWITCH_FAIL or SWITCH_OFF in EAX.
 */
SYM_FUNC_START(vmx_switch)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rsi
	push	%rdi

	cmp	%rsp, SWITCH_HOST_RSP(%rsi)
	je	.Lhost_rsp_done
	mov	$HOST_RSP_FIELD, %eax
1:	vmwrite	%rsp, %rax
	mov	%rsp, SWITCH_HOST_RSP(%rsi)
.Lhost_rsp_done:

	guest_spec_ctrl

	/* In CF, which neither MOV nor VERW changes. */
	btl	$SWITCH_LAUNCHED_BIT, SWITCH_FLAGS(%rsi)
	mov	GPR_RAX(%rdi), %rax
	load_guest_gprs
	/* VERW (MDS, TAA, RFDS): behind the last load of the host's. */
	CLEAR_CPU_BUFFERS
	UNWIND_HINT_SAVE
	jnc	3f
2:	vmresume
	jmp	.Lfailed
3:	vmlaunch
	jmp	.Lfailed

SYM_INNER_LABEL(vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR

	save_guest_gprs
	mov	%rax, GPR_RAX(%rdi)
	mov	ON_STACK_SWITCH, %rsi

	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE
	host_spec_ctrl
	lfence
	ALTERNATIVE "jmp .Lbhb_done", "", X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT
	call	clear_branch_history
.Lbhb_done:
	exit_ibpb
	xor	%eax, %eax

.Lout:
	/* The guest's values must not be there for speculation in the host to use. */
	clear_gprs
	add	$16, %rsp
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lfailed:
	/* The guest did not run: what is in the registers is in @gpr as well. */
	mov	ON_STACK_SWITCH, %rsi
	host_spec_ctrl
	mov	$SWITCH_FAIL, %eax
	jmp	.Lout

4:	mov	ON_STACK_SWITCH, %rsi
	host_spec_ctrl
5:	mov	$SWITCH_OFF, %eax
	jmp	.Lout

	_ASM_EXTABLE(1b, 5b)
	_ASM_EXTABLE(2b, 4b)
	_ASM_EXTABLE(3b, 4b)
SYM_FUNC_END(vmx_switch)
