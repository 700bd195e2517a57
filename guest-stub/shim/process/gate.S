/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process shim's assembly: the gate (first byte of the shim, at THAW_GATE), the program entry, and the way into the
 * guest. The guest's stack pointer is never used here: calls run on the shim's own stack.
 */
#include "guest-stub/shim/process/rest.h"

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

/*
 * A clone at rest. It trusts no register: an invocation ended here, and whoever puts the clone back from outside
 * (engine/process_recycle.c) restores memory, not registers. It knows that we are here by the address behind the
 * system call, shim_rest_point, and waits nowhere else.
 */
	.globl	shim_rest, shim_rest_point
	.type	shim_rest, @function
shim_rest:
	movabs	$MAILBOX, %rdi
	mov	(%rdi), %edx			/* turn */
	cmp	$TURN_GUEST, %edx
	je	shim_wake
	cmp	$TURN_DEAD, %edx
	je	given_up
	cmp	$TURN_REPAIR, %edx
	je	mend
	xor	%esi, %esi			/* FUTEX_WAIT, shared */
	xor	%r10d, %r10d			/* for as long as it takes */
	mov	$202, %eax			/* futex */
	syscall
shim_rest_point:
	jmp	shim_rest
mend:
	lea	shim_stack_top(%rip), %rsp
	push	$0x202				/* flags as C wants them */
	popfq
	call	shim_mend
	jmp	shim_rest
given_up:
	xor	%edi, %edi
	mov	$231, %eax			/* exit_group */
	syscall
	ud2
	.size	shim_rest, . - shim_rest

/*
 * Its turn. A fresh clone has all of its state from the zygote; one that was put back has what the last invocation left in
 * the processor and in the kernel's own books. It returns from a signal that never came: that one call sets
 * general registers, flags, the signal mask and the signal stack, and clears all vector state (no fpstate in the frame),
 * protection keys too. Its stack pointer is 0, which is on no signal stack, or the kernel would keep the old one.
 */
	.globl	shim_wake
	.type	shim_wake, @function
shim_wake:
	cmpl	$UP_RECYCLED, 4(%rdi)		/* up */
	jne	shim_resume
	lea	shim_wake_frame(%rip), %rsp
	mov	$15, %eax			/* rt_sigreturn */
	syscall
	ud2
woken:
	lea	shim_stack_top(%rip), %rsp
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	call	shim_woken
	jmp	shim_resume
	.size	shim_wake, . - shim_wake

	.section .rodata, "a", @progbits
	.balign	16
	.globl	shim_wake_frame
shim_wake_frame:				/* struct ucontext, x86-64 */
	.quad	0x6, 0				/* UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS; no link */
	.quad	shim_signal_stack, 0, SIGNAL_STACK_SIZE
	.quad	0, 0, 0, 0, 0, 0, 0, 0		/* r8 to r15 */
	.quad	0, 0, 0, 0, 0, 0, 0, 0		/* rdi rsi rbp rbx rdx rax rcx rsp */
	.quad	woken, 0x202
	.short	0x33, 0, 0, 0x2b		/* cs gs fs ss */
	.quad	0, 0, 0, 0			/* err trapno oldmask cr2 */
	.quad	0				/* fpstate */
	.quad	0, 0, 0, 0, 0, 0, 0, 0
	.quad	0				/* signal mask */
	.text

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
