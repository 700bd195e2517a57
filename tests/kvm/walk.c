/* SPDX-License-Identifier: Apache-2.0 */
/* A walk over 4-level page tables; see walk.h. */
#include "tests/kvm/walk.h"

#define BIT_PRESENT    (UINT64_C(1) << 0)
#define BIT_WRITE      (UINT64_C(1) << 1)
#define BIT_USER       (UINT64_C(1) << 2)
#define BIT_ACCESSED   (UINT64_C(1) << 5)
#define BIT_DIRTY      (UINT64_C(1) << 6)
#define BIT_SIZE       (UINT64_C(1) << 7) /* in a table of pages this bit is PAT */
#define BIT_NO_EXECUTE (UINT64_C(1) << 63)
#define FRAME	       UINT64_C(0x000ffffffffff000)
/* Address bits that a processor with 39 of them does not have. */
#define BEYOND_PHYSICAL (FRAME & ~((UINT64_C(1) << 39) - 1))
#define TOP_LEVEL	4u

struct path {
	bool user, write, execute;
};

const struct walk_slot *walk_slot_of(const struct walk_memory *memory, uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < WALK_SLOTS; i++) {
		const struct walk_slot *slot = &memory->slots[i];

		if (size <= slot->size && gpa >= slot->gpa && gpa - slot->gpa <= slot->size - size)
			return slot;
	}
	return NULL;
}

uint8_t *walk_host(const struct walk_memory *memory, uint64_t gpa, uint64_t length)
{
	const struct walk_slot *slot = walk_slot_of(memory, gpa, length);

	return slot ? slot->host + (gpa - slot->gpa) : NULL;
}

/* The table at GPA. The processor writes accessed bits there, so it must be in a writable slot. */
static uint64_t *table_at(const struct walk_memory *memory, uint64_t gpa)
{
	const struct walk_slot *slot = walk_slot_of(memory, gpa, 4096);

	return slot && !slot->readonly ? (uint64_t *)(slot->host + (gpa - slot->gpa)) : NULL;
}

static uint64_t size_at(unsigned level)
{
	return UINT64_C(1) << (12 + 9 * (level - 1));
}

static bool is_leaf(uint64_t entry, unsigned level)
{
	return level == 1 || (level < TOP_LEVEL && entry & BIT_SIZE);
}

/* SDM vol. 3, tables 4-15 to 4-20. */
static bool is_reserved(uint64_t entry, unsigned level)
{
	if (entry & BEYOND_PHYSICAL || (level == TOP_LEVEL && entry & BIT_SIZE))
		return true;
	/* Bit 12 of a large page is PAT, and those above it up to its size are reserved. */
	return level > 1 && is_leaf(entry, level) && entry & (size_at(level) - 1) & ~UINT64_C(8191);
}

static struct path through(struct path path, uint64_t entry)
{
	return (struct path){.user = path.user && entry & BIT_USER,
			     .write = path.write && entry & BIT_WRITE,
			     .execute = path.execute && !(entry & BIT_NO_EXECUTE)};
}

static struct walk_leaf leaf_of(struct path path, uint64_t *place, uint64_t address, unsigned level)
{
	uint64_t size = size_at(level);

	return (struct walk_leaf){.address = address & ~(size - 1),
				  .size = size,
				  .gpa = *place & FRAME & ~(size - 1),
				  .user = path.user,
				  .write = path.write,
				  .execute = path.execute,
				  .entry = *place,
				  .place = place};
}

enum walk_result walk_find(const struct walk_memory *memory, uint64_t address,
			   struct walk_leaf *leaf)
{
	struct path path = {true, true, true};
	uint64_t at = memory->cr3 & FRAME;

	for (unsigned level = TOP_LEVEL; level > 0; level--) {
		uint64_t *table = table_at(memory, at), *place;

		if (!table)
			return WALK_OUTSIDE;
		place = &table[address / size_at(level) % 512];
		if (!(*place & BIT_PRESENT))
			return WALK_ABSENT;
		if (is_reserved(*place, level))
			return WALK_RESERVED;
		path = through(path, *place);
		if (is_leaf(*place, level)) {
			*leaf = leaf_of(path, place, address, level);
			return WALK_MAPPED;
		}
		at = *place & FRAME;
	}
	return WALK_ABSENT;
}

static void mark(const struct walk_memory *memory, uint64_t address, bool dirty)
{
	uint64_t at = memory->cr3 & FRAME;

	for (unsigned level = TOP_LEVEL; level > 0; level--) {
		uint64_t *place = &table_at(memory, at)[address / size_at(level) % 512];

		*place |= BIT_ACCESSED;
		if (is_leaf(*place, level)) {
			*place |= dirty ? BIT_DIRTY : 0;
			return;
		}
		at = *place & FRAME;
	}
}

bool walk_user_access(const struct walk_memory *memory, uint64_t address, enum walk_access access,
		      struct walk_leaf *leaf)
{
	if (walk_find(memory, address, leaf) != WALK_MAPPED || !leaf->user)
		return false;
	if ((access == WALK_WRITE && !leaf->write) || (access == WALK_FETCH && !leaf->execute))
		return false;
	mark(memory, address, access == WALK_WRITE);
	return true;
}

/* ---- Everything that is mapped ---- */

struct visit {
	const struct walk_memory *memory;
	bool (*leaf)(void *context, const struct walk_leaf *leaf);
	bool (*table)(void *context, uint64_t gpa, unsigned level);
	void *context;
};

/* Addresses of the upper half begin with ones. */
static uint64_t canonical(uint64_t address)
{
	return address >> 47 & 1 ? address | UINT64_C(0xffff000000000000) : address;
}

static bool visit_table(const struct visit *visit, uint64_t gpa, unsigned level, uint64_t address,
			struct path path)
{
	uint64_t *table = table_at(visit->memory, gpa);

	if (!table || (visit->table && !visit->table(visit->context, gpa, level)))
		return false;
	for (unsigned i = 0; i < 512; i++) {
		uint64_t here = address + i * size_at(level);
		struct path next = through(path, table[i]);
		struct walk_leaf leaf;

		if (!(table[i] & BIT_PRESENT))
			continue;
		if (is_reserved(table[i], level))
			return false;
		if (!is_leaf(table[i], level)) {
			if (!visit_table(visit, table[i] & FRAME, level - 1, here, next))
				return false;
			continue;
		}
		leaf = leaf_of(next, &table[i], canonical(here), level);
		if (visit->leaf && !visit->leaf(visit->context, &leaf))
			return false;
	}
	return true;
}

bool walk_each(const struct walk_memory *memory,
	       bool (*each)(void *context, const struct walk_leaf *leaf), void *context)
{
	struct visit visit = {.memory = memory, .leaf = each, .context = context};

	return visit_table(&visit, memory->cr3 & FRAME, TOP_LEVEL, 0,
			   (struct path){true, true, true});
}

bool walk_each_table(const struct walk_memory *memory,
		     bool (*each)(void *context, uint64_t gpa, unsigned level), void *context)
{
	struct visit visit = {.memory = memory, .table = each, .context = context};

	return visit_table(&visit, memory->cr3 & FRAME, TOP_LEVEL, 0,
			   (struct path){true, true, true});
}
