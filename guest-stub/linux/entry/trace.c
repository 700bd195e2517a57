/* SPDX-License-Identifier: Apache-2.0 */
/* The names of system calls, and the trace that `freeze --trace` asks for. */
#include <asm/unistd.h>

#include "guest-stub/linux/calls.h"
#include "guest-stub/linux/entry/core.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/user.h"

#define TRACE_STRING 48

struct call_name {
	const char *name, *arguments;
};

#define NAMED(name, support, arguments, error, note) [__NR_##name] = {#name, arguments},
static const struct call_name calls[] = {LINUX_CALLS(NAMED)};

static const struct call_name *find(uint64_t number)
{
	return number < sizeof(calls) / sizeof(calls[0]) && calls[number].name ? &calls[number]
									       : NULL;
}

const char *call_name(uint64_t number)
{
	const struct call_name *call = find(number);

	return call ? call->name : NULL;
}

/* Writes one argument in the way that KIND, a letter of the table, says. */
static int show(char *out, size_t size, char kind, uint64_t value)
{
	char text[TRACE_STRING + 1];
	long length;

	switch (kind) {
	case 'd':
		return snprintf(out, size, "%d", (int)value);
	case 'u':
		return snprintf(out, size, "%lu", value);
	case 's':
		length = user_string(text, value, sizeof(text));
		if (length == -EFAULT)
			return snprintf(out, size, "%#lx", value);
		text[TRACE_STRING] = '\0';
		return snprintf(out, size, "\"%s\"%s", text, length < 0 ? "..." : "");
	default:
		return snprintf(out, size, value ? "%#lx" : "%lx", value);
	}
}

void trace_call(const struct registers *registers, uint64_t number, long result)
{
	const uint64_t values[] = {registers->rdi, registers->rsi, registers->rdx,
				   registers->r10, registers->r8,  registers->r9};
	const struct call_name *call = find(number);
	const char *kinds = call ? call->arguments : "xxxxxx";
	char text[THAW_LOG_LINE_MAX / 2];
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; kinds[i] && at + TRACE_STRING + 16 < sizeof(text); i++) {
		if (i > 0)
			at += (size_t)snprintf(text + at, sizeof(text) - at, ", ");
		at += (size_t)show(text + at, sizeof(text) - at, kinds[i], values[i]);
	}
	if (!call)
		host_log("trace: call %lu(%s) = %ld", number, text, result);
	else if (result < 0 && result > -4096)
		host_log("trace: %s(%s) = %ld", call->name, text, result);
	else
		host_log("trace: %s(%s) = %#lx", call->name, text, result);
}
