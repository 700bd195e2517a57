/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's clock: what a request carries so that its instance tells the time from the TSC,
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

/* The host's TSC against its CLOCK_MONOTONIC. Initialise once, then sample from any thread; nothing
 * to free. */
struct thaw_tsc {
	bool usable;	/* the host's own clock is a TSC that keeps its rate */
	uint32_t shift; /* fixed with the first rate, before `mult` is other than 0 */
	/* Read by every sample, written by a refresh. Each stands alone, so no order between them
	 * is needed, but for the first rate. */
	_Atomic uint32_t mult;		/* 0: not measured yet */
	_Atomic int64_t wall_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	_Atomic uint64_t refresh_at_ns;
	/* Belongs to the thread that refreshes, or measures the first rate. */
	atomic_flag refreshing;
	bool doubted;			    /* the latest rate was out of line */
	struct thaw_tsc_point older, newer; /* where the baseline begins, and where the next will */
	struct thaw_tsc_point last;	    /* the refresh before */
	uint64_t start_width;		    /* how uncertain the point of init is, in ticks */
};

/* Whether the host's clock is a TSC that keeps its rate. Reads files below /sys and /proc the first
 * time, so that has to be before a jail hides them: thaw_jail_enter() sees to it. Any thread. */
bool thaw_tsc_trusted(void);

/*
 * Notes the moment from which on the TSC's rate is measured, where it is trusted. It is measured by
 * thaw_tsc_settle() or by the first sample, which is busy until a millisecond has passed since init
 * (at most 10), and starts anew where 8 seconds have.
 *
 * The rate's error, as against the mean rate of CLOCK_MONOTONIC while it was measured: at first at
 * most 250 ppm and typically 30; 10 ms later at most 60 and typically 5; below 0.1 after a
 * second. Where something (NTP) slews that clock, as much again for up to 16 seconds. A guest's
 * clock starts right with each request and is off by the rate's error times the length of the
 * invocation: a tenth of a microsecond for one of a second, typically.
 */
void thaw_tsc_init(struct thaw_tsc *tsc);

/* Measures the rate if a millisecond has passed since init, so that the first sample need not; for
 * when other work took as long. Any thread. */
void thaw_tsc_settle(struct thaw_tsc *tsc);

/* Fills OUT for a request that is about to be handed over. Lock-free after the first; any thread.
 * OUT->mult is 0, and the times are right at this moment, where the host's clock is not the TSC. */
void thaw_tsc_sample(struct thaw_tsc *tsc, struct thaw_clock *out);

/* What a refresh does with what it measured: NOW, uncertain by WIDTH ticks. For tests; one thread
 * at a time. */
void thaw_tsc_observe(struct thaw_tsc *tsc, struct thaw_tsc_point now, uint64_t width);

#endif
