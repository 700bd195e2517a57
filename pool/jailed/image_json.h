/* SPDX-License-Identifier: Apache-2.0 */
/* Describes an image as JSON, as `thaw inspect --json` prints it. docs/cli.md lists the members. */
#ifndef THAW_IMAGE_JSON_H
#define THAW_IMAGE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "snapshot-format/image.h"

/* Returns a new reference, or NULL when memory runs out. WHOLE: with memory ranges, registers, CPU
 * features and the program's environment. */
json_t *thaw_image_json(const struct thaw_image_file *image, bool whole);

#endif
