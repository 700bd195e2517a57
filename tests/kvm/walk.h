/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor's walk through a guest's page tables, written from the SDM (vol. 3, 4.5) and from
 * nothing of ours. The tests hold the KVM backend's page tables against it.
 */
#ifndef TEST_KVM_WALK_H
#define TEST_KVM_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest-physical memory, as the host sees it. */
struct walk_slot {
	uint64_t gpa, size;
	uint8_t *host;
	bool readonly;
};

#define WALK_SLOTS 3

struct walk_memory {
	struct walk_slot slots[WALK_SLOTS];
	uint64_t cr3;
};

/* A mapping: the rights are those of all levels together. */
struct walk_leaf {
	uint64_t address, size, gpa;
	bool user, write, execute;
	uint64_t entry;	 /* the lowest one */
	uint64_t *place; /* the address of that entry */
};

enum walk_result {
	WALK_MAPPED,
	WALK_ABSENT,
	WALK_RESERVED, /* a bit is set that has to be clear */
	WALK_OUTSIDE,  /* a table is in no slot, or in a read-only one */
};

/* The slot that has all of [gpa, gpa + size), or NULL. */
const struct walk_slot *walk_slot_of(const struct walk_memory *memory, uint64_t gpa, uint64_t size);
/* The host's view of LENGTH bytes, or NULL. */
uint8_t *walk_host(const struct walk_memory *memory, uint64_t gpa, uint64_t length);

enum walk_result walk_find(const struct walk_memory *memory, uint64_t address,
			   struct walk_leaf *leaf);

/* Makes an access as the processor does at CPL 3: true when the tables allow it; sets accessed and
 * dirty bits. */
enum walk_access { WALK_READ, WALK_WRITE, WALK_FETCH };
bool walk_user_access(const struct walk_memory *memory, uint64_t address, enum walk_access access,
		      struct walk_leaf *leaf);

/* Calls EACH for every mapping in order of address; stops when a call returns false. Returns
 * whether every table on the way was well-formed. */
bool walk_each(const struct walk_memory *memory,
	       bool (*each)(void *context, const struct walk_leaf *leaf), void *context);
/* The same for the pages that are tables. */
bool walk_each_table(const struct walk_memory *memory,
		     bool (*each)(void *context, uint64_t gpa, unsigned level), void *context);

#endif
