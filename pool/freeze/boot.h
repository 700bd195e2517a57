/* SPDX-License-Identifier: Apache-2.0 */
/* The unjailed half of a boot: opens what the jailed one needs, and passes on what that one says.
 */
#ifndef THAW_FREEZE_BOOT_H
#define THAW_FREEZE_BOOT_H

#include "pool/freeze/jail.h"
#include "pool/freeze/options.h"

/* Boots and writes the image to IMAGE_FD, an empty file. When this returns nobody else has the file
 * open any more. */
int thaw_freeze_boot(const struct thaw_freeze_options *freeze, int image_fd,
		     struct thaw_freeze_result *result, struct thaw_error *err);

#endif
