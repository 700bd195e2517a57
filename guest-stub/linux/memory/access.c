/* SPDX-License-Identifier: Apache-2.0 */
/* What the program may do with its memory, and what the core must do first to do the same. */
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/user.h"

/* What the core needs before it may touch the memory. */
struct need {
	bool pages, flip;
};

/* Whether the program may do PROT with all of it. */
static bool allowed(uint64_t address, uint64_t length, unsigned prot, struct need *need)
{
	const struct mapping *mapping;
	uint64_t end;

	if (length == 0)
		return true;
	if (__builtin_add_overflow(address, length, &end))
		return false;
	for (mapping = memory_at_or_above(address); mapping && mapping->start <= address;
	     mapping = memory_next(mapping)) {
		if (mapping->prot == PROT_NONE_ || ((mapping->prot | PROT_READ_) & prot) != prot)
			return false;
		need->pages |= !mapping->present;
		need->flip |= mapping->executes;
		address = mapping->end;
		if (address >= end)
			return true;
	}
	return false;
}

static bool supply(const struct need *need, uint64_t address, uint64_t length)
{
	return !need->pages || !memory_supply(page_down(address), page_up(address + length));
}

bool user_readable(uint64_t address, uint64_t length)
{
	struct need need = {false, false};

	return allowed(address, length, PROT_READ_, &need) && supply(&need, address, length);
}

bool user_writable(uint64_t address, uint64_t length)
{
	struct need need = {false, false};

	return allowed(address, length, PROT_WRITE_, &need) && supply(&need, address, length) &&
	       (!need.flip || flip_to_write(address, length));
}
