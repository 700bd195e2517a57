/* SPDX-License-Identifier: Apache-2.0 */
/* The word list that the meson option `wordlist` names, unchanged: a word on each line, UTF-8. */
	.section .rodata.spell_words, "a", @progbits
	.globl	spell_words, spell_words_end
spell_words:
	.incbin	WORDLIST
spell_words_end:

	.section .note.GNU-stack, "", @progbits
