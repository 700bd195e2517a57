/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log-linear histogram of nanoseconds: sixteen steps for each power of two, so that a percentile
 * is off by at most one part in sixteen. Any number of threads may record at once. A read meanwhile
 * is approximate: it may miss records that are being made.
 */
#ifndef THAW_HISTOGRAM_H
#define THAW_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define THAW_HISTOGRAM_STEPS   16u
#define THAW_HISTOGRAM_BUCKETS ((64u - 4u + 1u) * THAW_HISTOGRAM_STEPS)

struct thaw_histogram {
	_Atomic uint64_t count;
	_Atomic uint64_t max;
	_Atomic uint64_t bucket[THAW_HISTOGRAM_BUCKETS];
};

void thaw_histogram_record(struct thaw_histogram *histogram, uint64_t value);
/* The value at or below which PER_MILLE of a thousand records lie: the upper end of its bucket, but
 * never above the largest record. 0 when nothing was recorded. */
uint64_t thaw_histogram_percentile(const struct thaw_histogram *histogram, unsigned per_mille);

/* For tests: the bucket of a value, and the largest value of a bucket. */
size_t thaw_histogram_bucket(uint64_t value);
uint64_t thaw_histogram_bucket_last(size_t bucket);

#endif
