/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker over the fake engine and many clients that behave as badly as clients do: they cancel,
 * hang up, do not read, send half a request, ask for statistics and prewarming; meanwhile instances
 * are lost, and some cannot be made or recycled. A plain program, so that the thread sanitizer can
 * watch the worker. It checks that every answer fits its request, that nothing is left when the
 * clients are gone, and that the worker drains; it says what went wrong and ends with 1.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pool/wire/protocol.h"
#include "snapshot-format/base/error.h"
#include "tests/pool/worker_fixture.h"

#define CLIENTS	 6u
#define SESSIONS 150u /* connections of each client, one after the other */
#define REQUESTS 6u   /* of a session */

/* Arming a client with EPOLL_CTL_MOD hands it to the next thread, which may close it before the
 * call returns. The kernel orders the two; the thread sanitizer does not know that it does. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:epoll_ctl";
}

static struct test_worker worker;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

struct session {
	int fd;
	unsigned seed;
	bool sent[REQUESTS + 1], answered[REQUESTS + 1]; /* by id */
};

struct message {
	struct thaw_frame frame;
	union {
		struct thaw_frame_request request;
		struct thaw_frame_response response;
	};
	char text[THAW_FRAME_PAYLOAD_MAX];
};

static unsigned pick(struct session *session, unsigned count)
{
	return (unsigned)rand_r(&session->seed) % count;
}

static void open_session(struct session *session)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, worker.socket, sizeof(worker.socket));
	session->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK(session->fd >= 0);
	CHECK(connect(session->fd, (struct sockaddr *)&address, sizeof(address)) == 0);
}

static void transmit(struct session *session, struct message *message, size_t payload)
{
	message->frame.version = THAW_PROTOCOL_VERSION;
	message->frame.length = (uint32_t)payload;
	CHECK(send(session->fd, message, sizeof(message->frame) + payload, MSG_NOSIGNAL) > 0);
}

static void send_request(struct session *session, uint64_t id, const char *text)
{
	struct message message = {.frame = {.type = THAW_FRAME_request, .id = id},
				  .request = {.length = strlen(text)}};

	/* Some have a deadline, which may pass anywhere. */
	if (pick(session, 8) == 0)
		message.request.timeout_ns = 1 + pick(session, 2000000);
	memcpy((char *)&message.request + sizeof(message.request), text, strlen(text));
	transmit(session, &message, sizeof(message.request) + strlen(text));
	session->sent[id] = true;
}

static void send_half(struct session *session, uint64_t id)
{
	struct message message = {
		.frame = {.type = THAW_FRAME_request, .flags = THAW_FRAME_MORE, .id = id},
		.request = {.length = 5000}};

	transmit(session, &message, sizeof(message.request) + 1000);
}

static void send_plain(struct session *session, uint8_t type, uint64_t id, const char *text)
{
	struct message message = {.frame = {.type = type, .id = id}};

	memcpy(&message.request, text, strlen(text));
	transmit(session, &message, strlen(text));
}

/* Reads one frame; a response must be to a request that has none yet. */
static void take_frame(struct session *session)
{
	static _Thread_local struct message message;
	ssize_t got = recv(session->fd, &message, sizeof(message), 0);
	uint64_t id = message.frame.id;

	CHECK(got >= (ssize_t)sizeof(message.frame));
	CHECK(message.frame.type != THAW_FRAME_protocol_error);
	CHECK(message.frame.type != THAW_FRAME_goaway);
	if (message.frame.type != THAW_FRAME_response)
		return;
	CHECK(id >= 1 && id <= REQUESTS && session->sent[id] && !session->answered[id]);
	session->answered[id] = true;
	if (message.response.status == THAW_STATUS_ran &&
	    message.response.outcome == THAW_OUTCOME_finished && message.response.length < 100)
		/* An echo of "echo ID". */
		CHECK(strtoull((char *)&message.response + sizeof(message.response) + 5, NULL,
			       10) == id);
}

static bool has_frame(const struct session *session)
{
	struct pollfd poll_fd = {.fd = session->fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static bool all_answered(const struct session *session)
{
	for (unsigned id = 1; id <= REQUESTS; id++)
		if (session->sent[id] && !session->answered[id])
			return false;
	return true;
}

static void act(struct session *session, uint64_t id)
{
	char text[32];

	switch (pick(session, 12)) {
	case 0:
		send_half(session, id);
		break;
	case 1:
		send_request(session, id, "big 300000");
		break;
	case 2:
	case 8:
	case 9:
		snprintf(text, sizeof(text), "slow %llu", (unsigned long long)id);
		send_request(session, id, text);
		if (pick(session, 2))
			send_plain(session, THAW_FRAME_cancel, id, "");
		break;
	case 3:
		send_plain(session, THAW_FRAME_control, id, "{\"op\":\"stats\"}");
		break;
	case 4:
		snprintf(text, sizeof(text), "{\"op\":\"prewarm\",\"count\":%u}", pick(session, 8));
		send_plain(session, THAW_FRAME_control, id, text);
		break;
	case 5:
		fake_lose_runs(worker.engine, 1);
		break;
	case 6:
		fake_fail_creates(worker.engine, 1, "no processes are left");
		break;
	case 7:
		fake_set_recycle(worker.engine, pick(session, 2), pick(session, 2) * 200000);
		break;
	default:
		snprintf(text, sizeof(text), "echo %llu", (unsigned long long)id);
		send_request(session, id, text);
		if (pick(session, 4) == 0)
			send_plain(session, THAW_FRAME_cancel, id, "");
	}
}

static void run_session(unsigned seed)
{
	struct session session = {.seed = seed};

	open_session(&session);
	for (unsigned id = 1; id <= REQUESTS; id++) {
		act(&session, id);
		while (pick(&session, 2) && has_frame(&session))
			take_frame(&session);
	}
	/* A third hangs up in the middle. */
	if (pick(&session, 3)) {
		while (!all_answered(&session))
			take_frame(&session);
	}
	close(session.fd);
}

static void *run_client(void *number)
{
	for (unsigned i = 0; i < SESSIONS; i++)
		run_session((unsigned)(uintptr_t)number * SESSIONS + i);
	return NULL;
}

/* Lets slow guests go on, one after the other. */
static void *release(void *over)
{
	while (!atomic_load((atomic_bool *)over)) {
		usleep(2000);
		if (fake_get_counts(worker.engine).holding)
			fake_release(worker.engine, 1);
	}
	return NULL;
}

/* The number after KEY in the worker's statistics. */
static long stat_of(const char *key)
{
	static char reply[sizeof(struct message) + 1];
	struct session session = {.seed = 1};
	const char *at;
	ssize_t got;

	open_session(&session);
	send_plain(&session, THAW_FRAME_control, 1, "{\"op\":\"stats\"}");
	got = recv(session.fd, reply, sizeof(reply) - 1, 0);
	CHECK(got > (ssize_t)sizeof(struct thaw_frame));
	reply[got] = '\0';
	close(session.fd);
	at = strstr(reply + sizeof(struct thaw_frame), key);
	CHECK(at);
	return strtol(at + strlen(key), NULL, 10);
}

static void await_stat(const char *key, long wanted)
{
	while (stat_of(key) != wanted)
		usleep(1000);
}

int main(void)
{
	const struct test_worker_options options = {.pool = 4, .concurrency = 4, .queue = 64};
	pthread_t threads[CLIENTS], releaser;
	atomic_bool over = false;

	test_worker_start(&worker, &options, NULL);
	CHECK(pthread_create(&releaser, NULL, release, &over) == 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		CHECK(pthread_create(&threads[i], NULL, run_client, (void *)(uintptr_t)(i + 1)) ==
		      0);
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	/* The requests of those that hung up have ended, and nothing of them is held. */
	await_stat("\"busy\":", 0);
	await_stat("\"queued\":", 0);
	await_stat("\"buffered_bytes\":", 0);
	await_stat("\"connections_open\":", 1);
	atomic_store(&over, true);
	pthread_join(releaser, NULL);
	fake_fail_creates(worker.engine, 0, "");
	fake_lose_runs(worker.engine, 0);
	printf("%u runs, %u instances made, %u recycled, %u killed\n",
	       fake_get_counts(worker.engine).runs, fake_get_counts(worker.engine).created,
	       fake_get_counts(worker.engine).recycled, fake_get_counts(worker.engine).killed);
	test_worker_drain(&worker);
	CHECK(test_worker_wait(&worker) == 0);
	test_worker_clean(&worker);
	return 0;
}
