/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest library's own names in a test, beside the host's: guest_malloc() and malloc(). Include
 * this header last.
 *
 * The test provides the functions that need a host below them (thaw_map(), thaw_unmap(),
 * thaw_abort(), thaw_core_heap_area()), in native.c.
 */
#ifndef THAW_TESTS_NATIVE_H
#define THAW_TESTS_NATIVE_H

/* Included before the renaming, so that the names in these headers stay the host's. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/rename.h"

#include "guest-stub/core/core.h"

#undef calloc
#undef free
#undef malloc
#undef memchr
#undef memcmp
#undef memcpy
#undef memmove
#undef memset
#undef realloc
#undef snprintf
#undef strchr
#undef strcmp
#undef strlen
#undef strncmp
#undef strnlen
#undef strrchr
#undef strstr
#undef strtol
#undef strtoul
#undef vsnprintf

/* Bytes that the heap has mapped, and its limit. */
extern size_t native_mapped, native_limit;

/* The next number of a fixed sequence: tests try random things, the same ones in every run. */
uint64_t native_random(uint64_t *state);

#endif
