/* SPDX-License-Identifier: GPL-2.0-only */
/* Trap stubs of the guest for 64-bit and 32-bit code, and the start of an AP. */

#define PORT_TRAP32	0xe00c
#define TRAMPOLINE	0x8000
#define SEL_CODE64	0x08
#define SEL_DATA	0x10
#define SEL_CODE32	0x18

	/* The stubs are 16 bytes each, so that their addresses need no table. */
	.macro	stubs common
	.set	vec, 0
	.rept	256
	.balign	16
	.if	!(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17)
	push	$0
	.endif
	push	$vec
	jmp	\common
	.set	vec, vec + 1
	.endr
	.endm

	.text
	.code64
	.balign	16
	.globl	guest_stubs64
guest_stubs64:
	stubs	common64

common64:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	cld
	call	guest_trap
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

	.code32
	.balign	16
	.globl	guest_stubs32
guest_stubs32:
	stubs	common32

	/* Tells the host where the frame is, and goes on as the host leaves it. */
common32:
	pushal
	mov	%esp, %eax
	mov	$PORT_TRAP32, %edx
	outl	%eax, %dx
	popal
	add	$8, %esp
	iret

	/* Copied to TRAMPOLINE; an AP starts here after SIPI, in real mode. */
	.code16
	.balign	16
	.globl	trampoline_start, trampoline_end
trampoline_start:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	TRAMPOLINE + (tramp_gdt_desc - trampoline_start)
	mov	$0x6a0, %eax		/* PAE, PGE, OSFXSR, OSXMMEXCPT */
	or	$0x400, %eax
	mov	%eax, %cr4
	mov	$guest_pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x901, %eax		/* SCE, LME, NXE */
	wrmsr
	mov	$0x80010033, %eax	/* PG, WP, NE, ET, MP, PE */
	mov	%eax, %cr0
	ljmpl	$SEL_CODE64, $tramp64
	.balign	8
tramp_gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
tramp_gdt_desc:
	.word	tramp_gdt_desc - tramp_gdt - 1
	.long	TRAMPOLINE + (tramp_gdt - trampoline_start)
trampoline_end:

	.code64
tramp64:
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	mov	$1, %eax
	cpuid
	shr	$24, %ebx		/* the initial APIC id */
	mov	%ebx, %edi
	and	$63, %ebx
	imul	guest_cpu_size, %rbx
	add	$guest_cpus, %rbx
	add	guest_cpu_stack_end, %rbx
	mov	%rbx, %rsp
	call	guest_ap_start
	ud2

	.section .note.GNU-stack, "", @progbits
