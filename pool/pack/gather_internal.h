/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the gatherer share. */
#ifndef THAW_GATHER_INTERNAL_H
#define THAW_GATHER_INTERNAL_H

#include "pool/pack/gather.h"

/* Remembers an ELF file, once. */
int thaw_gather_object(struct thaw_gather *gather, const char *path, int loader, bool needed,
		       struct thaw_error *err);

#endif
