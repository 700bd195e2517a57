/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's bytes, strings and numbers, held against the host's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>

#include "tests/guest/native.h"

#define SIZE   2048u
#define MARGIN 32u
#define ROUNDS 20000u

static uint64_t state = 1;

static size_t below(size_t limit)
{
	return native_random(&state) % limit;
}

/* Mostly short, because short lengths have the most cases. */
static size_t some_length(void)
{
	return below(4) ? below(40) : below(SIZE - 2 * MARGIN);
}

static void fill(uint8_t *bytes, size_t length, unsigned values)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)below(values);
}

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

Test(string, copies_as_the_host_does)
{
	static uint8_t from[SIZE], want[SIZE], got[SIZE];

	fill(from, SIZE, 256);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t length = some_length(), source = below(MARGIN), target = below(MARGIN);

		fill(got, 64, 256);
		memcpy(want, got, SIZE);
		memcpy(want + target, from + source, length);
		cr_assert_eq(guest_memcpy(got + target, from + source, length), got + target);
		cr_assert_arr_eq(got, want, SIZE, "length %zu", length);
	}
}

Test(string, moves_over_itself)
{
	static uint8_t want[SIZE], got[SIZE];

	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t length = some_length(), source = below(2 * MARGIN),
		       target = below(2 * MARGIN);

		fill(got, 256, 256);
		memcpy(want, got, SIZE);
		memmove(want + target, want + source, length);
		cr_assert_eq(guest_memmove(got + target, got + source, length), got + target);
		cr_assert_arr_eq(got, want, SIZE, "length %zu from %zu to %zu", length, source,
				 target);
	}
}

Test(string, sets)
{
	static uint8_t want[SIZE], got[SIZE];

	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t length = some_length(), target = below(MARGIN);
		int byte = (int)below(512) - 128;

		memset(want + target, byte, length);
		cr_assert_eq(guest_memset(got + target, byte, length), got + target);
		cr_assert_arr_eq(got, want, SIZE);
	}
}

Test(string, compares_and_finds)
{
	static uint8_t a[SIZE], b[SIZE];

	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t length = some_length(), other = below(MARGIN);
		int byte = (int)below(4);

		fill(a, 64, 3);
		memcpy(b, a, SIZE);
		b[below(64)] ^= (uint8_t)below(200);
		cr_assert_eq(sign(guest_memcmp(a + other, b + other, length)),
			     sign(memcmp(a + other, b + other, length)));
		cr_assert_eq(guest_memchr(a + other, byte, length),
			     memchr(a + other, byte, length));
	}
}

Test(string, strings)
{
	char a[40], b[40], part[4];

	for (unsigned round = 0; round < 5 * ROUNDS; round++) {
		size_t length = below(sizeof(a)), max = below(sizeof(a) + 4);
		int byte = (int)below(5) + 'a' - 1;

		for (size_t i = 0; i < sizeof(a); i++)
			a[i] = (char)('a' + below(3));
		memcpy(b, a, sizeof(a));
		b[below(sizeof(b))] = (char)(200 + below(50));
		a[length] = '\0';
		a[sizeof(a) - 1] = b[sizeof(b) - 1] = '\0';
		memcpy(part, b, sizeof(part));
		part[below(sizeof(part))] = '\0';
		part[sizeof(part) - 1] = '\0';

		cr_assert_eq(guest_strlen(a), strlen(a));
		cr_assert_eq(guest_strnlen(a, max), strnlen(a, max));
		cr_assert_eq(sign(guest_strcmp(a, b)), sign(strcmp(a, b)));
		cr_assert_eq(sign(guest_strncmp(a, b, max)), sign(strncmp(a, b, max)));
		cr_assert_eq(guest_strchr(a, byte), strchr(a, byte));
		cr_assert_eq(guest_strchr(a, 0), strchr(a, 0));
		cr_assert_eq(guest_strrchr(a, byte), strrchr(a, byte));
		cr_assert_eq(guest_strstr(a, part), strstr(a, part), "%s in %s", part, a);
	}
}

Test(number, reads_what_the_host_reads)
{
	static const char alphabet[] = "0123456789abcdefxXzZ+- \t019f";
	static const int bases[] = {0, 2, 8, 10, 16, 36};
	char text[32], *want_end, *got_end;

	for (unsigned round = 0; round < 10 * ROUNDS; round++) {
		size_t length = below(sizeof(text) - 1);
		int base = bases[below(sizeof(bases) / sizeof(bases[0]))];

		for (size_t i = 0; i < length; i++)
			text[i] = alphabet[below(sizeof(alphabet) - 1)];
		if (length > 2 && below(2))
			memcpy(text, "0x", 2);
		text[length] = '\0';
		cr_assert_eq(guest_strtoul(text, &got_end, base), strtoul(text, &want_end, base),
			     "\"%s\", base %d", text, base);
		cr_assert_eq(got_end, want_end, "\"%s\", base %d", text, base);
		cr_assert_eq(guest_strtol(text, &got_end, base), strtol(text, &want_end, base),
			     "\"%s\", base %d", text, base);
		cr_assert_eq(got_end, want_end);
	}
}

Test(number, limits)
{
	cr_assert_eq(guest_strtol("9223372036854775807", NULL, 10), LONG_MAX);
	cr_assert_eq(guest_strtol("9223372036854775808", NULL, 10), LONG_MAX);
	cr_assert_eq(guest_strtol("-9223372036854775808", NULL, 10), LONG_MIN);
	cr_assert_eq(guest_strtol("-9223372036854775809", NULL, 10), LONG_MIN);
	cr_assert_eq(guest_strtoul("18446744073709551615", NULL, 0), ULONG_MAX);
	cr_assert_eq(guest_strtoul("18446744073709551616", NULL, 0), ULONG_MAX);
	cr_assert_eq(guest_strtoul("-1", NULL, 0), ULONG_MAX);
}
