/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts and ends a jailed child of the client. The child does one piece of work on hostile input:
 * it boots a program, runs an image, or reads an image's metadata. It has no file system, and no
 * descriptor but those that it is given. exchange.h says what the two sides send.
 */
#ifndef THAW_JAILED_CHILD_H
#define THAW_JAILED_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "engine/jail/jail.h"
#include "snapshot-format/base/error.h"

#define THAW_JAILED_FDS_MAX 10u

/* What the work has, in the child. */
struct thaw_jailed {
	int channel; /* SOCK_SEQPACKET, to the parent */
	int kvm_fd;  /* /dev/kvm for struct thaw_engine_config, or -1 */
	/* For thaw_jailed_enter(). */
	int errors;	 /* becomes the standard error */
	unsigned number; /* of the child's user: two clients at a time are two users */
	struct thaw_jail_report report;
};

/* What the parent has. */
struct thaw_jailed_child {
	pid_t pid;
	int pidfd;
	int channel; /* the other end of the child's */
	int errors;  /* a pipe from the child's standard error; -1 after its end */
};

#define THAW_JAILED_CHILD_INIT                                                                     \
	{                                                                                          \
		.pidfd = -1, .channel = -1, .errors = -1                                           \
	}

/*
 * Forks a child, which calls RUN and exits with the code that RUN returns. RUN has to call
 * thaw_jailed_enter() before anything else. The caller reaps the child with thaw_jailed_reap().
 * Call from a single-threaded process.
 */
int thaw_jailed_start(struct thaw_jailed_child *child,
		      int (*run)(struct thaw_jailed *self, void *context), void *context,
		      struct thaw_error *err);

/* In the child: enters the jail, and closes every descriptor but the COUNT in FDS (at most
 * THAW_JAILED_FDS_MAX) and those of SELF. */
int thaw_jailed_enter(struct thaw_jailed *self, const int *fds, size_t count,
		      struct thaw_error *err);

/* Closes the channel: the child ends at its next message. */
void thaw_jailed_hang_up(struct thaw_jailed_child *child);

/* Kills the child, and with it what runs in its PID namespace. */
void thaw_jailed_kill(const struct thaw_jailed_child *child);

/* Closes the parent's descriptors, waits until the child is gone, and reaps it. Returns the status
 * as waitpid(2) gives it. */
int thaw_jailed_reap(struct thaw_jailed_child *child);

#endif
