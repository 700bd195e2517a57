/* SPDX-License-Identifier: Apache-2.0 */
/* Finding what a command line means: the program as a shell finds it, what a script is run by, and
 * what belongs to both. */
#ifndef THAW_GATHER_PROGRAM_H
#define THAW_GATHER_PROGRAM_H

#include "pool/pack/gather.h"
#include "pool/pack/gather_elf.h"

#define THAW_COMMAND_WORDS_MAX 4096u

struct thaw_command {
	char *program; /* absolute path, of the host or of the tree; owned */
	bool in_tree;  /* the latter */
	char **words;  /* what it is started with, NULL-terminated; each is owned */
	size_t word_count;
	enum thaw_elf_kind kind;
};

/*
 * Finds the program that WORDS[0] names and puts the interpreters of scripts in front of it. In
 * PACK it is looked for first, if it is not NULL (a root that was given); then on this host. CWD is
 * the directory of the guest that relative names start from. What is found is neither an empty
 * file, nor a text without "#!", nor a program for another machine.
 */
int thaw_command_find(const struct thaw_pack *pack, const char *cwd, char *const *words,
		      void (*notice)(const char *text), struct thaw_command *out,
		      struct thaw_error *err);
void thaw_command_free(struct thaw_command *command);

/* Packs what the directories of the runtime that PROGRAM is (python3, perl, ...) hold, if it is
 * one, or that one of the libraries gathered so far is. */
int thaw_gather_runtimes(struct thaw_gather *gather, const char *program, struct thaw_error *err);

#endif
