/* SPDX-License-Identifier: Apache-2.0 */
/* A small program file built in memory, correct until a test spoils it. Shared by the ELF tests and
 * the fuzz target. */
#ifndef THAW_TEST_ELF_IMAGE_H
#define THAW_TEST_ELF_IMAGE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/boot/elf.h"

#define TEST_ELF_HEADERS 8u
#define TEST_ELF_SIZE	 0x3000u
#define TEST_ELF_NOTE	 0x800u /* where the note segment lies in the file */

struct test_elf {
	union {
		struct {
			Elf64_Ehdr header;
			Elf64_Phdr segment[TEST_ELF_HEADERS];
		};
		uint8_t bytes[TEST_ELF_SIZE];
	};
	size_t size; /* how much of BYTES the file has */
};

/* Headers: 0 text (R X, holds the headers), 1 read-only data, 2 data with bss, 3 the note, 4 and on
 * unused. */
void test_elf_build(struct test_elf *elf);
/* Puts a note at OFFSET of the file; returns the offset after it. */
size_t test_elf_put_note(struct test_elf *elf, size_t offset, const char *owner, uint32_t type,
			 const void *descriptor, uint32_t size);
/* Parses BYTES as a file; *OUT is only set on success. */
int test_elf_parse(const void *bytes, size_t size, uint64_t memory_size, struct thaw_elf *out,
		   struct thaw_error *err);
/* Which of the promises of engine/boot/elf.h a parsed program breaks; NULL when it keeps them
 * all. */
const char *test_elf_broken_promise(const struct thaw_elf *elf, size_t file_size,
				    uint64_t memory_size);

#endif
