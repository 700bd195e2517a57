/* SPDX-License-Identifier: Apache-2.0 */
/* What gather.c and gather_libraries.c share. */
#ifndef THAW_GATHER_INTERNAL_H
#define THAW_GATHER_INTERNAL_H

#include "pool/pack/gather.h"

/* Adds an ELF file, by its real path, to the objects whose libraries are to be found, once. LOADER
 * and NEEDED are those of struct thaw_gather_object. */
int thaw_gather_object(struct thaw_gather *gather, const char *path, int loader, bool needed,
		       struct thaw_error *err);

#endif
