/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract between an engine and its backend. The engine (engine/life) owns the image, its
 * memory file and everything that does not depend on what holds the guest in. A backend boots
 * guests and makes instances. Internal to the engine; backends include it, and include nothing of
 * engine/life.
 */
#ifndef THAW_BACKEND_H
#define THAW_BACKEND_H

#include "engine/engine.h"

/* A backend's own state of one engine. Never defined: each backend converts the pointer to a type
 * of its own where the engine calls it. */
struct thaw_backend_state;

struct thaw_guest_memory;   /* image/memory_map.h */
struct thaw_recording;	    /* image/working_set.h */
struct thaw_lazy_load;	    /* image/lazy.h */
struct thaw_ready_state;    /* host/guest_state.h */
struct thaw_request_source; /* host/request_source.h */

/* What every instance begins with. */
struct thaw_instance {
	struct thaw_engine *engine;
};

/* What a backend makes a guest or instances from. The structure is copied; what it points to stays
 * in place and unchanged until the backend is closed (for boot() and record(): until it
 * returns). */
struct thaw_source {
	struct thaw_engine *engine; /* for the head of each instance; opaque to backends */
	const struct thaw_guest_memory *memory;
	const struct thaw_vcpu *vcpu;
	const struct thaw_image_meta *meta;
	/* Frames of the image that are still being brought; NULL: all of the memory is there. Only
	 * for backends that are `early`. */
	struct thaw_lazy_load *lazy;
	struct thaw_request_source *requests; /* fills the headers of requests */
};

struct thaw_backend {
	enum thaw_backend_kind kind;
	const char *name;
	bool hides_cpu; /* a guest sees no more of the processor than its image has */
	bool early;	/* instances can run before all of the image is in the memory file */

	/* MEMORY_FD is what instances will be made from, still empty; not owned. */
	int (*open)(const struct thaw_engine_config *config, int memory_fd,
		    struct thaw_backend_state **out, struct thaw_error *err);
	void (*close)(struct thaw_backend_state *state);
	/* The CPU features that the backend can show to a guest on this host. */
	void (*cpu)(const struct thaw_backend_state *state, struct thaw_cpu_features *out);
	/* Runs a guest from SOURCE's vCPU to its ready point, and once for each warm request beyond
	 * it. When it returns, the guest and every mapping of the memory are gone. */
	int (*boot)(struct thaw_backend_state *state, const struct thaw_source *source,
		    const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		    struct thaw_error *err);
	/* Runs one request in a clone of a booted image and records the pages that it touches.
	 * Before start(); NULL where the backend cannot. */
	int (*record)(struct thaw_backend_state *state, const struct thaw_source *source,
		      const struct thaw_run *run, struct thaw_recording *recording,
		      struct thaw_outcome *outcome, struct thaw_error *err);
	int (*start)(struct thaw_backend_state *state, const struct thaw_source *source,
		     struct thaw_error *err);
	int (*wait_failure)(struct thaw_backend_state *state, struct thaw_error *err);
	/* Tells a backend that is `early` that all of the image is in the memory file, or with
	 * FAILURE why it never will be. Called by any thread, at any time after open(). */
	void (*loaded)(struct thaw_backend_state *state, const struct thaw_error *failure);

	/* The calls on instances: see engine.h. */
	int (*create)(struct thaw_backend_state *state, struct thaw_instance **out,
		      struct thaw_error *err);
	bool (*ready)(const struct thaw_instance *instance);
	bool (*near)(const struct thaw_instance *instance);
	/* HEADER is complete but for window_length. */
	void (*run)(struct thaw_instance *instance, const struct thaw_run *run,
		    const struct thaw_request_header *header, struct thaw_outcome *outcome);
	bool (*prepared)(const struct thaw_instance *instance);
	bool (*prepare)(struct thaw_instance *instance);
	bool (*recycle)(struct thaw_instance *instance);
	void (*kill)(struct thaw_instance *instance);
	void (*destroy)(struct thaw_instance *instance);
	int (*memory)(const struct thaw_instance *instance, struct thaw_instance_memory *out,
		      struct thaw_error *err);
};

extern const struct thaw_backend thaw_backend_process, thaw_backend_kvm, thaw_backend_kvm_generic;

#endif
