/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles against their definition: the smallest value that at least that share of the
 * samples does not exceed. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "bench/base/samples.h"

static uint32_t random_state = 12345;

static uint32_t next_random(void)
{
	random_state = random_state * 1664525u + 1013904223u;
	return random_state >> 8;
}

/* The definition, by counting and without sorting. */
static uint64_t oracle(const uint64_t *values, size_t count, unsigned permille)
{
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < count; i++) {
		size_t not_above = 0;

		for (size_t j = 0; j < count; j++)
			not_above += values[j] <= values[i];
		if (not_above * 1000 >= count * permille && values[i] < best)
			best = values[i];
	}
	return best;
}

Test(samples, percentiles_are_the_definition)
{
	static const unsigned limits[] = {2, 7, 1000, 16000000};
	uint64_t values[300];

	for (size_t count = 1; count <= 300; count += 1 + count / 7) {
		struct thaw_samples samples = {0};
		struct thaw_percentiles got;

		for (size_t i = 0; i < count; i++) {
			values[i] = next_random() % limits[count % 4];
			cr_assert_eq(thaw_samples_add(&samples, values[i], NULL), 0);
		}
		thaw_samples_percentiles(&samples, &got);
		cr_assert_eq(got.count, count);
		cr_assert_eq(got.p50, oracle(values, count, 500));
		cr_assert_eq(got.p90, oracle(values, count, 900));
		cr_assert_eq(got.p99, oracle(values, count, 990));
		cr_assert_eq(got.p999, oracle(values, count, 999));
		cr_assert_eq(got.max, oracle(values, count, 1000));
		thaw_samples_finish(&samples);
	}
}

Test(samples, known_ranks)
{
	struct thaw_samples samples = {0};
	struct thaw_percentiles got;

	/* 1000 down to 1: rank and value are the same number. */
	for (uint64_t value = 1000; value >= 1; value--)
		cr_assert_eq(thaw_samples_add(&samples, value, NULL), 0);
	thaw_samples_percentiles(&samples, &got);
	cr_assert_eq(got.p50, 500);
	cr_assert_eq(got.p90, 900);
	cr_assert_eq(got.p99, 990);
	cr_assert_eq(got.p999, 999);
	cr_assert_eq(got.max, 1000);
	thaw_samples_finish(&samples);
}

Test(samples, one_value_is_every_percentile)
{
	uint64_t only = UINT64_MAX;

	for (unsigned permille = 1; permille <= 1000; permille++)
		cr_assert_eq(thaw_nearest_rank(&only, 1, permille), UINT64_MAX);
}

Test(samples, none_is_all_zero)
{
	struct thaw_samples samples = {0};
	struct thaw_percentiles got = {.count = 1, .max = 1};

	thaw_samples_percentiles(&samples, &got);
	cr_assert_eq(got.count, 0);
	cr_assert_eq(got.max, 0);
	thaw_samples_finish(&samples);
}
