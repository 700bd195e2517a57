/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a program file: a static ELF executable for the guest. The file is hostile. Internal to
 * the engine. */
#ifndef THAW_ELF_H
#define THAW_ELF_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"
#include "snapshot-format/image.h"

#define THAW_ELF_SEGMENTS_MAX 64

/* Bytes of the file that belong in guest memory: FILE_LENGTH bytes from FILE_OFFSET at guest
 * address ADDRESS. */
struct thaw_elf_segment {
	uint64_t address, file_offset, file_length;
};

struct thaw_elf {
	uint64_t entry;
	uint64_t end;	      /* first page after the last range */
	uint32_t abi_version; /* of the Thaw note */
	/* For the auxiliary vector; phdr_address 0: the headers are not in memory. */
	uint64_t phdr_address, phdr_count, phdr_size;
	/* To be mapped: page-aligned, sorted, disjoint, W^X, and in [THAW_STACK_TOP,
	 * THAW_REGION_END). */
	struct thaw_range ranges[THAW_ELF_SEGMENTS_MAX];
	size_t range_count;
	struct thaw_elf_segment segments[THAW_ELF_SEGMENTS_MAX];
	size_t segment_count;
};

/*
 * Parses the program in FD without moving its offset. PROGRAM names the file in messages. A refusal
 * is THAW_ERR_FAILURE with the reason. Every byte is read once, and checked without overflow:
 *   - class, machine and type: a static ET_EXEC; PT_INTERP and ET_DYN are refused with a reason;
 *   - the Thaw note, with a known ABI version;
 *   - segments: inside [THAW_STACK_TOP, THAW_REGION_END), not overlapping, congruent modulo the
 *     page, never writable and executable, file parts inside the file, in total at most
 *     MEMORY_SIZE;
 *   - the entry point: in an executable segment.
 */
int thaw_elf_parse(int fd, const char *program, uint64_t memory_size, struct thaw_elf *out,
		   struct thaw_error *err);

#endif
