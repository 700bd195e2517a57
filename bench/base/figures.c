/* SPDX-License-Identifier: Apache-2.0 */
/* The figures, made from their one table. */
#include "bench/base/figures.h"

#include <stdio.h>
#include <string.h>

#define SPREAD_PARTS	  5u
#define SPREAD_PART_LEAST 10u /* samples; the median of fewer says little */

struct figure_words {
	const char *name, *unit, *text;
	enum thaw_figure limit;
};

#define FIGURE_WORDS(identifier, name, unit, limit, what) {name, unit, what, THAW_FIGURE_##limit},
static const struct figure_words figure_words[] = {THAW_BENCH_FIGURES(FIGURE_WORDS)};

static bool ends_with_clients(const char *name)
{
	size_t length = strlen(name);

	return length > 2 && !strcmp(name + length - 2, ".c");
}

void thaw_figures_init(struct thaw_bench_figure *figures, unsigned clients)
{
	for (unsigned i = 0; i < THAW_BENCH_FIGURES_MAX; i++) {
		struct thaw_bench_figure *figure = &figures[i];

		*figure = (struct thaw_bench_figure){
			.unit = "ns", .limit = THAW_FIGURE_echo, .spread = -1};
		if (i >= THAW_FIGURE_COUNT)
			continue;
		figure->unit = figure_words[i].unit;
		figure->limit = figure_words[i].limit;
		snprintf(figure->text, sizeof(figure->text), "%s", figure_words[i].text);
		if (ends_with_clients(figure_words[i].name))
			snprintf(figure->name, sizeof(figure->name), "%s%u", figure_words[i].name,
				 clients);
		else
			snprintf(figure->name, sizeof(figure->name), "%s", figure_words[i].name);
	}
}

static double spread_of(const struct thaw_samples *samples)
{
	uint64_t least = UINT64_MAX, most = 0, whole;
	size_t part = samples->count / SPREAD_PARTS;

	if (part < SPREAD_PART_LEAST)
		return -1;
	for (unsigned i = 0; i < SPREAD_PARTS; i++) {
		struct thaw_samples copy = {0};
		struct thaw_percentiles values;

		for (size_t j = 0; j < part; j++)
			if (thaw_samples_add(&copy, samples->values[i * part + j], NULL))
				break;
		thaw_samples_percentiles(&copy, &values);
		thaw_samples_finish(&copy);
		least = values.p50 < least ? values.p50 : least;
		most = values.p50 > most ? values.p50 : most;
	}
	whole = (least + most) / 2;
	return whole ? (double)(most - least) / (double)whole : 0;
}

void thaw_figure_take(struct thaw_bench_figure *figure, struct thaw_samples *samples)
{
	figure->spread = spread_of(samples);
	thaw_distribution_take(&figure->distribution, samples);
	thaw_samples_percentiles(samples, &figure->values);
}

double thaw_figure_ratio(const struct thaw_bench_figure *figures,
			 const struct thaw_bench_figure *figure)
{
	const struct thaw_bench_figure *limit;

	if (figure->limit == THAW_FIGURE_none)
		return 0;
	limit = &figures[figure->limit];
	if (!figure->values.count || !limit->values.count || !limit->values.p50)
		return 0;
	return (double)figure->values.p50 / (double)limit->values.p50;
}
