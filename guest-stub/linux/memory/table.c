/* SPDX-License-Identifier: Apache-2.0 */
/* See table.h. */
#include "guest-stub/linux/memory/table.h"

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/memory/shared.h"

struct mapping mappings[MAPPINGS_MAX];
unsigned mapping_count;

unsigned table_find(uint64_t address)
{
	unsigned low = 0, high = mapping_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (mappings[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool table_in_region(uint64_t start, uint64_t length)
{
	return length > 0 && start >= THAW_REGION_BASE && length <= LINUX_MMAP_TOP &&
	       start <= LINUX_MMAP_TOP - length;
}

void table_insert(unsigned at, struct mapping mapping)
{
	memmove(mappings + at + 1, mappings + at, (mapping_count - at) * sizeof(mappings[0]));
	mappings[at] = mapping;
	mapping_count++;
	if (mapping.backing.home)
		shared_enter(&mapping);
}

void table_remove(unsigned at, unsigned how_many)
{
	for (unsigned i = at; i < at + how_many; i++) {
		if (mappings[i].backing.home)
			shared_leave(&mappings[i]);
		file_drop(mappings[i].backing.file);
	}
	memmove(mappings + at, mappings + at + how_many,
		(mapping_count - at - how_many) * sizeof(mappings[0]));
	mapping_count -= how_many;
}

bool table_is_one(const struct mapping *below, const struct mapping *above)
{
	const struct backing *a = &below->backing, *b = &above->backing;

	return below->end == above->start && below->prot == above->prot && a->name == b->name &&
	       a->file == b->file && a->shared == b->shared && a->grows == b->grows &&
	       a->wiped == b->wiped &&
	       ((!a->name && !a->file) || a->offset + mapping_size(below) == b->offset);
}

/* Whether two neighbours can be one entry. */
static bool alike(const struct mapping *below, const struct mapping *above)
{
	return table_is_one(below, above) && below->present == above->present &&
	       below->executes == above->executes && below->owns == above->owns &&
	       below->backing.home == above->backing.home &&
	       below->backing.on_demand == above->backing.on_demand;
}

void table_merge(unsigned at)
{
	if (at + 1 < mapping_count && alike(&mappings[at], &mappings[at + 1])) {
		mappings[at].end = mappings[at + 1].end;
		table_remove(at + 1, 1);
	}
	if (at > 0 && at < mapping_count && alike(&mappings[at - 1], &mappings[at])) {
		mappings[at - 1].end = mappings[at].end;
		table_remove(at, 1);
	}
}

void table_split(uint64_t address)
{
	unsigned at = table_find(address);
	struct mapping upper;

	if (at == mapping_count || mappings[at].start >= address)
		return;
	upper = mappings[at];
	upper.start = address;
	upper.backing.offset += address - mappings[at].start;
	if (upper.backing.file)
		file_hold(upper.backing.file);
	mappings[at].end = address;
	table_insert(at + 1, upper);
}

bool table_has_room(void)
{
	return mapping_count + 4 <= MAPPINGS_MAX;
}

static bool is_within_one(uint64_t address)
{
	unsigned at = table_find(address);

	return at < mapping_count && mappings[at].start < address;
}

bool table_has_room_to_split(uint64_t start, uint64_t end)
{
	return (!is_within_one(start) && !is_within_one(end)) || table_has_room();
}

bool table_is_all_mapped(uint64_t start, uint64_t end)
{
	for (unsigned at = table_find(start);
	     at < mapping_count && start < end && mappings[at].start <= start; at++)
		start = mappings[at].end;
	return start >= end;
}

int memory_change_each(uint64_t start, uint64_t end,
		       int (*change)(struct mapping *mapping, unsigned to), unsigned to)
{
	unsigned first, at;
	int error = 0;

	if (!table_has_room_to_split(start, end))
		return -ENOMEM;
	table_split(start);
	table_split(end);
	first = table_find(start);
	for (at = first; at < mapping_count && mappings[at].start < end && !error; at++)
		error = change(&mappings[at], to);
	while (at > first)
		table_merge(--at);
	return error;
}

const struct mapping *memory_at_or_above(uint64_t address)
{
	unsigned at = table_find(address);

	return at < mapping_count ? &mappings[at] : NULL;
}

const struct mapping *memory_next(const struct mapping *mapping)
{
	return mapping + 1 < mappings + mapping_count ? mapping + 1 : NULL;
}

bool memory_whole(uint64_t address, struct mapping *out, uint64_t *resident)
{
	unsigned first = table_find(address), at;

	if (first == mapping_count)
		return false;
	while (first > 0 && table_is_one(&mappings[first - 1], &mappings[first]))
		first--;
	*out = mappings[first];
	*resident = out->present ? mapping_size(out) : 0;
	for (at = first; at + 1 < mapping_count && table_is_one(&mappings[at], &mappings[at + 1]);
	     at++) {
		out->end = mappings[at + 1].end;
		*resident += mappings[at + 1].present ? mapping_size(&mappings[at + 1]) : 0;
	}
	return true;
}

uint64_t memory_taken(void)
{
	uint64_t taken = 0;

	for (unsigned at = 0; at < mapping_count; at++)
		taken += mapping_size(&mappings[at]);
	return taken;
}

/* Where the addresses of a mapping begin for what is placed below it. */
static uint64_t start_with_gap(const struct mapping *mapping)
{
	if (!mapping->backing.grows)
		return mapping->start;
	return mapping->start > LINUX_STACK_GAP ? mapping->start - LINUX_STACK_GAP : 0;
}

uint64_t memory_find_below(uint64_t length, uint64_t top)
{
	uint64_t limit = top;
	unsigned at = table_find(top);

	if (at < mapping_count && start_with_gap(&mappings[at]) < limit)
		limit = start_with_gap(&mappings[at]);
	for (; at > 0; at--) {
		if (limit > mappings[at - 1].end && limit - mappings[at - 1].end >= length)
			return limit - length;
		if (start_with_gap(&mappings[at - 1]) < limit)
			limit = start_with_gap(&mappings[at - 1]);
	}
	return limit >= THAW_REGION_BASE + length ? limit - length : 0;
}

uint64_t memory_find(uint64_t length)
{
	return memory_find_below(length, LINUX_MMAP_TOP);
}

bool memory_is_free(uint64_t start, uint64_t length)
{
	unsigned at = table_find(start);

	return table_in_region(start, length) &&
	       (at == mapping_count || mappings[at].start >= start + length);
}

bool memory_is_open(uint64_t start, uint64_t length)
{
	unsigned at = table_find(start);

	return memory_is_free(start, length) &&
	       (at == mapping_count || start_with_gap(&mappings[at]) >= start + length);
}
