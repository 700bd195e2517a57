/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of least relative error. */
#include "bench/base/fit.h"

#include <math.h>

/* Least squares with weights 1/y^2: each error counts relative to its point. */
static void draw_line(const struct thaw_fit_point *points, size_t count, struct thaw_fit *out)
{
	double sum = 0, x_sum = 0, y_sum = 0, xx = 0, xy = 0, below;

	for (size_t i = 0; i < count; i++) {
		double weight = 1 / (points[i].y * points[i].y);

		sum += weight;
		x_sum += weight * points[i].x;
		y_sum += weight * points[i].y;
		xx += weight * points[i].x * points[i].x;
		xy += weight * points[i].x * points[i].y;
	}
	below = sum * xx - x_sum * x_sum;
	out->slope = below > 0 ? (sum * xy - x_sum * y_sum) / below : 0;
	out->constant = (y_sum - out->slope * x_sum) / sum;
	out->worst = 0;
	for (size_t i = 0; i < count; i++) {
		double error =
			fabs(out->constant + out->slope * points[i].x - points[i].y) / points[i].y;

		out->worst = error > out->worst ? error : out->worst;
	}
}

static double spread_of(const struct thaw_fit_point *points, size_t count)
{
	double least = points[0].y, most = points[0].y;

	for (size_t i = 1; i < count; i++) {
		least = fmin(least, points[i].y);
		most = fmax(most, points[i].y);
	}
	return (most - least) / least;
}

/* Finds the longest initial part that is on a line. Two points always are, and say nothing. */
static void find_bend(const struct thaw_fit_point *points, size_t count, struct thaw_fit *out)
{
	for (size_t length = count - 1; length > 2; length--) {
		draw_line(points, length, out);
		if (out->worst <= THAW_FIT_LINEAR) {
			out->bend = points[length - 1].x;
			return;
		}
	}
	draw_line(points, 2, out);
	out->bend = points[1].x;
}

void thaw_fit(const struct thaw_fit_point *points, size_t count, struct thaw_fit *out)
{
	*out = (struct thaw_fit){0};
	if (count < 3)
		return;
	out->spread = spread_of(points, count);
	draw_line(points, count, out);
	if (out->spread <= THAW_FIT_CONSTANT) {
		out->growth = THAW_GROWTH_CONSTANT;
	} else if (out->worst <= THAW_FIT_LINEAR) {
		out->growth = THAW_GROWTH_LINEAR;
	} else {
		find_bend(points, count, out);
		out->growth = THAW_GROWTH_BENT;
	}
}

const char *thaw_growth_name(enum thaw_growth growth)
{
	static const char *const names[] = {"unknown", "constant", "linear", "bent"};

	return names[growth];
}
