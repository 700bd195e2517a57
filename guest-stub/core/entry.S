/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a native function begins: the stack holds what the System V ABI says a process starts with (argc, argv, NULL,
 * envp, NULL, auxiliary vector).
 */
	.section .text.entry, "ax", @progbits
	.globl	_start
	.type	_start, @function
_start:
	xorl	%ebp, %ebp
	movq	(%rsp), %rdi		/* argc */
	leaq	8(%rsp), %rsi		/* argv */
	leaq	8(%rsi, %rdi, 8), %rdx	/* envp */

	/* The page of main()'s frame is written by every invocation. When little of it is left below the arguments, start
	 * on the next one, so that a small handler writes one page of stack and not two. */
	movl	%esp, %eax
	andl	$0xfff, %eax
	cmpl	$0x800, %eax
	jae	1f
	andq	$-4096, %rsp
1:	andq	$-16, %rsp
	call	thaw_core_start
	ud2
	.size	_start, . - _start

	.section .note.GNU-stack, "", @progbits
