/* SPDX-License-Identifier: Apache-2.0 */
/* The fit names every kind of growth. */
#include <criterion/criterion.h>
#include <math.h>

#include "bench/base/fit.h"

static struct thaw_fit fit(double (*y)(double), size_t count)
{
	static const double xs[] = {1, 3, 10, 30, 100, 300, 1000, 3000, 10000};
	struct thaw_fit_point points[9];
	struct thaw_fit out;

	for (size_t i = 0; i < count; i++)
		points[i] = (struct thaw_fit_point){xs[i], y(xs[i])};
	thaw_fit(points, count, &out);
	return out;
}

/* Noise that depends on X alone. */
static double noise(double x)
{
	return 1 + 0.05 * sin(x * 12.9898);
}

static double constant(double x)
{
	return 300000 * noise(x);
}

static double linear(double x)
{
	return (50000 + 700 * x) * noise(x);
}

static double square(double x)
{
	return 1000 + x * x;
}

static double bent_at_hundred(double x)
{
	return x <= 100 ? 1000 + 10 * x : 2000 + 100 * (x - 100);
}

static double step(double x)
{
	return x < 1000 ? 500 : 5000;
}

Test(fit, a_constant)
{
	struct thaw_fit found = fit(constant, 9);

	cr_assert_eq(found.growth, THAW_GROWTH_CONSTANT);
	cr_assert_lt(found.spread, 0.11);
}

Test(fit, a_line_small_points_and_large)
{
	struct thaw_fit found = fit(linear, 9);

	cr_assert_eq(found.growth, THAW_GROWTH_LINEAR);
	cr_assert_float_eq(found.constant, 50000, 5000);
	cr_assert_float_eq(found.slope, 700, 70);
}

Test(fit, where_it_bends)
{
	struct thaw_fit found = fit(bent_at_hundred, 9);

	cr_assert_eq(found.growth, THAW_GROWTH_BENT);
	cr_assert_float_eq(found.bend, 100, 0.5);
	cr_assert_float_eq(found.slope, 10, 0.5);
	found = fit(step, 9);
	cr_assert_eq(found.growth, THAW_GROWTH_BENT);
	cr_assert_float_eq(found.bend, 300, 0.5);
}

Test(fit, what_is_no_line_is_not_called_one)
{
	cr_assert_eq(fit(square, 9).growth, THAW_GROWTH_BENT);
}

Test(fit, two_points_say_nothing)
{
	cr_assert_eq(fit(linear, 2).growth, THAW_GROWTH_UNKNOWN);
	cr_assert_eq(fit(linear, 0).growth, THAW_GROWTH_UNKNOWN);
	cr_assert_str_eq(thaw_growth_name(THAW_GROWTH_UNKNOWN), "unknown");
	cr_assert_str_eq(thaw_growth_name(THAW_GROWTH_BENT), "bent");
}
