/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To what a program keeps secret a clone is a fork, so madvise's MADV_WIPEONFORK holds for it. The
 * program never runs on where it was frozen; thus the mark is applied to the image, before it is
 * taken. Clones pay nothing for it, and what a program wanted wiped is not in the image's file.
 *
 * MADV_DONTFORK does not hold: a clone is also the program itself, which goes on, and Node.js marks
 * its whole heap so.
 */
#include "guest-stub/linux/file/file.h"
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

static bool is_renewed(const struct mapping *mapping)
{
	const struct file *file = mapping->backing.file;

	return file && file->operations->fill && !(mapping->prot & PROT_WRITE_);
}

void memory_fork(void)
{
	const struct mapping *mapping;

	for (uint64_t at = 0; (mapping = memory_at_or_above(at)) != NULL;) {
		at = mapping->end;
		if (mapping->backing.wiped)
			wipe(*mapping);
		else if (is_renewed(mapping) && memory_forget(mapping->start, mapping->end))
			host_abort("the mapping at %#lx cannot be taken back", at);
	}
}
