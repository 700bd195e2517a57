/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata of an image that is about to be booted. Internal to the engine. */
#ifndef THAW_BOOT_METADATA_H
#define THAW_BOOT_METADATA_H

#include "engine/engine.h"

/* Fills META, whose `cpu` is set already, with copies of what CONFIG says; BACKEND and CPU_LEVEL
 * are names. Returns 0 or -1; either way thaw_boot_metadata_free() frees what META got. */
int thaw_boot_metadata_fill(struct thaw_image_meta *meta, const struct thaw_boot_config *config,
			    const char *backend, const char *cpu_level, struct thaw_error *err);
void thaw_boot_metadata_free(struct thaw_image_meta *meta);

#endif
