/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own log, on standard error. In a worker each line carries its level as "<N>" and
 * goes through a pipe to the front, which checks, filters and prints it: a worker never holds the
 * operator's terminal.
 */
#ifndef THAW_LOG_H
#define THAW_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* THAW_LOG_LEVELS(X): X(name), the most severe first. */
#define THAW_LOG_LEVELS(X)	  X(error) X(warning) X(info) X(debug)

#define THAW_ENUM_LOG_LEVEL(name) THAW_LOG_##name,
enum thaw_log_level { THAW_LOG_LEVELS(THAW_ENUM_LOG_LEVEL) THAW_LOG_LEVEL_COUNT };

/* The name of LEVEL, which must be one of the enumeration; a static string. Any thread. */
const char *thaw_log_level_name(enum thaw_log_level level);
/* The level called NAME. -1: there is none. Any thread. */
int thaw_log_level_from_name(const char *name, enum thaw_log_level *out);

/* Sets what is printed: lines up to THRESHOLD. RELAYED: this is a worker, and every line goes to
 * the front. Call it once, before the process starts a thread. */
void thaw_log_configure(enum thaw_log_level threshold, bool relayed);

/* Logs one line, given without its newline. Control characters become '?'; a line longer than 2 KiB
 * is cut. Keeps errno. Any thread. */
void thaw_log(enum thaw_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The front's half: prints a LINE of LENGTH bytes from the worker of function NAME, at the level
 * that the line carries, or as a warning. The line is hostile. Any thread; the front has one. */
void thaw_log_relay(const char *name, const char *line, size_t length);

#endif
