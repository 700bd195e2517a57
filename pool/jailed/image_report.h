/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Describes image files as JSON. An image was written by a process that ran an untrusted program,
 * so a flaw in the reader would give that program the rights of the user who asks (often root).
 * Images are therefore read in a jailed child, up to ten files in each, which costs a few
 * milliseconds. An image that takes the child over can forge the reports on the images that follow
 * it in that child, and do nothing else.
 */
#ifndef THAW_IMAGE_REPORT_H
#define THAW_IMAGE_REPORT_H

#include <jansson.h>
#include <stddef.h>

#include "snapshot-format/base/error.h"

struct thaw_image_query {
	const char *path;
	json_t *report; /* an object; or NULL, and ERR says why (THAW_ERR_IMAGE: damaged) */
	struct thaw_error err;
};

enum thaw_report_depth {
	THAW_REPORT_SUMMARY, /* the metadata and the sizes */
	THAW_REPORT_WHOLE,   /* also the ranges, some registers and the CPU features */
	THAW_REPORT_VERIFY   /* the summary, after every frame has been decoded and checked */
};

/* Fills in each query's REPORT or ERR; the caller clears each with thaw_image_query_clear().
 * Returns 0, or -1 with ERR when no jailed child could be started. */
int thaw_image_reports(struct thaw_image_query *queries, size_t count, enum thaw_report_depth depth,
		       struct thaw_error *err);
void thaw_image_query_clear(struct thaw_image_query *query);

#endif
