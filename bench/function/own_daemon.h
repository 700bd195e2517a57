/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thawd of the benchmark's own, for a function that no daemon serves: on temporary run and
 * state directories, with a copy of the one image. thaw_bench_daemon_stop() ends it and removes
 * both directories.
 */
#ifndef THAW_BENCH_DAEMON_H
#define THAW_BENCH_DAEMON_H

#include <stddef.h>

#include "snapshot-format/base/error.h"

struct thaw_bench_daemon;

/* Starts THAWD (a path, or a name found in PATH) with a copy of the image in IMAGE_FD under NAME.
 * The caller finds out whether it serves, by connecting. */
int thaw_bench_daemon_start(const char *thawd, const char *name, int image_fd,
			    struct thaw_bench_daemon **out, struct thaw_error *err);
void thaw_bench_daemon_stop(struct thaw_bench_daemon *daemon); /* NULL is fine */

const char *thaw_bench_daemon_run_dir(const struct thaw_bench_daemon *daemon);

/* 0 while it runs; else an error with the last line of its log. */
int thaw_bench_daemon_check(struct thaw_bench_daemon *daemon, struct thaw_error *err);

#endif
