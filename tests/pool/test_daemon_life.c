/* SPDX-License-Identifier: Apache-2.0 */
/* A real daemon's life: images come, change and go, processes die, and the daemon is stopped. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "tests/pool/daemon_fixture.h"
#include "tests/pool/wire.h"

/* The deadline of functions that answer: only a hang reaches it. */
#define PATIENT_MS 60000

static struct test_daemon server;

static void setup(void)
{
	daemon_prepare(&server);
	daemon_freeze(&server, "hello", "hello", PATIENT_MS);
}

static void teardown(void)
{
	daemon_clean(&server);
}

TestSuite(daemon_life, .init = setup, .fini = teardown, .timeout = 900);

static void expect_body(const char *name, const char *request, const char *body)
{
	struct wire_answer answer = wire_invoke(server.run, name, request);

	cr_assert_eq(answer.response.status, THAW_STATUS_ran, "%s: %s", name, answer.message);
	cr_assert_str_eq(answer.body, body, "%s: outcome %u, start %u, after %llu ns: %s", name,
			 answer.response.outcome, answer.response.start,
			 (unsigned long long)answer.response.run_ns, answer.message);
}

/* Whether the function serves. The worker may be dying meanwhile: then the answer is no. */
static bool answers(void *name)
{
	struct wire_answer answer;
	struct wire wire;
	bool good;

	wire_open(&wire, server.run, name);
	wire_submit(&wire, "", 0, 0);
	good = wire_try_answer(&wire, &answer) && answer.response.status == THAW_STATUS_ran;
	wire_close(&wire);
	return good;
}

/* Whether the worker of `counter` answers. A connection that the old worker took just before may
 * still get the old worker's answer. */
static bool counts(void *name)
{
	struct wire_answer answer;
	struct wire wire;
	bool good;

	wire_open(&wire, server.run, name);
	wire_submit(&wire, "", 0, 0);
	good = wire_try_answer(&wire, &answer) && strcmp(answer.body, "1\n") == 0;
	wire_close(&wire);
	return good;
}

static void path_of(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s.thaw", server.state, name);
}

static bool socket_is_gone(void *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/fn/%s.sock", server.run, (char *)name);
	return access(path, F_OK) < 0;
}

Test(daemon_life, functions_appear_and_disappear)
{
	char name[] = "later", path[128];

	daemon_start(&server, NULL);
	expect_body("hello", "", "hello, world\n");
	cr_assert(socket_is_gone(name));
	daemon_freeze(&server, "later", "counter", PATIENT_MS);
	expect_body("later", "", "1\n");
	path_of(path, name);
	cr_assert_eq(unlink(path), 0);
	cr_assert(daemon_wait(socket_is_gone, name));
	daemon_freeze(&server, "later", "hello", PATIENT_MS);
	expect_body("later", "", "hello, world\n");
	expect_body("hello", "", "hello, world\n");
}

static bool one_worker(void *context)
{
	(void)context;
	return daemon_children(server.pid) == 1;
}

static bool replaced(void *context)
{
	(void)context;
	return daemon_logged(&server, "in place of the image before");
}

Test(daemon_life, a_new_image_takes_over_and_the_old_finishes)
{
	static struct wire_frame frame;
	struct wire_answer answer;
	struct wire old, idle;
	char name[] = "hello";
	uint64_t id;

	daemon_freeze(&server, "hello", "misbehave", 2000);
	daemon_start(&server, NULL);
	wire_open(&old, server.run, "hello");
	wire_open(&idle, server.run, "hello");
	wire_submit(&idle, "ok", 2, 0);
	wire_answer(&idle);
	id = wire_submit(&old, "hang", 4, 0);
	while (wire_stat(server.run, "hello", "gauges", "busy") != 1)
		;
	daemon_freeze(&server, "hello", "counter", PATIENT_MS);
	cr_assert(daemon_wait(replaced, NULL));
	cr_assert(daemon_wait(counts, name));
	/* The idle client is sent away at once, the other one after its answer. */
	cr_assert(wire_receive(&idle, &frame));
	cr_assert_eq(frame.header.type, THAW_FRAME_goaway);
	cr_assert_not(wire_receive(&idle, &frame));
	answer = wire_answer(&old);
	cr_assert_eq(answer.id, id);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_deadline);
	cr_assert(wire_receive(&old, &frame));
	cr_assert_eq(frame.header.type, THAW_FRAME_goaway);
	cr_assert(daemon_wait(one_worker, NULL), "the old worker is gone");
	wire_close(&old);
	wire_close(&idle);
}

static void damage(const char *name)
{
	char path[128], fresh[136];
	static char bytes[1 << 20];
	FILE *file;
	size_t length;

	path_of(path, name);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	file = fopen(path, "rbe");
	length = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	bytes[600] ^= 1;
	file = fopen(fresh, "wbe");
	cr_assert_eq(fwrite(bytes, 1, length, file), length);
	fclose(file);
	cr_assert_eq(rename(fresh, path), 0);
}

static bool old_stays(void *context)
{
	(void)context;
	return daemon_logged(&server, "the image from before stays in service");
}

Test(daemon_life, a_damaged_image_is_refused_with_its_reason)
{
	struct wire_answer answer;
	struct wire wire;
	char *reply;

	damage("hello");
	daemon_start(&server, NULL);
	cr_assert(daemon_logged(&server, "serving 0 functions, 1 not"));
	wire_open(&wire, server.run, "hello");
	for (int i = 0; i < 3; i++) {
		wire_submit(&wire, "", 0, 0);
		answer = wire_answer(&wire);
		cr_assert_eq(answer.response.status, THAW_STATUS_refused);
		cr_assert_eq(answer.response.exit_code, 126);
		cr_assert_gt(strlen(answer.message), 10);
	}
	reply = wire_control(&wire, "{\"op\":\"stats\"}");
	cr_assert_not_null(strstr(reply, "\"code\": 126") ?: strstr(reply, "\"code\":126"), "%s",
			   reply);
	free(reply);
	/* A good image is served, and the client that asked before is sent to its worker. */
	daemon_freeze(&server, "hello", "hello", PATIENT_MS);
	cr_assert_not(wire_try_answer(&wire, &answer));
	wire_close(&wire);
	expect_body("hello", "", "hello, world\n");
	/* A bad image does not end the service of the good one. */
	damage("hello");
	cr_assert(daemon_wait(old_stays, NULL));
	expect_body("hello", "", "hello, world\n");
}

Test(daemon_life, files_that_are_no_images_are_left_alone)
{
	char path[128];

	path_of(path, "Not A Name");
	close(open(path, O_CREAT | O_WRONLY, 0600));
	path_of(path, "pipe");
	cr_assert_eq(mkfifo(path, 0600), 0);
	daemon_start(&server, NULL);
	expect_body("hello", "", "hello, world\n");
	cr_assert_eq(wire_invoke(server.run, "pipe", "").response.status, THAW_STATUS_refused);
}

Test(daemon_life, workers_and_zygotes_that_die_come_back)
{
	char name[] = "hello";
	unsigned descriptors;

	daemon_start(&server, NULL);
	expect_body("hello", "", "hello, world\n");
	descriptors = daemon_descriptors(server.pid);
	for (int i = 0; i < 6; i++) {
		pid_t worker = daemon_worker(&server, "hello");

		cr_assert_gt(worker, 0);
		cr_assert_eq(kill(worker, SIGKILL), 0);
		cr_assert(daemon_wait(answers, name));
	}
	cr_assert(daemon_wait(one_worker, NULL));
	cr_assert_leq(daemon_descriptors(server.pid), descriptors);
	cr_assert_geq(wire_stat(server.run, "hello", "counters", "requests"), 1);
}

Test(daemon_life, stopping_finishes_what_was_read_and_leaves_nothing)
{
	struct wire_answer answer;
	struct wire wire;
	char name[] = "hello";

	daemon_freeze(&server, "hello", "misbehave", 1500);
	daemon_start(&server, NULL);
	wire_open(&wire, server.run, "hello");
	wire_submit(&wire, "hang", 4, 0);
	while (wire_stat(server.run, "hello", "gauges", "busy") != 1)
		;
	cr_assert_eq(daemon_end(&server, SIGTERM), 0);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_deadline, "%s", answer.message);
	cr_assert_not(wire_try_answer(&wire, &answer));
	cr_assert(socket_is_gone(name));
	wire_close(&wire);
}

static bool is_dead(void *pid)
{
	return kill(*(pid_t *)pid, 0) < 0;
}

Test(daemon_life, a_killed_daemon_takes_its_workers_along_and_starts_again)
{
	daemon_start(&server, NULL);
	for (int i = 0; i < 5; i++) {
		pid_t worker = daemon_worker(&server, "hello");

		expect_body("hello", "", "hello, world\n");
		cr_assert_eq(daemon_end(&server, SIGKILL), 128 + SIGKILL);
		cr_assert(daemon_wait(is_dead, &worker));
		daemon_start(&server, NULL);
		expect_body("hello", "", "hello, world\n");
	}
}

Test(daemon_life, a_second_daemon_names_the_first)
{
	char command[256];

	daemon_start(&server, NULL);
	snprintf(command, sizeof(command), "%s --state %s --run %s 2>&1 | grep -q 'process %d'",
		 TEST_THAWD, server.state, server.run, (int)server.pid);
	cr_assert_eq(system(command), 0);
	expect_body("hello", "", "hello, world\n");
}

Test(daemon_life, a_rescan_finds_nothing_new_and_disturbs_nothing)
{
	pid_t worker;

	daemon_start(&server, NULL);
	worker = daemon_worker(&server, "hello");
	cr_assert_eq(kill(server.pid, SIGHUP), 0);
	daemon_freeze(&server, "later", "counter", PATIENT_MS);
	expect_body("later", "", "1\n");
	cr_assert_eq(daemon_worker(&server, "hello"), worker);
}

static unsigned memory_files(const char *directory)
{
	char command[160];
	unsigned count = 0;
	FILE *list;

	snprintf(command, sizeof(command), "ls -A %s | wc -l", directory);
	list = popen(command, "re");
	cr_assert_eq(fscanf(list, "%u", &count), 1);
	pclose(list);
	return count;
}

Test(daemon_life, kept_images_outlive_the_daemon)
{
	char directory[] = "/dev/shm/thaw-test-XXXXXX", path[128];
	const char *args[] = {"--image-dir", directory, NULL};
	char name[] = "hello", command[64];

	cr_assert_not_null(mkdtemp(directory));
	daemon_start(&server, args);
	expect_body("hello", "", "hello, world\n");
	cr_assert_eq(memory_files(directory), 1);
	cr_assert_eq(daemon_end(&server, SIGKILL), 128 + SIGKILL);
	daemon_start(&server, args);
	/* The killed daemon's worker may still be dying. */
	cr_assert(daemon_wait(answers, name));
	for (int i = 0; i < 20; i++)
		expect_body("hello", "", "hello, world\n");
	cr_assert_eq(memory_files(directory), 1);
	daemon_freeze(&server, "hello", "counter", PATIENT_MS);
	cr_assert(daemon_wait(replaced, NULL));
	cr_assert(daemon_wait(counts, name));
	cr_assert_eq(memory_files(directory), 1);
	path_of(path, "hello");
	cr_assert_eq(unlink(path), 0);
	cr_assert(daemon_wait(socket_is_gone, name));
	cr_assert_eq(daemon_end(&server, SIGTERM), 0);
	cr_assert_eq(memory_files(directory), 0);
	snprintf(command, sizeof(command), "rmdir %s", directory);
	cr_assert_eq(system(command), 0);
}
