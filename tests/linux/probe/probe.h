/* SPDX-License-Identifier: Apache-2.0 */
/* A Linux program that tries its system calls from all sides. It must print the same lines natively
 * and as a function. Each part prints its own. */
#ifndef PROBE_H
#define PROBE_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Prints the value of EXPRESSION, and the error if the value is -1. */
#define show(expression)                                                                           \
	do {                                                                                       \
		errno = 0;                                                                         \
		long shown_ = (long)(expression);                                                  \
		printf("%s:%d %ld %s\n", __func__, __LINE__, shown_,                               \
		       shown_ == -1 ? strerror(errno) : "");                                       \
	} while (0)

void probe_memory(void);
void probe_shared(void);
void probe_code(void);
void probe_threads(void);
void probe_mutexes_early(void);
void probe_mutexes(void);
void probe_checks(void);
void probe_identities(void);
void probe_signals(void);
void probe_waiting(void);
void probe_clocks(void);
void probe_vectors(void);

#endif
