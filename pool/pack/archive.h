/* SPDX-License-Identifier: Apache-2.0 */
/* Packs a whole root file system from a tar archive. */
#ifndef THAW_PACK_ARCHIVE_H
#define THAW_PACK_ARCHIVE_H

#include "pool/pack/pack.h"

/* Packs the members of the archive at the host path PATH, plain or compressed. A later member
 * replaces an earlier one of the same name. Devices, FIFOs and sockets are left out and added to
 * *SKIPPED. Whatever the names in the archive are, nothing is written to the host's file system. */
int thaw_pack_archive(struct thaw_pack *pack, const char *path, size_t *skipped,
		      struct thaw_error *err);

#endif
