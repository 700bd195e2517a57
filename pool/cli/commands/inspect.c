/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw inspect`: shows an image's metadata, sizes and memory ranges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/image_arguments.h"
#include "pool/jailed/image_report.h"
#include "snapshot-format/base/cleanup.h"

static void print_text(const char *title, const json_t *image, const char *key)
{
	const char *text = thaw_json_string(image, key);

	thaw_cli_field(title, "%s", text ? text : "-");
}

static void print_list(const char *title, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		thaw_cli_field(i == 0 ? title : "", "%s", text ? text : "-");
	}
}

static void print_words(const char *title, const json_t *list)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; out && i < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));

		fprintf(out, "%s%s", i ? " " : "", word ? word : "?");
	}
	if (out && fclose(out) == 0)
		thaw_cli_field(title, "%s", text);
	free(text);
}

static void print_ranges(const json_t *ranges)
{
	struct thaw_table *table =
		thaw_table_new((const char *[]){"-START", "-LENGTH", "PROT", NULL});

	for (size_t i = 0; i < json_array_size(ranges); i++) {
		const json_t *range = json_array_get(ranges, i);
		char length[THAW_TEXT_MAX];

		thaw_text_size(thaw_json_number(range, "length"), length);
		thaw_table_row(table, (const char *[]){thaw_json_string(range, "start"), length,
						       thaw_json_string(range, "prot")});
	}
	putchar('\n');
	thaw_table_print(table);
}

static void print_sizes(const json_t *image)
{
	const json_t *sizes = json_object_get(image, "sizes"),
		     *counts = json_object_get(image, "counts");
	char mapped[THAW_TEXT_MAX], nonzero[THAW_TEXT_MAX], stored[THAW_TEXT_MAX],
		file[THAW_TEXT_MAX];
	char limit[THAW_TEXT_MAX];

	thaw_cli_field("Memory", "limit %s, mapped %s, not zero %s, stored once %s",
		       thaw_text_size(thaw_json_number(image, "memory_size"), limit),
		       thaw_text_size(thaw_json_number(sizes, "mapped"), mapped),
		       thaw_text_size(thaw_json_number(sizes, "nonzero"), nonzero),
		       thaw_text_size(thaw_json_number(sizes, "stored"), stored));
	thaw_cli_field("File size", "%s in %llu frames; %llu ranges, %llu extents",
		       thaw_text_size(thaw_json_number(sizes, "file"), file),
		       (unsigned long long)thaw_json_number(counts, "frames"),
		       (unsigned long long)thaw_json_number(counts, "ranges"),
		       (unsigned long long)thaw_json_number(counts, "extents"));
}

static void print_image(const char *path, const json_t *image)
{
	char boot[THAW_TEXT_MAX], timeout[THAW_TEXT_MAX], date[THAW_TEXT_MAX];

	print_text("Name", image, "name");
	thaw_cli_field("File", "%s", path);
	print_text("UUID", image, "uuid");
	thaw_cli_field("Frozen", "%s", thaw_text_date(thaw_json_number(image, "created_ns"), date));
	print_text("By", image, "creator");
	print_text("Program", image, "program");
	print_list("Arguments", json_object_get(image, "args"));
	print_list("Environment", json_object_get(image, "env"));
	thaw_cli_field("Guest ABI", "%llu",
		       (unsigned long long)thaw_json_number(image, "abi_version"));
	print_text("Booted by", image, "backend");
	thaw_cli_field("Boot", "ready in %s, %llu warm requests",
		       thaw_text_duration(thaw_json_number(image, "boot_ns"), boot),
		       (unsigned long long)thaw_json_number(image, "warm_requests"));
	thaw_cli_field("Time limit", "%s",
		       thaw_text_duration(thaw_json_number(image, "timeout_ns"), timeout));
	print_sizes(image);
	thaw_cli_field("vCPU", "entry %s, stack %s, xsave %s",
		       thaw_json_string(image, "entry") ? thaw_json_string(image, "entry") : "-",
		       thaw_json_string(image, "stack") ? thaw_json_string(image, "stack") : "-",
		       thaw_json_string(image, "xsave_mask") ? thaw_json_string(image, "xsave_mask")
							     : "-");
	print_text("CPU level", image, "cpu_level");
	print_words("CPU features", json_object_get(image, "cpu_features"));
	print_ranges(json_object_get(image, "ranges"));
}

int thaw_command_inspect(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {
		.flags = THAW_FLAG_JSON,
		.least = 1,
		.most = 1,
		.args_doc = "NAME|FILE",
		.doc = "Show what an image contains: its metadata, sizes and memory "
		       "ranges."};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_image_query query = {0};
	thaw_autofree char *path = NULL;
	int code;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0 ||
	    thaw_cli_image_argument(cli, operands.operands[0], &path, &err) < 0)
		return thaw_cli_report(&err);
	query.path = path;
	if (thaw_image_reports(&query, 1, THAW_REPORT_WHOLE, &err) < 0)
		return thaw_cli_report(&err);
	if (!query.report)
		return thaw_cli_report(&query.err);
	if (thaw_cli_json(&operands)) {
		json_object_set_new(query.report, "file", thaw_json_text(path));
		code = thaw_cli_print_json(json_incref(query.report));
	} else {
		print_image(path, query.report);
		code = thaw_cli_finish(0);
	}
	thaw_image_query_clear(&query);
	return code;
}
