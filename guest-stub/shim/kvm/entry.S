/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM shim's assembly: the gate, which the guest runs, and the ways into and out of ring 0. Ring 0 never uses the
 * guest's stack pointer: a call gets a stack of ring 0, and so does each exception, through the IST. There is no
 * interrupt controller. The one interrupt is the tick, which the host injects. It comes only to ring 3, since ring 0
 * runs with IF clear.
 */
#include "guest-stub/shim/kvm/layout.h"

#define THAW_GATE_VA 0x1000000000 /* THAW_GATE, for the assembler */

/* ---- The gate: a page of its own, run by the guest at CPL 3 ---- */
	.section .gate, "ax", @progbits
/* long gate(long number: %rdi, void *argument: %rsi). It loads the arguments of shim calls into registers, so that
 * ring 0 never follows a pointer of the guest: a bad pointer faults here, in the guest. */
kvm_gate:
	cmp	$64, %rdi
	jb	kvm_gate_hypercall
	cmp	$67, %rdi
	je	kvm_gate_clock
	ja	kvm_gate_later
	mov	(%rsi), %rdx			/* start */
	mov	8(%rsi), %r8			/* length */
	mov	16(%rsi), %r10			/* prot, and the reserved word */
	jmp	kvm_gate_call
kvm_gate_hypercall:
	mov	(%rsp), %rdx			/* the return address, for the record of the ready point */
kvm_gate_call:
	syscall
kvm_gate_after:
	ret
kvm_gate_later:
	cmp	$69, %rdi
	ja	kvm_gate_hypercall
	mov	(%rsi), %rdx			/* start, or the FS base */
	mov	8(%rsi), %r8			/* end, or the GS base */
	je	kvm_gate_call
	mov	16(%rsi), %r10			/* the entries */
	mov	24(%rsi), %r9
	jmp	kvm_gate_call
kvm_gate_clock:
	push	%rsi
	call	kvm_gate_call
	pop	%rsi
	test	%rax, %rax
	js	kvm_gate_after
	mov	%rdx, (%rsi)			/* wall */
	mov	%r8, 8(%rsi)			/* monotonic */
	ret
	.balign	4096, 0xcc

/* ---- The shim's entries for the host: struct kvm_entries ---- */
	.section .entries, "a", @progbits
	.quad	kvm_thaw, kvm_prefault, kvm_entry_syscall, kvm_stubs

/* ---- From here on ring 0 ---- */
	.text
	.macro	zero_registers_but_rax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	.endm

/* IF, TF, DF, AC and NT are clear (FMASK). */
kvm_entry_syscall:
	mov	%rsp, KVM_CONTROL_VA + KVM_CONTROL_USER_RSP
	mov	%rcx, KVM_CONTROL_VA + KVM_CONTROL_USER_RIP
	mov	%r11, KVM_CONTROL_VA + KVM_CONTROL_USER_FLAGS
	movabs	$THAW_GATE_VA + kvm_gate_after - kvm_gate, %r11
	cmp	%r11, %rcx
	jne	refused
	cmp	$1, %rdi			/* next */
	jne	call
	cmpl	$KVM_MODE_SERVE, KVM_CONTROL_VA + KVM_CONTROL_MODE
	jne	call

	/* The end of an invocation: from here on nothing of it stays in the processor, which gets the image's state. */
	movl	$1, KVM_MAILBOX_VA		/* call.number */
kvm_rest:
	testl	$KVM_FLAG_CLEAR_X87, KVM_DESC_VA + KVM_DESC_FLAGS
	jz	1f
	fnclex					/* a pending exception would fault in fild */
	emms
	fildl	KVM_DESC_VA + KVM_DESC_FLAGS	/* overwrites the last instruction's and operand's address */
1:	mov	KVM_DESC_VA + KVM_DESC_XSAVE_MASK, %eax
	mov	KVM_DESC_VA + KVM_DESC_XSAVE_MASK + 4, %edx
	xrstor64 KVM_DESC_VA + KVM_DESC_XSAVE
	/* The guest may have loaded selectors, null ones too, of which there are four. Clear them before the bases are
	 * set, which loading a selector changes. */
	mov	%ds, %eax
	mov	%es, %ecx
	mov	%fs, %edx
	mov	%gs, %esi
	or	%ecx, %eax
	or	%edx, %esi
	or	%esi, %eax
	jnz	clear_selectors
2:	testl	$KVM_FLAG_FSGSBASE, KVM_DESC_VA + KVM_DESC_FLAGS
	jz	set_bases
	mov	KVM_DESC_VA + KVM_DESC_REGISTERS + 18*8, %rax
	wrfsbase %rax
	mov	KVM_DESC_VA + KVM_DESC_REGISTERS + 19*8, %rax
	wrgsbase %rax
3:	mov	$KVM_STACK_CALL_TOP, %rsp
	zero_registers_but_rax
	xor	%eax, %eax
	out	%eax, $KVM_PORT_CALL
	/* The host starts each invocation at kvm_thaw; falling through does the same. */

/* Begins a new invocation from the image's record, whatever was before. Flushes the TLB, because the host may have
 * changed page-table entries. */
kvm_thaw:
	mov	%cr3, %rax
	mov	%rax, %cr3
	mov	$KVM_STACK_CALL_TOP, %rsp
	mov	$KVM_DESC_VA + KVM_DESC_REGISTERS, %rax
	push	$KVM_SS_USER
	push	7*8(%rax)			/* rsp */
	push	17*8(%rax)			/* rflags */
	push	$KVM_CS_USER
	push	16*8(%rax)			/* rip */
	mov	1*8(%rax), %rbx
	mov	2*8(%rax), %rcx
	mov	3*8(%rax), %rdx
	mov	4*8(%rax), %rsi
	mov	5*8(%rax), %rdi
	mov	6*8(%rax), %rbp
	mov	8*8(%rax), %r8
	mov	9*8(%rax), %r9
	mov	10*8(%rax), %r10
	mov	11*8(%rax), %r11
	mov	12*8(%rax), %r12
	mov	13*8(%rax), %r13
	mov	14*8(%rax), %r14
	mov	15*8(%rax), %r15
	mov	0*8(%rax), %rax
	iretq

clear_selectors:
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	jmp	2b

set_bases:
	mov	$KVM_MSR_FS_BASE, %ecx
	mov	KVM_DESC_VA + KVM_DESC_REGISTERS + 18*8, %eax
	mov	KVM_DESC_VA + KVM_DESC_REGISTERS + 18*8 + 4, %edx
	wrmsr
	inc	%ecx				/* GS_BASE */
	mov	KVM_DESC_VA + KVM_DESC_REGISTERS + 19*8, %eax
	mov	KVM_DESC_VA + KVM_DESC_REGISTERS + 19*8 + 4, %edx
	wrmsr
	jmp	3b

call:
	mov	%rbx, KVM_CONTROL_VA + KVM_CONTROL_SAVED + 0*8
	mov	%rbp, KVM_CONTROL_VA + KVM_CONTROL_SAVED + 1*8
	mov	%r12, KVM_CONTROL_VA + KVM_CONTROL_SAVED + 2*8
	mov	%r13, KVM_CONTROL_VA + KVM_CONTROL_SAVED + 3*8
	mov	%r14, KVM_CONTROL_VA + KVM_CONTROL_SAVED + 4*8
	mov	%r15, KVM_CONTROL_VA + KVM_CONTROL_SAVED + 5*8
	incl	KVM_CONTROL_VA + KVM_CONTROL_CALLS
	mov	$KVM_STACK_CALL_TOP, %rsp
	mov	%rdx, %rsi			/* kvm_call(number, four words) */
	mov	%r8, %rdx
	mov	%r10, %rcx
	mov	%r9, %r8
	call	kvm_call
	mov	$KVM_STACK_CALL_TOP, %rsp
	push	$KVM_SS_USER
	push	KVM_CONTROL_VA + KVM_CONTROL_USER_RSP
	push	KVM_CONTROL_VA + KVM_CONTROL_USER_FLAGS
	push	$KVM_CS_USER
	push	KVM_CONTROL_VA + KVM_CONTROL_USER_RIP
	zero_registers_but_rax			/* the guest must not see ring 0's values */
	mov	KVM_CONTROL_VA + KVM_CONTROL_SAVED + 0*8, %rbx
	mov	KVM_CONTROL_VA + KVM_CONTROL_SAVED + 1*8, %rbp
	mov	KVM_CONTROL_VA + KVM_CONTROL_SAVED + 2*8, %r12
	mov	KVM_CONTROL_VA + KVM_CONTROL_SAVED + 3*8, %r13
	mov	KVM_CONTROL_VA + KVM_CONTROL_SAVED + 4*8, %r14
	mov	KVM_CONTROL_VA + KVM_CONTROL_SAVED + 5*8, %r15
	mov	KVM_CONTROL_VA + KVM_CONTROL_EXTRA, %rdx
	mov	KVM_CONTROL_VA + KVM_CONTROL_EXTRA + 8, %r8
	iretq

/* A system call from outside the gate. If it is of the program that the guest holds, the guest's entry gets it. */
refused:
	cmpq	$0, KVM_CONTROL_VA + KVM_CONTROL_END
	je	fatal
	mov	%rcx, %r11
	shr	$20, %r11
	cmp	$THAW_GATE_VA >> 20, %r11	/* from the shim's addresses */
	je	fatal
	cmp	KVM_CONTROL_VA + KVM_CONTROL_START, %rcx
	jb	1f
	cmp	KVM_CONTROL_VA + KVM_CONTROL_END, %rcx
	jb	fatal
1:	mov	%rsp, %r11			/* still the program's */
	shl	$16, %r11
	sar	$16, %r11
	cmp	%rsp, %r11			/* IRET would refuse a stack pointer that is not canonical */
	jne	fatal
	incl	KVM_CONTROL_VA + KVM_CONTROL_CALLS
	mov	$KVM_STACK_CALL_TOP, %rsp
	push	$KVM_SS_USER
	push	KVM_CONTROL_VA + KVM_CONTROL_USER_RSP
	push	$0x202
	push	$KVM_CS_USER
	push	KVM_CONTROL_VA + KVM_CONTROL_ENTRY
	mov	KVM_CONTROL_VA + KVM_CONTROL_USER_FLAGS, %r11
	iretq

/* Otherwise it looks like an exception without a vector. */
fatal:
	mov	%rcx, %r11
	mov	$KVM_STACK_CALL_TOP, %rsp
	incl	KVM_CONTROL_VA + KVM_CONTROL_CALLS
	push	$KVM_SS_USER
	push	KVM_CONTROL_VA + KVM_CONTROL_USER_RSP
	push	KVM_CONTROL_VA + KVM_CONTROL_USER_FLAGS
	push	$KVM_CS_USER
	push	%rcx
	push	$0
	push	$KVM_VECTOR_SYSCALL
	jmp	exception

/* A new clone begins here: it prefaults the pages that its invocations will touch, and comes to rest. */
kvm_prefault:
	mov	$KVM_STACK_CALL_TOP, %rsp
	call	kvm_prefault_pages
	movl	$0, KVM_CONTROL_VA + KVM_CONTROL_CALLS
	jmp	kvm_rest

/* ---- Exceptions ---- */

exception:
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%r11
	push	%r10
	push	%r9
	push	%r8
	push	%rdi
	push	%rsi
	push	%rbp
	push	%rbx
	push	%rdx
	push	%rcx
	push	%rax
	/* An interrupt gate does not clear the guest's AC, which would lift SMAP, nor its DF. */
	pushfq
	andl	$~0x40400, (%rsp)
	popfq
	mov	%rsp, %rdi
	call	kvm_exception
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rbx
	pop	%rbp
	pop	%rsi
	pop	%rdi
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	add	$16, %rsp
	iretq

	/* One stub of 16 bytes for each vector, so that the host can compute the table of gates. */
	.balign	16
kvm_stubs:
	.set	vector, 0
	.rept	KVM_VECTORS
	.balign	16
	.if	(vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
	.else
	push	$0				/* for vectors without an error code */
	.endif
	push	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

	.section .note.GNU-stack, "", @progbits
