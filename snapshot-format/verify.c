/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a whole image file: opens it, which checks the tables, and decodes every frame. */
#include <stdlib.h>
#include <zstd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/layout.h"

static void cleanup_dctx(ZSTD_DCtx **dctx)
{
	ZSTD_freeDCtx(*dctx);
}

static int verify_frame(const struct thaw_image_file *image, size_t number, uint8_t *compressed,
			uint8_t *raw, ZSTD_DCtx *dctx, struct thaw_error *err)
{
	return thaw_image_frames_read(image, number, 1, compressed, err) < 0
		       ? -1
		       : thaw_image_frame_decode(image, number, compressed, raw, dctx, err);
}

int thaw_image_verify(int fd, struct thaw_error *err)
{
	thaw_autoimage struct thaw_image_file *image = NULL;
	__attribute__((cleanup(cleanup_dctx))) ZSTD_DCtx *dctx = NULL;
	thaw_autofree uint8_t *compressed = malloc(THAW_FRAME_LENGTH_MAX);
	thaw_autofree uint8_t *raw = malloc(THAW_FRAME_RAW_MAX);

	if (thaw_image_open(fd, &image, err) < 0)
		return -1;
	dctx = ZSTD_createDCtx();
	if (!dctx || !compressed || !raw)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory for decoding");
	for (size_t i = 0; i < image->frame_count; i++)
		if (verify_frame(image, i, compressed, raw, dctx, err) < 0)
			return -1;
	return 0;
}
