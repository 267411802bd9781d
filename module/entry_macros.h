/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the back ends' entry.S have in common: the general registers, and SPEC_CTRL by the
 * offsets and flags of their switch.h (SWITCH_*).
 */
#ifndef KEEL_ENTRY_MACROS_H
#define KEEL_ENTRY_MACROS_H

#include <asm/msr-index.h>

/* Byte offsets into vcpu->gpr (enum keel_gpr). */
#define GPR_RAX	(0 * 8)
#define GPR_RCX	(1 * 8)
#define GPR_RDX	(2 * 8)
#define GPR_RBX	(3 * 8)
#define GPR_RBP	(5 * 8)
#define GPR_RSI	(6 * 8)
#define GPR_RDI	(7 * 8)
#define GPR_R8	(8 * 8)
#define GPR_R9	(9 * 8)
#define GPR_R10	(10 * 8)
#define GPR_R11	(11 * 8)
#define GPR_R12	(12 * 8)
#define GPR_R13	(13 * 8)
#define GPR_R14	(14 * 8)
#define GPR_R15	(15 * 8)

/* Operands where the stack pointer is after the prologue. */
#define ON_STACK_GPR	0(%rsp)
#define ON_STACK_SWITCH	8(%rsp)

/* RDI: vcpu->gpr.  All but RAX and RSP. */
.macro load_guest_gprs
	mov	GPR_RCX(%rdi), %rcx
	mov	GPR_RDX(%rdi), %rdx
	mov	GPR_RBX(%rdi), %rbx
	mov	GPR_RBP(%rdi), %rbp
	mov	GPR_RSI(%rdi), %rsi
	mov	GPR_R8(%rdi), %r8
	mov	GPR_R9(%rdi), %r9
	mov	GPR_R10(%rdi), %r10
	mov	GPR_R11(%rdi), %r11
	mov	GPR_R12(%rdi), %r12
	mov	GPR_R13(%rdi), %r13
	mov	GPR_R14(%rdi), %r14
	mov	GPR_R15(%rdi), %r15
	mov	GPR_RDI(%rdi), %rdi
.endm

/* RSP is the host's, at ON_STACK_GPR; the others are the guest's, RAX perhaps. */
.macro save_guest_gprs
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rcx, GPR_RCX(%rdi)
	mov	%rdx, GPR_RDX(%rdi)
	mov	%rbx, GPR_RBX(%rdi)
	mov	%rbp, GPR_RBP(%rdi)
	mov	%rsi, GPR_RSI(%rdi)
	mov	%r8, GPR_R8(%rdi)
	mov	%r9, GPR_R9(%rdi)
	mov	%r10, GPR_R10(%rdi)
	mov	%r11, GPR_R11(%rdi)
	mov	%r12, GPR_R12(%rdi)
	mov	%r13, GPR_R13(%rdi)
	mov	%r14, GPR_R14(%rdi)
	mov	%r15, GPR_R15(%rdi)
	pop	GPR_RDI(%rdi)
.endm

/* The guest's values must not be there for speculation in the host to use. */
.macro clear_gprs
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
.endm

/* RSI: the back end's struct of the switch.  Clobbers RAX, RCX, RDX. */
.macro guest_spec_ctrl
	testl	$SWITCH_SPEC_SWAP, SWITCH_FLAGS(%rsi)
	jz	.Lguest_spec_done_\@
	mov	SWITCH_GUEST_SPEC(%rsi), %eax
	xor	%edx, %edx
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	/* A bit that this CPU lacks and another one had let the guest set: it runs with the host's. */
.Lguest_spec_write_\@:
	wrmsr
.Lguest_spec_done_\@:
	_ASM_EXTABLE(.Lguest_spec_write_\@, .Lguest_spec_done_\@)
.endm

.macro host_spec_ctrl
	testl	$SWITCH_SPEC_SWAP, SWITCH_FLAGS(%rsi)
	jz	.Lhost_spec_done_\@
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	testl	$SWITCH_SPEC_READ, SWITCH_FLAGS(%rsi)
	jz	.Lhost_spec_write_\@
	rdmsr
	mov	%eax, SWITCH_GUEST_SPEC(%rsi)
.Lhost_spec_write_\@:
	mov	SWITCH_HOST_SPEC(%rsi), %eax
	xor	%edx, %edx
	wrmsr
.Lhost_spec_done_\@:
.endm

/* Where the host takes an IBPB for the way out of guests (SRSO, retbleed). */
.macro exit_ibpb
	ALTERNATIVE_2 "jmp .Libpb_done_\@", "", X86_FEATURE_ENTRY_IBPB, "", X86_FEATURE_IBPB_ON_VMEXIT
	mov	$MSR_IA32_PRED_CMD, %ecx
	mov	$PRED_CMD_IBPB, %eax
	xor	%edx, %edx
	wrmsr
	/* Some CPUs' IBPB leaves return predictions alone. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_BUG_IBPB_NO_RET
.Libpb_done_\@:
.endm

#endif
