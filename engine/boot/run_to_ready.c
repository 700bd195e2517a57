/* SPDX-License-Identifier: Apache-2.0 */
/* Driving a guest to its ready point; see run_to_ready.h. */
#include "engine/boot/run_to_ready.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/host/guest_state.h"
#include "engine/host/request_source.h"
#include "engine/image/memory_map.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

static int boot_log(void *context, const char *line, size_t length)
{
	const struct thaw_booting *boot = context;

	if (boot->config->log)
		boot->config->log(boot->config->context, line, length);
	return 0;
}

int thaw_booting_too_late(const struct thaw_booting *boot, struct thaw_error *err)
{
	return thaw_fail(err, THAW_ERR_DEADLINE, "%s did not reach its ready point within %.1f s",
			 boot->config->program, (double)boot->config->boot_timeout_ns / 1e9);
}

int thaw_booting_check_time(const struct thaw_booting *boot, struct thaw_error *err)
{
	return boot->deadline_ns && thaw_monotonic_ns() >= boot->deadline_ns
		       ? thaw_booting_too_late(boot, err)
		       : 0;
}

static void begin(struct thaw_booting *boot, const void *request, size_t length)
{
	struct thaw_request_header header;

	boot->run = (struct thaw_run){.request = request,
				      .request_length = length,
				      .response_max = UINT64_MAX,
				      .context = boot,
				      .log = boot_log};
	thaw_request_source_fill(boot->requests, length, boot->deadline_ns, &header);
	thaw_session_begin(&boot->session, boot->mailbox, &boot->run, &header);
}

static int refuse(const struct thaw_booting *boot, const struct thaw_outcome *outcome,
		  struct thaw_error *err)
{
	char when[64] = "before its ready point";

	if (boot->at_ready)
		snprintf(when, sizeof(when), "in warm request %zu", boot->warmed);
	if (outcome->kind == THAW_OUTCOME_exited)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%s ended with status %d %s: it never asked for a request",
				 boot->config->program, outcome->exit_code, when);
	return thaw_fail(err, THAW_ERR_FAILURE, "%s failed %s: %s", boot->config->program, when,
			 outcome->message);
}

static void progress(const struct thaw_booting *boot)
{
	if (boot->config->progress)
		boot->config->progress(boot->config->context,
				       boot->at_ready ? THAW_BOOT_WARM : THAW_BOOT_RUN,
				       boot->warmed, boot->config->warm_count);
}

static int run_to_ready(struct thaw_booting *boot, struct thaw_error *err)
{
	for (;;) {
		struct thaw_outcome outcome = {0};

		if (boot->wait_for_call(boot, err))
			return -1;
		if (thaw_session_handle(&boot->session, boot->mailbox, &outcome) ==
		    THAW_VERDICT_CONTINUE) {
			boot->give_turn(boot);
			continue;
		}
		if (outcome.kind != THAW_OUTCOME_finished)
			return refuse(boot, &outcome, err);
		boot->at_ready = true;
		progress(boot);
		if (boot->config->tree || boot->warmed == boot->config->warm_count)
			return 0;
		begin(boot, boot->config->warm[boot->warmed].bytes,
		      boot->config->warm[boot->warmed].length);
		boot->warmed++;
		boot->give_turn(boot);
	}
}

static int take_record(const struct thaw_booting *boot, struct thaw_ready_state *ready,
		       struct thaw_error *err)
{
	/* The record is copied once, and only the copy is used. */
	thaw_autofree struct thaw_ready *record = malloc(THAW_WINDOW_SIZE);

	if (!record)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM,
				       "no memory for the ready point's record");
	memcpy(record, boot->mailbox->request_window, THAW_WINDOW_SIZE);
	return thaw_ready_take(record, THAW_WINDOW_SIZE, boot->memory->limit, boot->vcpu, ready,
			       err);
}

void thaw_booting_begin(struct thaw_booting *boot)
{
	if (boot->config->boot_timeout_ns)
		boot->deadline_ns = thaw_monotonic_ns() + boot->config->boot_timeout_ns;
	progress(boot);
	begin(boot, NULL, 0);
}

int thaw_booting_run(struct thaw_booting *boot, struct thaw_ready_state *ready,
		     struct thaw_error *err)
{
	return run_to_ready(boot, err) || take_record(boot, ready, err) ? -1 : 0;
}
