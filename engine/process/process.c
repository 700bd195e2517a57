/* SPDX-License-Identifier: Apache-2.0 */
/* The process backend: guests are sealed processes. Opening and closing; see process.h for the
 * parts. */
#include "engine/process/process.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/host/kernel.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/memory_file.h"

extern const uint8_t thaw_process_shim[], thaw_process_shim_end[];

/* The shim's program as a file that can be executed where no file system is. */
static int make_shim_file(struct thaw_error *err)
{
	size_t size = (size_t)(thaw_process_shim_end - thaw_process_shim);
	thaw_autoclose int fd = thaw_memory_file("thaw-shim", THAW_MEMORY_FILE_EXEC, err);

	if (fd < 0)
		return -1;
	if (write(fd, thaw_process_shim, size) != (ssize_t)size)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot write the shim to memory");
	return thaw_take_fd(&fd);
}

static int make_arena(struct thaw_backend_state *state, struct thaw_error *err)
{
	uint64_t size = SHIM_SLOT_OFFSET(state->slots);
	uint8_t *arena;

	state->arena_fd = thaw_memory_file("thaw-arena", 0, err);
	if (state->arena_fd < 0)
		return -1;
	if (ftruncate(state->arena_fd, (off_t)size))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot size the mailbox arena");
	arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, state->arena_fd, 0);
	if (arena == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot map the mailbox arena of %u instances",
				       state->slots);
	state->control = (struct shim_control *)arena;
	state->control->size = size;
	state->control->slots = state->slots;
	state->mailboxes = (struct thaw_mailbox *)(arena + SHIM_SLOT_OFFSET(0));
	return 0;
}

static int make_slots(struct thaw_backend_state *state, struct thaw_error *err)
{
	state->instances = calloc(state->slots, sizeof(*state->instances));
	state->free_slots = calloc(state->slots, sizeof(*state->free_slots));
	if (!state->instances || !state->free_slots)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for %u instances",
				       state->slots);
	for (uint32_t i = 0; i < state->slots; i++) {
		state->instances[i].state = state;
		state->instances[i].slot = i;
		state->instances[i].mailbox = &state->mailboxes[i];
		/* Low slots are handed out first: the reaper looks through those ever used. */
		state->free_slots[i] = state->slots - 1 - i;
	}
	state->free_count = state->slots;
	return 0;
}

static void close_state(struct thaw_backend_state *state)
{
	if (!state)
		return;
	close_state(state->recorder);
	process_end(state);
	process_reaper_join(state);
	for (unsigned i = 0; state->instances && i < state->slots; i++)
		process_close_files(&state->instances[i]);
	process_recycler_close(state);
	pthread_rwlock_destroy(&state->pids);
	if (state->control)
		munmap(state->control, state->control->size);
	thaw_cleanup_close(&state->arena_fd);
	thaw_cleanup_close(&state->shim_fd);
	pthread_cond_destroy(&state->failure_known);
	pthread_mutex_destroy(&state->lock);
	free(state->instances);
	free(state->free_slots);
	free(state);
}

/* The reaper comes before those that put clones back, who would keep it out for ever. */
static void init_pids(struct thaw_backend_state *state)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&state->pids, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

static int open_state(const struct thaw_engine_config *config, int memory_fd,
		      struct thaw_backend_state **out, struct thaw_error *err);

/* As many instances as there are requests to record: none waits until another is gone. */
static int open_recorder(const struct thaw_engine_config *config, int memory_fd,
			 struct thaw_backend_state *state, struct thaw_error *err)
{
	struct thaw_engine_config own = *config;

	own.record_working_set = false;
	own.max_instances = THAW_RECORD_MAX;
	if (open_state(&own, memory_fd, &state->recorder, err))
		return -1;
	state->recorder->records = true;
	return 0;
}

static int open_state(const struct thaw_engine_config *config, int memory_fd,
		      struct thaw_backend_state **out, struct thaw_error *err)
{
	struct thaw_backend_state *state = calloc(1, sizeof(*state));

	if (!state)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for an engine");
	*state = (struct thaw_backend_state){.slots = config->max_instances,
					     .memory_fd = memory_fd,
					     .arena_fd = -1,
					     .shim_fd = -1,
					     .no_working_set = config->no_working_set};
	sched_getaffinity(0, sizeof(state->cpus), &state->cpus);
	/* Now, since a jail will not let us ask: turning off what is not on changes nothing. */
	state->has_dispatch = thaw_kernel_has_dispatch();
	pthread_mutex_init(&state->lock, NULL);
	pthread_cond_init(&state->failure_known, NULL);
	init_pids(state);
	process_recycler_open(state, config->proc_fd);
	state->shim_fd = make_shim_file(err);
	if (state->shim_fd < 0 || make_arena(state, err) || make_slots(state, err) ||
	    process_spawn(state, err)) {
		close_state(state);
		return -1;
	}
	if (config->record_working_set && open_recorder(config, memory_fd, state, err)) {
		close_state(state);
		return -1;
	}
	*out = state;
	return 0;
}

int process_start(struct thaw_backend_state *state, const struct thaw_source *source,
		  struct thaw_error *err)
{
	state->source = *source;
	for (uint32_t i = 0; i < state->slots; i++)
		state->instances[i].base.engine = source->engine;
	/* After a boot, which used the first one up. */
	if (!state->shim && process_spawn(state, err))
		return -1;
	if (process_configure(state, SHIM_ZYGOTE, source, err) ||
	    process_go(state, SHIM_ZYGOTE, err))
		return -1;
	return process_reaper_start(state, err);
}

static int wait_failure(struct thaw_backend_state *state, struct thaw_error *err)
{
	pthread_mutex_lock(&state->lock);
	while (!state->failed)
		pthread_cond_wait(&state->failure_known, &state->lock);
	pthread_mutex_unlock(&state->lock);
	return process_tell_failure(state, err);
}

static void cpu(const struct thaw_backend_state *state, struct thaw_cpu_features *out)
{
	(void)state;
	thaw_cpu_host(out);
}

const struct thaw_backend thaw_backend_process = {
	.kind = THAW_BACKEND_PROCESS,
	.name = "process",
	.early = true,
	.open = open_state,
	.close = close_state,
	.cpu = cpu,
	.boot = process_boot,
	.start = process_start,
	.record = process_record,
	.wait_failure = wait_failure,
	.loaded = process_loaded,
	.create = process_create,
	.ready = process_ready,
	.near = process_near,
	.prepared = process_prepared,
	.prepare = process_prepare,
	.run = process_run,
	.recycle = process_recycle,
	.kill = process_kill,
	.destroy = process_destroy,
	.memory = process_memory,
};
