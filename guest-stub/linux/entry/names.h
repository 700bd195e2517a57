/* SPDX-License-Identifier: Apache-2.0 */
/* Names of system calls. */
#ifndef THAW_LINUX_NAMES_H
#define THAW_LINUX_NAMES_H

#include "guest-stub/linux/linux.h"

/* NULL for a number that the table does not have. */
const char *call_name(uint64_t number);

#endif
