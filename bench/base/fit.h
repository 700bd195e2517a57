/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one quantity grows with another: constant, linear, or neither, and where it leaves its
 * initial line.
 *
 * The line is the one with the least relative errors, so that a small point counts as much as a
 * large one; over five decades an ordinary least-squares line would follow the last point alone.
 */
#ifndef THAW_BENCH_FIT_H
#define THAW_BENCH_FIT_H

#include <stddef.h>

#define THAW_FIT_POINTS_MAX 24u
/* Tolerances: for a constant, relative to the lowest point; for a point, relative to the line. */
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
		slope; /* y = constant + slope * x, fitted to all points; BENT: to those before the
		          bend */
	double spread; /* (highest - lowest) / lowest */
	double worst;  /* largest relative error of a point on the line */
	double bend;   /* BENT: x of the last point on the line */
};

/* POINTS are sorted by x; fewer than three are UNKNOWN. */
void thaw_fit(const struct thaw_fit_point *points, size_t count, struct thaw_fit *out);

const char *thaw_growth_name(enum thaw_growth growth); /* "constant", "linear", "bent", "unknown" */

#endif
