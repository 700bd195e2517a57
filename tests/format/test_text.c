/* SPDX-License-Identifier: Apache-2.0 */
/* Function names, and text that is safe to show. */
#include <criterion/criterion.h>
#include <string.h>

#include "snapshot-format/base/name.h"
#include "snapshot-format/base/text.h"

Test(text, names)
{
	static const char *const good[] = {"a", "0", "hello", "a.b-c_d", "9lives", "x--", "a..b"};
	static const char *const bad[] = {"",	 ".a",	"-a",  "_a",	   "A",	   "aB",
					  "a/b", "a b", "a\n", "\xc3\xa9", "a\xff"};
	char longest[65];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_expect(thaw_name_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not(thaw_name_valid(bad[i]), "%s", bad[i]);
	cr_expect_not(thaw_name_valid(NULL));
	memset(longest, 'a', sizeof(longest));
	longest[63] = '\0';
	cr_expect(thaw_name_valid(longest), "63 characters are fine");
	longest[63] = 'a';
	longest[64] = '\0';
	cr_expect_not(thaw_name_valid(longest), "64 are not");
}

static bool clean(const char *text)
{
	return thaw_text_clean(text, strlen(text));
}

Test(text, M5_utf8)
{
	static const char *const good[] = {
		"",	    "plain ~",	    "\xc3\xa9",	    "\xe2\x82\xac",    "\xf0\x9f\x98\x80",
		"\xc2\xa0", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {
		"\x80",		    /* a continuation alone */
		"\xc3",		    /* cut short */
		"\xe2\x82",	    /* cut short */
		"\xc3(",	    /* no continuation */
		"\xc0\xaf",	    /* overlong */
		"\xc1\xbf",	    /* overlong */
		"\xe0\x9f\xbf",	    /* overlong */
		"\xf0\x8f\xbf\xbf", /* overlong */
		"\xed\xa0\x80",	    /* surrogate */
		"\xed\xbf\xbf",	    /* surrogate */
		"\xf4\x90\x80\x80", /* beyond the last character */
		"\xf8\x88\x80\x80\x80",
		"\xff",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_expect(clean(good[i]), "good %zu", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not(clean(bad[i]), "bad %zu", i);
}

Test(text, M5_controls)
{
	char text[3] = {0};

	for (unsigned code = 0; code < 0xa0; code++) {
		size_t length = 1;

		text[0] = (char)code;
		if (code >= 0x80) {
			text[0] = (char)0xc2;
			text[1] = (char)code;
			length = 2;
		}
		cr_expect_eq(thaw_text_clean(text, length), code >= 0x20 && code < 0x7f, "U+%04X",
			     code);
	}
}
