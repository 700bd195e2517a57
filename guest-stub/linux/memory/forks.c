/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone is a fork, so madvise's MADV_WIPEONFORK and MADV_DONTFORK hold for it. The program never
 * runs on where it was frozen; thus the marks are applied to the image, before it is taken. Clones pay
 * nothing for them, and what a program wanted wiped is not in the image's file.
 */
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/stash.h"

static void wipe(struct mapping here)
{
	uint64_t length = here.end - here.start;

	stash_drop(here.start, here.end);
	if (here.present && memory_map(here.start, length, here.prot, &here.backing))
		host_abort("the memory at %#lx cannot be wiped for the image", here.start);
}

static void drop(struct mapping here)
{
	if (memory_unmap(here.start, here.end - here.start))
		host_abort("the memory at %#lx cannot be left out of the image", here.start);
}

void memory_fork(void)
{
	const struct mapping *mapping;

	for (uint64_t at = 0; (mapping = memory_at_or_above(at)) != NULL;) {
		at = mapping->end;
		if (mapping->backing.absent)
			drop(*mapping);
		else if (mapping->backing.wiped)
			wipe(*mapping);
	}
}
