/* SPDX-License-Identifier: Apache-2.0 */
/* memcpy() and memset(), as in the C library. */
#ifndef THAW_SHIM_BYTES_H
#define THAW_SHIM_BYTES_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memset(void *to, int byte, size_t length);

#endif
