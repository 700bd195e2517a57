/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of the guest ABI: answers the calls that a guest puts in its mailbox, in the same
 * way for every backend. How the turn passes between host and guest is each backend's. Nothing in a
 * mailbox is read twice: a call is copied out, and the copy is checked, used and forgotten.
 * Internal to the engine. A session and its mailbox are used by one thread at a time.
 */
#ifndef THAW_MAILBOX_H
#define THAW_MAILBOX_H

#include "engine/engine.h"

/* An invocation under way. */
struct thaw_session {
	const struct thaw_run *run;
	size_t request_taken;	  /* bytes of the request that the guest has */
	uint64_t response_length; /* bytes of the response so far */
};

enum thaw_verdict {
	THAW_VERDICT_CONTINUE, /* a reply is in place: give the turn to the guest */
	THAW_VERDICT_DONE,     /* the invocation ended, and the outcome says how */
};

/* Puts a request in place. Does not pass the turn. RUN must stay until the session is done. */
void thaw_session_begin(struct thaw_session *session, struct thaw_mailbox *mailbox,
			const struct thaw_run *run, const struct thaw_request_header *header);

/* Handles the call in MAILBOX. Sets OUTCOME, all but its times, when the invocation is done. */
enum thaw_verdict thaw_session_handle(struct thaw_session *session, struct thaw_mailbox *mailbox,
				      struct thaw_outcome *outcome);

/* Sets kind, exit code and message of an outcome. FORMAT NULL: the kind's own text, which is empty
 * for `finished` and `exited`. */
void thaw_outcome_set(struct thaw_outcome *outcome, enum thaw_outcome_kind kind, const char *format,
		      ...) __attribute__((format(printf, 3, 4)));
/* Describes a guest that died of SIGNAL. The outcome holds the fault already, if it is known. */
void thaw_outcome_crashed(struct thaw_outcome *outcome, int signal);

#endif
