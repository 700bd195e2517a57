/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A result as one self-contained page: it runs no script, fetches nothing, and is readable on
 * light and dark. The page shows the same structure as the JSON, and has that JSON at its end.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/report/plots.h"
#include "bench/report/report.h"
#include "bench/report/svg.h"

static const char style[] =
	":root{color-scheme:light dark;--paper:#fbfbfa;--card:#fff;--ink:#1d2330;--soft:#667085;"
	"--rule:#e4e7ec;--c0:#0b7fd1;--c1:#c2410c;--c2:#b4237a;--c3:#7c5cd6;--c4:#5f6b7c;"
	"--c5:#0e9384;--c6:#a16207;--c7:#4d7c0f;--c8:#be123c;--c9:#0369a1}\n"
	"@media(prefers-color-scheme:dark){:root{--paper:#12161d;--card:#1a202a;--ink:#e6e9ef;"
	"--soft:#98a2b3;--rule:#2c3441;--c0:#4db2ff;--c1:#fb8c5a;--c2:#f17bb8;--c3:#b09bff;"
	"--c4:#a5b0c2;--c5:#3fcfbf;--c6:#e3b341;--c7:#a3d65c;--c8:#fb7185;--c9:#7cc7f2}}\n"
	"*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);"
	"font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}\n"
	"main{max-width:1040px;margin:0 auto;padding:40px 24px 64px}h1{font-size:30px;"
	"line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:20px;margin:44px 0 4px}"
	"p{margin:4px 0 12px;max-width:76ch}.soft{color:var(--soft)}code{font:.92em "
	"ui-monospace,'DejaVu Sans Mono',monospace}\n"
	".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;"
	"margin:26px 0}.card,figure{background:var(--card);border:1px solid var(--rule);"
	"border-radius:12px;padding:16px 18px;margin:0}.card b{display:block;font-size:27px;"
	"line-height:1.2;letter-spacing:-.02em;color:var(--c0)}.card span{color:var(--soft);"
	"font-size:14px}\n"
	".pair{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr));"
	"gap:14px}"
	".fit{font-size:13px;margin:6px 0 0}"
	".ways{display:grid;gap:9px}.way{display:grid;grid-template-columns:270px 1fr 160px;"
	"gap:12px;align-items:center;font-size:14px}.way b{font-weight:600}.way "
	"small{display:block;"
	"color:var(--soft);font-size:12.5px;line-height:1.3}.track{height:20px;border-radius:4px;"
	"background:var(--rule);overflow:hidden}.track div{height:100%}.way .value{"
	"font-variant-numeric:tabular-nums}.scale{display:flex;justify-content:space-between;"
	"color:var(--soft);font-size:12px}"
	".b0{background:var(--c0)}.b1{background:var(--c1)}.b2{background:var(--c2)}"
	".b3{background:var(--c3)}.b4{background:var(--c4)}.b6{background:var(--c6)}"
	".b7{background:var(--c7)}.b8{background:var(--c8)}.b9{background:var(--c9)}\n"
	"@media(max-width:720px){main{padding:24px 14px 48px}h1{font-size:24px}"
	".cards{grid-template-columns:repeat(auto-fill,minmax(150px,1fr))}.card b{font-size:22px}"
	".way{grid-template-columns:1fr auto;gap:2px 10px}.way .track{grid-column:1/-1;order:3}"
	".scale{display:none}figure{overflow-x:auto;padding:12px}figure.broad svg{width:820px}"
	"dl{grid-template-columns:1fr}dd{margin-bottom:8px}}\n"
	"svg{display:block;width:100%;height:auto}svg text{font-size:12px;fill:var(--ink)}"
	"svg .tick{fill:var(--soft)}svg .name,svg .title{font-weight:600}svg .title{font-size:14px}"
	"svg .end{text-anchor:end}svg .middle{text-anchor:middle}svg .inside{fill:#fff}"
	"svg .value{font-weight:600}.grid{stroke:var(--rule);stroke-width:1}"
	".median{stroke:var(--ink);stroke-width:2}.tail{stroke:var(--soft);stroke-width:2}"
	".line{fill:none;stroke-width:2.2;stroke-linejoin:round}.dashed{stroke-dasharray:6 4}"
	".ridge{fill-opacity:.78}\n"
	".f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}"
	".f4{fill:var(--c4)}.f5{fill:var(--c5)}.f6{fill:var(--c6)}.s0{stroke:var(--c0)}"
	".s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}"
	".s5{stroke:var(--c5)}.s6{stroke:var(--c6)}svg .t0{fill:var(--c0)}svg .t1{fill:var(--c1)}"
	"svg .t2{fill:var(--c2)}svg .t3{fill:var(--c3)}svg .t4{fill:var(--c4)}"
	".f7{fill:var(--c7)}.f8{fill:var(--c8)}.f9{fill:var(--c9)}.s7{stroke:var(--c7)}"
	".s8{stroke:var(--c8)}.s9{stroke:var(--c9)}svg .t7{fill:var(--c7)}svg .t8{fill:var(--c8)}"
	"svg .t9{fill:var(--c9)}b.t0{color:var(--c0)}b.t3{color:var(--c3)}b.t4{color:var(--c4)}"
	"b.t5{color:var(--c5)}b.t6{color:var(--c6)}"
	"svg .t5{fill:var(--c5)}svg .t6{fill:var(--c6)}.stage0{fill:#667085}.stage1{fill:#b54708}"
	".stage2{fill:#c4320a}.stage3{fill:#026aa2}.stage4{fill:#0b7fd1}\n"
	"i.stage0{background:#667085}i.stage1{background:#b54708}i.stage2{background:#c4320a}"
	"i.stage3{background:#026aa2}i{display:inline-block;width:12px;height:12px;"
	"border-radius:3px;margin:0 5px 0 "
	"12px}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px;"
	"font-variant-numeric:tabular-nums}th,td{padding:5px 9px;border-bottom:1px solid "
	"var(--rule);text-align:right;white-space:nowrap}th{color:var(--soft);font-weight:600}"
	"th:first-child,td:first-child,td:last-child,th:last-child{text-align:left}"
	"td:last-child{color:var(--soft)}dl{display:grid;grid-template-columns:max-content 1fr;"
	"gap:3px 18px;font-size:14px}dt{color:var(--soft)}dd{margin:0}pre{white-space:pre-wrap;"
	"font-size:12px;max-height:480px;overflow:auto;background:var(--card);border:1px solid "
	"var(--rule);border-radius:12px;padding:14px}\n";

/* ---- The headline ---- */

static const struct thaw_percentiles *values_of(const struct thaw_bench_result *result,
						enum thaw_figure figure)
{
	return &result->figures[figure].values;
}

static void card(FILE *out, const char *number, const char *words)
{
	fputs("<div class=\"card\"><b>", out);
	thaw_html_text(out, number);
	fputs("</b><span>", out);
	thaw_html_text(out, words);
	fputs("</span></div>\n", out);
}

static void value_card(FILE *out, const struct thaw_bench_result *result, enum thaw_figure figure,
		       const char *words)
{
	char text[THAW_BENCH_TEXT_MAX];

	if (!values_of(result, figure)->count)
		return;
	thaw_bench_text(values_of(result, figure)->p50, result->figures[figure].unit, text);
	card(out, text, words);
}

/* Adds a card with the ratio of two medians, OVER over UNDER. */
static void ratio_card(FILE *out, const struct thaw_bench_result *result, enum thaw_figure over,
		       enum thaw_figure under, const char *words)
{
	char text[THAW_BENCH_TEXT_MAX];

	thaw_bench_ratio(values_of(result, over)->p50, values_of(result, under)->p50, text);
	if (*text)
		card(out, text, words);
}

static void cards(FILE *out, const struct thaw_bench_result *result)
{
	fputs("<div class=\"cards\">\n", out);
	value_card(out, result, THAW_FIGURE_invoke,
		   "for a whole invocation in fresh state, from request to answer (median)");
	ratio_card(out, result, THAW_FIGURE_cold, THAW_FIGURE_invoke,
		   "the time of an invocation, for a cold start: boot to first answer");
	ratio_card(out, result, THAW_FIGURE_spawn, THAW_FIGURE_invoke,
		   "the time of an invocation, for a new process per request");
	ratio_card(out, result, THAW_FIGURE_wasm, THAW_FIGURE_invoke,
		   "the time of an invocation, for a new WebAssembly instance per request");
	ratio_card(out, result, THAW_FIGURE_qemu, THAW_FIGURE_invoke,
		   "the time of an invocation, for a saved machine restored per request");
	ratio_card(out, result, THAW_FIGURE_invoke, THAW_FIGURE_echo,
		   "the time of a bare socket echo, for an invocation; no server takes less than "
		   "one echo");
	value_card(out, result, THAW_FIGURE_rate_invoke,
		   "requests sustained with many clients, each in fresh state");
	value_card(out, result, THAW_FIGURE_idle, "of memory per clone that stands ready");
	fputs("</div>\n", out);
}

/* ---- The ways to an answer, side by side ---- */

struct way {
	enum thaw_figure figure;
	const char *name, *what;
};

/* From fresh work for each request to work that is only kept. */
static const struct way ways[] = {
	{THAW_FIGURE_qemu, "QEMU, restored", "a saved machine for each request"},
	{THAW_FIGURE_criu, "criu, restored", "a dumped process for each request"},
	{THAW_FIGURE_cold, "Thaw, cold", "a boot for each request, no image"},
	{THAW_FIGURE_spawn, "a process", "posix_spawn of the same program for each request"},
	{THAW_FIGURE_wasm, "WebAssembly", "an instance for each request, in a shared node"},
	{THAW_FIGURE_disk, "Thaw, from disk", "an image file, nothing loaded"},
	{THAW_FIGURE_memory, "Thaw, from memory", "a loaded image, no clone yet"},
	{THAW_FIGURE_invoke, "Thaw, an invocation", "a ready clone for each request, by name"},
	{THAW_FIGURE_prefork, "pre-forked, kept", "state is shared: no isolation"},
	{THAW_FIGURE_echo, "a bare echo", "no work, no isolation: the limit"},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* The powers of ten around all medians; false: there are none. */
static bool decades_of_ways(const struct thaw_bench_result *result, double *low, double *high)
{
	*low = INFINITY;
	*high = 0;
	for (size_t i = 0; i < WAYS; i++) {
		double p50 = (double)values_of(result, ways[i].figure)->p50;

		if (p50 <= 0)
			continue;
		*low = fmin(*low, p50);
		*high = fmax(*high, p50);
	}
	if (*high <= 0)
		return false;
	/* A bar needs some width to be visible. */
	*low = pow(10, floor(log10(*low * 0.7)));
	*high = fmax(pow(10, ceil(log10(*high))), *low * 10);
	return true;
}

static void way_row(FILE *out, const struct thaw_bench_result *result, const struct way *way,
		    double low, double high)
{
	const struct thaw_percentiles *values = values_of(result, way->figure);
	const char *name = result->figures[way->figure].name;
	char text[THAW_BENCH_TEXT_MAX], tail[THAW_BENCH_TEXT_MAX];
	double part = log10((double)values->p50 / low) / log10(high / low);

	thaw_bench_text(values->p50, "ns", text);
	thaw_bench_text(values->p99, "ns", tail);
	fprintf(out, "<div class=\"way\" title=\"%s: p50 %llu ns\"><div><b>", name,
		(unsigned long long)values->p50);
	thaw_html_text(out, way->name);
	fputs("</b><small>", out);
	thaw_html_text(out, way->what);
	fprintf(out,
		"</small></div><div class=\"track\"><div class=\"b%u\" style=\"width:%.1f%%\">"
		"</div></div><div class=\"value\"><b>%s</b><small>p99 %s</small></div></div>\n",
		thaw_plot_colour(name), part * 100, text, tail);
}

static void side_by_side(FILE *out, const struct thaw_bench_result *result)
{
	double low, high;

	if (!decades_of_ways(result, &low, &high))
		return;
	fputs("<h2>Ways to answer one request</h2>\n<p class=\"soft\">Median time to the answer, "
	      "on a logarithmic scale: each step to the right is ten times as long.</p>\n<figure>"
	      "<div class=\"ways\">\n",
	      out);
	for (size_t i = 0; i < WAYS; i++)
		if (values_of(result, ways[i].figure)->count)
			way_row(out, result, &ways[i], low, high);
	fputs("<div class=\"way scale-row\"><span></span><div class=\"scale\">", out);
	for (double value = low; value <= high * 1.01; value *= 10) {
		char text[THAW_BENCH_TEXT_MAX];

		thaw_bench_text((uint64_t)(value + 0.5), "ns", text);
		fprintf(out, "<span>%s</span>", text);
	}
	fputs("</div><span></span></div>\n</div></figure>\n", out);
}

/* ---- All figures ---- */

static void cell(FILE *out, const char *text)
{
	fputs("<td>", out);
	thaw_html_text(out, text);
	fputs("</td>", out);
}

static void value_cell(FILE *out, uint64_t value, const char *unit)
{
	char text[THAW_BENCH_TEXT_MAX];

	/* The exact number, as in the JSON, as a tooltip. */
	thaw_bench_text(value, unit, text);
	fprintf(out, "<td title=\"%llu %s\">", (unsigned long long)value, unit);
	thaw_html_text(out, text);
	fputs("</td>", out);
}

static void figure_row(FILE *out, const struct thaw_bench_result *result,
		       const struct thaw_bench_figure *figure)
{
	const struct thaw_percentiles *values = &figure->values;
	char text[THAW_BENCH_TEXT_MAX];

	fputs("<tr>", out);
	cell(out, figure->name);
	value_cell(out, values->p50, figure->unit);
	value_cell(out, values->p90, figure->unit);
	value_cell(out, values->p99, figure->unit);
	value_cell(out, values->p999, figure->unit);
	value_cell(out, values->max, figure->unit);
	text[0] = '\0';
	if (thaw_figure_ratio(result->figures, figure) > 0)
		thaw_bench_ratio(values->p50, values_of(result, figure->limit)->p50, text);
	cell(out, text);
	text[0] = '\0';
	if (figure->spread >= 0)
		snprintf(text, sizeof(text), "%.0f %%", figure->spread * 100);
	cell(out, text);
	snprintf(text, sizeof(text), "%zu", values->count);
	cell(out, text);
	cell(out, figure->text + strspn(figure->text, " "));
	fputs("</tr>\n", out);
}

static void figure_table(FILE *out, const struct thaw_bench_result *result)
{
	fputs("<h2>Every figure</h2>\n<p class=\"soft\">Percentiles are exact: each is a value "
	      "that was measured. <em>Limit</em>: the median over the median of the least "
	      "comparable work on this host. <em>Spread</em>: the distance between the medians of "
	      "the run's five parts, relative to the median."
	      "</p>\n<div class=\"wide\"><table>\n<tr><th>figure</th><th>p50</th><th>p90</th>"
	      "<th>p99</th><th>p99.9</th><th>max</th><th>limit</th><th>spread</th><th>samples</th>"
	      "<th>what</th></tr>\n",
	      out);
	for (unsigned i = 0; i < THAW_BENCH_FIGURES_MAX; i++)
		if (result->figures[i].values.count)
			figure_row(out, result, &result->figures[i]);
	fputs("</table></div>\n", out);
}

/* ---- Drawings ---- */

static void drawings(FILE *out, const struct thaw_bench_result *result)
{
	fputs("<h2>How long it takes, and how often</h2>\n<p class=\"soft\">One logarithmic axis "
	      "for all. The dark mark is the median, the grey one the 99th percentile; heights "
	      "are square roots, so that rare slow samples are visible.</p>\n<figure "
	      "class=\"broad\">\n",
	      out);
	thaw_plot_distributions(out, result);
	fputs("</figure>\n<h2>The tail</h2>\n<p class=\"soft\">Dashed: many clients at once.</p>\n"
	      "<figure class=\"broad\">\n",
	      out);
	thaw_plot_percentiles(out, result);
	fputs("</figure>\n<h2>What a start is made of</h2>\n<p class=\"soft\">Medians, on one "
	      "scale. A start from an image has no boot. <i class=\"stage0\"></i>create "
	      "<i class=\"stage1\"></i>load <i class=\"stage2\"></i>boot <i class=\"stage3\"></i>"
	      "first clone and answer</p>\n<figure class=\"broad\">\n",
	      out);
	thaw_plot_stages(out, result);
	fputs("</figure>\n", out);
}

static void growth(FILE *out, const struct thaw_bench_result *result)
{
	static const char *const
		rates[] = {"throughput.unix-echo", "throughput.hand-over", "throughput.prefork",
			   "throughput.wasm",	   "throughput.invoke",	   NULL},
		*const memory[] = {"memory.idle-clone", "memory.idle-clone.rss", NULL},
		*const clones[] = {"instantiate.clones", NULL},
		*const images[] = {"instantiate.image", NULL}, *const pages[] = {"run.pages", NULL};
	static const struct thaw_plot_lines plots[] = {
		{"Requests per second, by clients", rates, false},
		{"Memory of each idle clone, by clones", memory, false},
		{"Time until N clones are ready, ordered at once", clones, true},
		{"An instance and its answer, by size of the image", images, false},
		{"An invocation, by pages that it writes", pages, true},
	};

	if (!result->series_count)
		return;
	fputs("<h2>Growth</h2>\n<div class=\"pair\">\n", out);
	for (size_t i = 0; i < sizeof(plots) / sizeof(plots[0]); i++)
		thaw_plot_lines(out, result, &plots[i]);
	fputs("</div>\n", out);
}

/* ---- Where it was measured ---- */

static void term(FILE *out, const char *name, const char *text)
{
	fputs("<dt>", out);
	thaw_html_text(out, name);
	fputs("</dt><dd>", out);
	thaw_html_text(out, text);
	fputs("</dd>\n", out);
}

static void host(FILE *out, const struct thaw_bench_result *result)
{
	const struct thaw_bench_host *on = &result->host;
	char text[512], memory[THAW_BENCH_TEXT_MAX];

	thaw_bench_text(on->memory_bytes, "bytes", memory);
	fputs("<h2>The machine</h2>\n<dl>\n", out);
	snprintf(text, sizeof(text), "%s, %u cores, %s%s", on->cpu, on->cores, memory,
		 on->virtual_machine ? ", a virtual machine" : "");
	term(out, "processor", text);
	term(out, "kernel", on->kernel);
	term(out, "mitigations", on->mitigations);
	term(out, "clock", on->clocksource);
	snprintf(text, sizeof(text),
		 "load %.2f before, %.2f after; %.2f %% of the processors' "
		 "time went to other machines",
		 on->load, result->load_after, result->steal * 100);
	term(out, "noise", text);
	snprintf(text, sizeof(text),
		 "%zu samples, %s; %u clients; %llu arrivals a second; "
		 "request %llu bytes, response %llu",
		 result->runs, result->closed_loop ? "back to back" : "paced", result->clients,
		 (unsigned long long)result->rate, (unsigned long long)result->request_bytes,
		 (unsigned long long)result->response_bytes);
	term(out, "run", text);
	fputs("</dl>\n", out);
	if (result->note_count)
		fputs("<h2>Notes</h2>\n<ul>\n", out);
	for (size_t i = 0; i < result->note_count; i++) {
		fputs("<li>", out);
		thaw_html_text(out, result->notes[i]);
		fputs("</li>\n", out);
	}
	if (result->note_count)
		fputs("</ul>\n", out);
}

static int raw_json(FILE *out, const struct thaw_bench_result *result)
{
	json_t *report = thaw_bench_report_json(result);
	char *text = report ? json_dumps(report, JSON_INDENT(1)) : NULL;

	json_decref(report);
	if (!text)
		return -1;
	fputs("<h2>The numbers</h2>\n<details><summary>The run's JSON</summary>\n<pre "
	      "id=\"report\">",
	      out);
	thaw_html_text(out, text);
	fputs("</pre>\n</details>\n", out);
	free(text);
	return 0;
}

int thaw_bench_report_html(FILE *out, const struct thaw_bench_result *result,
			   struct thaw_error *err)
{
	fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
	      "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
	      out);
	thaw_html_text(out, result->function);
	fprintf(out, " on Thaw</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1><code>",
		style);
	thaw_html_text(out, result->function);
	fputs("</code>: cold against resumed</h1>\n<p class=\"soft\">Thaw ", out);
	thaw_html_text(out, result->host.version);
	fputs(", backend ", out);
	thaw_html_text(out, result->host.backend);
	fputs(", ", out);
	thaw_html_text(out, result->host.date);
	fputs(". All figures come from one interleaved run, beside the limits of this machine and "
	      "the common alternatives.</p>\n",
	      out);
	cards(out, result);
	side_by_side(out, result);
	drawings(out, result);
	growth(out, result);
	figure_table(out, result);
	host(out, result);
	if (raw_json(out, result))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, ENOMEM, "cannot write the page");
	fputs("</main>\n</body>\n</html>\n", out);
	return 0;
}
