/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoders; see decode.h. All of a decoder is in one mapping, as from malloc(), but only the pages
 * that are used are ever zeroed. The mapping asks for no huge page: for a few dozen small ones the
 * kernel may spend 10 ms on moving memory to find one.
 */
#include "engine/image/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#define ZSTD_STATIC_LINKING_ONLY /* a context in memory of our choosing */
#include <zstd.h>

#include "snapshot-format/image.h"

#define RAW_SIZE   ((uint64_t)THAW_IMAGE_FRAME_PAGES_MAX * THAW_IMAGE_PAGE)
#define CONTEXT_AT ((RAW_SIZE + THAW_DECODER_COMPRESSED) & ~UINT64_C(63))

static size_t size(void)
{
	return CONTEXT_AT + ZSTD_estimateDCtxSize();
}

struct thaw_decoder *thaw_decoder_make(struct thaw_error *err)
{
	struct thaw_decoder *decoder = calloc(1, sizeof(*decoder));
	uint8_t *memory;

	if (decoder)
		decoder->raw = mmap(NULL, size(), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!decoder || decoder->raw == MAP_FAILED) {
		free(decoder);
		thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
		return NULL;
	}
	memory = decoder->raw;
	decoder->compressed = memory + RAW_SIZE;
	decoder->context = ZSTD_initStaticDCtx(memory + CONTEXT_AT, ZSTD_estimateDCtxSize());
	thaw_assert(decoder->context);
	return decoder;
}

void thaw_decoder_free(struct thaw_decoder *decoder)
{
	munmap(decoder->raw, size());
	free(decoder);
}
