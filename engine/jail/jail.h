/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail of every process that looks at hostile input: the worker, the boot of `thaw freeze`,
 * `thaw run`.
 *
 * The steps come in this order, because each needs what a later one takes away:
 *   - thaw_jail_clone(): a child in namespaces of its own, which may exec;
 *   - thaw_jail_enter(): in the child, an empty root, no privileges, an identity of its own;
 *   - thaw_jail_keep_fds(): no descriptors other than the given ones;
 *   - thaw_jail_seal(): the system-call filter. No exec, no network, and no new descriptors other
 *     than memory files, events and timers;
 *   - thaw_jail_seal_loaded(): once the image is loaded, no more io_uring.
 * Namespaces are used as far as the host allows, and the report names those that there are. The
 * other steps are never optional.
 */
#ifndef THAW_JAIL_H
#define THAW_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot-format/base/error.h"

struct thaw_jail_report {
	bool user, pid, mount, net, ipc, uts, cgroup; /* namespaces of its own */
	bool empty_root;			      /* sees no file */
	bool own_uid;				      /* no other process runs as this user */
	char missing[256]; /* which are missing, and why; empty when none is */
};

/*
 * Forks a child into new namespaces, with fewer of them where the host refuses some. It makes a
 * user namespace only where the caller lacks CAP_SYS_ADMIN. That maps the caller's identity to 0,
 * before this returns in the child, so that an exec keeps its capabilities. The child is pid 1 if
 * it has a PID namespace, and dies with the calling thread. Call from a single-threaded process;
 * fork handlers do not run.
 *
 * Returns 0 in the child, its pid in the parent, a negative value on failure. Fills REPORT on both
 * sides, except for mount, empty_root and own_uid, which thaw_jail_enter() adds. *PIDFD, if not
 * NULL, receives a close-on-exec pidfd in the parent.
 */
pid_t thaw_jail_clone(struct thaw_jail_report *report, int *pidfd, struct thaw_error *err);

struct thaw_jail_config {
	uid_t uid;	  /* uid and gid to take if privileged, else ignored; never 0 */
	unsigned max_fds; /* RLIMIT_NOFILE; the hard limit may lower it */
	/* Keep a procfs with only the processes of the PID namespace at THAW_JAIL_PROC_FD, which
	 * must be free. There is none where the host does not allow it, or without an empty
	 * root. */
	bool proc;
};

#define THAW_JAIL_PROC_FD 30

/* Workers of a daemon that is root take uids from here on: the front chooses a number below
 * THAW_JAIL_UIDS to add. Where the host does not map the uid, thaw_jail_enter() takes 65534. */
#define THAW_JAIL_UID_BASE 1500000000u
#define THAW_JAIL_UIDS	   65536u

/* Adds to REPORT, which thaw_jail_clone() filled in or which is zeroes after an exec. Ends the
 * process if its parent died meanwhile. After a failure the process is half jailed and can only
 * exit. Call while single-threaded, and before forking processes that this one has to kill: it may
 * not signal processes that kept the caller's uid. */
int thaw_jail_enter(const struct thaw_jail_config *config, struct thaw_jail_report *report,
		    struct thaw_error *err);

/* Closes every descriptor except the COUNT in FDS, in any order, at most 16. */
int thaw_jail_keep_fds(const int *fds, size_t count, struct thaw_error *err);

/* Which system calls a sealed process keeps; seal.c has the table with a reason on each line. */
enum thaw_jail_profile {
	THAW_JAIL_WORKER = 1,  /* serves sockets that it was given */
	THAW_JAIL_FREEZER = 2, /* boots a guest and writes its image, or runs one invocation */
	/* With WORKER: recycles clones. Only within an empty root and with THAW_JAIL_PROC_FD,
	 * because a filter does not see paths, and an absolute path ignores the descriptor. */
	THAW_JAIL_RECYCLER = 4
};

/* Seals every thread of the process; PROFILES are bits of enum thaw_jail_profile. A call that is
 * not in the table kills the process with SIGSYS. */
int thaw_jail_seal(unsigned profiles, struct thaw_error *err);

/* Gives up what only loading needs: io_uring_enter(2) on the ring that was set up before the seal,
 * and the right to add filters. Call after thaw_jail_seal(), when the image is loaded and before
 * the first invocation. */
int thaw_jail_seal_loaded(struct thaw_error *err);

/* ---- The guest's filter, for the process backend's shim ---- */

struct sock_filter;

enum thaw_guest_filter {
	THAW_GUEST_FILTER_CLONE, /* zygote and clones */
	THAW_GUEST_FILTER_BOOT	 /* a booting guest, whose memory is the file of descriptor 3 */
};

/* The filter as classic BPF; static. *COUNT receives the number of its instructions. */
const struct sock_filter *thaw_guest_filter(enum thaw_guest_filter which, size_t *count);

#endif
