/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time without an exit, from the TSC and the parameters that came with the request, or during a
 * boot with the boot. Each call reads the parameters anew, because they differ from clone to clone.
 */
#include "guest-stub/core/core.h"

static uint64_t read_tsc(void)
{
	uint32_t low, high;

	/* The fence keeps the processor from reading the counter before the code to be timed. */
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

/* Nanoseconds since the host took the parameters. */
static uint64_t since_base(const volatile struct thaw_clock *clock)
{
	uint64_t now = read_tsc(), base = clock->tsc_base;

	/* The base may come from a core whose counter is slightly ahead: never return an earlier
	 * time. */
	if (now < base)
		return 0;
	return (uint64_t)((__extension__(unsigned __int128)(now - base) * clock->mult) >>
			  clock->shift);
}

uint64_t thaw_wall_ns(void)
{
	const volatile struct thaw_clock *clock = &thaw_core_mailbox()->request.clock;
	struct thaw_shim_clock now;

	if (clock->mult != 0)
		return clock->wall_ns + since_base(clock);
	thaw_core_gate(THAW_SHIM_CALL_clock, &now);
	return now.wall_ns;
}

uint64_t thaw_monotonic_ns(void)
{
	const volatile struct thaw_clock *clock = &thaw_core_mailbox()->request.clock;
	struct thaw_shim_clock now;

	if (clock->mult != 0)
		return clock->monotonic_ns + since_base(clock);
	thaw_core_gate(THAW_SHIM_CALL_clock, &now);
	return now.monotonic_ns;
}
