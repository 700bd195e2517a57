/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's system calls about memory, over a shim that refuses changes at random. Whatever it
 * refuses, the core's table and the shim's pages must agree on what is mapped, on protections, and
 * on content. A call that fails leaves each page as it was, or as the call was to make it; mmap,
 * munmap, madvise and the target of mremap may also leave it unmapped.
 *
 *   test-memory-refused [SEED]
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/user.h"

extern _Noreturn void exit(int status);

#define BASE	   0x800000000ul
#define PAGES	   24u
#define FILE_PAGES 40
#define SEEDS	   300u
#define STEPS	   400u
#define GONE	   (-1) /* for a protection: nothing is mapped */
#define UNKNOWN	   (-1) /* for a value, or a page of the file */
#define ANONYMOUS  (-2) /* for a page of the file */

/* What the program may expect of each page. */
struct page {
	int prot, value;
	int file; /* the page of the file that it maps; or one of the two below */
};
static struct page pages[PAGES], before[PAGES];
static uint8_t shim[PAGES]; /* the protection of the shim's page; 0: it has none */

static uint64_t state, seed;
static unsigned step_number;
static const char *did = "";
static bool refused_protect, refused_unmap; /* the last of the call at hand */
static int file_descriptor;

static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 16) % n;
}

_Noreturn static void fail(const char *what, unsigned page)
{
	printf("seed %lu, step %u, %s, page %u: %s\n", seed, step_number, did, page, what);
	exit(1);
}

static uint8_t *address(unsigned page)
{
	return (uint8_t *)BASE + page * THAW_PAGE_SIZE;
}

/* ---- The shim ---- */

/* With a third of the seeds the shim refuses nothing, with another third it refuses no
 * unmapping. */
static bool refuses(bool unmap)
{
	return seed % 3 && !(unmap && seed % 3 == 1) && below(6) == 0;
}

static void change_shim(const void *start, size_t length, unsigned prot)
{
	memset(shim + ((uint64_t)start - BASE) / THAW_PAGE_SIZE, (int)prot,
	       length / THAW_PAGE_SIZE);
}

int thaw_map(void *start, size_t length, unsigned prot)
{
	if (refuses(false))
		return -ENOMEM;
	if (mmap(start, length, (int)prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) != start)
		fail("mapped twice", 0);
	change_shim(start, length, prot);
	return 0;
}

int thaw_unmap(void *start, size_t length)
{
	refused_unmap = refuses(true);
	if (refused_unmap)
		return -ENOMEM;
	munmap(start, length);
	change_shim(start, length, 0);
	return 0;
}

int thaw_protect(void *start, size_t length, unsigned prot)
{
	refused_protect = refuses(false);
	if (refused_protect)
		return -ENOMEM;
	mprotect(start, length, (int)prot);
	change_shim(start, length, prot);
	return 0;
}

/* ---- The rest of the core, as far as memory/ needs it ---- */

void log_once(unsigned key, const char *format, ...)
{
	(void)key, (void)format;
}

void host_log(const char *format, ...)
{
	(void)format;
}

void host_remark(const char *text)
{
	(void)text;
}

void host_end(int status)
{
	(void)status;
	fail("the invocation was ended", 0);
}

/* The core may give up in one case only: it opened pages and cannot close them again. */
void host_abort(const char *format, ...)
{
	if (!refused_protect || !refused_unmap)
		fail(format, 0);
	exit(0);
}

static int file_value(int page)
{
	return page == UNKNOWN ? UNKNOWN : page >= 0 && page < FILE_PAGES ? 0x40 + page : 0;
}

static long read_file(struct file *file, void *buffer, size_t length, int64_t *position)
{
	int page = (int)(*position / (int64_t)THAW_PAGE_SIZE);

	(void)file;
	if (page >= FILE_PAGES)
		return 0;
	length = length < THAW_PAGE_SIZE ? length : THAW_PAGE_SIZE;
	memset(buffer, file_value(page), length);
	*position += (int64_t)length;
	return (long)length;
}

/* ---- What must hold ---- */

static int table_prot(unsigned page, const struct mapping **mapping)
{
	*mapping = memory_at_or_above((uint64_t)address(page));
	if (!*mapping || (*mapping)->start > (uint64_t)address(page))
		return GONE;
	return (*mapping)->prot;
}

static unsigned expected_shim(const struct mapping *mapping)
{
	unsigned prot = mapping->prot | PROT_READ;

	if (!mapping->present)
		return 0;
	if (prot_flips(prot))
		prot &= ~(unsigned)(mapping->executes ? PROT_WRITE : PROT_EXEC);
	return prot;
}

static void check_all(void)
{
	const struct mapping *mapping;
	uint64_t mapped = 0;

	for (unsigned i = 0; i < PAGES; i++) {
		int prot = table_prot(i, &mapping);

		if (prot != pages[i].prot)
			fail("the table has another protection", i);
		if (shim[i] != (prot == GONE ? 0 : expected_shim(mapping)))
			fail("the pages are not as the table has them", i);
		if (prot == PROT_NONE && mapping->present)
			fail("a closed page is there", i);
		mapped += shim[i] ? THAW_PAGE_SIZE : 0;
		if (!shim[i] || pages[i].value == UNKNOWN)
			continue;
		if (address(i)[0] != pages[i].value ||
		    address(i)[THAW_PAGE_SIZE - 1] != pages[i].value)
			fail("the content is another", i);
	}
	if (mapped != memory_mapped())
		fail("the sum of what is mapped is wrong", 0);
}

/* Accepts what a failed call may have done to [FIRST, FIRST + COUNT): unmapped it, or, if unmapping
 * was refused, left new pages there. */
static void accept_failure(unsigned first, unsigned count)
{
	const struct mapping *mapping;

	for (unsigned i = first; i < first + count; i++) {
		int prot = table_prot(i, &mapping);

		if (prot == GONE)
			pages[i] = (struct page){GONE, 0, ANONYMOUS};
		else if (refused_unmap)
			pages[i] = (struct page){prot, UNKNOWN, UNKNOWN};
	}
}

/* ---- What the program does ---- */

static int random_prot(void)
{
	static const int prots[] = {PROT_NONE,
				    PROT_READ,
				    PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_EXEC,
				    PROT_READ | PROT_WRITE | PROT_EXEC};

	return prots[below(6)];
}

static void map(unsigned first, unsigned count)
{
	bool file = below(2);
	unsigned at = below(FILE_PAGES);
	int prot = random_prot();
	const uint64_t arguments[6] = {(uint64_t)address(first),
				       count * THAW_PAGE_SIZE,
				       (uint64_t)prot,
				       MAP_FIXED | MAP_PRIVATE | (file ? 0 : MAP_ANONYMOUS) |
					       (below(3) ? 0 : MAP_STACK),
				       (uint64_t)file_descriptor,
				       at * THAW_PAGE_SIZE};

	did = "mmap";
	if (sys_mmap(arguments) < 0) {
		accept_failure(first, count);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		int page = file ? (int)(at + i) : ANONYMOUS;

		pages[first + i] = (struct page){prot, file_value(page), page};
	}
}

static void unmap(unsigned first, unsigned count)
{
	did = "munmap";
	if (sys_munmap((uint64_t[6]){(uint64_t)address(first), count * THAW_PAGE_SIZE}) == 0)
		for (unsigned i = first; i < first + count; i++)
			pages[i] = (struct page){GONE, 0, ANONYMOUS};
	else
		accept_failure(first, count);
}

static void protect(unsigned first, unsigned count)
{
	const struct mapping *mapping;
	int prot = random_prot();
	bool failed = sys_mprotect((uint64_t[6]){(uint64_t)address(first), count * THAW_PAGE_SIZE,
						 (uint64_t)prot}) != 0;

	did = "mprotect";
	for (unsigned i = first; i < first + count; i++)
		if (!failed || table_prot(i, &mapping) == prot)
			pages[i].prot = prot;
}

static void discard(unsigned first, unsigned count)
{
	bool failed = sys_madvise((uint64_t[6]){(uint64_t)address(first), count * THAW_PAGE_SIZE,
						MADV_DONTNEED}) != 0;

	did = "madvise";
	for (unsigned i = first; i < first + count; i++)
		if (pages[i].prot != GONE)
			pages[i].value = failed ? UNKNOWN : file_value(pages[i].file);
	if (failed)
		accept_failure(first, count);
}

static void move(unsigned first, unsigned count)
{
	unsigned to = below(PAGES), length = 1 + below(PAGES - to);
	struct page last;

	did = "mremap";
	if (sys_mremap((uint64_t[6]){(uint64_t)address(first), count * THAW_PAGE_SIZE,
				     length * THAW_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
				     (uint64_t)address(to)}) < 0) {
		accept_failure(to, length);
		return;
	}
	memcpy(before, pages, sizeof(pages));
	last = before[first + count - 1];
	for (unsigned i = first; i < first + count; i++)
		pages[i] = (struct page){GONE, 0, ANONYMOUS};
	for (unsigned i = 0; i < length; i++) {
		int file = last.file < 0 ? last.file : last.file + 1 + (int)(i - count);

		pages[to + i] = i < count ? before[first + i]
					  : (struct page){last.prot, file_value(file), file};
	}
}

static void write_pages(unsigned first, unsigned count)
{
	did = "write";
	for (unsigned i = first; i < first + count; i++) {
		if (!user_writable((uint64_t)address(i), THAW_PAGE_SIZE))
			continue;
		pages[i].value = (int)below(256);
		address(i)[0] = address(i)[THAW_PAGE_SIZE - 1] = (uint8_t)pages[i].value;
	}
}

static void flip(unsigned first, unsigned count)
{
	did = "flip";
	memory_flip((uint64_t)address(first), (uint64_t)address(first + count), below(2));
}

static void touch(unsigned first, unsigned count)
{
	did = "touch";
	(void)count;
	memory_touched((uint64_t)address(first));
}

static void run(void)
{
	static void (*const calls[])(unsigned first, unsigned count) = {
		map,	 map,  unmap,	    protect, protect, protect,
		discard, move, write_pages, flip,    touch};

	for (unsigned i = 0; i < PAGES; i++)
		pages[i] = (struct page){GONE, 0, ANONYMOUS};
	for (step_number = 0; step_number < STEPS; step_number++) {
		unsigned first = below(PAGES), count = 1 + below(PAGES - first);

		refused_protect = refused_unmap = false;
		calls[below(sizeof(calls) / sizeof(calls[0]))](first, count > 6 ? 6 : count);
		check_all();
	}
	exit(0);
}

/* Runs one seed in a process of its own, since the table starts empty only once. */
static bool passes(uint64_t number)
{
	int status = 1;
	pid_t child;

	seed = number;
	state = number * 0x9E3779B97F4A7C15ul + 1;
	fflush(stdout);
	child = fork();
	if (child == 0)
		run();
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv)
{
	static const struct file_operations operations = {.read = read_file, .mappable = true};
	unsigned failed = 0;

	file_descriptor = file_install(file_new(&operations, 0, NULL), false, 3);
	if (argc > 1)
		return !passes(strtoul(argv[1], NULL, 10));
	for (uint64_t i = 0; i < SEEDS && failed < 5; i++)
		failed += !passes(i);
	return failed != 0;
}
