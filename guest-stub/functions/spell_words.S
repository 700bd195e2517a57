/* SPDX-License-Identifier: Apache-2.0 */
/* The word list of the meson option `wordlist`, as it is: a word a line, UTF-8. */
	.section .rodata.spell_words, "a", @progbits
	.globl	spell_words, spell_words_end
spell_words:
	.incbin	WORDLIST
spell_words_end:

	.section .note.GNU-stack, "", @progbits
