/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a guest's memory before its boot; see place.h. */
#include "engine/boot/place.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/boot/first_stack.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"

static int put(int memory_fd, const void *bytes, size_t length, uint64_t address,
	       struct thaw_error *err)
{
	if (thaw_write_at(memory_fd, bytes, length, address) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot write the guest's memory");
	return 0;
}

static int put_segment(int memory_fd, int program_fd, const struct thaw_elf_segment *segment,
		       const char *program, struct thaw_error *err)
{
	uint64_t done = 0;
	char piece[65536];

	while (done < segment->file_length) {
		size_t wanted = segment->file_length - done < sizeof(piece)
					? segment->file_length - done
					: sizeof(piece);
		ssize_t got = thaw_read_at(program_fd, piece, wanted, segment->file_offset + done);

		if (got < 0)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read %s",
					       program);
		if (got == 0)
			return thaw_fail(err, THAW_ERR_FAILURE,
					 "%s became shorter while it was read", program);
		if (put(memory_fd, piece, (size_t)got, segment->address + done, err))
			return -1;
		done += (uint64_t)got;
	}
	return 0;
}

static int put_program(int memory_fd, const struct thaw_boot_config *config, int program_fd,
		       const struct thaw_elf *elf, struct thaw_error *err)
{
	for (size_t i = 0; i < elf->segment_count; i++)
		if (put_segment(memory_fd, program_fd, &elf->segments[i], config->program, err))
			return -1;
	return 0;
}

/* Pages that the tree's file lacks stay holes. */
static int put_tree(int memory_fd, const struct thaw_boot_tree *tree, struct thaw_error *err)
{
	off_t at = 0, end;
	uint8_t *bytes;
	int result = 0;

	if (!tree)
		return 0;
	if (!tree->size || tree->size > THAW_TREE_SIZE_MAX || tree->size % THAW_PAGE_SIZE)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "a tree of %llu bytes is not whole pages, or more than 2 GiB",
				 (unsigned long long)tree->size);
	if (lseek(tree->fd, 0, SEEK_END) < (off_t)tree->size)
		return thaw_fail(err, THAW_ERR_FAILURE, "the tree's file is too short");
	bytes = mmap(NULL, tree->size, PROT_READ, MAP_SHARED, tree->fd, 0);
	if (bytes == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot map the tree");
	while (!result && (at = lseek(tree->fd, at, SEEK_DATA)) >= 0 && at < (off_t)tree->size) {
		end = lseek(tree->fd, at, SEEK_HOLE);
		end = end > (off_t)tree->size ? (off_t)tree->size : end;
		result = put(memory_fd, bytes + at, (size_t)(end - at),
			     THAW_TREE_BASE + (uint64_t)at, err);
		at = end;
	}
	munmap(bytes, tree->size);
	return result;
}

/* The first stack lies below the program, as System V has it. */
static int put_stack(int memory_fd, const struct thaw_boot_config *config,
		     const struct thaw_elf *elf, uint64_t *stack_pointer, struct thaw_error *err)
{
	thaw_autofree uint8_t *bytes = NULL;
	size_t length;

	if (thaw_first_stack_make(elf, config->args, config->env, &bytes, &length, err))
		return -1;
	*stack_pointer = THAW_STACK_TOP - length;
	return put(memory_fd, bytes, length, *stack_pointer, err);
}

int thaw_boot_place(int memory_fd, const struct thaw_boot_config *config, int program_fd,
		    const struct thaw_elf *elf, uint64_t *stack_pointer, struct thaw_error *err)
{
	return put_program(memory_fd, config, program_fd, elf, err) ||
			       put_tree(memory_fd, config->tree, err) ||
			       put_stack(memory_fd, config, elf, stack_pointer, err)
		       ? -1
		       : 0;
}

/* The order is sorted: the stack ends where programs may begin, and a program with a tree ends
 * before the tree. */
size_t thaw_boot_ranges(const struct thaw_elf *elf, const struct thaw_boot_tree *tree,
			struct thaw_range *ranges)
{
	size_t count = elf->range_count + 1;

	ranges[0] = (struct thaw_range){THAW_STACK_TOP - THAW_STACK_SIZE, THAW_STACK_SIZE,
					THAW_PROT_READ | THAW_PROT_WRITE};
	memcpy(&ranges[1], elf->ranges, sizeof(ranges[0]) * elf->range_count);
	if (tree)
		ranges[count++] = (struct thaw_range){THAW_TREE_BASE, tree->size, THAW_PROT_READ};
	return count;
}

uint64_t thaw_boot_not_counted(const struct thaw_elf *elf, const struct thaw_boot_tree *tree)
{
	uint64_t size = THAW_STACK_SIZE + THAW_BOOT_STACK;

	if (!tree)
		return 0;
	for (size_t i = 0; i < elf->range_count; i++)
		size += elf->ranges[i].length;
	return size + tree->size;
}
