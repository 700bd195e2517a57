/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines run by QEMU. It is controlled through its descriptors: 0 is the socket of the serial
 * port; 1 is the monitor's when a machine is saved, and the file with the state when it is
 * restored; 2 is for its error messages.
 */
#include "bench/peers/qemu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define PATIENCE_S                                                                                 \
	600 /* to wait for a silent machine; the lab's clock jumps where it waits for files */
#define SKIPPED                                                                                    \
	16 /* bytes before a request: the port holds at most one while the state is loaded
		       */
#define ARGS_MAX 24u
#define RESPONSE ((uint64_t)1 << 20) /* the most that our machine answers */

struct thaw_qemu {
	struct thaw_qemu_config config;
	int state_fd, said_fd; /* memory files */
	uint64_t response_length;
};

struct machine {
	pid_t pid;
	int fd; /* of its serial port */
};

static _Noreturn void become_qemu(const struct thaw_qemu *qemu, int serial_fd, int other_fd,
				  bool restore)
{
	const char *args[ARGS_MAX] = {"qemu-system-x86_64",
				      "-M",
				      "pc",
				      "-m",
				      "8",
				      "-nodefaults",
				      "-no-user-config",
				      "-display",
				      "none",
				      "-chardev",
				      "socket,id=serial,fd=0",
				      "-serial",
				      "chardev:serial",
				      "-accel",
				      qemu->config.kvm ? "kvm" : "tcg",
				      "-bios",
				      qemu->config.firmware};
	static const char *const save_args[] = {"-chardev", "socket,id=monitor,fd=1", "-monitor",
						"chardev:monitor", NULL};
	static const char *const restore_args[] = {"-incoming", "fd:1", NULL};
	const char *const *more = restore ? restore_args : save_args;
	size_t count = 0;

	while (args[count])
		count++;
	while (*more && count + 1 < ARGS_MAX)
		args[count++] = *more++;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(serial_fd, 0) < 0 || dup2(other_fd, 1) < 0 || dup2(qemu->said_fd, 2) < 0)
		_exit(127);
	/* execv() writes to none of them, whatever its type says. */
	execv(qemu->config.program, (char *const *)(uintptr_t)args);
	_exit(127);
}

static int start_machine(const struct thaw_qemu *qemu, int other_fd, bool restore,
			 struct machine *machine, struct thaw_error *err)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make a socket");
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	machine->pid = fork();
	if (machine->pid == 0)
		become_qemu(qemu, ends[1], other_fd, restore);
	machine->fd = ends[0];
	close(ends[1]);
	if (machine->pid < 0) {
		close(ends[0]);
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start %s",
				       qemu->config.program);
	}
	return 0;
}

static void end_machine(const struct machine *machine)
{
	close(machine->fd);
	kill(machine->pid, SIGKILL);
	while (waitpid(machine->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The first line of QEMU's error messages. */
static int fail_qemu(const struct thaw_qemu *qemu, const char *what, struct thaw_error *err)
{
	char said[256];
	ssize_t length = pread(qemu->said_fd, said, sizeof(said) - 1, 0);

	said[length > 0 ? length : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	return thaw_fail(err, THAW_ERR_FAILURE, "%s: %s", what,
			 *said ? said : "it ended or did not answer");
}

/* ---- Saving ---- */

/* The machine is not stopped first: it is restored in the state in which it was saved, and a
 * stopped one would stay stopped. The monitor's output is discarded: the restore shows whether
 * the state is whole. */
static int save(const struct thaw_qemu *qemu, int monitor_fd)
{
	char command[96], passed[4096];
	int length =
		snprintf(command, sizeof(command), "migrate \"exec:cat >/proc/%d/fd/%d\"\nquit\n",
			 getpid(), qemu->state_fd);
	struct stat state;

	if (send(monitor_fd, command, (size_t)length, MSG_NOSIGNAL) != length)
		return -1;
	while (recv(monitor_fd, passed, sizeof(passed), 0) > 0)
		;
	return fstat(qemu->state_fd, &state) || state.st_size == 0 ? -1 : 0;
}

static int boot_and_save(const struct thaw_qemu *qemu, struct thaw_error *err)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	thaw_autoclose int ours = -1, theirs = -1;
	struct machine machine;
	int ends[2], failed = 0;
	char ready;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make a socket");
	ours = ends[0];
	theirs = ends[1];
	setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (start_machine(qemu, theirs, false, &machine, err))
		return -1;
	close(thaw_take_fd(&theirs));
	if (recv(machine.fd, &ready, 1, 0) != 1)
		failed = fail_qemu(qemu, "its machine does not boot", err);
	else if (save(qemu, ours))
		failed = fail_qemu(qemu, "its machine cannot be saved", err);
	end_machine(&machine);
	return failed;
}

int thaw_qemu_open(const struct thaw_qemu_config *config, struct thaw_qemu **out,
		   struct thaw_error *err)
{
	struct thaw_qemu *qemu = calloc(1, sizeof(*qemu));

	if (!qemu)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot prepare a machine");
	qemu->config = *config;
	qemu->state_fd = memfd_create("thaw-bench-machine", MFD_CLOEXEC);
	qemu->said_fd = memfd_create("thaw-bench-qemu", MFD_CLOEXEC);
	if (qemu->state_fd < 0 || qemu->said_fd < 0)
		thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot prepare a machine");
	else if (boot_and_save(qemu, err) == 0) {
		*out = qemu;
		return 0;
	}
	thaw_qemu_close(qemu);
	return -1;
}

void thaw_qemu_close(struct thaw_qemu *qemu)
{
	if (!qemu)
		return;
	close(qemu->state_fd);
	close(qemu->said_fd);
	free(qemu);
}

/* ---- Restoring ---- */

static int send_all(int fd, const void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t put = send(fd, (const uint8_t *)bytes + done, length - done, MSG_NOSIGNAL);

		if (put <= 0)
			return -1;
		done += (size_t)put;
	}
	return 0;
}

static int send_request(const struct thaw_qemu *qemu, int fd)
{
	uint64_t length = qemu->config.request_length;
	uint8_t header[SKIPPED + 1 + sizeof(length)];

	memset(header, 0xff, SKIPPED);
	header[SKIPPED] = 0;
	memcpy(header + SKIPPED + 1, &length, sizeof(length));
	return send_all(fd, header, sizeof(header)) ||
			       send_all(fd, qemu->config.request, qemu->config.request_length)
		       ? -1
		       : 0;
}

static int receive(int fd, void *bytes, size_t length)
{
	return recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length ? 0 : -1;
}

static int receive_response(struct thaw_qemu *qemu, int fd)
{
	uint64_t length;
	uint8_t piece[4096];

	if (receive(fd, &length, sizeof(length)) || length > RESPONSE)
		return -1;
	for (uint64_t left = length; left;) {
		size_t part = left < sizeof(piece) ? (size_t)left : sizeof(piece);

		if (receive(fd, piece, part))
			return -1;
		left -= part;
	}
	qemu->response_length = length;
	return 0;
}

int thaw_qemu_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct thaw_qemu *qemu = context;
	struct machine machine;
	uint64_t start = thaw_monotonic_ns();
	int failed;

	/* QEMU shares the file position. */
	if (lseek(qemu->state_fd, 0, SEEK_SET) != 0 ||
	    start_machine(qemu, qemu->state_fd, true, &machine, err))
		return -1;
	failed = send_request(qemu, machine.fd) || receive_response(qemu, machine.fd);
	*ns = thaw_monotonic_ns() - start;
	end_machine(&machine);
	return failed ? fail_qemu(qemu, "its restored machine does not answer", err) : 0;
}

uint64_t thaw_qemu_response_length(const struct thaw_qemu *qemu)
{
	return qemu->response_length;
}
