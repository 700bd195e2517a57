/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's entrance: all that the rest of thawd knows of it. */
#ifndef THAW_WORKER_START_H
#define THAW_WORKER_START_H

/*
 * Serves one function until the front says to drain, then ends the process. The process must be
 * freshly started, with the front's socket as descriptor THAW_WORKER_CONTROL_FD. Returns, with an
 * exit code, only when the worker could not start; the front has then been told why.
 */
int thaw_worker_main(void);

#endif
