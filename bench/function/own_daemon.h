/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thawd of the benchmark's own, for when none serves the function: on a temporary run and state
 * directory that hold a copy of the one image. It ends, and both directories go, with
 * thaw_bench_daemon_stop().
 */
#ifndef THAW_BENCH_DAEMON_H
#define THAW_BENCH_DAEMON_H

#include <stddef.h>

#include "snapshot-format/base/error.h"

struct thaw_bench_daemon;

/* Starts THAWD (a path, or a name to be found in PATH) with a copy of the image in IMAGE_FD under
 * NAME. Whether it serves is for the caller to find out, by connecting. */
int thaw_bench_daemon_start(const char *thawd, const char *name, int image_fd,
			    struct thaw_bench_daemon **out, struct thaw_error *err);
void thaw_bench_daemon_stop(struct thaw_bench_daemon *daemon); /* NULL is fine */

const char *thaw_bench_daemon_run_dir(const struct thaw_bench_daemon *daemon);

/* 0 while it runs; else an error with the last thing that it said. */
int thaw_bench_daemon_check(struct thaw_bench_daemon *daemon, struct thaw_error *err);

#endif
