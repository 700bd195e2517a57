/* SPDX-License-Identifier: Apache-2.0 */
/* The control block: what the shim is to be, written before it is told to go. */
#include <string.h>

#include "engine/image/memory_map.h"
#include "engine/jail/jail.h"
#include "engine/process/process.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/round.h"

_Static_assert(THAW_PIECES_MAX <= SHIM_MAPS_MAX, "every map of a guest fits the control block");

static int configure_maps(struct process_backend *backend, bool boot,
			  const struct thaw_guest_memory *memory, struct thaw_error *err)
{
	struct shim_control *control = backend->control;
	struct thaw_memory_map map = {0};

	if (memory->range_count > THAW_RANGES_MAX)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image has %zu memory ranges, more than %lu",
				 memory->range_count, THAW_RANGES_MAX);
	for (size_t i = 0; i < memory->range_count; i++)
		control->ranges[i] =
			(struct shim_map){memory->ranges[i].start, memory->ranges[i].length,
					  memory->ranges[i].prot, 1};
	control->range_count = (uint32_t)memory->range_count;
	if (boot) {
		/* All of it comes from the shared file, whether the file has data or not. */
		memcpy(control->maps, control->ranges,
		       sizeof(control->maps[0]) * memory->range_count);
		control->map_count = control->range_count;
		return 0;
	}
	if (thaw_memory_map_make(memory, false, &map, err))
		return -1;
	for (size_t i = 0; i < map.count; i++)
		control->maps[i] = (struct shim_map){map.pieces[i].start, map.pieces[i].length,
						     map.pieces[i].prot, map.pieces[i].backed};
	control->map_count = (uint32_t)map.count;
	free(map.pieces);
	return 0;
}

#define SMALL_PAGES 16u /* an image with no more pages of data than this is prefaulted whole */

static void add_prefault(struct shim_control *control, uint64_t start, uint64_t pages, bool write)
{
	if (control->prefault_count < SHIM_PREFAULT_MAX)
		control->prefault[control->prefault_count++] =
			(struct shim_prefault){start, (uint32_t)pages, write};
}

static void add_prefault_if_mapped(struct shim_control *control, uint64_t address, bool write)
{
	uint64_t page = thaw_round_down(address, THAW_PAGE_SIZE);
	uint32_t needed = write ? THAW_PROT_WRITE : THAW_PROT_READ;

	for (uint32_t i = 0; i < control->range_count; i++)
		if (page >= control->ranges[i].start &&
		    page - control->ranges[i].start < control->ranges[i].length &&
		    (control->ranges[i].prot & needed))
			add_prefault(control, page, 1, write);
}

/* For an image without a working set: prefaults the pages that every invocation touches, which are
 * where it goes on and its stack, or all of a small image. Each page saves a fault of 1 to 2 us on
 * the path of a request. */
static void prefault_by_rule(struct shim_control *control)
{
	uint64_t backed = 0;

	for (uint32_t i = 0; i < control->map_count; i++)
		backed += control->maps[i].backed ? control->maps[i].length / THAW_PAGE_SIZE : 0;
	if (backed > SMALL_PAGES) {
		add_prefault_if_mapped(control, control->registers[THAW_RIP], false);
		add_prefault_if_mapped(control, control->registers[THAW_RSP] - 1, true);
		return;
	}
	for (uint32_t i = 0; i < control->map_count; i++)
		if (control->maps[i].backed)
			add_prefault(control, control->maps[i].start,
				     control->maps[i].length / THAW_PAGE_SIZE,
				     control->maps[i].prot & THAW_PROT_WRITE);
}

/* The image's working set was checked against its ranges when it was loaded. */
static void configure_prefault(struct process_backend *backend, const struct thaw_image_meta *meta)
{
	struct shim_control *control = backend->control;

	control->prefault_count = 0;
	control->record = backend->records;
	if (backend->records)
		return;
	if (!meta->working_set_count || backend->no_working_set) {
		prefault_by_rule(control);
		return;
	}
	for (size_t i = 0; i < meta->working_set_count; i++)
		add_prefault(control, meta->working_set[i].start, meta->working_set[i].pages,
			     meta->working_set[i].written);
}

int process_configure(struct process_backend *backend, uint32_t mode,
		      const struct thaw_source *source, struct thaw_error *err)
{
	const struct thaw_vcpu *vcpu = source->vcpu;
	static const struct thaw_dispatch none;
	/* A guest that boots arms dispatch itself. */
	const struct thaw_dispatch *dispatch = mode == SHIM_BOOT ? &none : &source->meta->dispatch;
	struct shim_control *control = backend->control;
	const struct sock_filter *filter;
	size_t filter_length;

	if (configure_maps(backend, mode == SHIM_BOOT, source->memory, err))
		return -1;
	if (vcpu->xsave_length > SHIM_XSAVE_MAX)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image's vector state of %u bytes is too large",
				 vcpu->xsave_length);
	if (dispatch->end && !backend->has_dispatch)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image holds a Linux program, and this kernel has no syscall "
				 "user dispatch (Linux 5.11, CONFIG_GENERIC_ENTRY)");
	control->dispatch = (struct thaw_shim_dispatch){
		dispatch->start, dispatch->end, dispatch->syscall_entry, dispatch->fault_entry};
	memcpy(control->registers, vcpu->registers, sizeof(control->registers));
	control->xsave_mask = vcpu->xsave_mask;
	control->xsave_length = vcpu->xsave_length;
	if (vcpu->xsave)
		memcpy(control->xsave, vcpu->xsave, vcpu->xsave_length);
	control->memory_size = source->memory->limit;
	if (mode == SHIM_ZYGOTE)
		configure_prefault(backend, source->meta);
	filter = thaw_guest_filter(mode == SHIM_BOOT ? THAW_GUEST_FILTER_BOOT
						     : THAW_GUEST_FILTER_CLONE,
				   &filter_length);
	thaw_assert(filter_length <= SHIM_FILTER_MAX);
	memcpy(control->filter, filter, filter_length * sizeof(*filter));
	control->filter_length = (uint32_t)filter_length;
	return 0;
}
