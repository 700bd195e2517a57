/* SPDX-License-Identifier: Apache-2.0 */
/* A burst, then a rate, whatever the clock does. */
#include <criterion/criterion.h>

#include "pool/common/rate_limit.h"

#define SECOND UINT64_C(1000000000)

static struct thaw_rate_limit limit;

static unsigned allowed_of(unsigned tries, uint64_t now_ns)
{
	unsigned allowed = 0;

	for (unsigned i = 0; i < tries; i++)
		allowed += thaw_rate_limit_allow(&limit, now_ns);
	return allowed;
}

static void setup(void)
{
	thaw_rate_limit_init(&limit, 200, 100, SECOND);
}

TestSuite(rate_limit, .init = setup);

Test(rate_limit, a_burst_and_no_more)
{
	cr_assert_eq(allowed_of(1000, SECOND), 200);
	cr_assert_eq(thaw_rate_limit_take_dropped(&limit), 800);
	cr_assert_eq(thaw_rate_limit_take_dropped(&limit), 0);
}

Test(rate_limit, the_rate_in_small_steps_is_the_rate)
{
	unsigned allowed = 0;

	allowed_of(200, SECOND);
	/* Steps shorter than a token: none may be lost to rounding. */
	for (uint64_t now = SECOND; now <= 11 * SECOND; now += 3333333)
		allowed += allowed_of(5, now);
	cr_assert_geq(allowed, 999);
	cr_assert_leq(allowed, 1000);
}

Test(rate_limit, a_long_pause_gives_one_burst)
{
	allowed_of(200, SECOND);
	cr_assert_eq(allowed_of(1000, 1000000 * SECOND), 200);
}

Test(rate_limit, a_clock_that_goes_back_gives_nothing)
{
	allowed_of(200, SECOND);
	cr_assert_eq(allowed_of(10, 0), 0);
	cr_assert_eq(allowed_of(10, SECOND + SECOND / 100), 1);
}
