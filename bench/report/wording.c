/* SPDX-License-Identifier: Apache-2.0 */
/* Figures, ratios and growth in words. */
#include <langinfo.h>
#include <stdio.h>
#include <string.h>

#include "bench/report/report.h"

struct scale {
	uint64_t one; /* in the figure's own unit */
	const char *name;
};

static const struct scale time_scales[] = {
	{1, "ns"}, {1000, "µs"}, {1000000, "ms"}, {1000000000, "s"}};
static const struct scale byte_scales[] = {
	{1, "B"}, {1u << 10, "KiB"}, {1u << 20, "MiB"}, {1u << 30, "GiB"}};
static const struct scale rate_scales[] = {
	{1, "/s"}, {1000, "k/s"}, {1000000, "M/s"}, {1000000000, "G/s"}};

#define SCALES 4u

/* A terminal without UTF-8 gets the usual letter instead. */
static const char *printable(const char *unit)
{
	return strcmp(unit, "µs") == 0 && strcmp(nl_langinfo(CODESET), "UTF-8") != 0 ? "us" : unit;
}

void thaw_bench_text(uint64_t value, const char *unit, char out[THAW_BENCH_TEXT_MAX])
{
	const struct scale *scales = strcmp(unit, "ns") == 0	  ? time_scales
				     : strcmp(unit, "bytes") == 0 ? byte_scales
								  : rate_scales;
	unsigned scale = 0;
	double scaled;

	while (scale + 1 < SCALES && value >= scales[scale + 1].one)
		scale++;
	scaled = (double)value / (double)scales[scale].one;
	snprintf(out, THAW_BENCH_TEXT_MAX, "%.*f %s",
		 scale == 0 || scaled >= 99.95 ? 0
		 : scaled >= 9.995	       ? 1
					       : 2,
		 scaled, printable(scales[scale].name));
}

void thaw_bench_ratio(uint64_t value, uint64_t base, char out[THAW_BENCH_TEXT_MAX])
{
	double ratio = base ? (double)value / (double)base : 0;

	if (!value || !base)
		out[0] = '\0';
	else
		snprintf(out, THAW_BENCH_TEXT_MAX, "%.*fx",
			 ratio >= 100  ? 0
			 : ratio >= 10 ? 1
				       : 2,
			 ratio);
}

/* A rate by clients follows no line: it rises until the processors are busy. */
static void most_text(const struct thaw_bench_series *series, char *out, size_t size)
{
	const struct thaw_fit_point *most = &series->points[0];
	char rate[THAW_BENCH_TEXT_MAX];

	for (size_t i = 1; i < series->count; i++)
		if (series->points[i].y > most->y)
			most = &series->points[i];
	thaw_bench_text((uint64_t)most->y, series->unit, rate);
	snprintf(out, size, "highest at %.0f %s: %s", most->x, series->x, rate);
}

void thaw_bench_growth_text(const struct thaw_bench_series *series, char out[THAW_BENCH_GROWTH_MAX])
{
	const size_t size = THAW_BENCH_GROWTH_MAX;
	const struct thaw_fit *fit = &series->fit;
	char constant[THAW_BENCH_TEXT_MAX], slope[THAW_BENCH_TEXT_MAX], bend[THAW_BENCH_TEXT_MAX];

	thaw_bench_text((uint64_t)(fit->constant > 0 ? fit->constant : 0), series->unit, constant);
	thaw_bench_text((uint64_t)(fit->slope > 0 ? fit->slope : 0), series->unit, slope);
	if (strcmp(series->x, "bytes") == 0)
		thaw_bench_text((uint64_t)fit->bend, "bytes", bend);
	else
		snprintf(bend, sizeof(bend), "%.0f %s", fit->bend, series->x);
	if (strcmp(series->x, "clients") == 0) {
		most_text(series, out, size);
		return;
	}
	switch (fit->growth) {
	case THAW_GROWTH_CONSTANT:
		snprintf(out, size, "constant within %.0f %%", fit->spread * 100);
		break;
	case THAW_GROWTH_LINEAR:
		snprintf(out, size, "linear: %s + %s for each of the %s, within %.0f %%", constant,
			 slope, series->x, fit->worst * 100);
		break;
	case THAW_GROWTH_BENT:
		snprintf(out, size, "linear up to %s: %s + %s for each", bend, constant, slope);
		break;
	case THAW_GROWTH_UNKNOWN:
		snprintf(out, size, "too few points");
		break;
	}
}
