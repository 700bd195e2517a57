/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw stats`: one line for each function that is served, or all figures of one function. */
#include <stdio.h>
#include <string.h>

#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/daemon.h"
#include "pool/common/paths.h"

static uint64_t sum(const json_t *object)
{
	union {
		const json_t *in;
		json_t *out; /* json_object_foreach() takes no const, but changes nothing */
	} both = {.in = object};
	const char *key;
	json_t *value;
	uint64_t total = 0;

	json_object_foreach(both.out, key, value) total += thaw_json_number(object, key);
	return total;
}

/* ---- All functions ---- */

static void add_row(struct thaw_table *table, const char *name, const json_t *stats)
{
	const json_t *outcomes = json_object_get(stats, "outcomes"),
		     *gauges = json_object_get(stats, "gauges"),
		     *total = json_object_get(json_object_get(stats, "latency"), "total");
	char ran[32], failed[32], refused[32], fresh[32], busy[32], queued[32];
	char p50[THAW_TEXT_MAX], p99[THAW_TEXT_MAX];
	uint64_t finished = thaw_json_number(outcomes, "finished");

	snprintf(ran, sizeof(ran), "%llu", (unsigned long long)sum(outcomes));
	snprintf(failed, sizeof(failed), "%llu", (unsigned long long)(sum(outcomes) - finished));
	snprintf(refused, sizeof(refused), "%llu",
		 (unsigned long long)(sum(json_object_get(stats, "statuses")) -
				      thaw_json_number(json_object_get(stats, "statuses"), "ran")));
	snprintf(fresh, sizeof(fresh), "%llu",
		 (unsigned long long)thaw_json_number(gauges, "fresh"));
	snprintf(busy, sizeof(busy), "%llu", (unsigned long long)thaw_json_number(gauges, "busy"));
	snprintf(queued, sizeof(queued), "%llu",
		 (unsigned long long)thaw_json_number(gauges, "queued"));
	thaw_text_duration(thaw_json_number(total, "p50"), p50);
	thaw_text_duration(thaw_json_number(total, "p99"), p99);
	thaw_table_row(table,
		       (const char *[]){name, ran, failed, refused, fresh, busy, queued, p50, p99});
}

static int show_all(const struct thaw_cli *cli, bool as_json, struct thaw_error *err)
{
	struct thaw_table *table =
		thaw_table_new((const char *[]){"NAME", "-RAN", "-FAILED", "-REFUSED", "-FRESH",
						"-BUSY", "-QUEUED", "-P50", "-P99", NULL});
	json_t *all = json_object();
	char **names = NULL;
	int code = 0;

	if (thaw_cli_names(cli, &names, err) < 0)
		code = -1;
	for (size_t i = 0; code == 0 && names[i]; i++) {
		struct thaw_error failure = THAW_ERROR_INIT;
		json_t *stats = NULL;

		/* A function that does not answer must not hide the others. */
		if (thaw_cli_stats(cli, names[i], &stats, &failure) < 0) {
			thaw_cli_say("%s: %s", names[i], failure.message);
			json_object_set_new(
				all, names[i],
				json_pack("{s:o}", "error", thaw_json_text(failure.message)));
			continue;
		}
		add_row(table, names[i], stats);
		json_object_set_new(all, names[i], stats);
	}
	thaw_cli_free_names(names);
	if (code == 0 && as_json)
		code = thaw_cli_print_json(json_pack("{s:O}", "functions", all));
	json_decref(all);
	if (code == 0 && !as_json) {
		thaw_table_print(table);
		return thaw_cli_finish(0);
	}
	thaw_table_free(table);
	return code;
}

/* ---- One function ---- */

static void value_text(const char *group, const char *key, const json_t *value,
		       char text[THAW_TEXT_MAX])
{
	size_t length = strlen(key);
	bool is_time = (length > 3 && strcmp(key + length - 3, "_ns") == 0) ||
		       (strncmp(group, "latency", 7) == 0 && strcmp(key, "count") != 0);

	if (json_is_string(value))
		snprintf(text, THAW_TEXT_MAX, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(text, THAW_TEXT_MAX, "%s", json_is_true(value) ? "yes" : "no");
	else if (is_time && json_integer_value(value) >= 0)
		thaw_text_duration((uint64_t)json_integer_value(value), text);
	else
		snprintf(text, THAW_TEXT_MAX, "%lld", (long long)json_integer_value(value));
}

/* Adds the worker's JSON as rows of "group.member" and value. The worker is not to be trusted, so
 * DEPTH bounds the recursion. */
static void add_values(struct thaw_table *table, const char *group, json_t *object, unsigned depth)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		char label[128], text[THAW_TEXT_MAX];

		snprintf(label, sizeof(label), "%s%s%s", group, *group ? "." : "", key);
		if (json_is_object(value) && depth > 0) {
			add_values(table, label, value, depth - 1);
		} else if (!json_is_object(value)) {
			value_text(group, key, value, text);
			thaw_table_row(table, (const char *[]){label, text});
		}
	}
}

static int show_one(const struct thaw_cli *cli, const char *name, bool as_json,
		    struct thaw_error *err)
{
	struct thaw_connection *connection;
	struct thaw_table *table;
	json_t *stats = NULL;
	int done;

	if (thaw_cli_connect(cli, name, &connection, err) < 0)
		return -1;
	done = thaw_cli_control(connection, json_pack("{s:s}", "op", "stats"), &stats, err);
	thaw_disconnect(connection);
	if (done < 0)
		return -1;
	if (as_json)
		return thaw_cli_print_json(stats);
	table = thaw_table_new((const char *[]){"FIGURE", "-VALUE", NULL});
	add_values(table, "", stats, 2);
	json_decref(stats);
	thaw_table_print(table);
	return thaw_cli_finish(0);
}

static int no_daemon(const struct thaw_cli *cli, struct thaw_error *err)
{
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "no daemon serves %s: start one with 'thawd', or name its directory with "
			 "--run or THAW_RUN",
			 cli->run);
}

int thaw_command_stats(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {.flags = THAW_FLAG_JSON,
					 .most = 1,
					 .args_doc = "[NAME]",
					 .doc = "Show what the functions have done since their "
						"workers started; for NAME, all figures."};
	struct thaw_error err = THAW_ERROR_INIT;
	int code;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0)
		return thaw_cli_report(&err);
	if (!thaw_paths_daemon_alive(cli->run, NULL))
		code = no_daemon(cli, &err);
	else if (operands.count > 0)
		code = show_one(cli, operands.operands[0], thaw_cli_json(&operands), &err);
	else
		code = show_all(cli, thaw_cli_json(&operands), &err);
	return code < 0 ? thaw_cli_report(&err) : code;
}
