/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control operations: a JSON object in, a JSON object out.
 *   {"op": "stats"}
 *   {"op": "prewarm", "count": N}
 *   {"op": "logs", "since": N}
 * An operation that fails is answered {"error": text, "code": exit code}.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

#define BRACKETS_MAX 16u

static json_t *failure(const struct thaw_error *err)
{
	return json_pack("{s:s, s:i}", "error", err->message, "code", (int)err->kind);
}

static json_t *failed(enum thaw_error_kind kind, const char *text)
{
	return json_pack("{s:s, s:i}", "error", text, "code", (int)kind);
}

/* ---- stats ---- */

static void hex(const uint8_t *bytes, size_t length, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * length] = '\0';
}

static json_t *image_json(const struct thaw_worker *worker)
{
	char uuid[33];

	hex(worker->meta->uuid, sizeof(worker->meta->uuid), uuid);
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "uuid", uuid, "memory_size",
			 (json_int_t)worker->meta->memory_size, "timeout_ns",
			 (json_int_t)worker->meta->timeout_ns, "boot_ns",
			 (json_int_t)worker->meta->boot_ns, "mapped_bytes",
			 (json_int_t)worker->sizes.mapped_bytes, "nonzero_bytes",
			 (json_int_t)worker->sizes.nonzero_bytes, "stored_bytes",
			 (json_int_t)worker->sizes.stored_bytes, "file_bytes",
			 (json_int_t)worker->sizes.file_bytes);
}

static json_t *jail_json(const struct thaw_jail_report *jail)
{
	return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:s}", "user", jail->user,
			 "pid", jail->pid, "mount", jail->mount, "net", jail->net, "ipc", jail->ipc,
			 "uts", jail->uts, "cgroup", jail->cgroup, "empty_root", jail->empty_root,
			 "own_uid", jail->own_uid, "missing", jail->missing);
}

static json_t *stats(struct thaw_worker *worker)
{
	struct thaw_gauges gauges = {.buffered_bytes = atomic_load(&worker->buffered_bytes),
				     .threads = atomic_load(&worker->threads)};
	json_t *reply;

	pthread_mutex_lock(&worker->clients_lock);
	gauges.connections_open = worker->client_count;
	pthread_mutex_unlock(&worker->clients_lock);
	thaw_pool_get_gauges(&worker->pool, &gauges);
	reply = thaw_metrics_json(&worker->metrics, &gauges);
	json_object_set_new(reply, "function", json_string(worker->config.name));
	json_object_set_new(reply, "backend",
			    json_string(thaw_backend_name(thaw_engine_backend(worker->engine))));
	json_object_set_new(reply, "uptime_ns",
			    json_integer((json_int_t)(thaw_monotonic_ns() - worker->started_ns)));
	json_object_set_new(reply, "restarts", json_integer(worker->config.restarts));
	json_object_set_new(reply, "image", image_json(worker));
	json_object_set_new(reply, "jail", jail_json(&worker->jail));
	return reply;
}

/* ---- prewarm ---- */

static json_t *await_ready(struct thaw_worker *worker, unsigned count)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t progress_ns = thaw_monotonic_ns();
	struct thaw_error err = THAW_ERROR_INIT;
	unsigned ready = 0, most = 0;

	while ((ready = thaw_pool_ready(&worker->pool)) < count) {
		if (ready > most) {
			most = ready;
			progress_ns = thaw_monotonic_ns();
		}
		if (atomic_load(&worker->draining))
			return failed(THAW_ERR_ENGINE, "the worker is being replaced; try again");
		if (thaw_monotonic_ns() - progress_ns > worker->prewarm_patience_ns) {
			thaw_fail(&err, THAW_ERR_FAILURE,
				  "only %u of %u instances became ready: the host has too little "
				  "memory or too few processes, or requests take them",
				  ready, count);
			return failure(&err);
		}
		/* Requests take instances from the pool meanwhile. */
		if (thaw_pool_refill(&worker->pool, &err) < 0)
			return failure(&err);
		nanosleep(&pause, NULL);
	}
	return json_pack("{s:i}", "ready", (int)ready);
}

static json_t *prewarm(struct thaw_worker *worker, const json_t *request)
{
	const json_t *count = json_object_get(request, "count");
	struct thaw_error err = THAW_ERROR_INIT;
	json_t *reply;

	if (!json_is_integer(count) || json_integer_value(count) < 0 ||
	    json_integer_value(count) > THAW_INSTANCES_MAX)
		return failed(THAW_ERR_USAGE, "prewarm needs a \"count\" from 0 to 16384");
	/* It may take seconds, and one thread is spare for it. */
	if (pthread_mutex_trylock(&worker->prewarm_lock))
		return failed(THAW_ERR_FAILURE, "another prewarm is under way; try again");
	if (thaw_pool_set_target(&worker->pool, (unsigned)json_integer_value(count), &err) < 0)
		reply = failure(&err);
	else
		reply = await_ready(worker, (unsigned)json_integer_value(count));
	pthread_mutex_unlock(&worker->prewarm_lock);
	return reply;
}

/* ---- logs ---- */

static json_t *logs(struct thaw_worker *worker, const json_t *request)
{
	const json_t *since = json_object_get(request, "since");
	struct thaw_log_record record;
	json_t *lines = json_array();
	uint64_t at = 0;

	if (since && (!json_is_integer(since) || json_integer_value(since) < 0)) {
		json_decref(lines);
		return failed(THAW_ERR_USAGE, "\"since\" is the \"next\" of an earlier answer");
	}
	if (since)
		at = (uint64_t)json_integer_value(since);
	/* At most as many lines as the ring can hold: a fast writer does not keep this thread. */
	for (unsigned i = 0; i < THAW_LOG_RING_SIZE / 256; i++) {
		if (!thaw_log_ring_read(worker->log, &at, &record))
			break;
		json_array_append_new(lines, json_pack("{s:I, s:I, s:s, s:I, s:s}", "sequence",
						       (json_int_t)record.sequence, "time_ns",
						       (json_int_t)record.wall_ns, "level",
						       thaw_log_level_name(record.level),
						       "invocation", (json_int_t)record.invocation,
						       "text", record.text));
	}
	return json_pack("{s:o, s:I}", "lines", lines, "next", (json_int_t)at);
}

/* ---- All of them ---- */

/* The parser recurses, and no operation needs depth. */
static bool too_deep(const char *json, size_t length)
{
	unsigned brackets = 0;

	for (size_t i = 0; i < length; i++)
		brackets += json[i] == '{' || json[i] == '[';
	return brackets > BRACKETS_MAX;
}

static json_t *perform(struct thaw_worker *worker, const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));

	if (op && strcmp(op, "stats") == 0)
		return stats(worker);
	if (op && strcmp(op, "prewarm") == 0)
		return prewarm(worker, request);
	if (op && strcmp(op, "logs") == 0)
		return logs(worker, request);
	return failed(THAW_ERR_USAGE, "\"op\" must be \"stats\", \"prewarm\" or \"logs\"");
}

char *thaw_worker_control(struct thaw_worker *worker, const char *json, size_t length)
{
	json_t *request = too_deep(json, length) ? NULL : json_loadb(json, length, 0, NULL);
	json_t *reply = json_is_object(request)
				? perform(worker, request)
				: failed(THAW_ERR_USAGE, "a control operation is a JSON object");
	char *text = reply ? json_dumps(reply, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

	json_decref(reply);
	json_decref(request);
	return text;
}
