/* SPDX-License-Identifier: Apache-2.0 */
/* What the program writes to standard output before its ready point. It begins every response. */
#ifndef THAW_LINUX_EARLY_H
#define THAW_LINUX_EARLY_H

#include "guest-stub/linux/linux.h"

/* Keeps LENGTH bytes. Fails the boot, with the reason, when a response or the function's memory could
 * not hold them: a program that ignores the errors of its writes would lose them silently. */
void early_keep(const void *bytes, size_t length);

/* Gives all that was kept to WRITE, in order. */
void early_give(long (*write)(const void *bytes, size_t length));

/* Logs the last lines that were kept, for a program that ends before its ready point. */
void early_log_tail(void);

#endif
