/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thaw_jail_enter(): what a process gives up before it looks at hostile input.
 *
 * An exec may lie between the clone and this call, so it does not trust what it is told about its
 * namespaces: it makes its own mount namespace and asks the kernel what it may do. The order
 * matters. Mounts need CAP_SYS_ADMIN, the bounding set CAP_SETPCAP, the identity CAP_SETUID. A
 * change of identity clears the death signal and sets the dumpable flag, so those come last.
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

/* Makes a file system that holds nothing and can hold nothing, not mounted anywhere yet. Returns
 * its descriptor. */
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

/* Makes a procfs that is mounted nowhere: only its descriptor leads to it. Call before the old root
 * goes, because in a user namespace the kernel makes a procfs only where another one is visible. */
static void make_proc(void)
{
	thaw_autoclose int context = fsopen("proc", FSOPEN_CLOEXEC), proc = -1;

	if (context < 0)
		return;
	/* The system's own files are not needed; kernels before 5.8 show them all the same. */
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
	/* Before anything is mounted, so that no change propagates to the host's mounts. */
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
	/* The kernel cannot pivot where "/" is not a mount point (in a chroot) or is the initial
	 * ram file system. There a chroot stands in. It holds, because no descriptor leads out of
	 * it and the capability to make another is dropped below. */
	return errno == EINVAL && !fchdir(root) && !chroot(".") ? 0 : -1;
}

static void empty_root(const struct thaw_jail_config *config, struct thaw_jail_report *report)
{
	if (replace_root(config, report)) {
		thaw_jail_note_missing(report, report->mount ? "empty root" : "mount",
				       strerrordesc_np(errno));
		/* A process that may open files in procfs could open any other file too. */
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
	if (value > limit.rlim_max) /* root may lack the privilege to raise it */
		value = limit.rlim_max;
	limit = (struct rlimit){value, value};
	return setrlimit(resource, &limit);
}

/* From here on no program can win capabilities back, whatever its owner and its file's
 * attributes. */
static int empty_bounding_set(void)
{
	if (!thaw_jail_has_capability(CAP_SETPCAP))
		return 0; /* it has no capability to begin with, and no_new_privs keeps it so */
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

/* EINVAL from either call means that the user namespace does not map the id. A namespace that we
 * made maps only one id; the protection there is that this id is unprivileged outside. */
static int change_identity(uid_t uid, struct thaw_jail_report *report)
{
	if (!thaw_jail_has_capability(CAP_SETUID) || !thaw_jail_has_capability(CAP_SETGID)) {
		thaw_jail_note_missing(report, "own uid", "needs CAP_SETUID and CAP_SETGID");
		errno = EPERM; /* fail if this is root, which must not stay root */
		return geteuid() == 0 ? -1 : 0;
	}
	/* EPERM where setgroups is denied. The caller could not choose its groups there anyway. */
	if (setgroups(0, NULL) && errno != EPERM)
		return -1;
	if (!set_identity(uid)) {
		report->own_uid = true;
		return 0;
	}
	if (errno != EINVAL)
		return -1;
	if (!set_identity(NOBODY)) {
		thaw_jail_note_missing(report, "own uid",
				       "this host maps no uid other than nobody's");
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
 * The parent's id as the proc file STAT shows it. getppid(2) returns 0 across a PID namespace, but
 * that procfs was mounted outside, and its open files still work when the root is gone. Without a
 * procfs, getppid() has to do.
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
	/* Ask now: an engine that opens in the jail could not find out any more. */
	(void)thaw_tsc_trusted();
	empty_root(config, report);
	/* READ_IMPLIES_EXEC, inherited from a caller under setarch(8), would make every mapping
	 * executable although the filter refuses PROT_EXEC. */
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
	/* The change of identity disarmed the death signal. Notice a parent that died meanwhile. */
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
