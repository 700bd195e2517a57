/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of a result, as programs and people see them. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/report.h"

static struct thaw_bench_result *sample_result(void)
{
	struct thaw_bench_result *result = calloc(1, sizeof(*result));
	struct thaw_bench_series *series;

	cr_assert_not_null(result);
	result->host = (struct thaw_bench_host){
		.cpu = "Test CPU", .cores = 2, .kernel = "6.1", .backend = "process"};
	snprintf(result->function, sizeof(result->function), "hello");
	result->runs = 1000;
	result->pace_ns = 2000000;
	result->request_bytes = 46;
	result->response_bytes = 13;
	result->clients = 16;
	thaw_figures_init(result->figures, 16);
	for (unsigned i = 0; i < THAW_FIGURE_COUNT; i++) {
		result->figures[i].values =
			(struct thaw_percentiles){10 + i, 1000, 2000, 3000, 4000, 5000};
		result->figures[i].distribution.counts[60] = 10 + i;
	}
	result->figures[THAW_FIGURE_cold].values.p50 = 500000;
	result->figures[THAW_FIGURE_invoke].values.p50 = 3210;
	result->figures[THAW_FIGURE_invoke].spread = 0.25;
	series = thaw_bench_series_add(result, "throughput.invoke", "clients", "per-second");
	thaw_bench_series_point(series, 1, 1500);
	thaw_bench_series_point(series, 16, 9000);
	series = thaw_bench_series_add(result, "instantiate.image", "bytes", "ns");
	for (unsigned i = 0; i < 6; i++)
		thaw_bench_series_point(series, 1048576 << (2 * i), 300000 + i);
	thaw_fit(series->points, series->count, &series->fit);
	/* Two series of one drawing, with different first points. */
	series = thaw_bench_series_add(result, "memory.idle-clone", "clones", "bytes");
	thaw_bench_series_point(series, 10, 70000);
	thaw_bench_series_point(series, 5000, 71000);
	series = thaw_bench_series_add(result, "memory.idle-clone.rss", "clones", "bytes");
	thaw_bench_series_point(series, 1, 40960);
	thaw_bench_series_point(series, 5000, 40960);
	snprintf(result->notes[result->note_count++], sizeof(result->notes[0]),
		 "peer.<b> is absent");
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

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	cr_assert(text, "%s is no text", key);
	return text;
}

Test(report, json_has_the_names_that_are_promised)
{
	static const char *const names[] = {"cold",
					    "thaw.disk",
					    "thaw.memory",
					    "thaw.shell",
					    "thaw.pool",
					    "thaw.recycled",
					    "invoke",
					    "invoke.c16",
					    "throughput.invoke",
					    "limit.unix-echo",
					    "limit.clone",
					    "peer.spawn",
					    "peer.prefork",
					    "throughput.prefork",
					    "memory.idle-clone"};
	struct thaw_bench_result *result = sample_result();
	json_t *report = thaw_bench_report_json(result);
	const json_t *host = json_object_get(report, "host");

	cr_assert_str_eq(json_string_value(json_object_get(host, "cpu")), "Test CPU");
	cr_assert_eq(number(host, "cores"), 2);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *figure = find_figure(report, names[i]);
		const char *unit = !strncmp(names[i], "memory.", 7)	   ? "bytes"
				   : !strncmp(names[i], "throughput.", 11) ? "per-second"
									   : "ns";

		cr_assert(figure, "%s is missing", names[i]);
		cr_assert_str_eq(json_string_value(json_object_get(figure, "unit")), unit);
		cr_assert_geq(number(figure, "count"), 10);
		cr_assert_gt(number(figure, "p50"), 0);
		cr_assert_eq(number(figure, "p90"), 2000);
		cr_assert_eq(number(figure, "p99"), 3000);
		cr_assert_eq(number(figure, "p999"), 4000);
		cr_assert_eq(number(figure, "max"), 5000);
		cr_assert_not_null(json_object_get(figure, "ratio_to_limit"));
	}
	cr_assert_float_eq(
		json_real_value(json_object_get(find_figure(report, "invoke"), "ratio_to_limit")),
		3.21, 1e-9);
	cr_assert_float_eq(
		json_real_value(json_object_get(find_figure(report, "invoke"), "spread")), 0.25,
		1e-9);
	cr_assert(json_is_null(
		json_object_get(find_figure(report, "limit.unix-echo"), "ratio_to_limit")));
	json_decref(report);
	free(result);
}

Test(report, json_leaves_absent_figures_out)
{
	struct thaw_bench_result *result = sample_result();
	json_t *report;

	result->figures[THAW_FIGURE_cold].values = (struct thaw_percentiles){0};
	report = thaw_bench_report_json(result);
	cr_assert_null(find_figure(report, "cold"));
	cr_assert_not_null(find_figure(report, "thaw.pool"));
	json_decref(report);
	free(result);
}

Test(report, json_survives_a_host_that_is_not_utf8)
{
	struct thaw_bench_result *result = sample_result();
	char *written;
	json_t *report;

	memcpy(result->host.cpu, "\xff\xfe", 3);
	memcpy(result->function, "f\xc3", 3);
	memcpy(result->notes[0], "a note\x80", 8);
	report = thaw_bench_report_json(result);
	cr_assert_not_null(report);
	/* Text that is not UTF-8 reads "unknown"; everything else stays. */
	cr_expect_str_eq(text_of(json_object_get(report, "host"), "cpu"), "unknown");
	cr_expect_str_eq(text_of(json_object_get(report, "host"), "kernel"), "6.1");
	cr_expect_eq(number(json_object_get(report, "host"), "cores"), 2);
	cr_expect_str_eq(text_of(json_object_get(report, "run"), "function"), "unknown");
	cr_expect_eq(number(json_object_get(report, "run"), "runs"), 1000);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(report, "notes"), 0)),
			 "unknown");
	cr_expect_eq(json_array_size(json_object_get(report, "figures")), THAW_FIGURE_COUNT);
	cr_expect_eq(json_array_size(json_object_get(report, "series")), 4);
	cr_assert(written = json_dumps(report, 0), "it can be written");
	free(written);
	json_decref(report);
	free(result);
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
	struct thaw_bench_result *result = sample_result();
	char *text = table_text(result);

	for (unsigned i = 0; i < THAW_FIGURE_COUNT; i++)
		cr_assert(strstr(text, result->figures[i].name));
	cr_assert(strstr(text, "Test CPU, 2 cores"));
	cr_assert(strstr(text, "500x"), "cold / thaw.pool in: %s", text);
	cr_assert(strstr(text, "3.21x"), "invoke / echo in: %s", text);
	cr_assert(strstr(text, "paced by 2.00 ms"));
	cr_assert(strstr(text, "highest at 16 clients: 9.00 k/s"));
	cr_assert(strstr(text, "constant within 0 %"));
	free(text);
	free(result);
}

Test(report, table_without_the_optional_figures)
{
	struct thaw_bench_result *result = sample_result();
	char *text;

	for (enum thaw_figure i = THAW_FIGURE_cold; i <= THAW_FIGURE_cold_answer; i++)
		result->figures[i].values = (struct thaw_percentiles){0};
	result->closed_loop = true;
	text = table_text(result);
	cr_assert_null(strstr(text, "cold"));
	cr_assert(strstr(text, "back to back"));
	free(text);
	free(result);
}

static char *page_text(const struct thaw_bench_result *result)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_eq(thaw_bench_report_html(out, result, NULL), 0);
	fclose(out);
	return text;
}

/* True when WORD stands in TEXT as printf() writes a number, and not within a word. */
static bool has_number(const char *text, const char *word)
{
	for (const char *at = text; (at = strstr(at, word)); at++)
		if ((at == text || !isalpha((unsigned char)at[-1])) &&
		    !isalpha((unsigned char)at[strlen(word)]))
			return true;
	return false;
}

Test(report, page_has_the_numbers_and_needs_nothing_else)
{
	static const char *const foreign[] = {
		"http:", "https:", "src=", "href=", "<script", "@import", "url("};
	struct thaw_bench_result *result = sample_result();
	char *text = page_text(result);

	for (unsigned i = 0; i < THAW_FIGURE_COUNT; i++)
		cr_assert(strstr(text, result->figures[i].name));
	cr_assert(strstr(text, "500000 ns"), "the exact number of the cold start");
	cr_assert(strstr(text, "<svg"));
	cr_assert(strstr(text, "prefers-color-scheme:dark"));
	cr_assert(strstr(text, "peer.&lt;b&gt; is absent"), "what others wrote is made harmless");
	cr_assert(strstr(text, "&quot;ratio_to_limit&quot;"), "its JSON is in it");
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		cr_assert_null(strstr(text, foreign[i]), "%s in the page", foreign[i]);
	/* No coordinate of a drawing is out of range. */
	cr_assert_not(has_number(text, "nan"));
	cr_assert_not(has_number(text, "inf"));
	cr_assert_null(strstr(text, "cx=\"-"));
	cr_assert_null(strstr(text, " x=\"-"));
	free(text);
	free(result);
}

Test(report, page_of_a_run_that_measured_nothing)
{
	struct thaw_bench_result *result = calloc(1, sizeof(*result));
	char *text;

	cr_assert_not_null(result);
	thaw_figures_init(result->figures, 16);
	text = page_text(result);
	cr_assert(strstr(text, "</html>"));
	free(text);
	free(result);
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
		{950, "per-second", "950 /s"},
		{12400, "per-second", "12.4 k/s"},
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
