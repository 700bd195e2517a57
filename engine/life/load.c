/* SPDX-License-Identifier: Apache-2.0 */
/* An engine's image from a file: whether it can run here, and where its memory goes. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/host/cpu.h"
#include "engine/life/engine_state.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/base/memory_file.h"

static int check_host(const struct thaw_engine *engine, const struct thaw_image_meta *meta,
		      struct thaw_error *err)
{
	struct thaw_cpu_features host;
	char missing[512];

	if (meta->abi_version != THAW_ABI_VERSION)
		return thaw_fail(
			err, THAW_ERR_IMAGE,
			"the image is for guest ABI %u, and this is ABI %u; freeze it again",
			meta->abi_version, THAW_ABI_VERSION);
	engine->backend->cpu(engine->state, &host);
	if (thaw_cpu_missing(&meta->cpu, &host, missing, sizeof(missing)))
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "this processor%s lacks what the image may use: %s",
				 engine->backend->hides_cpu ? " under KVM" : "", missing);
	return 0;
}

static int check_image(const struct thaw_engine *engine, const struct thaw_image_file *file,
		       struct thaw_error *err)
{
	const struct thaw_image_meta *meta = thaw_image_meta(file);
	size_t count;
	const struct thaw_range *ranges = thaw_image_ranges(file, &count);

	return check_host(engine, meta, err) ||
			       thaw_ranges_check(ranges, count, meta->memory_size, err) ||
			       thaw_vcpu_check(thaw_image_vcpu(file), err) ||
			       thaw_dispatch_check(&meta->dispatch, err)
		       ? -1
		       : 0;
}

/* Huge pages are unsuitable for copy-on-write in a process: a private mapping would copy 2 MiB for
 * each page written, and die when the pool of huge pages is empty. So the target on hugetlbfs only
 * stores the image, and instances are made from a copy. */
static int copy_from_target(struct thaw_engine *engine, struct thaw_error *err)
{
	size_t count;
	const struct thaw_extent *extents = thaw_image_extents(engine->file, &count);
	uint8_t *base = mmap(NULL, THAW_REGION_END, PROT_READ, MAP_SHARED | MAP_NORESERVE,
			     engine->target.read_fd, 0);
	int result = 0;

	if (base == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot map the image's file of huge pages");
	for (size_t i = 0; i < count && !result; i++)
		if (thaw_write_at(engine->own_fd, base + extents[i].start, extents[i].length,
				  extents[i].start) < 0)
			result = thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
						 "cannot copy the image's memory");
	munmap(base, THAW_REGION_END);
	return result;
}

/* Makes short gaps data, while the file can still be written; see memory_map.h. FILL_FD -1: they
 * are already. */
static int make_map(struct thaw_engine *engine, int fill_fd, struct thaw_error *err)
{
	struct thaw_guest_memory memory = engine->memory;

	memory.fd = fill_fd;
	return thaw_memory_map_make(&memory, fill_fd >= 0, &engine->map, err);
}

static int load_whole(struct thaw_engine *engine, struct thaw_error *err)
{
	bool filled = engine->has_target && engine->target.filled;
	int fill_fd = engine->has_target ? engine->target.write_fd : engine->own_fd;

	if ((!filled && thaw_loader_run(engine->loader, engine->file, fill_fd, err)) ||
	    (engine->target_is_hugetlb && copy_from_target(engine, err)))
		return -1;
	if (engine->own_fd >= 0)
		fill_fd = engine->own_fd;
	else if (filled)
		fill_fd = -1; /* its gaps are filled too */
	if (make_map(engine, fill_fd, err))
		return -1;
	return engine->own_fd >= 0 ? thaw_memory_file_seal(engine->own_fd, err) : 0;
}

/* ---- Lazily: clones run while the rest is brought ---- */

#define WHOLE_BYTES (UINT64_C(2) << 20) /* up to this, a whole load takes no longer */

static bool can_load_lazily(const struct thaw_engine *engine)
{
	struct thaw_image_sizes sizes;

	thaw_image_get_sizes(engine->file, &sizes);
	return engine->backend->early && !engine->has_target && sizes.stored_bytes > WHOLE_BYTES;
}

static void on_loaded(void *context, const struct thaw_error *failure)
{
	struct thaw_engine *engine = context;
	struct thaw_error err = THAW_ERROR_INIT;

	if (!failure && thaw_memory_file_seal(engine->own_fd, &err))
		failure = &err;
	engine->backend->loaded(engine->state, failure);
}

/* Wants the working set first, and in any case the pages where the guest goes on and its stack. */
static int load_lazily(struct thaw_engine *engine, struct thaw_error *err)
{
	const struct thaw_image_meta *meta = &engine->meta;
	thaw_autofree struct thaw_wanted *wanted =
		calloc(meta->working_set_count + 2, sizeof(*wanted));
	struct thaw_lazy_config config = {.image = engine->file,
					  .map = &engine->map,
					  .memory_fd = engine->own_fd,
					  .threads = thaw_loader_threads(engine->loader),
					  .wanted = wanted,
					  .finished = on_loaded,
					  .context = engine};

	if (!wanted)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	wanted[config.wanted_count++] = (struct thaw_wanted){engine->vcpu->registers[THAW_RIP], 1};
	wanted[config.wanted_count++] =
		(struct thaw_wanted){engine->vcpu->registers[THAW_RSP] - 1, 1};
	for (size_t i = 0; i < meta->working_set_count; i++)
		wanted[config.wanted_count++] = (struct thaw_wanted){meta->working_set[i].start,
								     meta->working_set[i].pages};
	return make_map(engine, engine->own_fd, err) || thaw_lazy_begin(&config, &engine->lazy, err)
		       ? -1
		       : 0;
}

int thaw_engine_load(struct thaw_engine *engine, int image_fd, struct thaw_error *err)
{
	struct thaw_image_file *file;

	if (engine->image != IMAGE_NONE)
		return thaw_fail(err, THAW_ERR_USAGE, "the engine has an image already");
	if (thaw_image_open(image_fd, &file, err))
		return -1;
	if (check_image(engine, file, err)) {
		thaw_image_close(file);
		return -1;
	}
	engine->file = file;
	engine->meta = *thaw_image_meta(file);
	engine->vcpu = thaw_image_vcpu(file);
	engine->memory.fd = engine->memory_fd;
	engine->memory.ranges = thaw_image_ranges(file, &engine->memory.range_count);
	engine->memory.extents = thaw_image_extents(file, &engine->memory.extent_count);
	engine->memory.limit = engine->meta.memory_size;
	if (can_load_lazily(engine) ? load_lazily(engine, err) : load_whole(engine, err))
		return -1;
	/* An engine loads only once, and a ring without use is a door in the jail. */
	thaw_loader_close(engine->loader);
	engine->loader = NULL;
	engine->image = IMAGE_LOADED;
	return 0;
}

void thaw_engine_sizes(const struct thaw_engine *engine, struct thaw_image_sizes *out)
{
	if (engine->image == IMAGE_LOADED) {
		thaw_image_get_sizes(engine->file, out);
		return;
	}
	*out = (struct thaw_image_sizes){0};
	for (size_t i = 0; i < engine->memory.range_count; i++)
		out->mapped_bytes += engine->memory.ranges[i].length;
}
