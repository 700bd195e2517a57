/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording clone: all of its memory is inaccessible at first. The first touch of a page faults;
 * the fault handler notes the page and opens it. The list is the image's working set, which clones
 * prefault. Each page costs a signal and a system call, but an image is recorded only once.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

static struct shim_notes *notes; /* NULL: this clone does not record */

static void set_all(bool open)
{
	for (uint32_t i = 0; i < shim_ranges.count; i++) {
		const struct shim_range *range = &shim_ranges.at[i];

		sys3(SYS_mprotect, (long)range->start, (long)(range->end - range->start),
		     open ? (long)range->prot : PROT_NONE);
	}
}

void shim_record_begin(struct shim_notes *into)
{
	notes = into;
	set_all(false);
}

bool shim_record_fault(uint64_t address, uint64_t error)
{
	uint64_t page = address & ~(THAW_PAGE_SIZE - 1);
	const struct shim_range *range = notes ? shim_ranges_find(&shim_ranges, page) : 0;
	uint32_t wanted = shim_access(error);
	uint32_t prot;

	if (!range || !(range->prot & wanted))
		return false;
	if (notes->count >= SHIM_RECORD_MAX) {
		notes = 0;
		set_all(true);
		return true;
	}
	notes->pages[notes->count++] = page | (wanted == PROT_WRITE);
	/* A page that was only read so far faults once more when it is written. */
	prot = wanted == PROT_WRITE ? range->prot : range->prot & ~(uint32_t)PROT_WRITE;
	return !sys3(SYS_mprotect, (long)page, THAW_PAGE_SIZE, prot);
}
