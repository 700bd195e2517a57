/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the shim and telling it what to become. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "engine/host/futex.h"
#include "engine/image/memory_map.h"
#include "engine/jail/jail.h"
#include "engine/process/process.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

_Static_assert(THAW_PIECES_MAX <= SHIM_MAPS_MAX, "every map of a guest fits the control block");

#define NOBODY	       65534
#define DEATH_CHECK_NS 10000000u /* a shim that dies before it is sealed wakes nobody */

/* Clones lose the right to fork by RLIMIT_NPROC, which does not bind the system's root. Tried,
 * since who is root is not seen from inside a user namespace. In a child of its own: a hard limit
 * does not come back. */
static bool forks_can_be_forbidden(void)
{
	static const struct rlimit none = {0, 0};
	pid_t child = fork(), grandchild;
	int status = 0;

	if (child == 0) {
		grandchild = setrlimit(RLIMIT_NPROC, &none) ? 0 : fork();
		_exit(grandchild < 0 ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* A shim is never the system's root, whoever runs the engine. */
static bool become_nobody(void)
{
	if (geteuid() == 0 && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
	    setresuid(NOBODY, NOBODY, NOBODY) == 0)
		return true;
	return geteuid() != 0 || forks_can_be_forbidden();
}

/* In the child: the two descriptors at their places and nothing else, and a process group for all
 * that will come of it. */
_Noreturn static void become_shim(const struct thaw_backend_state *state, pid_t parent)
{
	char name[] = "thaw-shim", *const argv[] = {name, NULL}, *const envp[] = {NULL};
	/* First out of the way of the two numbers, then into place. */
	int memory = fcntl(state->memory_fd, F_DUPFD, 16),
	    arena = fcntl(state->arena_fd, F_DUPFD, 16);
	int shim = fcntl(state->shim_fd, F_DUPFD_CLOEXEC, 16);

	if (memory < 0 || arena < 0 || shim < 0 || !become_nobody() || setpgid(0, 0) ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent ||
	    dup2(memory, SHIM_FD_MEMORY) < 0 || dup2(arena, SHIM_FD_ARENA) < 0)
		_exit(127);
	if (shim > SHIM_FD_ARENA + 1)
		close_range(SHIM_FD_ARENA + 1, (unsigned)shim - 1, 0);
	close_range((unsigned)shim + 1, ~0u, 0);
	execveat(shim, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

int process_spawn(struct thaw_backend_state *state, struct thaw_error *err)
{
	pid_t parent = getpid(), pid;

	state->control->go = 0;
	state->control->step = SHIM_STARTED;
	state->control->error = 0;
	state->wanted = state->control->ordered = state->control->made = 0;
	pid = fork();
	if (pid < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot start the shim");
	if (pid == 0)
		become_shim(state, parent);
	/* Both set it, whoever comes first: the group must exist before anything waits on it. */
	setpgid(pid, pid);
	state->shim = pid;
	return 0;
}

void process_end(struct thaw_backend_state *state)
{
	pthread_mutex_lock(&state->lock);
	state->closing = true;
	if (state->shim)
		kill(-state->shim, SIGKILL);
	pthread_mutex_unlock(&state->lock);
	if (state->shim && !state->reaper_started) {
		while (waitpid(state->shim, NULL, 0) < 0 && errno == EINTR)
			;
		state->shim = 0;
		state->closing = false;
	}
}

static const char *step_name(uint32_t step)
{
	static const char *const names[] = {
		[SHIM_STARTED] = "mapping the guest's memory",
		[SHIM_MAPPED] = "setting limits and processor state",
		[SHIM_PREPARED] = "closing the seccomp filter",
	};

	return step < SHIM_SEALED ? names[step] : "running";
}

static bool shim_is_dead(const struct thaw_backend_state *state)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)state->shim, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

int process_go(struct thaw_backend_state *state, uint32_t mode, struct thaw_error *err)
{
	struct shim_control *control = state->control;
	uint32_t step;
	int error;

	/* Release: the shim reads the rest of the block once it sees this. */
	__atomic_store_n(&control->go, mode, __ATOMIC_RELEASE);
	thaw_futex_wake(&control->go);
	while ((step = __atomic_load_n(&control->step, __ATOMIC_ACQUIRE)) != SHIM_SEALED) {
		error = __atomic_load_n(&control->error, __ATOMIC_ACQUIRE);
		if (error)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, error, "the shim failed at %s",
					       step_name(step));
		if (shim_is_dead(state))
			return thaw_fail(err, THAW_ERR_ENGINE,
					 "the shim died at %s (does the host allow programs to be "
					 "executed from memory?)",
					 step_name(step));
		thaw_futex_wait(&control->step, step, thaw_monotonic_ns() + DEATH_CHECK_NS);
	}
	return 0;
}

static int configure_maps(struct thaw_backend_state *state, bool boot,
			  const struct thaw_guest_memory *memory, struct thaw_error *err)
{
	struct shim_control *control = state->control;
	struct thaw_memory_map map = {0};

	if (memory->range_count > THAW_RANGES_MAX)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image has %zu memory ranges, more than %lu",
				 memory->range_count, THAW_RANGES_MAX);
	for (size_t i = 0; i < memory->range_count; i++)
		control->ranges[i] =
			(struct shim_map){memory->ranges[i].start, memory->ranges[i].length,
					  memory->ranges[i].prot, 1};
	control->range_count = (uint32_t)memory->range_count;
	if (boot) {
		/* All of it is the shared file, data or not. */
		memcpy(control->maps, control->ranges,
		       sizeof(control->maps[0]) * memory->range_count);
		control->map_count = control->range_count;
		return 0;
	}
	if (thaw_memory_map_make(memory, false, &map, err))
		return -1;
	for (size_t i = 0; i < map.count; i++)
		control->maps[i] = (struct shim_map){map.pieces[i].start, map.pieces[i].length,
						     map.pieces[i].prot, map.pieces[i].backed};
	control->map_count = (uint32_t)map.count;
	free(map.pieces);
	return 0;
}

#define SMALL_PAGES 16u /* an image with no more pages of data than this is touched whole */

static void add_prefault(struct shim_control *control, uint64_t start, uint64_t pages, bool write)
{
	if (control->prefault_count < SHIM_PREFAULT_MAX)
		control->prefault[control->prefault_count++] =
			(struct shim_prefault){start, (uint32_t)pages, write};
}

static void add_prefault_if_mapped(struct shim_control *control, uint64_t address, bool write)
{
	uint64_t page = address & ~(THAW_PAGE_SIZE - 1);
	uint32_t needed = write ? THAW_PROT_WRITE : THAW_PROT_READ;

	for (uint32_t i = 0; i < control->range_count; i++)
		if (page >= control->ranges[i].start &&
		    page - control->ranges[i].start < control->ranges[i].length &&
		    (control->ranges[i].prot & needed))
			add_prefault(control, page, 1, write);
}

/* Pages that an invocation recording, whatever it does, are touched in each clone while it waits:
 * where it goes on and its stack, and of a small image everything. Each saves a fault of 1 to 2 us
 * on the path of a request. */
static void prefault_by_rule(struct shim_control *control)
{
	uint64_t backed = 0;

	for (uint32_t i = 0; i < control->map_count; i++)
		backed += control->maps[i].backed ? control->maps[i].length / THAW_PAGE_SIZE : 0;
	if (backed > SMALL_PAGES) {
		add_prefault_if_mapped(control, control->registers[THAW_RIP], false);
		add_prefault_if_mapped(control, control->registers[THAW_RSP] - 1, true);
		return;
	}
	for (uint32_t i = 0; i < control->map_count; i++)
		if (control->maps[i].backed)
			add_prefault(control, control->maps[i].start,
				     control->maps[i].length / THAW_PAGE_SIZE,
				     control->maps[i].prot & THAW_PROT_WRITE);
}

/* Or what the image says that one recording; it was checked against the ranges. */
static void configure_prefault(struct thaw_backend_state *state, const struct thaw_image_meta *meta)
{
	struct shim_control *control = state->control;

	control->prefault_count = 0;
	control->record = state->records;
	if (state->records)
		return;
	if (!meta->touched_count || state->no_working_set) {
		prefault_by_rule(control);
		return;
	}
	for (size_t i = 0; i < meta->touched_count; i++)
		add_prefault(control, meta->touched[i].start, meta->touched[i].pages,
			     meta->touched[i].written);
}

int process_configure(struct thaw_backend_state *state, uint32_t mode,
		      const struct thaw_source *source, struct thaw_error *err)
{
	const struct thaw_vcpu *vcpu = source->vcpu;
	static const struct thaw_dispatch none;
	/* What boots arms its own. */
	const struct thaw_dispatch *dispatch = mode == SHIM_BOOT ? &none : &source->meta->dispatch;
	struct shim_control *control = state->control;
	const struct sock_filter *filter;
	size_t filter_length;

	if (configure_maps(state, mode == SHIM_BOOT, source->memory, err))
		return -1;
	if (vcpu->xsave_length > SHIM_XSAVE_MAX)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image's vector state of %u bytes is too large",
				 vcpu->xsave_length);
	if (dispatch->end && !state->has_dispatch)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image holds a Linux program, and this kernel has no syscall "
				 "user dispatch (Linux 5.11, CONFIG_GENERIC_ENTRY)");
	control->dispatch = (struct thaw_shim_dispatch){
		dispatch->start, dispatch->end, dispatch->syscall_entry, dispatch->fault_entry};
	memcpy(control->registers, vcpu->registers, sizeof(control->registers));
	control->xsave_mask = vcpu->xsave_mask;
	control->xsave_length = vcpu->xsave_length;
	if (vcpu->xsave)
		memcpy(control->xsave, vcpu->xsave, vcpu->xsave_length);
	control->memory_size = source->memory->limit;
	if (mode == SHIM_ZYGOTE)
		configure_prefault(state, source->meta);
	filter = thaw_guest_filter(mode == SHIM_BOOT ? THAW_GUEST_FILTER_BOOT
						     : THAW_GUEST_FILTER_CLONE,
				   &filter_length);
	thaw_assert(filter_length <= SHIM_FILTER_MAX);
	memcpy(control->filter, filter, filter_length * sizeof(*filter));
	control->filter_length = (uint32_t)filter_length;
	return 0;
}
