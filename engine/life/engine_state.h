/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine's own state, shared by the files of engine/life and by nothing below it.
 *
 * Up to and including thaw_engine_start() one thread uses an engine, and every field but `requests`
 * is constant from then on: that order guards them, and no lock does. Two parts are used by other
 * threads and have their own rules: `requests` (request_source.h) and `lazy` (lazy.h). A lazy
 * load's last thread reads `backend`, `state` and `own_fd`, which are set before that thread is
 * started.
 */
#ifndef THAW_ENGINE_STATE_H
#define THAW_ENGINE_STATE_H

#include "engine/backend.h"
#include "engine/host/guest_state.h"
#include "engine/host/request_source.h"
#include "engine/image/bulk.h"
#include "engine/image/lazy.h"
#include "engine/image/memory_map.h"

enum thaw_engine_image { IMAGE_NONE, IMAGE_LOADED, IMAGE_BOOTED };

struct thaw_engine {
	const struct thaw_backend *backend;
	struct thaw_backend_state *state;
	struct thaw_loader *loader; /* NULL once an image is loaded */
	struct thaw_request_source requests;

	/* The image's memory: a memory file of the engine's own, or the target's. */
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
	struct thaw_lazy_load *lazy; /* loaded: the frames still being brought; NULL: none */
	const struct thaw_vcpu *vcpu;
};

/* boot.c: frees the metadata and the processor state of a boot, if there was one. */
void thaw_engine_free_booted(struct thaw_engine *engine);

/* What the backend makes instances of this engine's image from. */
static inline struct thaw_source thaw_engine_source(struct thaw_engine *engine)
{
	return (struct thaw_source){.engine = engine,
				    .memory = &engine->memory,
				    .vcpu = engine->vcpu,
				    .meta = &engine->meta,
				    .lazy = engine->lazy,
				    .requests = &engine->requests};
}

#endif
