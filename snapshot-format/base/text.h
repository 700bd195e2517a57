/* SPDX-License-Identifier: Apache-2.0 */
/* Text that a terminal, a log and JSON all accept. */
#ifndef THAW_TEXT_H
#define THAW_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* True when the LENGTH bytes at TEXT are well-formed UTF-8 without control characters: no C0, no
 * C1, no DEL, and so no NUL. Empty text is clean. */
bool thaw_text_clean(const char *text, size_t length);

#endif
