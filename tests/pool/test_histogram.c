/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets cover all values without a gap, and percentiles are within a sixteenth. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "pool/worker/histogram.h"

static struct thaw_histogram histogram;

Test(histogram, buckets_follow_each_other)
{
	for (size_t i = 0; i + 1 < THAW_HISTOGRAM_BUCKETS; i++) {
		uint64_t last = thaw_histogram_bucket_last(i);

		cr_assert_eq(thaw_histogram_bucket(last), i);
		cr_assert_eq(thaw_histogram_bucket(last + 1), i + 1);
	}
	cr_assert_eq(thaw_histogram_bucket(0), 0);
	cr_assert_eq(thaw_histogram_bucket(UINT64_MAX), THAW_HISTOGRAM_BUCKETS - 1);
	cr_assert_eq(thaw_histogram_bucket_last(THAW_HISTOGRAM_BUCKETS - 1), UINT64_MAX);
}

Test(histogram, nothing_recorded_is_zero)
{
	cr_assert_eq(thaw_histogram_percentile(&histogram, 500), 0);
}

Test(histogram, one_value_is_every_percentile)
{
	thaw_histogram_record(&histogram, 123456);
	cr_assert_eq(thaw_histogram_percentile(&histogram, 1), 123456);
	cr_assert_eq(thaw_histogram_percentile(&histogram, 500), 123456);
	cr_assert_eq(thaw_histogram_percentile(&histogram, 1000), 123456);
}

/* Small values have a bucket each: their percentiles are exact. */
Test(histogram, percentiles_of_small_values_are_exact)
{
	for (uint64_t i = 1; i <= 10; i++)
		thaw_histogram_record(&histogram, i);
	for (unsigned per_mille = 1; per_mille <= 1000; per_mille++)
		cr_assert_eq(thaw_histogram_percentile(&histogram, per_mille),
			     (per_mille + 99) / 100, "%u", per_mille);
}

Test(histogram, percentiles_are_within_a_sixteenth)
{
	for (uint64_t i = 1; i <= 100000; i++)
		thaw_histogram_record(&histogram, i * 10);
	for (unsigned per_mille = 1; per_mille <= 1000; per_mille++) {
		uint64_t exact = per_mille * 1000, told;

		told = thaw_histogram_percentile(&histogram, per_mille);
		cr_assert_geq(told, exact);
		cr_assert_leq(told, exact + exact / 16 + 1);
	}
	cr_assert_eq(histogram.max, 1000000);
	cr_assert_eq(histogram.count, 100000);
}
