/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and ending a real thawd; see daemon_fixture.h. */
#include "tests/pool/daemon_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void daemon_prepare(struct test_daemon *daemon)
{
	strcpy(daemon->base, "/tmp/thawd-test-XXXXXX");
	cr_assert_not_null(mkdtemp(daemon->base));
	snprintf(daemon->state, sizeof(daemon->state), "%s/state", daemon->base);
	snprintf(daemon->run, sizeof(daemon->run), "%s/run", daemon->base);
	snprintf(daemon->log, sizeof(daemon->log), "%s/log", daemon->base);
	cr_assert_eq(mkdir(daemon->state, 0700), 0);
	daemon->pid = 0;
}

static int wait_code(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void daemon_freeze(const struct test_daemon *daemon, const char *name, const char *program,
		   unsigned timeout_ms)
{
	char path[512], timeout[16];
	pid_t pid;

	if (strcmp(program, "mirror") == 0)
		snprintf(path, sizeof(path), "%s", TEST_MIRROR);
	else
		snprintf(path, sizeof(path), "%s/%s", TEST_FUNCTIONS, program);
	snprintf(timeout, sizeof(timeout), "%u", timeout_ms);
	pid = fork();
	if (pid == 0) {
		execl(TEST_FREEZE, TEST_FREEZE, daemon->state, name, path, timeout, NULL);
		_exit(127);
	}
	cr_assert_eq(wait_code(pid), 0, "%s does not freeze", program);
}

bool daemon_wait(bool (*condition)(void *context), void *context)
{
	const struct timespec pause = {.tv_nsec = 2000000};

	for (int i = 0; i < 15000; i++) {
		if (condition(context))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

bool daemon_logged(const struct test_daemon *daemon, const char *text)
{
	static char log[1 << 20];
	FILE *file = fopen(daemon->log, "re");
	size_t length = file ? fread(log, 1, sizeof(log) - 1, file) : 0;

	if (file)
		fclose(file);
	log[length] = '\0';
	return strstr(log, text) != NULL;
}

static bool serves(void *context)
{
	const struct test_daemon *daemon = context;

	return daemon_logged(daemon, "thawd: serving ") || kill(daemon->pid, 0) < 0;
}

void daemon_start(struct test_daemon *daemon, const char *const *args)
{
	const char *argv[16] = {TEST_THAWD,  "--state",	    daemon->state, "--run",
				daemon->run, "--log-level", "debug"};
	unsigned count = 7;

	for (; args && *args; args++)
		argv[count++] = *args;
	daemon->pid = fork();
	if (daemon->pid == 0) {
		int log = open(daemon->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		/* The daemon ends with the test, however that ends. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(log, 2);
		execv(TEST_THAWD, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	cr_assert(daemon_wait(serves, daemon), "thawd does not serve");
}

int daemon_end(struct test_daemon *daemon, int signal)
{
	pid_t pid = daemon->pid;

	daemon->pid = 0;
	cr_assert_eq(kill(pid, signal), 0);
	return wait_code(pid);
}

void daemon_clean(struct test_daemon *daemon)
{
	char command[64];

	if (daemon->pid)
		cr_expect_eq(daemon_end(daemon, SIGTERM), 0);
	snprintf(command, sizeof(command), "rm -rf %s", daemon->base);
	cr_assert_eq(system(command), 0);
}

static unsigned list_children(pid_t pid, pid_t *children, unsigned room)
{
	char path[64];
	unsigned count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = fopen(path, "re");
	while (file && count < room && fscanf(file, "%d", &children[count]) == 1)
		count++;
	if (file)
		fclose(file);
	return count;
}

unsigned daemon_children(pid_t pid)
{
	pid_t children[256];

	return list_children(pid, children, 256);
}

pid_t daemon_worker(const struct test_daemon *daemon, const char *name)
{
	pid_t children[64];
	unsigned count = list_children(daemon->pid, children, 64);

	for (unsigned i = 0; i < count; i++) {
		char path[64], line[256] = "";
		FILE *file;
		size_t got;

		snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)children[i]);
		file = fopen(path, "re");
		got = file ? fread(line, 1, sizeof(line) - 1, file) : 0;
		if (file)
			fclose(file);
		/* "thawd", "--worker", NAME */
		if (got > strlen("thawd") + 1 + strlen("--worker") + 1 &&
		    strcmp(line + strlen("thawd") + 1 + strlen("--worker") + 1, name) == 0)
			return children[i];
	}
	return 0;
}

unsigned daemon_descriptors(pid_t pid)
{
	unsigned count = 0;
	char path[64];
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	cr_assert_not_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 2;
}
