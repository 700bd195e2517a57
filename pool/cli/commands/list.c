/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw list`: the images in the state directory, each with the status that the daemon gives it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/image_arguments.h"
#include "pool/common/paths.h"
#include "pool/jailed/image_report.h"
#include "snapshot-format/base/cleanup.h"

struct entry {
	char *name, *path;
	struct thaw_image_query query;
	const char *status; /* a literal */
	uint64_t fresh;
	bool serving;
	char reason[1024]; /* why it is not served; empty when there is none */
};

static void ask_daemon(const struct thaw_cli *cli, struct entry *entry)
{
	struct thaw_error err = THAW_ERROR_INIT;
	json_t *stats = NULL;
	const char *served;

	if (thaw_cli_stats(cli, entry->name, &stats, &err) < 0) {
		entry->status = err.kind == THAW_ERR_NOT_FOUND ? "starting"
				: err.kind == THAW_ERR_IMAGE   ? "refused"
							       : "unavailable";
		if (err.kind != THAW_ERR_NOT_FOUND)
			snprintf(entry->reason, sizeof(entry->reason), "%s", err.message);
		return;
	}
	served = thaw_json_string(json_object_get(stats, "image"), "uuid");
	entry->fresh = thaw_json_number(json_object_get(stats, "gauges"), "fresh");
	entry->serving = true;
	/* After a freeze, the old image serves until the daemon has swapped it. */
	if (thaw_uuid_equal(served, thaw_json_string(entry->query.report, "uuid")))
		entry->status = "serving";
	else
		entry->status = "replacing";
	json_decref(stats);
}

static void judge(const struct thaw_cli *cli, struct entry *entry, bool alive)
{
	if (!entry->query.report) {
		entry->status = entry->query.err.kind == THAW_ERR_IMAGE ? "damaged" : "unreadable";
		memcpy(entry->reason, entry->query.err.message, sizeof(entry->reason));
	} else if (alive) {
		ask_daemon(cli, entry);
	} else {
		entry->status = "frozen";
	}
}

static json_t *entry_json(const struct entry *entry)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:o, s:O?}", "name", entry->name, "file",
			 entry->path, "status", entry->status, "fresh", (json_int_t)entry->fresh,
			 "reason", entry->reason[0] ? thaw_json_text(entry->reason) : json_null(),
			 "image", entry->query.report);
}

static int print_json(const struct entry *entries, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, entry_json(&entries[i]));
	return thaw_cli_print_json(json_pack("{s:o}", "functions", array));
}

static void print_row(struct thaw_table *table, const struct entry *entry)
{
	const json_t *image = entry->query.report;
	const json_t *sizes = json_object_get(image, "sizes");
	char file[THAW_TEXT_MAX], memory[THAW_TEXT_MAX], date[THAW_TEXT_MAX], fresh[32];

	thaw_text_size(thaw_json_number(sizes, "file"), file);
	thaw_text_size(thaw_json_number(sizes, "nonzero"), memory);
	thaw_text_date(thaw_json_number(image, "created_ns"), date);
	snprintf(fresh, sizeof(fresh), "%llu", (unsigned long long)entry->fresh);
	thaw_table_row(table,
		       (const char *[]){entry->name, entry->status, image ? file : NULL,
					image ? memory : NULL, entry->serving ? fresh : NULL,
					image ? date : NULL, thaw_json_string(image, "program")});
}

static int print_table(const struct entry *entries, size_t count)
{
	struct thaw_table *table = thaw_table_new((const char *[]){
		"NAME", "STATUS", "-SIZE", "-MEMORY", "-FRESH", "FROZEN", "PROGRAM", NULL});

	for (size_t i = 0; i < count; i++)
		print_row(table, &entries[i]);
	thaw_table_print(table);
	for (size_t i = 0; i < count; i++)
		if (entries[i].reason[0])
			thaw_cli_say("%s is %s: %s", entries[i].name, entries[i].status,
				     entries[i].reason);
	if (count == 0)
		thaw_cli_say("no functions yet: 'thaw freeze NAME -- PROGRAM' makes one");
	return thaw_cli_finish(0);
}

static int fill(const struct thaw_cli *cli, char *const *names, struct entry *entries, size_t count,
		struct thaw_error *err)
{
	struct thaw_image_query *queries = calloc(count + 1, sizeof(*queries));
	bool alive = thaw_paths_daemon_alive(cli->run, NULL);
	int done = queries ? 0 : thaw_fail(err, THAW_ERR_FAILURE, "out of memory");

	for (size_t i = 0; i < count && done == 0; i++) {
		entries[i].name = names[i];
		done = thaw_cli_image_path(cli, names[i], &entries[i].path, err);
		queries[i].path = entries[i].path;
	}
	if (done == 0)
		done = thaw_image_reports(queries, count, THAW_REPORT_SUMMARY, err);
	for (size_t i = 0; i < count && done == 0; i++) {
		entries[i].query = queries[i];
		judge(cli, &entries[i], alive);
	}
	free(queries);
	return done;
}

int thaw_command_list(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {
		.flags = THAW_FLAG_JSON,
		.args_doc = "",
		.doc = "List the functions.\vThe status is serving, starting, "
		       "replacing (the daemon still serves the image "
		       "before), unavailable, refused (the image cannot "
		       "run here), damaged, unreadable, or, when no "
		       "daemon runs, frozen."};
	struct thaw_error err = THAW_ERROR_INIT;
	struct entry *entries = NULL;
	char **names = NULL;
	size_t count = 0;
	int code;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0 ||
	    thaw_cli_names(cli, &names, &err) < 0)
		return thaw_cli_report(&err);
	while (names[count])
		count++;
	entries = calloc(count + 1, sizeof(*entries));
	if (!entries)
		thaw_fail(&err, THAW_ERR_FAILURE, "out of memory");
	if (!entries || fill(cli, names, entries, count, &err) < 0)
		code = thaw_cli_report(&err);
	else
		code = thaw_cli_json(&operands) ? print_json(entries, count)
						: print_table(entries, count);
	for (size_t i = 0; entries && i < count; i++) {
		thaw_image_query_clear(&entries[i].query);
		free(entries[i].path);
	}
	free(entries);
	thaw_cli_free_names(names);
	return code;
}
