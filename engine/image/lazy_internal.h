/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of residency share: lazy.c brings frames, lazy_where.c finds them.
 */
#ifndef THAW_LAZY_INTERNAL_H
#define THAW_LAZY_INTERNAL_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "engine/image/decode.h"
#include "engine/image/lazy.h"
#include "engine/image/target.h"

#define HELPERS_MAX 63u
#define PAGE	    ((uint64_t)THAW_IMAGE_PAGE) /* masks of addresses are made of it */

enum frame_state { ABSENT, TAKEN, THERE };

struct thaw_lazy_load {
	const struct thaw_image_file *image;
	const struct thaw_image_frame *frames;
	size_t frame_count;
	unsigned frame_pages;
	const struct thaw_extent *extents;
	size_t extent_count;
	const struct thaw_memory_map *map;
	struct thaw_loader_target target;
	void (*finished)(void *context, const struct thaw_error *failure);
	void *context;

	_Atomic uint8_t *states; /* enum frame_state, of each frame */
	uint32_t *order;	 /* frames in the order in which helpers take them */
	size_t wanted;		 /* the first so many are for wanted pages */
	atomic_size_t next;	 /* index in `order` */
	atomic_size_t compare;	 /* the next frame to be compared with its checksum */
	atomic_size_t compared;	 /* frames that were */
	atomic_bool stop, complete;
	atomic_size_t behind; /* the frame behind one that somebody waited for; 0: none */
	atomic_uint asker;    /* the processor where somebody last wanted frames */
	cpu_set_t cpus;	      /* those that helpers may be on */

	pthread_mutex_t lock;
	pthread_cond_t changed;	       /* of what follows, or a frame that was waited for */
	atomic_uint waiting;	       /* for frames */
	struct thaw_decoder *decoders; /* nobody's at the moment */
	bool checked, failed, over;
	unsigned busy; /* helpers that have yet to end */
	struct thaw_error failure;

	pthread_t helpers[HELPERS_MAX];
	unsigned helper_count;
};

static inline bool lazy_is_there(const struct thaw_lazy_load *lazy, size_t number)
{
	return atomic_load_explicit(&lazy->states[number], memory_order_acquire) == THERE;
}

/* The piece of the map that has data and holds ADDRESS, or NULL. */
const struct thaw_piece *lazy_piece_at(const struct thaw_lazy_load *lazy, uint64_t address);
/* Calls VISIT with each frame that has data of [START, END), until it returns other than 0. */
int lazy_each_frame(struct thaw_lazy_load *lazy, uint64_t start, uint64_t end,
		    int (*visit)(struct thaw_lazy_load *lazy, size_t frame, void *context,
				 struct thaw_error *err),
		    void *context, struct thaw_error *err);
/* How far from ADDRESS on, up to LIMIT, all is there, and how far before it, down to LIMIT. Gaps in
 * the data are. */
uint64_t lazy_run_end(const struct thaw_lazy_load *lazy, uint64_t address, uint64_t limit);
uint64_t lazy_run_start(const struct thaw_lazy_load *lazy, uint64_t address, uint64_t limit);

#endif
