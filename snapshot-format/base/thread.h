/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a thread of Thaw's own. */
#ifndef THAW_THREAD_H
#define THAW_THREAD_H

#include <pthread.h>

/*
 * Like pthread_create(), but the thread starts with every signal blocked: a handler that the
 * program has installed must never run on one of our threads. A thread that needs a signal
 * unblocks it itself. ATTRIBUTES may be NULL. Returns 0 or an errno value (positive), as
 * pthread_create() does. Call it from any thread.
 */
int thaw_thread_start(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
		      void *argument);

#endif
