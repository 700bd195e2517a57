/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread needs to decode an image's frames, one at a time. Internal to the engine. A decoder
 * is used by one thread at a time. */
#ifndef THAW_DECODER_H
#define THAW_DECODER_H

#include <stdint.h>

#include "snapshot-format/base/error.h"
#include "snapshot-format/image.h"

/* Room for the largest frame: one that cannot be compressed is a little larger than its pages. */
#define THAW_DECODER_COMPRESSED ((THAW_IMAGE_FRAME_PAGES_MAX * THAW_IMAGE_PAGE) + (64u << 10))

struct thaw_decoder {
	struct thaw_decoder *next; /* the owner's, for a list */
	uint8_t *compressed;	   /* THAW_DECODER_COMPRESSED bytes */
	uint8_t *raw;		   /* room for a frame's pages */
	void *context;		   /* ZSTD_DCtx */
};

/* Returns NULL when memory runs out. */
struct thaw_decoder *thaw_decoder_make(struct thaw_error *err);
void thaw_decoder_free(struct thaw_decoder *decoder);

#endif
