/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of another process are its own: written since they were mapped, and neither a file's
 * nor the page of zeroes. Asked of the kernel, by PAGEMAP_SCAN (Linux 6.7, "Documentation/admin-
 * guide/mm/pagemap.rst") or, before that, by reading /proc/PID/pagemap entry by entry.
 */
#ifndef THAW_PAGEMAP_H
#define THAW_PAGEMAP_H

#include <stddef.h>
#include <stdint.h>

/* PAGEMAP_SCAN, for headers that are older than it. */
#define THAW_PAGEMAP_SCAN 0xc0606610u

struct thaw_page_run {
	uint64_t start, end;
};

/*
 * Finds own pages in [START, END), both page-aligned, of the process whose /proc/PID/pagemap is FD.
 * Fills RUNS, sorted, of up to MAX, and *COUNT. Returns 0; 1 when there are more runs than MAX or
 * more than PAGES_MAX pages; -errno when the kernel does not tell.
 */
int thaw_pagemap_own(int fd, uint64_t start, uint64_t end, uint64_t pages_max,
		     struct thaw_page_run *runs, size_t max, size_t *count);

/* The same by reading, which every kernel can; slower where much is mapped and little is there. */
int thaw_pagemap_own_by_reading(int fd, uint64_t start, uint64_t end, uint64_t pages_max,
				struct thaw_page_run *runs, size_t max, size_t *count);

#endif
