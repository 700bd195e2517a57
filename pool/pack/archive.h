/* SPDX-License-Identifier: Apache-2.0 */
/* A whole root file system for a tree, from a tar archive. */
#ifndef THAW_PACK_ARCHIVE_H
#define THAW_PACK_ARCHIVE_H

#include "pool/pack/pack.h"

/* Packs what the archive at the host path PATH holds, plain or compressed; later members of a name
 * over earlier ones. Devices, FIFOs and sockets are left out and counted in *SKIPPED. Nothing of
 * the host's file system is written, whatever the names in the archive are. */
int thaw_pack_archive(struct thaw_pack *pack, const char *path, size_t *skipped,
		      struct thaw_error *err);

#endif
