/* SPDX-License-Identifier: Apache-2.0 */
/* Whole requests in, whole responses out. */
#ifndef THAW_CLI_FILES_H
#define THAW_CLI_FILES_H

#include <stddef.h>

#include "snapshot-format/base/error.h"

struct thaw_bytes {
	char *data; /* to be freed; LENGTH bytes */
	size_t length, room;
};

/* Makes room for MORE bytes after the LENGTH that are there. */
int thaw_bytes_reserve(struct thaw_bytes *bytes, size_t more, struct thaw_error *err);
/* Reads FD to its end; more than a request may be is an error that names the limit. */
int thaw_read_request(int fd, struct thaw_bytes *bytes, struct thaw_error *err);
/* Writes all of it to standard output. */
int thaw_write_response(const void *data, size_t length, struct thaw_error *err);

#endif
