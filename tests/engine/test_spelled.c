/* SPDX-License-Identifier: Apache-2.0 */
/* What an image records of arguments that are not plain text. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/boot/spelled.h"
#include "snapshot-format/base/text.h"

static void expect(const char *text, const char *wanted)
{
	char *spelled = thaw_spelled(text);

	cr_assert_str_eq(spelled, wanted);
	cr_assert(thaw_text_clean(spelled, strlen(spelled)));
	free(spelled);
}

Test(spelled, plain_text_is_itself)
{
	expect("", "");
	expect("a\\n b \xc3\xa9", "a\\n b \xc3\xa9");
}

Test(spelled, a_script_has_its_lines_named)
{
	expect("while\n\tread a\\b", "while\\n\\tread a\\\\b");
	expect("\xc3\xa9\n", "\xc3\xa9\\n");
	expect("\x1b[0m\x7f", "\\x1b[0m\\x7f");
}

Test(spelled, what_is_no_text_is_bytes)
{
	expect("\xff\xfe", "\\xff\\xfe");
	expect("\xc2\x9b", "\\xc2\\x9b"); /* a control character above ASCII */
	expect("\xc3\xa9\xff", "\\xc3\\xa9\\xff");
}
