/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared mappings of a file, and the file, are one thing. The shim cannot map a page twice, so each
 * mapping has pages of its own, and page faults keep them one. A page of a mapping is
 *
 *   absent  not there; its touch brings it
 *   clean   there, equal to the home's, and never writable
 *   owned   there, and writable if the mapping is. The home's is out of date. No other mapping has
 *           the page, and the mapping has PROT_WRITE.
 *
 * The system calls that read or write the file use an owned page where it is; what they write is
 * copied to the clean ones. So faults are needed only where several mappings take turns.
 *
 * There is one processor, and no other thread runs meanwhile, so the program cannot notice. One
 * instruction that needs a page in two mappings, in one of them for writing, cannot go on: it ends
 * the program, since the alternative would be to emulate instructions.
 */
#include <asm/signal.h>
#include <linux/fcntl.h>

#include "guest-stub/core/core.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/shared.h"

/* How much a fault brings at once, but a page alone where two mappings take turns: measured, see
 * docs/linux.md. */
#define PIECE (16 * THAW_PAGE_SIZE)

/* An instruction touches a few pages only. One that faults as often without a change of its
 * registers makes no progress. */
#define FAULTS_MAX 32u

struct part {
	uint64_t start, end;
};

static uint64_t offset_of(const struct mapping *mapping, uint64_t address)
{
	return mapping->backing.offset + (address - mapping->start);
}

/* Whether MAPPING has some of the file's bytes [AT, END), and where. */
static bool has_part(const struct mapping *mapping, uint64_t at, uint64_t end, struct part *out)
{
	uint64_t first = mapping->backing.offset;
	uint64_t last = first + (mapping->end - mapping->start);

	if (at < first)
		at = first;
	if (end > last)
		end = last;
	if (at >= end)
		return false;
	out->start = mapping->start + (at - first);
	out->end = mapping->start + (end - first);
	return true;
}

/* The first mapping of HOME that ends after ADDRESS; NULL: none. */
static const struct mapping *next_of(const struct home *home, uint64_t address)
{
	const struct mapping *mapping =
		memory_at_or_above(address < home->low ? home->low : address);

	for (; mapping && home->mappings && mapping->start < home->high;
	     mapping = memory_next(mapping))
		if (mapping->backing.home == home)
			return mapping;
	return NULL;
}

static const struct mapping *shared_at(uint64_t address)
{
	const struct mapping *mapping = memory_at_or_above(address);

	return mapping && mapping->start <= address && mapping->backing.home ? mapping : NULL;
}

static bool may_write(const struct mapping *mapping)
{
	return (mapping->backing.file->flags & O_ACCMODE) == O_RDWR &&
	       !(mapping->backing.home->seals & (SEAL_WRITE | SEAL_FUTURE));
}

bool shared_may_write(const struct home *home)
{
	const struct mapping *mapping = next_of(home, 0);

	for (; mapping; mapping = next_of(home, mapping->end))
		if (may_write(mapping))
			return true;
	return false;
}

void shared_enter(const struct mapping *mapping)
{
	struct home *home = mapping->backing.home;

	if (home->mappings == 0 || home->low > mapping->start)
		home->low = mapping->start;
	if (home->mappings == 0 || home->high < mapping->end)
		home->high = mapping->end;
	home->mappings++;
}

void shared_leave(const struct mapping *mapping)
{
	mapping->backing.home->mappings--;
}

/* ---- Changes of one entry ---- */

int shared_give(const struct mapping *mapping)
{
	struct home *home = mapping->backing.home;

	return home->operations->put(home, (const void *)mapping->start,
				     mapping->end - mapping->start, mapping->backing.offset);
}

static int reprotect(struct mapping *mapping, struct mapping wanted)
{
	unsigned from = memory_pages_prot(mapping), to = memory_pages_prot(&wanted);
	int error = from == to ? 0
			       : thaw_protect((void *)mapping->start, mapping->end - mapping->start,
					      to);

	if (error)
		return error;
	mapping->prot = wanted.prot;
	mapping->owns = wanted.owns;
	mapping->executes = wanted.executes;
	return 0;
}

static int make_clean(struct mapping *mapping)
{
	struct mapping wanted = *mapping;
	int error = mapping->owns ? shared_give(mapping) : 0;

	wanted.owns = wanted.executes = false;
	return error ? error : reprotect(mapping, wanted);
}

static int take_away(struct mapping *mapping)
{
	int error;

	if (!mapping->present)
		return 0;
	error = thaw_unmap((void *)mapping->start, mapping->end - mapping->start);
	if (error)
		return error;
	memory_count_mapped(-(int64_t)(mapping->end - mapping->start));
	mapping->present = mapping->owns = mapping->executes = false;
	return 0;
}

/* Brings pages that are absent, for a state that MAPPING has already otherwise. */
static int fill(struct mapping *mapping)
{
	const struct home *home = mapping->backing.home;
	uint64_t size = mapping->end - mapping->start;
	unsigned prot = memory_pages_prot(mapping);
	int error = memory_take_pages(mapping->start, size, PROT_READ_ | PROT_WRITE_);

	if (error)
		return error;
	home->operations->get(home, (void *)mapping->start, size, mapping->backing.offset);
	if (prot != (PROT_READ_ | PROT_WRITE_))
		error = thaw_protect((void *)mapping->start, size, prot);
	if (error && thaw_unmap((void *)mapping->start, size))
		host_abort("too many mappings: pages of a file cannot be closed");
	if (error)
		return error;
	memory_count_mapped((int64_t)size);
	mapping->present = true;
	return 0;
}

enum change { TO_CLEAN, TO_OWNED, TO_ABSENT, TO_NOTHING /* without giving */ };

static int change_one(struct mapping *mapping, unsigned change)
{
	struct mapping wanted = *mapping;
	int error = 0;

	if (!mapping->backing.home)
		return 0;
	if (change == TO_NOTHING)
		return take_away(mapping);
	if (change == TO_ABSENT) {
		error = mapping->owns ? shared_give(mapping) : 0;
		return error ? error : take_away(mapping);
	}
	if (change == TO_CLEAN && mapping->present)
		return make_clean(mapping);
	if (mapping->owns)
		return 0;
	wanted.owns = change == TO_OWNED;
	wanted.executes = false;
	if (mapping->present)
		return reprotect(mapping, wanted);
	error = fill(&wanted);
	if (!error)
		*mapping = wanted;
	return error;
}

int shared_protect(struct mapping *mapping, unsigned prot)
{
	struct mapping wanted = *mapping;
	int error = 0;

	if (prot & ~(unsigned)mapping->prot & PROT_WRITE_ && !may_write(mapping))
		return -EACCES;
	if (mapping->present && prot == PROT_NONE_)
		error = change_one(mapping, TO_ABSENT);
	if (error)
		return error;
	if (!mapping->present) {
		mapping->prot = (uint8_t)prot;
		return 0;
	}
	wanted.prot = (uint8_t)prot;
	if (mapping->owns && !(prot & PROT_WRITE_)) {
		error = shared_give(mapping);
		wanted.owns = false;
	}
	/* Executable pages stay executable until they are written. */
	wanted.executes =
		wanted.owns && prot_flips(prot) && memory_pages_prot(mapping) & PROT_EXEC_;
	return error ? error : reprotect(mapping, wanted);
}

int shared_withdraw(uint64_t start, uint64_t end)
{
	return memory_change_each(start, end, change_one, TO_ABSENT);
}

/* ---- Several mappings of one page ---- */

static uint64_t pages_end(const struct home *home)
{
	return page_up(home->operations->size(home));
}

static bool is_within(struct part inner, uint64_t start, uint64_t end)
{
	return inner.start >= start && inner.end <= end;
}

/* Whether another mapping than [START, END) has some of the file's pages [AT, AT_END). */
static bool is_elsewhere(const struct home *home, uint64_t at, uint64_t at_end, uint64_t start,
			 uint64_t end)
{
	const struct mapping *mapping = next_of(home, 0);
	struct part part;

	for (; mapping; mapping = next_of(home, mapping->end))
		if (mapping->present && has_part(mapping, at, at_end, &part) &&
		    !is_within(part, start, end))
			return true;
	return false;
}

/* Makes the pages of [START, END), which lie in one mapping and not behind the file's end, clean or
 * owned, or at least clean. */
static int bring(uint64_t start, uint64_t end, bool own)
{
	const struct mapping *mapping = shared_at(start);
	const struct home *home = mapping->backing.home;
	uint64_t at = offset_of(mapping, start), at_end = at + (end - start);
	struct part part;
	int error = 0;

	for (mapping = next_of(home, 0); mapping && !error;) {
		uint64_t next = mapping->end;

		if (mapping->present && (own || mapping->owns) &&
		    has_part(mapping, at, at_end, &part) && !is_within(part, start, end)) {
			error = memory_change_each(part.start, part.end, change_one,
						   own ? TO_ABSENT : TO_CLEAN);
			next = part.end;
		}
		mapping = next_of(home, next);
	}
	return error ? error
		     : memory_change_each(start, end, change_one, own ? TO_OWNED : TO_CLEAN);
}

/* What of a mapping is before its file's end. */
static uint64_t end_in_file(const struct mapping *mapping)
{
	uint64_t size = pages_end(mapping->backing.home);
	uint64_t length = mapping->end - mapping->start;

	if (size <= mapping->backing.offset)
		return mapping->start;
	size -= mapping->backing.offset;
	return mapping->start + (size < length ? size : length);
}

bool shared_touch(uint64_t address, uint64_t length, bool write)
{
	uint64_t end = page_up(address + length);

	address = page_down(address);
	while (address < end) {
		const struct mapping *mapping = memory_at_or_above(address);
		uint64_t to;

		if (!mapping || mapping->start >= end)
			return true;
		to = mapping->end < end ? mapping->end : end;
		if (mapping->backing.home) {
			uint64_t from = mapping->start > address ? mapping->start : address;

			if (to > end_in_file(mapping))
				return false;
			if (write ? !mapping->owns : !mapping->present)
				if (bring(from, to, write))
					return false;
		}
		address = to;
	}
	return true;
}

/* ---- Faults ---- */

static struct {
	struct registers registers;
	const struct home *home;
	uint64_t address, at; /* of the page, in memory and in the file */
	unsigned count;
} last;

static bool is_same(const struct registers *registers)
{
	return memcmp(&last.registers, registers, sizeof(*registers)) == 0;
}

/* Notes a fault. Returns whether two mappings take turns with the page. */
static bool note(const struct registers *registers, const struct mapping *mapping, uint64_t page)
{
	uint64_t at = offset_of(mapping, page);
	bool turns = last.home == mapping->backing.home && last.at / PIECE == at / PIECE &&
		     last.address - last.at != page - at;

	last.count = is_same(registers) ? last.count + 1 : 0;
	if (last.count > FAULTS_MAX) {
		host_log(
			"thaw: the instruction at %#lx writes a page of a file in one mapping, and "
			"needs it in another as well",
			registers->rip);
		host_end(128 + SIGSEGV);
	}
	last.registers = *registers;
	last.home = mapping->backing.home;
	last.address = page;
	last.at = at;
	return turns;
}

enum shared_fault shared_fault(const struct registers *registers, uint64_t address)
{
	const struct mapping *mapping = shared_at(address);
	uint64_t page = page_down(address), start = page, end = page + THAW_PAGE_SIZE, limit;
	bool own;

	if (!mapping || mapping->prot == PROT_NONE_ ||
	    (mapping->present && (mapping->owns || !(mapping->prot & PROT_WRITE_))))
		return SHARED_NOT;
	limit = end_in_file(mapping);
	if (page >= limit)
		return SHARED_BEYOND;
	if (!note(registers, mapping, page)) {
		start = page / PIECE * PIECE;
		end = start + PIECE;
		if (start < mapping->start)
			start = mapping->start;
		if (end > limit)
			end = limit;
	}
	/* A page that no other mapping has may be written next. */
	own = mapping->present || (mapping->prot & PROT_WRITE_ &&
				   !is_elsewhere(mapping->backing.home, offset_of(mapping, start),
						 offset_of(mapping, end), start, end));
	/* When memory is short, the page alone may still fit. */
	if (bring(start, end, own) && bring(page, page + THAW_PAGE_SIZE, own))
		host_abort("%s", memory_shortage(end - start));
	return SHARED_SOLVED;
}

struct shared_word shared_word(uint64_t address)
{
	const struct mapping *mapping = shared_at(address);

	if (!mapping)
		return (struct shared_word){NULL, address};
	return (struct shared_word){mapping->backing.home, offset_of(mapping, address)};
}

/* ---- The file's side ---- */

uint64_t shared_where(const struct home *home, uint64_t at, uint64_t length, uint8_t **held)
{
	const struct mapping *mapping = next_of(home, 0);
	uint64_t nearest = at + length;
	struct part part;

	*held = NULL;
	for (; mapping; mapping = next_of(home, mapping->end)) {
		if (!mapping->owns || !has_part(mapping, at, nearest, &part))
			continue;
		if (offset_of(mapping, part.start) == at) {
			*held = (uint8_t *)part.start;
			return part.end - part.start;
		}
		nearest = offset_of(mapping, part.start);
	}
	return nearest - at;
}

/* Opens pages of a mapping that are not writable now, for the core. */
static bool open_to_core(const struct mapping *mapping, struct part part)
{
	return memory_pages_prot(mapping) & PROT_WRITE_ ||
	       !thaw_protect((void *)page_down(part.start),
			     page_up(part.end) - page_down(part.start), PROT_READ_ | PROT_WRITE_);
}

static void close_again(const struct mapping *mapping, struct part part)
{
	unsigned prot = memory_pages_prot(mapping);

	if (!(prot & PROT_WRITE_) && thaw_protect((void *)page_down(part.start),
						  page_up(part.end) - page_down(part.start), prot))
		host_abort("too many mappings: pages of a file cannot be closed");
}

bool shared_write(uint8_t *held, const void *from, uint64_t length)
{
	const struct mapping *mapping = shared_at((uint64_t)held);
	struct part part = {(uint64_t)held, (uint64_t)held + length};

	if (!open_to_core(mapping, part))
		return false;
	memmove(held, from, length);
	close_again(mapping, part);
	return true;
}

/* Changes what each mapping has of [AT, AT_END): to what the home has, or else to zeros. */
static void change_all(const struct home *home, uint64_t at, uint64_t at_end, bool show)
{
	const struct mapping *mapping = next_of(home, 0);
	struct part part;

	for (; mapping; mapping = next_of(home, mapping->end)) {
		if (!mapping->present || !has_part(mapping, at, at_end, &part))
			continue;
		if (!open_to_core(mapping, part))
			host_abort("too many mappings: pages of a file cannot be opened");
		if (show)
			home->operations->get(home, (void *)part.start, part.end - part.start,
					      offset_of(mapping, part.start));
		else
			memset((void *)part.start, 0, part.end - part.start);
		close_again(mapping, part);
	}
}

void shared_show(const struct home *home, uint64_t at, uint64_t length)
{
	change_all(home, at, at + length, true);
}

void shared_clear(const struct home *home, uint64_t at, uint64_t length)
{
	change_all(home, at, at + length, false);
}

void shared_cut(const struct home *home, uint64_t size)
{
	const struct mapping *mapping = next_of(home, 0);
	struct part part;

	change_all(home, size, page_up(size), false);
	while (mapping) {
		uint64_t next = mapping->end;

		if (mapping->present && has_part(mapping, page_up(size), UINT64_MAX, &part)) {
			if (memory_change_each(part.start, part.end, change_one, TO_NOTHING))
				host_abort("too many mappings: pages behind the end of a file "
					   "cannot be taken away");
			next = part.end;
		}
		mapping = next_of(home, next);
	}
}
