/* SPDX-License-Identifier: Apache-2.0 */
/* The ground of guest code in a test: memory from the host's mmap(), and abort(). */
#include <sys/mman.h>

#include "tests/guest/native.h"

#define AREA ((size_t)1 << 32)

size_t native_mapped, native_limit = (size_t)256 << 20;

static uintptr_t area;

void thaw_core_heap_area(uintptr_t *start, uintptr_t *end)
{
	/* Only addresses: an access outside the memory that thaw_map() opened crashes. */
	void *got = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (got == MAP_FAILED)
		abort();
	area = (uintptr_t)got;
	*start = area;
	*end = area + AREA;
}

static bool inside(const void *start, size_t length)
{
	return (uintptr_t)start >= area && (uintptr_t)start % 4096 == 0 && length % 4096 == 0 &&
	       length > 0 && length <= area + AREA - (uintptr_t)start;
}

int thaw_map(void *start, size_t length, unsigned prot)
{
	if (!inside(start, length) || prot != (THAW_MAP_READ | THAW_MAP_WRITE))
		abort();
	if (length > native_limit - native_mapped)
		return THAW_ENOMEM;
	if (mprotect(start, length, PROT_READ | PROT_WRITE) < 0)
		return THAW_ENOMEM;
	native_mapped += length;
	return 0;
}

int thaw_unmap(void *start, size_t length)
{
	if (!inside(start, length))
		abort();
	if (mmap(start, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		 -1, 0) != start)
		abort();
	native_mapped -= length;
	return 0;
}

void thaw_abort(const char *message)
{
	fprintf(stderr, "guest: %s\n", message);
	abort();
}

uint64_t native_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}
