/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's clock: what a request carries so that its instance can tell the time from the TSC,
 * without an exit. */
#ifndef THAW_GUEST_CLOCK_H
#define THAW_GUEST_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest-stub/include/thaw/abi.h"

/* A moment on both clocks: the TSC, and CLOCK_MONOTONIC in nanoseconds. */
struct thaw_tsc_point {
	uint64_t tsc, monotonic_ns;
};

/* The host's TSC against its CLOCK_MONOTONIC. Initialise it once, then sample from any thread;
 * there is nothing to free. */
struct thaw_tsc {
	bool usable;	/* constant: the host's own clock is a TSC that keeps its rate */
	uint32_t shift; /* fixed with the first rate, before `mult` is other than 0 */
	/* Read by every sample, written by a refresh. Each stands alone, so they need no order
	 * between them, except for the first rate. */
	_Atomic uint32_t mult;		/* 0: not measured yet */
	_Atomic int64_t wall_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	_Atomic uint64_t refresh_at_ns;
	/* Held by the thread that refreshes or measures the first rate; a refresh only tries.
	 * Guards what follows. */
	atomic_flag refreshing;
	bool doubted;			    /* the latest rate was implausible */
	struct thaw_tsc_point older, newer; /* where the baseline begins, and where the next will */
	struct thaw_tsc_point last;	    /* the refresh before */
	uint64_t start_width;		    /* how uncertain the point of init is, in ticks */
};

/* Whether the host's clock is a TSC that keeps its rate. The first call reads files below /sys and
 * /proc, so it must come before a jail hides them: thaw_jail_enter() makes it. Any thread. */
bool thaw_tsc_trusted(void);

/*
 * Notes the moment from which on the TSC's rate is measured, where the TSC is trusted. The rate is
 * measured by thaw_tsc_settle() or by the first sample. That sample spins until a millisecond has
 * passed since init (at most 10 ms), and begins the measurement anew when 8 seconds have passed.
 *
 * The rate's error, against the mean rate of CLOCK_MONOTONIC while it was measured, is at first at
 * most 250 ppm and typically 30; 10 ms later at most 60 and typically 5; after a second below 0.1.
 * While NTP slews that clock, the error is as much again, for up to 16 seconds. A guest's clock is
 * right at the beginning of each request, and then off by the rate's error times the length of the
 * invocation: typically a tenth of a microsecond after a second.
 */
void thaw_tsc_init(struct thaw_tsc *tsc);

/* Measures the rate if a millisecond has passed since init, so that the first sample need not. To
 * be called when other work has taken that long. Any thread. */
void thaw_tsc_settle(struct thaw_tsc *tsc);

/* Fills OUT for a request that is about to be handed over. Lock-free after the first call; any
 * thread. Where the host's clock is not the TSC, OUT->mult is 0 and the times are those of this
 * moment. */
void thaw_tsc_sample(struct thaw_tsc *tsc, struct thaw_clock *out);

/* Takes a measurement into account: NOW, uncertain by WIDTH ticks. A refresh does this; declared
 * for tests. One thread at a time. */
void thaw_tsc_observe(struct thaw_tsc *tsc, struct thaw_tsc_point now, uint64_t width);

#endif
