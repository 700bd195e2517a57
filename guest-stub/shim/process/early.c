/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An early clone runs while its image is still being brought into memory (engine/image/lazy.h). At
 * first all memory with data of the image is inaccessible, except for the working set. A fault asks
 * the host for the page, and opens what the host says is there around it.
 *
 * Nothing depends on the clone's honesty: a guest that opens pages by itself sees zeroes, or half a
 * frame, of its own function's memory.
 */
#include <sys/mman.h>

#include "guest-stub/shim/process/rest.h"
#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

uint32_t shim_is_early;
static uint64_t last_asked; /* a second fault on a page that was opened is the guest's own fault */

void shim_early_begin(const struct shim_control *control)
{
	for (uint32_t i = 0; i < control->map_count; i++)
		if (control->maps[i].backed)
			sys3(SYS_mprotect, (long)control->maps[i].start,
			     (long)control->maps[i].length, PROT_NONE);
	shim_is_early = 1;
}

void shim_early_open(uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < shim_ranges.count; i++) {
		const struct shim_range *range = &shim_ranges.at[i];
		uint64_t from = range->start > start ? range->start : start;
		uint64_t to = range->end < end ? range->end : end;

		if (range->source == SHIM_SOURCE_IMAGE && from < to)
			sys3(SYS_mprotect, (long)from, (long)(to - from), range->prot);
	}
}

static void bring(uint64_t start, uint64_t end)
{
	struct thaw_mailbox *mailbox = SHIM_MAILBOX;

	mailbox->piece_start = start;
	mailbox->piece_end = end;
	__atomic_store_n(&mailbox->turn, TURN_BRING, __ATOMIC_RELEASE);
	sys_futex_wake(&mailbox->turn);
	while (__atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) == TURN_BRING)
		sys_futex_wait(&mailbox->turn, TURN_BRING);
	shim_early_open(mailbox->piece_start, mailbox->piece_end);
}

/* Whether the image has a page of [START, END). What the guest mapped since is there. */
static bool is_of_image(uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < shim_ranges.count; i++) {
		const struct shim_range *range = &shim_ranges.at[i];

		if (range->source == SHIM_SOURCE_IMAGE && range->start < end && start < range->end)
			return true;
	}
	return false;
}

void shim_early_bring(uint64_t start, uint64_t end)
{
	if (!shim_is_early || !is_of_image(start, end))
		return;
	/* The host brings no more at a time. */
	for (uint64_t piece = 4ul << 20; shim_is_early && start < end; start += piece)
		bring(start, end - start < piece ? end : start + piece);
}

bool shim_early_fault(uint64_t address, uint64_t error)
{
	uint64_t page = address & ~(THAW_PAGE_SIZE - 1);
	const struct shim_range *range = shim_is_early ? shim_ranges_find(&shim_ranges, page) : 0;
	uint32_t wanted = shim_access(error);

	if (!range || range->source != SHIM_SOURCE_IMAGE || !(range->prot & wanted) ||
	    page == last_asked)
		return false;
	last_asked = page;
	bring(page, page + THAW_PAGE_SIZE);
	return SHIM_MAILBOX->piece_start <= page && page < SHIM_MAILBOX->piece_end;
}

void shim_early_woken(void)
{
	if (!SHIM_MAILBOX->complete)
		return;
	shim_is_early = 0;
	shim_early_open(0, THAW_REGION_END);
}
