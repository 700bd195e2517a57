/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw doctor`: tries the host and each backend, and says what is missing and what to do about
 * it. */
#include <stdio.h>

#include "engine/engine.h"
#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/common/paths.h"

/* The host, or one backend. */
struct part_report {
	const char *name;
	enum thaw_backend_kind kind;
	bool works;
	struct thaw_check checks[THAW_CHECKS_MAX];
	size_t count;
};

static const char *state_name(const struct thaw_check *check)
{
	return check->state == THAW_CHECK_OK	   ? "ok"
	       : check->state == THAW_CHECK_WEAKER ? "weaker"
						   : "missing";
}

static void add_daemon_row(struct thaw_table *table, const struct thaw_cli *cli)
{
	char text[512];
	pid_t pid = 0;

	if (thaw_paths_daemon_alive(cli->run, &pid))
		snprintf(text, sizeof(text), "process %d serves %s", (int)pid, cli->run);
	else
		snprintf(text, sizeof(text), "none serves %s: 'thawd' starts one", cli->run);
	thaw_table_row(table, (const char *[]){"daemon", "alive", pid ? "ok" : "none", text});
}

static void add_part_rows(struct thaw_table *table, const struct part_report *part)
{
	for (size_t i = 0; i < part->count; i++)
		thaw_table_row(table, (const char *[]){part->name, part->checks[i].name,
						       state_name(&part->checks[i]),
						       part->checks[i].detail});
	thaw_table_row(table, (const char *[]){part->name, "in all", part->works ? "ok" : "missing",
					       part->works ? "works here" : "does not work here"});
}

/* Returns what `--backend auto` takes, the first backend that works, or NULL when none works. */
static const char *automatic(const struct part_report *parts, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (parts[i].works)
			return parts[i].name;
	return NULL;
}

static void add_auto_row(struct thaw_table *table, const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "--backend auto takes %s",
		 name ? name : "nothing: none works");
	thaw_table_row(table, (const char *[]){"backend", "auto", name ? "ok" : "missing", text});
}

static int print_table(const struct part_report *parts, size_t count, const struct thaw_cli *cli)
{
	struct thaw_table *table =
		thaw_table_new((const char *[]){"PART", "CHECK", "STATE", "DETAIL", NULL});

	for (size_t i = 0; i < count; i++)
		add_part_rows(table, &parts[i]);
	add_auto_row(table, automatic(parts, count));
	add_daemon_row(table, cli);
	thaw_table_print(table);
	return thaw_cli_finish(0);
}

static json_t *part_json(const struct part_report *part)
{
	json_t *checks = json_array();

	for (size_t i = 0; i < part->count; i++)
		json_array_append_new(checks,
				      json_pack("{s:s, s:s, s:o}", "name", part->checks[i].name,
						"state", state_name(&part->checks[i]), "detail",
						thaw_json_text(part->checks[i].detail)));
	return json_pack("{s:s, s:b, s:o}", "name", part->name, "works", part->works, "checks",
			 checks);
}

static int print_json(const struct part_report *parts, size_t count, const struct thaw_cli *cli)
{
	json_t *backends = json_array();

	for (size_t i = 1; i < count; i++)
		json_array_append_new(backends, part_json(&parts[i]));
	return thaw_cli_print_json(json_pack("{s:o, s:o, s:s?, s:b}", "host", part_json(&parts[0]),
					     "backends", backends, "auto", automatic(parts, count),
					     "daemon", thaw_paths_daemon_alive(cli->run, NULL)));
}

int thaw_command_doctor(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {
		.flags = THAW_FLAG_JSON,
		.args_doc = "",
		.doc = "Check what this host can do, and say what is missing.\vThe exit status is "
		       "0 when at least one backend works, otherwise 125."};
	struct part_report parts[] = {{.name = "host"}, {.name = "kvm"}, {.name = "process"}};
	static const enum thaw_backend_kind kinds[] = {THAW_BACKEND_KVM, THAW_BACKEND_PROCESS};
	struct thaw_error err = THAW_ERROR_INIT;
	bool any = false;
	int printed;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0)
		return thaw_cli_report(&err);
	parts[0].works = thaw_host_checks(parts[0].checks, &parts[0].count) == 0;
	for (size_t i = 0; i < 2; i++) {
		struct part_report *part = &parts[i + 1];

		part->works = thaw_backend_probe(kinds[i], part->checks, &part->count) == 0;
		any |= part->works;
	}
	printed = thaw_cli_json(&operands) ? print_json(parts, 3, cli) : print_table(parts, 3, cli);
	if (printed == 0 && !any)
		thaw_cli_say("no backend works on this host: the checks above say what is missing");
	return printed ? printed : any ? 0 : THAW_ERR_ENGINE;
}
