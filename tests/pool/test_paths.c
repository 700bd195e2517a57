/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and their precedence, what is refused, socket addresses, the lock. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/common/paths.h"

static char base[64];

static void setup(void)
{
	strcpy(base, "/tmp/thaw-paths-XXXXXX");
	cr_assert_not_null(mkdtemp(base));
	unsetenv("THAW_STATE");
	unsetenv("THAW_RUN");
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", base);
	cr_assert_eq(system(command), 0);
}

TestSuite(paths, .init = setup, .fini = teardown);

static void expect(int result, char **path, const char *wanted)
{
	cr_assert_eq(result, 0);
	cr_assert_str_eq(*path, wanted);
	free(*path);
}

Test(paths, the_option_beats_the_environment_beats_the_default)
{
	char *path = NULL;

	setenv("THAW_STATE", "/from/environment", 1);
	setenv("THAW_RUN", "/run/environment", 1);
	expect(thaw_paths_state("/from/option", &path, NULL), &path, "/from/option");
	expect(thaw_paths_state(NULL, &path, NULL), &path, "/from/environment");
	expect(thaw_paths_run("/run/option", &path, NULL), &path, "/run/option");
	expect(thaw_paths_run(NULL, &path, NULL), &path, "/run/environment");
	setenv("THAW_STATE", "", 1);
	setenv("THAW_RUN", "", 1);
	if (geteuid() == 0) {
		expect(thaw_paths_state(NULL, &path, NULL), &path, "/var/lib/thaw");
		expect(thaw_paths_run(NULL, &path, NULL), &path, "/run/thaw");
	}
}

/* Runs in a child, which gives up root where the test has it. */
static int as_nobody(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(99);
		body();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_xdg(void)
{
	char *path = NULL;

	setenv("XDG_STATE_HOME", "/xdg/state", 1);
	setenv("XDG_RUNTIME_DIR", "/xdg/run", 1);
	setenv("HOME", "/home/somebody", 1);
	if (thaw_paths_state(NULL, &path, NULL) || strcmp(path, "/xdg/state/thaw") != 0)
		_exit(1);
	if (thaw_paths_run(NULL, &path, NULL) || strcmp(path, "/xdg/run/thaw") != 0)
		_exit(2);
	unsetenv("XDG_STATE_HOME");
	if (thaw_paths_state(NULL, &path, NULL) ||
	    strcmp(path, "/home/somebody/.local/state/thaw") != 0)
		_exit(3);
	unsetenv("HOME");
	if (!thaw_paths_state(NULL, &path, NULL))
		_exit(4);
}

Test(paths, others_have_their_own_directories)
{
	cr_assert_eq(as_nobody(check_xdg), 0);
}

static void check_fallback(void)
{
	struct thaw_error err = THAW_ERROR_INIT;
	char *path = NULL, wanted[64];

	unsetenv("XDG_RUNTIME_DIR");
	snprintf(wanted, sizeof(wanted), "/tmp/thaw-%u", geteuid());
	if (thaw_paths_run(NULL, &path, &err) == 0) {
		if (strcmp(path, wanted) != 0)
			_exit(1);
	} else if (!strstr(err.message, "--run")) {
		_exit(2);
	}
	/* A directory that others may enter is refused, and so is a link. */
	rmdir(wanted);
	if (mkdir(wanted, 0755) == 0 && thaw_paths_run(NULL, &path, &err) == 0)
		_exit(3);
	rmdir(wanted);
	if (symlink("/tmp", wanted) == 0 && thaw_paths_run(NULL, &path, &err) == 0)
		_exit(4);
	unlink(wanted);
}

Test(paths, the_fallback_in_tmp_must_be_private)
{
	cr_assert_eq(as_nobody(check_fallback), 0);
}

Test(paths, relative_becomes_absolute)
{
	char *path = NULL, wanted[128];

	cr_assert_eq(chdir(base), 0);
	snprintf(wanted, sizeof(wanted), "%s/some/where", base);
	expect(thaw_paths_run("some/where", &path, NULL), &path, wanted);
	cr_assert_lt(thaw_paths_run("", &path, NULL), 0);
}

Test(paths, directories_are_made_and_unsafe_ones_refused)
{
	struct thaw_error err = THAW_ERROR_INIT;
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/a/b/c", base);
	umask(022);
	cr_assert_eq(thaw_paths_make(path, 0700, &err), 0, "%s", err.message);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
	cr_assert_eq(thaw_paths_make(path, 0700, &err), 0, "again is fine");
	cr_assert_eq(chmod(path, 0777), 0);
	cr_assert_lt(thaw_paths_make(path, 0700, &err), 0);
	cr_assert_not_null(strstr(err.message, "chmod"));
	snprintf(path, sizeof(path), "%s/file", base);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	cr_assert_lt(thaw_paths_make(path, 0700, &err), 0);
}

Test(paths, addresses)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct sockaddr_un address;
	char run[200];
	socklen_t length;

	cr_assert_eq(thaw_paths_socket("/run/thaw", "hello", &address, &length, &err), 0);
	cr_assert_str_eq(address.sun_path, "/run/thaw/fn/hello.sock");
	cr_assert_lt(thaw_paths_socket("/run/thaw", "../hello", &address, NULL, &err), 0);
	cr_assert_lt(thaw_paths_socket("/run/thaw", NULL, &address, NULL, &err), 0);
	memset(run, 'x', sizeof(run));
	run[0] = '/';
	/* To the byte: 107 bytes and the NUL fit, one more does not. */
	run[107 - strlen("/fn/a.sock")] = '\0';
	cr_assert_eq(thaw_paths_socket(run, "a", &address, &length, &err), 0, "%s", err.message);
	cr_assert_eq(strlen(address.sun_path), 107);
	cr_assert_lt(thaw_paths_socket(run, "ab", &address, NULL, &err), 0);
	cr_assert_not_null(strstr(err.message, "--run"));
}

Test(paths, one_daemon_holds_the_lock_and_is_named)
{
	struct thaw_error err = THAW_ERROR_INIT;
	char wanted[32];
	pid_t pid = 0;
	int fd, other;

	cr_assert_not(thaw_paths_daemon_alive(base, NULL));
	cr_assert_eq(thaw_paths_lock(base, &fd, &err), 0, "%s", err.message);
	cr_assert(thaw_paths_daemon_alive(base, &pid));
	cr_assert_eq(pid, getpid());
	cr_assert_lt(thaw_paths_lock(base, &other, &err), 0);
	snprintf(wanted, sizeof(wanted), "process %d", (int)getpid());
	cr_assert_not_null(strstr(err.message, wanted), "%s", err.message);
	close(fd);
	cr_assert_not(thaw_paths_daemon_alive(base, NULL));
	cr_assert_eq(thaw_paths_lock(base, &fd, &err), 0);
	close(fd);
}
