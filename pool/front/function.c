/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function's life. At any time it has at most one worker that serves, at most one that is
 * starting, and any number that finish what they have begun. A new image takes over only when its
 * worker serves. A new image that is refused leaves the old one in service, and the log says so:
 * callers are better served by the image that worked a moment ago than by none.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/common/log_ring.h"
#include "pool/front/internal.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define FIRST_DELAY_NS	 (100 * THAW_NS_PER_MS)
#define LONGEST_DELAY_NS (10 * THAW_NS_PER_SEC)
/* For workers that have served: most likely a request killed them, and the other callers should not
 * wait for long. */
#define LONGEST_SERVED_NS (400 * THAW_NS_PER_MS)
#define HEALTHY_NS	  THAW_NS_PER_SEC
#define START_TIMEOUT_NS  (60 * THAW_NS_PER_SEC)
#define STARTING_MAX	  16u /* workers at a time: thousands of functions start in turn */
#define STARTING_RETRY_NS (10 * THAW_NS_PER_MS)

uint64_t thaw_function_delay_ns(unsigned failures, bool served)
{
	uint64_t longest = served ? LONGEST_SERVED_NS : LONGEST_DELAY_NS;
	uint64_t delay_ns = FIRST_DELAY_NS;

	if (failures == 0)
		return 0;
	while (--failures > 0 && delay_ns < longest)
		delay_ns *= 2;
	return delay_ns < longest ? delay_ns : longest;
}

bool thaw_function_settled(const struct thaw_function *function)
{
	return function->gone || function->serving || function->status != THAW_STATUS_ran;
}

/* ---- Out of service ---- */

static void out_of_service(struct thaw_function *function, enum thaw_status status, const char *why)
{
	snprintf(function->reason, sizeof(function->reason), "%s", why);
	function->status = status;
	if (!function->serving)
		thaw_unavailable_begin(function);
}

static void schedule(struct thaw_function *function, bool served)
{
	function->retry_ns =
		thaw_monotonic_ns() + thaw_function_delay_ns(function->failures, served);
	function->failures++;
}

/* ---- Starting ---- */

static void worker_serving(struct thaw_function *function, struct thaw_child *child);
static void worker_lost(struct thaw_function *function, struct thaw_child *child, const char *why);

static const struct thaw_child_events child_events = {worker_serving, worker_lost};

static void start_failed(struct thaw_function *function, const struct thaw_error *err)
{
	if (err->kind == THAW_ERR_IMAGE) {
		thaw_log(THAW_LOG_error, "%s: refused: %s%s", function->name, err->message,
			 function->serving ? "; the image from before stays in service" : "");
		out_of_service(function, THAW_STATUS_refused, err->message);
		return;
	}
	thaw_log(THAW_LOG_error, "%s: %s", function->name, err->message);
	/* A retry waits even after the first failure: an immediate one would be a loop. */
	if (function->failures == 0)
		function->failures = 1;
	/* If the image has served before, a worker that dies early was most likely killed. */
	schedule(function, function->served);
	out_of_service(function, THAW_STATUS_unavailable, err->message);
}

static void start(struct thaw_function *function)
{
	struct thaw_front *front = function->front;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_identity identity;
	thaw_autoclose int image_fd = -1;

	function->retry_ns = 0;
	if (front->starting >= STARTING_MAX) {
		function->retry_ns = thaw_monotonic_ns() + STARTING_RETRY_NS;
		return;
	}
	if (thaw_image_file_open(front->state_fd, function->name, &image_fd, &identity, &err) < 0) {
		/* The image was removed meanwhile: inotify reports that as an event of its own. */
		if (err.kind != THAW_ERR_NOT_FOUND)
			start_failed(function, &err);
		return;
	}
	function->identity = identity;
	if (thaw_child_spawn(function, image_fd, &child_events, &function->starting, &err) < 0)
		start_failed(function, &err);
	else
		front->starting++;
}

/* ---- Coming, changing, going ---- */

static struct thaw_function *find(struct thaw_front *front, const char *name)
{
	struct thaw_function *function = front->functions;

	while (function && (function->gone || strcmp(function->name, name) != 0))
		function = function->next;
	return function;
}

static struct thaw_function *appear(struct thaw_front *front, const char *name,
				    struct thaw_error *err)
{
	struct thaw_function *function = calloc(1, sizeof(*function));

	if (!function) {
		thaw_fail(err, THAW_ERR_ENGINE, "out of memory");
		return NULL;
	}
	*function = (struct thaw_function){.next = front->functions, .front = front};
	function->listener.fd = -1;
	snprintf(function->name, sizeof(function->name), "%s", name);
	function->log_fd = thaw_log_ring_create(err);
	if (function->log_fd < 0 ||
	    thaw_socket_listen(front, name, &function->listener.fd, err) < 0) {
		thaw_function_free(function);
		return NULL;
	}
	front->functions = function;
	return function;
}

static void drop_starting(struct thaw_function *function)
{
	if (!function->starting)
		return;
	thaw_child_kill(function->starting);
	function->starting->state = THAW_CHILD_ENDING;
	function->starting = NULL;
	function->front->starting--;
}

void thaw_function_stop(struct thaw_function *function)
{
	if (function->gone)
		return;
	function->gone = true;
	function->retry_ns = 0;
	thaw_socket_unlink(function->front, function->name);
	thaw_unavailable_end(function);
	drop_starting(function);
	if (function->serving)
		thaw_child_drain(function->serving);
	function->serving = NULL;
	thaw_watch_close(&function->listener);
}

static void disappear(struct thaw_function *function)
{
	thaw_log(THAW_LOG_info, "%s: removed", function->name);
	thaw_function_stop(function);
	if (function->front->image_dir_fd >= 0)
		thaw_memory_forget(function->front->image_dir_fd, function->name, NULL);
}

static void change(struct thaw_function *function)
{
	drop_starting(function);
	function->failures = 0;
	if (!function->serving) {
		thaw_unavailable_end(function);
		function->status = THAW_STATUS_ran;
	}
	start(function);
}

void thaw_function_update(struct thaw_front *front, const char *name)
{
	struct thaw_function *function = find(front, name);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_identity identity = {0};
	thaw_autoclose int fd = -1;

	if (thaw_image_file_open(front->state_fd, name, &fd, &identity, &err) < 0 &&
	    err.kind == THAW_ERR_NOT_FOUND) {
		if (function)
			disappear(function);
		return;
	}
	/* An image that cannot be opened is a function too: its callers are told why. */
	if (function && thaw_identity_equal(&function->identity, &identity) && fd >= 0)
		return;
	if (!function)
		function = appear(front, name, &err);
	if (!function) {
		thaw_log(THAW_LOG_error, "%s is not served: %s", name, err.message);
		return;
	}
	function->identity = identity;
	function->served = false;
	change(function);
}

void thaw_function_free(struct thaw_function *function)
{
	thaw_unavailable_end(function);
	thaw_watch_close(&function->listener);
	thaw_cleanup_close(&function->log_fd);
	free(function);
}

/* ---- Events of its workers ---- */

static void worker_serving(struct thaw_function *function, struct thaw_child *child)
{
	struct thaw_child *old = function->serving;

	function->starting = NULL;
	function->front->starting--;
	function->serving = child;
	child->state = THAW_CHILD_SERVING;
	child->since_ns = thaw_monotonic_ns();
	function->status = THAW_STATUS_ran;
	function->served = true;
	function->retry_ns = 0;
	thaw_unavailable_end(function);
	if (old)
		thaw_child_drain(old);
	if (function->front->image_dir_fd >= 0)
		thaw_memory_commit(function->front->image_dir_fd, function->name, &child->memory);
	thaw_memory_close(&child->memory);
	thaw_log(THAW_LOG_info, "%s: serving (process %d)%s", function->name, (int)child->pid,
		 old ? ", in place of the image before" : "");
}

static void lost_starting(struct thaw_function *function, struct thaw_child *child, const char *why)
{
	struct thaw_error err = THAW_ERROR_INIT;

	function->starting = NULL;
	function->front->starting--;
	if (child->verdict)
		thaw_fail(&err,
			  child->verdict == THAW_WORKER_REFUSED ? THAW_ERR_IMAGE : THAW_ERR_ENGINE,
			  "%s", child->message);
	else
		thaw_fail(&err, THAW_ERR_ENGINE, "the worker %s while it started", why);
	start_failed(function, &err);
}

static void lost_serving(struct thaw_function *function, struct thaw_child *child, const char *why)
{
	function->serving = NULL;
	function->restarts++;
	if (thaw_monotonic_ns() - child->since_ns >= HEALTHY_NS)
		function->failures = 0;
	/* The worker has read all of its image by now, and another worker would refuse it too. */
	if (child->verdict == THAW_WORKER_REFUSED && !function->starting) {
		thaw_log(THAW_LOG_error, "%s: refused: %s; its requests are lost", function->name,
			 child->message);
		out_of_service(function, THAW_STATUS_refused, child->message);
		return;
	}
	thaw_log(THAW_LOG_error, "%s: the worker %s; its requests are lost; starting it again",
		 function->name, why);
	/* The image on disk was refused while the old one was in service: refuse callers now. */
	if (function->status == THAW_STATUS_refused) {
		thaw_unavailable_begin(function);
		return;
	}
	if (function->starting)
		return;
	if (function->failures == 0) {
		/* Clients that connect now wait in the socket's backlog until the worker serves. */
		function->failures = 1;
		start(function);
		return;
	}
	schedule(function, true);
	out_of_service(function, THAW_STATUS_unavailable,
		       "the worker keeps ending; it is started again in a moment");
}

static void worker_lost(struct thaw_function *function, struct thaw_child *child, const char *why)
{
	if (child == function->starting)
		lost_starting(function, child, why);
	else if (child == function->serving)
		lost_serving(function, child, why);
	else
		thaw_log(THAW_LOG_debug, "%s: the replaced worker %s", function->name, why);
}

/* ---- Time ---- */

uint64_t thaw_function_due(const struct thaw_function *function)
{
	uint64_t due = function->retry_ns;

	if (function->starting) {
		uint64_t late = function->starting->since_ns + START_TIMEOUT_NS;

		due = due && due < late ? due : late;
	}
	return due;
}

void thaw_function_tick(struct thaw_function *function, uint64_t now_ns)
{
	if (function->starting && now_ns >= function->starting->since_ns + START_TIMEOUT_NS) {
		thaw_log(THAW_LOG_error, "%s: the worker takes too long to start; killing it",
			 function->name);
		function->starting->since_ns = now_ns;
		thaw_child_kill(function->starting);
	}
	if (function->retry_ns && now_ns >= function->retry_ns)
		start(function);
}
