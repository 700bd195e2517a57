/* SPDX-License-Identifier: Apache-2.0 */
/* What the program draws of randomness before its ready point: all clones have it in common. */
#ifndef THAW_LINUX_DRAWS_H
#define THAW_LINUX_DRAWS_H

#include "guest-stub/linux/linux.h"

/* Fills BUFFER, for the program, with random bytes. NONBLOCK: it asks by getrandom() with
 * GRND_NONBLOCK or GRND_INSECURE. */
void draw_random(void *buffer, size_t length, bool nonblock);

/* Logs how much the program has drawn, unless runtimes alone did, for their start. Called once, at
 * the ready point. */
void draws_tell(void);

#endif
