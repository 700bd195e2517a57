/* SPDX-License-Identifier: Apache-2.0 */
/* Timers that raise signals. */
#ifndef THAW_LINUX_TIMERS_H
#define THAW_LINUX_TIMERS_H

#include "guest-stub/linux/linux.h"

/* Raises the signals of the timers that are due. */
void timers_check(void);

/* To be called with each signal that is taken: a periodic timer whose signal it is goes on, and INFO
 * gets its overrun. */
struct signal_info;
void timers_delivered(struct signal_info *info);

/* Asks the host for ticks, if the program needs them: from now on while it has several threads, of
 * which one may loop without a call, and else when a timer is due. Called when a thread is made or a
 * timer armed, and after a thaw. A wish that is out of date stays until the next tick. */
void timers_want_ticks(void);

/* Whether a timer is armed. */
bool timers_armed(void);

#endif
