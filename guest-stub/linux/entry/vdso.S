/* SPDX-License-Identifier: Apache-2.0 */
/* The vDSO's image, on pages of its own: executable, and outside the range of the core's own
 * code. */
	.section .text.vdso, "ax", @progbits
	.balign	4096
	.globl	vdso_image
	.hidden	vdso_image
vdso_image:
	.incbin	VDSO
	.globl	vdso_image_end
	.hidden	vdso_image_end
vdso_image_end:
	.org	vdso_image + 0x1000 /* host/vvar.h follows */
	.section .note.GNU-stack, "", @progbits
