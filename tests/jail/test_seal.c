/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of our own sealed processes: the calls that it refuses, the work that it allows, and
 * the table in the documents. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "engine/jail/internal.h"
#include "snapshot-format/base/cleanup.h"
#include "trial.h"

#define KILLED	  (TRIAL_SIGNALLED + SIGSYS)
#define CALLS_END 512 /* beyond the last system call of any kernel so far */
#define X32	  0x40000000l
#define NO_FD	  0x7fffffffl

static const unsigned profiles[] = {THAW_JAIL_WORKER | THAW_JAIL_RECYCLER, THAW_JAIL_FREEZER};

static void seal(unsigned profile)
{
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_jail_seal(profile, &err)) {
		dprintf(2, "%s\n", err.message);
		_exit(98);
	}
}

/* ---- One call ---- */

struct call {
	const char *name;
	long number, arguments[6];
	int expected; /* KILLED, or the errno; 0 for success */
	unsigned profile;
};

static void make_call(void *context)
{
	const struct call *call = context;
	const long *a = call->arguments;
	long result;

	seal(call->profile);
	result = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	_exit(result < 0 && result >= -1 ? errno : 0);
}

static char path[] = "/etc/passwd";
static int zero;
static struct sockaddr_in loopback = {.sin_family = AF_INET};

#define P(pointer) (long)(pointer)

static struct call refused[] = {
	{"open", SYS_open, {P(path)}, ENOENT},
	{"openat", SYS_openat, {AT_FDCWD, P(path)}, ENOENT},
	{"openat2", SYS_openat2, {AT_FDCWD, P(path)}, KILLED},
	{"creat", SYS_creat, {P(path)}, KILLED},
	{"stat by name", SYS_newfstatat, {AT_FDCWD, P(path)}, ENOENT},
	{"stat", SYS_stat, {P(path)}, KILLED},
	{"socket", SYS_socket, {AF_INET, SOCK_STREAM}, KILLED},
	{"socket unix", SYS_socket, {AF_UNIX, SOCK_STREAM}, KILLED},
	{"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM}, KILLED},
	{"connect", SYS_connect, {0, P(&loopback), sizeof(loopback)}, KILLED},
	{"bind", SYS_bind, {0, P(&loopback), sizeof(loopback)}, KILLED},
	{"listen", SYS_listen, {0, 1}, KILLED},
	{"execve", SYS_execve, {P(path)}, KILLED},
	{"execveat", SYS_execveat, {AT_FDCWD, P(path)}, KILLED},
	{"fork", SYS_fork, {0}, KILLED},
	{"vfork", SYS_vfork, {0}, KILLED},
	{"clone as fork", SYS_clone, {SIGCHLD}, KILLED},
	{"clone of memory", SYS_clone, {CLONE_VM | CLONE_VFORK | SIGCHLD}, KILLED},
	{"clone in a user namespace", SYS_clone, {CLONE_NEWUSER | SIGCHLD}, KILLED},
	{"thread in a namespace",
	 SYS_clone,
	 {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWNET},
	 KILLED},
	{"clone3", SYS_clone3, {0}, ENOSYS},
	{"unshare", SYS_unshare, {CLONE_NEWUSER}, KILLED},
	{"setns", SYS_setns, {0}, KILLED},
	{"ptrace", SYS_ptrace, {0}, KILLED},
	{"pidfd_open", SYS_pidfd_open, {1}, KILLED},
	{"pidfd_getfd", SYS_pidfd_getfd, {0}, KILLED},
	{"io_uring_setup", SYS_io_uring_setup, {4, P(&zero)}, KILLED},
	{"io_uring_register", SYS_io_uring_register, {0}, KILLED},
	{"bpf", SYS_bpf, {0}, KILLED},
	{"userfaultfd", SYS_userfaultfd, {0}, KILLED},
	{"perf_event_open", SYS_perf_event_open, {0}, KILLED},
	{"keyctl", SYS_keyctl, {0}, KILLED},
	{"mount", SYS_mount, {0}, KILLED},
	{"setuid", SYS_setuid, {0}, KILLED},
	{"prlimit64 to set", SYS_prlimit64, {0, RLIMIT_NOFILE, P(&zero)}, KILLED},
	{"prlimit64 of another", SYS_prlimit64, {1, RLIMIT_NOFILE, 0, P(&zero)}, KILLED},
	{"mmap executable",
	 SYS_mmap,
	 {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1},
	 KILLED},
	{"mprotect executable", SYS_mprotect, {0, 4096, PROT_READ | PROT_EXEC}, KILLED},
	{"mprotect executable, high bits", SYS_mprotect, {0, 4096, PROT_EXEC | 1l << 40}, KILLED},
	{"pkey_mprotect", SYS_pkey_mprotect, {0, 4096, PROT_EXEC, -1}, KILLED},
	{"shmat", SYS_shmat, {0, 0, 0100000}, KILLED},
	{"memfd_secret", SYS_memfd_secret, {0}, KILLED},
	{"kill with SIGTERM", SYS_kill, {1, SIGTERM}, KILLED},
	{"tkill", SYS_tkill, {1, SIGTERM}, KILLED},
	{"fcntl F_DUPFD", SYS_fcntl, {0, F_DUPFD, 0}, KILLED},
	{"fcntl F_SETOWN", SYS_fcntl, {0, F_SETOWN, 1}, KILLED},
	{"dup", SYS_dup, {0}, KILLED},
	{"prctl PR_SET_DUMPABLE", SYS_prctl, {PR_SET_DUMPABLE, 1}, KILLED},
	{"prctl PR_SET_VMA", SYS_prctl, {0x53564d41}, EINVAL},
	{"prctl with high bits", SYS_prctl, {1l << 32 | PR_SET_DUMPABLE, 1}, KILLED},
	{"seccomp strict", SYS_seccomp, {SECCOMP_SET_MODE_STRICT}, KILLED},
	{"seccomp with a listener",
	 SYS_seccomp,
	 {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER},
	 KILLED},
	{"ioctl TCGETS", SYS_ioctl, {0, TCGETS}, ENOTTY},
	{"ioctl TIOCSTI", SYS_ioctl, {0, TIOCSTI}, KILLED},
	/* No device is made for a virtual machine, and no interrupt comes to one. */
	{"KVM_CREATE_IRQCHIP", SYS_ioctl, {0, KVM_CREATE_IRQCHIP}, KILLED},
	{"KVM_ENABLE_CAP (a split irqchip)", SYS_ioctl, {0, KVM_ENABLE_CAP}, KILLED},
	{"KVM_CREATE_PIT", SYS_ioctl, {0, KVM_CREATE_PIT}, KILLED},
	{"KVM_CREATE_PIT2", SYS_ioctl, {0, KVM_CREATE_PIT2}, KILLED},
	{"KVM_CREATE_DEVICE", SYS_ioctl, {0, KVM_CREATE_DEVICE}, KILLED},
	{"KVM_SET_GSI_ROUTING", SYS_ioctl, {0, KVM_SET_GSI_ROUTING}, KILLED},
	{"KVM_IRQFD", SYS_ioctl, {0, KVM_IRQFD}, KILLED},
	{"KVM_IRQ_LINE", SYS_ioctl, {0, KVM_IRQ_LINE}, KILLED},
	{"KVM_SIGNAL_MSI", SYS_ioctl, {0, KVM_SIGNAL_MSI}, KILLED},
	{"KVM_IOEVENTFD", SYS_ioctl, {0, KVM_IOEVENTFD}, KILLED},
	{"KVM_REGISTER_COALESCED_MMIO", SYS_ioctl, {0, KVM_REGISTER_COALESCED_MMIO}, KILLED},
	{"KVM_SET_LAPIC", SYS_ioctl, {0, KVM_SET_LAPIC}, KILLED},
	{"getsockopt of a protocol", SYS_getsockopt, {0, IPPROTO_TCP}, KILLED},
	{"setsockopt", SYS_setsockopt, {0, SOL_SOCKET}, KILLED},
	{"personality", SYS_personality, {0}, KILLED},
	{"getpid of x32", X32 | SYS_getpid, {0}, KILLED},
};

Test(seal, refuses)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		for (size_t p = 0; p < 2; p++) {
			int result;

			refused[i].profile = profiles[p];
			result = trial_fork(make_call, &refused[i]);
			cr_expect_eq(result, refused[i].expected, "%s: %d", refused[i].name,
				     result);
		}
}

/* Calls that must not be made with nonsense arguments; a_worker_can_live makes them properly. */
static bool is_drastic(long number)
{
	return number == SYS_kill || number == SYS_clone || number == SYS_rt_sigreturn ||
	       number == SYS_exit || number == SYS_exit_group;
}

/* Tries every line in the profiles that have it, with its conditions met and nonsense in the other
 * arguments. */
Test(seal, every_line_lets_its_call_through)
{
	size_t count;
	const struct thaw_filter_line *lines = thaw_jail_lines(&count);

	for (size_t i = 0; i < 2 * count; i++) {
		const struct thaw_filter_line *line = &lines[i / 2];
		struct call call = {
			line->name, line->number, {-1, -1, -1, -1, -1, -1}, 0, profiles[i % 2]};
		int result;

		if (!(line->profiles & call.profile) || is_drastic(call.number))
			continue;
		for (const struct scmp_arg_cmp *c = line->conditions;
		     c < line->conditions + THAW_FILTER_CONDITIONS && c->op; c++)
			call.arguments[c->arg] = (long)(c->op == SCMP_CMP_MASKED_EQ ? c->datum_b
							: c->op == SCMP_CMP_NE	    ? c->datum_a + 1
										    : c->datum_a);
		result = trial_fork(make_call, &call);
		cr_expect_lt(result, TRIAL_SIGNALLED, "%s: %d", call.name, result);
	}
}

/* The lines that only one profile has, tried in both. */
Test(seal, profiles_differ)
{
	static struct call calls[] = {
		{"accept4", SYS_accept4, {NO_FD}, EBADF, THAW_JAIL_WORKER},
		{"accept4", SYS_accept4, {NO_FD}, KILLED, THAW_JAIL_FREEZER},
		{"a receive timeout",
		 SYS_setsockopt,
		 {NO_FD, SOL_SOCKET, SO_RCVTIMEO},
		 EBADF,
		 THAW_JAIL_WORKER},
		{"a receive timeout",
		 SYS_setsockopt,
		 {NO_FD, SOL_SOCKET, SO_RCVTIMEO},
		 KILLED,
		 THAW_JAIL_FREEZER},
		{"a buffer's size",
		 SYS_setsockopt,
		 {NO_FD, SOL_SOCKET, SO_RCVBUF},
		 KILLED,
		 THAW_JAIL_WORKER},
		{"getpeername", SYS_getpeername, {NO_FD}, EBADF, THAW_JAIL_WORKER},
		{"getpeername", SYS_getpeername, {NO_FD}, KILLED, THAW_JAIL_FREEZER},
		{"fsync", SYS_fsync, {NO_FD}, KILLED, THAW_JAIL_WORKER},
		{"fsync", SYS_fsync, {NO_FD}, EBADF, THAW_JAIL_FREEZER},
		{"fdatasync", SYS_fdatasync, {NO_FD}, KILLED, THAW_JAIL_WORKER},
		{"fdatasync", SYS_fdatasync, {NO_FD}, EBADF, THAW_JAIL_FREEZER},
		/* There is no process 0. */
		{"process_vm_readv",
		 SYS_process_vm_readv,
		 {0},
		 0,
		 THAW_JAIL_WORKER | THAW_JAIL_RECYCLER},
		{"process_vm_readv", SYS_process_vm_readv, {0}, KILLED, THAW_JAIL_WORKER},
		{"process_vm_readv", SYS_process_vm_readv, {0}, KILLED, THAW_JAIL_FREEZER},
		{"process_vm_writev",
		 SYS_process_vm_writev,
		 {0},
		 0,
		 THAW_JAIL_WORKER | THAW_JAIL_RECYCLER},
		{"process_vm_writev", SYS_process_vm_writev, {0}, KILLED, THAW_JAIL_WORKER},
		{"process_vm_writev", SYS_process_vm_writev, {0}, KILLED, THAW_JAIL_FREEZER},
		{"openat of its procfs",
		 SYS_openat,
		 {THAW_JAIL_PROC_FD, P("1/maps")},
		 EBADF,
		 THAW_JAIL_WORKER | THAW_JAIL_RECYCLER},
		{"openat of its procfs, to write",
		 SYS_openat,
		 {THAW_JAIL_PROC_FD, P("1/maps"), O_RDWR},
		 KILLED,
		 THAW_JAIL_WORKER | THAW_JAIL_RECYCLER},
		{"openat of no procfs of its",
		 SYS_openat,
		 {THAW_JAIL_PROC_FD, P("1/maps")},
		 KILLED,
		 THAW_JAIL_WORKER},
		{"openat of its procfs",
		 SYS_openat,
		 {THAW_JAIL_PROC_FD, P("1/maps")},
		 KILLED,
		 THAW_JAIL_FREEZER},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int result = trial_fork(make_call, &calls[i]);

		cr_expect_eq(result, calls[i].expected, "%s: %d", calls[i].name, result);
	}
}

static bool in_table(long number)
{
	size_t count;
	const struct thaw_filter_line *lines = thaw_jail_lines(&count);

	for (size_t i = 0; i < count; i++)
		if (lines[i].number == number)
			return true;
	return false;
}

/* Every call that no line names, including those of later kernels. */
Test(seal, kills_for_every_other_call)
{
	for (long number = 0; number < CALLS_END; number++) {
		struct call call = {
			"", number, {-1, -1, -1, -1, -1, -1}, KILLED, profiles[number % 2]};
		int result = in_table(number) ? KILLED : trial_fork(make_call, &call);

		cr_expect(result == KILLED || trial_unfiltered(number, result),
			  "system call %ld: %d", number, result);
	}
}

/* An i386 system call has other numbers: 20 is its getpid, and writev here. */
static void call_i386(void *context)
{
	long result = 20;

	if (context)
		seal(THAW_JAIL_WORKER);
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	_exit(result > 0 ? 0 : 1);
}

Test(seal, refuses_the_other_architecture)
{
	int unsealed = trial_fork(call_i386, NULL);

	/* A kernel without 32-bit calls faults on the instruction itself. */
	cr_assert_eq(trial_fork(call_i386, &zero), unsealed == 0 ? KILLED : unsealed);
}

/* ---- Work that a sealed process must be able to do ---- */

static void *allocate(void *context)
{
	prctl(PR_SET_NAME, "allocator");
	for (size_t size = 16; size < 4 << 20; size *= 2) {
		char *block = malloc(size), *larger;

		TRIAL_CHECK(block);
		memset(block, 1, size);
		larger = realloc(block, 2 * size);
		TRIAL_CHECK(larger && larger[size - 1] == 1);
		free(larger);
	}
	return context;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Threads start and allocate, arenas grow and shrink, and the C library makes its own calls. */
static void work_in_c_library(void)
{
	pthread_t threads[4];
	int *numbers = calloc(100000, sizeof(*numbers));
	char text[64];

	TRIAL_CHECK(numbers);
	for (int i = 0; i < 4; i++)
		TRIAL_CHECK(pthread_create(&threads[i], NULL, allocate, NULL) == 0);
	for (int i = 0; i < 4; i++)
		TRIAL_CHECK(pthread_join(threads[i], NULL) == 0);
	for (int i = 0; i < 100000; i++)
		numbers[i] = (i * 7919) % 100003;
	qsort(numbers, 100000, sizeof(*numbers), compare);
	TRIAL_CHECK(numbers[0] <= numbers[1]);
	free(numbers);
	TRIAL_CHECK(snprintf(text, sizeof(text), "%.3f", 1.5) == 5);
	TRIAL_CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	TRIAL_CHECK(sysconf(_SC_OPEN_MAX) > 0);
	TRIAL_CHECK(time(NULL) > 0);
}

static void work_with_memory_file(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat status;
	char *memory;

	TRIAL_CHECK(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	TRIAL_CHECK(memory != MAP_FAILED);
	memory[4096] = 1;
	TRIAL_CHECK(madvise(memory, 1 << 20, MADV_DONTNEED) == 0 && munmap(memory, 1 << 20) == 0);
	TRIAL_CHECK(pwrite(fd, "x", 1, 8192) == 1 && lseek(fd, 0, SEEK_DATA) == 4096);
	TRIAL_CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096) == 0);
	TRIAL_CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
	TRIAL_CHECK(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE);
	TRIAL_CHECK(fstat(fd, &status) == 0 && status.st_size == 1 << 20);
	TRIAL_CHECK(close(fd) == 0);
}

/* Serves a client that connected before the seal; that needs no new socket except the accepted
 * one. */
static void serve(int listener, int client)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int loop = epoll_create1(EPOLL_CLOEXEC), connection;
	char byte = 0;

	TRIAL_CHECK(loop >= 0 && epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event) == 0);
	TRIAL_CHECK(epoll_wait(loop, &event, 1, -1) == 1);
	connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	TRIAL_CHECK(connection >= 0);
	TRIAL_CHECK(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0);
	TRIAL_CHECK(send(client, "!", 1, MSG_NOSIGNAL) == 1);
	TRIAL_CHECK(recv(connection, &byte, 1, 0) == 1 && byte == '!');
	TRIAL_CHECK(shutdown(connection, SHUT_RDWR) == 0 && recv(client, &byte, 1, 0) == 0);
	TRIAL_CHECK(close(connection) == 0 && close(loop) == 0);
}

static void on_signal(int signal)
{
	zero = signal;
}

static void work_with_processes(pid_t child)
{
	siginfo_t info;

	TRIAL_CHECK(kill(child, SIGKILL) == 0);
	TRIAL_CHECK(waitid(P_PID, (id_t)child, &info, WEXITED) == 0 && info.si_status == SIGKILL);
	TRIAL_CHECK(signal(SIGUSR1, on_signal) != SIG_ERR && raise(SIGUSR1) == 0 &&
		    zero == SIGUSR1);
}

/* A whole life of a worker in small, in the jail. */
static void live(struct thaw_jail_report *report, void *context)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0),
	    client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct thaw_error err = THAW_ERROR_INIT;
	socklen_t length = sizeof(sa_family_t);
	pid_t child;

	(void)context;
	/* Autobind picks an abstract name, so no file is needed. */
	TRIAL_CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 &&
		    listen(listener, 1) == 0);
	length = sizeof(address);
	TRIAL_CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
	TRIAL_CHECK(connect(client, (struct sockaddr *)&address, length) == 0);
	trial_enter(report);
	/* Fork after entering: this process may not kill one that kept another uid. */
	child = fork();
	TRIAL_CHECK(child >= 0);
	if (child == 0)
		alarm(60); /* nothing stays behind if this test fails */
	while (child == 0)
		pause();
	seal(THAW_JAIL_WORKER);
	work_in_c_library();
	work_with_memory_file();
	TRIAL_CHECK(thaw_jail_seal_loaded(&err) == 0);
	work_in_c_library();
	serve(listener, client);
	work_with_processes(child);
}

Test(seal, a_worker_can_live)
{
	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_assert_eq(trial_jail(caller, false, live, NULL), 0);
}

/* ---- The second stage ---- */

struct stage {
	bool loaded;
	long number;
};

static void call_in_stage(void *context)
{
	const struct stage *stage = context;
	struct thaw_error err = THAW_ERROR_INIT;

	seal(THAW_JAIL_WORKER);
	TRIAL_CHECK(!stage->loaded || thaw_jail_seal_loaded(&err) == 0);
	syscall(stage->number, stage->number == SYS_seccomp ? SECCOMP_SET_MODE_FILTER : NO_FD,
		SECCOMP_FILTER_FLAG_TSYNC, 0, 0, NULL, 0);
	_exit(errno);
}

Test(seal, io_uring_ends_with_loading)
{
	struct stage stages[] = {{false, SYS_io_uring_enter},
				 {true, SYS_io_uring_enter},
				 {false, SYS_seccomp},
				 {true, SYS_seccomp}};
	int first = trial_fork(call_in_stage, &stages[0]);

	cr_assert(first == EBADF || first == EOPNOTSUPP || first == EPERM || first == EINVAL, "%d",
		  first);
	cr_assert_eq(trial_fork(call_in_stage, &stages[1]), KILLED);
	cr_assert_eq(trial_fork(call_in_stage, &stages[2]), EFAULT);
	cr_assert_eq(trial_fork(call_in_stage, &stages[3]), KILLED);
}

static pthread_barrier_t barrier;

static void *call_when_sealed(void *context)
{
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	syscall(SYS_io_uring_enter, NO_FD, 0, 0, 0, NULL, 0);
	return context;
}

static void seal_with_thread(void *context)
{
	pthread_t thread;

	(void)context;
	pthread_barrier_init(&barrier, NULL, 2);
	seal(THAW_JAIL_WORKER);
	TRIAL_CHECK(pthread_create(&thread, NULL, call_when_sealed, NULL) == 0);
	pthread_barrier_wait(&barrier);
	TRIAL_CHECK(thaw_jail_seal_loaded(NULL) == 0);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}

Test(seal, second_stage_holds_for_every_thread)
{
	cr_assert_eq(trial_fork(seal_with_thread, NULL), KILLED);
}

/* ---- The documents ---- */

/* docs/security.md has a row "| `name` | profiles | reason |" for each line of the table, and no
 * other such rows. */
Test(seal, documents_show_the_table)
{
	size_t count, rows = 0;
	const struct thaw_filter_line *lines = thaw_jail_lines(&count);
	FILE *file = fopen(THAW_SOURCE_ROOT "/docs/security.md", "r");
	thaw_autofree char *text = NULL;
	size_t size = 0;
	bool inside = false;

	cr_assert(file);
	while (getline(&text, &size, file) > 0) {
		char expected[512];
		const struct thaw_filter_line *line = &lines[rows];

		if (strstr(text, "<!-- jail table -->"))
			inside = true;
		if (strstr(text, "<!-- end -->"))
			inside = false;
		if (!inside || strncmp(text, "| `", 3) != 0)
			continue;
		cr_assert_lt(rows, count, "a row too many: %s", text);
		snprintf(expected, sizeof(expected), "| `%s` | %s | %s | %s |\n", line->name,
			 line->profiles == THAW_JAIL_WORKER	? "worker"
			 : line->profiles == THAW_JAIL_RECYCLER ? "recycler"
			 : line->profiles == THAW_JAIL_FREEZER	? "freezer"
								: "both",
			 line->action == SCMP_ACT_ALLOW
				 ? line->conditions[0].op ? "on condition" : "yes"
			 : line->action == SCMP_ACT_ERRNO(ENOENT) ? "ENOENT"
			 : line->action == SCMP_ACT_ERRNO(ENOSYS) ? "ENOSYS"
			 : line->action == SCMP_ACT_ERRNO(ENOTTY) ? "ENOTTY"
								  : "EINVAL",
			 line->reason);
		cr_expect_str_eq(text, expected);
		rows++;
	}
	fclose(file);
	cr_assert_eq(rows, count);
}
