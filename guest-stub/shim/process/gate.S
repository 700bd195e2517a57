/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process shim's assembly: the gate (the first byte of the shim, at THAW_GATE), the program
 * entry, and the way into the guest. Nothing here uses the guest's stack pointer: calls run on the
 * shim's own stack.
 */
#include "guest-stub/shim/process/rest.h"

	.section .gate, "ax", @progbits
	.globl	thaw_shim_gate
	.type	thaw_shim_gate, @function
/* long gate(long number: %rdi, void *argument: %rsi). Keeps the registers that a C call keeps. The
 * canonical record needs just those, because at its ready point the guest is in a call. */
thaw_shim_gate:
	mov	%rbx, shim_registers + 1*8(%rip)
	mov	%rbp, shim_registers + 6*8(%rip)
	mov	%r12, shim_registers + 12*8(%rip)
	mov	%r13, shim_registers + 13*8(%rip)
	mov	%r14, shim_registers + 14*8(%rip)
	mov	%r15, shim_registers + 15*8(%rip)
	/* A bad stack pointer faults here, as the guest's own fault. */
	mov	(%rsp), %rax
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
/* Loads everything from fixed memory, so that no register still holds anything of the shim's. */
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

	.macro	clear_stack
	lea	shim_stack_top - SHED_STACK(%rip), %rdi
	mov	$SHED_STACK / 8, %ecx
	xor	%eax, %eax
	rep stosq
	.endm

/*
 * A clone at rest. It trusts no register: an invocation ended here, and the host, which recycles the
 * clone from outside (engine/process/recycle.c), restores memory and not registers. The host knows
 * by the address behind the system call, shim_rest_point, that the clone waits here.
 */
	.globl	shim_rest, shim_rest_new, shim_rest_point
	.type	shim_rest_new, @function
/* The first rest of a new clone, which needs nothing of its stack any more. */
shim_rest_new:
	clear_stack
	jmp	shim_rest
	.size	shim_rest_new, . - shim_rest_new

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
	cmp	$TURN_PREPARE, %edx
	je	shed
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
 * The clone has its turn. A new clone has all of its state from the zygote. A recycled one has in the
 * processor what the last invocation left there, unless it has shed that already (TURN_PREPARE). No
 * invocation can change the signal mask or the signal stack: the filter lets no call through that
 * could, RT_SIGRETURN least of all.
 *
 * Protection keys come first, because they may forbid the stack. Then come flags, because C relies
 * on them, and general registers, because C saves them to the stack, where the next invocation could
 * read them.
 */
	.globl	shim_wake
	.type	shim_wake, @function
shim_wake:
	cmpl	$UP_RECYCLED, 4(%rdi)		/* up */
	je	shed
	cmpl	$0, shim_is_early(%rip)
	je	shim_resume
	lea	shim_stack_top(%rip), %rsp
	call	shim_early_woken
	jmp	shim_resume
shed:
	cmpl	$0, shim_has_pkru(%rip)
	je	1f
	mov	shim_pkru(%rip), %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
1:	lea	shim_stack_top(%rip), %rsp
	push	$0x202
	popfq
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	/* Only where needed, because a load of a selector changes the base. */
	mov	%fs, %ecx
	jecxz	1f
	mov	%eax, %fs
1:	mov	%gs, %ecx
	jecxz	1f
	mov	%eax, %gs
1:
	.irp	register, ebx, ecx, edx, esi, edi, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d
	xor	%\register, %\register
	.endr
	call	shim_woken
	clear_stack
	movabs	$MAILBOX, %rdi
	mov	$TURN_PREPARE, %eax
	xor	%edx, %edx
	/* Fails if the clone has got its turn meanwhile, or was given up. */
	lock cmpxchg %edx, (%rdi)
	jmp	shim_rest
	.size	shim_wake, . - shim_wake

/*
 * Signals arrive here from the kernel, (number: %rdi, siginfo: %rsi, ucontext: %rdx), with all other
 * registers as they were. A recycled clone that is not woken yet gets a signal only because of what
 * the last invocation left, a trap flag for example. The registers are that invocation's, the stack
 * pointer included, so the clone uses none of them and ends.
 *
 * shim_fault() returns when it has opened a page, for a recording or an early clone, and when a tick
 * came while the shim or the core ran. The clone then goes on without the kernel, whose RT_SIGRETURN
 * no guest may have. A tick may come during the return as well, and its own return writes shim_return
 * too. So that word is written last, and finish_return() of fault.c knows the two instructions that
 * then follow. Up to the first of them the stack pointer is within the signal stack, so that a tick's
 * frame does not overwrite the one that is read here.
 */
	.globl	shim_signal
	.type	shim_signal, @function
shim_signal:
	movabs	$MAILBOX, %rax
	cmpl	$UP_RECYCLED, 4(%rax)		/* up */
	je	given_up
	mov	%rdx, %rbx
	sub	$8, %rsp
	call	shim_fault
	mov	%rbx, %rsp			/* the frame's ucontext */
	mov	224(%rsp), %rcx			/* fpstate */
	mov	472(%rcx), %eax			/* what it holds: struct _fpx_sw_bytes */
	mov	476(%rcx), %edx
	xrstor64 (%rcx)
	push	176(%rsp)			/* rflags */
	popfq
	mov	40(%rsp), %r8
	mov	48(%rsp), %r9
	mov	56(%rsp), %r10
	mov	64(%rsp), %r11
	mov	72(%rsp), %r12
	mov	80(%rsp), %r13
	mov	88(%rsp), %r14
	mov	96(%rsp), %r15
	mov	104(%rsp), %rdi
	mov	112(%rsp), %rsi
	mov	120(%rsp), %rbp
	mov	128(%rsp), %rbx
	mov	136(%rsp), %rdx
	mov	144(%rsp), %rax
	mov	152(%rsp), %rcx
	/* rip. IRET would do too, except on emulators that read its stack as ring 0. */
	push	168(%rsp)
	pop	shim_return(%rip)
	.globl	shim_return_stack, shim_return_jump
shim_return_stack:
	mov	160(%rsp), %rsp
shim_return_jump:
	jmp	*shim_return(%rip)
	.size	shim_signal, . - shim_signal
	/* The kernel demands a way back from signals, which is never taken. */
	.globl	shim_signal_return
	.type	shim_signal_return, @function
shim_signal_return:
	ud2
	.size	shim_signal_return, . - shim_signal_return

	.bss
	/* The stack's top and the registers share a page: each clone writes both, and so copies
	 * only one page. */
	.balign	4096
	.space	8192 - 192
	.globl	shim_stack_top
shim_stack_top:
	.globl	shim_registers
shim_registers:
	.space	192 - 8
	.globl	shim_return
shim_return:				/* where a signal came from: see shim_signal */
	.space	8

	.section .note.GNU-stack, "", @progbits
