/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw bench`: opens the image and the request, lets bench/ measure, and prints the result. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/report/report.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/daemon.h"
#include "pool/cli/files.h"
#include "pool/cli/progress.h"
#include "pool/wire/protocol.h"
#include "snapshot-format/base/cleanup.h"

#define NOTES_MAX 8u

struct bench_options {
	const char *name, *json, *html, *request;
	uint64_t runs, clients, rate;
	bool closed_loop, scale, all_peers;
	struct thaw_bench_peer peers[THAW_BENCH_PEERS_MAX];
	size_t peer_count;
	const char *notes[NOTES_MAX];
	size_t note_count;
};

enum {
	KEY_RUNS = 0x100,
	KEY_JSON,
	KEY_HTML,
	KEY_CLOSED_LOOP,
	KEY_CONCURRENCY,
	KEY_RATE,
	KEY_REQUEST,
	KEY_PEER,
	KEY_ALL_PEERS,
	KEY_SCALE,
	KEY_NOTE
};

#define RATE_MAX 10000000u

static const struct argp_option options[] = {
	{"runs", KEY_RUNS, "N", 0,
	 "Samples of each cheap figure (default 1000); costly ones take as many as fit in ten "
	 "seconds",
	 0},
	{"json", KEY_JSON, "FILE", 0,
	 "Write the figures to FILE as JSON; - is standard output and replaces the table", 0},
	{"html", KEY_HTML, "FILE", 0, "Write the report to FILE as one self-contained page", 0},
	{"concurrency", KEY_CONCURRENCY, "C", 0,
	 "Clients in the figures with many clients (default 16)", 0},
	{"rate", KEY_RATE, "R", 0,
	 "Arrivals per second in the open loop (default: half of the sustained rate)", 0},
	{"peer", KEY_PEER, "NAME=COMMAND", 0,
	 "Compare with COMMAND, which the shell runs for each request, with the request as "
	 "standard input; repeatable",
	 0},
	{"all-peers", KEY_ALL_PEERS, NULL, 0,
	 "Compare also with other software on this machine: WebAssembly in node, a machine that "
	 "QEMU restores, a process that criu restores",
	 0},
	{"scale", KEY_SCALE, NULL, 0,
	 "Measure how the cost grows: up to 5000 clones, images of 1 GiB, 10000 written pages", 0},
	{"note", KEY_NOTE, "TEXT", 0, "Add TEXT to the report's notes; repeatable", 0},
	{"closed-loop", KEY_CLOSED_LOOP, NULL, 0,
	 "Send requests back to back, without a pause before each", 0},
	{"request", KEY_REQUEST, "FILE", 0,
	 "Send the content of FILE (default: a line of text with spelling mistakes)", 0},
	{0},
};

static int take_name(struct bench_options *bench, const char *name, struct thaw_error *err)
{
	if (bench->name)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "'%s' is one argument too many: bench measures one function",
				 name);
	bench->name = name;
	return thaw_parse_name(name, err);
}

/* The names of bench's own peers, alone or, for a figure of many clients, with a suffix like .c16. */
static bool is_taken(const char *name)
{
	static const char *const taken[] = {"spawn", "prefork", "wasm", "qemu-restore",
					    "criu-restore"};

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		size_t length = strlen(taken[i]);

		if (!strncmp(name, taken[i], length) && (!name[length] || name[length] == '.'))
			return true;
	}
	return false;
}

static int take_peer(struct bench_options *bench, char *argument, struct thaw_error *err)
{
	char *equals = strchr(argument, '=');

	if (!equals || !equals[1])
		return thaw_fail(err, THAW_ERR_USAGE, "--peer must be NAME=COMMAND, not '%s'",
				 argument);
	if (bench->peer_count == THAW_BENCH_PEERS_MAX)
		return thaw_fail(err, THAW_ERR_USAGE, "--peer: at most %u peers",
				 THAW_BENCH_PEERS_MAX);
	*equals = '\0';
	if (thaw_parse_name(argument, err))
		return -1;
	if (is_taken(argument))
		return thaw_fail(err, THAW_ERR_USAGE,
				 "--peer %s: the name is taken by one of bench's own peers",
				 argument);
	for (size_t i = 0; i < bench->peer_count; i++)
		if (!strcmp(bench->peers[i].name, argument))
			return thaw_fail(err, THAW_ERR_USAGE, "--peer %s: given twice", argument);
	bench->peers[bench->peer_count++] = (struct thaw_bench_peer){argument, equals + 1};
	return 0;
}

static int parse_one(struct bench_options *bench, int key, char *argument, struct thaw_error *err)
{
	switch (key) {
	case KEY_RUNS:
		return thaw_parse_number(argument, "--runs", 1, THAW_BENCH_RUNS_MAX, &bench->runs,
					 err);
	case KEY_JSON:
		bench->json = argument;
		return 0;
	case KEY_HTML:
		bench->html = argument;
		return 0;
	case KEY_CONCURRENCY:
		return thaw_parse_number(argument, "--concurrency", 1, THAW_BENCH_CLIENTS_MAX,
					 &bench->clients, err);
	case KEY_RATE:
		return thaw_parse_number(argument, "--rate", 1, RATE_MAX, &bench->rate, err);
	case KEY_PEER:
		return take_peer(bench, argument, err);
	case KEY_NOTE:
		if (bench->note_count == NOTES_MAX)
			return thaw_fail(err, THAW_ERR_USAGE, "--note: at most %u notes",
					 NOTES_MAX);
		bench->notes[bench->note_count++] = argument;
		return 0;
	case KEY_ALL_PEERS:
		bench->all_peers = true;
		return 0;
	case KEY_SCALE:
		bench->scale = true;
		return 0;
	case KEY_CLOSED_LOOP:
		bench->closed_loop = true;
		return 0;
	case KEY_REQUEST:
		bench->request = argument;
		return 0;
	case ARGP_KEY_ARG:
		return take_name(bench, argument, err);
	case ARGP_KEY_END:
		if (!bench->name)
			return thaw_fail(err, THAW_ERR_USAGE,
					 "no function is named: thaw bench NAME");
		return 0;
	default:
		return 1;
	}
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct thaw_error err = THAW_ERROR_INIT;
	int parsed = parse_one(state->input, key, argument, &err);

	if (parsed < 0)
		thaw_cli_usage(&err);
	return parsed > 0 ? ARGP_ERR_UNKNOWN : 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Measure function NAME: cold start, resumed starts and whole invocations, beside a "
	       "bare echo and a new process for each request, all in one run."
	       "\vbench uses the daemon that serves NAME, or starts a temporary one. Times are "
	       "wall-clock, percentiles are exact. docs/benchmarks.md defines each figure.",
};

/* ---- Before the run ---- */

/* The bytes of the file PATH, or of a sample text; *BYTES is to be freed. */
static int read_request(const char *path, struct thaw_bytes *bytes, struct thaw_error *err)
{
	static const char text[] = "Teh quick borwn fox jumps over the lazy dog.\n";
	thaw_autoclose int fd = -1;
	struct stat st;

	if (!path) {
		if (thaw_bytes_reserve(bytes, sizeof(text) - 1, err) < 0)
			return -1;
		memcpy(bytes->data, text, sizeof(text) - 1);
		bytes->length = sizeof(text) - 1;
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open the request %s",
				       path);
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)THAW_REQUEST_MAX)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "the request %s must be a regular file of at most %u MiB", path,
				 THAW_REQUEST_MAX >> 20);
	return thaw_read_request(fd, bytes, err);
}

static int open_image(const struct thaw_cli *cli, const char *name, int *fd, struct thaw_error *err)
{
	thaw_autofree char *path = NULL;

	if (thaw_cli_image_path(cli, name, &path, err))
		return -1;
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (*fd >= 0)
		return 0;
	if (errno == ENOENT)
		return thaw_fail(err, THAW_ERR_NOT_FOUND, "no function '%s': see 'thaw list'",
				 name);
	return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open %s", path);
}

/* The directory of this program: bench finds the daemon and the peers beside it. */
static void find_executable_dir(char *out, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", out, size - 1);

	out[length > 0 ? length : 0] = '\0';
	/* dirname() shortens OUT in place, but for an empty path it returns a constant. */
	if (dirname(out) != out)
		snprintf(out, size, ".");
}

/* ---- During the run ---- */

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

/* Ctrl-C only asks the run to stop: bench has to remove the temporary daemon and its folder. */
static void catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int show_progress(void *context, const char *stage, size_t done, size_t total)
{
	thaw_progress_draw(context, stage, done, total);
	return interrupted ? -1 : 0;
}

static void show_note(void *context, const char *text)
{
	char clean[1280];

	/* A note may quote text from an image. */
	snprintf(clean, sizeof(clean), "%s", text);
	thaw_clean_text(clean);
	thaw_progress_clear(context);
	thaw_cli_say("%s", clean);
}

/* ---- The report ---- */

static int write_json(const char *path, const struct thaw_bench_result *result,
		      struct thaw_error *err)
{
	json_t *report = thaw_bench_report_json(result);
	FILE *out = fopen(path, "we");
	int failed = !report || !out || json_dumpf(report, out, JSON_INDENT(2)) < 0 ||
		     fputc('\n', out) == EOF;

	json_decref(report);
	if (out && fclose(out))
		failed = 1;
	return failed ? thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot write %s", path) : 0;
}

static int write_html(const char *path, const struct thaw_bench_result *result,
		      struct thaw_error *err)
{
	FILE *out = fopen(path, "we");
	int failed = out ? thaw_bench_report_html(out, result, err) : -1;

	if (out && (ferror(out) | fclose(out)))
		failed = -1;
	return failed ? thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot write %s", path) : 0;
}

static int print_result(const struct bench_options *bench, const struct thaw_bench_result *result,
			struct thaw_error *err)
{
	/* The files first: when the reader of the table goes away, the figures are safe. */
	if (bench->html && write_html(bench->html, result, err))
		return thaw_cli_report(err);
	if (bench->json && strcmp(bench->json, "-") == 0)
		return thaw_cli_print_json(thaw_bench_report_json(result));
	if (bench->json && write_json(bench->json, result, err))
		return thaw_cli_report(err);
	if (thaw_bench_report_table(stdout, result, err))
		return thaw_cli_report(err);
	return thaw_cli_finish(0);
}

static int run_bench(const struct thaw_cli *cli, const struct bench_options *bench,
		     struct thaw_bench_result *result, struct thaw_error *err)
{
	thaw_autoclose int image_fd = -1;
	struct thaw_bytes request = {0};
	char executable_dir[4096];
	struct thaw_progress progress;
	struct thaw_bench_config config = {
		.name = bench->name,
		.run_dir = cli->run,
		.executable_dir = executable_dir,
		.runs = bench->runs,
		.closed_loop = bench->closed_loop,
		.clients = (unsigned)bench->clients,
		.rate = bench->rate,
		.scale = bench->scale,
		.all_peers = bench->all_peers,
		.peers = bench->peers,
		.peer_count = bench->peer_count,
		.notes = bench->notes,
		.note_count = bench->note_count,
		.context = &progress,
		.progress = show_progress,
		.note = show_note,
	};
	int failed;

	if (open_image(cli, bench->name, &image_fd, err) ||
	    read_request(bench->request, &request, err))
		return -1;
	config.image_fd = image_fd;
	config.request = request.data;
	config.request_length = request.length;
	find_executable_dir(executable_dir, sizeof(executable_dir));
	thaw_progress_init(&progress);
	catch_interrupts();
	failed = thaw_bench_run(&config, result, err);
	free(request.data);
	thaw_progress_clear(&progress);
	return failed;
}

int thaw_command_bench(struct thaw_cli *cli, int argc, char **argv)
{
	struct bench_options bench = {.runs = THAW_BENCH_RUNS_DEFAULT,
				      .clients = THAW_BENCH_CLIENTS_DEFAULT};
	static struct thaw_bench_result result; /* large */
	struct thaw_error err = THAW_ERROR_INIT;

	/* So that the micro sign is printed, and tables know its width. */
	setlocale(LC_CTYPE, "");
	if (thaw_cli_parse(cli, &argp, argc, argv, &bench, &err) ||
	    run_bench(cli, &bench, &result, &err))
		return thaw_cli_report(&err);
	return print_result(&bench, &result, &err);
}
