/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory as a shim keeps it: a sorted table of ranges. An image records this table, so
 * it is exact; how pages are backed is up to each shim. Used by one thread.
 */
#ifndef THAW_SHIM_RANGES_H
#define THAW_SHIM_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "guest-stub/include/thaw/abi.h"

/* Where the pages of a range come from when they are first touched. */
enum shim_source {
	SHIM_SOURCE_IMAGE, /* of the image, with its data where it has some */
	SHIM_SOURCE_ZERO,  /* mapped since then: zeroes, whatever the image has there */
};

struct shim_range {
	uint64_t start, end;
	uint32_t prot;
	uint32_t source; /* enum shim_source */
};

struct shim_ranges {
	uint64_t mapped_pages;
	uint32_t count;
	uint32_t reserved;
	struct shim_range at[THAW_RANGES_MAX];
};

/* The range that holds ADDRESS, or NULL. */
const struct shim_range *shim_ranges_find(const struct shim_ranges *ranges, uint64_t address);
/* Whether nothing of [start, end) is mapped. */
bool shim_ranges_free(const struct shim_ranges *ranges, uint64_t start, uint64_t end);
/* Whether all of it is mapped. */
bool shim_ranges_mapped(const struct shim_ranges *ranges, uint64_t start, uint64_t end);

/* Whether there is room for one more change, which adds at most two entries. */
bool shim_ranges_room(const struct shim_ranges *ranges);
/* Adds [start, end), which is free. */
void shim_ranges_add(struct shim_ranges *ranges, uint64_t start, uint64_t end, uint32_t prot,
		     uint32_t source);
/* Removes [start, end). */
void shim_ranges_cut(struct shim_ranges *ranges, uint64_t start, uint64_t end);
/* Changes the protection of [start, end), which is mapped. */
void shim_ranges_protect(struct shim_ranges *ranges, uint64_t start, uint64_t end, uint32_t prot);

/* Puts the ranges into a record of the ready point; neighbours of the same protection are
 * merged. */
void shim_ranges_record(const struct shim_ranges *ranges, struct thaw_ready *ready);

/* Checks the arguments of a memory shim call: page-aligned, within the region, and for map and
 * protect a valid protection. Returns 0 or THAW_EINVAL. */
long shim_memory_check(long number, const struct thaw_shim_memory *call);

#endif
