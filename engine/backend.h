/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend is to the engine. engine.c owns the image, its memory file and everything that
 * does not depend on what holds the guest in; a backend boots guests and makes instances. Internal
 * to the engine.
 */
#ifndef THAW_BACKEND_H
#define THAW_BACKEND_H

#include "engine/engine.h"

/* A backend's own state of one engine. */
struct thaw_backend_state;

struct thaw_recording; /* working_set.h */
struct thaw_lazy_load; /* lazy.h */

struct thaw_instance {
	struct thaw_engine *engine;
};

/* The memory of a guest: ranges, and a file that has the bytes of guest address A at offset A. */
struct thaw_guest_memory {
	int fd;
	const struct thaw_range *ranges;
	size_t range_count;
	uint64_t limit; /* bytes that the guest may have mapped */
	/* Where the file has data, if that is known; NULL: it is asked. */
	const struct thaw_extent *extents;
	size_t extent_count;
};

/* How a booted guest stood at its ready point; the record is checked. Free with free(xsave). */
struct thaw_ready_state {
	struct thaw_range ranges[THAW_RANGES_MAX];
	size_t range_count;
	struct thaw_vcpu vcpu; /* xsave is owned */
	struct thaw_dispatch dispatch;
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
	/* What a guest can be shown of this host's processor. */
	void (*cpu)(const struct thaw_backend_state *state, struct thaw_cpu_features *out);
	/* Runs a guest from VCPU to its ready point, and once for each warm request beyond it.
	 * Guest and every mapping of the memory are gone when it returns. */
	int (*boot)(struct thaw_backend_state *state, struct thaw_engine *engine,
		    const struct thaw_guest_memory *memory, const struct thaw_vcpu *vcpu,
		    const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		    struct thaw_error *err);
	/* Runs one request in a clone of a booted image and records the pages that it touches.
	 * Before start(); NULL where the backend cannot. */
	int (*record)(struct thaw_backend_state *state, struct thaw_engine *engine,
		      const struct thaw_guest_memory *memory, const struct thaw_vcpu *vcpu,
		      const struct thaw_run *run, struct thaw_recording *recording,
		      struct thaw_outcome *outcome, struct thaw_error *err);
	int (*start)(struct thaw_backend_state *state, struct thaw_engine *engine,
		     const struct thaw_guest_memory *memory, const struct thaw_vcpu *vcpu,
		     struct thaw_error *err);
	int (*wait_failure)(struct thaw_backend_state *state, struct thaw_error *err);
	/* Of backends that are `early`: all of the image is there, or FAILURE says why it never
	 * will be. Called by any thread, at any time after start(). */
	void (*loaded)(struct thaw_backend_state *state, const struct thaw_error *failure);

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

/* engine.c: fills HEADER for a request of LENGTH bytes: generation, entropy and time anew. */
void thaw_engine_new_request(struct thaw_engine *engine, uint64_t length, uint64_t deadline_ns,
			     struct thaw_request_header *header);

/* state.c: checks a ready record (a private copy of it, RECORD_SIZE bytes) against the memory limit
 * and the vector state that was ASKED for, and takes it over. */
int thaw_ready_take(const struct thaw_ready *record, size_t record_size, uint64_t memory_limit,
		    const struct thaw_vcpu *asked, struct thaw_ready_state *ready,
		    struct thaw_error *err);
/* state.c: refuses processor state that this host could not load, or that would take it out of the
 * guest's memory. */
int thaw_vcpu_check(const struct thaw_vcpu *vcpu, struct thaw_error *err);
/* state.c: refuses entries for system calls and faults that are not in the guest's memory. */
int thaw_dispatch_check(const struct thaw_dispatch *dispatch, struct thaw_error *err);
/* state.c: refuses ranges that are not the guest's to have. */
int thaw_ranges_check(const struct thaw_range *ranges, size_t count, uint64_t memory_limit,
		      struct thaw_error *err);
/* state.c: bytes of the standard XSAVE layout that the components of MASK need; 0 when this
 * processor lacks one. */
uint32_t thaw_xsave_size(uint64_t mask);

#endif
