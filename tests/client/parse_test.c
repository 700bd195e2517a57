/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, durations, numbers, names and misspelt names, as a command line gives them. */
#include <criterion/criterion.h>
#include <string.h>

#include "pool/cli/cli.h"
#include "pool/cli/daemon.h"

struct parsed {
	const char *text;
	uint64_t value;
};

Test(parse, sizes)
{
	static const struct parsed good[] = {
		{"0", 0},
		{"65536", 65536},
		{"1B", 1},
		{"4K", 4096},
		{"512KiB", 524288},
		{"64M", 64ull << 20},
		{"64MiB", 64ull << 20},
		{"1G", 1ull << 30},
		{"2TiB", 2ull << 40},
		{"18446744073709551615", UINT64_MAX},
		{"16777215T", 16777215ull << 40},
	};
	static const char *const bad[] = {"",
					  " 1",
					  "1 ",
					  "-1",
					  "+1",
					  "0x10",
					  "1.5M",
					  "M",
					  "1m",
					  "1KB",
					  "1Kib",
					  "64MM",
					  "1e6",
					  "1,000",
					  "18446744073709551616",
					  "16777216T",
					  "99999999999999999999G"};
	uint64_t bytes = 77;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_expect_eq(thaw_parse_size(good[i].text, &bytes, NULL), 0, "%s", good[i].text);
		cr_expect_eq(bytes, good[i].value, "%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct thaw_error err = THAW_ERROR_INIT;

		cr_expect_lt(thaw_parse_size(bad[i], &bytes, &err), 0, "%s", bad[i]);
		cr_expect_eq(err.kind, THAW_ERR_USAGE);
		cr_expect(strstr(err.message, bad[i]));
	}
}

Test(parse, durations)
{
	static const struct parsed good[] = {
		{"0s", 0},
		{"1ns", 1},
		{"250us", 250000},
		{"500ms", 500000000},
		{"2s", 2000000000},
		{"1.5s", 1500000000},
		{"0.25ms", 250000},
		{"1.123456789s", 1123456789},
		{"1.9999999999s", 1999999999},
		{"1m", 60000000000},
		{"2h", 7200000000000},
		{"18446744073s", 18446744073000000000ull},
	};
	static const char *const bad[] = {"",	    "1",    "s",     "-1s",	     "1 s",
					  "1S",	    "1sec", ".5s",   "1.s",	     "1..5s",
					  "1.5.5s", "1e3s", "1m30s", "18446744074s", "1d"};
	uint64_t ns = 0;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_expect_eq(thaw_parse_duration(good[i].text, &ns, NULL), 0, "%s", good[i].text);
		cr_expect_eq(ns, good[i].value, "%s is %llu", good[i].text, (unsigned long long)ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct thaw_error err = THAW_ERROR_INIT;

		cr_expect_lt(thaw_parse_duration(bad[i], &ns, &err), 0, "%s", bad[i]);
		cr_expect_eq(err.kind, THAW_ERR_USAGE);
	}
}

Test(parse, numbers)
{
	uint64_t number = 0;

	cr_expect_eq(thaw_parse_number("10", "N", 1, 10, &number, NULL), 0);
	cr_expect_eq(number, 10);
	cr_expect_lt(thaw_parse_number("11", "N", 1, 10, &number, NULL), 0);
	cr_expect_lt(thaw_parse_number("0", "N", 1, 10, &number, NULL), 0);
	cr_expect_lt(thaw_parse_number("1x", "N", 1, 10, &number, NULL), 0);
	cr_expect_lt(thaw_parse_number("18446744073709551617", "N", 1, 10, &number, NULL), 0);
}

Test(parse, names)
{
	cr_expect_eq(thaw_parse_name("spell-2.0_x", NULL), 0);
	cr_expect_lt(thaw_parse_name("../etc/passwd", NULL), 0);
	cr_expect_lt(thaw_parse_name("Spell", NULL), 0);
	cr_expect_lt(thaw_parse_name(".hidden", NULL), 0);
	cr_expect_lt(thaw_parse_name("", NULL), 0);
}

Test(parse, nearest)
{
	static const char *const names[] = {"freeze", "invoke", "list", "run", "stats", NULL};

	cr_expect_str_eq(thaw_nearest("freez", names), "freeze");
	cr_expect_str_eq(thaw_nearest("freeeze", names), "freeze");
	cr_expect_str_eq(thaw_nearest("inovke", names), "invoke");
	cr_expect_str_eq(thaw_nearest("lits", names), "list");
	cr_expect_str_eq(thaw_nearest("rn", names), "run");
	cr_expect_null(thaw_nearest("hibernate", names));
	cr_expect_null(thaw_nearest("", names));
	cr_expect_null(thaw_nearest("x", (const char *const[]){NULL}));
}

Test(output, texts_for_people)
{
	char text[THAW_TEXT_MAX];

	cr_expect_str_eq(thaw_text_size(0, text), "0 B");
	cr_expect_str_eq(thaw_text_size(1023, text), "1023 B");
	cr_expect_str_eq(thaw_text_size(5347737, text), "5.1 MiB");
	cr_expect_str_eq(thaw_text_size(UINT64_MAX, text), "16777216 TiB");
	cr_expect_str_eq(thaw_text_duration(999, text), "999 ns");
	cr_expect_str_eq(thaw_text_duration(28300, text), "28.3 us");
	cr_expect_str_eq(thaw_text_duration(412000000, text), "412 ms");
	cr_expect_str_eq(thaw_text_duration(2500000000, text), "2.5 s");
}

Test(output, hostile_text_is_tame)
{
	char clean[] = "a\033[2J\tb\xc2\x9b"
		       "31mc\x7f"
		       "d\xc3\xa9";
	json_t *json;

	thaw_clean_text(clean);
	cr_expect_str_eq(clean, "a?[2J?b??31mc?d\xc3\xa9");
	json = thaw_json_text("ok \xc3\xa9");
	cr_expect_str_eq(json_string_value(json), "ok \xc3\xa9");
	json_decref(json);
	/* Not UTF-8: a stray byte, an overlong form, a surrogate, a sequence cut short. */
	json = thaw_json_text("\xff|\xc0\xaf|\xed\xa0\x80|\xe2\x82");
	cr_expect_str_eq(json_string_value(json), "?|\?\?|\?\?\?|\?\?");
	json_decref(json);
	json = thaw_json_text(NULL);
	cr_expect(json_is_null(json));
}

Test(output, uuids_are_compared_by_their_digits)
{
	cr_expect(thaw_uuid_equal("0123abcd-0000", "0123ABCD0000"));
	cr_expect_not(thaw_uuid_equal("0123abcd", "0123abce"));
	cr_expect_not(thaw_uuid_equal("0123abcd", "0123abcd0"));
	cr_expect_not(thaw_uuid_equal(NULL, "0"));
	cr_expect_not(thaw_uuid_equal("0", NULL));
}
