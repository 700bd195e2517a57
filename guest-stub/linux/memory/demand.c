/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that comes as it is touched, and stacks that grow; see memory.h. */
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/table.h"

/* How much comes with a touch: at first this, and for touches in a row as much as lies there
 * already, up to the second. Measured, see docs/linux.md. */
#define PIECE_MIN (16 * THAW_PAGE_SIZE)
#define PIECE_MAX (512 * THAW_PAGE_SIZE)
/* From so many ranges on, gaps between touched pieces are closed: the rest is for the core and for
 * protections. */
#define RANGES_HIGH (THAW_RANGES_MAX - 128)

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
	uint64_t size = mapping_size(mapping);
	int error = memory_take_pages(mapping->start, size, PROT_READ_ | PROT_WRITE_);

	if (error)
		return error;
	read_into(mapping->backing.file, mapping->start, size, (int64_t)mapping->backing.offset);
	if (memory_pages_prot(mapping) == (PROT_READ_ | PROT_WRITE_))
		return 0;
	error = thaw_protect((void *)mapping->start, size, memory_pages_prot(mapping));
	if (error && thaw_unmap((void *)mapping->start, size))
		host_abort("too many mappings: pages of a file cannot be closed");
	return error;
}

static int supply_one(struct mapping *mapping, unsigned unused)
{
	uint64_t size = mapping_size(mapping);
	int error;

	(void)unused;
	if (!is_untouched(mapping))
		return 0;
	if (!mapping->backing.file)
		return memory_open_pages(mapping, memory_pages_prot(mapping));
	error = map_anew(mapping);
	if (error)
		return error;
	mapping->present = true;
	memory_count_mapped((int64_t)size);
	return 0;
}

/* How many ranges the shim has of the program's memory. */
static unsigned count_ranges(void)
{
	const struct mapping *last = NULL;
	unsigned ranges = 0;

	for (unsigned at = 0; at < mapping_count; at++) {
		if (!mappings[at].present)
			continue;
		ranges += !last || last->end != mappings[at].start ||
			  memory_pages_prot(last) != memory_pages_prot(&mappings[at]);
		last = &mappings[at];
	}
	return ranges;
}

/* The smallest untouched gap between two touched pieces of a mapping; mapping_count: there is none. */
static unsigned smallest_gap(void)
{
	unsigned smallest = mapping_count;

	for (unsigned at = 1; at + 1 < mapping_count; at++) {
		if (is_untouched(&mappings[at]) && mappings[at - 1].present &&
		    mappings[at + 1].present && mappings[at - 1].end == mappings[at].start &&
		    mappings[at].end == mappings[at + 1].start &&
		    (smallest == mapping_count ||
		     mapping_size(&mappings[at]) < mapping_size(&mappings[smallest])))
			smallest = at;
	}
	return smallest;
}

/* A program that touches a large mapping here and there has a range for each place, and the host
 * has room for so many. The smallest gaps between them are filled, before there are too many. */
static void make_room(void)
{
	unsigned gap;

	if (mapping_count < RANGES_HIGH || count_ranges() < RANGES_HIGH)
		return;
	for (unsigned i = 0; i < 64 && (gap = smallest_gap()) < mapping_count; i++)
		if (memory_change_each(mappings[gap].start, mappings[gap].end, supply_one, 0))
			return;
}

int memory_supply(uint64_t start, uint64_t end)
{
	uint64_t before = memory_mapped();
	int error;

	make_room();
	error = memory_change_each(start, end, supply_one, 0);
	return error ? memory_refuse(end - start - (memory_mapped() - before)) : 0;
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
	uint64_t size = mapping_size(present);

	if (!present->present || !table_is_one(below, above))
		return 0;
	return size < most ? size : most;
}

/* The piece of the untouched mapping at AT that comes with a touch of ADDRESS. Touches in a row,
 * upwards or downwards, bring twice as much each time, so a program that fills its memory faults
 * seldom and one that touches a page here and there gets little more than that. */
static void choose_piece(unsigned at, uint64_t address, uint64_t *start, uint64_t *end)
{
	const struct mapping *here = &mappings[at];
	uint64_t most = memory_is_scarce() ? PIECE_MIN : PIECE_MAX;
	uint64_t below = at > 0 ? row(here - 1, here, here - 1, most) : 0;
	uint64_t above = at + 1 < mapping_count ? row(here, here + 1, here + 1, most) : 0;

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
	at = table_find(address);
	if (!is_untouched(&mappings[at]))
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

	if (!mappings[at].backing.grows || mappings[at].prot == PROT_NONE_ ||
	    mappings[at].end - start > LINUX_STACK || start < THAW_REGION_BASE)
		return false;
	return at == 0 || mappings[at - 1].prot == PROT_NONE_ ||
	       start - mappings[at - 1].end >= LINUX_STACK_GAP;
}

static int grow_down(unsigned at, uint64_t address)
{
	struct backing backing = mappings[at].backing;
	uint64_t start = page_down(address);
	int error = memory_map(start, mappings[at].start - start, mappings[at].prot, &backing);

	return error ? error : touch(table_find(address), address);
}

int memory_touched(uint64_t address)
{
	unsigned at = table_find(address);

	if (at == mapping_count)
		return 0;
	if (mappings[at].start > address)
		return may_grow(at, address) ? grow_down(at, address) : 0;
	return is_untouched(&mappings[at]) ? touch(at, address) : 0;
}
