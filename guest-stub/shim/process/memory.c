/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory as the shim keeps it: a sorted table of ranges, and the shim calls that change
 * it. The table is what an image records, so it is exact; the kernel's view differs only in how
 * pages are backed.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

struct range {
	uint64_t start, end;
	uint32_t prot;
};

bool shim_is_booting;
static struct range ranges[THAW_RANGES_MAX];
static uint32_t range_count;

void shim_ranges_init(const struct shim_control *control)
{
	for (uint32_t i = 0; i < control->range_count; i++)
		ranges[i] = (struct range){control->ranges[i].start,
					   control->ranges[i].start + control->ranges[i].length,
					   control->ranges[i].prot};
	range_count = control->range_count;
}

uint32_t shim_ranges_copy(struct thaw_ready *ready)
{
	for (uint32_t i = 0; i < range_count; i++) {
		ready->ranges[i].start = ranges[i].start;
		ready->ranges[i].length = ranges[i].end - ranges[i].start;
		ready->ranges[i].prot = ranges[i].prot;
		ready->ranges[i].reserved = 0;
	}
	return range_count;
}

static void remove_at(uint32_t at)
{
	range_count--;
	for (uint32_t i = at; i < range_count; i++)
		ranges[i] = ranges[i + 1];
}

static void insert_at(uint32_t at, struct range range)
{
	for (uint32_t i = range_count; i > at; i--)
		ranges[i] = ranges[i - 1];
	ranges[at] = range;
	range_count++;
}

static void merge_around(uint32_t at)
{
	if (at + 1 < range_count && ranges[at].end == ranges[at + 1].start &&
	    ranges[at].prot == ranges[at + 1].prot) {
		ranges[at].end = ranges[at + 1].end;
		remove_at(at + 1);
	}
	if (at > 0 && ranges[at - 1].end == ranges[at].start &&
	    ranges[at - 1].prot == ranges[at].prot) {
		ranges[at - 1].end = ranges[at].end;
		remove_at(at);
	}
}

/* Index of the first range that ends after ADDRESS. */
static uint32_t find(uint64_t address)
{
	uint32_t at = 0;

	while (at < range_count && ranges[at].end <= address)
		at++;
	return at;
}

static bool is_free(uint64_t start, uint64_t end)
{
	uint32_t at = find(start);

	return at == range_count || ranges[at].start >= end;
}

static bool is_mapped(uint64_t start, uint64_t end)
{
	for (uint32_t at = find(start); at < range_count && ranges[at].start <= start; at++) {
		start = ranges[at].end;
		if (start >= end)
			return true;
	}
	return false;
}

/* Forgets [start, end). Splitting takes at most one entry more, which the callers made sure of. */
static void cut(uint64_t start, uint64_t end)
{
	for (uint32_t at = find(start); at < range_count && ranges[at].start < end;) {
		struct range old = ranges[at];

		remove_at(at);
		if (old.end > end)
			insert_at(at, (struct range){end, old.end, old.prot});
		if (old.start < start) {
			insert_at(at, (struct range){old.start, start, old.prot});
			at++;
		}
		if (old.end > end)
			break;
	}
}

static void put(uint64_t start, uint64_t end, uint32_t prot)
{
	uint32_t at = find(start);

	insert_at(at, (struct range){start, end, prot});
	merge_around(at);
}

static long map(uint64_t start, uint64_t end, uint32_t prot)
{
	long flags =
		shim_is_booting ? MAP_SHARED | MAP_FIXED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	long fd = shim_is_booting ? SHIM_FD_MEMORY : -1;
	long at;

	if (!is_free(start, end))
		return THAW_EINVAL;
	at = sys_mmap(start, end - start, prot, flags, fd, fd < 0 ? 0 : start);
	if (at < 0)
		return at;
	put(start, end, prot);
	return 0;
}

static long unmap(uint64_t start, uint64_t end)
{
	long error;

	if (!is_mapped(start, end))
		return THAW_EINVAL;
	/* While booting, the pages are the memory file's and would stay in it, counted, and come
	 * back on the next map. */
	if (shim_is_booting) {
		error = sys3(SYS_madvise, (long)start, (long)(end - start), MADV_REMOVE);
		if (error)
			return error;
	}
	error = sys_munmap(start, end - start);
	if (!error)
		cut(start, end);
	return error;
}

static long protect(uint64_t start, uint64_t end, uint32_t prot)
{
	long error;

	if (!is_mapped(start, end))
		return THAW_EINVAL;
	error = sys3(SYS_mprotect, (long)start, (long)(end - start), prot);
	if (!error) {
		cut(start, end);
		put(start, end, prot);
	}
	return error;
}

static bool prot_valid(uint32_t prot)
{
	return prot == PROT_READ || prot == (PROT_READ | PROT_WRITE) ||
	       prot == (PROT_READ | PROT_EXEC);
}

long shim_memory_call(long number, const struct thaw_shim_memory *argument)
{
	struct thaw_shim_memory call = *argument;
	uint64_t end;

	if (call.reserved || !call.length || (call.start | call.length) % THAW_PAGE_SIZE ||
	    call.start < THAW_REGION_BASE ||
	    __builtin_add_overflow(call.start, call.length, &end) || end > THAW_REGION_END)
		return THAW_EINVAL;
	/* Each call adds at most two entries. */
	if (range_count + 2 > THAW_RANGES_MAX)
		return THAW_ENOMEM;
	if (number == THAW_SHIM_CALL_unmap)
		return unmap(call.start, end);
	if (!prot_valid(call.prot))
		return THAW_EINVAL;
	return number == THAW_SHIM_CALL_map ? map(call.start, end, call.prot)
					    : protect(call.start, end, call.prot);
}
