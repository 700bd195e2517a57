/* SPDX-License-Identifier: Apache-2.0 */
/* Clients in threads, and the stream of arrivals that they share. */
#include "bench/load/load.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "bench/base/config.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/thread.h"

#define START_DELAY_NS 2000000u /* until all threads have started */

struct run {
	const struct thaw_load_subject *target;
	const struct thaw_load *load;
	uint64_t start_ns, end_ns;
	pthread_mutex_t lock;
	uint64_t next_ns, random; /* of the next arrival; guarded by the lock */
	bool failed;		  /* guarded by the lock; ERROR has the reason */
	struct thaw_error error;
};

struct client {
	struct run *run;
	void *client;
	pthread_t thread;
	struct thaw_samples latency, done; /* one of each for each answer; DONE is the time of the
					      answer */
};

uint64_t thaw_load_next_arrival(uint64_t at_ns, uint64_t rate, uint64_t *random)
{
	double uniform;

	/* Knuth's MMIX generator: its upper bits are good, and every run draws the same
	 * numbers. */
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	uniform = ((double)(*random >> 11) + 1) / 9007199254740993.0; /* (0, 1) */
	return at_ns + (uint64_t)(-log(uniform) * 1e9 / (double)rate);
}

static void fail_run(struct run *run, const struct thaw_error *error)
{
	pthread_mutex_lock(&run->lock);
	if (!run->failed)
		run->error = *error;
	run->failed = true;
	pthread_mutex_unlock(&run->lock);
}

/* The time from which the client's next request counts; 0: no more requests. */
static uint64_t next_request(struct run *run)
{
	uint64_t arrival;
	bool failed;

	pthread_mutex_lock(&run->lock);
	failed = run->failed;
	arrival = run->next_ns;
	if (run->load->rate)
		run->next_ns = thaw_load_next_arrival(arrival, run->load->rate, &run->random);
	pthread_mutex_unlock(&run->lock);
	if (failed)
		return 0;
	if (!run->load->rate)
		arrival = thaw_monotonic_ns();
	return arrival < run->end_ns ? arrival : 0;
}

static void sleep_until(uint64_t ns)
{
	struct timespec until = {(time_t)(ns / THAW_NS_PER_SEC), (long)(ns % THAW_NS_PER_SEC)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
}

static void *run_client(void *context)
{
	struct client *client = context;
	struct run *run = client->run;
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t from, now;

	/* With the default slack of 50 us, a late timer would dominate the figure. */
	prctl(PR_SET_TIMERSLACK, 1L);
	sleep_until(run->start_ns);
	while ((from = next_request(run))) {
		if (run->load->rate && from > thaw_monotonic_ns())
			sleep_until(from);
		if (run->target->call(client->client, &err)) {
			fail_run(run, &err);
			break;
		}
		now = thaw_monotonic_ns();
		if (thaw_samples_add(&client->latency, now - from, &err) ||
		    thaw_samples_add(&client->done, now, &err)) {
			fail_run(run, &err);
			break;
		}
	}
	return NULL;
}

/* The rate of answers in each window of the time. */
static int take_rates(const struct run *run, const struct client *clients,
		      struct thaw_load_result *result, struct thaw_error *err)
{
	uint64_t counts[THAW_LOAD_WINDOWS] = {0};
	uint64_t windows = run->load->duration_ns / THAW_LOAD_WINDOW_NS, window_ns;

	windows = windows < 1 ? 1 : windows > THAW_LOAD_WINDOWS ? THAW_LOAD_WINDOWS : windows;
	window_ns = run->load->duration_ns / windows;

	for (unsigned i = 0; i < run->load->clients; i++)
		for (size_t j = 0; j < clients[i].done.count; j++) {
			uint64_t window =
				(clients[i].done.values[j] - run->start_ns) / (window_ns + 1);

			if (window < windows)
				counts[window]++;
		}
	for (uint64_t i = 0; i < windows; i++)
		if (thaw_samples_add(&result->rates,
				     (uint64_t)((double)counts[i] * 1e9 / (double)(window_ns + 1)),
				     err))
			return -1;
	return 0;
}

static int take_results(const struct run *run, const struct client *clients,
			struct thaw_load_result *result, struct thaw_error *err)
{
	for (unsigned i = 0; i < run->load->clients; i++)
		for (size_t j = 0; j < clients[i].latency.count; j++)
			if (thaw_samples_add(&result->latency, clients[i].latency.values[j], err))
				return -1;
	return take_rates(run, clients, result, err);
}

static int run_clients(struct run *run, struct client *clients, struct thaw_error *err)
{
	unsigned started = 0;
	int failed = 0;

	run->start_ns = run->next_ns = thaw_monotonic_ns() + START_DELAY_NS;
	run->end_ns = run->start_ns + run->load->duration_ns;
	for (; started < run->load->clients; started++) {
		clients[started].run = run;
		if (thaw_thread_start(&clients[started].thread, NULL, run_client,
				      &clients[started])) {
			thaw_fail(&run->error, THAW_ERR_FAILURE, "cannot start %u clients",
				  run->load->clients);
			pthread_mutex_lock(&run->lock);
			run->failed = true;
			pthread_mutex_unlock(&run->lock);
			break;
		}
	}
	for (unsigned i = 0; i < started; i++)
		pthread_join(clients[i].thread, NULL);
	if (run->failed)
		failed = thaw_fail(err, run->error.kind, "%s", run->error.message);
	return failed;
}

int thaw_load_run(const struct thaw_load_subject *target, const struct thaw_load *load,
		  struct thaw_load_result *result, struct thaw_error *err)
{
	struct run run = {.target = target,
			  .load = load,
			  .lock = PTHREAD_MUTEX_INITIALIZER,
			  .random = 1,
			  .error = THAW_ERROR_INIT};
	thaw_autofree struct client *clients = calloc(load->clients, sizeof(*clients));
	unsigned opened = 0;
	int failed = 0;

	thaw_assert(load->clients >= 1 && load->clients <= THAW_BENCH_CLIENTS_MAX);
	if (!clients)
		return thaw_fail(err, THAW_ERR_FAILURE, "no memory for the clients");
	for (; !failed && opened < load->clients; opened += !failed)
		failed = target->open(target->context, opened, &clients[opened].client, err);
	if (!failed)
		failed = run_clients(&run, clients, err);
	if (!failed)
		failed = take_results(&run, clients, result, err);
	for (unsigned i = 0; i < load->clients; i++) {
		if (i < opened)
			target->close(clients[i].client);
		thaw_samples_finish(&clients[i].latency);
		thaw_samples_finish(&clients[i].done);
	}
	pthread_mutex_destroy(&run.lock);
	return failed;
}

void thaw_load_result_finish(struct thaw_load_result *result)
{
	thaw_samples_finish(&result->latency);
	thaw_samples_finish(&result->rates);
}
