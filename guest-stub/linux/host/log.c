/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the operator of each kind of refusal once. */
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/host/host.h"

static uint64_t said[LOG_KEYS / 64];

static bool is_first(unsigned key)
{
	bool first = key < LOG_KEYS && !(said[key / 64] >> key % 64 & 1);

	if (first)
		said[key / 64] |= UINT64_C(1) << key % 64;
	return first;
}

void log_once(unsigned key, const char *format, ...)
{
	char text[THAW_LOG_LINE_MAX / 2];
	va_list arguments;

	if (!is_first(key))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	host_log("thaw: %s", text);
}
