/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the conformance guest that C cannot express; conform.h declares them. */

#define GATE 0x1000000000

	.macro	function name
	.globl	\name
	.type	\name, @function
\name:
	.endm

	.macro	save_callee
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	.endm

	.macro	restore_callee
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	.endm

	/* STORE: the instruction that stores to memory. */
	.macro	each_high
	.set	n, 0
	.irp	register, ymm0,ymm1,ymm2,ymm3,ymm4,ymm5,ymm6,ymm7,ymm8,ymm9,ymm10,ymm11,ymm12,ymm13,ymm14,ymm15
	vextractf128 $1, %\register, entry_seen + 720 + n*16
	.set	n, n + 1
	.endr
	.endm

	.text
/* Puts patterns into all registers that a call preserves and into the vector registers, calls the gate, and stores what
 * comes back before anything changes it. */
function entry_ready
	save_callee
	mov	%rsp, entry_before + 7*8
	movabs	$0x1b1b1b1b1b1b1b1b, %rbx
	movabs	$0x6b6b6b6b6b6b6b6b, %rbp
	movabs	$0xcccccccccccccc12, %r12
	movabs	$0xcccccccccccccc13, %r13
	movabs	$0xcccccccccccccc14, %r14
	movabs	$0xcccccccccccccc15, %r15
	mov	%rbx, entry_before + 1*8
	mov	%rbp, entry_before + 6*8
	mov	%r12, entry_before + 12*8
	mov	%r13, entry_before + 13*8
	mov	%r14, entry_before + 14*8
	mov	%r15, entry_before + 15*8
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
2:	ldmxcsr	ready_mxcsr
	fninit
	fldcw	ready_control
	fldpi
	cmpb	$0, entry_has_fsgsbase
	je	3f
	mov	$0x810000123, %rax
	mov	%rax, entry_before + 184
	wrfsbase %rax
	mov	$0x7f1234567890, %rax
	mov	%rax, entry_before + 192
	wrgsbase %rax
3:	fxsave64 entry_before + 208
	mov	$1, %edi
	mov	$0x5151515151515151, %rsi
	mov	$GATE, %rax
	call	*%rax
	mov	%rax, entry_seen
	mov	%rbx, entry_seen + 1*8
	mov	%rcx, entry_seen + 2*8
	mov	%rdx, entry_seen + 3*8
	mov	%rsi, entry_seen + 4*8
	mov	%rdi, entry_seen + 5*8
	mov	%rbp, entry_seen + 6*8
	mov	%rsp, entry_seen + 7*8
	mov	%r8, entry_seen + 8*8
	mov	%r9, entry_seen + 9*8
	mov	%r10, entry_seen + 10*8
	mov	%r11, entry_seen + 11*8
	mov	%r12, entry_seen + 12*8
	mov	%r13, entry_seen + 13*8
	mov	%r14, entry_seen + 14*8
	mov	%r15, entry_seen + 15*8
	pushfq
	pop	entry_seen + 16*8
	xor	%eax, %eax
	mov	%cs, %eax
	mov	%rax, entry_seen + 17*8
	mov	%ss, %eax
	mov	%rax, entry_seen + 18*8
	mov	%ds, %eax
	mov	%rax, entry_seen + 19*8
	mov	%es, %eax
	mov	%rax, entry_seen + 20*8
	mov	%fs, %eax
	mov	%rax, entry_seen + 21*8
	mov	%gs, %eax
	mov	%rax, entry_seen + 22*8
	fxsave64 entry_seen + 208
	cmpb	$0, entry_has_avx
	je	4f
	each_high
	vzeroupper
4:	cmpb	$0, entry_has_fsgsbase
	je	5f
	rdfsbase %rax
	mov	%rax, entry_seen + 184
	rdgsbase %rax
	mov	%rax, entry_seen + 192
5:	fninit
	ldmxcsr	default_mxcsr
	cld
	restore_callee
	ret

/* RDI: flags; ESI: how to end. */
function entry_dirty_next
	mov	$0x3fbf, %eax			/* every exception flag set, rounding down */
	mov	%eax, dirty_mxcsr
	ldmxcsr	dirty_mxcsr
	fninit
	fldl2t
	fldpi
	fld1
	fldl2e
	fldlg2
	fldln2
	fldz
	fld1
	test	$2, %esi
	jz	1f
	fldenv	pending_environment
1:	cmpb	$0, entry_has_avx
	je	2f
	.irp	register, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vcmptrueps %ymm\register, %ymm\register, %ymm\register
	.endr
	jmp	3f
2:	.irp	register, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	pcmpeqd	%xmm\register, %xmm\register
	.endr
3:	test	$1, %esi
	jz	4f
	mov	$0x2b, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
4:	cmpb	$0, entry_has_fsgsbase
	je	5f
	movabs	$0x123456789000, %rax
	wrfsbase %rax
	not	%eax
	wrgsbase %rax
5:	push	%rdi
	popfq
	mov	$1, %edi
	mov	$-1, %rsi
	mov	%rsi, %rax
	mov	%rsi, %rbx
	mov	%rsi, %rcx
	mov	%rsi, %rdx
	mov	%rsi, %rbp
	mov	%rsi, %r8
	mov	%rsi, %r9
	mov	%rsi, %r10
	mov	%rsi, %r11
	mov	%rsi, %r12
	mov	%rsi, %r13
	mov	%rsi, %r14
	mov	%rsi, %r15
	call	*gate_address
	ud2

function entry_call
	save_callee
	mov	%rdi, %r11
	mov	%rsi, %rdi
	xor	%eax, %eax
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	call	*%r11
	cld
	restore_callee
	ret

function entry_read
	movb	(%rdi), %al
	ret

function entry_write
	movb	%sil, (%rdi)
	ret

/* ---- Bad stacks ---- */
	.macro	on_stack name, code:vararg
function entry_stack_\name
	mov	%rdi, %rsp
	\code
	ud2
	.endm

	on_stack ud2, ud2
	on_stack int3, int3
	on_stack push, push %rax
	on_stack hlt, hlt
	on_stack syscall, syscall
function entry_stack_gate
	mov	%rdi, %rsp
	mov	$5, %edi
	jmp	*gate_address

/* ---- Flags and traps ---- */
	.macro	set_flags bits
	pushfq
	orl	$\bits, (%rsp)
	popfq
	.endm

function entry_step
	set_flags 0x100
	nop
	.globl	entry_step_at
entry_step_at:
	nop
	ret

function entry_step_gate
	mov	$5, %edi
	set_flags 0x100
	call	*gate_address
	ret

function entry_step_syscall
	mov	$39, %eax
	set_flags 0x100
	syscall
	.globl	entry_step_syscall_at
entry_step_syscall_at:
	ret

function entry_step_ss
	mov	%ss, %eax
	set_flags 0x100
	mov	%eax, %ss
	nop
	nop
	ret

function entry_ss_int3
	mov	%ss, %eax
	mov	%eax, %ss
	int3
	.globl	entry_ss_int3_at
entry_ss_int3_at:
	ret

function entry_ss_icebp
	mov	%ss, %eax
	mov	%eax, %ss
	.byte	0xf1
	.globl	entry_ss_icebp_at
entry_ss_icebp_at:
	ret

function entry_ss_syscall
	mov	%ss, %ecx
	mov	$39, %eax
	mov	%ecx, %ss
	syscall
	.globl	entry_ss_syscall_at
entry_ss_syscall_at:
	ret

/* There is no POP SS in 64-bit mode. */
function entry_pop_ss
	push	%rax
	.globl	entry_pop_ss_at
entry_pop_ss_at:
	.byte	0x17
	ret

function entry_align
	set_flags 0x40000
	lea	entry_vectors + 1(%rip), %rdi
	.globl	entry_align_at
entry_align_at:
	movl	(%rdi), %eax
	ret

/* A call with AC set must work like any other. */
function entry_align_gate
	mov	$5, %edi
	push	%rax
	set_flags 0x40000
	call	*gate_address
	andl	$0, (%rsp)
	pushfq
	andl	$~0x40000, (%rsp)
	popfq
	pop	%rcx
	ret

function entry_simd
	movl	$0x1f00, -8(%rsp)		/* invalid operation is not masked */
	ldmxcsr	-8(%rsp)
	xorps	%xmm0, %xmm0
	.globl	entry_simd_at
entry_simd_at:
	divps	%xmm0, %xmm0
	ldmxcsr	default_mxcsr
	ret

function entry_x87
	fninit
	movw	$0x0340, -8(%rsp)
	fldcw	-8(%rsp)
	fldz
	fld1
	fdivp
	.globl	entry_x87_at
entry_x87_at:
	fwait
	fninit
	ret

/* ---- IRET ---- */
	.macro	frame cs, flags, ss, rip:vararg
	mov	%rsp, %rdx
	pushq	$\ss
	push	%rdx
	pushq	$\flags
	pushq	$\cs
	lea	\rip, %rax
	push	%rax
	.endm

function entry_iret
	frame	0x33, 0x202, 0x2b, 1f(%rip)
	iretq
1:	ret

function entry_iret_kernel
	frame	0x10, 0x202, 0x18, 1f(%rip)
	.globl	entry_iret_kernel_at
entry_iret_kernel_at:
	iretq
1:	ret

function entry_iret_wild
	frame	0x33, 0x202, 0x2b, 1f(%rip)
	movabs	$0x800000000000, %rax
	mov	%rax, (%rsp)
	iretq
1:	ret

function entry_iret_nested
	frame	0x33, 0x202, 0x2b, 1f(%rip)
	set_flags 0x4000
	.globl	entry_iret_nested_at
entry_iret_nested_at:
	iretq
1:	ret

/* Linux has its segment for 32-bit code there. */
function entry_iret_compat
	frame	0x23, 0x202, 0x2b, 1f(%rip)
	iretq
1:	ud2

/* IF and IOPL must not change. */
function entry_flags
	pushq	$0x3002
	popfq
	pushfq
	pop	%rax
	ret

/* Calls gate(RDI) with flags RSI set, and returns the resulting flags. */
function entry_number_call
	push	%rbx
	mov	%rdi, %rbx
	pushfq
	or	%rsi, (%rsp)
	popfq
	mov	%rbx, %rdi
	call	*gate_address
	pushfq
	pop	%rax
	pushq	$0x202
	popfq
	pop	%rbx
	ret

	.section .rodata, "a", @progbits
	.balign	8
gate_address:
	.quad	GATE
ready_mxcsr:
	.long	0x5f80
default_mxcsr:
	.long	0x1f80
ready_control:
	.word	0x0a7f
	.balign	4
	/* Control word 0x0340, all exceptions unmasked; status 0x80bf, all of them pending; all registers in use. */
pending_environment:
	.long	0xffff0340, 0xffff80bf, 0xffff0000, 0, 0, 0, 0

	.bss
	.balign	64
	.globl	entry_before, entry_seen, entry_vectors, entry_has_avx, entry_has_fsgsbase
entry_before:
	.space	1024
entry_seen:
	.space	1024
entry_vectors:
	.space	512
entry_has_avx:
	.space	1
entry_has_fsgsbase:
	.space	1
	.balign	4
dirty_mxcsr:
	.space	4

	.section .note.GNU-stack, "", @progbits
