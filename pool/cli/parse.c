/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, durations, numbers and names from a command line. A text that is not understood to its
 * last character is refused. */
#include "pool/cli/parse.h"
#include "snapshot-format/base/name.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1},
	{"B", 1},
	{"K", UINT64_C(1) << 10},
	{"KiB", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20},
	{"MiB", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30},
	{"GiB", UINT64_C(1) << 30},
	{"T", UINT64_C(1) << 40},
	{"TiB", UINT64_C(1) << 40},
	{NULL, 0},
};

static const struct unit duration_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", UINT64_C(1000000000)},
	{"m", UINT64_C(60000000000)},
	{"h", UINT64_C(3600000000000)},
	{NULL, 0},
};

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++)
		if (strcmp(units->name, name) == 0)
			return units;
	return NULL;
}

/* Takes decimal digits only: no sign, no space, no octal. Moves *TEXT to the first character that
 * is no digit. */
static int take_digits(const char **text, uint64_t *number)
{
	const char *at = *text;

	*number = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*number, UINT64_C(10), number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*at - '0'), number))
			return -1;
	if (at == *text)
		return -1;
	*text = at;
	return 0;
}

/* Takes a fraction like ".25" and sets *PART to that fraction of FACTOR, in whole units. Moves
 * *TEXT past the last digit. */
static int take_fraction(const char **text, uint64_t factor, uint64_t *part)
{
	const char *at = *text;

	*part = 0;
	if (*at != '.')
		return 0;
	if (!isdigit((unsigned char)*++at))
		return -1;
	for (uint64_t weight = factor / 10; isdigit((unsigned char)*at); at++, weight /= 10)
		*part += weight * (uint64_t)(*at - '0');
	*text = at;
	return 0;
}

static int scale(uint64_t whole, uint64_t factor, uint64_t part, uint64_t *out)
{
	uint64_t made;

	if (__builtin_mul_overflow(whole, factor, &made) ||
	    __builtin_add_overflow(made, part, &made))
		return -1;
	*out = made;
	return 0;
}

int thaw_parse_size(const char *text, uint64_t *bytes, struct thaw_error *err)
{
	const struct unit *unit = NULL;
	const char *at = text;
	uint64_t whole;

	if (take_digits(&at, &whole) == 0)
		unit = find_unit(size_units, at);
	if (!unit)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "'%s' is not a size: write it like 65536, 64M, 512KiB or 1G",
				 text);
	if (scale(whole, unit->factor, 0, bytes) < 0)
		return thaw_fail(err, THAW_ERR_USAGE, "the size '%s' is too large", text);
	return 0;
}

int thaw_parse_duration(const char *text, uint64_t *ns, struct thaw_error *err)
{
	const struct unit *unit = NULL;
	const char *at = text, *suffix;
	uint64_t whole, part = 0;

	if (take_digits(&at, &whole) == 0) {
		suffix = at + strspn(at, ".0123456789");
		unit = find_unit(duration_units, suffix);
		if (unit && (take_fraction(&at, unit->factor, &part) < 0 || at != suffix))
			unit = NULL;
	}
	if (!unit)
		return thaw_fail(
			err, THAW_ERR_USAGE,
			"'%s' is not a duration: write it like 250us, 500ms, 2s, 1.5s or 1m", text);
	if (scale(whole, unit->factor, part, ns) < 0)
		return thaw_fail(err, THAW_ERR_USAGE, "the duration '%s' is too long", text);
	return 0;
}

int thaw_parse_number(const char *text, const char *what, uint64_t low, uint64_t high,
		      uint64_t *number, struct thaw_error *err)
{
	const char *at = text;
	uint64_t made;

	if (take_digits(&at, &made) < 0 || *at || made < low || made > high)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "%s must be a number from %llu to %llu, not '%s'", what,
				 (unsigned long long)low, (unsigned long long)high, text);
	*number = made;
	return 0;
}

int thaw_parse_name(const char *text, struct thaw_error *err)
{
	if (thaw_name_valid(text))
		return 0;
	return thaw_fail(err, THAW_ERR_USAGE,
			 "'%s' is not a function name: a name is 1 to %u of a-z, 0-9, '.', '_' and "
			 "'-', and starts with a letter or a digit",
			 text, THAW_NAME_MAX);
}

#define NEAREST_MAX 64

/* The optimal string alignment distance: inserting, deleting, replacing a letter and swapping two
 * neighbours cost one each. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][NEAREST_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);
	unsigned *before = row[0], *last = row[1], *current = row[2];

	if (a_length > NEAREST_MAX || b_length > NEAREST_MAX)
		return NEAREST_MAX;
	for (size_t j = 0; j <= b_length; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned *spare = before;

		current[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (current[j - 1] + 1 < best)
				best = current[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			current[j] = best;
		}
		before = last;
		last = current;
		current = spare;
	}
	return last[b_length];
}

const char *thaw_nearest(const char *text, const char *const *names)
{
	/* Two letters may be wrong, or one in a name of one or two letters. More is no typing
	 * error. */
	size_t length = strlen(text);
	unsigned best = length < 3 ? 1 : 2;
	const char *nearest = NULL;

	for (; *names; names++) {
		unsigned apart = distance(text, *names);

		if (apart < best || (apart == best && !nearest)) {
			best = apart;
			nearest = *names;
		}
	}
	return nearest;
}
