/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A jailed child that does one piece of work on hostile input for the client: boots a program, runs
 * an image, reads an image's metadata. It has no file system and no descriptors but those it is
 * given, so all it can do to its parent is to send messages, and the parent takes those as hostile
 * too: bounded, typed, their text cleaned.
 */
#ifndef THAW_JAILED_H
#define THAW_JAILED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/jail/jail.h"
#include "snapshot-format/base/error.h"

#define THAW_JAILED_PAYLOAD_MAX 32768u
#define THAW_JAILED_FDS_MAX	10u

enum thaw_jailed_type {
	THAW_JAILED_PROGRESS = 1, /* struct thaw_jailed_progress */
	THAW_JAILED_LOG,	  /* a guest's line */
	THAW_JAILED_NOTICE,	  /* text for the person at the terminal */
	THAW_JAILED_DATA,	  /* a piece of the work's output; `number` says of which */
	THAW_JAILED_RESULT,	  /* a struct that the two sides agree on; `number` as above */
	THAW_JAILED_ERROR	  /* text; `number` is an enum thaw_error_kind */
};

struct thaw_jailed_progress {
	uint32_t stage; /* enum thaw_boot_stage, or THAW_JAILED_SAVING */
	uint32_t reserved;
	uint64_t done, total;
};
#define THAW_JAILED_SAVING 16u

struct thaw_jailed {
	pid_t pid;
	unsigned number; /* the parent's process: two at a time are two users */
	int channel;	 /* SOCK_SEQPACKET; in the child: the other end */
	int kvm_fd;	 /* in the child: for struct thaw_engine_config */
	int errors;	 /* what the child writes to its standard error; in the child -1 */
	struct thaw_jail_report report;
};

struct thaw_jailed_message {
	enum thaw_jailed_type type;
	uint32_t number;
	size_t length;
	uint8_t payload[THAW_JAILED_PAYLOAD_MAX + 1]; /* a NUL follows the LENGTH bytes */
};

/*
 * Starts WORK in a jailed child that keeps FDS. WORK runs in the child after thaw_jail_enter(); it
 * seals itself with thaw_jail_seal() before it touches anything hostile, sends its result, and
 * returns its exit code.
 */
int thaw_jailed_start(struct thaw_jailed *jailed, const int *fds, size_t fd_count,
		      int (*work)(struct thaw_jailed *self, void *context), void *context,
		      struct thaw_error *err);

/* In the child. A parent that is gone ends the child. */
void thaw_jailed_send(const struct thaw_jailed *self, enum thaw_jailed_type type, uint32_t number,
		      const void *payload, size_t length);
/* Sends ERR and returns 1. */
int thaw_jailed_fail(const struct thaw_jailed *self, const struct thaw_error *err);

/* In the parent: waits for the next message. Returns 1, or 0 when the child has closed its end.
 * What the child writes to its standard error goes to ours, cleaned. */
int thaw_jailed_next(struct thaw_jailed *jailed, struct thaw_jailed_message *message,
		     struct thaw_error *err);
/* Puts the child's ERROR message in ERR. Always -1. */
int thaw_jailed_take_error(const struct thaw_jailed_message *message, struct thaw_error *err);
/* Ends the child if it still runs, and waits until it and all it started are gone. WHAT it was
 * doing and how it died is put in ERR when it did not end by itself; returns -1 then. */
int thaw_jailed_end(struct thaw_jailed *jailed, const char *what, struct thaw_error *err);

#endif
