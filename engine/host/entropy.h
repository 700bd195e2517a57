/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy for requests, taken from the system's generator a page at a time: a call for each request
 * would cost more than most of what the host does for one. Bytes that are handed out are wiped, so
 * that none is used twice or can be found later. After a fork the child's page is empty, so that
 * two processes never hand out the same bytes. (A host that is itself a virtual machine and is
 * cloned while it serves could, up to a page's worth of seeds. The generation number and the
 * guest's own generator still differ; see docs/security.md.)
 */
#ifndef THAW_ENTROPY_H
#define THAW_ENTROPY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

struct thaw_entropy {
	pthread_mutex_t lock;		/* of the page's content */
	struct thaw_entropy_page *page; /* NULL before init and after finish */
};

int thaw_entropy_init(struct thaw_entropy *entropy, struct thaw_error *err);
void thaw_entropy_finish(struct thaw_entropy *entropy); /* fine when all zero */
/* Fills BYTES; LENGTH is far below a page. Any thread. */
void thaw_entropy_take(struct thaw_entropy *entropy, void *bytes, size_t length);

#endif
