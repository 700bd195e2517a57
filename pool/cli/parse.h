/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, durations, numbers and names from a command line. Each function returns 0, or -1 with a
 * usage error. */
#ifndef THAW_CLI_PARSE_H
#define THAW_CLI_PARSE_H

#include <stdint.h>

#include "snapshot-format/base/error.h"

/* "65536", "64K", "64KiB", "1G": the multiples are binary. */
int thaw_parse_size(const char *text, uint64_t *bytes, struct thaw_error *err);
/* "250us", "500ms", "2s", "1.5s", "1m", "1h": a unit is required. */
int thaw_parse_duration(const char *text, uint64_t *ns, struct thaw_error *err);
/* A decimal number from LOW to HIGH. WHAT names it in the message. */
int thaw_parse_number(const char *text, const char *what, uint64_t low, uint64_t high,
		      uint64_t *number, struct thaw_error *err);
/* Checks the name of a function. */
int thaw_parse_name(const char *text, struct thaw_error *err);

/* Returns the entry of NAMES (NULL-terminated) nearest to TEXT, or NULL when none is near. */
const char *thaw_nearest(const char *text, const char *const *names);

#endif
