/* SPDX-License-Identifier: Apache-2.0 */
/* The half of a boot that runs outside the jail: it opens what the jailed half (jail.h) needs, and
 * shows what that half reports. */
#ifndef THAW_FREEZE_BOOT_H
#define THAW_FREEZE_BOOT_H

#include "pool/freeze/jail.h"
#include "pool/freeze/options.h"

/* Boots the program and writes the image to IMAGE_FD, an empty file. When this returns, the jailed
 * child is gone, so no other process has the file open. */
int thaw_freeze_boot(const struct thaw_freeze_options *freeze, int image_fd,
		     struct thaw_freeze_result *result, struct thaw_error *err);

#endif
