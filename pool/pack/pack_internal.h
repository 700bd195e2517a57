/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the packer share. */
#ifndef THAW_PACK_INTERNAL_H
#define THAW_PACK_INTERNAL_H

#include "pool/pack/pack.h"

struct thaw_pack_entry {
	struct thaw_pack_meta meta;
	uint32_t parent;
	uint32_t first, next; /* child, sibling; NONE ends */
	uint32_t chain;	      /* next of the same hash bucket */
	uint32_t children;
	uint16_t name_length;
	char *name;
	char *target; /* of a link */
	uint64_t size;
	uint32_t data;
	bool absent; /* a file without its content */
};

/* The bytes of one stored file, by which equal files are found. */
struct thaw_pack_content {
	uint64_t hash[2];
	uint64_t size;
	uint32_t data;
	uint32_t chain;
};

struct thaw_pack_store {
	int fd;			   /* a memory file, laid out as the tree will be */
	uint64_t end;		   /* whole pages in use */
	uint64_t small, small_end; /* free room for small files */
	struct thaw_pack_content *contents;
	uint32_t count, room;
	uint32_t *buckets;
	uint8_t *buffer, *other;
};

struct thaw_pack {
	struct thaw_pack_entry *entries;
	uint32_t count, room;
	uint32_t *buckets;
	struct thaw_pack_store store;
	struct thaw_pack_totals totals;
};

int thaw_pack_store_init(struct thaw_pack_store *store, struct thaw_error *err);
void thaw_pack_store_finish(struct thaw_pack_store *store);
/* Stores the bytes of SOURCE. *SIZE is their number, *DATA their place, and *KNOWN whether an equal
 * file was stored before. */
int thaw_pack_store_take(struct thaw_pack_store *store, const struct thaw_pack_source *source,
			 uint32_t *data, uint64_t *size, bool *known, struct thaw_error *err);
/* Reserves room for LENGTH bytes on pages of their own, at *AT. */
int thaw_pack_store_pages(struct thaw_pack_store *store, uint64_t length, uint64_t *at,
			  struct thaw_error *err);
int thaw_pack_store_write(const struct thaw_pack_store *store, uint64_t at, const void *bytes,
			  size_t length, struct thaw_error *err);

#endif
