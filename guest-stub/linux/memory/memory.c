/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the program's mappings, sorted by address, and the shim calls that make it true. A
 * page is in one of four states: not there, reserved (in the table alone), untouched (likewise, but
 * it comes when it is touched), present (the shim has it). The shim has no pages without access, so
 * content behind PROT_NONE is kept aside (stash.c).
 */
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/core/core.h"
#include "guest-stub/linux/fs/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/stash.h"

#define MAPPINGS_MAX  8192u
#define TOUCHED_PIECE (16 * THAW_PAGE_SIZE)

static struct mapping table[MAPPINGS_MAX];
static unsigned count;
static uint64_t mapped_bytes;

/* Index of the first mapping that ends after ADDRESS. */
static unsigned find(uint64_t address)
{
	unsigned low = 0, high = count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (table[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void insert_at(unsigned at, struct mapping mapping)
{
	memmove(table + at + 1, table + at, (count - at) * sizeof(table[0]));
	table[at] = mapping;
	count++;
}

static void remove_at(unsigned at, unsigned how_many)
{
	for (unsigned i = at; i < at + how_many; i++)
		file_drop(table[i].backing.file);
	memmove(table + at, table + at + how_many, (count - at - how_many) * sizeof(table[0]));
	count -= how_many;
}

static bool alike(const struct mapping *below, const struct mapping *above)
{
	return below->end == above->start && below->prot == above->prot &&
	       below->present == above->present && below->executes == above->executes &&
	       below->backing.name == above->backing.name &&
	       below->backing.file == above->backing.file &&
	       below->backing.shared == above->backing.shared &&
	       below->backing.on_demand == above->backing.on_demand &&
	       (!below->backing.name ||
		below->backing.offset + (below->end - below->start) == above->backing.offset);
}

static void merge_around(unsigned at)
{
	if (at + 1 < count && alike(&table[at], &table[at + 1])) {
		table[at].end = table[at + 1].end;
		remove_at(at + 1, 1);
	}
	if (at > 0 && at < count && alike(&table[at - 1], &table[at])) {
		table[at - 1].end = table[at].end;
		remove_at(at, 1);
	}
}

/* Sees to it that no mapping reaches over ADDRESS. */
static void split(uint64_t address)
{
	unsigned at = find(address);
	struct mapping upper;

	if (at == count || table[at].start >= address)
		return;
	upper = table[at];
	upper.start = address;
	upper.backing.offset += address - table[at].start;
	if (upper.backing.file)
		file_hold(upper.backing.file);
	table[at].end = address;
	insert_at(at + 1, upper);
}

/* The shim knows three protections; what can be written or executed can be read. */
static unsigned shim_prot(unsigned prot, bool executes)
{
	if (prot_flips(prot))
		prot &= executes ? ~(unsigned)PROT_WRITE_ : ~(unsigned)PROT_EXEC_;
	return prot | PROT_READ_;
}

static unsigned pages_prot(const struct mapping *mapping)
{
	return shim_prot(mapping->prot, mapping->executes);
}

static bool in_region(uint64_t start, uint64_t length)
{
	return length > 0 && start >= THAW_REGION_BASE && length <= LINUX_MMAP_TOP &&
	       start <= LINUX_MMAP_TOP - length;
}

/* Splitting takes two entries more at most, and adding one. */
static bool has_room(void)
{
	return count + 4 <= MAPPINGS_MAX;
}

static bool is_within_one(uint64_t address)
{
	unsigned at = find(address);

	return at < count && table[at].start < address;
}

/* Where no mapping is split the table does not grow, so that one that is full can be emptied. */
static bool has_room_to_split(uint64_t start, uint64_t end)
{
	return (!is_within_one(start) && !is_within_one(end)) || has_room();
}

int memory_unmap(uint64_t start, uint64_t length)
{
	uint64_t end = start + length;
	unsigned first, at;

	if (!in_region(start, length))
		return -EINVAL;
	if (!has_room_to_split(start, end))
		return -ENOMEM;
	split(start);
	split(end);
	first = find(start);
	for (at = first; at < count && table[at].start < end; at++) {
		uint64_t size = table[at].end - table[at].start;
		int error;

		stash_drop(table[at].start, table[at].end);
		if (!table[at].present)
			continue;
		error = thaw_unmap((void *)table[at].start, size);
		if (error) {
			remove_at(first, at - first);
			return error;
		}
		mapped_bytes -= size;
	}
	remove_at(first, at - first);
	return 0;
}

/* Many programs do without and say nothing. */
static int no_memory(uint64_t length)
{
	log_once(LOG_KEY_MEMORY,
		 "refused: %lu KiB more memory (ENOMEM): %lu KiB are mapped, and "
		 "--memory is the limit, or %lu pieces of one protection",
		 length / 1024, mapped_bytes / 1024, (unsigned long)THAW_RANGES_MAX);
	return -ENOMEM;
}

static int map(uint64_t start, uint64_t length, int prot, const struct backing *backing)
{
	struct mapping mapping = {.start = start,
				  .end = start + length,
				  .prot = (uint8_t)prot,
				  .present = prot != PROT_NONE_ && !backing->on_demand,
				  .backing = *backing};
	unsigned at;
	int error;

	if (!in_region(start, length))
		return -ENOMEM;
	at = find(start);
	if (at < count && table[at].start < start + length) {
		error = memory_unmap(start, length);
		if (error)
			return error;
	}
	if (!has_room())
		return -ENOMEM;
	if (mapping.present) {
		error = thaw_map((void *)start, length, pages_prot(&mapping));
		if (error)
			return no_memory(length);
		mapped_bytes += length;
	}
	at = find(start);
	insert_at(at, mapping);
	merge_around(at);
	return 0;
}

int memory_map(uint64_t start, uint64_t length, int prot, const struct backing *backing)
{
	static const struct backing none;
	/* Held first: what is unmapped for it may be the same file's last. */
	struct file *file = backing && backing->file ? file_hold(backing->file) : NULL;
	int error = map(start, length, prot, backing ? backing : &none);

	if (error)
		file_drop(file);
	return error;
}

/* Gives one mapping of the table another protection. */
static int protect_one(struct mapping *mapping, unsigned prot)
{
	uint64_t size = mapping->end - mapping->start;
	/* What was executable goes on being that, until it is written. */
	bool executes = mapping->present && prot_flips(prot) && pages_prot(mapping) & PROT_EXEC_;
	unsigned wanted = shim_prot(prot, executes);
	int error = 0;

	bool kept = !mapping->present && stash_has(mapping->start, mapping->end);

	if (!mapping->present && prot != PROT_NONE_ && (kept || !mapping->backing.on_demand)) {
		/* Writable until what was kept aside is back. */
		error = thaw_map((void *)mapping->start, size, kept ? 3 : wanted);
		if (error)
			return no_memory(size);
		mapped_bytes += size;
		mapping->present = true;
		if (kept) {
			stash_restore(mapping->start, mapping->end);
			error = thaw_protect((void *)mapping->start, size, wanted);
		}
	} else if (mapping->present && prot == PROT_NONE_) {
		error = stash_keep(mapping->start, mapping->end);
		if (!error)
			error = thaw_unmap((void *)mapping->start, size);
		if (error)
			return error;
		mapped_bytes -= size;
		mapping->present = false;
	} else if (mapping->present && pages_prot(mapping) != wanted) {
		error = thaw_protect((void *)mapping->start, size, wanted);
	}
	if (!error) {
		mapping->prot = (uint8_t)prot;
		mapping->executes = executes;
	}
	return error;
}

int memory_protect(uint64_t start, uint64_t length, int prot)
{
	uint64_t end = start + length, reached = start;
	unsigned first, at;
	int error = 0;

	if (!in_region(start, length))
		return -ENOMEM;
	if (!has_room_to_split(start, end))
		return -ENOMEM;
	for (at = find(start); at < count && reached < end && table[at].start <= reached; at++)
		reached = table[at].end;
	if (reached < end)
		return -ENOMEM;
	split(start);
	split(end);
	first = find(start);
	for (at = first; at < count && table[at].start < end && !error; at++)
		error = protect_one(&table[at], (unsigned)prot);
	while (at > first)
		merge_around(--at);
	return error;
}

static bool is_untouched(const struct mapping *mapping)
{
	return !mapping->present && mapping->prot != PROT_NONE_;
}

int memory_supply(uint64_t start, uint64_t end)
{
	unsigned first, at;
	int error = 0;

	if (!has_room_to_split(start, end))
		return -ENOMEM;
	split(start);
	split(end);
	first = find(start);
	for (at = first; at < count && table[at].start < end && !error; at++) {
		struct mapping *mapping = &table[at];
		uint64_t size = mapping->end - mapping->start;

		if (!is_untouched(mapping))
			continue;
		if (thaw_map((void *)mapping->start, size, pages_prot(mapping)))
			error = no_memory(size);
		mapping->present = !error;
		mapped_bytes += error ? 0 : size;
	}
	while (at > first)
		merge_around(--at);
	return error;
}

bool memory_touched(uint64_t address)
{
	unsigned at = find(address);
	uint64_t start = address / TOUCHED_PIECE * TOUCHED_PIECE, end = start + TOUCHED_PIECE;

	if (at == count || table[at].start > address || !is_untouched(&table[at]))
		return false;
	if (start < table[at].start)
		start = table[at].start;
	if (end > table[at].end)
		end = table[at].end;
	return !memory_supply(start, end);
}

static bool needs_flip(const struct mapping *mapping, bool executes)
{
	return mapping->present && prot_flips(mapping->prot) && mapping->executes != executes;
}

int memory_flip(uint64_t start, uint64_t end, bool executes)
{
	unsigned first, at;
	int error = 0;

	if (!has_room_to_split(start, end))
		return -ENOMEM;
	split(start);
	split(end);
	first = find(start);
	for (at = first; at < count && table[at].start < end && !error; at++) {
		struct mapping *mapping = &table[at];

		if (!needs_flip(mapping, executes))
			continue;
		error = thaw_protect((void *)mapping->start, mapping->end - mapping->start,
				     shim_prot(mapping->prot, executes));
		if (!error)
			mapping->executes = executes;
	}
	while (at > first)
		merge_around(--at);
	return error;
}

uint64_t memory_find_below(uint64_t length, uint64_t top)
{
	uint64_t limit = top;
	unsigned at = find(top);

	if (at < count && table[at].start < limit)
		limit = table[at].start;
	for (; at > 0; at--) {
		if (limit - table[at - 1].end >= length && limit > length)
			return limit - length;
		limit = table[at - 1].start;
	}
	return limit >= THAW_REGION_BASE + length ? limit - length : 0;
}

uint64_t memory_find(uint64_t length)
{
	return memory_find_below(length, LINUX_MMAP_TOP);
}

bool memory_is_free(uint64_t start, uint64_t length)
{
	unsigned at = find(start);

	return in_region(start, length) && (at == count || table[at].start >= start + length);
}

const struct mapping *memory_at_or_above(uint64_t address)
{
	unsigned at = find(address);

	return at < count ? &table[at] : NULL;
}

uint64_t memory_mapped(void)
{
	return mapped_bytes;
}

/* What it takes before the core may touch a program's memory. */
struct need {
	bool pages, flip;
};

/* Whether the program may do PROT with all of it. */
static bool allowed(uint64_t address, uint64_t length, unsigned prot, struct need *need)
{
	uint64_t end;

	if (length == 0)
		return true;
	if (__builtin_add_overflow(address, length, &end))
		return false;
	for (unsigned at = find(address); at < count && table[at].start <= address; at++) {
		const struct mapping *mapping = &table[at];

		if (mapping->prot == PROT_NONE_ || ((mapping->prot | PROT_READ_) & prot) != prot)
			return false;
		need->pages |= !mapping->present;
		need->flip |= (pages_prot(mapping) & prot) != prot;
		address = mapping->end;
		if (address >= end)
			return true;
	}
	return false;
}

bool user_readable(uint64_t address, uint64_t length)
{
	struct need need = {false, false};

	return allowed(address, length, PROT_READ_, &need) &&
	       (!need.pages || !memory_supply(page_down(address), page_up(address + length)));
}

bool user_writable(uint64_t address, uint64_t length)
{
	struct need need = {false, false};

	return allowed(address, length, PROT_WRITE_, &need) &&
	       (!need.pages || !memory_supply(page_down(address), page_up(address + length))) &&
	       (!need.flip || flip_to_write(address, length));
}
