/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thaw_jail_enter(): what a process gives up before it looks at hostile input.
 *
 * It trusts nothing that it is told about its namespaces, because an exec may lie between the clone
 * and here: it makes its own mount namespace and asks the kernel what it may do. Order matters:
 * mounts need CAP_SYS_ADMIN, the bounding set CAP_SETPCAP, the identity CAP_SETUID; a change of
 * identity clears the death signal and sets the dumpable flag, so those come last.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/host/guest_clock.h"
#include "engine/jail/internal.h"
#include "snapshot-format/base/cleanup.h"

#define NOBODY 65534u

/* A file system that holds nothing and can hold nothing, not yet mounted anywhere. Returns its
 * descriptor. */
static int empty_file_system(void)
{
	thaw_autoclose int context = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0555", 0) ||
	    fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", "2", 0) ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC,
		       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			       MOUNT_ATTR_NOEXEC);
}

/* Mounted nowhere: only its descriptor leads to it. Before the old root goes, because in a user
 * namespace the kernel makes one only where another is in sight. */
static void make_proc(void)
{
	thaw_autoclose int context = fsopen("proc", FSOPEN_CLOEXEC), proc = -1;

	if (context < 0)
		return;
	/* Of the system's own files it needs none; kernels before 5.8 show them. */
	fsconfig(context, FSCONFIG_SET_STRING, "subset", "pid", 0);
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return;
	proc = fsmount(context, FSMOUNT_CLOEXEC,
		       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			       MOUNT_ATTR_NOEXEC);
	if (proc >= 0)
		dup3(proc, THAW_JAIL_PROC_FD, O_CLOEXEC);
}

/* Puts ROOT on top of "/", makes it the root and lets go of everything below. */
static int pivot_into(int root)
{
	/* Before anything is mounted: nothing done here may travel back to the host's mounts. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) || fchdir(root))
		return -1;
	return syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ? -1 : 0;
}

static int replace_root(const struct thaw_jail_config *config, struct thaw_jail_report *report)
{
	thaw_autoclose int root = -1;

	if (unshare(CLONE_NEWNS))
		return -1;
	report->mount = true;
	if (config->proc)
		make_proc();
	root = empty_file_system();
	if (root < 0)
		return -1;
	if (!pivot_into(root))
		return chdir("/");
	/* The kernel has no other root to give where "/" is not a mount point (a chroot) or is the
	 * initial ram file system. A chroot must do there; it holds, because no descriptor leads
	 * out of it and the capability to make another is dropped below. */
	return errno == EINVAL && !fchdir(root) && !chroot(".") ? 0 : -1;
}

static void empty_root(const struct thaw_jail_config *config, struct thaw_jail_report *report)
{
	if (replace_root(config, report)) {
		thaw_jail_note_missing(report, report->mount ? "empty root" : "mount",
				       strerrordesc_np(errno));
		/* Who may open files of it could open any other. */
		if (config->proc)
			close(THAW_JAIL_PROC_FD);
	} else {
		report->empty_root = true;
	}
}

static int set_limit(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit))
		return -1;
	if (value > limit.rlim_max) /* raising it would take a privilege that a root may lack */
		value = limit.rlim_max;
	limit = (struct rlimit){value, value};
	return setrlimit(resource, &limit);
}

/* No program run from here on could win capabilities back, whatever its owner and its file say. */
static int empty_bounding_set(void)
{
	if (!thaw_jail_has_capability(CAP_SETPCAP))
		return 0; /* then there is nothing in reach to begin with: no_new_privs closes the
			     rest */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
					     SECBIT_NO_CAP_AMBIENT_RAISE |
					     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED))
		return -1;
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability))
			return -1;
	return 0;
}

static int set_identity(uid_t id)
{
	return setresgid(id, id, id) || setresuid(id, id, id) ? -1 : 0;
}

/* EINVAL from either call means that the user namespace does not know the id. In one of our own
 * only one id is known, and what protects there is that it is an unprivileged one outside. */
static int change_identity(uid_t uid, struct thaw_jail_report *report)
{
	if (!thaw_jail_has_capability(CAP_SETUID) || !thaw_jail_has_capability(CAP_SETGID)) {
		thaw_jail_note_missing(report, "own uid", "needs CAP_SETUID and CAP_SETGID");
		errno = EPERM; /* root stays root for nobody */
		return geteuid() == 0 ? -1 : 0;
	}
	/* Refused where setgroups is denied, which is where the caller had no say over its groups
	 * anyway. */
	if (setgroups(0, NULL) && errno != EPERM)
		return -1;
	if (!set_identity(uid)) {
		report->own_uid = true;
		return 0;
	}
	if (errno != EINVAL)
		return -1;
	if (!set_identity(NOBODY)) {
		thaw_jail_note_missing(report, "own uid", "this host maps no other than nobody");
		return 0;
	}
	thaw_jail_note_missing(report, "own uid", "an unprivileged caller has only its own");
	return errno == EINVAL ? 0 : -1;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
			       syscall(SYS_capset, &header, none)
		       ? -1
		       : 0;
}

/*
 * The parent's id as the proc file in STAT sees it: getppid(2) answers 0 across a PID namespace,
 * but proc was mounted outside, and its open files are still good when the root is gone. Without
 * proc, getppid must do.
 */
static pid_t parent_of(int stat)
{
	char text[512];
	ssize_t length = stat < 0 ? -1 : pread(stat, text, sizeof(text) - 1, 0);
	const char *end_of_name;
	int parent;

	if (length <= 0)
		return getppid();
	text[length] = '\0';
	end_of_name = strrchr(text, ')');
	return end_of_name && sscanf(end_of_name, ") %*c %d", &parent) == 1 ? parent : getppid();
}

int thaw_jail_enter(const struct thaw_jail_config *config, struct thaw_jail_report *report,
		    struct thaw_error *err)
{
	thaw_autoclose int stat = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	pid_t parent = parent_of(stat);

	thaw_assert(config->uid != 0);
	/* An engine that is opened in here could not find out any more. */
	(void)thaw_tsc_trusted();
	empty_root(config, report);
	/* READ_IMPLIES_EXEC, inherited from a caller under setarch(8), would make every mapping
	 * executable behind the filter's back. */
	if (personality(PER_LINUX) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "jail: cannot reset the personality");
	if (set_limit(RLIMIT_CORE, 0) || set_limit(RLIMIT_NOFILE, config->max_fds))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "jail: cannot set resource limits");
	if (empty_bounding_set())
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "jail: cannot empty the capability bounding set");
	if (change_identity(config->uid, report))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "jail: cannot become uid %u",
				       config->uid);
	if (drop_capabilities())
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "jail: cannot drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0) ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "jail: cannot set process attributes");
	/* The identity change disarmed the death signal; a parent that died in between is seen
	 * here. */
	if (parent_of(stat) != parent)
		_exit(THAW_ERR_ENGINE);
	return 0;
}

static int compare_ints(const void *a, const void *b)
{
	int left = *(const int *)a, right = *(const int *)b;

	return (left > right) - (left < right);
}

int thaw_jail_keep_fds(const int *fds, size_t count, struct thaw_error *err)
{
	int sorted[16];
	unsigned next = 0;

	thaw_assert(count <= sizeof(sorted) / sizeof(sorted[0]));
	memcpy(sorted, fds, count * sizeof(*fds));
	qsort(sorted, count, sizeof(*sorted), compare_ints);
	for (size_t i = 0; i < count; i++) {
		thaw_assert(sorted[i] >= 0);
		if ((unsigned)sorted[i] > next && close_range(next, sorted[i] - 1, 0))
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "jail: cannot close descriptors");
		next = (unsigned)sorted[i] + 1;
	}
	if (close_range(next, ~0u, 0))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "jail: cannot close descriptors");
	return 0;
}
