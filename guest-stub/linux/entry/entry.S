/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into the core and out of it. The program's stack is never touched: each entry switches to the current task's
 * core stack (core_stack_top) and puts the program's registers there, as struct registers.
 */
	.set	RAX, 0*8
	.set	RBX, 1*8
	.set	RCX, 2*8
	.set	RDX, 3*8
	.set	RSI, 4*8
	.set	RDI, 5*8
	.set	RBP, 6*8
	.set	RSP, 7*8
	.set	R8, 8*8
	.set	R9, 9*8
	.set	R10, 10*8
	.set	R11, 11*8
	.set	R12, 12*8
	.set	R13, 13*8
	.set	R14, 14*8
	.set	R15, 15*8
	.set	RIP, 16*8
	.set	RFLAGS, 17*8
	.set	FRAME, 20*8

	.section .text.entry, "ax", @progbits
	.globl	_start
	.hidden	_start
	.type	_start, @function
/* The core's own start: the first stack as for any native function. */
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
/* A system call: all as the instruction leaves it, %rcx where to go on, %r11 the flags. */
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
	call	linux_syscall		/* true: some register that a call keeps was changed */
	testb	%al, %al
	jnz	core_resume_here
	/* As the instruction returns: %rcx and %r11 are lost. */
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
/* A fault of the program: its registers are in the mailbox, those here are anything. */
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

	.globl	core_resume
	.hidden	core_resume
	.type	core_resume, @function
/* void core_resume(const struct registers *): all general registers and flags. What is needed last comes from
 * memory that has a fixed distance; no IRETQ, which is slower, and which QEMU before 9.1 gets wrong at CPL 3. */
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
/* void core_switch(uint64_t *saved, uint64_t next): leaves this task's core stack and goes on where the other one left. */
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
/* Where a new task's first switch returns to: its registers are at the top of its core stack. */
core_task_begin:
	call	task_begun
	movq	%rax, %rdi
	jmp	core_resume
	.size	core_task_begin, . - core_task_begin

	.section .note.GNU-stack, "", @progbits
