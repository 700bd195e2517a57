/* SPDX-License-Identifier: Apache-2.0 */
/* The rule for function names; see name.h. */
#include "snapshot-format/base/name.h"

#include <stddef.h>

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool name_rest(char c)
{
	return name_start(c) || c == '.' || c == '_' || c == '-';
}

bool thaw_name_valid(const char *name)
{
	size_t length = 1;

	if (!name || !name_start(name[0]))
		return false;
	for (; name[length]; length++)
		if (length >= THAW_NAME_MAX || !name_rest(name[length]))
			return false;
	return true;
}
