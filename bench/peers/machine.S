/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.qemu-restore's machine: 64 KiB of firmware that is all there is in it. It says one byte on
 * the serial port when it is ready, which is when it is saved, and then answers requests: eight
 * bytes of length and so many bytes, either way. Before a request it skips what is not zero: what
 * came in while the saved state was being loaded over the port may be lost, so the request is sent
 * behind some bytes of that kind.
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

hear:				/* a byte of the port's to AL */
	movw	$STATUS, %dx
1:	inb	%dx, %al
	testb	$RECEIVED, %al
	jz	1b
	movw	$DATA, %dx
	inb	%dx, %al
	ret

say:				/* CX bytes at SI */
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

	.org	0xfff0		/* where the processor begins */
	ljmpw	$0xf000, $(start - base)
	.org	0x10000

	.section .note.GNU-stack, "", @progbits
