/* SPDX-License-Identifier: Apache-2.0 */
/* Invocations through libthaw. */
#include "bench/function/invoke_figures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/base/pause.h"
#include "bench/function/own_daemon.h"
#include "pool/libthaw/thaw.h"
#include "snapshot-format/base/clock.h"

#define START_WAIT_NS UINT64_C(20000000000)
#define START_POLL_NS 10000000u

struct thaw_invoke {
	struct thaw_invoke_config config;
	struct thaw_bench_daemon *daemon; /* NULL: another daemon serves the function */
	struct thaw_connection *connection;
	struct thaw_invoke_told told;
};

static int client_failure(const struct thaw_client_error *failure, struct thaw_error *err)
{
	return thaw_fail(err, failure->code ? (enum thaw_error_kind)failure->code : THAW_ERR_ENGINE,
			 "%s", failure->message);
}

static int keep_told(struct thaw_invoke_told *told, const struct thaw_response *response,
		     struct thaw_error *err)
{
	if (strcmp(response->start, "pool") == 0)
		told->pool++;
	else
		told->made++;
	return thaw_samples_add(&told->run, response->run_ns, err) ||
			       thaw_samples_add(&told->worker, response->total_ns, err)
		       ? -1
		       : 0;
}

static int invoke_once(struct thaw_invoke *invoke, bool keep, uint64_t *ns, struct thaw_error *err)
{
	struct thaw_client_error failure = {0};
	struct thaw_response response = {0};
	uint64_t start = thaw_monotonic_ns();
	int failed = 0;

	if (thaw_invoke(invoke->connection, invoke->config.request, invoke->config.request_length,
			0, &response, &failure))
		return client_failure(&failure, err);
	*ns = thaw_monotonic_ns() - start;
	if (!response.ran || strcmp(response.outcome, "finished") != 0)
		failed = thaw_fail(err, THAW_ERR_ENGINE, "%s did not answer: %s: %s",
				   invoke->config.name, response.outcome, response.message);
	else if (keep)
		failed = keep_told(&invoke->told, &response, err);
	thaw_response_clear(&response);
	return failed;
}

int thaw_invoke_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	return invoke_once(context, true, ns, err);
}

int thaw_invoke_measure_untold(void *context, uint64_t *ns, struct thaw_error *err)
{
	return invoke_once(context, false, ns, err);
}

/* ---- Many clients ---- */

struct invoke_client {
	const struct thaw_invoke *invoke;
	struct thaw_connection *connection;
};

static const char *run_dir_of(const struct thaw_invoke *invoke)
{
	return invoke->daemon ? thaw_bench_daemon_run_dir(invoke->daemon) : invoke->config.run_dir;
}

int thaw_invoke_client_open(void *context, unsigned index, void **out, struct thaw_error *err)
{
	const struct thaw_invoke *invoke = context;
	struct thaw_client_error failure = {0};
	struct invoke_client *client = calloc(1, sizeof(*client));

	(void)index;
	if (!client)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make a client");
	client->invoke = invoke;
	if (thaw_connect(run_dir_of(invoke), invoke->config.name, &client->connection, &failure)) {
		free(client);
		return client_failure(&failure, err);
	}
	*out = client;
	return 0;
}

int thaw_invoke_client_call(void *context, struct thaw_error *err)
{
	const struct invoke_client *client = context;
	const struct thaw_invoke_config *config = &client->invoke->config;
	struct thaw_client_error failure = {0};
	struct thaw_response response = {0};
	int failed = 0;

	if (thaw_invoke(client->connection, config->request, config->request_length, 0, &response,
			&failure))
		return client_failure(&failure, err);
	if (!response.ran || strcmp(response.outcome, "finished") != 0)
		failed = thaw_fail(err, THAW_ERR_ENGINE, "%s did not answer: %s: %s", config->name,
				   response.outcome, response.message);
	thaw_response_clear(&response);
	return failed;
}

void thaw_invoke_client_close(void *context)
{
	struct invoke_client *client = context;

	thaw_disconnect(client->connection);
	free(client);
}

/* ---- Opening ---- */

/* A daemon needs a moment to load the image and open its socket. */
static int wait_until_served(struct thaw_invoke *invoke, struct thaw_error *err)
{
	uint64_t limit = thaw_monotonic_ns() + START_WAIT_NS, unused;
	const char *run_dir = run_dir_of(invoke);
	struct thaw_client_error failure;

	for (;;) {
		failure = (struct thaw_client_error){0};
		if (!invoke->connection &&
		    thaw_connect(run_dir, invoke->config.name, &invoke->connection, &failure)) {
			invoke->connection = NULL;
			client_failure(&failure, err);
		} else if (thaw_invoke_measure(invoke, &unused, err) == 0) {
			return 0;
		}
		if (!invoke->daemon || thaw_monotonic_ns() > limit)
			return -1;
		if (thaw_bench_daemon_check(invoke->daemon, err))
			return -1;
		thaw_disconnect(invoke->connection);
		invoke->connection = NULL;
		thaw_bench_pause(START_POLL_NS);
	}
}

static int connect_or_start(struct thaw_invoke *invoke, struct thaw_error *err)
{
	struct thaw_error none = THAW_ERROR_INIT;

	if (wait_until_served(invoke, &none) == 0)
		return 0;
	/* Only "no daemon" and "no such function" call for a daemon of our own: a function that
	 * is served but fails must be reported. */
	if (invoke->connection) {
		if (err)
			*err = none;
		return -1;
	}
	if (thaw_bench_daemon_start(invoke->config.thawd, invoke->config.name,
				    invoke->config.image_fd, &invoke->daemon, err))
		return -1;
	invoke->told.own_daemon = true;
	return wait_until_served(invoke, err);
}

int thaw_invoke_open(const struct thaw_invoke_config *config, struct thaw_invoke **out,
		     struct thaw_error *err)
{
	struct thaw_invoke *invoke = calloc(1, sizeof(*invoke));

	if (!invoke)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot prepare invocations");
	invoke->config = *config;
	if (connect_or_start(invoke, err)) {
		thaw_invoke_close(invoke);
		return -1;
	}
	*out = invoke;
	return 0;
}

void thaw_invoke_close(struct thaw_invoke *invoke)
{
	if (!invoke)
		return;
	thaw_disconnect(invoke->connection);
	thaw_bench_daemon_stop(invoke->daemon);
	thaw_invoke_forget(invoke);
	free(invoke);
}

struct thaw_invoke_told *thaw_invoke_tell(struct thaw_invoke *invoke)
{
	return &invoke->told;
}

void thaw_invoke_forget(struct thaw_invoke *invoke)
{
	invoke->told.pool = invoke->told.made = 0;
	thaw_samples_finish(&invoke->told.run);
	thaw_samples_finish(&invoke->told.worker);
}
