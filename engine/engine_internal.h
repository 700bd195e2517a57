/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's own state, shared by engine.c (life), boot.c and load.c (where its image comes
 * from). */
#ifndef THAW_ENGINE_INTERNAL_H
#define THAW_ENGINE_INTERNAL_H

#include "engine/backend.h"
#include "engine/host/entropy.h"
#include "engine/host/guest_clock.h"
#include "engine/image/bulk.h"
#include "engine/image/lazy.h"
#include "engine/image/memory_map.h"

enum thaw_engine_image { IMAGE_NONE, IMAGE_LOADED, IMAGE_BOOTED };

struct thaw_engine {
	const struct thaw_backend *backend;
	struct thaw_backend_state *state;
	struct thaw_loader *loader;
	struct thaw_tsc tsc;
	uint64_t next_generation; /* atomic */
	struct thaw_entropy entropy;

	/* The image's memory: a memory file of our own, or the target's. */
	int own_fd; /* -1 when the target serves as it is */
	struct thaw_load_target target;
	bool has_target;
	bool records;		/* the configuration asks for a working set */
	bool target_is_hugetlb; /* then the target is a store to copy from: see load.c */
	int memory_fd;		/* what instances are made from: own_fd or target.read_fd */

	enum thaw_engine_image image;
	struct thaw_image_file *file;	 /* loaded */
	struct thaw_ready_state *booted; /* booted */
	struct thaw_image_meta meta;	 /* booted: owned strings; loaded: the file's own */
	struct thaw_guest_memory memory;
	struct thaw_memory_map map;  /* loaded: of `memory`; owned */
	struct thaw_lazy_load *lazy; /* loaded: what is still being brought; NULL: nothing */
	const struct thaw_vcpu *vcpu;
	const char *cpu_level; /* of a boot: what the guest sees */
};

/* boot.c */
void thaw_engine_free_booted(struct thaw_engine *engine);

#endif
