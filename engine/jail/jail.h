/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail of every process that looks at hostile input: the worker, the boot of `thaw freeze`,
 * `thaw run`.
 *
 * Steps in this order, because each needs what a later one takes away:
 *   - thaw_jail_clone(): a child in namespaces of its own (the caller may exec in it);
 *   - thaw_jail_enter(): in the child, an empty root, no privileges, an identity of its own;
 *   - thaw_jail_keep_fds(): no descriptor but the ones it was given;
 *   - thaw_jail_seal(): the system-call filter. No exec, no network, and no new descriptors but
 *     memory files, events and timers;
 *   - thaw_jail_seal_loaded(): once the image is loaded, no io_uring any more.
 * Namespaces are used as far as the host allows, and the report says which there are. The rest is
 * never optional.
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
	bool own_uid;				      /* runs as a user of no other process */
	char missing[256]; /* why some are not there; empty when all are */
};

/*
 * Forks a child into new namespaces (a user namespace only where the caller lacks CAP_SYS_ADMIN;
 * then the caller's identity is mapped to 0 inside, written before this returns in the child, so
 * that an exec keeps its capabilities). The child is pid 1 where there is a PID namespace, and dies
 * with the calling thread. Retries with fewer namespaces where the host refuses some. Call from a
 * single-threaded process; fork handlers do not run. Returns 0 in the child, its pid in the parent,
 * negative on failure; REPORT is filled on both sides, but for what thaw_jail_enter() adds to it:
 * mount, empty_root and own_uid. *PIDFD, if not NULL, receives a close-on-exec pidfd in the parent.
 */
pid_t thaw_jail_clone(struct thaw_jail_report *report, int *pidfd, struct thaw_error *err);

struct thaw_jail_config {
	uid_t uid;	  /* to become when privileged, and the gid; ignored otherwise; never 0 */
	unsigned max_fds; /* RLIMIT_NOFILE; less where the hard limit is lower */
	/* Whether to keep a procfs of the PID namespace, its processes alone, at THAW_JAIL_PROC_FD,
	 * which must not be in use. Where the host does not allow it there is
	 * none, nor where there is no empty root. */
	bool proc;
};

#define THAW_JAIL_PROC_FD 30

/* The first of the uids that workers take when the daemon is root; the front adds a number of its
 * own choosing below THAW_JAIL_UIDS to it. Falls back to 65534 where the host does not map it. */
#define THAW_JAIL_UID_BASE 1500000000u
#define THAW_JAIL_UIDS	   65536u

/* REPORT is added to: what thaw_jail_clone() filled in, or zeroes after an exec. The process ends
 * here if its parent died meanwhile. After a failure the process is half jailed and can only exit.
 * Call while single-threaded. Processes that it is to kill later are to be forked after this: it
 * has no right to signal those that kept the caller's uid. */
int thaw_jail_enter(const struct thaw_jail_config *config, struct thaw_jail_report *report,
		    struct thaw_error *err);

/* Closes every descriptor but the COUNT in FDS (any order, at most 16). */
int thaw_jail_keep_fds(const int *fds, size_t count, struct thaw_error *err);

/* Which calls a sealed process keeps: engine/jail/seal.c has the table, a reason on each line. */
enum thaw_jail_profile {
	THAW_JAIL_WORKER = 1,  /* serves sockets that it was given */
	THAW_JAIL_FREEZER = 2, /* boots a guest and writes its image, or runs one invocation */
	/* Beside WORKER: puts clones back. Only within an empty root and with THAW_JAIL_PROC_FD: a
	 * filter does not see paths, and an absolute one has nothing to do with the descriptor. */
	THAW_JAIL_RECYCLER = 4
};

/* Seals every thread of the process; PROFILES are enum thaw_jail_profile, together. A call that is
 * not in the table kills the process (SIGSYS). */
int thaw_jail_seal(unsigned profiles, struct thaw_error *err);

/* Gives up what only loading needs: io_uring_enter(2) on the ring that was set up before the seal,
 * and the right to add this filter. Call after thaw_jail_seal(), when the image is loaded and
 * before the first invocation. */
int thaw_jail_seal_loaded(struct thaw_error *err);

/* ---- The guest's filter, for the process backend's shim ---- */

struct sock_filter;

enum thaw_guest_filter {
	THAW_GUEST_FILTER_CLONE, /* zygote and clones */
	THAW_GUEST_FILTER_BOOT	 /* a booting guest: its memory is the file of descriptor 3 */
};

/* The filter as classic BPF; static. *COUNT receives the number of its instructions. */
const struct sock_filter *thaw_guest_filter(enum thaw_guest_filter which, size_t *count);

#endif
