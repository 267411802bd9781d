/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * void native_enter(const struct native_state *in)
 *
 * Load every register and jump to in->rip. It comes back through the signal
 * handler, which puts native_resume and native_host_rsp into the interrupted
 * context. The program is linked at low addresses (-no-pie), so that memory
 * can be named without a register.
 */
	.text
	.globl native_enter, native_enter32, native_resume

	/* Linux's segments for user code: asm/segment.h */
	.set	USER32_CS, 0x23
	.set	USER_DS, 0x2b

native_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, native_host_rsp

	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu	144 + 16 * \n(%rdi), %xmm\n
	.endr
	mov	128(%rdi), %rax
	mov	%rax, native_target
	mov	0(%rdi), %rax
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	64(%rdi), %r8
	mov	72(%rdi), %r9
	mov	80(%rdi), %r10
	mov	88(%rdi), %r11
	mov	96(%rdi), %r12
	mov	104(%rdi), %r13
	mov	112(%rdi), %r14
	mov	120(%rdi), %r15
	pushq	136(%rdi)
	popfq
	mov	32(%rdi), %rsp
	mov	56(%rdi), %rdi
	jmp	*native_target

/*
 * void native_enter32(const struct native_state *in): the same in 32-bit code.
 * IRET is what changes the code segment and loads flags and stack with it.
 */
native_enter32:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, native_host_rsp

	mov	$USER_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu	144 + 16 * \n(%rdi), %xmm\n
	.endr
	pushq	$USER_DS
	pushq	32(%rdi)
	pushq	136(%rdi)
	pushq	$USER32_CS
	pushq	128(%rdi)
	mov	0(%rdi), %rax
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	56(%rdi), %rdi
	iretq

native_resume:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.bss
	.globl native_host_rsp
	.balign	8
native_host_rsp:
	.quad	0
native_target:
	.quad	0

	.section .note.GNU-stack, "", @progbits
