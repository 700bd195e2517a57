/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of another process are its own: written since they were mapped, and neither a file's
 * nor the page of zeroes. The kernel tells, by PAGEMAP_SCAN (Linux 6.7; see
 * Documentation/admin-guide/mm/pagemap.rst) or, before that, by the entries of /proc/PID/pagemap.
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
 * Finds the own pages in [START, END), both page-aligned, of the process whose /proc/PID/pagemap is
 * FD. Fills RUNS, sorted, with up to MAX runs, and sets *COUNT. Returns 0; 1 when there are more
 * runs than MAX or more pages than PAGES_MAX; -errno when the kernel refuses (-ENOTTY: it has no
 * PAGEMAP_SCAN).
 */
int thaw_pagemap_own(int fd, uint64_t start, uint64_t end, uint64_t pages_max,
		     struct thaw_page_run *runs, size_t max, size_t *count);

/* The same by reading entries, which works on every kernel; slower where much is mapped and few
 * pages are present. */
int thaw_pagemap_own_by_reading(int fd, uint64_t start, uint64_t end, uint64_t pages_max,
				struct thaw_page_run *runs, size_t max, size_t *count);

#endif
