/* SPDX-License-Identifier: Apache-2.0 */
/* Reads which other files an ELF file needs, without trusting a byte of it. */
#ifndef THAW_GATHER_ELF_H
#define THAW_GATHER_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

#define THAW_NEEDED_MAX 1024u

enum thaw_elf_kind {
	THAW_ELF_NONE,	 /* not an ELF file */
	THAW_ELF_OTHER,	 /* for another machine, or not executable */
	THAW_ELF_NATIVE, /* a native function, which has Thaw's note */
	THAW_ELF_LINUX,	 /* a program or a shared library for Linux on x86-64 */
};

struct thaw_elf_needs {
	enum thaw_elf_kind kind;
	bool shared;	   /* ET_DYN */
	char *interpreter; /* PT_INTERP, or NULL */
	char *rpath, *runpath;
	char **needed;
	size_t needed_count;
	/* Where its dynamic symbols' names lie in the file, imports and exports alike; 0 bytes for a
	 * static program. */
	uint64_t names_offset, names_size;
};

/* Reads FD; PATH names it in messages. A damaged file fails with THAW_ERR_FAILURE. The caller
 * releases OUT with thaw_elf_needs_free(). */
int thaw_elf_needs(int fd, const char *path, struct thaw_elf_needs *out, struct thaw_error *err);
void thaw_elf_needs_free(struct thaw_elf_needs *needs);

/* One string that a file may contain; LENGTH bytes, at most THAW_ELF_WORD_MAX. */
struct thaw_elf_word {
	const char *bytes;
	size_t length;
};
#define THAW_ELF_WORD_MAX 64u

/* Which of the COUNT words, at most 32, lie in the LENGTH bytes at OFFSET of FD: a bit for each. What
 * cannot be read contains none. */
uint32_t thaw_elf_find_words(int fd, uint64_t offset, uint64_t length,
			     const struct thaw_elf_word *words, size_t count);

#endif
