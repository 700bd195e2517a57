/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread needs to decode an image's frames, one at a time. Internal to the engine. */
#ifndef THAW_DECODER_H
#define THAW_DECODER_H

#include <stdint.h>

#include "snapshot-format/error.h"

struct thaw_decoder {
	struct thaw_decoder *next; /* the owner's, for a list */
	uint8_t *compressed;	   /* room for any frame's bytes */
	uint8_t *raw;		   /* and for its pages */
	void *context;		   /* ZSTD_DCtx */
	void *reserved;		   /* to unmap */
};

/* NULL when there is no memory. */
struct thaw_decoder *thaw_decoder_make(struct thaw_error *err);
void thaw_decoder_free(struct thaw_decoder *decoder);

#endif
