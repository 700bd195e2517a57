/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting a guest in a process. Its memory is a file that no rlimit counts page by page, so the
 * blocks of the file are watched from here; everything else that holds it in is the shim's filter
 * and limits.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "engine/futex.h"
#include "engine/mailbox.h"
#include "engine/process.h"
#include "snapshot-format/cleanup.h"

#define WATCH_NS                                                                                   \
	2000000u /* between looks at the guest's memory; it can write a few MiB in this time */

struct boot {
	struct thaw_backend_state *state;
	struct thaw_engine *engine;
	const struct thaw_guest_memory *memory;
	const struct thaw_vcpu *vcpu;
	const struct thaw_boot_config *config;
	struct thaw_mailbox *mailbox;
	struct thaw_session session;
	struct thaw_run run;
	uint64_t deadline_ns;
	size_t warmed;
	bool at_ready; /* the guest has asked for a request at least once */
};

static int boot_log(void *context, const char *line, size_t length)
{
	const struct boot *boot = context;

	if (boot->config->log)
		boot->config->log(boot->config->context, line, length);
	return 0;
}

/* What holds up the boot, if anything: returns -1 with the reason. */
static int check_guest(const struct boot *boot, struct thaw_error *err)
{
	siginfo_t info = {0};
	struct stat memory;

	if (fstat(boot->memory->fd, &memory))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot look at the guest's memory");
	if ((uint64_t)memory.st_blocks * 512 > boot->memory->limit)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%s outgrew its memory of %llu MiB while booting; give it more "
				 "with --memory",
				 boot->config->program,
				 (unsigned long long)(boot->memory->limit >> 20));
	if (boot->deadline_ns && thaw_now_ns() >= boot->deadline_ns)
		return thaw_fail(
			err, THAW_ERR_DEADLINE, "%s did not reach its ready point within %.1f s",
			boot->config->program, (double)boot->config->boot_timeout_ns / 1e9);
	if (waitid(P_PID, (id_t)boot->state->shim, &info, WEXITED | WNOHANG | WNOWAIT))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot wait for the guest");
	if (info.si_pid &&
	    __atomic_load_n(&boot->mailbox->turn, __ATOMIC_ACQUIRE) != THAW_TURN_HOST)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s died before its ready point (%s %d)",
				 boot->config->program,
				 info.si_code == CLD_EXITED ? "exit status" : "signal",
				 info.si_status);
	return 0;
}

static int wait_for_call(const struct boot *boot, struct thaw_error *err)
{
	while (__atomic_load_n(&boot->mailbox->turn, __ATOMIC_ACQUIRE) != THAW_TURN_HOST) {
		if (check_guest(boot, err))
			return -1;
		thaw_futex_wait(&boot->mailbox->turn, THAW_TURN_GUEST, thaw_now_ns() + WATCH_NS);
	}
	return check_guest(boot, err);
}

static void give_turn(const struct boot *boot)
{
	/* Release: the request or reply is in place. */
	__atomic_store_n(&boot->mailbox->turn, THAW_TURN_GUEST, __ATOMIC_RELEASE);
	thaw_futex_wake(&boot->mailbox->turn);
}

static void begin(struct boot *boot, const void *request, size_t length)
{
	struct thaw_request_header header;

	boot->run = (struct thaw_run){.request = request,
				      .request_length = length,
				      .response_max = UINT64_MAX,
				      .context = boot,
				      .log = boot_log};
	thaw_engine_new_request(boot->engine, length, boot->deadline_ns, &header);
	thaw_session_begin(&boot->session, boot->mailbox, &boot->run, &header);
}

static int refuse(const struct boot *boot, const struct thaw_outcome *outcome,
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

static void progress(const struct boot *boot)
{
	if (boot->config->progress)
		boot->config->progress(boot->config->context,
				       boot->at_ready ? THAW_BOOT_WARM : THAW_BOOT_RUN,
				       boot->warmed, boot->config->warm_count);
}

/* Runs until the last `next` that there is to wait for. */
static int run_to_ready(struct boot *boot, struct thaw_error *err)
{
	for (;;) {
		struct thaw_outcome outcome = {0};

		if (wait_for_call(boot, err))
			return -1;
		if (thaw_session_handle(&boot->session, boot->mailbox, &outcome) ==
		    THAW_VERDICT_CONTINUE) {
			give_turn(boot);
			continue;
		}
		if (outcome.kind != THAW_OUTCOME_finished)
			return refuse(boot, &outcome, err);
		boot->at_ready = true;
		progress(boot);
		if (boot->warmed == boot->config->warm_count)
			return 0;
		begin(boot, boot->config->warm[boot->warmed].bytes,
		      boot->config->warm[boot->warmed].length);
		boot->warmed++;
		give_turn(boot);
	}
}

static int take_record(const struct boot *boot, struct thaw_ready_state *ready,
		       struct thaw_error *err)
{
	/* One copy, and only the copy is looked at. */
	thaw_autofree struct thaw_ready *record = malloc(THAW_WINDOW_SIZE);

	if (!record)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM,
				       "no memory for the ready point's record");
	memcpy(record, boot->mailbox->request_window, THAW_WINDOW_SIZE);
	return thaw_ready_take(record, THAW_WINDOW_SIZE, boot->memory->limit, boot->vcpu, ready,
			       err);
}

int process_boot(struct thaw_backend_state *state, struct thaw_engine *engine,
		 const struct thaw_guest_memory *memory, const struct thaw_vcpu *vcpu,
		 const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		 struct thaw_error *err)
{
	struct boot boot = {.state = state,
			    .engine = engine,
			    .memory = memory,
			    .vcpu = vcpu,
			    .config = config,
			    .mailbox = &state->mailboxes[0]};
	int result = -1;

	if (!state->shim && process_spawn(state, err))
		return -1;
	if (process_configure(state, SHIM_BOOT, memory, vcpu, err))
		return -1;
	if (config->boot_timeout_ns)
		boot.deadline_ns = thaw_now_ns() + config->boot_timeout_ns;
	progress(&boot);
	begin(&boot, NULL, 0);
	boot.mailbox->turn = THAW_TURN_GUEST;
	if (process_go(state, SHIM_BOOT, err) == 0 && run_to_ready(&boot, err) == 0 &&
	    take_record(&boot, ready, err) == 0)
		result = 0;
	process_end(state);
	process_clean_mailbox(state, 0);
	return result;
}
