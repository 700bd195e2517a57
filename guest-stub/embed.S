/* SPDX-License-Identifier: Apache-2.0 */
/* Embeds the file BLOB as read-only data, from NAME to NAME_end. */
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
