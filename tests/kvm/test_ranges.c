/* SPDX-License-Identifier: Apache-2.0 */
/* The shims' table of ranges, held against a model that knows each page by itself. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest-stub/shim/ranges.h"
#include "tests/kvm/plain.h"

#define PAGES 400u
#define BASE  UINT64_C(0x200000)
#define PAGE  THAW_PAGE_SIZE

TestSuite(shim_ranges, .timeout = 120);

struct model {
	struct {
		uint32_t prot, source; /* prot 0: not mapped */
	} page[PAGES];
};

static const uint32_t prots[] = {1, 3, 5};

static uint64_t address_of(unsigned page)
{
	return BASE + page * PAGE;
}

/* Checks that the table is exact: sorted, without gaps inside a range, and with neighbours
 * merged. */
static void check_table(const struct shim_ranges *ranges, const struct model *model)
{
	uint64_t mapped = 0;
	uint32_t at = 0;

	for (unsigned page = 0; page < PAGES;) {
		unsigned end = page;

		if (!model->page[page].prot) {
			page++;
			continue;
		}
		while (end < PAGES && model->page[end].prot == model->page[page].prot &&
		       model->page[end].source == model->page[page].source)
			end++;
		cr_assert_lt(at, ranges->count);
		cr_assert_eq(ranges->at[at].start, address_of(page));
		cr_assert_eq(ranges->at[at].end, address_of(end));
		cr_assert_eq(ranges->at[at].prot, model->page[page].prot);
		cr_assert_eq(ranges->at[at].source, model->page[page].source);
		mapped += end - page;
		page = end;
		at++;
	}
	cr_assert_eq(at, ranges->count);
	cr_assert_eq(mapped, ranges->mapped_pages);
}

static void check_page(const struct shim_ranges *ranges, const struct model *model, unsigned page)
{
	for (unsigned byte = 0; byte < PAGE; byte += PAGE - 1) {
		const struct shim_range *found = shim_ranges_find(ranges, address_of(page) + byte);

		cr_assert_eq(found != NULL, model->page[page].prot != 0);
		if (found)
			cr_assert_eq(found->prot, model->page[page].prot);
	}
}

static void check_questions(const struct shim_ranges *ranges, const struct model *model,
			    unsigned first, unsigned end)
{
	bool all = true, none = true;

	for (unsigned page = first; page < end; page++) {
		all &= model->page[page].prot != 0;
		none &= model->page[page].prot == 0;
	}
	cr_assert_eq(shim_ranges_free(ranges, address_of(first), address_of(end)), none);
	cr_assert_eq(shim_ranges_mapped(ranges, address_of(first), address_of(end)), all);
	check_page(ranges, model, first);
	check_page(ranges, model, end - 1);
}

static void change(struct shim_ranges *ranges, struct model *model, unsigned first, unsigned end,
		   uint64_t *seed)
{
	uint64_t start = address_of(first), stop = address_of(end);
	uint32_t prot = prots[plain_below(seed, 3)], source = (uint32_t)plain_below(seed, 2);
	bool was_free = shim_ranges_free(ranges, start, stop);

	if (was_free)
		shim_ranges_add(ranges, start, stop, prot, source);
	else if (shim_ranges_mapped(ranges, start, stop) && plain_below(seed, 3))
		shim_ranges_protect(ranges, start, stop, prot);
	else
		shim_ranges_cut(ranges, start, stop), prot = 0;
	for (unsigned page = first; page < end; page++) {
		model->page[page].prot = prot;
		if (was_free)
			model->page[page].source = source;
	}
}

Test(shim_ranges, random_changes_agree_with_a_model)
{
	uint64_t seed = plain_seed("ranges");
	struct shim_ranges *ranges = malloc(sizeof(*ranges));

	for (unsigned round = 0; round < plain_scaled(200); round++) {
		struct model model = {0};
		/* Short changes make many ranges; long ones merge them again. */
		unsigned longest = 1 + (unsigned)plain_below(&seed, round % 2 ? 4 : 100);

		memset(ranges, 0, sizeof(*ranges));
		for (unsigned step = 0; step < 500; step++) {
			unsigned first = (unsigned)plain_below(&seed, PAGES);
			unsigned end = first + 1 + (unsigned)plain_below(&seed, longest);

			if (end > PAGES)
				end = PAGES;
			check_questions(ranges, &model, first, end);
			change(ranges, &model, first, end, &seed);
			check_table(ranges, &model);
		}
	}
	free(ranges);
}

Test(shim_ranges, there_is_room_for_one_more_change_until_it_is_said_that_there_is_not)
{
	struct shim_ranges *ranges = calloc(1, sizeof(*ranges) + 64);
	uint64_t at = BASE;

	/* Map every other page, so that nothing merges. Each further change takes two more
	 * ranges. */
	for (; shim_ranges_room(ranges); at += 4 * PAGE) {
		shim_ranges_add(ranges, at, at + 3 * PAGE, 3, SHIM_SOURCE_ZERO);
		if (shim_ranges_room(ranges))
			shim_ranges_protect(ranges, at + PAGE, at + 2 * PAGE, 1);
		cr_assert_leq(ranges->count, THAW_RANGES_MAX);
	}
	cr_expect_gt(ranges->count, THAW_RANGES_MAX - 3);
	free(ranges);
}

Test(shim_ranges, a_record_merges_what_differs_only_in_its_source)
{
	struct shim_ranges *ranges = calloc(1, sizeof(*ranges));
	struct thaw_ready *ready = calloc(1, sizeof(*ready));

	shim_ranges_add(ranges, BASE, BASE + 2 * PAGE, 3, SHIM_SOURCE_IMAGE);
	shim_ranges_add(ranges, BASE + 2 * PAGE, BASE + 3 * PAGE, 3, SHIM_SOURCE_ZERO);
	shim_ranges_add(ranges, BASE + 3 * PAGE, BASE + 4 * PAGE, 1, SHIM_SOURCE_ZERO);
	shim_ranges_add(ranges, BASE + 9 * PAGE, BASE + 10 * PAGE, 1, SHIM_SOURCE_ZERO);
	cr_assert_eq(ranges->count, 4);
	shim_ranges_record(ranges, ready);
	cr_assert_eq(ready->range_count, 3);
	cr_assert_eq(ready->ranges[0].start, BASE);
	cr_assert_eq(ready->ranges[0].length, 3 * PAGE);
	cr_assert_eq(ready->ranges[1].prot, 1);
	free(ranges);
	free(ready);
}

Test(shim_ranges, arguments_of_memory_calls_are_checked)
{
	static const struct {
		uint64_t start, length;
		uint32_t prot, reserved;
		long result;
	} calls[] = {{BASE, PAGE, 3, 0, 0},
		     {THAW_REGION_BASE, THAW_REGION_END - THAW_REGION_BASE, 1, 0, 0},
		     {BASE, PAGE, 5, 0, 0},
		     {BASE, PAGE, 7, 0, THAW_EINVAL},
		     {BASE, PAGE, 0, 0, THAW_EINVAL},
		     {BASE, PAGE, 2, 0, THAW_EINVAL},
		     {BASE, PAGE, 8, 0, THAW_EINVAL},
		     {BASE, PAGE, 3, 1, THAW_EINVAL},
		     {BASE, 0, 3, 0, THAW_EINVAL},
		     {BASE + 1, PAGE, 3, 0, THAW_EINVAL},
		     {BASE, PAGE - 1, 3, 0, THAW_EINVAL},
		     {THAW_REGION_BASE - PAGE, PAGE, 3, 0, THAW_EINVAL},
		     {THAW_REGION_END - PAGE, 2 * PAGE, 3, 0, THAW_EINVAL},
		     {THAW_REGION_END, PAGE, 3, 0, THAW_EINVAL},
		     {BASE, UINT64_MAX & ~(PAGE - 1), 3, 0, THAW_EINVAL},
		     {UINT64_MAX & ~(PAGE - 1), PAGE, 3, 0, THAW_EINVAL}};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct thaw_shim_memory call = {calls[i].start, calls[i].length, calls[i].prot,
						calls[i].reserved};

		cr_expect_eq(shim_memory_check(THAW_SHIM_CALL_map, &call), calls[i].result, "%zu",
			     i);
	}
}
