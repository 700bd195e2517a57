/* SPDX-License-Identifier: Apache-2.0 */
/* The source of the guest's filter, for the program that compiles it while Thaw is built and for
 * its test. It is not part of the engine. */
#ifndef THAW_GUEST_FILTER_TABLE_H
#define THAW_GUEST_FILTER_TABLE_H

#include <stddef.h>

#include "engine/jail/jail.h"

/* More instructions than either filter has. */
#define THAW_GUEST_FILTER_MAX 1024u

/* Compiles the filter to classic BPF in PROGRAM, which has room for MAX instructions; *COUNT
 * receives their number. */
int thaw_guest_filter_compile(enum thaw_guest_filter which, struct sock_filter *program, size_t max,
			      size_t *count, struct thaw_error *err);

#endif
