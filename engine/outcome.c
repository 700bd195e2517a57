/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes in words, for callers and logs; see mailbox.h. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/mailbox.h"

static const struct {
	const char *name;
	int exit_code;
	const char *text;
} outcomes[] = {
#define OUTCOME_ROW(name, code, text) {#name, code, text},
	THAW_OUTCOMES(OUTCOME_ROW)};

const char *thaw_outcome_name(enum thaw_outcome_kind kind)
{
	return (unsigned)kind < THAW_OUTCOME_COUNT ? outcomes[kind].name : "unknown";
}

void thaw_outcome_set(struct thaw_outcome *outcome, enum thaw_outcome_kind kind, const char *format,
		      ...)
{
	va_list args;

	outcome->kind = kind;
	outcome->exit_code = outcomes[kind].exit_code;
	outcome->message[0] = '\0';
	/* Most invocations end without a message. */
	if (format) {
		va_start(args, format);
		vsnprintf(outcome->message, sizeof(outcome->message), format, args);
		va_end(args);
	}
	if (!outcome->message[0] && kind != THAW_OUTCOME_finished && kind != THAW_OUTCOME_exited)
		snprintf(outcome->message, sizeof(outcome->message), "%s", outcomes[kind].text);
	/* The message may quote the guest. */
	for (char *c = outcome->message; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

void thaw_outcome_crashed(struct thaw_outcome *outcome, int signal)
{
	const struct thaw_fault *fault = &outcome->fault;
	const char *name = sigdescr_np(signal);

	if (!outcome->has_fault)
		thaw_outcome_set(outcome, THAW_OUTCOME_crashed,
				 "the function crashed: killed by signal %d (%s)", signal,
				 name ? name : "unknown");
	else if (signal == SIGSYS)
		thaw_outcome_set(outcome, THAW_OUTCOME_crashed,
				 "the function crashed: it made system call %llu, which no "
				 "function may make, at %#llx",
				 (unsigned long long)fault->address,
				 (unsigned long long)fault->registers[THAW_RIP]);
	else
		thaw_outcome_set(outcome, THAW_OUTCOME_crashed,
				 "the function crashed: %s (address %#llx) at %#llx",
				 name ? name : "unknown signal", (unsigned long long)fault->address,
				 (unsigned long long)fault->registers[THAW_RIP]);
	outcome->exit_code = 128 + signal;
}
