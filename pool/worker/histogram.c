/* SPDX-License-Identifier: Apache-2.0 */
/* Relaxed atomics throughout: each counter stands for itself, and none publishes other memory. */
#include "pool/worker/histogram.h"

#define STEP_BITS 4u

size_t thaw_histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < THAW_HISTOGRAM_STEPS)
		return (size_t)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - STEP_BITS;
	/* The power of two chooses the row, and the bits below the leading one choose the step. */
	return (size_t)(shift + 1) * THAW_HISTOGRAM_STEPS +
	       (size_t)((value >> shift) - THAW_HISTOGRAM_STEPS);
}

uint64_t thaw_histogram_bucket_last(size_t bucket)
{
	unsigned row = (unsigned)(bucket / THAW_HISTOGRAM_STEPS);
	uint64_t step = bucket % THAW_HISTOGRAM_STEPS;

	if (row == 0)
		return step;
	return ((THAW_HISTOGRAM_STEPS + step) << (row - 1)) + ((UINT64_C(1) << (row - 1)) - 1);
}

void thaw_histogram_record(struct thaw_histogram *histogram, uint64_t value)
{
	uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);

	atomic_fetch_add_explicit(&histogram->bucket[thaw_histogram_bucket(value)], 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
	while (value > max &&
	       !atomic_compare_exchange_weak_explicit(&histogram->max, &max, value,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

uint64_t thaw_histogram_percentile(const struct thaw_histogram *histogram, unsigned per_mille)
{
	uint64_t count = atomic_load_explicit(&histogram->count, memory_order_relaxed);
	uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
	uint64_t wanted = (count / 1000) * per_mille + ((count % 1000) * per_mille + 999) / 1000;
	uint64_t seen = 0;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < THAW_HISTOGRAM_BUCKETS; i++) {
		seen += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
		if (seen >= wanted && seen > 0) {
			uint64_t last = thaw_histogram_bucket_last(i);

			return last < max ? last : max;
		}
	}
	return max;
}
