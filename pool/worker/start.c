/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's start. The worker begins as a fresh program with four descriptors, in namespaces of
 * its own. It seals itself before it reads a byte of the image, and takes requests only when all of
 * that is done.
 */
#include "pool/worker/start.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/jail/jail.h"
#include "pool/worker/worker.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

/* An instance that is spent, or destroyed and not yet gone, holds a slot of the engine for a
 * moment. */
#define SPENT_SLACK    64u
#define SLOTS_PER_BUSY (1u + THAW_SPENT_MAX + 1u) /* one runs, some are spent, one is to recycle */

#define LOG_BURST      200u
#define LOG_PER_SECOND 100u

/* ---- Talking to the front ---- */

static int receive_config(struct thaw_worker_config *config, int fds[THAW_WORKER_FD_COUNT])
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(THAW_WORKER_FD_COUNT * sizeof(int))];
	} control;
	struct iovec piece = {config, sizeof(*config)};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(THAW_WORKER_CONTROL_FD, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	for (unsigned i = 0; i < THAW_WORKER_FD_COUNT; i++)
		fds[i] = -1;
	if (got != (ssize_t)sizeof(*config) || config->version != THAW_WORKER_PROTOCOL || !header ||
	    header->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	return 0;
}

static void report(const struct thaw_worker *worker, enum thaw_worker_word word,
		   const struct thaw_error *err)
{
	struct thaw_worker_report report = {.version = THAW_WORKER_PROTOCOL, .word = word};

	if (worker->meta)
		memcpy(report.uuid, worker->meta->uuid, sizeof(report.uuid));
	memcpy(report.message, err->message, sizeof(report.message));
	if (send(worker->front_fd, &report, sizeof(report), MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* ---- Starting, in order ---- */

/* Instances that the engine may hold: fresh, busy, spent, and those on their way out. */
static unsigned slots(const struct thaw_worker *worker)
{
	unsigned count = worker->config.max_instances +
			 worker->config.concurrency * SLOTS_PER_BUSY + SPENT_SLACK;

	return count < THAW_INSTANCES_MAX ? count : THAW_INSTANCES_MAX;
}

static int enter_jail(struct thaw_worker *worker, struct thaw_error *err)
{
	const struct thaw_jail_config jail = {
		.uid = worker->config.uid,
		/* A virtual machine has two descriptors, and may have as many on their way out; a
		 * process that was recycled has three. */
		.max_fds = THAW_CLIENTS_MAX + 4 * slots(worker) + 256,
		.proc = worker->config.recycle,
	};

	worker->jail = worker->config.jail;
	worker->kvm_fd =
		worker->config.backend == THAW_BACKEND_PROCESS ? -ENODEV : thaw_kvm_device();
	if (thaw_jail_enter(&jail, &worker->jail, err) < 0)
		return -1;
	/* Now, before another file can have the number. */
	worker->proc_fd = fcntl(THAW_JAIL_PROC_FD, F_GETFD) >= 0 ? THAW_JAIL_PROC_FD : -1;
	return 0;
}

static int seal(const struct thaw_worker *worker, struct thaw_error *err)
{
	bool recycles =
		worker->proc_fd >= 0 && thaw_engine_backend(worker->engine) == THAW_BACKEND_PROCESS;

	return thaw_jail_seal(THAW_JAIL_WORKER | (recycles ? THAW_JAIL_RECYCLER : 0), err);
}

static int open_engine(struct thaw_worker *worker, const int fds[THAW_WORKER_FD_COUNT],
		       struct thaw_error *err)
{
	const struct thaw_load_target target = {.write_fd = fds[THAW_WORKER_FD_MEMORY_WRITE],
						.read_fd = fds[THAW_WORKER_FD_MEMORY_READ],
						.filled = worker->config.memory_filled};
	const struct thaw_engine_config engine = {
		.backend = (enum thaw_backend_kind)worker->config.backend,
		.max_instances = slots(worker),
		.no_working_set = worker->config.no_working_sets,
		.kvm_fd = &worker->kvm_fd,
		.proc_fd = &worker->proc_fd,
		.target = worker->config.has_memory ? &target : NULL,
	};

	if (thaw_engine_open(&engine, &worker->engine, err))
		return -1;
	/* Under KVM the engine has a descriptor of its own. */
	thaw_cleanup_close(&worker->kvm_fd);
	return 0;
}

static int open_log(struct thaw_worker *worker, int fd, struct thaw_error *err)
{
	thaw_rate_limit_init(&worker->log_limit, LOG_BURST, LOG_PER_SECOND, thaw_monotonic_ns());
	return thaw_log_ring_attach(fd, &worker->log, err);
}

static int load(struct thaw_worker *worker, int image_fd, struct thaw_error *err)
{
	if (thaw_engine_load(worker->engine, image_fd, err) < 0 ||
	    thaw_engine_start(worker->engine, err) < 0)
		return -1;
	worker->meta = thaw_engine_meta(worker->engine);
	thaw_engine_sizes(worker->engine, &worker->sizes);
	return 0;
}

static int fill_pool(struct thaw_worker *worker, struct thaw_error *err)
{
	const struct thaw_pool_config pool = {.target = worker->config.pool,
					      .max_instances = worker->config.max_instances,
					      .concurrency = worker->config.concurrency,
					      .queue = worker->config.queue,
					      .recycle = worker->config.recycle};

	if (thaw_pool_init(&worker->pool, worker->engine, &worker->metrics, &pool, err) < 0)
		return -1;
	return thaw_pool_refill(&worker->pool, err);
}

static void close_fds(int fds[THAW_WORKER_FD_COUNT])
{
	/* Loading is done; the writable file of a kept image above all must go. The image itself is
	 * read until all of it is in memory. */
	for (unsigned i = THAW_WORKER_FD_IMAGE + 1; i < THAW_WORKER_FD_COUNT; i++)
		thaw_cleanup_close(&fds[i]);
}

static int start(struct thaw_worker *worker, int fds[THAW_WORKER_FD_COUNT], struct thaw_error *err)
{
	if (enter_jail(worker, err) < 0 || open_engine(worker, fds, err) < 0 ||
	    open_log(worker, fds[THAW_WORKER_FD_LOG], err) < 0 || seal(worker, err) < 0)
		return -1;
	/* From here on the worker reads hostile bytes. */
	if (load(worker, fds[THAW_WORKER_FD_IMAGE], err) < 0 || thaw_jail_seal_loaded(err) < 0)
		return -1;
	close_fds(fds);
	return fill_pool(worker, err) < 0 || thaw_housekeeping_start(worker, err) < 0 ||
			       thaw_worker_threads_start(worker, err) < 0
		       ? -1
		       : 0;
}

/* Each clone's end sends SIGCHLD, which would wake a thread for nothing. Waiting for children works
 * all the same. */
static void block_child_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* malloc() takes large bodies straight from the system and gives them straight back, so that memory
 * stays flat after a burst. jansson gets its seed here, because it would look for entropy in a file
 * system that the jail does not have. */
static void prepare_libraries(void)
{
	size_t seed = 1;

	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
	mallopt(M_ARENA_MAX, 4);
	(void)!getrandom(&seed, sizeof(seed), 0);
	json_object_seed(seed | 1);
}

int thaw_worker_main(void)
{
	static struct thaw_worker worker = {
		.front_fd = THAW_WORKER_CONTROL_FD,
		.drain_grace_ns = THAW_DRAIN_GRACE_MS * THAW_NS_PER_MS,
		.prewarm_patience_ns = THAW_PREWARM_PATIENCE_MS * THAW_NS_PER_MS,
		.clients_lock = PTHREAD_MUTEX_INITIALIZER,
		.log_lock = PTHREAD_MUTEX_INITIALIZER,
		.prewarm_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct thaw_error err = THAW_ERROR_INIT;
	int fds[THAW_WORKER_FD_COUNT];

	thaw_log_configure(THAW_LOG_debug, true);
	if (receive_config(&worker.config, fds) < 0) {
		thaw_log(THAW_LOG_error,
			 "--worker is not for people: thawd starts its own workers");
		return THAW_ERR_USAGE;
	}
	prepare_libraries();
	block_child_signals();
	worker.started_ns = thaw_monotonic_ns();
	worker.listen_fd = fds[THAW_WORKER_FD_LISTEN];
	if (start(&worker, fds, &err) < 0) {
		report(&worker,
		       err.kind == THAW_ERR_IMAGE ? THAW_WORKER_REFUSED : THAW_WORKER_FAILED, &err);
		return err.kind;
	}
	report(&worker, THAW_WORKER_SERVING, &err);
	/* The other threads do all the rest. */
	if (thaw_engine_await_loaded(worker.engine, &err) == 0) {
		thaw_cleanup_close(&fds[THAW_WORKER_FD_IMAGE]);
		thaw_engine_wait_failure(worker.engine, &err);
	}
	thaw_log(THAW_LOG_error, "%s", err.message);
	/* A frame that cannot be decoded, although its checksum matches, is found this late. */
	if (err.kind == THAW_ERR_IMAGE)
		report(&worker, THAW_WORKER_REFUSED, &err);
	_exit(1);
}
