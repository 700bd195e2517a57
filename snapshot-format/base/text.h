/* SPDX-License-Identifier: Apache-2.0 */
/* Text that is fit for a terminal, a log and JSON. */
#ifndef THAW_TEXT_H
#define THAW_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether TEXT is well-formed UTF-8 without C0 and C1 controls and DEL. */
bool thaw_text_clean(const char *text, size_t length);

#endif
