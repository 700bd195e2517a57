/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's formatting, held against the host's over random conversions. */
#include <criterion/criterion.h>
#include <limits.h>

#include "tests/guest/native.h"

/* The formats are made at run time on purpose. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static uint64_t state = 7;

static uint64_t below(uint64_t limit)
{
	return native_random(&state) % limit;
}

/* Numbers of every size, and those at the limits. */
static uint64_t some_number(void)
{
	static const uint64_t edges[] = {0,
					 1,
					 9,
					 10,
					 127,
					 128,
					 255,
					 32767,
					 65535,
					 INT_MAX,
					 UINT_MAX,
					 LONG_MAX,
					 (uint64_t)LONG_MIN,
					 ULONG_MAX};

	if (below(3) == 0)
		return edges[below(sizeof(edges) / sizeof(edges[0]))];
	return native_random(&state) >> below(64);
}

/* Adds flags, width and precision that C defines for LETTER. */
static char *add_field(char *at, char letter)
{
	const char *flags = strchr("di", letter)    ? "-+ 0"
			    : strchr("xXo", letter) ? "-#0"
			    : letter == 'u'	    ? "-0"
						    : "-";

	*at++ = '%';
	for (const char *flag = flags; *flag; flag++)
		if (below(3) == 0)
			*at++ = *flag;
	if (below(2))
		at += sprintf(at, "%u", (unsigned)below(30));
	if (below(2) && letter != 'c' && letter != 'p')
		at += sprintf(at, below(5) ? ".%u" : ".", (unsigned)below(25));
	return at;
}

static void compare(const char *format, size_t size, const char *got, int got_length,
		    const char *want, int want_length)
{
	cr_assert_eq(got_length, want_length, "%s: %d, not %d", format, got_length, want_length);
	cr_assert_arr_eq(got, want, 128, "%s into %zu: \"%s\", not \"%s\"", format, size, got,
			 want);
}

Test(format, numbers_as_the_host_does)
{
	static const char *const sizes[] = {"", "hh", "h", "l", "ll", "z", "j", "t"};
	static const char letters[] = "diuxXo";

	for (unsigned round = 0; round < 200000; round++) {
		char format[64], want[128] = "", got[128] = "",
				 letter = letters[below(sizeof(letters) - 1)];
		const char *size = sizes[below(sizeof(sizes) / sizeof(sizes[0]))];
		size_t room = below(4) ? sizeof(want) : below(sizeof(want));
		uint64_t number = some_number();
		int want_length, got_length;

		sprintf(add_field(format, letter), "%s%c<", size, letter);
		if (size[0] == '\0' || size[0] == 'h') {
			want_length = snprintf(want, room, format, (unsigned)number);
			got_length = guest_snprintf(got, room, format, (unsigned)number);
		} else {
			want_length = snprintf(want, room, format, number);
			got_length = guest_snprintf(got, room, format, number);
		}
		compare(format, room, got, got_length, want, want_length);
	}
}

Test(format, text_as_the_host_does)
{
	static const char *const texts[] = {"", "a", "hello", "a rather longer text than most"};

	for (unsigned round = 0; round < 50000; round++) {
		char format[64], want[128] = "", got[128] = "";
		size_t room = below(4) ? sizeof(want) : below(sizeof(want));
		const char *text = texts[below(4)];
		int want_length, got_length;

		switch (below(3)) {
		case 0:
			sprintf(add_field(format, 's'), "s|");
			want_length = snprintf(want, room, format, text);
			got_length = guest_snprintf(got, room, format, text);
			break;
		case 1:
			sprintf(add_field(format, 'c'), "c|");
			want_length = snprintf(want, room, format, 'q');
			got_length = guest_snprintf(got, room, format, 'q');
			break;
		default:
			sprintf(add_field(format, 'p'), "p|");
			want_length = snprintf(want, room, format, (const void *)text);
			got_length = guest_snprintf(got, room, format, (const void *)text);
			break;
		}
		compare(format, room, got, got_length, want, want_length);
	}
}

Test(format, arguments_as_width_and_precision)
{
	for (int width = -12; width <= 12; width++) {
		for (int precision = -2; precision <= 8; precision++) {
			char want[128] = "", got[128] = "";
			int want_length = snprintf(want, sizeof(want), "%*.*d|%*s", width,
						   precision, 42, width, "ab");
			int got_length = guest_snprintf(got, sizeof(got), "%*.*d|%*s", width,
							precision, 42, width, "ab");

			compare("*", sizeof(want), got, got_length, want, want_length);
		}
	}
}

Test(format, the_rest)
{
	const char *volatile nothing = NULL;
	char got[64];

	cr_assert_eq(guest_snprintf(got, sizeof(got), "%d%% of %s", 100, "it"), 10);
	cr_assert_str_eq(got, "100% of it");
	cr_assert_eq(guest_snprintf(got, sizeof(got), "%s", nothing), 6);
	cr_assert_str_eq(got, "(null)");
	cr_assert_eq(guest_snprintf(got, sizeof(got), "%p", (void *)NULL), 3);
	cr_assert_str_eq(got, "0x0");
	cr_assert_eq(guest_snprintf(NULL, 0, "%d", 12345), 5,
		     "the length is told without a buffer");
}

Test(format, refuses_what_it_cannot)
{
	static const char *const formats[] = {"%f", "%n", "%", "%5", "%lq"};
	char got[64];

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		cr_assert_eq(guest_snprintf(got, sizeof(got), formats[i], 0), -1, "%s", formats[i]);
}

static void count_only(void *context, const char *bytes, size_t length)
{
	(void)bytes;
	*(size_t *)context += length;
}

static int count_format(size_t *count, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = thaw_core_format(count_only, count, format, arguments);
	va_end(arguments);
	return length;
}

Test(format, a_large_width_needs_no_large_buffer)
{
	size_t count = 0;

	cr_assert_eq(count_format(&count, "%1000000d", 1), 1000000);
	cr_assert_eq(count, 1000000);
}
