/* SPDX-License-Identifier: Apache-2.0 */
/* A booted image on its way to a file. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/life/engine_state.h"
#include "snapshot-format/base/cleanup.h"

/* The pieces of MAP that have data: reading a hole through the mapping at BASE would fill it. */
static size_t take_segments(const struct thaw_memory_map *map, uint8_t *base,
			    struct thaw_memory_segment *segments)
{
	size_t count = 0;

	for (size_t i = 0; i < map->count; i++)
		if (map->pieces[i].backed)
			segments[count++] = (struct thaw_memory_segment){
				map->pieces[i].start, map->pieces[i].length,
				base + map->pieces[i].start};
	return count;
}

int thaw_engine_write(struct thaw_engine *engine, int fd, unsigned threads,
		      void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		      struct thaw_image_sizes *sizes, struct thaw_error *err)
{
	thaw_autofree struct thaw_memory_segment *segments = NULL;
	struct thaw_image_content content = {.meta = &engine->meta,
					     .vcpu = engine->vcpu,
					     .ranges = engine->memory.ranges,
					     .range_count = engine->memory.range_count};
	struct thaw_memory_map map;
	uint8_t *base = MAP_FAILED;
	int result;

	if (engine->image != IMAGE_BOOTED)
		return thaw_fail(err, THAW_ERR_USAGE, "there is no booted image to write");
	if (thaw_memory_map_make(&engine->memory, false, &map, err))
		return -1;
	segments = calloc(map.count + 1, sizeof(*segments));
	if (segments)
		base = mmap(NULL, THAW_REGION_END, PROT_READ, MAP_SHARED | MAP_NORESERVE,
			    engine->own_fd, 0);
	if (base == MAP_FAILED) {
		result = thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					 "cannot map the guest's memory");
	} else {
		content.segments = segments;
		content.segment_count = take_segments(&map, base, segments);
		result = thaw_image_write(fd, &content, threads, progress, context, sizes, err);
		munmap(base, THAW_REGION_END);
	}
	free(map.pieces);
	return result;
}
