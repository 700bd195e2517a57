/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relates the TSC to CLOCK_MONOTONIC; see guest_clock.h. A sample reads both, which takes tens of
 * nanoseconds by the kernel's vDSO. The rate between them is measured over the longest baseline
 * there is, up to 16 seconds, so that it becomes exact and still follows a clock that is being
 * slewed.
 */
#include "engine/host/guest_clock.h"

#include <cpuid.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "snapshot-format/base/clock.h"

#define CLOCKSOURCE   "/sys/devices/system/clocksource/clocksource0/current_clocksource"

#define REFRESH_NS    UINT64_C(10000000) /* how old the rate and the wall clock's offset may get */
#define BASELINE_NS   (8 * THAW_NS_PER_SEC) /* the rate is measured over this to twice this */
#define WINDOW_MIN_NS UINT64_C(1000000)	    /* for the first measurement of the rate */
#define WINDOW_MAX_NS UINT64_C(10000000)
#define TRIES	      4		 /* for a sample that was not interrupted */
#define NARROW_TICKS  4000u	 /* a sample that took longer was interrupted: about 1 us */
#define MULT_MIN      (1u << 30) /* of the first measurement; leaves room for a faster clock */
#define RATE_JUMP     10	 /* bits: a rate that differs by 2^-10 is no slewed one */
#define TOO_UNCERTAIN 14	 /* bits: a baseline serves if the width is below 2^-14 */

/* Reads both clocks at one moment, within the width in ticks that is returned. The kernel fences
 * its own read of the TSC, so the two reads here are before and after it without a fence. */
static uint64_t read_both(struct thaw_tsc_point *point)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < TRIES && best > NARROW_TICKS; i++) {
		uint64_t before = __rdtsc(), monotonic = thaw_clock_ns(CLOCK_MONOTONIC);
		uint64_t width = __rdtsc() - before;

		if (width < best) {
			best = width;
			*point = (struct thaw_tsc_point){before + width / 2, monotonic};
		}
	}
	return best;
}

static bool clocksource_is_tsc(void)
{
	char name[32] = "";
	FILE *file = fopen(CLOCKSOURCE, "re");

	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	return strcmp(name, "tsc\n") == 0;
}

/* Whether the TSC ticks at one rate, whatever the processor's frequency and sleep states. */
static bool tsc_is_invariant(void)
{
	unsigned eax, ebx, ecx, edx;

	return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
}

/* `tsc=reliable` on the kernel's command line: the administrator knows that the TSC is as good,
 * though the processor does not say so. Emulated processors do not. */
static bool tsc_is_vouched_for(void)
{
	char line[4096] = "";
	FILE *file = fopen("/proc/cmdline", "re");
	bool found = false;

	if (!file)
		return false;
	if (fgets(line, sizeof(line), file))
		for (char *rest, *word = strtok_r(line, " \n", &rest); word && !found;
		     word = strtok_r(NULL, " \n", &rest))
			found = strcmp(word, "tsc=reliable") == 0;
	fclose(file);
	return found;
}

static bool trusted;

static void look(void)
{
	trusted = clocksource_is_tsc() && (tsc_is_invariant() || tsc_is_vouched_for());
}

bool thaw_tsc_trusted(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, look);
	return trusted;
}

static unsigned __int128 rate(const struct thaw_tsc_point *from, const struct thaw_tsc_point *to,
			      uint32_t shift)
{
	return ((unsigned __int128)(to->monotonic_ns - from->monotonic_ns) << shift) /
	       (to->tsc - from->tsc);
}

static void note_start(struct thaw_tsc *tsc)
{
	tsc->start_width = read_both(&tsc->older);
	tsc->newer = tsc->last = tsc->older;
}

static bool long_enough(const struct thaw_tsc *tsc, const struct thaw_tsc_point *now,
			uint64_t width)
{
	uint64_t elapsed = now->monotonic_ns - tsc->older.monotonic_ns;

	return (elapsed >= WINDOW_MIN_NS &&
		(tsc->start_width + width) << 12 <= now->tsc - tsc->older.tsc) ||
	       elapsed >= WINDOW_MAX_NS;
}

/* Measures the first rate, and the shift that gives its multiplier 31 bits. When it is too early,
 * spins with WAIT and does nothing without. */
static void measure_rate(struct thaw_tsc *tsc, bool wait)
{
	struct thaw_tsc_point now = {0};
	uint64_t width = read_both(&now);
	unsigned __int128 mult;

	/* In so long a time the host may have slept, and one of the clocks with it. */
	if (now.tsc <= tsc->older.tsc || now.monotonic_ns - tsc->older.monotonic_ns > BASELINE_NS) {
		note_start(tsc);
		now = tsc->older;
	}
	while (!long_enough(tsc, &now, width)) {
		if (!wait)
			return;
		width = read_both(&now);
	}
	for (tsc->shift = 62;
	     (mult = rate(&tsc->older, &now, tsc->shift)) >= 2 * (uint64_t)MULT_MIN; tsc->shift--)
		;
	/* Release: a thread that sees the multiplier sees the shift. */
	atomic_store_explicit(&tsc->mult, (uint32_t)mult, memory_order_release);
}

static void need_rate(struct thaw_tsc *tsc, bool wait)
{
	if (atomic_load_explicit(&tsc->mult, memory_order_acquire))
		return;
	while (atomic_flag_test_and_set_explicit(&tsc->refreshing, memory_order_acquire))
		sched_yield();
	if (!atomic_load_explicit(&tsc->mult, memory_order_relaxed))
		measure_rate(tsc, wait);
	atomic_flag_clear_explicit(&tsc->refreshing, memory_order_release);
}

/* Stores the wall clock's offset, measured between two reads of the other clock. */
static void refresh_wall(struct thaw_tsc *tsc)
{
	uint64_t before = thaw_clock_ns(CLOCK_MONOTONIC), wall = thaw_clock_ns(CLOCK_REALTIME);
	uint64_t after = thaw_clock_ns(CLOCK_MONOTONIC);

	atomic_store_explicit(&tsc->wall_offset_ns, (int64_t)(wall - before - (after - before) / 2),
			      memory_order_relaxed);
	atomic_store_explicit(&tsc->refresh_at_ns, after + REFRESH_NS, memory_order_relaxed);
}

void thaw_tsc_init(struct thaw_tsc *tsc)
{
	memset(tsc, 0, sizeof(*tsc));
	atomic_flag_clear(&tsc->refreshing);
	tsc->usable = thaw_tsc_trusted();
	if (tsc->usable)
		note_start(tsc);
	refresh_wall(tsc);
}

void thaw_tsc_settle(struct thaw_tsc *tsc)
{
	if (tsc->usable)
		need_rate(tsc, false);
}

static void restart_baseline(struct thaw_tsc *tsc, struct thaw_tsc_point now)
{
	tsc->older = tsc->newer = tsc->last = now;
}

static bool is_out_of_line(unsigned __int128 measured, uint32_t mult)
{
	uint32_t tolerance = mult >> RATE_JUMP;

	return measured > (uint64_t)mult + tolerance || measured < mult - tolerance;
}

void thaw_tsc_observe(struct thaw_tsc *tsc, struct thaw_tsc_point now, uint64_t width)
{
	unsigned __int128 latest;

	if (now.tsc <= tsc->last.tsc || now.monotonic_ns <= tsc->last.monotonic_ns) {
		restart_baseline(tsc, now);
		return;
	}
	if (width > (now.tsc - tsc->last.tsc) >> TOO_UNCERTAIN)
		return;
	/* A jump of one clock (the host slept, or was migrated) spoils one interval; a new rate
	 * spoils every one. So the second implausible rate in a row is believed. */
	latest = rate(&tsc->last, &now, tsc->shift);
	if (latest > UINT32_MAX ||
	    (!tsc->doubted &&
	     is_out_of_line(latest, atomic_load_explicit(&tsc->mult, memory_order_relaxed)))) {
		tsc->doubted = true;
		restart_baseline(tsc, now);
		return;
	}
	tsc->doubted = false;
	tsc->last = now;
	atomic_store_explicit(&tsc->mult, (uint32_t)rate(&tsc->older, &now, tsc->shift),
			      memory_order_relaxed);
	if (now.monotonic_ns - tsc->newer.monotonic_ns >= BASELINE_NS) {
		tsc->older = tsc->newer;
		tsc->newer = now;
	}
}

static bool is_due(struct thaw_tsc *tsc, const struct thaw_tsc_point *now)
{
	return now->monotonic_ns >= atomic_load_explicit(&tsc->refresh_at_ns, memory_order_relaxed);
}

/* One thread refreshes; the others go on with the values there are. */
static void refresh(struct thaw_tsc *tsc, struct thaw_tsc_point now, uint64_t width)
{
	/* Acquire and release hand the baseline from one refreshing thread to the next. */
	if (atomic_flag_test_and_set_explicit(&tsc->refreshing, memory_order_acquire))
		return;
	/* Asked again: another thread may have refreshed in between, and NOW would be the older
	 * moment. */
	if (is_due(tsc, &now)) {
		if (tsc->usable)
			thaw_tsc_observe(tsc, now, width);
		refresh_wall(tsc);
	}
	atomic_flag_clear_explicit(&tsc->refreshing, memory_order_release);
}

void thaw_tsc_sample(struct thaw_tsc *tsc, struct thaw_clock *out)
{
	struct thaw_tsc_point now = {0};
	uint64_t width = 0;

	/* Only guests that read the TSC need both clocks. */
	if (tsc->usable) {
		need_rate(tsc, true);
		width = read_both(&now);
	} else {
		now.monotonic_ns = thaw_clock_ns(CLOCK_MONOTONIC);
	}
	if (is_due(tsc, &now))
		refresh(tsc, now, width);
	*out = (struct thaw_clock){
		.tsc_base = now.tsc,
		.monotonic_ns = now.monotonic_ns,
		.wall_ns = now.monotonic_ns + (uint64_t)atomic_load_explicit(&tsc->wall_offset_ns,
									     memory_order_relaxed),
		.mult = atomic_load_explicit(&tsc->mult, memory_order_relaxed),
		.shift = tsc->shift,
	};
}
