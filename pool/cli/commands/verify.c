/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw verify`: reads and checks every byte of an image, in a jail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/image_arguments.h"
#include "pool/jailed/image_report.h"
#include "snapshot-format/base/cleanup.h"

static json_t *verdict(const struct thaw_image_query *query)
{
	return json_pack("{s:o, s:b, s:o, s:O?}", "file", thaw_json_text(query->path), "ok",
			 query->report != NULL, "error",
			 query->report ? json_null() : thaw_json_text(query->err.message), "image",
			 query->report);
}

int thaw_command_verify(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {.flags = THAW_FLAG_JSON,
					 .least = 1,
					 .most = 1,
					 .args_doc = "NAME|FILE",
					 .doc = "Read every byte of an image and check it.\vThe "
						"exit status is 0 when the image is whole, 126 "
						"when it is damaged."};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_image_query query = {0};
	thaw_autofree char *path = NULL;
	char size[THAW_TEXT_MAX];
	int code = 0;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0 ||
	    thaw_cli_image_argument(cli, operands.operands[0], &path, &err) < 0)
		return thaw_cli_report(&err);
	query.path = path;
	if (thaw_image_reports(&query, 1, THAW_REPORT_VERIFY, &err) < 0)
		return thaw_cli_report(&err);
	if (thaw_cli_json(&operands)) {
		code = thaw_cli_print_json(verdict(&query));
	} else if (query.report) {
		printf("%s: whole, %s\n", path,
		       thaw_text_size(
			       thaw_json_number(json_object_get(query.report, "sizes"), "file"),
			       size));
		code = thaw_cli_finish(0);
	}
	if (!query.report)
		code = thaw_cli_report(&query.err);
	thaw_image_query_clear(&query);
	return code;
}
