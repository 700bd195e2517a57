/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a guest's ranges; see ranges.h. */
#include "guest-stub/shim/ranges.h"

enum { PROT_R = 1, PROT_W = 2, PROT_X = 4 };

/* Index of the first range that ends after ADDRESS. */
static uint32_t find(const struct shim_ranges *ranges, uint64_t address)
{
	uint32_t low = 0, high = ranges->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (ranges->at[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct shim_range *shim_ranges_find(const struct shim_ranges *ranges, uint64_t address)
{
	uint32_t at = find(ranges, address);

	return at < ranges->count && ranges->at[at].start <= address ? &ranges->at[at] : 0;
}

bool shim_ranges_free(const struct shim_ranges *ranges, uint64_t start, uint64_t end)
{
	uint32_t at = find(ranges, start);

	return at == ranges->count || ranges->at[at].start >= end;
}

bool shim_ranges_mapped(const struct shim_ranges *ranges, uint64_t start, uint64_t end)
{
	for (uint32_t at = find(ranges, start); at < ranges->count && ranges->at[at].start <= start;
	     at++) {
		start = ranges->at[at].end;
		if (start >= end)
			return true;
	}
	return false;
}

bool shim_ranges_room(const struct shim_ranges *ranges)
{
	return ranges->count + 2 <= THAW_RANGES_MAX;
}

static void remove_at(struct shim_ranges *ranges, uint32_t at)
{
	ranges->count--;
	for (uint32_t i = at; i < ranges->count; i++)
		ranges->at[i] = ranges->at[i + 1];
}

static void insert_at(struct shim_ranges *ranges, uint32_t at, struct shim_range range)
{
	for (uint32_t i = ranges->count; i > at; i--)
		ranges->at[i] = ranges->at[i - 1];
	ranges->at[at] = range;
	ranges->count++;
}

/* Merges a range with the one before it, if they are alike. */
static void merge(struct shim_ranges *ranges, uint32_t at)
{
	struct shim_range *before, *range;

	if (at == 0 || at >= ranges->count)
		return;
	before = &ranges->at[at - 1];
	range = &ranges->at[at];
	if (before->end != range->start || before->prot != range->prot ||
	    before->source != range->source)
		return;
	before->end = range->end;
	remove_at(ranges, at);
}

void shim_ranges_add(struct shim_ranges *ranges, uint64_t start, uint64_t end, uint32_t prot,
		     uint32_t source)
{
	uint32_t at = find(ranges, start);

	insert_at(ranges, at, (struct shim_range){start, end, prot, source});
	ranges->mapped_pages += (end - start) / THAW_PAGE_SIZE;
	merge(ranges, at + 1);
	merge(ranges, at);
}

/* Splits the range that reaches over ADDRESS, if there is one. */
static void split(struct shim_ranges *ranges, uint64_t address)
{
	uint32_t at = find(ranges, address);
	struct shim_range range;

	if (at == ranges->count || ranges->at[at].start >= address)
		return;
	range = ranges->at[at];
	ranges->at[at].end = address;
	range.start = address;
	insert_at(ranges, at + 1, range);
}

void shim_ranges_cut(struct shim_ranges *ranges, uint64_t start, uint64_t end)
{
	uint32_t at;

	split(ranges, start);
	split(ranges, end);
	at = find(ranges, start);
	while (at < ranges->count && ranges->at[at].start < end) {
		ranges->mapped_pages -=
			(ranges->at[at].end - ranges->at[at].start) / THAW_PAGE_SIZE;
		remove_at(ranges, at);
	}
}

void shim_ranges_protect(struct shim_ranges *ranges, uint64_t start, uint64_t end, uint32_t prot)
{
	uint32_t at, first;

	split(ranges, start);
	split(ranges, end);
	first = find(ranges, start);
	for (at = first; at < ranges->count && ranges->at[at].start < end; at++)
		ranges->at[at].prot = prot;
	/* From the end, so that a merge does not change the indexes still to come. */
	for (; at > first; at--)
		merge(ranges, at);
	merge(ranges, first);
}

void shim_ranges_record(const struct shim_ranges *ranges, struct thaw_ready *ready)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ranges->count; i++) {
		const struct shim_range *range = &ranges->at[i];
		uint64_t length = range->end - range->start;

		if (count && ready->ranges[count - 1].prot == range->prot &&
		    ready->ranges[count - 1].start + ready->ranges[count - 1].length ==
			    range->start) {
			ready->ranges[count - 1].length += length;
			continue;
		}
		ready->ranges[count].start = range->start;
		ready->ranges[count].length = length;
		ready->ranges[count].prot = range->prot;
		ready->ranges[count].reserved = 0;
		count++;
	}
	ready->range_count = count;
}

long shim_memory_check(long number, const struct thaw_shim_memory *call)
{
	uint64_t end;

	if (call->reserved || !call->length || (call->start | call->length) % THAW_PAGE_SIZE ||
	    call->start < THAW_REGION_BASE ||
	    __builtin_add_overflow(call->start, call->length, &end) || end > THAW_REGION_END)
		return THAW_EINVAL;
	if (number != THAW_SHIM_CALL_unmap && call->prot != PROT_R &&
	    call->prot != (PROT_R | PROT_W) && call->prot != (PROT_R | PROT_X))
		return THAW_EINVAL;
	return 0;
}
