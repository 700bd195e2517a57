/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of guest_tamper.c that C cannot express. Offsets: struct tamper_seen, struct leave. */
#define GATE	0x1000000000
#define MAILBOX 0x1000100000
#define HOST	2

	.text
/* Calls the gate's `next`, and keeps the processor's state as it comes back. */
	.globl	tamper_next
	.type	tamper_next, @function
tamper_next:
	mov	$1, %edi
	xor	%esi, %esi
	movabs	$GATE, %rax
	call	*%rax
	mov	%rax, tamper_seen
	mov	%rcx, tamper_seen + 8
	mov	%rdx, tamper_seen + 16
	mov	%rbx, tamper_seen + 24
	mov	%rsp, tamper_seen + 32
	mov	%rbp, tamper_seen + 40
	mov	%rsi, tamper_seen + 48
	mov	%rdi, tamper_seen + 56
	mov	%r8, tamper_seen + 64
	mov	%r9, tamper_seen + 72
	mov	%r10, tamper_seen + 80
	mov	%r11, tamper_seen + 88
	mov	%r12, tamper_seen + 96
	mov	%r13, tamper_seen + 104
	mov	%r14, tamper_seen + 112
	mov	%r15, tamper_seen + 120
	pushfq
	pop	tamper_seen + 128
	xor	%eax, %eax
	.set	n, 136
	.irp	selector, cs, ss, ds, es, fs, gs
	mov	%\selector, %eax
	mov	%rax, tamper_seen + n
	.set	n, n + 8
	.endr
	testl	$2, tamper_features
	jz	1f
	rdfsbase %rax
	mov	%rax, tamper_seen + 184
	rdgsbase %rax
	mov	%rax, tamper_seen + 192
	jmp	2f
1:	mov	%fs:tamper_words, %rax		/* otherwise by reading there */
	mov	%rax, tamper_seen + 184
	mov	%gs:tamper_words, %rax
	mov	%rax, tamper_seen + 192
2:	mov	$~0x60000, %eax			/* all but tiles, which no guest has */
	mov	$-1, %edx
	xsave64	tamper_seen + 256
	ret
	.size	tamper_next, . - tamper_next

/* Posts `next`, unless it was posted, and goes where struct leave (%rdi) says, with the state it says. */
	.globl	tamper_leave
	.type	tamper_leave, @function
tamper_leave:
	mov	%rdi, %rbx
	testl	$16, 32(%rbx)
	jnz	1f
	movabs	$MAILBOX, %rdi
	movl	$HOST, (%rdi)
	mov	$1, %esi
	mov	$0x7fffffff, %edx
	mov	$202, %eax
	syscall
1:	testl	$1, 32(%rbx)
	jz	2f
	mov	$~0x200, %eax			/* all but protection keys */
	mov	$-1, %edx
	xrstor64 128(%rbx)
2:	testl	$8, 32(%rbx)
	jz	3f
	mov	$0x2b, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	$3, %eax
	mov	%eax, %fs
	mov	%eax, %gs
3:	testl	$2, 32(%rbx)
	jz	4f
	mov	(%rbx), %rax
	wrfsbase %rax
	mov	8(%rbx), %rax
	wrgsbase %rax
4:	mov	16(%rbx), %rax
	mov	%rax, tamper_target
	push	$0x2b				/* for IRET: only it can arrive with a trap flag set */
	push	80(%rbx)
	push	24(%rbx)
	push	$0x33
	push	16(%rbx)
	push	24(%rbx)			/* for POPF: the lab's emulator panics at IRET */
	testl	$4, 32(%rbx)
	jz	5f
	mov	$0xaaaaaaaa, %eax		/* every key forbids writing */
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
5:	mov	(%rbx), %rcx
	.irp	register, r8, r11, r12, r14, rbp
	mov	%rcx, %\register
	.endr
	mov	8(%rbx), %rcx
	.irp	register, r9, r13, r15
	mov	%rcx, %\register
	.endr
	mov	40(%rbx), %rdi
	mov	48(%rbx), %rsi
	mov	56(%rbx), %rdx
	mov	64(%rbx), %r10
	mov	72(%rbx), %rax
	testl	$0x100, 24(%rbx)
	jnz	6f
	popfq
	mov	80(%rbx), %rsp
	mov	(%rbx), %rbx
	jmp	*tamper_target
6:	mov	(%rbx), %rbx
	lea	8(%rsp), %rsp
	iretq
	.size	tamper_leave, . - tamper_leave

	.globl	tamper_wait
tamper_wait:
	syscall
	ud2

	.bss
	.balign	8
tamper_target:
	.space	8

	.section .rodata
	.balign	8
tamper_words:
	.quad	0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444

	.section .note.GNU-stack, "", @progbits
