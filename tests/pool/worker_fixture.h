/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole worker over the fake engine: all of pool/worker but its start, in a process of its own,
 * on a real socket. The test is its front and, with wire.h, its clients.
 */
#ifndef TEST_WORKER_FIXTURE_H
#define TEST_WORKER_FIXTURE_H

#include <stdint.h>
#include <sys/types.h>

#include "tests/pool/fake_engine.h"

#define TEST_WORKER_NAME "f" /* the function's */

/* What a test may want otherwise; 0 stands for the value in brackets. */
struct test_worker_options {
	unsigned pool;		      /* fresh instances [0] */
	unsigned concurrency;	      /* [1] */
	unsigned queue;		      /* [8] */
	uint64_t timeout_ns;	      /* the function's own [none] */
	uint64_t drain_grace_ns;      /* [an hour] */
	uint64_t prewarm_patience_ns; /* [an hour] */
	bool destroys;		      /* spent instances are not recycled */
};

struct test_worker {
	struct thaw_engine *engine;
	pid_t pid; /* 0: it was waited for */
	int front; /* the front's end of the control socket */
	int listener;
	char run[32]; /* for wire_open() */
	char socket[48];
};

/* ENGINE may be scripted already; NULL: a new one. Returns when the worker serves. */
void test_worker_start(struct test_worker *worker, const struct test_worker_options *options,
		       struct thaw_engine *engine);
void test_worker_drain(const struct test_worker *worker);
/* Waits for the worker's end. Its exit status, or 128 plus the signal that ended it. */
int test_worker_wait(struct test_worker *worker);
/* Kills the worker if it is there still, and removes its files. A worker that ended by itself,
 * because it broke a rule of the fake engine perhaps, must have been waited for. */
void test_worker_clean(struct test_worker *worker);

#endif
