/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process backend: guests are sealed processes. Here are its opening, its closing, and the
 * table through which the engine calls it; see process.h for the other parts.
 */
#include "engine/process/process.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/host/kernel.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/memory_file.h"

extern const uint8_t thaw_process_shim[], thaw_process_shim_end[];

/* The shim's program as a file that can be executed without a file system. */
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

static int make_arena(struct process_backend *backend, struct thaw_error *err)
{
	uint64_t size = SHIM_SLOT_OFFSET(backend->slots);
	uint8_t *arena;

	backend->arena_fd = thaw_memory_file("thaw-arena", 0, err);
	if (backend->arena_fd < 0)
		return -1;
	if (ftruncate(backend->arena_fd, (off_t)size))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot size the mailbox arena");
	arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, backend->arena_fd, 0);
	if (arena == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot map the mailbox arena of %u instances",
				       backend->slots);
	backend->control = (struct shim_control *)arena;
	backend->control->size = size;
	backend->control->slots = backend->slots;
	backend->mailboxes = (struct thaw_mailbox *)(arena + SHIM_SLOT_OFFSET(0));
	return 0;
}

static int make_slots(struct process_backend *backend, struct thaw_error *err)
{
	backend->instances = calloc(backend->slots, sizeof(*backend->instances));
	backend->free_slots = calloc(backend->slots, sizeof(*backend->free_slots));
	if (!backend->instances || !backend->free_slots)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for %u instances",
				       backend->slots);
	for (uint32_t i = 0; i < backend->slots; i++) {
		backend->instances[i].backend = backend;
		backend->instances[i].slot = i;
		backend->instances[i].mailbox = &backend->mailboxes[i];
		/* Low slots are handed out first, because the reaper searches all that were ever
		 * used. */
		backend->free_slots[i] = backend->slots - 1 - i;
	}
	backend->free_count = backend->slots;
	return 0;
}

/* Blocks until no thread waits for a failure any more: lock and condition can then be destroyed. */
static void end_waits(struct process_backend *backend)
{
	pthread_mutex_lock(&backend->lock);
	backend->closing = true;
	pthread_cond_broadcast(&backend->failure_known);
	while (backend->waiters)
		pthread_cond_wait(&backend->failure_known, &backend->lock);
	pthread_mutex_unlock(&backend->lock);
}

static void close_backend(struct process_backend *backend)
{
	if (!backend)
		return;
	close_backend(backend->recorder);
	end_waits(backend);
	process_end(backend);
	process_reaper_join(backend);
	for (unsigned i = 0; backend->instances && i < backend->slots; i++)
		process_close_files(&backend->instances[i]);
	process_recycler_close(backend);
	pthread_rwlock_destroy(&backend->pids);
	if (backend->control)
		munmap(backend->control, backend->control->size);
	thaw_cleanup_close(&backend->arena_fd);
	thaw_cleanup_close(&backend->shim_fd);
	pthread_cond_destroy(&backend->failure_known);
	pthread_mutex_destroy(&backend->lock);
	free(backend->instances);
	free(backend->free_slots);
	free(backend);
}

/* The reaper goes before threads that recycle, which would otherwise keep it out for ever. */
static void init_pids(struct process_backend *backend)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&backend->pids, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

static struct process_backend *open_backend(const struct thaw_engine_config *config, int memory_fd,
					    struct thaw_error *err)
{
	struct process_backend *backend = calloc(1, sizeof(*backend));

	if (!backend) {
		thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for an engine");
		return NULL;
	}
	*backend = (struct process_backend){.slots = config->max_instances,
					    .memory_fd = memory_fd,
					    .arena_fd = -1,
					    .shim_fd = -1,
					    .no_working_set = config->no_working_set};
	sched_getaffinity(0, sizeof(backend->cpus), &backend->cpus);
	/* Tried now: a jail forbids the trial later. */
	backend->has_dispatch = thaw_kernel_has_dispatch();
	pthread_mutex_init(&backend->lock, NULL);
	pthread_cond_init(&backend->failure_known, NULL);
	init_pids(backend);
	process_recycler_open(backend, config->proc_fd);
	backend->shim_fd = make_shim_file(err);
	if (backend->shim_fd < 0 || make_arena(backend, err) || make_slots(backend, err) ||
	    process_spawn(backend, err)) {
		close_backend(backend);
		return NULL;
	}
	return backend;
}

/* Has as many instances as there are requests to record, so that none waits until another is
 * gone. */
static int open_recorder(const struct thaw_engine_config *config, int memory_fd,
			 struct process_backend *backend, struct thaw_error *err)
{
	struct thaw_engine_config own = *config;

	own.max_instances = THAW_RECORD_MAX;
	backend->recorder = open_backend(&own, memory_fd, err);
	if (!backend->recorder)
		return -1;
	backend->recorder->records = true;
	return 0;
}

/* ---- What the engine calls ---- */

static struct process_backend *of(struct thaw_backend_state *state)
{
	return (struct process_backend *)state;
}

static int open_state(const struct thaw_engine_config *config, int memory_fd,
		      struct thaw_backend_state **out, struct thaw_error *err)
{
	struct process_backend *backend = open_backend(config, memory_fd, err);

	if (!backend)
		return -1;
	if (config->record_working_set && open_recorder(config, memory_fd, backend, err)) {
		close_backend(backend);
		return -1;
	}
	*out = (struct thaw_backend_state *)backend;
	return 0;
}

static void close_state(struct thaw_backend_state *state)
{
	close_backend(of(state));
}

static void cpu(const struct thaw_backend_state *state, struct thaw_cpu_features *out)
{
	(void)state;
	thaw_cpu_host(out);
}

static int boot(struct thaw_backend_state *state, const struct thaw_source *source,
		const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		struct thaw_error *err)
{
	return process_boot(of(state), source, config, ready, err);
}

static int start(struct thaw_backend_state *state, const struct thaw_source *source,
		 struct thaw_error *err)
{
	return process_start(of(state), source, err);
}

static int record(struct thaw_backend_state *state, const struct thaw_source *source,
		  const struct thaw_run *run, struct thaw_recording *recording,
		  struct thaw_outcome *outcome, struct thaw_error *err)
{
	return process_record(of(state), source, run, recording, outcome, err);
}

static int wait_failure(struct thaw_backend_state *state, struct thaw_error *err)
{
	struct process_backend *backend = of(state);

	pthread_mutex_lock(&backend->lock);
	backend->waiters++;
	while (!backend->failed && !backend->closing)
		pthread_cond_wait(&backend->failure_known, &backend->lock);
	backend->waiters--;
	if (backend->failed)
		process_tell_failure(backend, err);
	else
		thaw_fail(err, THAW_ERR_ENGINE, "the engine was closed");
	pthread_cond_broadcast(&backend->failure_known);
	pthread_mutex_unlock(&backend->lock);
	return -1;
}

static void loaded(struct thaw_backend_state *state, const struct thaw_error *failure)
{
	process_loaded(of(state), failure);
}

static int create(struct thaw_backend_state *state, struct thaw_instance **out,
		  struct thaw_error *err)
{
	return process_create(of(state), out, err);
}

const struct thaw_backend thaw_backend_process = {
	.kind = THAW_BACKEND_PROCESS,
	.name = "process",
	.early = true,
	.open = open_state,
	.close = close_state,
	.cpu = cpu,
	.boot = boot,
	.start = start,
	.record = record,
	.wait_failure = wait_failure,
	.loaded = loaded,
	.create = create,
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
