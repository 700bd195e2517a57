/* SPDX-License-Identifier: Apache-2.0 */
/* An image's metadata as JSON: what `thaw inspect --json` prints. docs/cli.md lists the members. */
#ifndef THAW_IMAGE_JSON_H
#define THAW_IMAGE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "snapshot-format/image.h"

/* A new reference, or NULL without memory. WHOLE: with ranges, features and the program's
 * environment. */
json_t *thaw_image_json(const struct thaw_image_file *image, bool whole);

#endif
