/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange with a jailed child: which results count, and which errors replace the others. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/jailed/exchange.h"

#define ANSWER	   "the answer"
#define SHORT_MS   300u
#define FOREVER_MS 60000u

struct trial {
	int (*then)(
		struct thaw_jailed *self); /* what the child does after its result, or instead */
	bool without_result;
	int kill_on; /* the parent kills the child when it receives a message of this type */
	char taken[64];
	struct thaw_exchange exchange;
};

static int work(struct thaw_jailed *self, void *context)
{
	const struct trial *trial = context;

	if (!trial->without_result)
		thaw_jailed_send(self, THAW_JAILED_RESULT, 7, ANSWER, strlen(ANSWER));
	return trial->then ? trial->then(self) : 0;
}

static int take(void *context, const struct thaw_jailed_message *message, struct thaw_error *err)
{
	struct trial *trial = context;

	if ((int)message->type == trial->kill_on)
		kill(trial->exchange.child.pid, SIGKILL);
	if (message->type == THAW_JAILED_LOG)
		return 0;
	if (message->type != THAW_JAILED_RESULT)
		return thaw_exchange_refuse(message, err);
	cr_expect_eq(message->number, 7);
	cr_expect_lt(message->length, sizeof(trial->taken));
	memcpy(trial->taken, message->payload, message->length + 1);
	return 1;
}

static int run(struct trial *trial, struct thaw_error *err)
{
	*err = (struct thaw_error)THAW_ERROR_INIT;
	trial->exchange = (struct thaw_exchange){.what = "is on trial",
						 .work = work,
						 .take = take,
						 .context = trial,
						 .end_ms = trial->exchange.end_ms};
	return thaw_exchange_run(&trial->exchange, err);
}

/* The exchange fails with an engine's error that has these words. */
static void expect_failure(struct trial trial, const char *words, const char *more)
{
	struct thaw_error err;

	cr_expect_lt(run(&trial, &err), 0, "'%s' is expected", words);
	cr_expect_eq(err.kind, THAW_ERR_ENGINE, "%d: %s", (int)err.kind, err.message);
	cr_expect_not_null(strstr(err.message, words), "'%s' is not in: %s", words, err.message);
	cr_expect_not_null(strstr(err.message, more), "'%s' is not in: %s", more, err.message);
}

#define TRIAL(...) ((struct trial){__VA_ARGS__})

Test(exchange, a_result_counts_when_its_child_exits_with_0)
{
	struct trial trial = {0};
	struct thaw_error err;

	cr_assert_eq(run(&trial, &err), 0, "%s", err.message);
	cr_expect_str_eq(trial.taken, ANSWER);
}

/* ---- After the result ---- */

static int trap(struct thaw_jailed *self)
{
	(void)self;
	__builtin_trap();
}

static int exit_with_1(struct thaw_jailed *self)
{
	(void)self;
	return 1;
}

static int make_forbidden_call(struct thaw_jailed *self)
{
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_jail_seal(THAW_JAIL_FREEZER, &err) < 0)
		return thaw_jailed_fail(self, &err);
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static int wait_forever(struct thaw_jailed *self)
{
	(void)self;
	while (pause() < 0)
		;
	return 1;
}

static int send_one_more(struct thaw_jailed *self)
{
	thaw_jailed_send(self, THAW_JAILED_LOG, 0, "one more", 8);
	return 0;
}

static int fail_late(struct thaw_jailed *self)
{
	struct thaw_error err = THAW_ERROR_INIT;

	thaw_fail(&err, THAW_ERR_IMAGE, "too late");
	return thaw_jailed_fail(self, &err);
}

Test(exchange, a_result_of_a_child_that_dies_does_not_count)
{
	expect_failure(TRIAL(.then = trap), "signal 4", "after it had sent its result");
	expect_failure(TRIAL(.then = exit_with_1), "code 1", "after it had sent its result");
	expect_failure(TRIAL(.then = make_forbidden_call), "system call",
		       "after it had sent its result");
	expect_failure(TRIAL(.then = wait_forever, .kill_on = THAW_JAILED_RESULT), "signal 9",
		       "after it had sent its result");
}

Test(exchange, a_result_is_the_last_message)
{
	expect_failure(TRIAL(.then = send_one_more), "another message after its result", "");
	expect_failure(TRIAL(.then = fail_late), "another message after its result", "");
}

Test(exchange, a_child_that_stays_after_its_result_is_killed)
{
	expect_failure(TRIAL(.then = wait_forever, .exchange.end_ms = SHORT_MS),
		       "did not exit in time", "is on trial");
}

static int close_the_channel_and_stay(struct thaw_jailed *self)
{
	close(self->channel);
	return wait_forever(self);
}

static int write_forever(struct thaw_jailed *self)
{
	(void)self;
	while (write(STDERR_FILENO, "\n", 1) > 0)
		;
	return 0;
}

Test(exchange, neither_a_closed_channel_nor_talk_gives_it_more_time, .timeout = 30)
{
	int null = open("/dev/null", O_WRONLY);

	cr_assert_eq(dup2(null, STDERR_FILENO), STDERR_FILENO); /* where the child's talk goes */
	expect_failure(TRIAL(.then = close_the_channel_and_stay, .exchange.end_ms = SHORT_MS),
		       "did not exit in time", "");
	expect_failure(TRIAL(.then = write_forever, .exchange.end_ms = SHORT_MS),
		       "did not exit in time", "");
}

/* ---- Without a result ---- */

Test(exchange, a_child_without_a_result_is_told_by_how_it_ended)
{
	expect_failure(TRIAL(.without_result = true), "code 0", "without a result");
	expect_failure(TRIAL(.then = exit_with_1, .without_result = true), "code 1",
		       "without a result");
	expect_failure(TRIAL(.then = trap, .without_result = true), "signal 4", "is on trial");
	expect_failure(TRIAL(.then = make_forbidden_call, .without_result = true), "system call",
		       "is on trial");
}

static int fail_and_exit(struct thaw_jailed *self)
{
	struct thaw_error err = THAW_ERROR_INIT;

	thaw_fail(&err, THAW_ERR_DEADLINE, "it took too long");
	return thaw_jailed_fail(self, &err);
}

static int fail_and_trap(struct thaw_jailed *self)
{
	fail_and_exit(self);
	__builtin_trap();
}

static int fail_with_no_kind(struct thaw_jailed *self)
{
	thaw_jailed_send(self, THAW_JAILED_ERROR, 4711, "odd\nand odder", 13);
	return 1;
}

Test(exchange, the_error_of_a_child_stands_however_it_ends)
{
	int (*const ends[])(struct thaw_jailed *) = {fail_and_exit, fail_and_trap};
	struct thaw_error err;

	for (size_t i = 0; i < 2; i++) {
		cr_expect_lt(run(&TRIAL(.then = ends[i], .without_result = true), &err), 0);
		cr_expect_eq(err.kind, THAW_ERR_DEADLINE);
		cr_expect_str_eq(err.message, "it took too long");
	}
	expect_failure(TRIAL(.then = fail_with_no_kind, .without_result = true), "odd?and odder",
		       "");
}

/* ---- Malformed messages ---- */

static int send_raw(const struct thaw_jailed *self, const void *bytes, size_t length)
{
	return send(self->channel, bytes, length, 0) == (ssize_t)length ? wait_forever(NULL) : 1;
}

static int send_half_a_header(struct thaw_jailed *self)
{
	return send_raw(self, &(uint32_t){THAW_JAILED_RESULT}, 4);
}

static int send_unknown_type(struct thaw_jailed *self)
{
	return send_raw(self, (uint32_t[]){THAW_JAILED_ERROR + 1, 0}, 8);
}

static int send_too_much(struct thaw_jailed *self)
{
	static char bytes[8 + THAW_JAILED_PAYLOAD_MAX + 1];

	memcpy(bytes, &(uint32_t){THAW_JAILED_RESULT}, 4);
	return send_raw(self, bytes, sizeof(bytes));
}

static int send_unwanted(struct thaw_jailed *self)
{
	thaw_jailed_send(self, THAW_JAILED_DATA, 0, "x", 1);
	return wait_forever(self);
}

/* These children never exit by themselves: a child that is refused gets no more time. */
Test(exchange, malformed_messages_are_refused_at_once, .timeout = 30)
{
	expect_failure(TRIAL(.then = send_half_a_header, .without_result = true,
			     .exchange.end_ms = FOREVER_MS),
		       "malformed message", "");
	expect_failure(TRIAL(.then = send_unknown_type, .without_result = true,
			     .exchange.end_ms = FOREVER_MS),
		       "malformed message", "");
	expect_failure(
		TRIAL(.then = send_too_much, .without_result = true, .exchange.end_ms = FOREVER_MS),
		"malformed message", "");
	expect_failure(
		TRIAL(.then = send_unwanted, .without_result = true, .exchange.end_ms = FOREVER_MS),
		"unexpected message", "");
}

/* ---- The jail ---- */

static int look_around(struct thaw_jailed *self)
{
	char answer[64];
	int fd = open("/etc/passwd", O_RDONLY);

	snprintf(answer, sizeof(answer), "%s %d %s", fd < 0 ? "no files" : "files",
		 fcntl(self->channel, F_GETFD) >= 0, fcntl(100, F_GETFD) < 0 ? "closed" : "open");
	thaw_jailed_send(self, THAW_JAILED_RESULT, 7, answer, strlen(answer));
	return 0;
}

Test(exchange, the_child_is_in_the_jail)
{
	struct trial trial = {.then = look_around, .without_result = true};
	struct thaw_error err;

	cr_assert_eq(dup2(STDOUT_FILENO, 100), 100);
	cr_assert_eq(run(&trial, &err), 0, "%s", err.message);
	/* Where the host allows no mount namespace there is no empty root. */
	cr_expect_not_null(strstr(trial.taken, "files 1 closed"), "%s", trial.taken);
}
