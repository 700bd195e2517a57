/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting of errors; see error.h for the contract. */
#include "snapshot-format/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages quote names from files, guests and sockets: nothing in them may drive a terminal. */
static void sanitize(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

int thaw_fail(struct thaw_error *err, enum thaw_error_kind kind, const char *format, ...)
{
	va_list args;

	if (!err)
		return -1;
	err->kind = kind;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	sanitize(err->message);
	return -1;
}

int thaw_fail_errno(struct thaw_error *err, enum thaw_error_kind kind, int errnum,
		    const char *format, ...)
{
	va_list args;
	size_t used;

	if (!err)
		return -1;
	err->kind = kind;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	used = strlen(err->message);
	snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerrordesc_np(errnum));
	sanitize(err->message);
	return -1;
}

int thaw_error_wrap(struct thaw_error *err, const char *format, ...)
{
	char context[512], original[sizeof(err->message)];
	va_list args;

	if (!err)
		return -1;
	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);
	memcpy(original, err->message, sizeof(original));
	if (snprintf(err->message, sizeof(err->message), "%s: %s", context, original) < 0)
		err->message[0] = '\0';
	sanitize(err->message);
	return -1;
}

_Noreturn void thaw_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "thaw: %s:%d: broken invariant: %s\n", file, line, condition);
	abort();
}
