/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a jailed child for measurements. Both ends are this program, so the messages are plain
 * structs. */
#include "bench/function/measurer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"

#define MEASURER_FDS 4096u
#define GRACE_MS     5000

struct question {
	bool describe; /* a struct thaw_bench_program follows the answer */
	enum thaw_measurement what;
	uint64_t argument;
};

struct answer {
	int failed;
	struct thaw_measured measured;
	struct thaw_error error;
};

struct thaw_measurer {
	int fd, pidfd;
	pid_t pid;
};

/* The child: answers each question until the parent is gone. If it cannot open an engine, it says
 * so in its first answer, for which the parent waits. */
static void answer_all(const struct thaw_bench_function *function, int fd,
		       const struct thaw_jail_config *jail, struct thaw_jail_report *report)
{
	struct thaw_engine_figures *figures = NULL;
	struct thaw_error startup = THAW_ERROR_INIT;
	int kvm_fd = thaw_kvm_device();
	int unusable = thaw_jail_enter(jail, report, &startup) ||
		       thaw_engine_figures_open(function, kvm_fd, &figures, &startup);
	struct thaw_bench_program program = {0};
	struct question question;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* after entering the jail: a change of user clears it */
	while (recv(fd, &question, sizeof(question), 0) == (ssize_t)sizeof(question)) {
		struct answer answer = {.failed = unusable, .error = startup};

		if (!unusable && question.describe)
			answer.failed =
				thaw_engine_figures_describe(figures, &program, &answer.error);
		else if (!unusable)
			answer.failed =
				thaw_engine_figures_take(figures, question.what, question.argument,
							 &answer.measured, &answer.error);
		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer) ||
		    (question.describe &&
		     send(fd, &program, sizeof(program), MSG_NOSIGNAL) != (ssize_t)sizeof(program)))
			break;
	}
	thaw_engine_figures_close(figures);
}

int thaw_measurer_start(const struct thaw_bench_function *function, struct thaw_measurer **out,
			struct thaw_error *err)
{
	struct thaw_jail_config jail = {
		.uid = THAW_JAIL_UID_BASE + (uid_t)getpid() % THAW_JAIL_UIDS,
		.max_fds = MEASURER_FDS,
		/* As a worker has it, where that descriptor number is free. */
		.proc = fcntl(THAW_JAIL_PROC_FD, F_GETFD) < 0,
	};
	struct thaw_jail_report report = {0};
	struct thaw_measurer *measurer;
	thaw_autoclose int ours = -1, theirs = -1;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make a socket");
	ours = ends[0];
	theirs = ends[1];
	measurer = calloc(1, sizeof(*measurer));
	if (!measurer)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start a measurer");
	measurer->pidfd = -1;
	measurer->pid = thaw_jail_clone(&report, &measurer->pidfd, err);
	if (measurer->pid == 0) {
		close(ours);
		answer_all(function, theirs, &jail, &report);
		_exit(0);
	}
	if (measurer->pid < 0) {
		free(measurer);
		return -1;
	}
	measurer->fd = thaw_take_fd(&ours);
	*out = measurer;
	return 0;
}

void thaw_measurer_stop(struct thaw_measurer *measurer)
{
	if (!measurer)
		return;
	/* The end of its socket ends the child's loop: it closes its engine, which reaps the
	 * clones. A child that is stuck in an invocation takes its clones with it when it is
	 * killed. */
	close(measurer->fd);
	if (poll(&(struct pollfd){measurer->pidfd, POLLIN, 0}, 1, GRACE_MS) != 1)
		kill(measurer->pid, SIGKILL);
	while (waitpid(measurer->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(measurer->pidfd);
	free(measurer);
}

pid_t thaw_measurer_pid(const struct thaw_measurer *measurer)
{
	return measurer->pid;
}

static int receive(const struct thaw_measurer *measurer, void *message, size_t length,
		   struct thaw_error *err)
{
	ssize_t got;

	do
		got = recv(measurer->fd, message, length, 0);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)length)
		return thaw_fail(err, THAW_ERR_ENGINE, "the measuring process ended unexpectedly");
	return 0;
}

static int put_question(const struct thaw_measurer *measurer, const struct question *question,
			struct answer *answer, struct thaw_error *err)
{
	if (send(measurer->fd, question, sizeof(*question), MSG_NOSIGNAL) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "the measuring process is gone");
	if (receive(measurer, answer, sizeof(*answer), err))
		return -1;
	/* The child has parsed hostile bytes: its strings need not end where they should. */
	answer->error.message[sizeof(answer->error.message) - 1] = '\0';
	return 0;
}

int thaw_measurer_ask(struct thaw_measurer *measurer, enum thaw_measurement what, uint64_t argument,
		      struct thaw_measured *out, struct thaw_error *err)
{
	struct question question = {false, what, argument};
	struct answer answer;

	if (put_question(measurer, &question, &answer, err))
		return -1;
	if (answer.failed)
		return thaw_fail(err, answer.error.kind, "%s", answer.error.message);
	if (answer.measured.backend > THAW_BACKEND_KVM_GENERIC ||
	    answer.measured.response_length > THAW_BENCH_RESPONSE_MAX)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the measuring process sent an invalid answer");
	*out = answer.measured;
	return 0;
}

int thaw_measurer_describe(struct thaw_measurer *measurer, struct thaw_bench_program *out,
			   struct thaw_error *err)
{
	struct question question = {.describe = true};
	struct thaw_bench_program program;
	struct answer answer;
	size_t strings = 0;

	if (put_question(measurer, &question, &answer, err) ||
	    receive(measurer, &program, sizeof(program), err))
		return -1;
	if (answer.failed)
		return thaw_fail(err, answer.error.kind, "%s", answer.error.message);
	for (size_t i = 0; i < sizeof(program.args); i++)
		strings += program.args[i] == '\0';
	if (program.path[sizeof(program.path) - 1] || program.arg_count > strings ||
	    program.arg_count > THAW_BENCH_ARGS_MAX)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the measuring process sent an invalid answer");
	*out = program;
	return 0;
}
