/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.qemu-restore's machine: 64 KiB of firmware and nothing else. It sends one byte on the serial
 * port when it is ready, and is saved then. Afterwards it answers requests: eight bytes of length
 * and that many bytes, in either direction. Before a request it skips bytes that are not zero:
 * bytes that arrive while the saved state is loaded may be lost, so some of these precede each
 * request.
 */
	.set	DATA, 0x3f8
	.set	STATUS, 0x3fd
	.set	RECEIVED, 0x01
	.set	SENDABLE, 0x20

	.code16
	.text
base:
start:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$0x7000, %sp
	movw	$(ready - base), %si
	movw	$(ready_end - ready), %cx
	call	say
next:
	call	hear
	testb	%al, %al
	jnz	next
	movw	$8, %cx
length:
	call	hear
	shrdl	$8, %ebp, %ebx	/* the low four go into EBX, through EBP */
	shrdl	$8, %eax, %ebp
	loop	length
body:
	testl	%ebx, %ebx
	jz	answer
	call	hear
	decl	%ebx
	jmp	body
answer:
	movw	$(response - base), %si
	movw	$(response_end - response), %cx
	call	say
	jmp	next

hear:				/* a byte from the port to AL */
	movw	$STATUS, %dx
1:	inb	%dx, %al
	testb	$RECEIVED, %al
	jz	1b
	movw	$DATA, %dx
	inb	%dx, %al
	ret

say:				/* sends CX bytes at SI */
	movw	$STATUS, %dx
1:	inb	%dx, %al
	testb	$SENDABLE, %al
	jz	1b
	lodsb
	movw	$DATA, %dx
	outb	%al, %dx
	loop	say
	ret

ready:
	.ascii	"r"
ready_end:
response:
	.quad	response_end - text
text:
	.ascii	"hello, world\n"
response_end:

	.org	0xfff0		/* the processor starts here */
	ljmpw	$0xf000, $(start - base)
	.org	0x10000

	.section .note.GNU-stack, "", @progbits
