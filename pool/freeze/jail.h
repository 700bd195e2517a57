/* SPDX-License-Identifier: Apache-2.0 */
/* The half of `thaw freeze` that runs in the jail: it boots the program and writes the image to a
 * descriptor. */
#ifndef THAW_FREEZE_JAIL_H
#define THAW_FREEZE_JAIL_H

#include <stdint.h>
#include <stdio.h>

#include "engine/engine.h"
#include "pool/cli/progress.h"
#include "pool/freeze/discover.h"
#include "pool/jailed/exchange.h"

/* What the child reports when the image is written. The parent terminates the texts and cleans them
 * before it prints them. */
struct thaw_freeze_result {
	uint8_t uuid[16];
	uint64_t boot_ns;
	struct thaw_image_sizes sizes;
	char backend[16], cpu_level[32];
};

struct thaw_freeze_job {
	enum thaw_backend_kind backend;
	bool no_working_set;
	int image_fd;		      /* the empty file */
	struct thaw_boot_config boot; /* without the callbacks */
	/* What the parent takes from the child. */
	struct thaw_freeze_result result;
	struct thaw_progress progress;
	struct thaw_discovery *discovery; /* NULL: none */
	size_t had;			  /* how much was found in earlier boots */
	/* What the program said, if it may boot again and the boot began not long ago: only the
	 * last boot's is shown. NULL: it is shown at once. */
	FILE *said;
	char *said_text;
	size_t said_length;
	uint64_t began_ns;
};

/* The work of a struct thaw_exchange; CONTEXT is a struct thaw_freeze_job. */
int thaw_freeze_work(struct thaw_jailed *self, void *context);

#endif
