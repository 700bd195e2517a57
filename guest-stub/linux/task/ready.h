/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THAW_LINUX_READY_H
#define THAW_LINUX_READY_H

/* The ready point. The first call prepares the guest to be frozen and asks for the first request;
 * it returns in every invocation. Later calls do nothing. Other tasks run meanwhile, so the caller
 * checks its buffer again. */
void ready_point(void);

#endif
