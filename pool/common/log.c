/* SPDX-License-Identifier: Apache-2.0 */
/* A line is formatted whole and written with one write(2), so that lines of several threads do not
 * mix. */
#include "pool/common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Written by thaw_log_configure(), before the process starts a thread; constant afterwards. */
static enum thaw_log_level threshold = THAW_LOG_info;
static bool relayed;

#define LEVEL_NAME(name) #name,
static const char *const level_names[] = {THAW_LOG_LEVELS(LEVEL_NAME)};

const char *thaw_log_level_name(enum thaw_log_level level)
{
	return level_names[level];
}

int thaw_log_level_from_name(const char *name, enum thaw_log_level *out)
{
	for (unsigned i = 0; i < THAW_LOG_LEVEL_COUNT; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum thaw_log_level)i;
			return 0;
		}
	}
	return -1;
}

void thaw_log_configure(enum thaw_log_level level, bool relay)
{
	threshold = level;
	relayed = relay;
}

/* A failed write is ignored: there is no other place to report it, and a full pipe must not stop a
 * worker. */
static void put_line(char *line, size_t length)
{
	ssize_t written;

	for (size_t i = 0; i < length; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[length] = '\n';
	written = write(STDERR_FILENO, line, length + 1);
	(void)written;
}

void thaw_log(enum thaw_log_level level, const char *format, ...)
{
	char line[2048];
	int saved = errno, prefix, length;
	va_list args;

	if (!relayed && level > threshold)
		return;
	if (relayed)
		prefix = snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		prefix = snprintf(line, sizeof(line), "thawd: %s%s",
				  level < THAW_LOG_info ? level_names[level] : "",
				  level < THAW_LOG_info ? ": " : "");
	va_start(args, format);
	length = vsnprintf(line + prefix, sizeof(line) - (size_t)prefix - 1, format, args);
	va_end(args);
	if (length < 0)
		length = 0;
	if ((size_t)length > sizeof(line) - (size_t)prefix - 2)
		length = (int)(sizeof(line) - (size_t)prefix - 2);
	put_line(line, (size_t)(prefix + length));
	errno = saved;
}

void thaw_log_relay(const char *name, const char *line, size_t length)
{
	enum thaw_log_level level = THAW_LOG_warning;

	if (length >= 3 && line[0] == '<' && line[2] == '>' && line[1] >= '0' &&
	    line[1] < '0' + THAW_LOG_LEVEL_COUNT) {
		level = (enum thaw_log_level)(line[1] - '0');
		line += 3;
		length -= 3;
	}
	thaw_log(level, "%s: %.*s", name, (int)(length > 1500 ? 1500 : length), line);
}
