/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error contract of every library here.
 *
 * A function that can fail takes a `struct thaw_error *` last (NULL when the caller does not
 * care) and returns 0 or a negative number; it sets its outputs only on success. The message is
 * one line that a person can act on: it names the thing and, where there is one, the fix. Callers
 * add context on the way up with thaw_error_wrap(). The kind is the exit code of the programs, so
 * the two cannot drift apart.
 */
#ifndef THAW_ERROR_H
#define THAW_ERROR_H

#include <stddef.h>

enum thaw_error_kind {
	THAW_OK = 0,
	THAW_ERR_FAILURE = 1,	 /* the request could not be carried out */
	THAW_ERR_USAGE = 2,	 /* the request makes no sense */
	THAW_ERR_DEADLINE = 124, /* a time limit ran out */
	THAW_ERR_ENGINE = 125,	 /* the daemon or the engine failed, or is absent */
	THAW_ERR_IMAGE = 126,	 /* the image is damaged, or cannot run on this host */
	THAW_ERR_NOT_FOUND = 127 /* no such function */
};

struct thaw_error {
	enum thaw_error_kind kind;
	char message[1024]; /* one line without a newline or any other control character */
};

#define THAW_ERROR_INIT                                                                            \
	{                                                                                          \
		THAW_OK,                                                                           \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}

/* Sets KIND and the formatted message; a NULL ERR is fine. Always returns -1, so that a failure is
 * one line: `return thaw_fail(err, THAW_ERR_IMAGE, "...")`. Control characters in the result are
 * replaced by '?'. */
int thaw_fail(struct thaw_error *err, enum thaw_error_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));

/* The same, with ": " and the text of errno value ERRNUM appended. */
int thaw_fail_errno(struct thaw_error *err, enum thaw_error_kind kind, int errnum,
		    const char *format, ...) __attribute__((format(printf, 4, 5), cold));

/* Puts "context: " before the message that ERR holds. Always returns -1. */
int thaw_error_wrap(struct thaw_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/* A broken invariant of our own: prints the place and aborts, even in release builds. */
_Noreturn void thaw_assert_failed(const char *condition, const char *file, int line)
	__attribute__((cold));
#define thaw_assert(condition)                                                                     \
	((condition) ? (void)0 : thaw_assert_failed(#condition, __FILE__, __LINE__))

#endif
