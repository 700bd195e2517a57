/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's heap under random use, at its limit, and when its caller breaks it. */
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/guest/native.h"

#define BLOCKS 700u

struct kept {
	uint8_t *bytes;
	size_t length;
	uint8_t seed;
};

static uint64_t state = 99;
static struct kept kept[BLOCKS];

static size_t below(size_t limit)
{
	return native_random(&state) % limit;
}

static size_t some_size(void)
{
	switch (below(20)) {
	case 0:
		return below(400000);
	case 1:
	case 2:
	case 3:
		return below(9000);
	default:
		return below(300);
	}
}

static void paint(struct kept *block)
{
	for (size_t i = 0; i < block->length; i++)
		block->bytes[i] = (uint8_t)(block->seed + i * 7);
}

static void check(const struct kept *block, size_t length)
{
	size_t wrong = 0;

	for (size_t i = 0; i < length; i++)
		wrong += block->bytes[i] != (uint8_t)(block->seed + i * 7);
	cr_assert_eq(wrong, 0, "%zu of %zu bytes changed", wrong, block->length);
}

static bool all_are(const uint8_t *bytes, size_t from, size_t to, uint8_t value)
{
	for (size_t i = from; i < to; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

static void replace(struct kept *block)
{
	check(block, block->length);
	guest_free(block->bytes);
	block->length = some_size();
	block->seed = (uint8_t)below(256);
	block->bytes = guest_malloc(block->length);
	cr_assert_not_null(block->bytes);
	cr_assert_eq((uintptr_t)block->bytes % 16, 0);
	paint(block);
}

static void resize(struct kept *block)
{
	size_t length = some_size();

	block->bytes = guest_realloc(block->bytes, length);
	cr_assert_not_null(block->bytes);
	check(block, length < block->length ? length : block->length);
	block->length = length;
	paint(block);
}

Test(heap, keeps_what_is_put_into_it)
{
	for (unsigned round = 0; round < 60000; round++) {
		struct kept *block = &kept[below(BLOCKS)];

		if (below(4) == 0)
			resize(block);
		else
			replace(block);
	}
	for (size_t i = 0; i < BLOCKS; i++) {
		check(&kept[i], kept[i].length);
		guest_free(kept[i].bytes);
	}
	/* Everything is free and merged again: one block of nearly all memory fits without mapping
	 * more. */
	{
		size_t mapped = native_mapped;
		void *all = guest_malloc(mapped - mapped / 4);

		cr_assert_not_null(all);
		cr_assert_eq(native_mapped, mapped, "free blocks were not merged");
	}
}

Test(heap, says_no_at_the_limit_and_goes_on)
{
	static void *taken[100000];
	size_t count = 0;
	void *large;

	native_limit = (size_t)8 << 20;
	while (count < 100000 && (taken[count] = guest_malloc(1000)) != NULL)
		memset(taken[count++], 0x5a, 1000);
	/* Each block has a header of sixteen bytes, and little is wasted at the end. */
	cr_assert_geq(count, native_limit / 1024 * 98 / 100);
	cr_assert_null(guest_malloc((size_t)1 << 20));
	cr_assert_null(guest_realloc(taken[0], (size_t)1 << 20));
	cr_assert_eq(*(uint8_t *)taken[0], 0x5a, "a realloc that fails leaves the block alone");
	for (size_t i = 0; i < count; i++)
		guest_free(taken[i]);
	large = guest_malloc((size_t)6 << 20);
	cr_assert_not_null(large, "what was freed can be had again in one piece");
}

Test(heap, odd_requests)
{
	/* Volatile, because the compiler would refuse such calls itself. */
	volatile size_t huge = SIZE_MAX;
	void *block = guest_malloc(0), *other = guest_malloc(0);

	cr_assert(block && other && block != other);
	cr_assert_null(guest_malloc(huge));
	cr_assert_null(guest_malloc(huge - 40));
	cr_assert_null(guest_calloc(huge / 2, 3));
	cr_assert_null(guest_calloc(huge, huge));
	cr_assert_null(guest_realloc(block, huge));
	guest_free(NULL);
	guest_free(block);
	guest_free(other);
}

Test(heap, calloc_clears_what_was_used_before)
{
	uint8_t *block = guest_malloc(5000);

	memset(block, 0xff, 5000);
	guest_free(block);
	block = guest_calloc(50, 100);
	cr_assert(all_are(block, 0, 5000, 0));
}

Test(heap, realloc_grows_in_place_where_it_can)
{
	void *block = guest_malloc(100);

	cr_assert_eq(guest_realloc(block, 2000), block, "nothing is above it");
	cr_assert_eq(guest_realloc(block, 50), block);
}

/* An image does not have memory that its program freed during the boot. */
Test(heap, trimming_leaves_free_pages_zero_and_the_rest_alone)
{
	uint8_t *before = guest_malloc(3000), *large = guest_malloc(1 << 20),
		*between = guest_malloc(3000);
	uint8_t *small = guest_malloc(20000), *behind = guest_malloc(3000);

	memset(before, 1, 3000);
	memset(large, 2, 1 << 20);
	memset(between, 3, 3000);
	memset(small, 4, 20000);
	memset(behind, 5, 3000);
	guest_free(large);
	guest_free(small);
	thaw_core_heap_trim();
	/* Except for the first page, which has the free block's header, and the last, which another
	 * block may share. */
	cr_assert(all_are(large, 4096, (1 << 20) - 4096, 0));
	cr_assert(all_are(small, 4096, 20000 - 4096, 0));
	cr_assert(all_are(before, 0, 3000, 1) && all_are(between, 0, 3000, 3) &&
		  all_are(behind, 0, 3000, 5));
	large = guest_malloc(1 << 20);
	cr_assert_not_null(large);
	memset(large, 6, 1 << 20);
	cr_assert(between[0] == 3 && before[2999] == 1);
}

Test(heap, a_block_freed_twice_is_noticed, .signal = SIGABRT)
{
	void *block = guest_malloc(100), *keeps_apart = guest_malloc(100);

	guest_free(block);
	guest_free(block);
	guest_free(keeps_apart);
}

/* Hides the block's length from the compiler, whose sanitizers would notice first. */
static void __attribute__((noinline)) overwrite(volatile uint8_t *at, size_t length)
{
	for (size_t i = 0; i < length; i++)
		at[i] = 0x41;
}

Test(heap, an_overflow_is_noticed, .signal = SIGABRT)
{
	uint8_t *block = guest_malloc(96), *next = guest_malloc(96);

	overwrite(block, 96 + 16);
	guest_free(next);
}

Test(heap, a_pointer_from_elsewhere_is_noticed, .signal = SIGABRT)
{
	static uint64_t elsewhere[8] __attribute__((aligned(16)));

	guest_free(guest_malloc(1));
	guest_free(elsewhere + 4);
}
