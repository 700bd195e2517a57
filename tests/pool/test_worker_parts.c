/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the worker called directly, by one thread, over the fake engine: bodies and their bound,
 * output and its bound, which thread reads a client, what a run leaves to do, who is accepted.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"
#include "tests/pool/fake_engine.h"

static struct thaw_image_meta meta;
static struct thaw_worker worker;
static struct thaw_worker_thread thread;

static void start_with(unsigned target, bool recycle)
{
	const struct thaw_pool_config pool = {.target = target,
					      .max_instances = 64,
					      .concurrency = 4,
					      .queue = 4,
					      .recycle = recycle};

	worker.engine = fake_engine_new();
	worker.meta = &meta;
	worker.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker.housekeeping_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	pthread_mutex_init(&worker.clients_lock, NULL);
	pthread_mutex_init(&worker.log_lock, NULL);
	thaw_log_configure(THAW_LOG_error, false);
	thaw_rate_limit_init(&worker.log_limit, 4, 1, thaw_monotonic_ns());
	cr_assert_eq(thaw_log_ring_attach(thaw_log_ring_create(NULL), &worker.log, NULL), 0);
	thread.worker = &worker;
	cr_assert_eq(thaw_pool_init(&worker.pool, worker.engine, &worker.metrics, &pool, NULL), 0);
	cr_assert_eq(thaw_pool_refill(&worker.pool, NULL), 0);
}

static void setup(void)
{
	start_with(4, true);
}

/* Tests that say themselves how the worker starts. */
static void none(void)
{
}

TestSuite(worker_parts, .init = setup, .timeout = 240);
TestSuite(worker_upkeep, .init = none, .timeout = 240);

static uint64_t buffered(void)
{
	return atomic_load(&worker.buffered_bytes);
}

/* ---- Bodies ---- */

Test(worker_parts, bodies_are_bounded_in_all)
{
	cr_assert(thaw_body_reserve(&worker, THAW_BUFFERED_MAX - 1));
	cr_assert(thaw_body_reserve(&worker, 1));
	cr_assert_not(thaw_body_reserve(&worker, 1));
	cr_assert_not(thaw_body_reserve(&worker, UINT64_MAX));
	cr_assert_eq(buffered(), THAW_BUFFERED_MAX);
	thaw_body_release(&worker, 1);
	cr_assert(thaw_body_reserve(&worker, 1));
}

Test(worker_parts, a_body_is_accounted_for_as_its_pieces_come)
{
	struct thaw_body body = {0};

	cr_assert(thaw_body_begin(&body, 6));
	cr_assert_eq(buffered(), 0);
	cr_assert(thaw_body_add(&worker, &body, (const uint8_t *)"abcd", 4));
	cr_assert_eq(buffered(), 4);
	cr_assert(thaw_body_add(&worker, &body, (const uint8_t *)"ef", 2));
	cr_assert_eq(buffered(), 6);
	cr_assert_eq(memcmp(body.bytes, "abcdef", 6), 0);
	thaw_body_free(&worker, &body);
	cr_assert_eq(buffered(), 0);
	cr_assert_null(body.bytes);
}

Test(worker_parts, a_body_that_grows_keeps_its_bytes_and_its_account)
{
	struct thaw_body body = {0};

	cr_assert(thaw_body_grow(&worker, &body, 100));
	cr_assert_eq(body.reserved, 128);
	memset(body.bytes, 'a', 128);
	cr_assert(thaw_body_grow(&worker, &body, 129));
	cr_assert_eq(body.reserved, 256);
	cr_assert_eq(buffered(), 256);
	cr_assert_eq(body.bytes[127], 'a');
	atomic_store(&worker.buffered_bytes, THAW_BUFFERED_MAX);
	cr_assert_not(thaw_body_grow(&worker, &body, 257));
	cr_assert_eq(body.reserved, 256);
	cr_assert_eq(buffered(), THAW_BUFFERED_MAX);
	cr_assert_eq(body.bytes[127], 'a');
	thaw_body_free(&worker, &body);
	cr_assert_eq(buffered(), THAW_BUFFERED_MAX - 256);
}

Test(worker_parts, a_body_is_not_copied_beyond_the_bound)
{
	struct thaw_body body = {0};

	cr_assert(thaw_body_copy(&worker, &body, (const uint8_t *)"abc", 3));
	cr_assert_eq(memcmp(body.bytes, "abc", 3), 0);
	cr_assert_eq(buffered(), 3);
	thaw_body_free(&worker, &body);
	atomic_store(&worker.buffered_bytes, THAW_BUFFERED_MAX);
	cr_assert_not(thaw_body_copy(&worker, &body, (const uint8_t *)"abc", 3));
	thaw_body_free(&worker, &body);
	cr_assert_eq(buffered(), THAW_BUFFERED_MAX);
}

/* ---- A client of the worker, and its other end ---- */

static struct thaw_client *new_client(int *other)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(address);
	struct thaw_client *client;

	/* An address of the kernel's choice. */
	worker.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(worker.listen_fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	cr_assert_eq(listen(worker.listen_fd, 4), 0);
	cr_assert_eq(getsockname(worker.listen_fd, (struct sockaddr *)&address, &length), 0);
	*other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(*other, (struct sockaddr *)&address, length), 0);
	client = thaw_client_accept(&worker);
	close(worker.listen_fd);
	return client;
}

struct message {
	struct thaw_frame frame;
	uint8_t payload[THAW_FRAME_PAYLOAD_MAX];
};

static struct message received;

/* The next frame at the other end; false at the end of the stream. */
static bool receive(int other)
{
	ssize_t got = recv(other, &received, sizeof(received), 0);

	cr_assert(got >= 0 || errno == ECONNRESET, "%s", strerror(errno));
	cr_assert(got <= 0 || (size_t)got == sizeof(received.frame) + received.frame.length);
	return got > 0;
}

static void send_message(struct thaw_client *client, uint64_t id, const uint8_t *body,
			 uint64_t length, struct thaw_body owned)
{
	struct thaw_output output = {.type = THAW_FRAME_response,
				     .rest_type = THAW_FRAME_response_data,
				     .id = id,
				     .head = "head",
				     .head_length = 4,
				     .body = body,
				     .length = length,
				     .owned = owned};

	pthread_mutex_lock(&client->lock);
	thaw_output_send(client, &output);
	pthread_mutex_unlock(&client->lock);
}

/* Sends messages of 1,000 bytes until the client does not take one; returns how many were sent. */
static unsigned fill(struct thaw_client *client)
{
	static const uint8_t body[1000];
	unsigned sent = 0;

	while (!client->output)
		send_message(client, ++sent, body, sizeof(body), (struct thaw_body){0});
	return sent;
}

/* As the housekeeping thread: looks once, for an event that is there already. */
static bool keep_house(void)
{
	struct epoll_event event;

	if (epoll_wait(worker.housekeeping_epoll_fd, &event, 1, 0) != 1)
		return false;
	thaw_output_event(event.data.ptr, event.events);
	return true;
}

/* The next frame at the other end, with the housekeeping thread's help: a socket from which all was
 * read is writable. */
static bool receive_kept(int other)
{
	keep_house();
	return receive(other);
}

Test(worker_parts, messages_that_wait_arrive_whole_and_in_their_order)
{
	struct thaw_client *client;
	unsigned sent;
	int other;

	client = new_client(&other);
	sent = fill(client);
	send_message(client, ++sent, (const uint8_t *)"last", 4, (struct thaw_body){0});
	cr_assert_eq(buffered(), 1004);
	cr_assert_eq(atomic_load(&client->references), 2, "the housekeeping thread's");
	for (unsigned id = 1; id <= sent; id++) {
		cr_assert(receive_kept(other));
		cr_assert_eq(received.frame.id, id);
		cr_assert_eq(received.frame.length, id == sent ? 8 : 1004);
		cr_assert_eq(memcmp(received.payload, "head", 4), 0);
	}
	cr_assert_eq(memcmp(received.payload, "headlast", 8), 0);
	cr_assert_eq(buffered(), 0);
	cr_assert_eq(client->output_bytes, 0);
	cr_assert_eq(atomic_load(&client->references), 1);
}

Test(worker_parts, a_large_message_goes_in_pieces_of_which_all_but_the_last_say_more)
{
	static uint8_t body[3 * THAW_FRAME_PAYLOAD_MAX];
	uint64_t at = 0;
	struct thaw_client *client;
	int other;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 7 / 3);
	client = new_client(&other);
	send_message(client, 9, body, sizeof(body), (struct thaw_body){0});
	while (at < sizeof(body)) {
		size_t head = at ? 0 : 4, piece;

		cr_assert(receive_kept(other));
		piece = received.frame.length - head;
		cr_assert_eq(received.frame.id, 9);
		cr_assert_eq(received.frame.type,
			     at ? THAW_FRAME_response_data : THAW_FRAME_response);
		cr_assert_eq(memcmp(received.payload + head, body + at, piece), 0);
		at += piece;
		cr_assert_eq(received.frame.flags, at < sizeof(body) ? THAW_FRAME_MORE : 0);
	}
	cr_assert_eq(buffered(), 0);
}

Test(worker_parts, a_message_that_owns_its_body_is_kept_without_a_copy)
{
	struct thaw_client *client;
	struct thaw_body owned = {0};
	uint64_t before;
	int other;

	client = new_client(&other);
	fill(client);
	before = buffered();
	cr_assert(thaw_body_copy(&worker, &owned, (const uint8_t *)"0123456789", 10));
	send_message(client, 1, owned.bytes, 10, owned);
	cr_assert_eq(buffered(), before + 10);
	cr_assert_eq(client->output->next->body, owned.bytes);
	close(other);
	cr_assert(keep_house());
	cr_assert_eq(buffered(), 0);
}

static void expect_cut_off(struct thaw_client *client, int other)
{
	cr_assert_null(client->output);
	cr_assert_eq(client->output_bytes, 0);
	while (receive(other))
		;
	/* The hang-up that this makes wakes the housekeeping thread, which lets the client go. */
	cr_assert(keep_house());
	cr_assert_eq(atomic_load(&client->references), 1);
}

Test(worker_parts, a_client_that_does_not_read_is_cut_off_at_its_bound)
{
	struct thaw_client *client;
	int other;

	client = new_client(&other);
	fill(client);
	client->output_bytes = THAW_OUTPUT_MAX - 8;
	send_message(client, 1, (const uint8_t *)"last", 4, (struct thaw_body){0});
	cr_assert_not_null(client->output, "that was the bound to the byte");
	send_message(client, 2, NULL, 0, (struct thaw_body){0});
	expect_cut_off(client, other);
	cr_assert_eq(buffered(), 0);
}

Test(worker_parts, a_client_that_does_not_read_is_cut_off_when_the_worker_holds_too_much)
{
	struct thaw_client *client;
	int other;

	client = new_client(&other);
	fill(client);
	atomic_fetch_add(&worker.buffered_bytes, THAW_BUFFERED_MAX - buffered());
	send_message(client, 1, (const uint8_t *)"x", 1, (struct thaw_body){0});
	expect_cut_off(client, other);
	cr_assert_eq(buffered(), THAW_BUFFERED_MAX - 1000);
}

Test(worker_parts, the_last_words_come_after_all_that_waits)
{
	struct thaw_client *client;
	unsigned sent;
	int other;

	client = new_client(&other);
	sent = fill(client);
	pthread_mutex_lock(&client->lock);
	thaw_output_finish(client, THAW_FRAME_goaway, "");
	thaw_output_finish(client, THAW_FRAME_protocol_error, "a second time");
	pthread_mutex_unlock(&client->lock);
	for (unsigned i = 0; i < sent; i++) {
		cr_assert(receive_kept(other));
		cr_assert_eq(received.frame.type, THAW_FRAME_response);
	}
	cr_assert(receive_kept(other));
	cr_assert_eq(received.frame.type, THAW_FRAME_goaway);
	cr_assert_not(receive(other), "the connection is shut down");
}

/* ---- Accepting ---- */

Test(worker_parts, clients_beyond_the_bound_are_turned_away_with_a_word)
{
	int other;

	worker.client_count = THAW_CLIENTS_MAX;
	cr_assert_null(new_client(&other));
	cr_assert(receive(other));
	cr_assert_eq(received.frame.type, THAW_FRAME_protocol_error);
	cr_assert_eq(
		memcmp(received.payload, "too many connections are open", received.frame.length),
		0);
	cr_assert_not(receive(other));
	cr_assert_eq(atomic_load(&worker.metrics.connections_refused), 1);
	worker.client_count = THAW_CLIENTS_MAX - 1;
	cr_assert_not_null(new_client(&other));
	cr_assert_eq(atomic_load(&worker.metrics.connections), 1);
}

Test(worker_parts, a_worker_that_drains_accepts_none)
{
	int other;

	atomic_store(&worker.draining, true);
	cr_assert_null(new_client(&other));
	cr_assert_eq(atomic_load(&worker.metrics.connections_refused), 0);
}

/* ---- Who reads a client ---- */

static bool is_armed(int other)
{
	struct epoll_event event;

	cr_assert_eq(send(other, "x", 1, 0), 1);
	return epoll_wait(worker.epoll_fd, &event, 1, 0) == 1;
}

Test(worker_parts, a_lone_request_has_its_client_held_by_the_thread)
{
	struct thaw_client *client;
	int other;

	client = new_client(&other);
	thaw_client_hold(&thread, client, true);
	cr_assert_eq(thread.held, client);
	cr_assert_not(is_armed(other));
	thaw_client_release(&thread);
	cr_assert_null(thread.held);
	cr_assert(is_armed(other));
}

Test(worker_parts, a_client_with_more_requests_is_armed)
{
	int other;

	thaw_client_hold(&thread, new_client(&other), false);
	cr_assert_null(thread.held);
	cr_assert(is_armed(other));
}

Test(worker_parts, under_kvm_every_client_is_armed)
{
	int other;

	fake_set_backend(worker.engine, THAW_BACKEND_KVM);
	thaw_client_hold(&thread, new_client(&other), true);
	cr_assert_null(thread.held);
	cr_assert(is_armed(other));
}

static void request(int other, const char *body)
{
	struct {
		struct thaw_frame frame;
		struct thaw_frame_request request;
		char body[32];
	} message = {.frame = {.version = THAW_PROTOCOL_VERSION,
			       .type = THAW_FRAME_request,
			       .length = (uint32_t)(sizeof(message.request) + strlen(body)),
			       .id = 1},
		     .request = {.length = strlen(body)}};

	memcpy(message.body, body, strlen(body));
	cr_assert_gt(send(other, &message, sizeof(message.frame) + message.frame.length, 0), 0);
}

/* As a serving thread that has read all it may: it waits in the epoll set, and not for one
 * client. */
static void read_without_lingering(struct thaw_client *client)
{
	atomic_store(&worker.lingering, THAW_LINGER_MOST);
	thaw_client_read(&thread, client);
	cr_assert_eq(atomic_load(&worker.lingering), THAW_LINGER_MOST);
}

Test(worker_parts, an_instance_is_recycled_when_its_client_has_nothing_to_say)
{
	struct thaw_client *client;
	int other;

	client = new_client(&other);
	request(other, "hello");
	read_without_lingering(client);
	cr_assert(receive(other));
	cr_assert_null(thread.to_recycle);
	cr_assert_eq(fake_get_counts(worker.engine).recycled, 1);
	cr_assert(client->in_epoll, "no thread holds it any more");
}

Test(worker_parts, an_instance_that_recycles_slowly_keeps_no_client_waiting)
{
	struct thaw_client *client;
	int other;

	thread.recycles_slowly = true;
	client = new_client(&other);
	request(other, "hello");
	read_without_lingering(client);
	cr_assert(receive(other));
	cr_assert_not_null(thread.to_recycle);
	cr_assert_eq(fake_get_counts(worker.engine).recycled, 0);
	/* The thread does it before it waits for an event. */
	thaw_worker_recycle(&thread);
	cr_assert_eq(fake_get_counts(worker.engine).recycled, 1);
}

/* ---- A cancel just before the run ---- */

/* The client whose request is cancelled when the engine makes the instance for it. */
static struct thaw_client *impatient;
static unsigned creates_before_cancel;

static void cancel(void *context, enum fake_call call)
{
	(void)context;
	if (call != FAKE_CREATE || creates_before_cancel-- > 0)
		return;
	pthread_mutex_lock(&impatient->lock);
	thaw_request_cancel(impatient->requests);
	pthread_mutex_unlock(&impatient->lock);
}

static void expect_cancelled(int other)
{
	struct thaw_frame_response response;

	cr_assert(receive(other));
	cr_assert_eq(received.frame.type, THAW_FRAME_response);
	memcpy(&response, received.payload, sizeof(response));
	cr_assert_eq(response.status, THAW_STATUS_ran);
	cr_assert_eq(response.outcome, THAW_OUTCOME_cancelled);
	cr_assert_eq(response.exit_code, 125);
	cr_assert_eq(atomic_load(&worker.metrics.cancels), 1);
}

Test(worker_upkeep, a_request_cancelled_before_its_instance_has_it_is_not_run)
{
	int other;

	start_with(0, true);
	impatient = new_client(&other);
	fake_set_hook(worker.engine, cancel, NULL);
	request(other, "hello");
	read_without_lingering(impatient);
	expect_cancelled(other);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 0);
}

Test(worker_upkeep, a_request_cancelled_between_two_instances_is_not_run_again)
{
	int other;

	start_with(0, true);
	impatient = new_client(&other);
	fake_lose_runs(worker.engine, 1);
	creates_before_cancel = 1;
	fake_set_hook(worker.engine, cancel, NULL);
	request(other, "hello");
	read_without_lingering(impatient);
	expect_cancelled(other);
	cr_assert_eq(fake_get_counts(worker.engine).killed, 1);
}

/* ---- What runs leave ---- */

static const struct thaw_frame_response quick = {.outcome = THAW_OUTCOME_finished, .run_ns = 1000};

static void ignore(void *context, const void *bytes, size_t length)
{
	(void)context;
	(void)bytes;
	(void)length;
}

/* An instance that ran. */
static struct thaw_instance *spent(void)
{
	const struct thaw_run run = {.request = "", .respond = ignore};
	struct thaw_outcome outcome = {0};
	struct thaw_instance *instance;
	enum thaw_start start;

	cr_assert_eq(thaw_pool_claim(&worker.pool, &instance, &start, NULL), 0);
	thaw_instance_run(instance, &run, &outcome);
	return instance;
}

Test(worker_upkeep, at_most_one_instance_waits_for_its_recycling)
{
	struct thaw_instance *first, *second;

	start_with(2, true);
	first = spent();
	thaw_worker_leave(&thread, first, &quick);
	cr_assert_eq(thread.to_recycle, first);
	cr_assert_eq(fake_get_counts(worker.engine).recycled, 0);
	second = spent();
	thaw_worker_leave(&thread, second, &quick);
	cr_assert_eq(thread.to_recycle, second);
	cr_assert_eq(fake_get_counts(worker.engine).recycled, 1);
	cr_assert(thread.just_recycled);
}

Test(worker_upkeep, slow_recycling_is_noticed)
{
	start_with(2, true);
	fake_set_recycle(worker.engine, false, THAW_NS_PER_MS);
	thaw_worker_leave(&thread, spent(), &quick);
	cr_assert_not(thread.recycles_slowly);
	thaw_worker_recycle(&thread);
	cr_assert(thread.recycles_slowly);
}

Test(worker_upkeep, refused_recycling_leaves_an_instance_to_destroy)
{
	start_with(1, true);
	fake_set_recycle(worker.engine, true, 0);
	thaw_worker_leave(&thread, spent(), &quick);
	thaw_worker_recycle(&thread);
	cr_assert_null(thread.to_recycle);
	cr_assert_eq(thread.spent_count, 1);
	cr_assert(thread.tidy_due);
	thaw_worker_tidy(&thread);
	cr_assert_eq(fake_get_counts(worker.engine).destroyed, 1);
	cr_assert_eq(fake_get_counts(worker.engine).alive, 1);
}

Test(worker_upkeep, spent_instances_are_destroyed_several_at_once_and_replaced)
{
	start_with(2, false);
	for (unsigned i = 0; i < THAW_SPENT_MAX; i++)
		thaw_worker_leave(&thread, spent(), &quick);
	cr_assert_eq(fake_get_counts(worker.engine).destroyed, 0);
	/* There is room for no more. */
	thaw_worker_leave(&thread, spent(), &quick);
	cr_assert_eq(fake_get_counts(worker.engine).destroyed, 1);
	thaw_worker_tidy(&thread);
	cr_assert_eq(fake_get_counts(worker.engine).destroyed, THAW_SPENT_MAX + 1);
	cr_assert_eq(fake_get_counts(worker.engine).alive, 2);
	cr_assert_not(thread.tidy_due);
}

Test(worker_upkeep, an_instance_that_ran_long_is_not_retained)
{
	const struct thaw_frame_response slow = {.outcome = THAW_OUTCOME_finished,
						 .run_ns = 500000};
	const struct thaw_frame_response bad = {.outcome = THAW_OUTCOME_crashed, .run_ns = 1000};

	start_with(2, false);
	thaw_worker_leave(&thread, spent(), &slow);
	cr_assert_eq(fake_get_counts(worker.engine).destroyed, 1);
	thaw_worker_leave(&thread, spent(), &bad);
	cr_assert_eq(fake_get_counts(worker.engine).destroyed, 2);
	cr_assert(thread.tidy_due);
}

static void count_creates(void *count, enum fake_call call)
{
	*(unsigned *)count += call == FAKE_CREATE;
}

Test(worker_upkeep, a_refill_that_fails_waits_longer_each_time)
{
	uint64_t wait_ns = 0;
	unsigned tries = 0;

	start_with(1, false);
	thaw_worker_leave(&thread, spent(), &quick);
	fake_fail_creates(worker.engine, 1000, "no processes are left");
	fake_set_hook(worker.engine, count_creates, &tries);
	for (unsigned i = 1; i <= 12; i++) {
		thaw_worker_tidy(&thread);
		cr_assert_eq(tries, i);
		cr_assert(thread.tidy_due);
		cr_assert(thread.refill_wait_ns > wait_ns || wait_ns == THAW_NS_PER_SEC);
		wait_ns = thread.refill_wait_ns;
		/* Before its time it is not tried. */
		thread.refill_at_ns = UINT64_MAX;
		thaw_worker_tidy(&thread);
		cr_assert_eq(tries, i);
		thread.refill_at_ns = 1;
	}
	cr_assert_eq(wait_ns, THAW_NS_PER_SEC);
	fake_fail_creates(worker.engine, 0, "");
	thaw_worker_tidy(&thread);
	cr_assert_not(thread.tidy_due);
	cr_assert_eq(thread.refill_wait_ns, 0);
	cr_assert_eq(fake_get_counts(worker.engine).alive, 1);
}

Test(worker_upkeep, a_lost_instance_has_the_pool_refilled)
{
	struct thaw_instance *instance;
	enum thaw_start start;

	start_with(1, true);
	cr_assert_eq(thaw_pool_claim(&worker.pool, &instance, &start, NULL), 0);
	thaw_pool_discard(&worker.pool, instance);
	thaw_worker_leave(&thread, NULL, &quick);
	cr_assert(thread.tidy_due);
	thaw_worker_tidy(&thread);
	cr_assert_eq(fake_get_counts(worker.engine).alive, 1);
}
