/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker process as the front sees it: what it reports, what it prints, how it ends. The front
 * trusts none of it: a worker that was taken over can say anything, and gains a line in the log.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/front/internal.h"
#include "snapshot-format/base/clock.h"

/* Reads of a dead worker's socket, and of its pipe. An honest worker leaves far less. */
#define LAST_READS 64u

/* What one read of a worker's socket or pipe found. */
enum heard { HEARD_SOMETHING, HEARD_NOTHING_YET, HEARD_END };

/* GOT is the result of a read that does not wait. Its errno counts only when GOT is negative: the
 * end of a stream leaves errno as an earlier call set it. */
static enum heard judge(ssize_t got)
{
	if (got > 0)
		return HEARD_SOMETHING;
	return got < 0 && (errno == EAGAIN || errno == EINTR) ? HEARD_NOTHING_YET : HEARD_END;
}

/* ---- What it reports ---- */

static void hear(struct thaw_child *child, struct thaw_worker_report *report)
{
	bool starts = child->state == THAW_CHILD_STARTING;

	if (report->version != THAW_WORKER_PROTOCOL)
		return;
	report->message[sizeof(report->message) - 1] = '\0';
	if (starts && report->word == THAW_WORKER_SERVING) {
		child->events->serving(child->function, child);
	} else if ((starts && report->word == THAW_WORKER_FAILED) ||
		   (child->state <= THAW_CHILD_SERVING && report->word == THAW_WORKER_REFUSED)) {
		child->verdict = (enum thaw_worker_word)report->word;
		memcpy(child->message, report->message, sizeof(child->message));
	}
}

static enum heard read_word(struct thaw_child *child)
{
	struct thaw_worker_report report;
	ssize_t got = recv(child->words.fd, &report, sizeof(report), MSG_DONTWAIT);
	enum heard heard = judge(got);

	if (got == (ssize_t)sizeof(report))
		hear(child, &report);
	return heard;
}

void thaw_child_words(struct thaw_watch *watch, uint32_t events)
{
	struct thaw_child *child = thaw_container_of(watch, struct thaw_child, words);

	(void)events;
	/* After the end of the stream only the worker's death can follow. A worker that closes its
	 * end to escape supervision is killed. */
	if (read_word(child) == HEARD_END) {
		thaw_watch_close(&child->words);
		thaw_child_kill(child);
	}
}

/* ---- What it prints ---- */

static void print_line(struct thaw_child *child)
{
	uint64_t now_ns = thaw_monotonic_ns(), dropped;

	if (child->line_length == 0)
		return;
	if (thaw_rate_limit_allow(&child->output_limit, now_ns)) {
		dropped = thaw_rate_limit_take_dropped(&child->output_limit);
		if (dropped)
			thaw_log(THAW_LOG_warning,
				 "%s: %llu lines of the worker's output were dropped",
				 child->function->name, (unsigned long long)dropped);
		thaw_log_relay(child->function->name, child->line, child->line_length);
	}
	child->line_length = 0;
}

static enum heard read_output(struct thaw_child *child)
{
	char buffer[4096];
	ssize_t got = read(child->output.fd, buffer, sizeof(buffer));
	enum heard heard = judge(got);

	for (ssize_t i = 0; i < got; i++) {
		if (buffer[i] == '\n' || child->line_length == sizeof(child->line))
			print_line(child);
		if (buffer[i] != '\n')
			child->line[child->line_length++] = buffer[i];
	}
	return heard;
}

void thaw_child_output(struct thaw_watch *watch, uint32_t events)
{
	struct thaw_child *child = thaw_container_of(watch, struct thaw_child, output);

	(void)events;
	if (read_output(child) == HEARD_END)
		thaw_watch_close(&child->output);
}

/* ---- How it ends ---- */

void thaw_child_drain(struct thaw_child *child)
{
	const struct thaw_worker_drain order = {.version = THAW_WORKER_PROTOCOL};

	child->state = THAW_CHILD_ENDING;
	/* A worker that does not read its orders has no work worth waiting for. */
	if (send(child->words.fd, &order, sizeof(order), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		thaw_child_kill(child);
}

void thaw_child_kill(struct thaw_child *child)
{
	if (child->death.fd >= 0)
		syscall(SYS_pidfd_send_signal, child->death.fd, SIGKILL, NULL, 0);
}

static void describe(int pidfd, char *text, size_t size)
{
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
		snprintf(text, size, "has ended");
	else if (info.si_code == CLD_EXITED)
		snprintf(text, size, "ended with code %d", info.si_status);
	else
		snprintf(text, size, "was killed by signal %d (%s)", info.si_status,
			 strsignal(info.si_status));
}

void thaw_child_death(struct thaw_watch *watch, uint32_t events)
{
	struct thaw_child *child = thaw_container_of(watch, struct thaw_child, death);
	char why[128];

	(void)events;
	/* Read its last words first: they say why it ended. The bound keeps a process that holds a
	 * copy of the worker's descriptors from keeping the front here. */
	for (unsigned i = 0; i < LAST_READS && child->words.fd >= 0; i++)
		if (read_word(child) != HEARD_SOMETHING)
			break;
	for (unsigned i = 0; i < LAST_READS && child->output.fd >= 0; i++)
		if (read_output(child) != HEARD_SOMETHING)
			break;
	print_line(child);
	describe(watch->fd, why, sizeof(why));
	child->events->lost(child->function, child, why);
	thaw_child_free(child);
}

void thaw_child_free(struct thaw_child *child)
{
	struct thaw_child **link = &child->function->children;

	while (*link != child)
		link = &(*link)->next;
	*link = child->next;
	thaw_watch_close(&child->death);
	thaw_watch_close(&child->words);
	thaw_watch_close(&child->output);
	thaw_memory_close(&child->memory);
	free(child);
}
