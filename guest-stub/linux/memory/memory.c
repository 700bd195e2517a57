/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the program's mappings, and the shim calls that make the table of them (table.c) true.
 * A page is in one of four states:
 *
 *   not there
 *   reserved    in the table alone
 *   untouched   in the table alone; it comes when it is touched (demand.c)
 *   present     the shim has it
 *
 * Pages of shared mappings of files have more states: see shared.c.
 *
 * The shim has no pages without access, so content behind PROT_NONE is kept aside (stash.c). The
 * host may refuse any change, since it has room for so many ranges only. A change that it refuses
 * leaves the mapping as the table has it.
 */
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/shared.h"
#include "guest-stub/linux/memory/stash.h"
#include "guest-stub/linux/memory/table.h"

static uint64_t mapped_bytes;
static uint64_t memory_limit; /* 0: unknown */

/* Whether it is a file's content that the table knows by name alone: the loader's. */
static bool backing_is_file(const struct backing *backing)
{
	return backing->name && backing->name[0] != '[';
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

int memory_unmap(uint64_t start, uint64_t length)
{
	uint64_t end = start + length;
	unsigned first, at;

	if (!table_in_region(start, length))
		return -EINVAL;
	if (!table_has_room_to_split(start, end))
		return -ENOMEM;
	table_split(start);
	table_split(end);
	first = table_find(start);
	for (at = first; at < mapping_count && mappings[at].start < end; at++) {
		uint64_t size = mapping_size(&mappings[at]);
		int error;

		stash_drop(mappings[at].start, mappings[at].end);
		if (!mappings[at].present)
			continue;
		error = mappings[at].owns ? shared_give(&mappings[at]) : 0;
		if (!error)
			error = thaw_unmap((void *)mappings[at].start, size);
		if (error) {
			table_remove(first, at - first);
			table_merge(table_find(start));
			table_merge(table_find(end - 1));
			return error;
		}
		mapped_bytes -= size;
	}
	table_remove(first, at - first);
	return 0;
}

void memory_set_limit(uint64_t limit)
{
	memory_limit = limit;
}

uint64_t memory_left(void)
{
	return mapped_bytes < memory_limit ? memory_limit - mapped_bytes : 0;
}

bool memory_is_scarce(void)
{
	return memory_limit && memory_left() < memory_limit / 8;
}

bool memory_exceeds_limit(uint64_t length)
{
	return memory_limit && length > memory_limit;
}

bool memory_fits_well(uint64_t length)
{
	return !memory_limit || length <= memory_left() / 2;
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
	if (memory_limit && length > memory_left())
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
	if (memory_limit && size > memory_left())
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

	if (!table_in_region(start, length))
		return -ENOMEM;
	at = table_find(start);
	if (at < mapping_count && mappings[at].start < start + length) {
		error = memory_unmap(start, length);
		if (error)
			return error;
	}
	if (!table_has_room())
		return -ENOMEM;
	if (mapping.present) {
		error = memory_take_pages(start, length, memory_pages_prot(&mapping));
		if (error)
			return memory_refuse(length);
		mapped_bytes += length;
	}
	at = table_find(start);
	table_insert(at, mapping);
	table_merge(at);
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

int memory_open_pages(struct mapping *mapping, unsigned wanted)
{
	const unsigned writable = PROT_READ_ | PROT_WRITE_;
	bool kept = stash_has(mapping->start, mapping->end);
	uint64_t size = mapping_size(mapping);
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
	uint64_t size = mapping_size(mapping);
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
	       !backing_is_file(&mapping->backing) && mapping_size(mapping) > LINUX_AT_ONCE;
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
		error = opens(mapping, prot) ? memory_open_pages(mapping, wanted) : 0;
	else if (prot == PROT_NONE_)
		error = close_pages(mapping);
	else if (memory_pages_prot(mapping) != wanted)
		error = thaw_protect((void *)mapping->start, mapping_size(mapping), wanted);
	if (error)
		return error;
	mapping->prot = (uint8_t)prot;
	mapping->executes = executes;
	return 0;
}

static int forget_one(struct mapping *mapping, unsigned unused)
{
	int error = 0;

	(void)unused;
	if (mapping->present)
		error = thaw_unmap((void *)mapping->start, mapping_size(mapping));
	if (error)
		return error;
	if (mapping->present)
		mapped_bytes -= mapping_size(mapping);
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
	error = thaw_protect((void *)mapping->start, mapping_size(mapping),
			     shim_prot(mapping->prot, executes));
	if (!error)
		mapping->executes = executes;
	return error;
}

int memory_protect(uint64_t start, uint64_t length, int prot)
{
	int error;

	if (!table_in_region(start, length) || !table_is_all_mapped(start, start + length))
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

	return error || table_is_all_mapped(start, end) ? error : -ENOMEM;
}

int memory_forget(uint64_t start, uint64_t end)
{
	return memory_change_each(start, end, forget_one, 0);
}

int memory_flip(uint64_t start, uint64_t end, bool executes)
{
	return memory_change_each(start, end, flip_one, executes);
}

uint64_t memory_mapped(void)
{
	return mapped_bytes;
}
