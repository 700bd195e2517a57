/* SPDX-License-Identifier: Apache-2.0 */
/* The word list, as in guest-stub/functions/spell_words.S, for WebAssembly's assembler. */
	.section .rodata.spell_words, "", @
	.globl	spell_words
	.globl	spell_words_end
spell_words:
	.incbin	WORDLIST
spell_words_end:
	.size	spell_words, spell_words_end - spell_words
	.size	spell_words_end, 0
