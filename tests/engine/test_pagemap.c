/* SPDX-License-Identifier: Apache-2.0 */
/* Own pages of a process: PAGEMAP_SCAN and reading must find those that this program made. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/host/pagemap.h"
#include "guest-stub/include/thaw/abi.h"

#define PAGE  THAW_PAGE_SIZE
#define PAGES 1500u /* more than one reading, and more than one scan's regions */
#define RUNS  PAGES

TestSuite(pagemap, .timeout = 120);

enum { NOT_OWN, OWN, ZERO_PAGE };

struct layout {
	uint8_t *base;
	uint8_t own[PAGES];
	int file;
};

static unsigned chance(unsigned *seed, unsigned max)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % max;
}

/* Maps pieces of some pages, each of one kind, and touches each page in some way. */
static void make_layout(struct layout *layout, unsigned *seed)
{
	layout->file = memfd_create("pagemap", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(layout->file, PAGES * PAGE), 0);
	layout->base = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(layout->base, MAP_FAILED);
	madvise(layout->base, PAGES * PAGE, MADV_NOHUGEPAGE);
	memset(layout->own, NOT_OWN, sizeof(layout->own));
	for (unsigned at = 0; at < PAGES;) {
		unsigned length = 1 + chance(seed, 12), kind = chance(seed, 5);
		uint8_t *start = layout->base + at * PAGE;

		if (at + length > PAGES)
			length = PAGES - at;
		if (kind == 0)
			munmap(start, length * PAGE);
		else if (kind == 1)
			mmap(start, length * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			     layout->file, (off_t)(at * PAGE));
		else if (kind == 2)
			mmap(start, length * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
			     layout->file, (off_t)(at * PAGE));
		else
			mprotect(start, length * PAGE, PROT_READ | PROT_WRITE);
		for (unsigned i = at; i < at + length && kind; i++) {
			volatile uint8_t *byte = layout->base + i * PAGE + chance(seed, PAGE);
			unsigned touch = chance(seed, 3);

			if (touch == 1)
				(void)*byte;
			if (touch == 2)
				*byte = 1;
			if (touch == 2 && kind != 1)
				layout->own[i] = OWN;
			else if (touch == 1 && kind > 2)
				layout->own[i] = ZERO_PAGE;
		}
		at += length;
	}
}

static void end_layout(struct layout *layout)
{
	munmap(layout->base, PAGES * PAGE);
	close(layout->file);
}

static void check(const struct layout *layout, const struct thaw_page_run *runs, size_t count,
		  bool with_zero_pages, const char *way)
{
	uint64_t base = (uint64_t)layout->base;
	uint8_t found[PAGES] = {0};

	for (size_t i = 0; i < count; i++) {
		cr_assert_lt(runs[i].start, runs[i].end);
		cr_assert(runs[i].start >= base && runs[i].end <= base + PAGES * PAGE);
		cr_assert(!i || runs[i - 1].end < runs[i].start, "%s: not merged or sorted", way);
		memset(found + (runs[i].start - base) / PAGE, 1,
		       (runs[i].end - runs[i].start) / PAGE);
	}
	for (unsigned i = 0; i < PAGES; i++)
		cr_assert(found[i] == (layout->own[i] == OWN) ||
				  (with_zero_pages && layout->own[i] == ZERO_PAGE),
			  "%s: page %u is %u, found %u", way, i, layout->own[i], found[i]);
}

static int open_own(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static unsigned own_pages(const struct layout *layout, bool with_zero_pages)
{
	unsigned own = 0;

	for (unsigned i = 0; i < PAGES; i++)
		own += layout->own[i] == OWN || (with_zero_pages && layout->own[i] == ZERO_PAGE);
	return own;
}

typedef int find(int fd, uint64_t start, uint64_t end, uint64_t pages_max,
		 struct thaw_page_run *runs, size_t max, size_t *count);

/* Returns false where the kernel has no PAGEMAP_SCAN. */
static bool check_way(const struct layout *layout, find *by, bool with_zero_pages, const char *way)
{
	static struct thaw_page_run runs[RUNS];
	uint64_t start = (uint64_t)layout->base, end = start + PAGES * PAGE;
	unsigned own;
	size_t count, less;
	int fd = open_own(), result = by(fd, start, end, PAGES, runs, RUNS, &count);

	if (result == -ENOTTY || result == -EINVAL) {
		close(fd);
		return false;
	}
	cr_assert_eq(result, 0, "%s: %d", way, result);
	check(layout, runs, count, with_zero_pages, way);
	/* With just enough room, and with one less. */
	own = own_pages(layout, false);
	cr_assert_eq(by(fd, start, end, PAGES, runs, count, &less), 0);
	cr_assert_eq(less, count);
	cr_assert_eq(by(fd, start, end, PAGES, runs, count - 1, &less), 1);
	cr_assert_leq(less, count - 1);
	cr_assert_eq(by(fd, start, end, own - 1, runs, RUNS, &less), 1);
	if (!with_zero_pages)
		cr_assert_eq(by(fd, start, end, own, runs, RUNS, &less), 0);
	/* Nothing beyond the end. */
	cr_assert_eq(by(fd, start, start, PAGES, runs, RUNS, &less), 0);
	cr_assert_eq(less, 0);
	cr_assert_eq(by(fd, start, start + 700 * PAGE, PAGES, runs, RUNS, &less), 0);
	cr_assert(!less || runs[less - 1].end <= start + 700 * PAGE);
	close(fd);
	return true;
}

/* Some kernels have no page of zeroes: there, a page that was read is the reader's own. */
static bool reading_makes_own(void)
{
	const size_t length = 1024 * PAGE;
	volatile uint8_t *bytes =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char line[128];
	long before = 0, after = 0;

	cr_assert_neq((void *)(uintptr_t)bytes, MAP_FAILED);
	madvise((void *)(uintptr_t)bytes, length, MADV_NOHUGEPAGE);
	for (int look = 0; look < 2; look++) {
		FILE *status = fopen("/proc/self/status", "re");

		cr_assert_not_null(status);
		while (fgets(line, sizeof(line), status))
			sscanf(line, "RssAnon: %ld", look ? &after : &before);
		fclose(status);
		for (size_t at = 0; at < length; at += PAGE)
			(void)bytes[at];
	}
	munmap((void *)(uintptr_t)bytes, length);
	return after - before > 2048;
}

static bool kernel_scans(void)
{
	struct utsname host;
	unsigned major, minor;

	return !uname(&host) && sscanf(host.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 7));
}

Test(pagemap, scan_and_reading_find_what_was_written)
{
	const char *full = getenv("THAW_TEST_FULL");
	unsigned seed = (unsigned)getpid(), rounds = full && *full ? 500 : 20;
	bool zero_pages;

	if (getenv("THAW_TEST_SEED"))
		seed = (unsigned)strtoul(getenv("THAW_TEST_SEED"), NULL, 0);
	zero_pages = reading_makes_own();
	printf("pagemap: THAW_TEST_SEED=%u%s\n", seed, zero_pages ? ", no page of zeroes" : "");
	for (unsigned i = 0; i < rounds; i++) {
		struct layout layout;

		make_layout(&layout, &seed);
		/* Reading cannot tell that a page is the page of zeroes. */
		cr_assert(check_way(&layout, thaw_pagemap_own_by_reading, true, "reading"));
		if (!check_way(&layout, thaw_pagemap_own, zero_pages, "scan")) {
			cr_assert(!kernel_scans(), "Linux has PAGEMAP_SCAN since 6.7");
			if (i == 0)
				printf("pagemap: this kernel has no PAGEMAP_SCAN\n");
		}
		end_layout(&layout);
	}
}

Test(pagemap, what_is_no_page_map_is_an_error)
{
	struct thaw_page_run run;
	size_t count;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cr_expect_lt(thaw_pagemap_own(fd, 0x10000, 0x20000, 10, &run, 1, &count), 0);
	cr_expect_lt(thaw_pagemap_own_by_reading(fd, 0x10000, 0x20000, 10, &run, 1, &count), 0);
	close(fd);
	cr_expect_eq(thaw_pagemap_own(-1, 0x10000, 0x20000, 10, &run, 1, &count), -EBADF);
	cr_expect_eq(thaw_pagemap_own_by_reading(-1, 0x10000, 0x20000, 10, &run, 1, &count),
		     -EBADF);
}
