/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the host for `thaw doctor`: each line comes from doing the thing, not from looking for
 * it. One child enters the jail and sends its report back; another seals itself and then breaks its
 * filter.
 */
#include <asm/hwcap2.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "engine/engine.h"
#include "engine/host/cpu.h"
#include "engine/host/guest_clock.h"
#include "engine/host/kernel.h"
#include "engine/jail/jail.h"
#include "snapshot-format/base/cleanup.h"

struct list {
	struct thaw_check *checks;
	size_t *count;
	bool missing;
};

__attribute__((format(printf, 4, 5))) static void say(struct list *list, const char *name,
						      int state, const char *format, ...)
{
	struct thaw_check *check = &list->checks[(*list->count)++];
	va_list args;

	check->name = name;
	check->state = state;
	va_start(args, format);
	vsnprintf(check->detail, sizeof(check->detail), format, args);
	va_end(args);
	if (state == THAW_CHECK_MISSING)
		list->missing = true;
}

/* ---- The jail ---- */

struct trial {
	struct thaw_jail_report report;
	struct thaw_error err;
};

/* In the child: enters the jail, sends the report and ends. */
_Noreturn static void enter_and_tell(struct trial *trial, int reply)
{
	const struct thaw_jail_config config = {.uid = THAW_JAIL_UID_BASE, .max_fds = 64};

	thaw_jail_enter(&config, &trial->report, &trial->err);
	_exit(write(reply, trial, sizeof(*trial)) == sizeof(*trial) ? 0 : 1);
}

static void try_jail(struct trial *trial)
{
	struct trial heard;
	int ends[2];
	pid_t pid;

	memset(trial, 0, sizeof(*trial));
	if (pipe2(ends, O_CLOEXEC)) {
		thaw_fail_errno(&trial->err, THAW_ERR_ENGINE, errno, "cannot make a pipe");
		return;
	}
	pid = thaw_jail_clone(&trial->report, NULL, &trial->err);
	if (pid == 0)
		enter_and_tell(trial, ends[1]);
	close(ends[1]);
	if (pid > 0) {
		if (read(ends[0], &heard, sizeof(heard)) == sizeof(heard))
			*trial = heard;
		else
			thaw_fail(&trial->err, THAW_ERR_ENGINE, "the jailed child died");
		waitpid(pid, NULL, 0);
	}
	close(ends[0]);
}

static void check_jail(struct list *list)
{
	struct trial trial;
	const struct {
		const char *name;
		const bool *there;
		const char *what;
	} spaces[] = {
		{"pid namespace", &trial.report.pid, "sees and signals no other process"},
		{"mount namespace", &trial.report.mount, "has mounts of its own"},
		{"network namespace", &trial.report.net, "reaches no network"},
		{"ipc namespace", &trial.report.ipc, "shares no System V objects"},
		{"uts namespace", &trial.report.uts, "has a host name of its own"},
		{"cgroup namespace", &trial.report.cgroup, "sees no control groups"},
		{"empty root", &trial.report.empty_root, "sees no file"},
		{"own uid", &trial.report.own_uid, "is a user of no other process"},
	};

	try_jail(&trial);
	if (trial.err.kind)
		say(list, "jail", THAW_CHECK_MISSING, "%s", trial.err.message);
	else
		say(list, "jail", THAW_CHECK_OK,
		    "entered; no capability, no new privileges, %s user namespace",
		    trial.report.user ? "in a" : "needs no");
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		if (*spaces[i].there)
			say(list, spaces[i].name, THAW_CHECK_OK, "a worker %s", spaces[i].what);
		else
			say(list, spaces[i].name, THAW_CHECK_WEAKER,
			    "not here (%s); the other layers remain",
			    trial.report.missing[0] ? trial.report.missing : "the jail failed");
}

static void check_seccomp(struct list *list)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (thaw_jail_seal(THAW_JAIL_WORKER, NULL))
			_exit(1);
		getppid(); /* is allowed: so the filter, and no accident, kills this child below */
		_exit(socket(AF_INET, SOCK_STREAM, 0) < 0 ? 2 : 3);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		say(list, "seccomp", THAW_CHECK_OK,
		    "a sealed child was killed for calling socket(2)");
	else
		say(list, "seccomp", THAW_CHECK_MISSING,
		    "the system-call filter does not hold here (status %#x); the kernel needs "
		    "CONFIG_SECCOMP_FILTER",
		    (unsigned)status);
}

/* ---- Files and memory ---- */

static void check_uring(struct list *list)
{
	struct io_uring ring;
	int result = io_uring_queue_init(4, &ring, 0);

	if (result < 0) {
		say(list, "io_uring", THAW_CHECK_WEAKER,
		    "%s; images are loaded with plain reads, a little slower",
		    strerrordesc_np(-result));
		return;
	}
	io_uring_queue_exit(&ring);
	say(list, "io_uring", THAW_CHECK_OK, "a ring was set up");
}

static void check_sealing(struct list *list)
{
	thaw_autoclose int fd = memfd_create("thaw-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, 4096) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		say(list, "memory sealing", THAW_CHECK_MISSING,
		    "%s; an image's memory could be changed by its clones", strerrordesc_np(errno));
	else if (pwrite(fd, "x", 1, 0) >= 0)
		say(list, "memory sealing", THAW_CHECK_MISSING,
		    "a sealed memory file could be written");
	else
		say(list, "memory sealing", THAW_CHECK_OK, "a sealed memory file refuses writes");
}

/* Reads the first line of the file at PATH. Returns false when there is none. */
static bool first_line(const char *path, char *line, size_t size)
{
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, line, size - 1);

	if (length <= 0)
		return false;
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static void check_huge_pages(struct list *list)
{
	char pages[32];

	if (!first_line("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", pages,
			sizeof(pages)))
		say(list, "huge pages", THAW_CHECK_OK, "not in this kernel; none are needed");
	else
		say(list, "huge pages", THAW_CHECK_OK,
		    "%s reserved; only an --image-dir on hugetlbfs uses them", pages);
}

/* ---- Time and processor ---- */

static void check_clock(struct list *list)
{
	char source[32];

	if (!first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", source,
			sizeof(source)))
		say(list, "clock", THAW_CHECK_WEAKER,
		    "unknown; guests ask the kernel for the time");
	else if (thaw_tsc_trusted())
		say(list, "clock", THAW_CHECK_OK, "tsc; guests read the time without a call");
	else if (strcmp(source, "tsc") == 0)
		say(list, "clock", THAW_CHECK_WEAKER,
		    "tsc, but one that may change its rate; guests ask the kernel for the time");
	else
		say(list, "clock", THAW_CHECK_WEAKER,
		    "%s, not tsc; guests ask the kernel for the time", source);
}

static void check_cpu(struct list *list)
{
	struct thaw_cpu_features features;
	const char *level;

	thaw_cpu_host(&features);
	level = thaw_cpu_level_of(&features);
	say(list, "cpu level",
	    strncmp(level, "x86-64", 6) == 0 ? THAW_CHECK_OK : THAW_CHECK_MISSING, "%s", level);
	if (thaw_cpu_can_fault())
		say(list, "cpuid faulting", THAW_CHECK_OK,
		    "a booting guest sees the CPU features that --cpu names");
	else
		say(list, "cpuid faulting", THAW_CHECK_WEAKER,
		    "not on this processor or kernel; the process backend marks images with all "
		    "features of this host");
	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)
		say(list, "fsgsbase", THAW_CHECK_OK,
		    "clones set their segment bases without a call");
	else
		say(list, "fsgsbase", THAW_CHECK_WEAKER,
		    "not for programs here; the kernel sets a guest's segment bases");
}

static void check_dispatch(struct list *list)
{
	if (thaw_kernel_has_dispatch())
		say(list, "syscall dispatch", THAW_CHECK_OK,
		    "the process backend can hold Linux programs");
	else
		say(list, "syscall dispatch", THAW_CHECK_WEAKER,
		    "not in this kernel (Linux 5.11): no Linux programs on the process backend");
}

int thaw_host_checks(struct thaw_check *checks, size_t *count)
{
	static void (*const all[])(struct list * list) = {
		check_jail,	  check_seccomp, check_uring, check_sealing,
		check_huge_pages, check_clock,	 check_cpu,   check_dispatch};
	struct list list = {checks, count, false};
	size_t before = *count;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		all[i](&list);
	thaw_assert(*count - before == THAW_HOST_CHECKS);
	return list.missing ? -1 : 0;
}
