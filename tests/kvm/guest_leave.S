/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last steps of guest_secret.c. Everything else is full of the secret by now; this code fills the processor, the
 * program's own memory and both its stacks, and then ends the invocation. Its data is in the request window, where the
 * C code has put it; see struct leave.
 */
#define LEAVE		0x1000101000 /* THAW_MAILBOX + a page */
#define LEAVE_HIGH	8
#define LEAVE_NUMBER	16
#define LEAVE_SYSCALL	24
#define LEAVE_FLAGS	32
#define LEAVE_FX	64
#define LEAVE_YMM	576

	.section .text.guest_leave, "ax", @progbits
	.globl	guest_leave
	.type	guest_leave, @function
guest_leave:
	movabs	$LEAVE, %r9
	fxrstor64 LEAVE_FX(%r9)
	testl	$1, LEAVE_FLAGS(%r9)
	jz	1f
	.irp	number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vinsertf128 $1, LEAVE_YMM(%r9), %ymm\number, %ymm\number
	.endr
	/* Selectors are registers too; null has four. */
1:	mov	$0x2b, %eax
	mov	%eax, %ds
	mov	$0x33, %eax
	mov	%eax, %es
	mov	$3, %eax
	mov	%eax, %fs
	mov	$0x2a, %eax
	mov	%eax, %gs
	testl	$2, LEAVE_FLAGS(%r9)
	jz	2f
	mov	(%r9), %rax
	wrfsbase %rax
	mov	LEAVE_HIGH(%r9), %rax
	wrgsbase %rax
	/* Each fault on the way finds the secret in the registers. */
2:	mov	(%r9), %rax
	mov	LEAVE_HIGH(%r9), %rbx
	.irp	register, rcx, rsi, rbp, r11, r13, r15
	mov	%rax, %\register
	.endr
	.irp	register, rdx, rdi, r10, r12, r14
	mov	%rbx, %\register
	.endr
	mov	$guest_hot, %r8
	and	$-4096, %r8
	mov	$_end, %r9
	call	fill
	mov	$0x3c0000, %r8			/* THAW_STACK_TOP - THAW_STACK_SIZE */
	mov	$0x400000, %r9
	mov	%rbx, %rsp			/* from here on there is no stack */
3:	mov	%rax, (%r8)
	mov	%rbx, 8(%r8)
	add	$16, %r8
	cmp	%r9, %r8
	jb	3b
	mov	%rax, %r8
	mov	%rbx, %r9
	movabs	LEAVE + LEAVE_NUMBER, %rax
	mov	%rax, %rdi
	movabs	LEAVE + LEAVE_SYSCALL, %rax
	jmp	*%rax				/* to the gate's instruction: its start reads the stack */

fill:
	mov	%rax, (%r8)
	mov	%rbx, 8(%r8)
	add	$16, %r8
	cmp	%r9, %r8
	jb	fill
	ret

	.section .note.GNU-stack, "", @progbits
