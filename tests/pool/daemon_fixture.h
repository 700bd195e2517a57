/* SPDX-License-Identifier: Apache-2.0 */
/* A real thawd for a test, with directories of its own. */
#ifndef TEST_DAEMON_FIXTURE_H
#define TEST_DAEMON_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct test_daemon {
	char base[32], state[48], run[48], log[48];
	pid_t pid;
};

/* Makes the directories. */
void daemon_prepare(struct test_daemon *daemon);
/* Freezes PROGRAM, a shipped function or "mirror", as NAME, in place of an earlier image. */
void daemon_freeze(const struct test_daemon *daemon, const char *name, const char *program,
		   unsigned timeout_ms);
/* Starts thawd with up to four more ARGS (NULL-terminated; NULL: none) and waits until it says that
 * it serves. */
void daemon_start(struct test_daemon *daemon, const char *const *args);
/* Sends SIGNAL to it and returns its exit code, or 128 plus the signal that ended it. */
int daemon_end(struct test_daemon *daemon, int signal);
/* Ends the daemon if it runs, asserts that it ends well, and removes the directories. */
void daemon_clean(struct test_daemon *daemon);

/* The process of NAME's worker, or 0. */
pid_t daemon_worker(const struct test_daemon *daemon, const char *name);
unsigned daemon_children(pid_t pid);
unsigned daemon_descriptors(pid_t pid);
/* Waits until CONDITION(CONTEXT) holds; false after half a minute. */
bool daemon_wait(bool (*condition)(void *context), void *context);
/* Whether the log has TEXT. */
bool daemon_logged(const struct test_daemon *daemon, const char *text);

#endif
