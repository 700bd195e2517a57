/* SPDX-License-Identifier: Apache-2.0 */
/* A worker over the fake engine; see worker_fixture.h. */
#include "tests/pool/worker_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

#define HOUR_NS (3600 * THAW_NS_PER_SEC)

static int listen_at(struct test_worker *worker)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[40];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(worker->run, "/tmp/thaw-worker-XXXXXX");
	thaw_assert(mkdtemp(worker->run));
	snprintf(directory, sizeof(directory), "%s/fn", worker->run);
	thaw_assert(mkdir(directory, 0700) == 0);
	snprintf(worker->socket, sizeof(worker->socket), "%s/" TEST_WORKER_NAME ".sock", directory);
	memcpy(address.sun_path, worker->socket, sizeof(worker->socket));
	thaw_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	thaw_assert(listen(fd, 128) == 0);
	return fd;
}

static void configure(struct thaw_worker *worker, const struct test_worker_options *options,
		      struct thaw_engine *engine)
{
	static struct thaw_image_meta meta;
	const struct thaw_pool_config pool = {
		.target = options->pool,
		.max_instances = 64,
		.concurrency = options->concurrency ? options->concurrency : 1,
		.queue = options->queue ? options->queue : 8,
		.recycle = !options->destroys};
	int log = thaw_log_ring_create(NULL);

	meta.timeout_ns = options->timeout_ns;
	worker->engine = engine;
	worker->meta = &meta;
	worker->config.concurrency = pool.concurrency;
	strcpy(worker->config.name, TEST_WORKER_NAME);
	worker->started_ns = thaw_monotonic_ns();
	worker->drain_grace_ns = options->drain_grace_ns ? options->drain_grace_ns : HOUR_NS;
	worker->prewarm_patience_ns =
		options->prewarm_patience_ns ? options->prewarm_patience_ns : HOUR_NS;
	pthread_mutex_init(&worker->clients_lock, NULL);
	pthread_mutex_init(&worker->log_lock, NULL);
	pthread_mutex_init(&worker->prewarm_lock, NULL);
	thaw_rate_limit_init(&worker->log_limit, 4, 1, thaw_monotonic_ns());
	thaw_assert(thaw_log_ring_attach(log, &worker->log, NULL) == 0);
	thaw_assert(thaw_pool_init(&worker->pool, engine, &worker->metrics, &pool, NULL) == 0);
}

/* The worker's process: as thaw_worker_main(), without jail, image and engine. */
static _Noreturn void serve(const struct test_worker_options *options, struct thaw_engine *engine,
			    int listener, int front)
{
	static struct thaw_worker worker;

	/* It ends with the test, however that ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	thaw_log_configure(THAW_LOG_error, false);
	worker.listen_fd = listener;
	worker.front_fd = front;
	configure(&worker, options, engine);
	thaw_assert(thaw_pool_refill(&worker.pool, NULL) == 0);
	thaw_assert(thaw_housekeeping_start(&worker, NULL) == 0);
	thaw_assert(thaw_worker_threads_start(&worker, NULL) == 0);
	thaw_assert(write(front, "", 1) == 1);
	for (;;)
		pause();
}

void test_worker_start(struct test_worker *worker, const struct test_worker_options *options,
		       struct thaw_engine *engine)
{
	int fronts[2];
	char ready;

	*worker = (struct test_worker){.engine = engine ? engine : fake_engine_new()};
	worker->listener = listen_at(worker);
	thaw_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fronts) == 0);
	worker->pid = fork();
	thaw_assert(worker->pid >= 0);
	if (worker->pid == 0) {
		close(fronts[0]);
		serve(options, worker->engine, worker->listener, fronts[1]);
	}
	close(fronts[1]);
	worker->front = fronts[0];
	thaw_assert(read(worker->front, &ready, 1) == 1);
}

void test_worker_drain(const struct test_worker *worker)
{
	const struct thaw_worker_drain order = {.version = THAW_WORKER_PROTOCOL};

	thaw_assert(send(worker->front, &order, sizeof(order), MSG_NOSIGNAL) == sizeof(order));
}

int test_worker_wait(struct test_worker *worker)
{
	int status;

	thaw_assert(waitpid(worker->pid, &status, 0) == worker->pid);
	worker->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void test_worker_clean(struct test_worker *worker)
{
	char directory[40];

	if (worker->pid) {
		thaw_assert(waitpid(worker->pid, NULL, WNOHANG) == 0);
		kill(worker->pid, SIGKILL);
		waitpid(worker->pid, NULL, 0);
	}
	close(worker->front);
	close(worker->listener);
	unlink(worker->socket);
	snprintf(directory, sizeof(directory), "%s/fn", worker->run);
	rmdir(directory);
	rmdir(worker->run);
	fake_engine_free(worker->engine);
}
