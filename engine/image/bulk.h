/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk loading: brings all frames of an image into memory. All cores decode; io_uring, or plain
 * reads, fetch. Internal to the engine. One thread calls. */
#ifndef THAW_BULK_H
#define THAW_BULK_H

#include <stdbool.h>

#include "snapshot-format/base/error.h"
#include "snapshot-format/image.h"

struct thaw_loader;

/* Takes from the host what loading needs, before a jail forbids it: the ring, unless NO_URING is
 * set or the host refuses; plain reads serve then. THREADS 0: one for each online CPU. */
int thaw_loader_open(unsigned threads, bool no_uring, struct thaw_loader **out,
		     struct thaw_error *err);
void thaw_loader_close(struct thaw_loader *loader); /* NULL is fine */
/* How many threads decode. */
unsigned thaw_loader_threads(const struct thaw_loader *loader);
bool thaw_loader_uses_uring(const struct thaw_loader *loader);

/*
 * Loads all of IMAGE: the bytes of guest address A go to offset A of MEMORY_FD, a memory file or a
 * file on tmpfs or hugetlbfs of sufficient size (hugetlbfs has no write(2), so a file there is
 * mapped). When it returns, no thread is left behind and the memory is mapped nowhere, so the
 * caller can seal it.
 */
int thaw_loader_run(struct thaw_loader *loader, const struct thaw_image_file *image, int memory_fd,
		    struct thaw_error *err);

#endif
