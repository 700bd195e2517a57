/* SPDX-License-Identifier: Apache-2.0 */
/* Switches between the core stacks of tasks, and returns to the program. */
#include "guest-stub/linux/task/registers.inc"

	.text
	.globl	core_resume
	.hidden	core_resume
	.type	core_resume, @function
/* void core_resume(const struct registers *): all general registers and flags. The last two values
 * come from memory at fixed addresses, because no register is free for them. IRETQ would do as well
 * but is slower, and QEMU before 9.1 gets it wrong at CPL 3. */
core_resume:
	movq	%rdi, %rsp
	movq	RIP(%rsp), %rax
	movq	%rax, core_user_rip(%rip)
	movq	RSP(%rsp), %rax
	movq	%rax, core_user_rsp(%rip)
	pushq	RFLAGS(%rsp)
	popfq
	movq	RAX(%rsp), %rax
	movq	RBX(%rsp), %rbx
	movq	RCX(%rsp), %rcx
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
	movq	core_user_rsp(%rip), %rsp
	jmp	*core_user_rip(%rip)
	.size	core_resume, . - core_resume

	.globl	core_switch
	.hidden	core_switch
	.type	core_switch, @function
/* void core_switch(uint64_t *saved, uint64_t next): see cpu.h. */
core_switch:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size	core_switch, . - core_switch

	.globl	core_task_begin
	.hidden	core_task_begin
	.type	core_task_begin, @function
/* The first switch to a new task returns to here. The task's registers are at the top of its core
 * stack. */
core_task_begin:
	call	task_begun
	movq	%rax, %rdi
	jmp	core_resume
	.size	core_task_begin, . - core_task_begin

	.bss
	.balign	8
	.globl	core_user_rsp
	.hidden	core_user_rsp
/* The program's stack pointer and where it goes on, for the last two instructions of a return. */
core_user_rsp:
	.skip	8
core_user_rip:
	.skip	8

	.section .note.GNU-stack, "", @progbits
