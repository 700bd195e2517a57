/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what a command line means: the program, as a shell finds it, and the interpreter of a
 * script. */
#ifndef THAW_GATHER_PROGRAM_H
#define THAW_GATHER_PROGRAM_H

#include "pool/pack/gather_elf.h"
#include "pool/pack/pack.h"

#define THAW_COMMAND_WORDS_MAX 4096u

struct thaw_command {
	char *program; /* absolute path, of the host or of the tree; owned */
	bool in_tree;  /* the path is the tree's */
	char **words;  /* its argv, NULL-terminated; the words are owned */
	size_t word_count;
	enum thaw_elf_kind kind;
};

/*
 * Finds the program that WORDS[0] names, and puts the interpreters of scripts in front of it. Looks
 * first in PACK (a root, or NULL), then on this host. Relative names start from CWD. NOTICE (may be
 * NULL) receives lines for the user. Fails when the program is an empty file, a text without "#!",
 * or a program for another machine. The caller releases OUT with thaw_command_free().
 */
int thaw_command_find(const struct thaw_pack *pack, const char *cwd, char *const *words,
		      void (*notice)(const char *text), struct thaw_command *out,
		      struct thaw_error *err);
void thaw_command_free(struct thaw_command *command);

#endif
