/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the program may both write and execute. No page is ever both: each is readable and
 * one of the two, and a fault turns it over. The program may do anything with such a page, so the
 * state of the page tells what the instruction tried. There is one processor, and no other thread
 * runs meanwhile, so a program cannot notice.
 *
 * A page's neighbours in its piece turn with it, because code is written and run by the piece. When
 * one instruction needs two pages of a piece in different states, the second page turns alone, so
 * the instruction can go on. Only an instruction that writes into its own page cannot: it ends the
 * program, since the alternative would be to emulate instructions.
 */
#include <asm/signal.h>

#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"

/* How much turns at once: measured, see docs/linux.md. */
#define PIECE (16 * THAW_PAGE_SIZE)

struct turn {
	uint64_t rip, page;
	bool executes;
	bool alone; /* without the page's neighbours */
};
static struct turn last;

/* Turns all adjacent memory that flips, which makes one piece of many when there are too many. */
static int flip_all_around(uint64_t page, bool executes)
{
	const struct mapping *mapping;
	uint64_t start = page, end = page;

	while ((mapping = memory_at_or_above(start - 1)) && mapping->start < start &&
	       prot_flips(mapping->prot))
		start = mapping->start;
	while ((mapping = memory_at_or_above(end)) && mapping->start <= end &&
	       prot_flips(mapping->prot))
		end = mapping->end;
	return memory_flip(start, end, executes);
}

static bool flip(uint64_t start, uint64_t end, bool executes)
{
	return !memory_flip(start, end, executes) ||
	       (!flip_all_around(start, executes) && !memory_flip(start, end, executes));
}

_Noreturn static void give_up(uint64_t rip)
{
	host_log("thaw: the instruction at %#lx writes into its own page, which cannot be writable "
		 "and executable at once",
		 rip);
	host_end(128 + SIGSEGV);
}

/* Turns the page without its neighbours, which the instruction needs as they are. */
static void flip_alone(const struct turn *turn)
{
	if (turn->page == last.page && turn->executes && !last.executes)
		give_up(turn->rip);
	if (memory_flip(turn->page, turn->page + THAW_PAGE_SIZE, turn->executes))
		host_abort("too many mappings: no room for a page of its own of memory that is "
			   "writable and executable");
}

bool flip_fault(uint64_t rip, uint64_t address)
{
	const struct mapping *mapping = memory_at_or_above(address);
	struct turn turn = {.rip = rip, .page = page_down(address)};
	uint64_t piece = turn.page / PIECE * PIECE;

	if (!mapping || mapping->start > address || !mapping->present || !prot_flips(mapping->prot))
		return false;
	/* Such pages are executable until they are written, which shared.c allows. */
	if (mapping->backing.home && !mapping->owns)
		return false;
	turn.executes = !mapping->executes;
	turn.alone = rip == last.rip && (last.alone || turn.executes != last.executes);
	if (turn.alone)
		flip_alone(&turn);
	else if (!flip(piece, piece + PIECE, turn.executes))
		host_abort("too many mappings: memory that is writable and executable cannot be "
			   "either");
	last = turn;
	return true;
}

bool flip_to_write(uint64_t address, uint64_t length)
{
	return flip(page_down(address), page_up(address + length), false);
}
