/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front: thawd's own process. It opens image files and never looks into them; it holds no guest
 * memory; requests pass through it only while a function has no worker.
 */
#ifndef THAW_FRONT_H
#define THAW_FRONT_H

#include <stdbool.h>

#include "engine/engine.h"
#include "snapshot-format/base/error.h"

/* What thawd's command line says; thawd.c fills it, and it does not change afterwards. */
struct thaw_front_options {
	/* As given. NULL: the default; of IMAGE_DIR: none. */
	const char *state, *run, *image_dir;
	unsigned pool, max_instances, concurrency, queue;
	enum thaw_backend_kind backend;
	bool recycle;	      /* spent instances; false: destroy them */
	bool no_working_sets; /* do not prefault the working set in fresh instances */
};

/* Serves until SIGTERM or SIGINT. OPTIONS must outlive the call. Returns 0, or -1 with ERR set.
 * Call it in a process with one thread. */
int thaw_front_run(const struct thaw_front_options *options, struct thaw_error *err);

#endif
