/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of a native function. As the System V ABI says of a process, the stack holds argc, argv, NULL, envp, NULL
 * and the auxiliary vector.
 */
	.section .text.entry, "ax", @progbits
	.globl	_start
	.type	_start, @function
_start:
	xorl	%ebp, %ebp
	movq	(%rsp), %rdi		/* argc */
	leaq	8(%rsp), %rsi		/* argv */
	leaq	8(%rsi, %rdi, 8), %rdx	/* envp */

	/* Every invocation writes the page of main()'s frame. When little of that page is left below the arguments,
	 * start on the next page, so that a small handler writes one page of stack and not two. */
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
