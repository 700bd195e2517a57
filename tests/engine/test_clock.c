/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's clock. A test compares a converted time with readings of the host's clock before and
 * after it, so a test thread that is held up widens its own bracket and does not fail.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#include "engine/host/guest_clock.h"

#define NS_PER_S UINT64_C(1000000000)

static uint64_t host_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The computation that abi.h prescribes for guests. */
static uint64_t since_base(const struct thaw_clock *clock, uint64_t tsc)
{
	return (uint64_t)((unsigned __int128)(tsc - clock->tsc_base) * clock->mult >> clock->shift);
}

static uint64_t distance(uint64_t value, uint64_t low, uint64_t high)
{
	if (value < low)
		return low - value;
	return value > high ? value - high : 0;
}

static void init(struct thaw_tsc *tsc)
{
	thaw_tsc_init(tsc);
	if (!tsc->usable)
		cr_skip("the clock of this host is not an invariant TSC");
}

static void sleep_ms(unsigned ms)
{
	const struct timespec duration = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&duration, NULL);
}

/* How far off a guest with CLOCK would be now. */
static uint64_t error_now(const struct thaw_clock *clock, clockid_t host, uint64_t base)
{
	uint64_t before = host_clock(host), tsc, after;

	_mm_lfence();
	tsc = __rdtsc();
	_mm_lfence();
	after = host_clock(host);
	return distance(base + since_base(clock, tsc), before, after);
}

Test(clock, a_guest_keeps_the_hosts_time)
{
	struct thaw_clock clock;
	struct thaw_tsc tsc;

	init(&tsc);
	thaw_tsc_sample(&tsc, &clock);
	cr_assert_neq(clock.mult, 0);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t monotonic = error_now(&clock, CLOCK_MONOTONIC, clock.monotonic_ns);
		uint64_t wall = error_now(&clock, CLOCK_REALTIME, clock.wall_ns);

		/* 250 ppm of 200 ms, and as much again for a clock that is slewed; the rest is for
		 * a sample that was interrupted. */
		cr_assert_lt(monotonic, 150000, "off by %lu ns", monotonic);
		cr_assert_lt(wall, 1000000, "off by %lu ns", wall);
		sleep_ms(10);
	}
}

Test(clock, the_rate_gets_better_with_time)
{
	struct thaw_clock clock;
	struct thaw_tsc tsc;
	uint64_t off;

	init(&tsc);
	for (unsigned i = 0; i < 30; i++) {
		sleep_ms(15);
		thaw_tsc_sample(&tsc, &clock);
	}
	sleep_ms(200);
	off = error_now(&clock, CLOCK_MONOTONIC, clock.monotonic_ns);
	cr_expect_lt(off, 120000, "off by %lu ns", off);
}

Test(clock, a_host_without_tsc_says_so_and_still_tells_the_time)
{
	struct thaw_clock clock;
	struct thaw_tsc tsc;
	uint64_t before, after;

	thaw_tsc_init(&tsc);
	tsc.usable = false;
	atomic_store(&tsc.mult, 0);
	sleep_ms(12); /* a refresh is due, and must not bring the rate back */
	before = host_clock(CLOCK_MONOTONIC);
	thaw_tsc_sample(&tsc, &clock);
	after = host_clock(CLOCK_MONOTONIC);
	cr_expect_eq(clock.mult, 0);
	cr_expect_eq(distance(clock.monotonic_ns, before, after), 0);
	cr_expect_lt(
		distance(clock.wall_ns, host_clock(CLOCK_REALTIME), host_clock(CLOCK_REALTIME)),
		NS_PER_S);
}

Test(clock, the_rate_is_measured_while_other_work_is_done)
{
	struct thaw_clock clock;
	struct thaw_tsc tsc;
	uint64_t before;

	init(&tsc);
	cr_expect_eq(tsc.mult, 0, "init does not wait");
	sleep_ms(12);
	thaw_tsc_settle(&tsc);
	cr_expect_neq(tsc.mult, 0);
	before = host_clock(CLOCK_MONOTONIC);
	thaw_tsc_sample(&tsc, &clock);
	cr_expect_eq(clock.mult, tsc.mult);
	sleep_ms(20);
	cr_expect_lt(error_now(&clock, CLOCK_MONOTONIC, clock.monotonic_ns),
		     (host_clock(CLOCK_MONOTONIC) - before) / 4000);
}

Test(clock, a_start_that_is_no_use_is_replaced)
{
	struct thaw_clock clock;
	struct thaw_tsc tsc;

	init(&tsc);
	tsc.older.tsc += UINT64_C(1) << 60; /* as if the TSC had been reset since */
	thaw_tsc_settle(&tsc);
	cr_expect_eq(tsc.mult, 0);
	thaw_tsc_sample(&tsc, &clock);
	sleep_ms(20);
	cr_expect_lt(error_now(&clock, CLOCK_MONOTONIC, clock.monotonic_ns), 20000);

	init(&tsc);
	tsc.older.monotonic_ns -= 3600 * NS_PER_S; /* as if the host had slept */
	thaw_tsc_sample(&tsc, &clock);
	sleep_ms(20);
	cr_expect_lt(error_now(&clock, CLOCK_MONOTONIC, clock.monotonic_ns), 20000);
}

/* ---- Many threads ---- */

#define THREADS 6
#define SAMPLES 20000

struct sampler {
	struct thaw_tsc *tsc;
	struct thaw_clock last;
	uint64_t worst_ns; /* by which a sample was outside of its bracket */
	uint32_t lowest, highest;
};

static void *run_sampler(void *context)
{
	struct sampler *sampler = context;

	sampler->lowest = UINT32_MAX;
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t before = host_clock(CLOCK_MONOTONIC), off;

		thaw_tsc_sample(sampler->tsc, &sampler->last);
		off = distance(sampler->last.monotonic_ns, before, host_clock(CLOCK_MONOTONIC));
		if (off > sampler->worst_ns)
			sampler->worst_ns = off;
		if (sampler->last.mult < sampler->lowest)
			sampler->lowest = sampler->last.mult;
		if (sampler->last.mult > sampler->highest)
			sampler->highest = sampler->last.mult;
	}
	return NULL;
}

Test(clock, all_threads_agree)
{
	struct sampler samplers[THREADS] = {0};
	pthread_t threads[THREADS];
	struct thaw_tsc tsc;
	uint64_t later, low = UINT64_MAX, high = 0;

	init(&tsc);
	for (size_t i = 0; i < THREADS; i++) {
		samplers[i].tsc = &tsc;
		cr_assert_eq(pthread_create(&threads[i], NULL, run_sampler, &samplers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	later = __rdtsc();
	for (size_t i = 0; i < THREADS; i++) {
		uint64_t now = samplers[i].last.monotonic_ns + since_base(&samplers[i].last, later);

		cr_expect_eq(samplers[i].worst_ns, 0, "a time from outside of the call: %lu ns",
			     samplers[i].worst_ns);
		cr_expect_lt(samplers[i].highest - samplers[i].lowest, samplers[i].lowest / 1000);
		low = now < low ? now : low;
		high = now > high ? now : high;
	}
	cr_expect_lt(high - low, 500000, "the threads' times are %lu ns apart", high - low);
}

/* ---- The rate, on an invented clock ---- */

#define SHIFT 32u

/* Starts at a rate that is GUESS ppm off. */
static struct thaw_tsc made_up(double ghz, double guess_ppm)
{
	const struct thaw_tsc_point start = {.tsc = 1000000, .monotonic_ns = 5000000};

	return (struct thaw_tsc){
		.usable = true,
		.shift = SHIFT,
		.mult = (uint32_t)((double)(UINT64_C(1) << SHIFT) / ghz * (1 + guess_ppm / 1e6)),
		.older = start,
		.last = start,
		.newer = start};
}

static struct thaw_tsc_point later(struct thaw_tsc_point from, uint64_t ns, double ghz)
{
	return (struct thaw_tsc_point){from.tsc + (uint64_t)((double)ns * ghz),
				       from.monotonic_ns + ns};
}

static double ppm_off(const struct thaw_tsc *tsc, double ghz)
{
	double off = (double)tsc->mult / ((double)(UINT64_C(1) << SHIFT) / ghz) - 1;

	return (off < 0 ? -off : off) * 1e6;
}

/* Refreshes every 10 ms for SECONDS; returns the last moment. */
static struct thaw_tsc_point pass(struct thaw_tsc *tsc, struct thaw_tsc_point now, double seconds,
				  double ghz)
{
	for (unsigned i = 0; i < (unsigned)(seconds * 100); i++) {
		now = later(now, 10000000, ghz);
		thaw_tsc_observe(tsc, now, 100);
	}
	return now;
}

Test(clock, a_poor_first_guess_is_mended)
{
	struct thaw_tsc tsc = made_up(2.7, 250);

	cr_assert_gt(ppm_off(&tsc, 2.7), 200);
	pass(&tsc, tsc.older, 0.01, 2.7);
	cr_expect_lt(ppm_off(&tsc, 2.7), 0.01, "%f ppm", ppm_off(&tsc, 2.7));
}

Test(clock, a_slewed_clock_is_followed)
{
	struct thaw_tsc tsc = made_up(2.0, 0);
	struct thaw_tsc_point now = pass(&tsc, tsc.older, 40, 2.0);

	now = pass(&tsc, now, 17, 2.0 * 1.0005);
	cr_expect_lt(ppm_off(&tsc, 2.0 * 1.0005), 1, "%f ppm", ppm_off(&tsc, 2.0 * 1.0005));
}

Test(clock, an_uncertain_sample_is_not_believed)
{
	struct thaw_tsc tsc = made_up(3.0, 0);
	struct thaw_tsc_point torn = later(tsc.older, 10000000, 3.0);

	torn.tsc += 20000;
	thaw_tsc_observe(&tsc, torn, 40000);
	cr_expect_lt(ppm_off(&tsc, 3.0), 0.01);
}

Test(clock, a_host_that_slept_keeps_its_rate)
{
	struct thaw_tsc tsc = made_up(3.0, 0);
	struct thaw_tsc_point now = pass(&tsc, tsc.older, 20, 3.0);

	now.tsc += UINT64_C(3600) * 3000000000u; /* the TSC went on, the clock did not */
	now = pass(&tsc, now, 0.5, 3.0);
	cr_expect_lt(ppm_off(&tsc, 3.0), 0.01);
	now.tsc = 1000; /* or the TSC was reset */
	pass(&tsc, now, 0.5, 3.0);
	cr_expect_lt(ppm_off(&tsc, 3.0), 0.01);
}

Test(clock, a_host_that_moved_gets_its_new_rate)
{
	struct thaw_tsc tsc = made_up(3.0, 0);
	struct thaw_tsc_point now = pass(&tsc, tsc.older, 20, 3.0);

	pass(&tsc, now, 0.5, 2.2);
	cr_expect_lt(ppm_off(&tsc, 2.2), 0.01, "%f ppm", ppm_off(&tsc, 2.2));
}

Test(clock, an_impossible_rate_is_never_stored)
{
	struct thaw_tsc tsc = made_up(3.0, 0);
	uint32_t mult = tsc.mult;
	struct thaw_tsc_point now = pass(&tsc, tsc.older, 1, 0.1);

	cr_expect_eq(tsc.mult, mult, "a multiplier that has no room");
	thaw_tsc_observe(&tsc, now, 0); /* no time has passed */
	cr_expect_eq(tsc.mult, mult);
}
