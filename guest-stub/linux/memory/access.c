/* SPDX-License-Identifier: Apache-2.0 */
/* What the program may do with its memory, and what the core must do first to do the same. */
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/shared.h"
#include "guest-stub/linux/memory/user.h"

/* What the core needs before it may touch the memory; nearly always nothing. */
enum { PAGES = 1, FLIP = 2, SHARED = 4 };

/* What the core needs to do PROT with all of it; -1 if the program may not. */
static int needs(uint64_t address, uint64_t length, unsigned prot)
{
	const struct mapping *mapping;
	int need = 0;
	uint64_t end;

	if (length == 0)
		return 0;
	if (__builtin_add_overflow(address, length, &end))
		return -1;
	for (mapping = memory_at_or_above(address); mapping && mapping->start <= address;
	     mapping = memory_next(mapping)) {
		if (mapping->prot == PROT_NONE_ || ((mapping->prot | PROT_READ_) & prot) != prot)
			return -1;
		if (!mapping->present)
			need |= PAGES;
		if (mapping->executes)
			need |= FLIP;
		if (mapping->backing.home)
			need |= SHARED;
		address = mapping->end;
		if (address >= end)
			return need;
	}
	return -1;
}

__attribute__((noinline)) static bool prepare(int need, uint64_t address, uint64_t length,
					      bool write)
{
	if (need < 0 || (need & SHARED && !shared_touch(address, length, write)))
		return false;
	if (need & PAGES && memory_supply(page_down(address), page_up(address + length)))
		return false;
	return !write || !(need & FLIP) || flip_to_write(address, length);
}

bool user_readable(uint64_t address, uint64_t length)
{
	int need = needs(address, length, PROT_READ_);

	return need == 0 || prepare(need, address, length, false);
}

bool user_writable(uint64_t address, uint64_t length)
{
	int need = needs(address, length, PROT_WRITE_);

	return need == 0 || prepare(need, address, length, true);
}
