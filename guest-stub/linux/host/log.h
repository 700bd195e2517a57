/* SPDX-License-Identifier: Apache-2.0 */
/* One line in the operator's log for each kind of refusal. */
#ifndef THAW_LINUX_LOG_H
#define THAW_LINUX_LOG_H

#include "guest-stub/linux/linux.h"

/* The keys below this one are system call numbers. */
#define LOG_KEYS_CALLS 576

/* What else is reported once; LOG_KEYS, their number, is a multiple of 64. */
enum log_key {
	LOG_KEY_UNKNOWN = LOG_KEYS_CALLS,
	LOG_KEY_PROCESS,
	LOG_KEY_THREADS,
	LOG_KEY_FUTEX,
	LOG_KEY_SIGNAL,
	LOG_KEY_PRCTL,
	LOG_KEY_SOCKET,
	LOG_KEY_CONNECT,
	LOG_KEY_MEMORY,
	LOG_KEY_MKNOD,
	LOG_KEY_TERMINAL,
	LOG_KEY_ABSENT,
	LOG_KEYS = LOG_KEYS_CALLS + 64
};

/* Logs the line, with "thaw: " in front, unless KEY was logged before, at boot or in this
 * invocation. Cuts a long line. */
void log_once(unsigned key, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
