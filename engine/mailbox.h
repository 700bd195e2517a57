/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of the guest ABI: what happens when a guest has put a call in its mailbox. The
 * same for every backend; how the turn passes is the backend's. Nothing in a mailbox is looked at
 * twice: a call is copied out and the copy is checked, used and forgotten. Internal to the engine.
 */
#ifndef THAW_MAILBOX_H
#define THAW_MAILBOX_H

#include "engine/engine.h"

/* One invocation under way. */
struct thaw_session {
	const struct thaw_run *run;
	size_t request_taken;	  /* bytes of the request that went to the guest */
	uint64_t response_length; /* bytes of the response so far */
};

enum thaw_verdict {
	THAW_VERDICT_CONTINUE, /* a reply is in place: give the turn to the guest */
	THAW_VERDICT_DONE,     /* the invocation ended, and the outcome says how */
};

/* Puts a request in place. The turn is not touched. */
void thaw_session_begin(struct thaw_session *session, struct thaw_mailbox *mailbox,
			const struct thaw_run *run, const struct thaw_request_header *header);

/* Handles the call in MAILBOX. OUTCOME is set when it is done, except for its times. */
enum thaw_verdict thaw_session_handle(struct thaw_session *session, struct thaw_mailbox *mailbox,
				      struct thaw_outcome *outcome);

/* Sets kind, exit code and message of an outcome. Without a FORMAT the text is the kind's own. */
void thaw_outcome_set(struct thaw_outcome *outcome, enum thaw_outcome_kind kind, const char *format,
		      ...) __attribute__((format(printf, 3, 4)));
/* A guest that died of SIGNAL; what is known of the fault, if anything, is in the outcome already.
 */
void thaw_outcome_crashed(struct thaw_outcome *outcome, int signal);

#endif
