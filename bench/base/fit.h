/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one thing grows with another: constant, linear, or neither, and where it leaves the line that
 * it began on.
 *
 * The line is the one whose relative errors are least, so that a small point counts as much as a
 * large one; over five decades an ordinary least-squares line would be that of the last point.
 */
#ifndef THAW_BENCH_FIT_H
#define THAW_BENCH_FIT_H

#include <stddef.h>

#define THAW_FIT_POINTS_MAX 24u
/* What is still called the same: of the least for a constant, of the line for a point. */
#define THAW_FIT_CONSTANT 0.20
#define THAW_FIT_LINEAR	  0.25

struct thaw_fit_point {
	double x, y; /* x > 0, y > 0 */
};

enum thaw_growth {
	THAW_GROWTH_UNKNOWN,
	THAW_GROWTH_CONSTANT,
	THAW_GROWTH_LINEAR,
	THAW_GROWTH_BENT
};

struct thaw_fit {
	enum thaw_growth growth;
	double constant,
		slope; /* y = constant + slope * x, of all points or, bent, before the bend */
	double spread; /* (highest - lowest) / lowest */
	double worst;  /* largest relative error of a point on the line */
	double bend;   /* BENT: x of the last point on the line */
};

/* Points in the order of their x; fewer than three are UNKNOWN. */
void thaw_fit(const struct thaw_fit_point *points, size_t count, struct thaw_fit *out);

const char *thaw_growth_name(enum thaw_growth growth); /* "constant", "linear", "bent", "unknown" */

#endif
