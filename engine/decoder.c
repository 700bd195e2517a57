/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of a decoder is in one huge page, where there are such: on a machine that shadows its guests'
 * page tables, touching as many small ones costs more than decoding ten frames.
 */
#include "engine/decoder.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#define ZSTD_STATIC_LINKING_ONLY /* a context in memory of our choosing */
#include <zstd.h>

#include "snapshot-format/image.h"

#define HUGE	   (UINT64_C(2) << 20)
#define RAW_SIZE   ((uint64_t)THAW_IMAGE_FRAME_PAGES_MAX * THAW_IMAGE_PAGE)
#define CONTEXT_AT ((RAW_SIZE + THAW_DECODER_COMPRESSED) & ~UINT64_C(63))

struct thaw_decoder *thaw_decoder_make(struct thaw_error *err)
{
	struct thaw_decoder *decoder = calloc(1, sizeof(*decoder));
	uint8_t *aligned;

	if (decoder)
		decoder->reserved = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!decoder || decoder->reserved == MAP_FAILED) {
		free(decoder);
		thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
		return NULL;
	}
	aligned = (uint8_t *)(((uintptr_t)decoder->reserved + HUGE - 1) & ~(HUGE - 1));
	madvise(aligned, HUGE, MADV_HUGEPAGE);
	decoder->raw = aligned;
	decoder->compressed = aligned + RAW_SIZE;
	decoder->context = ZSTD_initStaticDCtx(aligned + CONTEXT_AT, HUGE - CONTEXT_AT);
	thaw_assert(decoder->context);
	return decoder;
}

void thaw_decoder_free(struct thaw_decoder *decoder)
{
	munmap(decoder->reserved, 2 * HUGE);
	free(decoder);
}
