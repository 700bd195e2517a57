/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boots a guest in a process. No rlimit counts the pages of the file that is its memory, so this
 * file watches the file's blocks; the shim's filter and limits do everything else that holds the
 * guest in.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "engine/boot/run_to_ready.h"
#include "engine/host/futex.h"
#include "engine/image/memory_map.h"
#include "engine/process/process.h"
#include "engine/tick.h"
#include "snapshot-format/base/clock.h"

#define WATCH_NS                                                                                   \
	2000000u /* between looks at the guest's memory; it can write a few MiB in this time */

struct process_booting {
	struct thaw_booting common;
	struct process_backend *backend;
	uint64_t tick_ns; /* the earliest time for the guest's next tick; 0: it wants none */
};

/* Returns -1 with the reason when the boot cannot go on. */
static int check_guest(const struct process_booting *boot, struct thaw_error *err)
{
	const struct thaw_booting *common = &boot->common;
	siginfo_t info = {0};
	struct stat memory;

	if (fstat(common->memory->fd, &memory))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot look at the guest's memory");
	if ((uint64_t)memory.st_blocks * 512 > common->memory->limit)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%s outgrew its memory of %llu MiB while booting; give it more "
				 "with --memory",
				 common->config->program,
				 (unsigned long long)(common->memory->limit >> 20));
	if (thaw_booting_check_time(common, err))
		return -1;
	if (waitid(P_PID, (id_t)boot->backend->shim, &info, WEXITED | WNOHANG | WNOWAIT))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot wait for the guest");
	if (info.si_pid &&
	    __atomic_load_n(&common->mailbox->turn, __ATOMIC_ACQUIRE) != THAW_TURN_HOST)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s died before its ready point (%s %d)",
				 common->config->program,
				 info.si_code == CLD_EXITED ? "exit status" : "signal",
				 info.si_status);
	return 0;
}

static int wait_for_call(struct thaw_booting *booting, struct thaw_error *err)
{
	struct process_booting *boot = (struct process_booting *)booting;
	uint32_t *turn = &booting->mailbox->turn;

	while (__atomic_load_n(turn, __ATOMIC_ACQUIRE) != THAW_TURN_HOST) {
		if (check_guest(boot, err))
			return -1;
		if (thaw_tick_is_due(thaw_tick_wish(booting->mailbox), &boot->tick_ns,
				     thaw_monotonic_ns()))
			kill(boot->backend->shim, SHIM_TICK_SIGNAL);
		thaw_futex_wait(turn, THAW_TURN_GUEST, thaw_monotonic_ns() + WATCH_NS);
	}
	return check_guest(boot, err);
}

static void give_turn(struct thaw_booting *booting)
{
	/* Release: the request or reply is in place. */
	__atomic_store_n(&booting->mailbox->turn, THAW_TURN_GUEST, __ATOMIC_RELEASE);
	thaw_futex_wake(&booting->mailbox->turn);
}

int process_boot(struct process_backend *backend, const struct thaw_source *source,
		 const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		 struct thaw_error *err)
{
	struct process_booting boot = {.common = {.requests = source->requests,
						  .memory = source->memory,
						  .vcpu = source->vcpu,
						  .config = config,
						  .mailbox = &backend->mailboxes[0],
						  .wait_for_call = wait_for_call,
						  .give_turn = give_turn},
				       .backend = backend};
	int result = -1;

	if (!backend->shim && process_spawn(backend, err))
		return -1;
	if (process_configure(backend, SHIM_BOOT, source, err))
		return -1;
	thaw_booting_begin(&boot.common);
	boot.common.mailbox->turn = THAW_TURN_GUEST;
	if (process_go(backend, SHIM_BOOT, err) == 0)
		result = thaw_booting_run(&boot.common, ready, err);
	process_end(backend);
	process_clean_mailbox(backend, 0);
	return result;
}
