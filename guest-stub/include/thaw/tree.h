/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree: the files of a Linux program. `thaw freeze` packs it (pool/pack/), the Linux core
 * (guest-stub/linux/) reads it. It lies read-only in guest memory at THAW_TREE_BASE, is part of the
 * image like any other memory, and costs memory once for all clones of a function.
 *
 * All positions are offsets from the tree's first byte; all integers are little-endian. The core
 * checks every one of them, because it reads the tree next to a program that it does not trust.
 *
 *   header   struct thaw_tree_header, at offset 0
 *   data     the content of files. An ELF file, or a file of more than 32 KiB, begins on a page,
 *            and zeros fill its last page, so that a page mapped from it equals a page of the tree.
 *            Other files lie close together
 *   nodes    struct thaw_tree_node[node_count]; node 0 is the root directory
 *   strings  names and targets of symbolic links, each followed by a zero byte
 *
 * The children of a directory are neighbours in the node table, sorted by thaw_tree_compare(). Each
 * name occurs once; no name is empty, "." or "..", or has a slash. A child's index is greater than
 * its parent's, so that a walk down always ends.
 */
#ifndef THAW_TREE_H
#define THAW_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "abi.h"

#define THAW_TREE_NODES_MAX  0x100000u
#define THAW_TREE_NAME_MAX   255u
#define THAW_TREE_TARGET_MAX 4095u

#define THAW_TREE_MAGIC	     UINT64_C(0x6565727477616854) /* "Thawtree" */
#define THAW_TREE_VERSION    1u

enum thaw_tree_flags {
	THAW_TREE_AT_START = 1, /* the ready point is the program's entry, not its first read */
	THAW_TREE_TRACE = 2,	/* log every system call */
	/* Before the ready point, tell of each path that the program looks for and the tree does
	 * not have, and of each directory that it lists. */
	THAW_TREE_TELL_SOUGHT = 4,
};

/*
 * How that is told: as a line of the log of two bytes and an absolute path, which is as the program
 * gave it, behind its current directory if it was relative. These lines are for `thaw freeze` and
 * not for people. The program can forge them.
 */
#define THAW_TREE_SOUGHT	 '\005'
#define THAW_TREE_SOUGHT_MISSING 'm' /* nothing has the path */
#define THAW_TREE_SOUGHT_LISTED	 'l' /* it leads to a directory, whose names were read */

/* A piece of the strings: LENGTH bytes at OFFSET of the tree, followed by a zero byte. */
struct thaw_tree_text {
	uint32_t offset, length;
};

struct thaw_tree_header {
	uint64_t magic;
	uint32_t version;
	uint32_t flags; /* enum thaw_tree_flags */
	uint64_t size;	/* of the tree, whole pages */
	uint32_t nodes_offset, node_count;
	uint32_t strings_offset, strings_size;
	/* The program to run. Its arguments and environment come on the first stack. For a script,
	 * the packer has put the interpreter in its place. */
	struct thaw_tree_text program; /* absolute path in the tree */
	struct thaw_tree_text cwd;     /* absolute path in the tree */
	uint32_t uid, gid;
	uint64_t memory_limit; /* of the function, in bytes; 0: unknown */
	uint64_t reserved[5];
};

enum thaw_tree_node_flags {
	/* A regular file whose content was not packed: its directory was listed, so it has its name,
	 * size and times, and the program did not open it. Its data is 0. */
	THAW_TREE_NODE_ABSENT = 1,
};

struct thaw_tree_node {
	uint32_t parent; /* the root is its own */
	uint32_t mode;	 /* as in st_mode: S_IFDIR, S_IFREG or S_IFLNK, and permissions */
	uint32_t uid, gid;
	int64_t mtime; /* seconds */
	uint32_t mtime_ns;
	uint32_t links; /* st_nlink */
	struct thaw_tree_text name;
	uint64_t size;	/* file: bytes; directory: number of children; link: bytes of its target */
	uint32_t data;	/* file: offset of its bytes; directory: index of its first child;
			  link: offset of its target */
	uint32_t flags; /* enum thaw_tree_node_flags */
};

_Static_assert(sizeof(struct thaw_tree_header) == 112, "layout");
_Static_assert(sizeof(struct thaw_tree_node) == 56, "layout");

/* The order of names in a directory: by bytes; a prefix comes first. */
static inline int thaw_tree_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
	for (size_t i = 0; i < a_length && i < b_length; i++)
		if (a[i] != b[i])
			return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
	return a_length == b_length ? 0 : a_length < b_length ? -1 : 1;
}

#endif
