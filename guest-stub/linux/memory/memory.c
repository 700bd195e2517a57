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
 * Pages of shared mappings of files have more states: see shared.c.
 *
 * The shim has no pages without access, so content behind PROT_NONE is kept aside (stash.c). The
 * host may refuse any change, since it has room for so many ranges only. A change that it refuses
 * leaves the mapping as the table has it.
 */
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/shared.h"
#include "guest-stub/linux/memory/stash.h"

#define MAPPINGS_MAX 8192u
/* How much comes with a touch: at first this, and for touches in a row as much as lies there
 * already, up to the second. Measured, see docs/linux.md. */
#define PIECE_MIN (16 * THAW_PAGE_SIZE)
#define PIECE_MAX (512 * THAW_PAGE_SIZE)
/* From so many ranges on, gaps between touched pieces are closed: the rest is for the core and for
 * protections. */
#define RANGES_HIGH (THAW_RANGES_MAX - 128)

static struct mapping table[MAPPINGS_MAX];
static unsigned count;
static uint64_t mapped_bytes;
static uint64_t memory_limit; /* 0: unknown */

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
	if (mapping.backing.home)
		shared_enter(&mapping);
}

static void remove_at(unsigned at, unsigned how_many)
{
	for (unsigned i = at; i < at + how_many; i++) {
		if (table[i].backing.home)
			shared_leave(&table[i]);
		file_drop(table[i].backing.file);
	}
	memmove(table + at, table + at + how_many, (count - at - how_many) * sizeof(table[0]));
	count -= how_many;
}

static bool alike(const struct mapping *below, const struct mapping *above)
{
	return below->end == above->start && below->prot == above->prot &&
	       below->present == above->present && below->executes == above->executes &&
	       below->owns == above->owns && below->backing.home == above->backing.home &&
	       below->backing.name == above->backing.name &&
	       below->backing.file == above->backing.file &&
	       below->backing.shared == above->backing.shared &&
	       below->backing.on_demand == above->backing.on_demand &&
	       below->backing.grows == above->backing.grows &&
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

unsigned memory_pages_prot(const struct mapping *mapping)
{
	unsigned prot = mapping->prot;

	if (mapping->backing.home && !mapping->owns)
		prot &= ~(unsigned)PROT_WRITE_;
	return shim_prot(prot, mapping->executes);
}

void memory_count_mapped(int64_t bytes)
{
	mapped_bytes += (uint64_t)bytes;
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
		error = table[at].owns ? shared_give(&table[at]) : 0;
		if (!error)
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

void memory_set_limit(uint64_t limit)
{
	memory_limit = limit;
}

static uint64_t left(void)
{
	return mapped_bytes < memory_limit ? memory_limit - mapped_bytes : 0;
}

bool memory_exceeds_limit(uint64_t length)
{
	return memory_limit && length > memory_limit;
}

bool memory_fits_well(uint64_t length)
{
	return !memory_limit || length <= left() / 2;
}

/* BYTES as --memory takes it, rounded up. */
static const char *size_text(char *text, size_t size, uint64_t bytes)
{
	bool large = bytes % (1ul << 20) == 0 || bytes >= 16ul << 20;

	snprintf(text, size, large ? "%luM" : "%luK",
		 large ? (bytes + (1ul << 20) - 1) >> 20 : (bytes + 1023) >> 10);
	return text;
}

const char *memory_shortage(uint64_t length)
{
	static char text[160];
	char limit[24], asked[24], used[24];

	size_text(limit, sizeof(limit), memory_limit);
	size_text(asked, sizeof(asked), length);
	size_text(used, sizeof(used), mapped_bytes);
	if (memory_limit && length > left())
		snprintf(text, sizeof(text),
			 "memory: needs more than its limit of %s (asked for %s more with %s in "
			 "use); freeze it with a larger --memory",
			 limit, asked, used);
	else
		snprintf(text, sizeof(text),
			 "memory: %s more were refused with %s in use; --memory is the limit, or "
			 "%lu pieces of one protection",
			 asked, used, (unsigned long)THAW_RANGES_MAX);
	return text;
}

/* Logs it because many programs do without the memory and say nothing. */
int memory_refuse(uint64_t length)
{
	const char *text = memory_shortage(length);

	host_remark(text);
	log_once(LOG_KEY_MEMORY, "%s (ENOMEM)", text);
	return -ENOMEM;
}

/* The shim's limit is larger than the program's by what the core needs. */
int memory_take_pages(uint64_t start, uint64_t size, unsigned prot)
{
	if (memory_limit && size > left())
		return -ENOMEM;
	return thaw_map((void *)start, size, prot);
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
		error = memory_take_pages(start, length, memory_pages_prot(&mapping));
		if (error)
			return memory_refuse(length);
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
	if (memory_take_pages(mapping->start, size, kept ? writable : wanted))
		return -ENOMEM;
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
	/* What is not kept aside is zero now, and not what the file has. */
	if (mapping->backing.file)
		mapping->backing.on_demand = false;
	return 0;
}

/* Whether a mapping without pages gets them when it gets PROT. Otherwise they come on demand, with
 * the content that was kept aside. */
static bool opens(const struct mapping *mapping, unsigned prot)
{
	return prot != PROT_NONE_ && !mapping->backing.on_demand;
}

/* Whether a large piece of a reservation gets its first access. It comes on demand, then, as a
 * large mapping does. */
static bool is_large_opening(const struct mapping *mapping, unsigned prot)
{
	return mapping->prot == PROT_NONE_ && prot != PROT_NONE_ && !mapping->backing.file &&
	       !backing_is_file(&mapping->backing) && size_of(mapping) > LINUX_AT_ONCE;
}

static int protect_one(struct mapping *mapping, unsigned prot)
{
	/* Executable pages stay executable until they are written. */
	bool executes =
		mapping->present && prot_flips(prot) && memory_pages_prot(mapping) & PROT_EXEC_;
	unsigned wanted = shim_prot(prot, executes);
	int error = 0;

	if (mapping->backing.home)
		return shared_protect(mapping, prot);
	mapping->backing.on_demand |= is_large_opening(mapping, prot);
	if (!mapping->present)
		error = opens(mapping, prot) ? open_pages(mapping, wanted) : 0;
	else if (prot == PROT_NONE_)
		error = close_pages(mapping);
	else if (memory_pages_prot(mapping) != wanted)
		error = thaw_protect((void *)mapping->start, size_of(mapping), wanted);
	if (error)
		return error;
	mapping->prot = (uint8_t)prot;
	mapping->executes = executes;
	return 0;
}

static bool is_untouched(const struct mapping *mapping)
{
	return !mapping->present && mapping->prot != PROT_NONE_ && !mapping->backing.home;
}

/* Reads a file's part into pages. What it does not fill stays zero. */
static void read_into(struct file *file, uint64_t start, uint64_t size, int64_t position)
{
	const struct file_operations *operations = file->operations;
	long got = 1;

	for (; size > 0 && got > 0; start += (uint64_t)got, size -= (uint64_t)got) {
		got = (operations->fill ? operations->fill : operations->read)(file, (void *)start,
									       size, &position);
		if (got <= 0)
			break;
	}
}

/* Gives an untouched mapping of a file its pages, with what the file has now. */
static int map_anew(const struct mapping *mapping)
{
	uint64_t size = size_of(mapping);
	int error = memory_take_pages(mapping->start, size, PROT_READ_ | PROT_WRITE_);

	if (error)
		return error;
	read_into(mapping->backing.file, mapping->start, size, (int64_t)mapping->backing.offset);
	if (memory_pages_prot(mapping) == (PROT_READ_ | PROT_WRITE_))
		return 0;
	error = thaw_protect((void *)mapping->start, size, memory_pages_prot(mapping));
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
	if (!mapping->backing.file)
		return open_pages(mapping, memory_pages_prot(mapping));
	error = map_anew(mapping);
	if (error)
		return error;
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

	if (!mapping->present || !prot_flips(mapping->prot) || mapping->executes == executes ||
	    (mapping->backing.home && !mapping->owns))
		return 0;
	error = thaw_protect((void *)mapping->start, size_of(mapping),
			     shim_prot(mapping->prot, executes));
	if (!error)
		mapping->executes = executes;
	return error;
}

int memory_change_each(uint64_t start, uint64_t end,
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

/* How many ranges the shim has of the program's memory. */
static unsigned count_ranges(void)
{
	const struct mapping *last = NULL;
	unsigned ranges = 0;

	for (unsigned at = 0; at < count; at++) {
		if (!table[at].present)
			continue;
		ranges += !last || last->end != table[at].start ||
			  memory_pages_prot(last) != memory_pages_prot(&table[at]);
		last = &table[at];
	}
	return ranges;
}

/* The smallest untouched gap between two touched pieces of a mapping; COUNT: there is none. */
static unsigned smallest_gap(void)
{
	unsigned smallest = count;

	for (unsigned at = 1; at + 1 < count; at++) {
		if (is_untouched(&table[at]) && table[at - 1].present && table[at + 1].present &&
		    table[at - 1].end == table[at].start && table[at].end == table[at + 1].start &&
		    (smallest == count || size_of(&table[at]) < size_of(&table[smallest])))
			smallest = at;
	}
	return smallest;
}

/* A program that touches a large mapping here and there has a range for each place, and the host
 * has room for so many. The smallest gaps between them are filled, before there are too many. */
static void make_room(void)
{
	unsigned gap;

	if (count < RANGES_HIGH || count_ranges() < RANGES_HIGH)
		return;
	for (unsigned i = 0; i < 64 && (gap = smallest_gap()) < count; i++)
		if (memory_change_each(table[gap].start, table[gap].end, supply_one, 0))
			return;
}

int memory_protect(uint64_t start, uint64_t length, int prot)
{
	int error;

	if (!in_region(start, length) || !is_all_mapped(start, start + length))
		return -ENOMEM;
	error = memory_change_each(start, start + length, protect_one, (unsigned)prot);
	return error == -EACCES ? error : error ? memory_refuse(length) : 0;
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
	int error = memory_change_each(start, end, mark_one, mark);

	return error || is_all_mapped(start, end) ? error : -ENOMEM;
}

int memory_forget(uint64_t start, uint64_t end)
{
	return memory_change_each(start, end, forget_one, 0);
}

int memory_supply(uint64_t start, uint64_t end)
{
	uint64_t before = mapped_bytes;
	int error;

	make_room();
	error = memory_change_each(start, end, supply_one, 0);
	return error ? memory_refuse(end - start - (mapped_bytes - before)) : 0;
}

int memory_flip(uint64_t start, uint64_t end, bool executes)
{
	return memory_change_each(start, end, flip_one, executes);
}

/* Whether the program knows two neighbours as one mapping. */
static bool is_one(const struct mapping *below, const struct mapping *above)
{
	const struct backing *a = &below->backing, *b = &above->backing;

	return below->end == above->start && below->prot == above->prot && a->name == b->name &&
	       a->file == b->file && a->shared == b->shared && a->grows == b->grows &&
	       a->wiped == b->wiped &&
	       ((!a->name && !a->file) || a->offset + size_of(below) == b->offset);
}

static uint64_t larger(uint64_t one, uint64_t other)
{
	return one > other ? one : other;
}

/* How much of a mapping lies in PRESENT, one of two neighbours; at most MOST, and 0 if they are not
 * of one mapping. */
static uint64_t row(const struct mapping *below, const struct mapping *above,
		    const struct mapping *present, uint64_t most)
{
	uint64_t size = size_of(present);

	if (!present->present || !is_one(below, above))
		return 0;
	return size < most ? size : most;
}

/* The piece of the untouched mapping at AT that comes with a touch of ADDRESS. Touches in a row,
 * upwards or downwards, bring twice as much each time, so a program that fills its memory faults
 * seldom and one that touches a page here and there gets little more than that. */
static void choose_piece(unsigned at, uint64_t address, uint64_t *start, uint64_t *end)
{
	const struct mapping *here = &table[at];
	uint64_t most = memory_limit && left() < memory_limit / 8 ? PIECE_MIN : PIECE_MAX;
	uint64_t below = at > 0 ? row(here - 1, here, here - 1, most) : 0;
	uint64_t above = at + 1 < count ? row(here, here + 1, here + 1, most) : 0;

	*start = address / PIECE_MIN * PIECE_MIN;
	*end = *start + PIECE_MIN;
	if (address - here->start < below) {
		*start = here->start;
		*end = larger(*end, here->start + below);
	} else if (here->end - address <= above) {
		*start = here->end - larger(here->end - *start, above);
		*end = here->end;
	}
	if (*start < here->start)
		*start = here->start;
	if (*end > here->end)
		*end = here->end;
}

/* Gives the untouched page at ADDRESS, in the mapping at AT, memory; with its neighbours if there
 * is enough. */
static int touch(unsigned at, uint64_t address)
{
	uint64_t page = page_down(address), start, end;

	make_room();
	at = find(address);
	if (!is_untouched(&table[at]))
		return 1;
	choose_piece(at, address, &start, &end);
	if (!memory_change_each(start, end, supply_one, 0) ||
	    !memory_change_each(page, page + THAW_PAGE_SIZE, supply_one, 0))
		return 1;
	return -ENOMEM;
}

/* Whether the mapping at AT may grow down to ADDRESS, which is free and below it. As in Linux, the
 * gap is kept from memory that has access. */
static bool may_grow(unsigned at, uint64_t address)
{
	uint64_t start = page_down(address);

	if (!table[at].backing.grows || table[at].prot == PROT_NONE_ ||
	    table[at].end - start > LINUX_STACK || start < THAW_REGION_BASE)
		return false;
	return at == 0 || table[at - 1].prot == PROT_NONE_ ||
	       start - table[at - 1].end >= LINUX_STACK_GAP;
}

static int grow_down(unsigned at, uint64_t address)
{
	struct backing backing = table[at].backing;
	uint64_t start = page_down(address);
	int error = memory_map(start, table[at].start - start, table[at].prot, &backing);

	return error ? error : touch(find(address), address);
}

int memory_touched(uint64_t address)
{
	unsigned at = find(address);

	if (at == count)
		return 0;
	if (table[at].start > address)
		return may_grow(at, address) ? grow_down(at, address) : 0;
	return is_untouched(&table[at]) ? touch(at, address) : 0;
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
	unsigned at = find(top);

	if (at < count && start_with_gap(&table[at]) < limit)
		limit = start_with_gap(&table[at]);
	for (; at > 0; at--) {
		if (limit > table[at - 1].end && limit - table[at - 1].end >= length)
			return limit - length;
		if (start_with_gap(&table[at - 1]) < limit)
			limit = start_with_gap(&table[at - 1]);
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

bool memory_is_open(uint64_t start, uint64_t length)
{
	unsigned at = find(start);

	return memory_is_free(start, length) &&
	       (at == count || start_with_gap(&table[at]) >= start + length);
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

bool memory_whole(uint64_t address, struct mapping *out, uint64_t *resident)
{
	unsigned first = find(address), at;

	if (first == count)
		return false;
	while (first > 0 && is_one(&table[first - 1], &table[first]))
		first--;
	*out = table[first];
	*resident = out->present ? size_of(out) : 0;
	for (at = first; at + 1 < count && is_one(&table[at], &table[at + 1]); at++) {
		out->end = table[at + 1].end;
		*resident += table[at + 1].present ? size_of(&table[at + 1]) : 0;
	}
	return true;
}

uint64_t memory_taken(void)
{
	uint64_t taken = 0;

	for (unsigned at = 0; at < count; at++)
		taken += size_of(&table[at]);
	return taken;
}

uint64_t memory_mapped(void)
{
	return mapped_bytes;
}
