/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the program's mappings, sorted by address: what memory.c and demand.c share. Code that
 * changes an entry makes the shim's pages agree with it. */
#ifndef THAW_LINUX_TABLE_H
#define THAW_LINUX_TABLE_H

#include "guest-stub/linux/memory/memory.h"

#define MAPPINGS_MAX 8192u

extern struct mapping mappings[MAPPINGS_MAX];
extern unsigned mapping_count;

static inline uint64_t mapping_size(const struct mapping *mapping)
{
	return mapping->end - mapping->start;
}

/* Index of the first mapping that ends after ADDRESS. */
unsigned table_find(uint64_t address);

/* Whether the range is not empty and the program may have it. */
bool table_in_region(uint64_t start, uint64_t length);

/* Whether all of the range is mapped or reserved. */
bool table_is_all_mapped(uint64_t start, uint64_t end);

/* Inserts MAPPING, which holds its file, at the index AT. */
void table_insert(unsigned at, struct mapping mapping);
/* Removes HOW_MANY entries from AT on, and drops their files. */
void table_remove(unsigned at, unsigned how_many);
/* Merges the entry at AT with its neighbours where they are alike. */
void table_merge(unsigned at);
/* Splits the mapping that reaches over ADDRESS, if any. */
void table_split(uint64_t address);

/* Whether the program knows two neighbours as one mapping. */
bool table_is_one(const struct mapping *below, const struct mapping *above);

/* A change adds at most three entries: two by splitting, one by mapping. */
bool table_has_room(void);
/* A change that splits no mapping needs no room: otherwise a full table could not be emptied. */
bool table_has_room_to_split(uint64_t start, uint64_t end);

/* ---- memory.c, for demand.c ---- */

/* Gives a reserved, closed or untouched mapping its pages with the shim's protection WANTED, and with
 * the content that was kept aside. */
int memory_open_pages(struct mapping *mapping, unsigned wanted);

/* How much of the limit is left; if there is none, or it is unknown: 0. */
uint64_t memory_left(void);
/* Whether less than an eighth of the limit is left. */
bool memory_is_scarce(void);

#endif
