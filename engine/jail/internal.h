/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the jail share, also for their tests. */
#ifndef THAW_JAIL_INTERNAL_H
#define THAW_JAIL_INTERNAL_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/jail/jail.h"

/* Adds "WHAT: WHY" to the report's list of missing things. */
void thaw_jail_note_missing(struct thaw_jail_report *report, const char *what, const char *why);
bool thaw_jail_has_capability(unsigned capability); /* in the effective set */

/* A line of a filter: a system call, the conditions on its arguments, and the reason. Several lines
 * may name one call; one of them has to match. */
#define THAW_FILTER_CONDITIONS 5
struct thaw_filter_line {
	const char *name;
	int number;
	unsigned profiles; /* enum thaw_jail_profile bits, or enum thaw_guest_filter bits */
	uint32_t action;
	const char *reason;
	struct scmp_arg_cmp conditions[THAW_FILTER_CONDITIONS]; /* all must hold; op 0 ends them */
};

/* The table behind thaw_jail_seal(); static. */
const struct thaw_filter_line *thaw_jail_lines(size_t *count);

/* Makes a libseccomp context from the lines that have one of PROFILES. Other calls get
 * DEFAULT_ACTION; calls of another architecture kill the process. NULL on failure. Release the
 * context with seccomp_release(). */
scmp_filter_ctx thaw_filter_build(uint32_t default_action, const struct thaw_filter_line *lines,
				  size_t count, unsigned profiles, struct thaw_error *err);

#endif
