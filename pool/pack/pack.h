/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing the tree of a Linux program (guest-stub/include/thaw/tree.h): files are gathered in an
 * order of the caller's choosing, later ones over earlier ones, and then written out. Runs with the
 * rights of whoever freezes and reads files that are not to be trusted.
 *
 * An entry is a number, valid for the life of the pack. Paths of the guest are absolute; symbolic
 * links on them are followed inside the tree.
 */
#ifndef THAW_PACK_H
#define THAW_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot-format/base/error.h"

#define THAW_PACK_ROOT 0u
#define THAW_PACK_NONE UINT32_MAX

struct thaw_pack;
struct stat;

struct thaw_pack_meta {
	uint32_t mode; /* as st_mode: a directory, a regular file or a symbolic link */
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
};

int thaw_pack_create(struct thaw_pack **out, struct thaw_error *err);
void thaw_pack_destroy(struct thaw_pack *pack); /* NULL is fine */

void thaw_pack_meta_of(const struct stat *status, struct thaw_pack_meta *out);

/* ---- Looking ---- */

uint32_t thaw_pack_mode(const struct thaw_pack *pack, uint32_t entry);
uint32_t thaw_pack_parent(const struct thaw_pack *pack, uint32_t entry);
/* What a symbolic link says. */
const char *thaw_pack_target(const struct thaw_pack *pack, uint32_t link);
/* The child of DIRECTORY of that name, or NONE. */
uint32_t thaw_pack_child(const struct thaw_pack *pack, uint32_t directory, const char *name,
			 size_t length);
/* Where PATH leads from directory FROM (a path that begins with a slash: from the root), the last
 * link followed too if FOLLOW; NONE if nowhere. */
uint32_t thaw_pack_find(const struct thaw_pack *pack, uint32_t from, const char *path, bool follow);
/* Up to LENGTH bytes of a file from OFFSET; returns how many, or -1. */
ssize_t thaw_pack_read(const struct thaw_pack *pack, uint32_t file, uint64_t offset, void *buffer,
		       size_t length);

/* ---- Putting ---- */

/* Makes an entry, or gives one that is there a new content and META. A directory stays one. */
int thaw_pack_put_directory(struct thaw_pack *pack, uint32_t directory, const char *name,
			    size_t length, const struct thaw_pack_meta *meta, uint32_t *out,
			    struct thaw_error *err);
int thaw_pack_put_link(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       const struct thaw_pack_meta *meta, const char *target,
		       struct thaw_error *err);

/* Where the bytes of a file come from: at most LENGTH of them into BUFFER; 0 at the end, -1 with
 * errno set. */
struct thaw_pack_source {
	ssize_t (*read)(void *context, void *buffer, size_t length);
	void *context;
	uint64_t size;	  /* no more than these are read */
	const char *name; /* for messages */
};
int thaw_pack_put_file(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       const struct thaw_pack_meta *meta, const struct thaw_pack_source *source,
		       struct thaw_error *err);
/* A file NAME with the COUNT bytes at BYTES, root's, with these permissions. */
int thaw_pack_put_bytes(struct thaw_pack *pack, uint32_t directory, const char *name,
			uint32_t permissions, const void *bytes, size_t count,
			struct thaw_error *err);

/* A file with the bytes, and the meta, of the file FROM. */
int thaw_pack_put_same(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       uint32_t from, struct thaw_error *err);

/* The directory PATH with all that are missing on the way to it, root's, mode 0755. */
int thaw_pack_make_directories(struct thaw_pack *pack, const char *path, uint32_t *out,
			       struct thaw_error *err);
/* A file of the guest with this TEXT and mode, unless there is something of that name. */
int thaw_pack_put_default(struct thaw_pack *pack, const char *path, uint32_t mode, const char *text,
			  struct thaw_error *err);

/* ---- Writing ---- */

struct thaw_pack_config {
	const char *program, *cwd; /* absolute paths of the guest */
	uint32_t uid, gid, flags;
};
/* Ends the packing: *FD becomes the tree, a memory file that the caller owns, *SIZE its bytes. */
int thaw_pack_finish(struct thaw_pack *pack, const struct thaw_pack_config *config, int *fd,
		     uint64_t *size, struct thaw_error *err);

/* What is in the tree. */
struct thaw_pack_totals {
	uint32_t files, directories, links;
	uint64_t bytes;	 /* of all files */
	uint64_t stored; /* equal ones once */
};
void thaw_pack_totals(const struct thaw_pack *pack, struct thaw_pack_totals *out);

#endif
