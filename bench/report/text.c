/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for people. */
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

/* A terminal that knows no UTF-8 gets the letter that everybody uses there. */
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
