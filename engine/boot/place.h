/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's memory holds before its first instruction: the program, its first stack and the
 * files of a Linux program. Internal to the engine. */
#ifndef THAW_BOOT_PLACE_H
#define THAW_BOOT_PLACE_H

#include "engine/boot/elf.h"
#include "engine/engine.h"

/* Writes the program in PROGRAM_FD, the tree of CONFIG and the first stack into the memory file
 * MEMORY_FD, whose offsets are guest addresses. Sets *STACK_POINTER. Returns 0 or -1. */
int thaw_boot_place(int memory_fd, const struct thaw_boot_config *config, int program_fd,
		    const struct thaw_elf *elf, uint64_t *stack_pointer, struct thaw_error *err);

#define THAW_BOOT_RANGES_MAX (THAW_ELF_SEGMENTS_MAX + 2)

/* Fills RANGES, which has room for THAW_BOOT_RANGES_MAX, with the guest's ranges at its start,
 * sorted. Returns how many. */
size_t thaw_boot_ranges(const struct thaw_elf *elf, const struct thaw_boot_tree *tree,
			struct thaw_range *ranges);

/* Bytes of a guest with a tree that do not count against the function's memory; 0 without one. */
uint64_t thaw_boot_not_counted(const struct thaw_elf *elf, const struct thaw_boot_tree *tree);

#endif
