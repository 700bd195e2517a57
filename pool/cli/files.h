/* SPDX-License-Identifier: Apache-2.0 */
/* Reading whole requests and writing whole responses; buffers that grow. */
#ifndef THAW_CLI_FILES_H
#define THAW_CLI_FILES_H

#include <stddef.h>

#include "snapshot-format/base/error.h"

struct thaw_bytes {
	char *data; /* LENGTH bytes; its owner frees it */
	size_t length, room;
};

/* Makes room for MORE bytes after the first LENGTH. */
int thaw_bytes_reserve(struct thaw_bytes *bytes, size_t more, struct thaw_error *err);
/* Reads FD to its end into BYTES, which the caller frees. A request above THAW_REQUEST_MAX is an
 * error that names the limit. */
int thaw_read_request(int fd, struct thaw_bytes *bytes, struct thaw_error *err);
/* Writes all LENGTH bytes to standard output. */
int thaw_write_response(const void *data, size_t length, struct thaw_error *err);

#endif
