/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into the core. The program's stack is never touched: each entry switches to the current
 * task's core stack (core_stack_top) and puts the program's registers there, as struct registers.
 */
#include "guest-stub/linux/task/registers.inc"

	.set	FRAME, 20*8 /* struct registers */

	.section .text.entry, "ax", @progbits
	.globl	_start
	.hidden	_start
	.type	_start, @function
/* The core's own start, with the first stack of any native function. */
_start:
	xorl	%ebp, %ebp
	movq	%rsp, %rdi
	movq	core_stack_top(%rip), %rsp
	call	linux_start
	ud2
	.size	_start, . - _start

	.text
	.globl	core_syscall_entry
	.hidden	core_syscall_entry
	.type	core_syscall_entry, @function
/* A system call. The registers are as the SYSCALL instruction leaves them: %rcx says where to go
 * on, %r11 has the flags. */
core_syscall_entry:
	movq	%rsp, core_user_rsp(%rip)
	movq	core_stack_top(%rip), %rsp
	subq	$FRAME, %rsp
	movq	%rax, RAX(%rsp)
	movq	%rbx, RBX(%rsp)
	movq	%rcx, RCX(%rsp)
	movq	%rdx, RDX(%rsp)
	movq	%rsi, RSI(%rsp)
	movq	%rdi, RDI(%rsp)
	movq	%rbp, RBP(%rsp)
	movq	%r8, R8(%rsp)
	movq	%r9, R9(%rsp)
	movq	%r10, R10(%rsp)
	movq	%r11, R11(%rsp)
	movq	%r12, R12(%rsp)
	movq	%r13, R13(%rsp)
	movq	%r14, R14(%rsp)
	movq	%r15, R15(%rsp)
	movq	%rcx, RIP(%rsp)
	movq	%r11, RFLAGS(%rsp)
	movq	core_user_rsp(%rip), %rax
	movq	%rax, RSP(%rsp)
	cld
	movq	%rsp, %rdi
	call	linux_syscall		/* true: a register that a call keeps has changed */
	testb	%al, %al
	jnz	core_resume_here
	/* As after any system call, %rcx and %r11 are lost. */
	movq	RSP(%rsp), %rax
	movq	%rax, core_user_rsp(%rip)
	pushq	RFLAGS(%rsp)
	popfq
	movq	RAX(%rsp), %rax
	movq	RBX(%rsp), %rbx
	movq	RDX(%rsp), %rdx
	movq	RSI(%rsp), %rsi
	movq	RDI(%rsp), %rdi
	movq	RBP(%rsp), %rbp
	movq	R8(%rsp), %r8
	movq	R9(%rsp), %r9
	movq	R10(%rsp), %r10
	movq	R11(%rsp), %r11
	movq	R12(%rsp), %r12
	movq	R13(%rsp), %r13
	movq	R14(%rsp), %r14
	movq	R15(%rsp), %r15
	movq	RIP(%rsp), %rcx
	movq	core_user_rsp(%rip), %rsp
	jmp	*%rcx
	.size	core_syscall_entry, . - core_syscall_entry

	.globl	core_fault_entry
	.hidden	core_fault_entry
	.type	core_fault_entry, @function
/* A fault of the program, or a tick. Its registers are in the mailbox; the processor's hold nothing of use. */
core_fault_entry:
	movq	core_stack_top(%rip), %rsp
	subq	$FRAME, %rsp
	cld
	movq	%rsp, %rdi
	call	linux_fault
core_resume_here:
	movq	%rsp, %rdi
	jmp	core_resume
	.size	core_fault_entry, . - core_fault_entry

	.section .note.GNU-stack, "", @progbits
