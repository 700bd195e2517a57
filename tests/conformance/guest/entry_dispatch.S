/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program within the guest, and the entries for its system calls and faults; dispatch.c has the C part. The program
 * is copied to a place that does not count as the guest's own code, so it has no absolute addresses.
 */
	.macro	function name
	.globl	\name
	.type	\name, @function
\name:
	.endm

	.text
/* program_enter(at: %rdi, rsp: %rsi, rdi: %rdx, rax: %rcx). Every other register gets a pattern, vectors too. It
 * returns through the entry that is set. */
function program_enter
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, program_home
	mov	%rdi, program_target
	cmpb	$0, entry_has_avx
	je	1f
	.set	n, 0
	.irp	register, ymm0,ymm1,ymm2,ymm3,ymm4,ymm5,ymm6,ymm7,ymm8,ymm9,ymm10,ymm11,ymm12,ymm13,ymm14,ymm15
	vmovups	entry_vectors + n*32, %\register
	.set	n, n + 1
	.endr
	jmp	2f
1:	.set	n, 0
	.irp	register, xmm0,xmm1,xmm2,xmm3,xmm4,xmm5,xmm6,xmm7,xmm8,xmm9,xmm10,xmm11,xmm12,xmm13,xmm14,xmm15
	movups	entry_vectors + n*32, %\register
	.set	n, n + 1
	.endr
2:	pushq	$0xed7				/* all the arithmetic flags, DF, IF */
	popfq
	mov	%rsi, %rsp
	mov	%rdx, %rdi
	mov	%rcx, %rax
	movabs	$0x0101010101010101, %rbx
	movabs	$0x0202020202020202, %rcx
	movabs	$0x0303030303030303, %rdx
	movabs	$0x0404040404040404, %rsi
	movabs	$0x0606060606060606, %rbp
	movabs	$0x0808080808080808, %r8
	movabs	$0x0909090909090909, %r9
	movabs	$0x0a0a0a0a0a0a0a0a, %r10
	movabs	$0x0b0b0b0b0b0b0b0b, %r11
	movabs	$0x0c0c0c0c0c0c0c0c, %r12
	movabs	$0x0d0d0d0d0d0d0d0d, %r13
	movabs	$0x0e0e0e0e0e0e0e0e, %r14
	movabs	$0x0f0f0f0f0f0f0f0f, %r15
	jmp	*program_target

	/* Fills struct seen, as entry.S does. */
	.macro	record
	mov	%rax, program_seen
	mov	%rbx, program_seen + 1*8
	mov	%rcx, program_seen + 2*8
	mov	%rdx, program_seen + 3*8
	mov	%rsi, program_seen + 4*8
	mov	%rdi, program_seen + 5*8
	mov	%rbp, program_seen + 6*8
	mov	%rsp, program_seen + 7*8
	mov	%r8, program_seen + 8*8
	mov	%r9, program_seen + 9*8
	mov	%r10, program_seen + 10*8
	mov	%r11, program_seen + 11*8
	mov	%r12, program_seen + 12*8
	mov	%r13, program_seen + 13*8
	mov	%r14, program_seen + 14*8
	mov	%r15, program_seen + 15*8
	lea	program_stack_top, %rsp
	pushfq
	pop	program_seen + 16*8
	fxsave64 program_seen + 208
	cmpb	$0, entry_has_avx
	je	1f
	.set	n, 0
	.irp	register, ymm0,ymm1,ymm2,ymm3,ymm4,ymm5,ymm6,ymm7,ymm8,ymm9,ymm10,ymm11,ymm12,ymm13,ymm14,ymm15
	vextractf128 $1, %\register, program_seen + 720 + n*16
	.set	n, n + 1
	.endr
1:
	.endm

	.globl	program_own
program_own:
function program_call_entry
	record
	incl	program_calls
	cmpq	$0x7777, program_seen
	je	home
	movabs	$0x4242424242424242, %rax	/* an arbitrary result */
	pushq	program_seen + 11*8
	popfq
	mov	program_seen + 7*8, %rsp
	jmp	*%rcx

function program_fault_entry
	record
	incl	program_faults
home:
	mov	program_home, %rsp
	cld
	cmpb	$0, entry_has_avx
	je	1f
	vzeroupper
1:	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* An entry that faults: its fault is the guest's own. */
function program_bad_entry
	ud2

	/* ---- The program ---- */
	.macro	program name, code:vararg
	.balign	16
	.globl	program_\name
program_\name:
	\code
	mov	$0x7777, %eax
	syscall
	ud2
	.endm

	.balign	64
	.globl	program_begin, program_end
program_begin:
	program	leave
	program	call, syscall
	program	ud2, ud2
	program	int3, int3
	program	hlt, hlt
	program	divide, idivq %rdi
	program	read, movb (%rdi), %al
	program	write, movb %al, (%rdi)
	program	jump, jmp *%rdi
	program	int80, int $0x80
	program	push, push %rdi
	program	out, out %eax, $0x10
program_end:

	.bss
	.balign	64
	.globl	program_seen, program_calls, program_faults
program_seen:
	.space	1024
program_home:
	.space	8
program_target:
	.space	8
program_calls:
	.space	4
program_faults:
	.space	4
	.balign	16
	.space	4096
program_stack_top:

	.section .note.GNU-stack, "", @progbits
