/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own log, on standard error. In a worker a line carries its level as "<N>" and goes
 * down a pipe to the front, which checks, filters and prints it: a worker never holds the
 * operator's terminal.
 */
#ifndef THAW_LOG_H
#define THAW_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* THAW_LOG_LEVELS(X): X(name). From grave to chatty. */
#define THAW_LOG_LEVELS(X)	  X(error) X(warning) X(info) X(debug)

#define THAW_ENUM_LOG_LEVEL(name) THAW_LOG_##name,
enum thaw_log_level { THAW_LOG_LEVELS(THAW_ENUM_LOG_LEVEL) THAW_LOG_LEVEL_COUNT };

const char *thaw_log_level_name(enum thaw_log_level level);
int thaw_log_level_from_name(const char *name, enum thaw_log_level *out); /* -1: no such level */

/* What to print; set once, before threads. RELAYED: this is a worker, every line goes to the front.
 */
void thaw_log_configure(enum thaw_log_level threshold, bool relayed);

/* One line, without its newline; control characters become '?'. Safe in any thread, keeps errno. */
void thaw_log(enum thaw_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The front's half: prints LINE of function NAME's worker, with the level that it carries. */
void thaw_log_relay(const char *name, const char *line, size_t length);

#endif
