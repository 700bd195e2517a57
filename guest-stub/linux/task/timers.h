/* SPDX-License-Identifier: Apache-2.0 */
/* Timers that raise signals. */
#ifndef THAW_LINUX_TIMERS_H
#define THAW_LINUX_TIMERS_H

#include "guest-stub/linux/linux.h"

/* Raises the signals of the timers that are due. */
void timers_check(void);

/* Whether a timer is armed. */
bool timers_armed(void);

#endif
