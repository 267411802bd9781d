/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loops that are measured: the guest's general registers from memory, in, out, back to memory,
 * and a look at why it came out.  No hypervisor that switches registers can do with less; the
 * loop's own part are two instructions.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include "../../../module/entry_macros.h"

#define FIELD_EXIT_REASON	0x4402
#define FIELD_HOST_RSP		0x6c14
#define REASON_CPUID		10

#define VMCB_EXIT_CODE		0x70
#define EXIT_CODE_CPUID		0x72

/* Operands on the stack, where the macros want that of the registers. */
#define ON_STACK_ROUNDS		8(%rsp)
#define ON_STACK_VMCB		16(%rsp)
#define ON_STACK_VMCB_PA	24(%rsp)

	.text

.macro enter_function
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
.endm

/* EAX: the rounds that are left. */
.macro leave_function
	mov	ON_STACK_ROUNDS, %eax
	add	$32, %rsp
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
.endm

/* The guest is never given a RIP behind CPUID, so it exits there each time. */
SYM_FUNC_START(floor_guest)
	ENDBR
1:	cpuid
	jmp	1b
SYM_FUNC_END(floor_guest)

/*
 * A first entry needs another instruction, and its exit goes to the loop, with one round.  The
 * entries go on to the next instruction only if they fail.
 */
SYM_FUNC_START(floor_vmx_launch)
	enter_function
	mov	$FIELD_HOST_RSP, %eax
	vmwrite	%rsp, %rax
	vmlaunch
	leave_function
SYM_FUNC_END(floor_vmx_launch)

/* RDI: registers; ESI: rounds.  HOST_RIP is floor_vmx_exit. */
SYM_FUNC_START(floor_vmx_rounds)
	enter_function
	mov	$FIELD_HOST_RSP, %eax
	vmwrite	%rsp, %rax
.Lvmx_round:
	mov	ON_STACK_GPR, %rdi
	mov	GPR_RAX(%rdi), %rax
	load_guest_gprs
	vmresume
	jbe	.Lvmx_out
SYM_INNER_LABEL(floor_vmx_exit, SYM_L_GLOBAL)
	ENDBR
	save_guest_gprs
	mov	%rax, GPR_RAX(%rdi)
	mov	$FIELD_EXIT_REASON, %eax
	vmread	%rax, %rcx
	cmp	$REASON_CPUID, %ecx
	jne	.Lvmx_out
	subl	$1, ON_STACK_ROUNDS
	jnz	.Lvmx_round
.Lvmx_out:
	leave_function
SYM_FUNC_END(floor_vmx_rounds)

/*
 * RDI: registers, RAX and RSP apart, which are in the VMCB; ESI: rounds; RDX, RCX: the VMCB's
 * addresses, virtual and physical.  The exit leaves GIF 0, and a hypervisor cannot let it be.
 */
SYM_FUNC_START(floor_svm_rounds)
	enter_function
.Lsvm_round:
	clgi
	mov	ON_STACK_GPR, %rdi
	mov	ON_STACK_VMCB_PA, %rax
	load_guest_gprs
	vmrun	%rax
	save_guest_gprs
	stgi
	mov	ON_STACK_VMCB, %rax
	cmpl	$EXIT_CODE_CPUID, VMCB_EXIT_CODE(%rax)
	jne	.Lsvm_out
	subl	$1, ON_STACK_ROUNDS
	jnz	.Lsvm_round
.Lsvm_out:
	leave_function
SYM_FUNC_END(floor_svm_rounds)
