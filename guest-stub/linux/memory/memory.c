/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the program's mappings, sorted by address, and the shim calls that make it true. A
 * page is in one of four states:
 *
 *   not there
 *   reserved    in the table alone
 *   untouched   in the table alone; it comes when it is touched
 *   present     the shim has it
 *
 * The shim has no pages without access, so content behind PROT_NONE is kept aside (stash.c). The
 * host may refuse any change, since it has room for so many ranges only. A change that it refuses
 * leaves the mapping as the table has it.
 */
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/stash.h"

#define MAPPINGS_MAX  8192u
#define TOUCHED_PIECE (16 * THAW_PAGE_SIZE)

static struct mapping table[MAPPINGS_MAX];
static unsigned count;
static uint64_t mapped_bytes;

static uint64_t size_of(const struct mapping *mapping)
{
	return mapping->end - mapping->start;
}

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
	       below->backing.wiped == above->backing.wiped &&
	       ((!below->backing.name && !below->backing.file) ||
		below->backing.offset + (below->end - below->start) == above->backing.offset);
}

/* Whether it is a file's content that the table knows by name alone: the loader's. */
static bool backing_is_file(const struct backing *backing)
{
	return backing->name && backing->name[0] != '[';
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

/* Splits the mapping that reaches over ADDRESS, if any. */
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

/* The shim's protection for PROT. It knows three: what can be written or executed can be read. */
static unsigned shim_prot(unsigned prot, bool executes)
{
	if (prot_flips(prot))
		prot &= executes ? ~(unsigned)PROT_WRITE_ : ~(unsigned)PROT_EXEC_;
	return prot | PROT_READ_;
}

/* The protection of a present mapping's pages. */
static unsigned pages_prot(const struct mapping *mapping)
{
	return shim_prot(mapping->prot, mapping->executes);
}

static bool in_region(uint64_t start, uint64_t length)
{
	return length > 0 && start >= THAW_REGION_BASE && length <= LINUX_MMAP_TOP &&
	       start <= LINUX_MMAP_TOP - length;
}

/* A change adds at most three entries: two by splitting, one by mapping. */
static bool has_room(void)
{
	return count + 4 <= MAPPINGS_MAX;
}

static bool is_within_one(uint64_t address)
{
	unsigned at = find(address);

	return at < count && table[at].start < address;
}

/* A change that splits no mapping needs no room: otherwise a full table could not be emptied. */
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
		uint64_t size = size_of(&table[at]);
		int error;

		stash_drop(table[at].start, table[at].end);
		if (!table[at].present)
			continue;
		error = thaw_unmap((void *)table[at].start, size);
		if (error) {
			remove_at(first, at - first);
			merge_around(find(start));
			merge_around(find(end - 1));
			return error;
		}
		mapped_bytes -= size;
	}
	remove_at(first, at - first);
	return 0;
}

/* Logs the refusal, because many programs do without the memory and say nothing. */
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
	/* Held first: what is unmapped to make room may be the last to hold the file. */
	struct file *file = backing && backing->file ? file_hold(backing->file) : NULL;
	int error = map(start, length, prot, backing ? backing : &none);

	if (error)
		file_drop(file);
	return error;
}

/* Gives a reserved or closed mapping its pages, with the content that was kept aside. */
static int open_pages(struct mapping *mapping, unsigned wanted)
{
	const unsigned writable = PROT_READ_ | PROT_WRITE_;
	bool kept = stash_has(mapping->start, mapping->end);
	uint64_t size = size_of(mapping);
	int error = 0;

	/* Content can only be put back into pages that are writable. */
	if (thaw_map((void *)mapping->start, size, kept ? writable : wanted))
		return no_memory(size);
	if (kept) {
		stash_restore(mapping->start, mapping->end);
		if (wanted != writable)
			error = thaw_protect((void *)mapping->start, size, wanted);
		/* Pages that the program believes closed must not stay open and writable. */
		if (error && thaw_unmap((void *)mapping->start, size))
			host_abort("too many mappings: pages that were opened cannot be closed");
		if (error)
			return error;
		stash_drop(mapping->start, mapping->end);
	}
	mapped_bytes += size;
	mapping->present = true;
	return 0;
}

/* Takes the pages of a mapping away and keeps their content aside. */
static int close_pages(struct mapping *mapping)
{
	uint64_t size = size_of(mapping);
	int error = stash_keep(mapping->start, mapping->end);

	if (error)
		return error;
	error = thaw_unmap((void *)mapping->start, size);
	if (error) {
		stash_drop(mapping->start, mapping->end);
		return error;
	}
	mapped_bytes -= size;
	mapping->present = false;
	return 0;
}

/* Whether a mapping without pages gets them when it gets PROT. Untouched pages come on demand. */
static bool opens(const struct mapping *mapping, unsigned prot)
{
	return prot != PROT_NONE_ &&
	       (!mapping->backing.on_demand || stash_has(mapping->start, mapping->end));
}

static int protect_one(struct mapping *mapping, unsigned prot)
{
	/* Executable pages stay executable until they are written. */
	bool executes = mapping->present && prot_flips(prot) && pages_prot(mapping) & PROT_EXEC_;
	unsigned wanted = shim_prot(prot, executes);
	int error = 0;

	if (!mapping->present)
		error = opens(mapping, prot) ? open_pages(mapping, wanted) : 0;
	else if (prot == PROT_NONE_)
		error = close_pages(mapping);
	else if (pages_prot(mapping) != wanted)
		error = thaw_protect((void *)mapping->start, size_of(mapping), wanted);
	if (error)
		return error;
	mapping->prot = (uint8_t)prot;
	mapping->executes = executes;
	return 0;
}

static bool is_untouched(const struct mapping *mapping)
{
	return !mapping->present && mapping->prot != PROT_NONE_;
}

/* Gives a mapping that memory_forget() has emptied its pages, with what its file has now. */
static int map_anew(const struct mapping *mapping)
{
	uint64_t size = size_of(mapping);
	struct file *file = mapping->backing.file;
	int64_t position = (int64_t)mapping->backing.offset;
	int error = thaw_map((void *)mapping->start, size, PROT_READ_ | PROT_WRITE_);

	if (error)
		return error;
	file->operations->fill(file, (void *)mapping->start, size, &position);
	error = thaw_protect((void *)mapping->start, size, pages_prot(mapping));
	if (error)
		thaw_unmap((void *)mapping->start, size);
	return error;
}

static int supply_one(struct mapping *mapping, unsigned unused)
{
	uint64_t size = size_of(mapping);
	int error;

	(void)unused;
	if (!is_untouched(mapping))
		return 0;
	if (mapping->backing.file && mapping->backing.file->operations->fill)
		error = map_anew(mapping);
	else
		error = thaw_map((void *)mapping->start, size, pages_prot(mapping));
	if (error)
		return no_memory(size);
	mapping->present = true;
	mapped_bytes += size;
	return 0;
}

static int forget_one(struct mapping *mapping, unsigned unused)
{
	int error = 0;

	(void)unused;
	if (mapping->present)
		error = thaw_unmap((void *)mapping->start, size_of(mapping));
	if (error)
		return error;
	if (mapping->present)
		mapped_bytes -= size_of(mapping);
	mapping->present = false;
	mapping->backing.on_demand = true;
	return 0;
}

static int flip_one(struct mapping *mapping, unsigned executes)
{
	int error;

	if (!mapping->present || !prot_flips(mapping->prot) || mapping->executes == executes)
		return 0;
	error = thaw_protect((void *)mapping->start, size_of(mapping),
			     shim_prot(mapping->prot, executes));
	if (!error)
		mapping->executes = executes;
	return error;
}

/* Applies CHANGE to each mapping of [START, END), splitting those that reach over its ends, and
 * stops at the first that fails. */
static int change_each(uint64_t start, uint64_t end,
		       int (*change)(struct mapping *mapping, unsigned to), unsigned to)
{
	unsigned first, at;
	int error = 0;

	if (!has_room_to_split(start, end))
		return -ENOMEM;
	split(start);
	split(end);
	first = find(start);
	for (at = first; at < count && table[at].start < end && !error; at++)
		error = change(&table[at], to);
	while (at > first)
		merge_around(--at);
	return error;
}

static bool is_all_mapped(uint64_t start, uint64_t end)
{
	for (unsigned at = find(start); at < count && start < end && table[at].start <= start; at++)
		start = table[at].end;
	return start >= end;
}

int memory_protect(uint64_t start, uint64_t length, int prot)
{
	if (!in_region(start, length) || !is_all_mapped(start, start + length))
		return -ENOMEM;
	return change_each(start, start + length, protect_one, (unsigned)prot);
}

static int mark_one(struct mapping *mapping, unsigned mark)
{
	struct backing *backing = &mapping->backing;

	if (mark == MARK_WIPED && (backing->file || backing->shared || backing_is_file(backing)))
		return -EINVAL;
	backing->wiped = mark == MARK_WIPED;
	return 0;
}

int memory_mark(uint64_t start, uint64_t end, enum memory_mark mark)
{
	int error = change_each(start, end, mark_one, mark);

	return error || is_all_mapped(start, end) ? error : -ENOMEM;
}

int memory_forget(uint64_t start, uint64_t end)
{
	return change_each(start, end, forget_one, 0);
}

int memory_supply(uint64_t start, uint64_t end)
{
	return change_each(start, end, supply_one, 0);
}

int memory_flip(uint64_t start, uint64_t end, bool executes)
{
	return change_each(start, end, flip_one, executes);
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

const struct mapping *memory_next(const struct mapping *mapping)
{
	return mapping + 1 < table + count ? mapping + 1 : NULL;
}

uint64_t memory_mapped(void)
{
	return mapped_bytes;
}
