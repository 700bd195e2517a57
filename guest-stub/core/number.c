/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers from text. There is no errno: a number that does not fit becomes the nearest that
 * does. */
#include <limits.h>

#include "guest-stub/core/core.h"

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 10;
	return INT_MAX;
}

struct parsed {
	unsigned long magnitude;
	bool negative, overflow;
};

static struct parsed parse(const char *text, char **end, int base)
{
	struct parsed result = {0};
	const char *at = text;
	bool digits = false;

	while (*at == ' ' || (*at >= '\t' && *at <= '\r'))
		at++;
	if (*at == '-' || *at == '+')
		result.negative = *at++ == '-';
	/* A prefix counts only when a digit follows: "0xg" is the number 0. */
	if ((base == 0 || base == 16) && at[0] == '0' && (at[1] | 0x20) == 'x' &&
	    digit_value(at[2]) < 16) {
		at += 2;
		base = 16;
	} else if (base == 0) {
		base = *at == '0' ? 8 : 10;
	}
	for (; digit_value(*at) < base; at++, digits = true)
		result.overflow |=
			__builtin_mul_overflow(result.magnitude, (unsigned long)base,
					       &result.magnitude) ||
			__builtin_add_overflow(result.magnitude, (unsigned long)digit_value(*at),
					       &result.magnitude);
	if (end)
		*end = (char *)(uintptr_t)(digits ? at : text);
	return result;
}

unsigned long strtoul(const char *text, char **end, int base)
{
	struct parsed number = parse(text, end, base);

	if (number.overflow)
		return ULONG_MAX;
	return number.negative ? -number.magnitude : number.magnitude;
}

long strtol(const char *text, char **end, int base)
{
	struct parsed number = parse(text, end, base);

	if (number.negative)
		return number.overflow || number.magnitude > (unsigned long)LONG_MAX
			       ? LONG_MIN
			       : -(long)number.magnitude;
	return number.overflow || number.magnitude > (unsigned long)LONG_MAX
		       ? LONG_MAX
		       : (long)number.magnitude;
}
