/* SPDX-License-Identifier: Apache-2.0 */
/* The limits and peers do what they say: a real echo server, a real process for each request,
 * servers of two kinds, a machine that QEMU restores. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/limits/echo.h"
#include "bench/peers/criu.h"
#include "bench/peers/peer_files.h"
#include "bench/peers/qemu.h"
#include "bench/peers/server.h"
#include "bench/peers/spawn.h"

Test(echo, any_sizes_go_round)
{
	static const size_t sizes[][2] = {{0, 0},     {1, 0},	   {46, 13},
					  {0, 61441}, {200000, 3}, {1 << 20, 1 << 20}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct thaw_echo *echo;
		uint64_t ns;

		cr_assert_eq(
			thaw_echo_start(&(struct thaw_echo_config){sizes[i][0], sizes[i][1], 1},
					&echo, NULL),
			0);
		for (int round = 0; round < 20; round++) {
			ns = 0;
			cr_assert_eq(thaw_echo_measure(echo, &ns, NULL), 0);
			cr_assert_gt(ns, 0);
		}
		thaw_echo_stop(echo);
	}
	/* No server is left behind. */
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_eq(errno, ECHILD);
	thaw_echo_stop(NULL);
}

Test(echo, a_hand_over_goes_through_another_process)
{
	const struct thaw_echo_config config = {100, 100, 3, .hand_over = true};
	struct thaw_echo *echo;

	cr_assert_eq(thaw_echo_start(&config, &echo, NULL), 0);
	for (int round = 0; round < 20; round++)
		for (unsigned i = 0; i < 3; i++)
			cr_assert_eq(thaw_echo_call(echo, i, NULL), 0);
	thaw_echo_stop(echo);
}

static struct thaw_spawn *open_peer(char *program, char *script, const void *request, size_t length)
{
	static char option[] = "-c";
	static char *args[4], *env[] = {NULL};
	struct thaw_spawn_config config = {program, args, env, request, length};
	struct thaw_spawn *spawn;

	args[0] = program;
	args[1] = option;
	args[2] = script;
	cr_assert_eq(thaw_spawn_open(&config, &spawn, NULL), 0);
	return spawn;
}

Test(spawn, every_process_gets_the_whole_request)
{
	static char request[300000];
	struct thaw_spawn *spawn;
	int exit_code;
	size_t length;
	uint64_t ns;

	memset(request, 'x', sizeof(request));
	spawn = open_peer((char[]){"/bin/sh"}, (char[]){"cat; exit 7"}, request, sizeof(request));
	for (int round = 0; round < 3; round++) {
		cr_assert_eq(thaw_spawn_measure(spawn, &ns, NULL), 0);
		thaw_spawn_last(spawn, &exit_code, &length);
		cr_assert_eq(exit_code, 7);
		cr_assert_eq(length, sizeof(request));
	}
	thaw_spawn_close(spawn);
}

Test(spawn, a_killed_process_is_an_error)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_spawn *spawn = open_peer((char[]){"/bin/sh"}, (char[]){"kill -SEGV $$"}, "", 0);
	uint64_t ns;

	cr_assert_lt(thaw_spawn_measure(spawn, &ns, &err), 0);
	cr_assert(strstr(err.message, "signal 11"));
	thaw_spawn_close(spawn);
	thaw_spawn_close(NULL);
}

Test(spawn, a_missing_program_is_an_error)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_spawn *spawn = open_peer((char[]){"/nonexistent/peer"}, (char[]){""}, "", 0);
	uint64_t ns;

	cr_assert_lt(thaw_spawn_measure(spawn, &ns, &err), 0);
	cr_assert(strstr(err.message, "/nonexistent/peer"));
	thaw_spawn_close(spawn);
}

static void make_file(const char *path, mode_t mode)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fclose(file);
	cr_assert_eq(chmod(path, mode), 0);
}

Test(spawn, peers_are_found_beside_the_program_or_in_the_build)
{
	char root[] = "/tmp/thaw-peer-XXXXXX", program[128], beside[128], built[128], near[128],
	     found[256];

	cr_assert_not_null(mkdtemp(root));
	snprintf(program, sizeof(program), "%s/fn", root);
	snprintf(beside, sizeof(beside), "%s/fn-linux", root);
	snprintf(near, sizeof(near), "%s/pool", root);
	snprintf(built, sizeof(built), "%s/bench", root);
	cr_assert_eq(mkdir(near, 0700) | mkdir(built, 0700), 0);
	snprintf(built, sizeof(built), "%s/bench/peers", root);
	cr_assert_eq(mkdir(built, 0700), 0);
	snprintf(built, sizeof(built), "%s/bench/peers/fn", root);

	cr_assert_lt(thaw_spawn_find(program, near, found, sizeof(found)), 0);
	make_file(built, 0700);
	cr_assert_eq(thaw_spawn_find(program, near, found, sizeof(found)), 0);
	cr_assert_eq(access(found, X_OK), 0);
	make_file(beside, 0600); /* not a program */
	cr_assert_eq(thaw_spawn_find(program, near, found, sizeof(found)), 0);
	cr_assert_str_neq(found, beside);
	chmod(beside, 0700);
	cr_assert_eq(thaw_spawn_find(program, near, found, sizeof(found)), 0);
	cr_assert_str_eq(found, beside);
	cr_assert_lt(thaw_spawn_find(program, near, found, 8), 0);

	unlink(beside);
	unlink(built);
	snprintf(built, sizeof(built), "%s/bench/peers", root);
	rmdir(built);
	snprintf(built, sizeof(built), "%s/bench", root);
	rmdir(built);
	rmdir(near);
	rmdir(root);
}

/* Echoes on either kind of socket, and counts itself in a file. */
static char server_script[] =
	"import os, socket, sys\n"
	"listener = socket.socket(fileno=0)\n"
	"while True:\n"
	"    connection, _ = listener.accept()\n"
	"    if os.fork() == 0:\n"
	"        packets = listener.type == socket.SOCK_SEQPACKET\n"
	"        got = connection.recv(61440)\n"
	"        while got:\n"
	"            length = int.from_bytes(got[:8], 'little')\n"
	"            while len(got) < 8 + length:\n"
	"                got += connection.recv(61440)\n"
	"            if packets:\n"
	"                for at in range(0, len(got), 61440):\n"
	"                    connection.send(got[at:at + 61440])\n"
	"            else:\n"
	"                for at in (0, 1, 5, 9):\n"
	"                    connection.sendall(got[at:{0: 1, 1: 5, 5: 9, 9: len(got)}[at]])\n"
	"            got = connection.recv(61440)\n"
	"        os._exit(0)\n";

static void serve(bool stream, size_t length)
{
	static char request[300000], python[] = "python3", option[] = "-c";
	char *const args[] = {python, option, server_script, NULL};
	const struct thaw_server_config config = {.program = "/usr/bin/python3",
						  .args = args,
						  .env = environ,
						  .stream = stream,
						  .programs = 2,
						  .request = request,
						  .request_length = length};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_server *server;
	void *clients[3];
	uint64_t ns = 0;

	cr_assert_eq(thaw_server_start(&config, &server, &err), 0, "%s", err.message);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(thaw_server_open(server, i, &clients[i], NULL), 0);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 3; i++)
			cr_assert_eq(thaw_server_call(clients[i], &err), 0, "%s", err.message);
	cr_assert_eq(thaw_server_measure(server, &ns, NULL), 0);
	cr_assert_gt(ns, 0);
	cr_assert_eq(thaw_server_response_length(server), length);
	for (unsigned i = 0; i < 3; i++)
		thaw_server_close(clients[i]);
	thaw_server_stop(server);
}

Test(server, of_packets_and_of_streams)
{
	serve(false, 0);
	serve(false, 300000);
	serve(true, 0);
	serve(true, 3);
	serve(true, 300000);
	thaw_server_stop(NULL);
}

Test(server, that_does_not_start_is_an_error)
{
	char *const args[] = {(char[]){"false"}, NULL}, *const env[] = {NULL};
	const struct thaw_server_config config = {
		.program = "/bin/false", .args = args, .env = env, .programs = 1};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_server *server;

	cr_assert_lt(thaw_server_start(&config, &server, &err), 0);
	cr_assert(strstr(err.message, "/bin/false"));
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
}

Test(peers, what_a_restorer_complains_of_is_the_error)
{
	/* Prints an error as criu does. */
	static const char refuser[] =
		"#!/bin/sh\necho 'Warn  (a.c:1): strange'\necho 'Error (b.c:2): no luck'\nexit 1\n";
	char path[] = "/tmp/thaw-test-criu-XXXXXX";
	int fd = mkstemp(path);
	char *const args[] = {(char[]){"python3"}, (char[]){"-c"}, server_script, NULL};
	const struct thaw_qemu_config qemu = {.program = "/bin/false", .firmware = "/dev/null"};
	const struct thaw_criu_config criu = {.criu = path,
					      .program = "/usr/bin/python3",
					      .args = args,
					      .request = "hello",
					      .request_length = 5};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_qemu *machine;
	struct thaw_criu *process;

	cr_assert_lt(thaw_qemu_open(&qemu, &machine, &err), 0);
	cr_assert(strstr(err.message, "does not boot"));
	cr_assert_eq(write(fd, refuser, strlen(refuser)), (ssize_t)strlen(refuser));
	cr_assert_eq(fchmod(fd, 0700), 0);
	close(fd);
	cr_assert_lt(thaw_criu_open(&criu, &process, &err), 0);
	unlink(path);
	cr_expect(strstr(err.message, "criu cannot dump: Error (b.c:2): no luck"), "%s",
		  err.message);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	thaw_qemu_close(NULL);
	thaw_criu_close(NULL);
}

Test(peers, programs_are_found_by_path)
{
	char found[64];

	setenv("PATH", "/nonexistent::/bin", 1);
	cr_assert_eq(thaw_peer_program("sh", found, sizeof(found)), 0);
	cr_assert_str_eq(found, "/bin/sh");
	cr_assert_lt(thaw_peer_program("sh", found, 7), 0);
	cr_assert_lt(thaw_peer_program("no-such-program", found, sizeof(found)), 0);
}
