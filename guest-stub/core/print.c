/* SPDX-License-Identifier: Apache-2.0 */
/* Text for the response and for the operator. */
#include "guest-stub/core/core.h"

struct response_sink {
	struct thaw_invocation *invocation;
	int failed;
};

static void to_response(void *context, const char *bytes, size_t length)
{
	struct response_sink *sink = context;

	if (sink->failed == 0)
		sink->failed = thaw_write(sink->invocation, bytes, length);
}

int thaw_print(struct thaw_invocation *invocation, const char *text)
{
	return thaw_write(invocation, text, strlen(text));
}

int thaw_printf(struct thaw_invocation *invocation, const char *format, ...)
{
	struct response_sink sink = {invocation, 0};
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = thaw_core_format(to_response, &sink, format, arguments);
	va_end(arguments);
	return length < 0 ? length : sink.failed;
}

int thaw_log(const char *format, ...)
{
	char *line = (char *)thaw_core_scratch();
	va_list arguments;
	int length;

	/* The terminator is not sent: the scratch area is larger than a line. */
	va_start(arguments, format);
	length = vsnprintf(line, THAW_LOG_LINE_MAX + 1, format, arguments);
	va_end(arguments);
	if (length < 0)
		return length;
	if ((size_t)length > THAW_LOG_LINE_MAX)
		length = THAW_LOG_LINE_MAX;
	return (int)thaw_core_hypercall(THAW_HYPERCALL_log, 0, (uint64_t)length);
}
