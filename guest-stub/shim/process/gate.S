/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process shim's assembly: the gate (first byte of the shim, at THAW_GATE), the program entry, and the way into the
 * guest. The guest's stack pointer is never used here: calls run on the shim's own stack.
 */
	.section .gate, "ax", @progbits
	.globl	thaw_shim_gate
	.type	thaw_shim_gate, @function
/* long gate(long number: %rdi, void *argument: %rsi). Keeps what a C call keeps; those registers are what the
 * canonical record needs, since a call is where the guest is at its ready point. */
thaw_shim_gate:
	mov	%rbx, shim_registers + 1*8(%rip)
	mov	%rbp, shim_registers + 6*8(%rip)
	mov	%r12, shim_registers + 12*8(%rip)
	mov	%r13, shim_registers + 13*8(%rip)
	mov	%r14, shim_registers + 14*8(%rip)
	mov	%r15, shim_registers + 15*8(%rip)
	mov	(%rsp), %rax			/* a bad stack pointer faults here, as the guest's own fault */
	mov	%rax, shim_registers + 16*8(%rip)
	lea	8(%rsp), %rax
	mov	%rax, shim_registers + 7*8(%rip)
	cld
	lea	shim_stack_top(%rip), %rsp
	call	shim_dispatch
	mov	shim_registers + 7*8(%rip), %rsp
	jmp	*shim_registers + 16*8(%rip)
	.size	thaw_shim_gate, . - thaw_shim_gate

	.text
	.globl	_start
	.type	_start, @function
_start:
	mov	%rsp, %rdi
	xor	%ebp, %ebp
	lea	shim_stack_top(%rip), %rsp
	call	shim_main
	ud2
	.size	_start, . - _start

	.globl	shim_resume
	.type	shim_resume, @function
/* Everything is loaded from fixed memory, so no register is left to tell of the shim. */
shim_resume:
	lea	shim_stack_top(%rip), %rsp
	push	shim_registers + 17*8(%rip)
	popfq
	mov	shim_registers + 0*8(%rip), %rax
	mov	shim_registers + 1*8(%rip), %rbx
	mov	shim_registers + 2*8(%rip), %rcx
	mov	shim_registers + 3*8(%rip), %rdx
	mov	shim_registers + 4*8(%rip), %rsi
	mov	shim_registers + 5*8(%rip), %rdi
	mov	shim_registers + 6*8(%rip), %rbp
	mov	shim_registers + 8*8(%rip), %r8
	mov	shim_registers + 9*8(%rip), %r9
	mov	shim_registers + 10*8(%rip), %r10
	mov	shim_registers + 11*8(%rip), %r11
	mov	shim_registers + 12*8(%rip), %r12
	mov	shim_registers + 13*8(%rip), %r13
	mov	shim_registers + 14*8(%rip), %r14
	mov	shim_registers + 15*8(%rip), %r15
	mov	shim_registers + 7*8(%rip), %rsp
	jmp	*shim_registers + 16*8(%rip)
	.size	shim_resume, . - shim_resume

	.globl	shim_sigreturn
	.type	shim_sigreturn, @function
shim_sigreturn:
	mov	$15, %eax			/* rt_sigreturn */
	syscall
	ud2
	.size	shim_sigreturn, . - shim_sigreturn

	.bss
	/* The stack's top and the registers share a page: each clone writes both, and copies one page for it. */
	.balign	4096
	.space	8192 - 192
	.globl	shim_stack_top
shim_stack_top:
	.globl	shim_registers
shim_registers:
	.space	192

	.section .note.GNU-stack, "", @progbits
