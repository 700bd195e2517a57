/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ticks: a guest that has several threads, or an armed timer, asks for them in its mailbox, and is then
 * interrupted at most every THAW_TICK_NS. This header decides when; how a tick gets to the guest is
 * each backend's. The guest's word is only a wish, and hostile code may change it all the time: the
 * host never looks at it again sooner than after THAW_TICK_NS.
 */
#ifndef THAW_TICK_H
#define THAW_TICK_H

#include <stdbool.h>

#include "guest-stub/include/thaw/abi.h"

/* Two threads that wait for each other in loops change places at this rate. A tick costs 10 to 20 us,
 * so 0.2 to 0.4 % of the time. */
#define THAW_TICK_NS 5000000u

/* From when on the guest wants ticks, on CLOCK_MONOTONIC; 0: it wants none. Sequentially consistent:
 * a process clone stores its wish and then looks how the host sleeps; the host says that it sleeps and
 * then reads this. */
static inline uint64_t thaw_tick_wish(const struct thaw_mailbox *mailbox)
{
	return __atomic_load_n(&mailbox->tick_ns, __ATOMIC_SEQ_CST);
}

/* The earliest time from NOW_NS on at which a guest with this wish may be ticked; 0: it wants none. */
static inline uint64_t thaw_tick_next(uint64_t wish_ns, uint64_t now_ns)
{
	uint64_t soonest_ns = now_ns + THAW_TICK_NS;

	return wish_ns && wish_ns < soonest_ns ? soonest_ns : wish_ns;
}

/* Whether to tick a guest with this wish at NOW_NS. *AT_NS is the earliest time for its next tick (0:
 * it wanted none when this was last asked), and is brought up to date. */
static inline bool thaw_tick_is_due(uint64_t wish_ns, uint64_t *at_ns, uint64_t now_ns)
{
	uint64_t next_ns = thaw_tick_next(wish_ns, now_ns);

	if (!*at_ns || next_ns < *at_ns)
		*at_ns = next_ns;
	if (!*at_ns || now_ns < *at_ns)
		return false;
	*at_ns = next_ns;
	return now_ns >= wish_ns;
}

#endif
