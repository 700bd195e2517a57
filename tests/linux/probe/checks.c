/* SPDX-License-Identifier: Apache-2.0 */
/* What calls answer to arguments that are wrong, and to limits. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

static void clocks(void)
{
	const int wrong[] = {-1, -2, 10, 12, 50, INT32_MIN, INT32_MAX, -1073743192};
	const int not_settable[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID,
				    CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI};
	const int not_slept_by[] = {CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
				    CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_COARSE};
	const struct timespec bad[] = {{-1, 0}, {1, -1}, {1, 1000000000}}, short_time = {0, 1};
	struct timespec time;
	clockid_t own;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		show(syscall(SYS_clock_gettime, wrong[i], &time));
		show(syscall(SYS_clock_getres, wrong[i], NULL));
		show(syscall(SYS_clock_settime, wrong[i], &short_time));
	}
	for (size_t i = 0; i < sizeof(not_settable) / sizeof(not_settable[0]); i++)
		show(syscall(SYS_clock_settime, not_settable[i], &short_time));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		show(syscall(SYS_clock_settime, CLOCK_REALTIME, &bad[i]));
	show(syscall(SYS_clock_settime, CLOCK_REALTIME, 0));
	for (size_t i = 0; i < sizeof(not_slept_by) / sizeof(not_slept_by[0]); i++)
		show(syscall(SYS_clock_nanosleep, not_slept_by[i], 0, &short_time, NULL));
	show(clock_getcpuclockid(0, &own));
	show(clock_gettime(own, &time));
	show(clock_getcpuclockid(getpid(), &own));
	show(clock_gettime(own, &time));
	show(clock_getcpuclockid(999999, &own));
}

static void scheduling(void)
{
	struct sched_param zero = {0}, ten = {.sched_priority = 10};
	struct timespec slice = {-1, -1};

	show(syscall(SYS_sched_getscheduler, -1));
	show(syscall(SYS_sched_getscheduler, 999999));
	show(syscall(SYS_sched_getparam, -1, &zero));
	show(syscall(SYS_sched_getparam, 0, NULL));
	show(syscall(SYS_sched_setparam, -1, &zero));
	show(syscall(SYS_sched_setparam, 0, NULL));
	show(syscall(SYS_sched_setparam, 0, &ten));
	show(syscall(SYS_sched_setscheduler, 0, 77, &zero));
	show(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &zero));
	show(syscall(SYS_sched_setscheduler, 0, SCHED_RR, NULL));
	show(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &ten));
	show(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &zero));
	show(syscall(SYS_sched_setscheduler, -5, SCHED_OTHER, &zero));
	show(syscall(SYS_sched_setscheduler, 999999, SCHED_OTHER, &zero));
	show(syscall(SYS_sched_rr_get_interval, 0, &slice));
	show(slice.tv_sec);
	show(syscall(SYS_sched_rr_get_interval, -1, &slice));
	show(syscall(SYS_sched_rr_get_interval, 999999, &slice));
}

static void descriptors(void)
{
	struct rlimit old, few = {.rlim_max = 0};
	struct pollfd entries[20] = {{.fd = -1}};
	int ends[2], high;

	for (int i = 0; i < 20; i++)
		entries[i].fd = -1;
	show(getrlimit(RLIMIT_NOFILE, &old));
	high = dup2(0, 30);
	few.rlim_max = old.rlim_max;
	few.rlim_cur = 10;
	show(setrlimit(RLIMIT_NOFILE, &few));
	while ((ends[0] = dup(0)) >= 0)
		;
	show(ends[0]);
	show(open("/", O_RDONLY));
	show(dup2(0, 9));
	show(dup2(0, 10));
	show(dup2(high, high));
	show(fcntl(0, F_DUPFD, 10));
	show(fcntl(0, F_DUPFD, 9));
	show(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	show(close(9));
	/* One descriptor is left, and a pipe needs two. */
	show(pipe(ends));
	show(dup(0));
	show(memfd_create("one", 0));
	show(poll(entries, 20, 0));
	show(poll(entries, 10, 0));
	show(close(high));
	few.rlim_cur = old.rlim_max + 1;
	show(setrlimit(RLIMIT_NOFILE, &few));
	show(setrlimit(RLIMIT_NOFILE, &old));
	show(dup2(0, 10));
	for (int fd = 3; fd < 11; fd++)
		close(fd);
}

static void syncs(void)
{
	int ends[2], file = memfd_create("stored", 0), null = open("/dev/null", O_RDWR);
	int path = open("/", O_RDONLY | O_PATH);

	if (pipe(ends))
		return;
	const int all[] = {file, ends[0], ends[1], null, path, -1};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		show(fsync(all[i]));
		show(fdatasync(all[i]));
		show(posix_fadvise(all[i], 0, 0, POSIX_FADV_WILLNEED));
		show(syscall(SYS_sync_file_range, all[i], 0L, 0L, 0));
		show(syscall(SYS_readahead, all[i], 0L, 1L));
	}
	show(posix_fadvise(file, 0, -1, POSIX_FADV_WILLNEED));
	show(posix_fadvise(file, 0, 0, 99));
	show(syscall(SYS_sync_file_range, file, -1L, 0L, 0));
	show(syscall(SYS_sync_file_range, file, 0L, 0L, 8));
	show(syscall(SYS_sync_file_range, ends[0], 0L, 0L, 8));
	for (size_t i = 0; i < 5; i++)
		close(all[i]);
}

static void print_ids(void)
{
	uid_t users[3] = {0};
	gid_t groups[3] = {0};

	getresuid(&users[0], &users[1], &users[2]);
	getresgid(&groups[0], &groups[1], &groups[2]);
	printf("ids %u %u %u, %u %u %u, %d %d\n", users[0], users[1], users[2], groups[0],
	       groups[1], groups[2], getuid() == users[0] && geteuid() == users[1],
	       getgid() == groups[0] && getegid() == groups[1]);
}

/* Identities that are given up for a while and taken back. By system calls: the library's calls change
 * all threads. */
void probe_identities(void)
{
	const long user = getuid(), group = getgid(), none = -1;

	show(syscall(SYS_setresgid, none, 12, none));
	print_ids();
	show(syscall(SYS_setregid, 12, group));
	print_ids();
	show(syscall(SYS_setresuid, none, 65534, none));
	print_ids();
	show(syscall(SYS_setuid, 1));
	show(syscall(SYS_setreuid, 1, none));
	show(syscall(SYS_setresuid, none, none, 1));
	show(syscall(SYS_setresgid, none, 77, none));
	show(syscall(SYS_setreuid, none, user));
	print_ids();
	show(syscall(SYS_setreuid, 5, 6));
	print_ids();
	show(syscall(SYS_setreuid, none, 5));
	show(syscall(SYS_setuid, 6));
	print_ids();
	show(syscall(SYS_setuid, user));
	show(syscall(SYS_setuid, none));
	print_ids();
}

/* What openat2() refuses and open() ignores, and what a path alone cannot do. */
static void opens(void)
{
	const uint64_t hows[][3] = {{O_RDONLY, 0, 0},	      {O_RDONLY | 0x40000000, 0, 0},
				    {O_RDONLY, 0600, 0},      {O_RDONLY, 0, 0x8000000},
				    {1ull << 40, 0, 0},	      {O_CREAT | O_RDWR, 0100600, 0},
				    {O_RDONLY | O_PATH, 0, 0}};
	int path = open("/", O_RDONLY | O_PATH);

	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", hows[i], sizeof(hows[i]));

		show(fd >= 0 ? 0 : fd);
		close(fd);
	}
	show(syscall(SYS_openat2, AT_FDCWD, "/", hows[0], 8));
	show(ioctl(path, FIONBIO, &path));
	show(ioctl(path, FIOCLEX));
	close(path);
}

static void priorities(void)
{
	struct sched_param none = {0};
	char attributes[64];

	show(syscall(SYS_sched_getattr, 0, NULL, 48, 0));
	show(syscall(SYS_sched_getattr, 0, attributes, 48, 1));
	show(syscall(SYS_sched_getattr, 0, attributes, 47, 0));
	show(syscall(SYS_sched_getattr, -1, attributes, 48, 0));
	show(syscall(SYS_sched_getparam, 999999, &none));
	show(syscall(SYS_getpriority, 0, 999999));
	show(syscall(SYS_getpriority, 1, 999999));
	show(syscall(SYS_getpriority, 2, 999999));
	show(syscall(SYS_getpriority, 3, 0));
	show(syscall(SYS_getpriority, 0, -1));
	show(syscall(SYS_getpriority, 0, getpid()));
	show(syscall(SYS_setpriority, 0, 999999, 0));
	show(syscall(SYS_setpriority, 3, 0, 0));
	show(nice(100));
	show(syscall(SYS_getpriority, 0, 0));
}

void probe_checks(void)
{
	clocks();
	scheduling();
	descriptors();
	syncs();
	show(kill(getppid(), 0));
	show(kill(getppid(), 100));
	priorities();
	opens();
}
