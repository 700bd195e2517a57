/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One benchmark of one function: every figure in one run, interleaved (bench/schedule.h).
 * docs/benchmarks.md defines the figures.
 */
#ifndef THAW_BENCH_BENCH_H
#define THAW_BENCH_BENCH_H

#include "bench/base/config.h"
#include "bench/base/result.h"
#include "snapshot-format/base/error.h"

/* Call from a single-threaded process, with SIGCHLD at its default. After a failure OUT has the
 * figures taken so far. */
int thaw_bench_run(const struct thaw_bench_config *config, struct thaw_bench_result *out,
		   struct thaw_error *err);

#endif
