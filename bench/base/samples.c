/* SPDX-License-Identifier: Apache-2.0 */
/* Exact samples and their nearest-rank percentiles. */
#include "bench/base/samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define SAMPLES_FIRST_ROOM 256u

int thaw_samples_add(struct thaw_samples *samples, uint64_t value, struct thaw_error *err)
{
	if (samples->count == samples->room) {
		size_t room = samples->room ? samples->room * 2 : SAMPLES_FIRST_ROOM;
		uint64_t *values = reallocarray(samples->values, room, sizeof(*values));

		if (!values)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot keep %zu samples", room);
		samples->values = values;
		samples->room = room;
	}
	samples->values[samples->count++] = value;
	return 0;
}

void thaw_samples_finish(struct thaw_samples *samples)
{
	free(samples->values);
	*samples = (struct thaw_samples){0};
}

static int compare_values(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

uint64_t thaw_nearest_rank(const uint64_t *sorted, size_t count, unsigned permille)
{
	/* Splits off whole thousands: COUNT * PERMILLE could overflow for a hostile count. */
	size_t rest = count % 1000 * permille;
	size_t rank = count / 1000 * permille + (rest + 999) / 1000;

	thaw_assert(count > 0 && permille > 0 && permille <= 1000);
	return sorted[rank - 1];
}

void thaw_samples_percentiles(struct thaw_samples *samples, struct thaw_percentiles *out)
{
	*out = (struct thaw_percentiles){.count = samples->count};
	if (!samples->count)
		return;
	qsort(samples->values, samples->count, sizeof(*samples->values), compare_values);
	out->p50 = thaw_nearest_rank(samples->values, samples->count, 500);
	out->p90 = thaw_nearest_rank(samples->values, samples->count, 900);
	out->p99 = thaw_nearest_rank(samples->values, samples->count, 990);
	out->p999 = thaw_nearest_rank(samples->values, samples->count, 999);
	out->max = samples->values[samples->count - 1];
}

double thaw_bucket_start(unsigned index)
{
	return pow(10, (double)index / THAW_BUCKETS_PER_DECADE);
}

static unsigned bucket_of(uint64_t value)
{
	double index = value > 1 ? floor(log10((double)value) * THAW_BUCKETS_PER_DECADE) : 0;

	return index < THAW_BUCKETS - 1 ? (unsigned)index : THAW_BUCKETS - 1;
}

void thaw_distribution_take(struct thaw_distribution *out, const struct thaw_samples *samples)
{
	*out = (struct thaw_distribution){0};
	for (size_t i = 0; i < samples->count; i++)
		out->counts[bucket_of(samples->values[i])]++;
}
