/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new process for each request. The request waits in a memory file, which favours the peer over
 * a pipe: no write and no second wake-up is counted against it.
 */
#include "bench/peers/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/peers/peer_files.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/io.h"

struct thaw_spawn {
	struct thaw_spawn_config config;
	int request_fd, log_fd;
	int exit_code;
	size_t response_length;
};

int thaw_spawn_open(const struct thaw_spawn_config *config, struct thaw_spawn **out,
		    struct thaw_error *err)
{
	thaw_autoclose int fd = memfd_create("thaw-bench-request", MFD_CLOEXEC);
	/* Discards what a peer logs for each sample. */
	thaw_autoclose int log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct thaw_spawn *spawn;

	if (fd < 0 || log_fd < 0 ||
	    thaw_write_at(fd, config->request, config->request_length, 0) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot put the request for %s in place", config->program);
	spawn = calloc(1, sizeof(*spawn));
	if (!spawn)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot prepare %s",
				       config->program);
	*spawn = (struct thaw_spawn){.config = *config,
				     .request_fd = thaw_take_fd(&fd),
				     .log_fd = thaw_take_fd(&log_fd)};
	*out = spawn;
	return 0;
}

void thaw_spawn_close(struct thaw_spawn *spawn)
{
	if (!spawn)
		return;
	close(spawn->request_fd);
	close(spawn->log_fd);
	free(spawn);
}

/* Returns 0 or an errno value, as posix_spawn does. */
static int start_process(const struct thaw_spawn *spawn, int response_fd, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return error;
	error = posix_spawn_file_actions_adddup2(&actions, spawn->request_fd, STDIN_FILENO);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, response_fd, STDOUT_FILENO);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, spawn->log_fd, STDERR_FILENO);
	if (!error)
		error = posix_spawn(pid, spawn->config.program, &actions, NULL, spawn->config.args,
				    spawn->config.env);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static size_t read_to_end(int fd)
{
	char buffer[65536];
	size_t length = 0;
	ssize_t got;

	while ((got = read(fd, buffer, sizeof(buffer))) > 0 || (got < 0 && errno == EINTR))
		length += got > 0 ? (size_t)got : 0;
	return length;
}

/* Runs one process to its end; *STATUS is waitpid's. */
static int run_process(struct thaw_spawn *spawn, int *status, struct thaw_error *err)
{
	thaw_autoclose int read_end = -1, write_end = -1;
	int ends[2], error;
	pid_t pid;

	if (lseek(spawn->request_fd, 0, SEEK_SET) != 0 || pipe2(ends, O_CLOEXEC))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make a pipe");
	read_end = ends[0];
	write_end = ends[1];
	error = start_process(spawn, spawn->config.discard ? spawn->log_fd : write_end, &pid);
	if (error)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, error, "cannot start %s",
				       spawn->config.program);
	/* Close our end, or the response would never end. */
	close(thaw_take_fd(&write_end));
	spawn->response_length = read_to_end(read_end);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot wait for %s",
					       spawn->config.program);
	return 0;
}

int thaw_spawn_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct thaw_spawn *spawn = context;
	uint64_t start = thaw_monotonic_ns();
	uint64_t took;
	int status;

	if (run_process(spawn, &status, err))
		return -1;
	took = thaw_monotonic_ns() - start;
	if (!WIFEXITED(status))
		return thaw_fail(err, THAW_ERR_FAILURE, "%s was killed by signal %d (%s)",
				 spawn->config.program, WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
	spawn->exit_code = WEXITSTATUS(status);
	*ns = took;
	return 0;
}

void thaw_spawn_last(const struct thaw_spawn *spawn, int *exit_code, size_t *length)
{
	*exit_code = spawn->exit_code;
	*length = spawn->response_length;
}

int thaw_spawn_find(const char *program, const char *executable_dir, char *out, size_t size)
{
	const char *slash = strrchr(program, '/');
	const char *base = slash ? slash + 1 : program;
	int length = snprintf(out, size, "%s-linux", program);

	if (length > 0 && (size_t)length < size && access(out, X_OK) == 0)
		return 0;
	return thaw_peer_file(executable_dir, base, X_OK, out, size);
}
