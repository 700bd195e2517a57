/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes dumped and restored by criu. The server has a session of its own, all its files are
 * in one directory, and no client is connected when it is dumped, so criu needs no special
 * options.
 */
#include "bench/peers/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/base/pause.h"
#include "bench/peers/server.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define SETTLE_NS 100000000u
#define NFTW_FDS  8

struct thaw_criu {
	struct thaw_criu_config config;
	struct sockaddr_un address; /* a file in DIRECTORY */
	char directory[96], images[104], said[104];
	struct thaw_server *server; /* for asking the server, dumped or restored */
	pid_t pid;		    /* of the server; 0: none runs */
	pid_t dumped_pid;
};

static _Noreturn void become_server(const struct thaw_criu *criu, int fd)
{
	static char servers[] = "THAW_PREFORK=1";
	char *const env[] = {servers, NULL};
	int nowhere = open("/dev/null", O_RDWR);

	setsid();
	dup2(fd, STDIN_FILENO);
	dup2(nowhere, STDOUT_FILENO);
	dup2(nowhere, STDERR_FILENO);
	/* criu refuses descriptors that it did not see opened. */
	close_range(STDERR_FILENO + 1, ~0u, 0);
	execve(criu->config.program, criu->config.args, env);
	_exit(127);
}

static int start_server(struct thaw_criu *criu, struct thaw_error *err)
{
	thaw_autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&criu->address, sizeof(criu->address)) ||
	    listen(fd, SOMAXCONN))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot listen");
	criu->pid = fork();
	if (criu->pid == 0)
		become_server(criu, fd);
	return criu->pid < 0 ? thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot fork") : 0;
}

/* Kills the server and its children; they share one session and so one group. */
static void end_server(struct thaw_criu *criu)
{
	if (criu->pid <= 0)
		return;
	kill(-criu->pid, SIGKILL);
	kill(criu->pid, SIGKILL); /* in case it has no group yet */
	while (waitpid(-criu->pid, NULL, 0) > 0 || errno == EINTR)
		;
	criu->pid = 0;
}

/* Opens a connection, sends a request and takes its response. */
static int ask(const struct thaw_criu *criu, struct thaw_error *err)
{
	void *client;
	int failed;

	if (thaw_server_open(criu->server, 0, &client, err))
		return -1;
	failed = thaw_server_call(client, err);
	thaw_server_close(client);
	return failed;
}

/* ---- criu ---- */

static int run_criu(const struct thaw_criu *criu, char *const *args)
{
	posix_spawn_file_actions_t actions;
	static char *const no_env[] = {NULL};
	int error, status = -1;
	pid_t pid;

	if (posix_spawn_file_actions_init(&actions))
		return -1;
	error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0) ||
		posix_spawn_file_actions_addopen(&actions, 1, criu->said,
						 O_WRONLY | O_CREAT | O_TRUNC, 0600) ||
		posix_spawn_file_actions_adddup2(&actions, 1, 2) ||
		posix_spawn(&pid, criu->config.criu, &actions, NULL, args, no_env);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : -1;
}

static int fail_criu(const struct thaw_criu *criu, const char *what, struct thaw_error *err)
{
	char line[256] = "";
	FILE *said = fopen(criu->said, "re");

	/* Warnings, and messages that one of criu's own tools ended, precede the reason. */
	while (said && fgets(line, sizeof(line), said) &&
	       (!strstr(line, "Error (") || strstr(line, "exited, status")))
		*line = '\0';
	if (said)
		fclose(said);
	line[strcspn(line, "\n")] = '\0';
	return thaw_fail(err, THAW_ERR_FAILURE, "criu cannot %s: %s", what,
			 *line ? line : "it does not say why");
}

static int dump(struct thaw_criu *criu, struct thaw_error *err)
{
	char pid[16];
	char *const args[] = {(char[]){"criu"},
			      (char[]){"dump"},
			      (char[]){"-v1"},
			      (char[]){"-t"},
			      pid,
			      (char[]){"-D"},
			      criu->images,
			      NULL};

	snprintf(pid, sizeof(pid), "%d", criu->pid);
	if (run_criu(criu, args))
		return fail_criu(criu, "dump", err);
	end_server(criu); /* criu has killed it; reap it */
	return 0;
}

int thaw_criu_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct thaw_criu *criu = context;
	char *const args[] = {(char[]){"criu"},
			      (char[]){"restore"},
			      (char[]){"-v1"},
			      (char[]){"-d"},
			      (char[]){"-D"},
			      criu->images,
			      NULL};
	uint64_t start = thaw_monotonic_ns();
	int failed;

	if (run_criu(criu, args))
		return fail_criu(criu, "restore", err);
	criu->pid = criu->dumped_pid; /* restored with the same pid */
	failed = ask(criu, err);
	*ns = thaw_monotonic_ns() - start;
	end_server(criu);
	return failed;
}

/* ---- The peer ---- */

static int make_directory(struct thaw_criu *criu, struct thaw_error *err)
{
	const char *parent = getenv("TMPDIR");
	char path[sizeof(criu->directory)];
	int length = snprintf(path, sizeof(path), "%s/thaw-criu-XXXXXX",
			      parent && *parent ? parent : "/tmp");

	/* The socket's path in it must fit in sun_path, which is shorter still. */
	if (length < 0 || (size_t)length >= sizeof(path))
		return thaw_fail(err, THAW_ERR_USAGE, "TMPDIR is too long a path");
	if (!mkdtemp(path))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make %s", path);
	memcpy(criu->directory, path, sizeof(path));
	snprintf(criu->images, sizeof(criu->images), "%s/images", path);
	snprintf(criu->said, sizeof(criu->said), "%s/said", path);
	criu->address.sun_family = AF_UNIX;
	snprintf(criu->address.sun_path, sizeof(criu->address.sun_path), "%s/socket", path);
	return mkdir(criu->images, 0700)
		       ? thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make %s", path)
		       : 0;
}

static int start_and_dump(struct thaw_criu *criu, struct thaw_error *err)
{
	const struct thaw_server_config server = {.program = criu->config.program,
						  .programs = 1,
						  .request = criu->config.request,
						  .request_length = criu->config.request_length};

	if (make_directory(criu, err) ||
	    thaw_server_elsewhere(&server, &criu->address, &criu->server, err) ||
	    start_server(criu, err) || ask(criu, err))
		return -1;
	/* Gives the server time to see that its client is gone: criu cannot dump a connection. */
	thaw_bench_pause(SETTLE_NS);
	criu->dumped_pid = criu->pid;
	return dump(criu, err);
}

int thaw_criu_open(const struct thaw_criu_config *config, struct thaw_criu **out,
		   struct thaw_error *err)
{
	struct thaw_criu *criu = calloc(1, sizeof(*criu));

	if (!criu)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot prepare criu");
	criu->config = *config;
	prctl(PR_SET_CHILD_SUBREAPER, 1L);
	if (start_and_dump(criu, err)) {
		thaw_criu_close(criu);
		return -1;
	}
	*out = criu;
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void thaw_criu_close(struct thaw_criu *criu)
{
	if (!criu)
		return;
	end_server(criu);
	prctl(PR_SET_CHILD_SUBREAPER, 0L);
	thaw_server_stop(criu->server);
	if (*criu->directory)
		nftw(criu->directory, remove_entry, NFTW_FDS, FTW_DEPTH | FTW_PHYS);
	free(criu);
}
