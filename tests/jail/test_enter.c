/* SPDX-License-Identifier: Apache-2.0 */
/* The jail up to the filter: namespaces, root, identity, privileges, descriptors, and that it ends
 * with its parent. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "engine/jail/internal.h"
#include "trial.h"

/* ---- Namespaces ---- */

static const char *const space_names[] = {"user", "pid", "net", "ipc", "uts", "cgroup"};
#define SPACES (sizeof(space_names) / sizeof(space_names[0]))

static void read_spaces(char ids[SPACES][64])
{
	for (size_t i = 0; i < SPACES; i++) {
		char path[64];
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/ns/%s", space_names[i]);
		length = readlink(path, ids[i], 63);
		ids[i][length > 0 ? length : 0] = '\0';
	}
}

/* What the report claims is what the kernel says. */
static void check_spaces(struct thaw_jail_report *report, void *context)
{
	const bool claimed[SPACES] = {report->user, report->pid, report->net,
				      report->ipc,  report->uts, report->cgroup};
	char(*outside)[64] = context, inside[SPACES][64];

	read_spaces(inside);
	for (size_t i = 0; i < SPACES; i++) {
		TRIAL_CHECK(claimed[i] == (strcmp(inside[i], outside[i]) != 0));
		/* Root needs no user namespace; anything else that is not there has to be accounted
		 * for. */
		TRIAL_CHECK(claimed[i] || i == 0 || strstr(report->missing, space_names[i]) ||
			    strstr(report->missing, "user"));
	}
	TRIAL_CHECK(!report->pid || getpid() == 1);
	TRIAL_CHECK(!report->user || geteuid() == 0);
	TRIAL_CHECK(!report->mount && !report->empty_root && !report->own_uid);
}

Test(jail, report_tells_the_namespaces)
{
	char outside[SPACES][64];

	read_spaces(outside);
	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_assert_eq(trial_jail(caller, false, check_spaces, outside), 0);
}

/* glibc keeps the thread's id, and a recursive mutex is owned by it. */
static pid_t kept_thread_id(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t mutex;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&mutex, &attributes);
	pthread_mutex_lock(&mutex);
	return mutex.__data.__owner;
}

static void check_thread_id(struct thaw_jail_report *report, void *context)
{
	(void)report, (void)context;
	TRIAL_CHECK(kept_thread_id() == gettid());
}

Test(jail, child_knows_its_thread_id)
{
	int *address;

	if (prctl(PR_GET_TID_ADDRESS, &address))
		cr_skip_test("this kernel does not tell where the id is kept");
	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_expect_eq(trial_jail(caller, false, check_thread_id, NULL), 0);
}

/* A filter makes this kernel one that does not tell. */
static void clone_untold(void *context)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct thaw_jail_report report;
	struct thaw_error err = THAW_ERROR_INIT;
	pid_t parent = gettid(), pid;
	int *address;

	(void)context;
	TRIAL_CHECK(!seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
				      SCMP_A0(SCMP_CMP_EQ, PR_GET_TID_ADDRESS)));
	TRIAL_CHECK(seccomp_load(filter) == 0 && prctl(PR_GET_TID_ADDRESS, &address) < 0);
	pid = thaw_jail_clone(&report, NULL, &err);
	TRIAL_CHECK(pid >= 0);
	if (pid == 0) {
		TRIAL_CHECK(kept_thread_id() == parent);
		_exit(0);
	}
	TRIAL_CHECK(trial_wait(pid) == 0);
}

Test(jail, where_the_kernel_does_not_tell_the_id_stays_the_parents)
{
	cr_assert_eq(trial_fork(clone_untold, NULL), 0);
}

static void make_pidfd(void *context)
{
	struct thaw_jail_report report;
	struct thaw_error err = THAW_ERROR_INIT;
	int pidfd = -1;
	pid_t pid;

	(void)context;
	pid = thaw_jail_clone(&report, &pidfd, &err);
	if (pid == 0)
		_exit(pidfd == -1 ? 7 : 8); /* outputs of the parent alone */
	TRIAL_CHECK(pid > 0 && fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
	TRIAL_CHECK(poll(&(struct pollfd){pidfd, POLLIN, 0}, 1, -1) == 1);
	TRIAL_CHECK(trial_wait(pid) == 7);
}

Test(jail, parent_gets_a_pidfd)
{
	cr_assert_eq(trial_fork(make_pidfd, NULL), 0);
}

/* A host that refuses: a filter answers EPERM to a clone with any of the FLAGS. */
static void refuse_clone(unsigned long flags)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);

	for (unsigned bit = 0; bit < 64; bit++) {
		unsigned long flag = flags & 1ul << bit;
		struct scmp_arg_cmp has = {0, SCMP_CMP_MASKED_EQ, flag, flag};

		if (flag)
			TRIAL_CHECK(!seccomp_rule_add_array(context, SCMP_ACT_ERRNO(EPERM),
							    SCMP_SYS(clone), 1, &has));
	}
	TRIAL_CHECK(seccomp_load(context) == 0);
	seccomp_release(context);
}

struct refusal {
	unsigned caller;
	unsigned long flags;
	bool undumpable;
};

static void clone_refused(void *context)
{
	const struct refusal *refusal = context;
	struct thaw_jail_report report;
	struct thaw_error err = THAW_ERROR_INIT;
	pid_t pid;

	trial_become(refusal->caller);
	if (refusal->flags)
		refuse_clone(refusal->flags);
	if (refusal->undumpable) /* then its identity map is not its own to write */
		TRIAL_CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
	pid = thaw_jail_clone(&report, NULL, &err);
	TRIAL_CHECK(pid >= 0);
	if (pid == 0) {
		trial_enter(&report);
		TRIAL_CHECK(thaw_jail_seal(THAW_JAIL_WORKER, &err) == 0);
		_exit(0);
	}
	TRIAL_CHECK(trial_wait(pid) == 0);
	TRIAL_CHECK(!(refusal->flags & CLONE_NEWNET) || !report.net);
	TRIAL_CHECK(!(refusal->flags & CLONE_NEWNET) || strstr(report.missing, "net: "));
	if (refusal->undumpable || refusal->flags & CLONE_NEWUSER) {
		TRIAL_CHECK(!report.user && !report.pid && !report.net && !report.ipc);
		TRIAL_CHECK(strstr(report.missing, "user: "));
	}
	_exit(report.ipc ? 1 : 0);
}

Test(jail, a_refused_namespace_costs_only_itself)
{
	for (unsigned caller = 0; caller < trial_callers(); caller++) {
		struct refusal none = {caller, 0, false},
			       net = {caller, CLONE_NEWNET | CLONE_NEWUTS, false};

		int wanted = trial_fork(clone_refused, &none);

		cr_assert(wanted == 0 || wanted == 1, "%d",
			  wanted); /* whether it has its own IPC */
		cr_assert_eq(trial_fork(clone_refused, &net), wanted);
	}
}

Test(jail, without_namespaces_the_rest_holds)
{
	unsigned unprivileged = trial_callers() - 1;
	struct refusal no_user = {unprivileged, CLONE_NEWUSER, false},
		       no_map = {unprivileged, 0, true};

	cr_assert_eq(trial_fork(clone_refused, &no_user), 0);
	cr_assert_eq(trial_fork(clone_refused, &no_map), 0);
}

/* ---- What is left after entering ---- */

static void check_root(struct thaw_jail_report *report, void *context)
{
	struct statvfs file_system;
	struct dirent *entry;
	char cwd[64];
	DIR *root;

	if (!report->empty_root) {
		TRIAL_CHECK(!context || !*(const bool *)context);
		TRIAL_CHECK(strstr(report->missing, "mount") ||
			    strstr(report->missing, "empty root"));
		return;
	}
	TRIAL_CHECK(report->mount);
	root = opendir("/");
	TRIAL_CHECK(root);
	while ((entry = readdir(root)))
		TRIAL_CHECK(strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
	closedir(root);
	TRIAL_CHECK(open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
	TRIAL_CHECK(open("../../proc", O_RDONLY) < 0 && errno == ENOENT);
	TRIAL_CHECK(open("/new", O_CREAT | O_WRONLY, 0600) < 0 && errno == EROFS);
	TRIAL_CHECK(getcwd(cwd, sizeof(cwd)) && strcmp(cwd, "/") == 0);
	TRIAL_CHECK(statvfs("/", &file_system) == 0);
	TRIAL_CHECK((~file_system.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC)) == 0);
}

static void mount_something(void *context)
{
	(void)context;
	_exit(unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	      mount("none", "/tmp", "tmpfs", 0, NULL));
}

/* Where this process may mount, the jail may mount too, so its root must be empty. */
Test(jail, root_is_empty)
{
	bool must = trial_fork(mount_something, NULL) == 0;

	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_assert_eq(trial_jail(caller, true, check_root, caller == 0 ? &must : NULL), 0);
}

/* pivot_root is refused where the root is no mount point. */
static void enter_from_chroot(struct thaw_jail_report *report, void *context)
{
	if (chroot(context)) {
		TRIAL_CHECK(errno == EPERM && !report->user);
		return; /* unprivileged and without a user namespace, nobody can be in one */
	}
	TRIAL_CHECK(chdir("/") == 0 && access("file", F_OK) == 0);
	trial_enter(report);
	TRIAL_CHECK(report->empty_root && access("/file", F_OK) < 0 && access("file", F_OK) < 0);
	check_root(report, NULL);
}

Test(jail, root_is_empty_in_a_chroot)
{
	char directory[] = "/tmp/thaw-jail-XXXXXX", file[64];
	int fd;

	cr_assert(mkdtemp(directory));
	cr_assert_eq(chmod(directory, 0755), 0);
	snprintf(file, sizeof(file), "%s/file", directory);
	fd = open(file, O_CREAT | O_WRONLY, 0644);
	cr_assert_geq(fd, 0);
	close(fd);
	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_expect_eq(trial_jail(caller, false, enter_from_chroot, directory), 0);
	unlink(file);
	rmdir(directory);
}

static void check_privileges(struct thaw_jail_report *report, void *context)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct rlimit core, files;
	int signal;

	(void)context;
	TRIAL_CHECK(syscall(SYS_capget, &header, data) == 0);
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		TRIAL_CHECK(!data[i].effective && !data[i].permitted && !data[i].inheritable);
	for (unsigned long i = 0; i < 64 && prctl(PR_CAPBSET_READ, i) >= 0; i++) {
		TRIAL_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 0);
		/* Only a caller that had no capability at all could not empty it. */
		TRIAL_CHECK(prctl(PR_CAPBSET_READ, i) == 0 || (!report->user && !report->own_uid));
	}
	TRIAL_CHECK((prctl(PR_GET_SECUREBITS) & SECBIT_NOROOT) ||
		    (!report->user && !report->own_uid));
	TRIAL_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	TRIAL_CHECK(prctl(PR_GET_DUMPABLE) == 0);
	TRIAL_CHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGKILL);
	TRIAL_CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
	TRIAL_CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max == TRIAL_MAX_FDS);
	TRIAL_CHECK(personality(0xffffffff) == PER_LINUX);
	TRIAL_CHECK(setuid(0) < 0 ||
		    report->user); /* in its user namespace it is "root", which is nobody outside */
}

Test(jail, no_privilege_is_left)
{
	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_assert_eq(trial_jail(caller, true, check_privileges, NULL), 0);
}

static void check_identity(struct thaw_jail_report *report, void *context)
{
	uid_t real, effective, saved;
	gid_t groups[3] = {1, 2, 3};

	(void)context;
	/* Others that would be kept; a user namespace of its own lets nobody set them. */
	TRIAL_CHECK(setgroups(3, groups) == 0 || errno == EPERM);
	trial_enter(report);
	TRIAL_CHECK(getresuid(&real, &effective, &saved) == 0);
	TRIAL_CHECK(getresgid(&groups[0], &groups[1], &groups[2]) == 0);
	if (report->own_uid) {
		TRIAL_CHECK(real == TRIAL_UID && effective == TRIAL_UID && saved == TRIAL_UID);
		TRIAL_CHECK(groups[0] == TRIAL_UID && groups[1] == TRIAL_UID &&
			    groups[2] == TRIAL_UID);
		TRIAL_CHECK(getgroups(0, NULL) == 0);
	} else {
		TRIAL_CHECK(strstr(report->missing, "own uid: "));
		TRIAL_CHECK(real == effective && effective == saved);
	}
}

Test(jail, identity_is_its_own)
{
	for (unsigned caller = 0; caller < trial_callers(); caller++)
		cr_assert_eq(trial_jail(caller, false, check_identity, NULL), 0);
}

/* In the namespaces of an unprivileged caller "root" is that caller; only a real root has another
 * identity to take. */
static void expect_own_uid(struct thaw_jail_report *report, void *context)
{
	TRIAL_CHECK(report->own_uid == *(const bool *)context);
}

Test(jail, root_gives_its_uid_up)
{
	bool expected = geteuid() == 0 && thaw_jail_has_capability(CAP_SETUID);

	cr_assert_eq(trial_jail(0, true, expect_own_uid, &expected), 0);
}

static void enter_executable(void *context)
{
	struct thaw_jail_report report = {0};

	(void)context;
	TRIAL_CHECK(personality(READ_IMPLIES_EXEC) >= 0);
	trial_enter(&report);
	TRIAL_CHECK(personality(0xffffffff) == PER_LINUX);
}

Test(jail, readable_memory_is_not_executable)
{
	cr_assert_eq(trial_fork(enter_executable, NULL), 0);
}

static void exec_entrant(struct thaw_jail_report *report, void *context)
{
	char *const arguments[] = {(char[]){"jail-entrant"}, NULL};

	(void)report;
	fexecve(*(int *)context, arguments, environ);
	TRIAL_CHECK(!"fexecve");
}

Test(jail, can_be_entered_after_an_exec)
{
	const char *path = getenv("THAW_JAIL_ENTRANT");
	int fd;

	cr_assert(path, "run through meson test");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	for (unsigned caller = 0; caller < trial_callers(); caller++) {
		int seen = trial_jail(caller, true, check_root, NULL);
		int result = trial_jail(caller, false, exec_entrant, &fd);

		cr_expect_eq(seen, 0);
		cr_expect(result == 0 || (result == 2 && geteuid() != 0), "caller %u: %d", caller,
			  result);
	}
	close(fd);
}

/* ---- Descriptors ---- */

static void keep_some(void *context)
{
	int keep[4] = {2, -1, -1, -1};
	struct thaw_error err = THAW_ERROR_INIT;
	int low = open("/dev/null", O_RDONLY), high;

	(void)context;
	for (unsigned i = 0; i < 20; i++)
		TRIAL_CHECK(dup(low) >= 0);
	high = fcntl(low, F_DUPFD, 500);
	TRIAL_CHECK(low > 2 && high >= 500);
	keep[1] = high, keep[2] = low, keep[3] = high; /* in no order, one twice */
	TRIAL_CHECK(thaw_jail_keep_fds(keep, 4, &err) == 0);
	for (int fd = 0; fd < 1024; fd++)
		TRIAL_CHECK((fcntl(fd, F_GETFD) >= 0) == (fd == 2 || fd == low || fd == high));
	TRIAL_CHECK(thaw_jail_keep_fds(keep, 0, &err) == 0);
	for (int fd = 0; fd < 1024; fd++)
		TRIAL_CHECK(fcntl(fd, F_GETFD) < 0);
}

Test(jail, only_given_descriptors_remain)
{
	cr_assert_eq(trial_fork(keep_some, NULL), 0);
}

/* ---- Parent's death ---- */

static void outlive(int ready)
{
	TRIAL_CHECK(write(ready, "", 1) == 1);
	sleep(60); /* longer than the test waits; should it fail, nothing stays behind for ever */
	_exit(1);
}

/* The jailed child holds the writing end of a pipe: its end is the pipe's. */
static void expect_death_with_parent(unsigned caller, bool entered)
{
	int ends[2];
	pid_t parent;
	char byte;

	cr_assert_eq(pipe(ends), 0);
	parent = fork();
	if (parent == 0) {
		struct thaw_jail_report report;
		pid_t child;

		close(ends[0]);
		trial_become(caller);
		child = thaw_jail_clone(&report, NULL, NULL);
		TRIAL_CHECK(child >= 0);
		if (child == 0) {
			if (entered)
				trial_enter(&report);
			outlive(ends[1]);
		}
		close(ends[1]);
		trial_wait(child);
		_exit(1);
	}
	close(ends[1]);
	cr_assert_eq(read(ends[0], &byte, 1), 1);
	kill(parent, SIGKILL);
	cr_assert_eq(trial_wait(parent), TRIAL_SIGNALLED + SIGKILL);
	cr_assert_eq(poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 20000), 1,
		     "the jailed child lives on");
	cr_assert_eq(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

Test(jail, child_dies_with_its_parent)
{
	for (unsigned caller = 0; caller < trial_callers(); caller++) {
		expect_death_with_parent(caller, false);
		expect_death_with_parent(caller, true);
	}
}
