/* SPDX-License-Identifier: Apache-2.0 */
/* Drives a booting guest to its ready point, in the same way for every backend: answers its calls,
 * serves its warm requests and takes its record. Internal to the engine. One thread. */
#ifndef THAW_RUN_TO_READY_H
#define THAW_RUN_TO_READY_H

#include "engine/backend.h"
#include "engine/mailbox.h"

struct thaw_booting {
	/* Set by the backend. */
	struct thaw_request_source *requests;
	const struct thaw_guest_memory *memory;
	const struct thaw_vcpu *vcpu;
	const struct thaw_boot_config *config;
	struct thaw_mailbox *mailbox;
	/* Returns once a call is in the mailbox, or -1 with the reason why the boot cannot go
	 * on. */
	int (*wait_for_call)(struct thaw_booting *booting, struct thaw_error *err);
	/* Lets the guest go on; the request or reply is in place. */
	void (*give_turn)(struct thaw_booting *booting);

	uint64_t deadline_ns; /* 0: none */
	struct thaw_session session;
	struct thaw_run run;
	size_t warmed;
	bool at_ready; /* the guest has asked for a request at least once */
};

/* Puts the boot's own header into the mailbox and sets the deadline. To be called first. */
void thaw_booting_begin(struct thaw_booting *booting);
/* Runs the guest to the `next` after its last warm request, and takes the record. */
int thaw_booting_run(struct thaw_booting *booting, struct thaw_ready_state *ready,
		     struct thaw_error *err);
/* Returns -1, with the error that thaw_booting_too_late() sets, when the deadline has passed. */
int thaw_booting_check_time(const struct thaw_booting *booting, struct thaw_error *err);
int thaw_booting_too_late(const struct thaw_booting *booting, struct thaw_error *err);

#endif
