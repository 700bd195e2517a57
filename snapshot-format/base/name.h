/* SPDX-License-Identifier: Apache-2.0 */
/* Function names: they are part of image files, sockets, paths and requests, so one rule holds for
 * all of these. */
#ifndef THAW_NAME_H
#define THAW_NAME_H

#include <stdbool.h>

#define THAW_NAME_MAX 63u /* characters, without the NUL */

/* True when NAME is a function name: [a-z0-9][a-z0-9._-]{0,62}. NULL is not. */
bool thaw_name_valid(const char *name);

#endif
