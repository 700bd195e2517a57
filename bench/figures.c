/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the figures, out of their one table. */
#include "bench/bench.h"

struct figure_words {
	const char *name, *unit, *text;
};

#define FIGURE_WORDS(identifier, name, unit, what) {name, unit, what},
static const struct figure_words figure_words[] = {THAW_BENCH_FIGURES(FIGURE_WORDS)};

const char *thaw_figure_name(enum thaw_figure figure)
{
	return figure_words[figure].name;
}

const char *thaw_figure_unit(enum thaw_figure figure)
{
	return figure_words[figure].unit;
}

const char *thaw_figure_text(enum thaw_figure figure)
{
	return figure_words[figure].text;
}
