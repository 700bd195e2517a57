/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lazy loading: brings an image's frames into its memory file on demand, so that clones can run
 * from the frames that are there while threads still decode the rest. Internal to the engine.
 *
 * Every frame is compared with its checksum before the first clone may run
 * (thaw_lazy_await_checked()), so a damaged image is refused as a whole, however late its frames
 * are decoded.
 */
#ifndef THAW_LAZY_H
#define THAW_LAZY_H

#include <stdbool.h>

#include "engine/image/memory_map.h"
#include "snapshot-format/image.h"

struct thaw_lazy_load;

/* Pages wanted before all others. */
struct thaw_wanted {
	uint64_t start, pages;
};

struct thaw_lazy_config {
	const struct thaw_image_file *image; /* not owned, nor is its descriptor */
	const struct thaw_memory_map *map;   /* not owned; short gaps in it are filled already */
	int memory_fd;			     /* not owned; as for thaw_loader_run() */
	unsigned threads;		     /* processors to decode on */
	const struct thaw_wanted *wanted; /* copied; pages without data in the image are ignored */
	size_t wanted_count;
	/* Called once, on a thread of the load: FAILURE is NULL when every frame is in the memory
	 * file. Not called when the load is ended before. */
	void (*finished)(void *context, const struct thaw_error *failure);
	void *context;
};

/* Returns once the wanted pages are there; threads of the load bring the rest. */
int thaw_lazy_begin(const struct thaw_lazy_config *config, struct thaw_lazy_load **out,
		    struct thaw_error *err);
/* Stops what is under way. No other thread may be in a call here. NULL is fine. Until then, or
 * until thaw_lazy_await_complete() has returned, threads that ended keep their stacks. */
void thaw_lazy_end(struct thaw_lazy_load *lazy);

/* Any thread may make the calls below. */

/* Whether all frames are there and `finished` has returned. */
bool thaw_lazy_complete(const struct thaw_lazy_load *lazy);
/* Takes part in comparing every frame with its checksum, and returns when that is done; -1 with the
 * first frame that did not match. */
int thaw_lazy_await_checked(struct thaw_lazy_load *lazy, struct thaw_error *err);
/* Waits until `finished` has returned. Returns 0, or -1 with what went wrong. */
int thaw_lazy_await_complete(struct thaw_lazy_load *lazy, struct thaw_error *err);

/*
 * Brings the data of [START, END): decodes it, or waits for the threads that do. Sets *RUN_START
 * and *RUN_END to the neighbourhood of START, within one piece of the map, that is all there; it is
 * empty where the image has no data at START. Any addresses may be given.
 */
int thaw_lazy_bring(struct thaw_lazy_load *lazy, uint64_t start, uint64_t end, uint64_t *run_start,
		    uint64_t *run_end, struct thaw_error *err);

#endif
