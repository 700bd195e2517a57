/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket that is refilled when it is asked, in whole tokens: the rest of the time stays
 * credited, so rounding loses none. */
#include "pool/common/rate_limit.h"
#include "snapshot-format/base/clock.h"

void thaw_rate_limit_init(struct thaw_rate_limit *limit, uint64_t burst, uint64_t per_second,
			  uint64_t now_ns)
{
	*limit = (struct thaw_rate_limit){
		.burst = burst,
		.interval_ns = THAW_NS_PER_SEC / per_second,
		.tokens = burst,
		.refilled_ns = now_ns,
	};
}

static void refill(struct thaw_rate_limit *limit, uint64_t now_ns)
{
	uint64_t earned;

	if (now_ns <= limit->refilled_ns)
		return;
	earned = (now_ns - limit->refilled_ns) / limit->interval_ns;
	limit->refilled_ns += earned * limit->interval_ns;
	/* A full bucket earns nothing more. */
	limit->tokens =
		earned >= limit->burst - limit->tokens ? limit->burst : limit->tokens + earned;
}

bool thaw_rate_limit_allow(struct thaw_rate_limit *limit, uint64_t now_ns)
{
	refill(limit, now_ns);
	if (limit->tokens == 0) {
		limit->dropped++;
		return false;
	}
	limit->tokens--;
	return true;
}

uint64_t thaw_rate_limit_take_dropped(struct thaw_rate_limit *limit)
{
	uint64_t dropped = limit->dropped;

	limit->dropped = 0;
	return dropped;
}
