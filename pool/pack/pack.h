/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs the file tree of a Linux program (guest-stub/include/thaw/tree.h). The caller puts files in
 * any order, later ones over earlier ones, and then has the tree written out. The packer runs with
 * the rights of the user who freezes, and reads files that are not to be trusted.
 *
 * An entry is a number, valid for the life of the pack. Paths of the guest are absolute; symbolic
 * links on them are followed inside the tree. Names are given with their LENGTH, without a NUL.
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
/* Whether ENTRY was put by thaw_pack_put_absent(). */
bool thaw_pack_is_absent(const struct thaw_pack *pack, uint32_t entry);
/* The target of a symbolic link; it lives until the entry changes. */
const char *thaw_pack_target(const struct thaw_pack *pack, uint32_t link);
/* The child of DIRECTORY called NAME, or THAW_PACK_NONE. */
uint32_t thaw_pack_child(const struct thaw_pack *pack, uint32_t directory, const char *name,
			 size_t length);
/* The entry that PATH leads to from directory FROM, or from the root when PATH begins with a slash;
 * THAW_PACK_NONE when it leads nowhere. FOLLOW: when the last component is a link, follow it. */
uint32_t thaw_pack_find(const struct thaw_pack *pack, uint32_t from, const char *path, bool follow);
/* Reads up to LENGTH bytes of FILE from OFFSET. Returns how many, or -1 with errno. */
ssize_t thaw_pack_read(const struct thaw_pack *pack, uint32_t file, uint64_t offset, void *buffer,
		       size_t length);

/* ---- Putting ---- */

/* Each makes an entry, or gives an existing one new content and META. A directory that has children
 * cannot become a file or a link: that is an error. */
int thaw_pack_put_directory(struct thaw_pack *pack, uint32_t directory, const char *name,
			    size_t length, const struct thaw_pack_meta *meta, uint32_t *out,
			    struct thaw_error *err);
int thaw_pack_put_link(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       const struct thaw_pack_meta *meta, const char *target,
		       struct thaw_error *err);

/* Where the bytes of a file come from. READ puts at most LENGTH of them into BUFFER and returns how
 * many, 0 at the end, or -1 with errno. */
struct thaw_pack_source {
	ssize_t (*read)(void *context, void *buffer, size_t length);
	void *context;
	uint64_t size;	  /* no more bytes than this are read */
	const char *name; /* for messages */
};
int thaw_pack_put_file(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       const struct thaw_pack_meta *meta, const struct thaw_pack_source *source,
		       struct thaw_error *err);
/* Puts a file of SIZE bytes whose content is not packed: it can be seen and not be opened. */
int thaw_pack_put_absent(struct thaw_pack *pack, uint32_t directory, const char *name,
			 size_t length, const struct thaw_pack_meta *meta, uint64_t size,
			 struct thaw_error *err);
/* Puts a file NAME with the COUNT bytes at BYTES, owned by root, with these permissions. */
int thaw_pack_put_bytes(struct thaw_pack *pack, uint32_t directory, const char *name,
			uint32_t permissions, const void *bytes, size_t count,
			struct thaw_error *err);

/* A file with the bytes and the meta of the file FROM. */
int thaw_pack_put_same(struct thaw_pack *pack, uint32_t directory, const char *name, size_t length,
		       uint32_t from, struct thaw_error *err);

/* Makes the directory PATH and its missing parents, owned by root, mode 0755. *OUT is its entry. */
int thaw_pack_make_directories(struct thaw_pack *pack, const char *path, uint32_t *out,
			       struct thaw_error *err);
/* Makes the file PATH with this TEXT and mode, unless an entry of that name exists. */
int thaw_pack_put_default(struct thaw_pack *pack, const char *path, uint32_t mode, const char *text,
			  struct thaw_error *err);

/* ---- Writing ---- */

struct thaw_pack_config {
	const char *program, *cwd; /* absolute paths of the guest */
	uint32_t uid, gid, flags;
	uint64_t memory_limit; /* of the function, in bytes; 0: unknown */
};
/* Writes the tree. *FD becomes a sealed memory file that the caller owns, *SIZE its length in
 * bytes. After this PACK can only be destroyed. */
int thaw_pack_finish(struct thaw_pack *pack, const struct thaw_pack_config *config, int *fd,
		     uint64_t *size, struct thaw_error *err);

/* What is in the tree. */
struct thaw_pack_totals {
	uint32_t files, directories, links;
	uint64_t bytes;	 /* of all files */
	uint64_t stored; /* the same, with equal files counted once */
};
void thaw_pack_totals(const struct thaw_pack *pack, struct thaw_pack_totals *out);

#endif
