/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random sequences of calls and accesses over mappings of files in memory and in /tmp, shared and
 * private. Standard input has lines "SEED STEPS"; for each the program prints what every call
 * answered, sums of what it read, and the signals that its accesses met.
 *
 * It leaves out what Linux does not promise: whether a private mapping shows later writes to its
 * file (so all of one is written at once), and what is behind a file's end in its last page.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/linux/random/random.h"

#define P	   4096u
#define FILES	   4u /* the first two are of memfd_create() */
#define FILE_PAGES 48u
#define MAPS	   6u
#define MAP_PAGES  40u
#define BYTES_MAX  9000u

static struct map {
	uint8_t *at; /* NULL: none */
	unsigned file, offset, pages;
	bool shared, read_only;
	uint8_t prot[MAP_PAGES];
} maps[MAPS];

static struct file {
	int fd, fd_read;
	unsigned size;
} files[FILES];

static char buffer[BYTES_MAX];
static sigjmp_buf back;

static uint32_t sum(const void *bytes, size_t length, uint32_t hash)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 16777619u;
	return hash;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	siglongjmp(back, signal * 100 + info->si_code);
}

static struct map *any_map(void)
{
	unsigned from = draw(MAPS);

	for (unsigned i = 0; i < MAPS; i++)
		if (maps[(from + i) % MAPS].at)
			return &maps[(from + i) % MAPS];
	return NULL;
}

static struct map *free_map(void)
{
	for (unsigned i = 0; i < MAPS; i++)
		if (!maps[i].at)
			return &maps[i];
	return NULL;
}

static unsigned index_of(const struct map *map)
{
	return (unsigned)(map - maps);
}

static void fill(void)
{
	unsigned value = draw(255) + 1;

	for (unsigned i = 0; i < BYTES_MAX; i++)
		buffer[i] = (char)(value + i / 7);
}

static unsigned any_length(void)
{
	static const unsigned lengths[] = {1, 8, 100, P - 1, P, P + 1, 2 * P, BYTES_MAX};

	return draw(3) ? lengths[draw(8)] : 1 + draw(BYTES_MAX);
}

static void unmap(struct map *map)
{
	tell("munmap", index_of(map), map->pages, munmap(map->at, map->pages * (size_t)P));
	map->at = NULL;
}

static void map(void)
{
	static const int prots[] = {PROT_READ,
				    PROT_READ,
				    PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE,
				    PROT_NONE,
				    PROT_READ | PROT_EXEC};
	struct map *map = free_map();
	int prot = prots[draw(6)];
	unsigned last;

	if (!map) {
		if (draw(3) == 0)
			unmap(any_map());
		return;
	}
	*map = (struct map){.file = draw(FILES),
			    .offset = draw(2) ? 0 : draw(FILE_PAGES),
			    .pages = 1 + draw(MAP_PAGES),
			    .shared = draw(5),
			    .read_only = draw(4) == 0};
	last = files[map->file].size / P;
	if (!map->shared) {
		if (map->offset >= last)
			return;
		if (map->pages > last - map->offset)
			map->pages = last - map->offset;
		prot = PROT_READ | PROT_WRITE;
	}
	memset(map->prot, prot, sizeof(map->prot));
	map->at = mmap(NULL, map->pages * (size_t)P, prot, map->shared ? MAP_SHARED : MAP_PRIVATE,
		       map->read_only ? files[map->file].fd_read : files[map->file].fd,
		       map->offset * (off_t)P);
	tell(map->shared ? "shared" : "private", index_of(map), map->file,
	     map->at == MAP_FAILED ? -1 : 0);
	if (map->at == MAP_FAILED) {
		map->at = NULL;
		return;
	}
	if (!map->shared)
		for (unsigned i = 0; i < map->pages; i++)
			map->at[i * P] ^= 1;
}

/* How many bytes from AT on are in pages with PROT and before the file's end. */
static unsigned within(const struct map *map, unsigned at, unsigned length, int prot)
{
	unsigned size = files[map->file].size, end;

	for (end = at; end < at + length && end < map->pages * P; end++)
		if ((map->prot[end / P] & prot) != prot || map->offset * P + end >= size)
			break;
	return end - at;
}

/* Each returns the signal that it met, and its code. */
static int load_bytes(const volatile uint8_t *at, unsigned length, volatile uint32_t *hash)
{
	int caught = sigsetjmp(back, 1);

	if (!caught)
		for (unsigned i = 0; i < length; i++)
			*hash = (*hash ^ at[i]) * 16777619u;
	return caught;
}

static int store_bytes(volatile uint8_t *at, unsigned length, unsigned value)
{
	int caught = sigsetjmp(back, 1);

	if (!caught)
		for (unsigned i = 0; i < length; i++)
			at[i] = (uint8_t)(value + i / 5);
	return caught;
}

static void load(void)
{
	struct map *map = any_map();
	unsigned at, length = any_length();
	uint32_t hash = 2166136261u;
	int caught;

	if (!map)
		return;
	at = draw(map->pages * P);
	if (length > map->pages * P - at)
		length = map->pages * P - at;
	caught = load_bytes(map->at + at, length, &hash);
	printf("%u load %u %u+%u: %08x %d\n", step, index_of(map), at, length, hash, caught);
}

static void store(void)
{
	struct map *map = any_map();
	unsigned at, length = any_length(), size;

	if (!map)
		return;
	size = files[map->file].size;
	at = draw(map->pages * P);
	if (length > map->pages * P - at)
		length = map->pages * P - at;
	/* Not behind the end of the file in its last page. Of memory behind it that cannot be
	 * written, either signal tells the truth. */
	for (unsigned i = 0; i < length; i++)
		if (map->offset * P + at + i >= size &&
		    (size % P || !(map->prot[(at + i) / P] & PROT_WRITE)))
			length = i;
	printf("%u store %u %u+%u: %d\n", step, index_of(map), at, length,
	       store_bytes(map->at + at, length, draw(256)));
}

/* From one mapping to another, byte by byte. */
static void copy(void)
{
	struct map *from = any_map(), *to = any_map();
	unsigned at, into, length = any_length(), most;

	if (!from)
		return;
	at = draw(from->pages * P);
	into = draw(to->pages * P);
	length = within(from, at, length, PROT_READ);
	most = within(to, into, length, PROT_READ | PROT_WRITE);
	length = most < length ? most : length;
	for (volatile unsigned i = 0; i < length; i++)
		to->at[into + i] = from->at[at + i];
	printf("%u copy %u %u to %u %u: %u\n", step, index_of(from), at, index_of(to), into,
	       length);
}

static void get_size(unsigned file)
{
	struct stat status;

	fstat(files[file].fd, &status);
	files[file].size = (unsigned)status.st_size;
	printf("%u size %u %u\n", step, file, files[file].size);
}

static void write_file(void)
{
	unsigned file = draw(FILES), length = any_length();
	unsigned at = draw(2) ? draw(files[file].size + 1) : draw(FILE_PAGES * P);

	fill();
	tell("pwrite", file, at, pwrite(files[file].fd, buffer, length, at));
	get_size(file);
}

static void read_file(void)
{
	unsigned file = draw(FILES), length = any_length(), at = draw(FILE_PAGES * P);
	long got = pread(files[file].fd, buffer, length, at);

	tell("pread", file, at, got);
	printf("  %08x\n", sum(buffer, got > 0 ? (size_t)got : 0, 2166136261u));
}

/* Between a file and a mapping of another. */
static void move(void)
{
	struct map *map = any_map();
	unsigned file = draw(FILES), length = any_length(), at, into = draw(FILE_PAGES * P);

	if (!map || map->file == file)
		return;
	at = draw(map->pages * P);
	if (draw(2)) {
		length = within(map, at, length, PROT_READ);
		tell("write from", index_of(map), into,
		     pwrite(files[file].fd, map->at + at, length, into));
		get_size(file);
	} else {
		length = within(map, at, length, PROT_READ | PROT_WRITE);
		tell("read to", index_of(map), into,
		     pread(files[file].fd, map->at + at, length, into));
	}
}

static void resize(void)
{
	unsigned file = draw(FILES), size = draw(FILE_PAGES * P);

	if (draw(2))
		size &= ~(P - 1);
	if (size < files[file].size)
		for (unsigned i = 0; i < MAPS; i++)
			if (maps[i].at && !maps[i].shared && maps[i].file == file)
				unmap(&maps[i]);
	tell("ftruncate", file, size, ftruncate(files[file].fd, size));
	get_size(file);
}

static void punch(void)
{
	unsigned file = draw(2), at = draw(FILE_PAGES * P), length = any_length();

	tell("punch", file, at,
	     fallocate(files[file].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length));
	tell("grow", file, at, draw(4) ? 0 : fallocate(files[file].fd, 0, at, length));
	get_size(file);
}

static void protect(void)
{
	static const int prots[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE,
				    PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE};
	struct map *map = any_map();
	unsigned first, count;
	int prot = prots[draw(5)], result;

	if (!map)
		return;
	first = draw(3) ? 0 : draw(map->pages);
	count = draw(2) ? map->pages - first : 1 + draw(map->pages - first);
	result = mprotect(map->at + first * P, count * (size_t)P, prot);
	tell("mprotect", index_of(map), (unsigned)prot, result);
	if (!result)
		memset(map->prot + first, prot, count);
}

static void advise(void)
{
	struct map *map = any_map();

	if (!map)
		return;
	tell("msync", index_of(map), 0,
	     msync(map->at, map->pages * (size_t)P, draw(2) ? MS_SYNC : MS_ASYNC | MS_INVALIDATE));
	if (map->shared)
		tell("madvise", index_of(map), 0,
		     madvise(map->at, map->pages * (size_t)P, MADV_DONTNEED));
}

static bool is_uniform(const struct map *map)
{
	for (unsigned i = 1; i < map->pages; i++)
		if (map->prot[i] != map->prot[0])
			return false;
	return true;
}

static void remap(void)
{
	struct map *map = any_map(), *second = free_map();
	unsigned pages = 1 + draw(MAP_PAGES);
	uint8_t *at;

	if (!map || !map->shared || !is_uniform(map))
		return;
	if (second && draw(3) == 0) {
		at = mremap(map->at, 0, map->pages * (size_t)P, MREMAP_MAYMOVE);
		tell("duplicate", index_of(map), 0, at == MAP_FAILED ? -1 : 0);
		if (at == MAP_FAILED)
			return;
		*second = *map;
		second->at = at;
		return;
	}
	at = mremap(map->at, map->pages * (size_t)P, pages * (size_t)P, MREMAP_MAYMOVE);
	tell("mremap", index_of(map), pages, at == MAP_FAILED ? -1 : 0);
	if (at == MAP_FAILED)
		return;
	map->at = at;
	map->pages = pages;
	memset(map->prot, map->prot[0], sizeof(map->prot));
}

static void shorten(void)
{
	struct map *map = any_map();
	unsigned first;

	if (!map)
		return;
	first = draw(map->pages);
	if (first == 0) {
		unmap(map);
		return;
	}
	tell("shorten", index_of(map), first,
	     munmap(map->at + first * P, (map->pages - first) * (size_t)P));
	map->pages = first;
}

static void send(void)
{
	unsigned from = draw(FILES), to = draw(FILES);
	off_t at = draw(FILE_PAGES * P);

	if (from == to)
		return;
	lseek(files[to].fd, draw(FILE_PAGES * P), SEEK_SET);
	tell("sendfile", from, to, sendfile(files[to].fd, files[from].fd, &at, any_length()));
	get_size(to);
}

static void check_all(void)
{
	static char all[(FILE_PAGES + 4) * P];
	uint32_t hash;

	for (unsigned i = 0; i < FILES; i++) {
		long got = pread(files[i].fd, all, sizeof(all), 0);

		printf(" file %u: %ld %08x\n", i, got, sum(all, (size_t)got, 2166136261u));
	}
	for (unsigned i = 0; i < MAPS; i++) {
		if (!maps[i].at)
			continue;
		hash = 2166136261u;
		for (unsigned page = 0; page < maps[i].pages; page++)
			hash = sum(maps[i].at + page * P, within(&maps[i], page * P, P, PROT_READ),
				   hash);
		printf(" map %u: %08x\n", i, hash);
	}
}

static void start(void)
{
	for (unsigned i = 0; i < MAPS; i++)
		if (maps[i].at) {
			munmap(maps[i].at, maps[i].pages * (size_t)P);
			maps[i].at = NULL;
		}
	for (unsigned i = 0; i < FILES; i++) {
		char path[64] = "/tmp/random-maps-XXXXXX";

		if (files[i].fd) {
			close(files[i].fd);
			close(files[i].fd_read);
		}
		files[i].fd = i < 2 ? memfd_create("random", 0) : mkstemp(path);
		if (i < 2)
			snprintf(path, sizeof(path), "/proc/self/fd/%d", files[i].fd);
		files[i].fd_read = open(path, O_RDONLY);
		if (i >= 2)
			unlink(path);
		files[i].size = 0;
	}
}

int main(void)
{
	static void (*const calls[])(void) = {
		map,	 map,	     map,	 load,	    load,   load,  store,   store,  store,
		store,	 copy,	     copy,	 copy,	    resize, punch, protect, advise, remap,
		shorten, write_file, write_file, read_file, move,   move,  send};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	return run_sequences(start, calls, COUNT_OF(calls), check_all);
}
