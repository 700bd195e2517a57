/* SPDX-License-Identifier: Apache-2.0 */
/* The Linux core, which is embedded in the engine. Internal to the engine. */
#ifndef THAW_BOOT_LINUX_CORE_H
#define THAW_BOOT_LINUX_CORE_H

#include "snapshot-format/base/error.h"

/* Makes a memory file with the core's ELF file. Returns the descriptor, which the caller owns, or
 * -1. */
int thaw_linux_core_file(struct thaw_error *err);

#endif
