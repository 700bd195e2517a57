/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact samples of one figure. Every value is kept and percentiles are by nearest rank, so a
 * reported number is always one that was measured. The buckets of a histogram would blur the
 * ratios that the figures exist for.
 */
#ifndef THAW_BENCH_SAMPLES_H
#define THAW_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

/* Caller's memory; zeroed is empty. One thread at a time. */
struct thaw_samples {
	uint64_t *values;
	size_t count, room;
};

int thaw_samples_add(struct thaw_samples *samples, uint64_t value, struct thaw_error *err);
void thaw_samples_finish(struct thaw_samples *samples); /* frees the values; empty afterwards */

struct thaw_percentiles {
	size_t count;
	uint64_t p50, p90, p99, p999, max;
};

/* Sorts the samples in place. All zero when there are none. */
void thaw_samples_percentiles(struct thaw_samples *samples, struct thaw_percentiles *out);

/* How many samples fall where, on a logarithmic scale: THAW_BUCKETS_PER_DECADE buckets for each
 * power of ten, the first from 1 on. Used for drawing; percentiles come from the samples. */
#define THAW_BUCKETS_PER_DECADE 20u
#define THAW_BUCKETS		(12u * THAW_BUCKETS_PER_DECADE)
struct thaw_distribution {
	uint32_t counts[THAW_BUCKETS];
};

void thaw_distribution_take(struct thaw_distribution *out, const struct thaw_samples *samples);
/* The lower bound of bucket INDEX. THAW_BUCKETS gives the upper bound of the last one. */
double thaw_bucket_start(unsigned index);

/* The value of rank ceil(COUNT * PERMILLE / 1000), counted from 1, of COUNT sorted values. COUNT
 * is above 0, PERMILLE is 1..1000. */
uint64_t thaw_nearest_rank(const uint64_t *sorted, size_t count, unsigned permille);

#endif
