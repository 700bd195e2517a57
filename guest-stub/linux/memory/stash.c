/* SPDX-License-Identifier: Apache-2.0 */
/* Kept pages form a list, which is enough: guard pages are empty and not kept, and programs close
 * little else. */
#include "guest-stub/linux/memory/stash.h"

struct kept {
	struct kept *next;
	uint64_t address;
	uint64_t words[THAW_PAGE_SIZE / 8];
};

static struct kept *first;

static bool is_zero(const uint64_t *words)
{
	for (size_t i = 0; i < THAW_PAGE_SIZE / 8; i++)
		if (words[i])
			return false;
	return true;
}

int stash_keep(uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at < end; at += THAW_PAGE_SIZE) {
		struct kept *kept;

		if (is_zero((const uint64_t *)at))
			continue;
		kept = malloc(sizeof(*kept));
		if (!kept) {
			stash_drop(start, end);
			return -ENOMEM;
		}
		kept->address = at;
		memcpy(kept->words, (const void *)at, THAW_PAGE_SIZE);
		kept->next = first;
		first = kept;
	}
	return 0;
}

bool stash_has(uint64_t start, uint64_t end)
{
	for (const struct kept *kept = first; kept; kept = kept->next)
		if (kept->address >= start && kept->address < end)
			return true;
	return false;
}

void stash_restore(uint64_t start, uint64_t end)
{
	for (const struct kept *kept = first; kept; kept = kept->next)
		if (kept->address >= start && kept->address < end)
			memcpy((void *)kept->address, kept->words, THAW_PAGE_SIZE);
}

void stash_move(uint64_t start, uint64_t end, uint64_t to)
{
	for (struct kept *kept = first; kept; kept = kept->next)
		if (kept->address >= start && kept->address < end)
			kept->address += to - start;
}

void stash_drop(uint64_t start, uint64_t end)
{
	for (struct kept **link = &first; *link;) {
		struct kept *kept = *link;

		if (kept->address < start || kept->address >= end) {
			link = &kept->next;
			continue;
		}
		*link = kept->next;
		free(kept);
	}
}
