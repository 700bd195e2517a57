/* SPDX-License-Identifier: Apache-2.0 */
/* A file as read-only data: NAME .. NAME_end. */
#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
	.section .rodata.blob, "a", @progbits
	.balign	4096
	.globl	NAME
	.hidden	NAME
NAME:
	.incbin	BLOB
	.globl	PASTE(NAME, _end)
	.hidden	PASTE(NAME, _end)
PASTE(NAME, _end):
	.section .note.GNU-stack, "", @progbits
