/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the kernel for own pages; see pagemap.h. */
#include "engine/host/pagemap.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"

/* linux/fs.h since 6.7: struct pm_scan_arg, and the categories of a page. */
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct region {
	uint64_t start, end, categories;
};

enum { IS_FILE = 1u << 2, IS_PRESENT = 1u << 3, IS_SWAPPED = 1u << 4, IS_ZERO = 1u << 5 };

_Static_assert(sizeof(struct scan) == 0x60, "the request's number contains the size");

/* Entries of /proc/PID/pagemap. */
#define ENTRY_FILE    (UINT64_C(1) << 61)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_PRESENT (UINT64_C(1) << 63)

#define AT_ONCE	      64u  /* regions for each scan */
#define READ_AT_ONCE  512u /* entries: 2 MiB of addresses */

static bool add(struct thaw_page_run *runs, size_t max, size_t *count, uint64_t start, uint64_t end)
{
	if (*count > 0 && runs[*count - 1].end == start) {
		runs[*count - 1].end = end;
		return true;
	}
	if (*count == max)
		return false;
	runs[(*count)++] = (struct thaw_page_run){start, end};
	return true;
}

int thaw_pagemap_own(int fd, uint64_t start, uint64_t end, uint64_t pages_max,
		     struct thaw_page_run *runs, size_t max, size_t *count)
{
	uint64_t pages = 0;

	*count = 0;
	while (start < end) {
		struct region regions[AT_ONCE];
		struct scan scan = {.size = sizeof(scan),
				    .start = start,
				    .end = end,
				    .vec = (uintptr_t)regions,
				    .vec_len = AT_ONCE,
				    .category_inverted = IS_FILE | IS_ZERO,
				    .category_mask = IS_FILE | IS_ZERO,
				    .category_anyof_mask = IS_PRESENT | IS_SWAPPED};
		int found = ioctl(fd, THAW_PAGEMAP_SCAN, &scan);

		if (found < 0)
			return -errno;
		for (int i = 0; i < found; i++) {
			pages += (regions[i].end - regions[i].start) / THAW_PAGE_SIZE;
			if (pages > pages_max ||
			    !add(runs, max, count, regions[i].start, regions[i].end))
				return 1;
		}
		if (scan.walk_end <= start)
			return -EIO;
		start = scan.walk_end;
	}
	return 0;
}

int thaw_pagemap_own_by_reading(int fd, uint64_t start, uint64_t end, uint64_t pages_max,
				struct thaw_page_run *runs, size_t max, size_t *count)
{
	uint64_t entries[READ_AT_ONCE], pages = 0;

	*count = 0;
	while (start < end) {
		uint64_t wanted = (end - start) / THAW_PAGE_SIZE;
		size_t bytes = (wanted < READ_AT_ONCE ? wanted : READ_AT_ONCE) * sizeof(entries[0]);
		ssize_t got = pread(fd, entries, bytes,
				    (off_t)(start / THAW_PAGE_SIZE * sizeof(entries[0])));

		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		for (size_t i = 0; i < (size_t)got / sizeof(entries[0]);
		     i++, start += THAW_PAGE_SIZE) {
			if (!(entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED)) ||
			    entries[i] & ENTRY_FILE)
				continue;
			if (++pages > pages_max ||
			    !add(runs, max, count, start, start + THAW_PAGE_SIZE))
				return 1;
		}
	}
	return 0;
}
