/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What image files say of themselves, as JSON. An image is the work of a process that ran
 * somebody's program, so parsing one as the user who asks (often root) would put that user behind
 * the parser: it is done in a jailed child, a dozen files for each, which costs a few milliseconds
 * and makes a flaw in the reader worth nothing.
 */
#ifndef THAW_IMAGE_REPORT_H
#define THAW_IMAGE_REPORT_H

#include <jansson.h>
#include <stddef.h>

#include "snapshot-format/base/error.h"

struct thaw_image_query {
	const char *path;
	json_t *report; /* an object, or NULL: then ERR says why (THAW_ERR_IMAGE: damaged) */
	struct thaw_error err;
};

enum thaw_report_depth {
	THAW_REPORT_SUMMARY, /* the metadata and the sizes */
	THAW_REPORT_WHOLE,   /* with the ranges, the registers' summary and the CPU's features */
	THAW_REPORT_VERIFY   /* the summary, after every frame was decoded and checked */
};

/* Fills in each query's REPORT or ERR. Fails itself only when no jailed child could be started. */
int thaw_image_reports(struct thaw_image_query *queries, size_t count, enum thaw_report_depth depth,
		       struct thaw_error *err);
void thaw_image_query_clear(struct thaw_image_query *query);

#endif
