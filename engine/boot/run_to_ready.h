/* SPDX-License-Identifier: Apache-2.0 */
/* A guest on its way to its ready point, the same for every backend: its calls are answered, its
 * warm requests served, its record taken. Internal to the engine. */
#ifndef THAW_RUN_TO_READY_H
#define THAW_RUN_TO_READY_H

#include "engine/backend.h"
#include "engine/mailbox.h"

struct thaw_booting {
	/* From the backend. */
	struct thaw_request_source *requests;
	const struct thaw_guest_memory *memory;
	const struct thaw_vcpu *vcpu;
	const struct thaw_boot_config *config;
	struct thaw_mailbox *mailbox;
	/* Returns once a call is in the mailbox, or -1 with what holds up the boot. */
	int (*wait_for_call)(struct thaw_booting *booting, struct thaw_error *err);
	/* Lets the guest go on: request or reply is in place. */
	void (*give_turn)(struct thaw_booting *booting);

	uint64_t deadline_ns; /* 0: none */
	struct thaw_session session;
	struct thaw_run run;
	size_t warmed;
	bool at_ready; /* the guest has asked for a request at least once */
};

/* Puts the boot's own header into the mailbox and sets the deadline. First of all. */
void thaw_booting_begin(struct thaw_booting *booting);
/* Runs to the last `next` that there is to wait for, and takes the record. */
int thaw_booting_run(struct thaw_booting *booting, struct thaw_ready_state *ready,
		     struct thaw_error *err);
/* -1 when the time is over. */
int thaw_booting_check_time(const struct thaw_booting *booting, struct thaw_error *err);
int thaw_booting_too_late(const struct thaw_booting *booting, struct thaw_error *err);

#endif
