/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy for requests. The system's generator is asked for a page at a time: a call for each
 * request would cost more than most of what the host does for one. What is handed out is wiped, so
 * that no byte is used twice or can be found later, and a fork finds nothing, so that two processes
 * never hand out the same. (A virtual machine that is itself cloned while it serves could: up to a
 * page's worth of seeds. The generation number and the guest's own generator go on from there; see
 * docs/security.md.)
 */
#ifndef THAW_ENTROPY_H
#define THAW_ENTROPY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

struct thaw_entropy {
	pthread_mutex_t lock;
	struct thaw_entropy_page *page; /* NULL before init and after finish */
};

int thaw_entropy_init(struct thaw_entropy *entropy, struct thaw_error *err);
void thaw_entropy_finish(struct thaw_entropy *entropy); /* fine when all zero */
/* Fills BYTES. Any thread. */
void thaw_entropy_take(struct thaw_entropy *entropy, void *bytes, size_t length);

#endif
