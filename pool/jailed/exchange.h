/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange with a jailed child: the parent starts it, the child sends messages and at last a
 * result, and exits. `thaw freeze`, `thaw run` and the image reports are such exchanges.
 *
 * The parent takes what the child sends as hostile: each message is bounded and typed, and its text
 * is cleaned before a terminal sees it.
 *
 * A result counts only when the child ends as it should: after the result it sends nothing more and
 * exits with code 0, within a time limit. A child that dies after its result, whatever killed it,
 * has given no result. An ERROR message is final too; the child's end adds nothing to it.
 */
#ifndef THAW_JAILED_EXCHANGE_H
#define THAW_JAILED_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "pool/cli/files.h"
#include "pool/jailed/child.h"

#define THAW_JAILED_PAYLOAD_MAX 32768u

enum thaw_jailed_type {
	THAW_JAILED_PROGRESS = 1, /* struct thaw_jailed_progress */
	THAW_JAILED_LOG,	  /* a guest's line */
	THAW_JAILED_NOTICE,	  /* text for the person at the terminal */
	THAW_JAILED_SOUGHT, /* what a guest looked for: a line of the core, behind its first byte */
	THAW_JAILED_DATA,   /* a piece of the work's output; `number` says of which */
	THAW_JAILED_RESULT, /* a struct that the two sides agree on; `number` as above */
	THAW_JAILED_ERROR   /* text; `number` is an enum thaw_error_kind */
};

struct thaw_jailed_progress {
	uint32_t stage; /* enum thaw_boot_stage, or THAW_JAILED_SAVING */
	uint32_t reserved;
	uint64_t done, total;
};
#define THAW_JAILED_SAVING 16u

struct thaw_jailed_message {
	enum thaw_jailed_type type;
	uint32_t number;
	size_t length;
	uint8_t payload[THAW_JAILED_PAYLOAD_MAX + 1]; /* a NUL follows the LENGTH bytes */
};

/* ---- In the child ---- */

/* Sends one message, at most THAW_JAILED_PAYLOAD_MAX bytes of PAYLOAD. Ends the child when the
 * parent is gone. */
void thaw_jailed_send(const struct thaw_jailed *self, enum thaw_jailed_type type, uint32_t number,
		      const void *payload, size_t length);
/* Sends BYTES as DATA, in as many messages as it takes. */
void thaw_jailed_send_data(const struct thaw_jailed *self, uint32_t number, const void *bytes,
			   size_t length);
/* Sends ERR and returns 1, which is the exit code of a child that failed. */
int thaw_jailed_fail(const struct thaw_jailed *self, const struct thaw_error *err);

/* ---- In the parent ---- */

struct thaw_exchange {
	const char *what; /* completes "the jailed process that ..." in error messages */
	const int *fds;	  /* what the child keeps; at most THAW_JAILED_FDS_MAX */
	size_t fd_count;
	/* Runs in the child, in the jail. It calls thaw_jail_seal() before it touches anything
	 * hostile, sends its result, and returns its exit code: 0, or 1 after
	 * thaw_jailed_fail(). */
	int (*work)(struct thaw_jailed *self, void *context);
	/* Runs in the parent for each message but ERROR. Returns 0 when more is to come, 1 when
	 * the result is complete, -1 with ERR to refuse the message: the child is killed then. */
	int (*take)(void *context, const struct thaw_jailed_message *message,
		    struct thaw_error *err);
	void *context;	 /* of WORK and TAKE */
	unsigned end_ms; /* the child's time from its result to its end; 0: the default, 10 s */
	struct thaw_jailed_child child;
};

/* Starts the child. Returns 0, or -1 with ERR; after 0 thaw_exchange_finish() has to be called. */
int thaw_exchange_start(struct thaw_exchange *exchange, struct thaw_error *err);

/*
 * Reads until the result, ends the child and reaps it. What TAKE has taken counts only when this
 * returns 0. -1 with ERR: the child's own error, TAKE's, or how the child ended. There is no limit
 * on the time until the result: the work has its own (the boot's, the invocation's). What the
 * child writes to its standard error goes to this process's, cleaned.
 */
int thaw_exchange_finish(struct thaw_exchange *exchange, struct thaw_error *err);

/* Starts and finishes an exchange, as the two functions above. */
int thaw_exchange_run(struct thaw_exchange *exchange, struct thaw_error *err);

/* The kind of error that a child has sent as NUMBER; THAW_ERR_ENGINE when NUMBER is no kind. */
enum thaw_error_kind thaw_jailed_error_kind(uint32_t number);

/* For TAKE: appends the payload of a DATA message to BYTES; more than MAX bytes in all is
 * refused. */
int thaw_exchange_append(const struct thaw_jailed_message *message, struct thaw_bytes *bytes,
			 size_t max, struct thaw_error *err);

/* For TAKE: refuses a message that this exchange has no use for. Always -1. */
int thaw_exchange_refuse(const struct thaw_jailed_message *message, struct thaw_error *err);

#endif
