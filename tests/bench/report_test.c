/* SPDX-License-Identifier: Apache-2.0 */
/* What programs and people get to see of a result. */
#include <criterion/criterion.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

static struct thaw_bench_result sample_result(void)
{
	struct thaw_bench_result result = {
		.host = {.cpu = "Test CPU", .cores = 2, .kernel = "6.1", .backend = "process"},
		.function = "hello",
		.runs = 1000,
		.pace_ns = 2000000,
		.request_bytes = 46,
		.response_bytes = 13,
	};

	for (unsigned i = 0; i < THAW_FIGURE_COUNT; i++)
		result.figures[i] = (struct thaw_percentiles){10 + i, 1000, 2000, 3000, 4000, 5000};
	result.figures[THAW_FIGURE_cold].p50 = 500000;
	result.figures[THAW_FIGURE_invoke].p50 = 3210;
	return result;
}

static const json_t *find_figure(const json_t *report, const char *name)
{
	const json_t *figures = json_object_get(report, "figures");

	for (size_t i = 0; i < json_array_size(figures); i++) {
		const json_t *figure = json_array_get(figures, i);

		if (!strcmp(json_string_value(json_object_get(figure, "name")), name))
			return figure;
	}
	return NULL;
}

static json_int_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	cr_assert(json_is_integer(value), "%s is no whole number", key);
	return json_integer_value(value);
}

Test(report, json_has_the_names_that_are_promised)
{
	static const char *const names[] = {"cold",	  "thaw.disk",	      "thaw.memory",
					    "thaw.pool",  "invoke",	      "limit.unix-echo",
					    "peer.spawn", "memory.idle-clone"};
	struct thaw_bench_result result = sample_result();
	json_t *report = thaw_bench_report_json(&result);
	const json_t *host = json_object_get(report, "host");

	cr_assert_str_eq(json_string_value(json_object_get(host, "cpu")), "Test CPU");
	cr_assert_eq(number(host, "cores"), 2);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *figure = find_figure(report, names[i]);
		bool memory = !strncmp(names[i], "memory.", 7);

		cr_assert(figure, "%s is missing", names[i]);
		cr_assert_str_eq(json_string_value(json_object_get(figure, "unit")),
				 memory ? "bytes" : "ns");
		cr_assert_geq(number(figure, "count"), 10);
		cr_assert_gt(number(figure, "p50"), 0);
		cr_assert_eq(number(figure, "p90"), 2000);
		cr_assert_eq(number(figure, "p99"), 3000);
		cr_assert_eq(number(figure, "p999"), 4000);
		cr_assert_eq(number(figure, "max"), 5000);
	}
	json_decref(report);
}

Test(report, json_leaves_absent_figures_out)
{
	struct thaw_bench_result result = sample_result();
	json_t *report;

	result.figures[THAW_FIGURE_cold] = (struct thaw_percentiles){0};
	report = thaw_bench_report_json(&result);
	cr_assert_null(find_figure(report, "cold"));
	cr_assert_not_null(find_figure(report, "thaw.pool"));
	json_decref(report);
}

Test(report, json_survives_a_host_that_is_not_utf8)
{
	struct thaw_bench_result result = sample_result();
	json_t *report;

	memcpy(result.host.cpu, "\xff\xfe", 3);
	report = thaw_bench_report_json(&result);
	cr_assert_not_null(report);
	json_decref(report);
}

static char *table_text(const struct thaw_bench_result *result)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_eq(thaw_bench_report_table(out, result, NULL), 0);
	fclose(out);
	return text;
}

Test(report, table_has_every_figure_and_its_ratios)
{
	struct thaw_bench_result result = sample_result();
	char *text = table_text(&result);

	for (unsigned i = 0; i < THAW_FIGURE_COUNT; i++)
		cr_assert(strstr(text, thaw_figure_name((enum thaw_figure)i)));
	cr_assert(strstr(text, "Test CPU, 2 cores"));
	cr_assert(strstr(text, "500x"), "cold / thaw.pool in: %s", text);
	cr_assert(strstr(text, "3.21x"), "invoke / echo in: %s", text);
	cr_assert(strstr(text, "paced by 2.00 ms"));
	free(text);
}

Test(report, table_without_the_optional_figures)
{
	struct thaw_bench_result result = sample_result();
	char *text;

	result.figures[THAW_FIGURE_cold].count = 0;
	result.figures[THAW_FIGURE_cold].p50 = result.figures[THAW_FIGURE_cold].p99 = 0;
	result.closed_loop = true;
	text = table_text(&result);
	cr_assert_null(strstr(text, "cold"));
	cr_assert(strstr(text, "back to back"));
	free(text);
}

Test(report, units_for_people)
{
	static const struct {
		uint64_t value;
		const char *unit, *text;
	} cases[] = {
		{0, "ns", "0 ns"},
		{999, "ns", "999 ns"},
		{1000, "ns", "1.00 us"},
		{17340, "ns", "17.3 us"},
		{99960, "ns", "100 us"},
		{5100000, "ns", "5.10 ms"},
		{61000000000, "ns", "61.0 s"},
		{1023, "bytes", "1023 B"},
		{114688, "bytes", "112 KiB"},
		{6081741, "bytes", "5.80 MiB"},
	};
	char text[THAW_BENCH_TEXT_MAX];

	setlocale(LC_ALL, "C");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		thaw_bench_text(cases[i].value, cases[i].unit, text);
		cr_assert_str_eq(text, cases[i].text);
	}
	if (setlocale(LC_ALL, "C.UTF-8")) {
		thaw_bench_text(1000, "ns", text);
		cr_assert_str_eq(text, "1.00 µs");
	}
}
