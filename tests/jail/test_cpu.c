/* SPDX-License-Identifier: Apache-2.0 */
/* CPU features: the table held against itself, the kernel's own list and the compiler's. */
#include <cpuid.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/host/cpu.h"
#include "snapshot-format/base/cleanup.h"

static const char *const levels[] = {"x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"};

static struct thaw_cpu_features level(const char *name)
{
	struct thaw_cpu_features features;

	cr_assert_eq(thaw_cpu_level(name, &features), 0);
	return features;
}

struct names {
	const char *name[THAW_CPU_WORDS * 32];
	size_t count;
};

static void collect(void *context, const char *name)
{
	struct names *names = context;

	cr_assert_lt(names->count, sizeof(names->name) / sizeof(names->name[0]));
	names->name[names->count++] = name;
}

static bool listed(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->name[i], name) == 0)
			return true;
	return false;
}

/* Each bit has one name, and each name one bit. */
Test(cpu, table_is_unambiguous)
{
	struct thaw_cpu_features all;
	struct names names = {0};
	size_t named = 0;

	memset(&all, 0xff, sizeof(all));
	thaw_cpu_names(&all, collect, &names);
	for (size_t i = 0; i < names.count; i++)
		for (size_t j = i + 1; j < names.count; j++)
			cr_assert_str_neq(names.name[i], names.name[j]);
	for (unsigned bit = 0; bit < THAW_CPU_WORDS * 32; bit++) {
		struct thaw_cpu_features one = {0};
		struct names found = {0};

		one.word[bit / 32] = 1u << bit % 32;
		thaw_cpu_names(&one, collect, &found);
		cr_assert_leq(found.count, 1u);
		named += found.count;
	}
	cr_assert_eq(named, names.count);
}

Test(cpu, levels_contain_each_other)
{
	char text[256];

	for (size_t i = 0; i < 4; i++) {
		struct thaw_cpu_features this = level(levels[i]);

		cr_assert_str_eq(thaw_cpu_level_of(&this), levels[i]);
		for (size_t j = 0; j < 4; j++) {
			struct thaw_cpu_features other = level(levels[j]);

			cr_assert_eq(thaw_cpu_missing(&this, &other, text, sizeof(text)) == 0,
				     i <= j);
		}
	}
}

/* The psABI's levels in the names of /proc/cpuinfo. */
Test(cpu, levels_are_the_standard_ones)
{
	static const char *const expected[] = {
		"cmov cx8 fpu fxsr mmx syscall sse sse2",
		"cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3",
		"avx avx2 bmi1 bmi2 f16c fma abm movbe osxsave",
		"avx512f avx512bw avx512cd avx512dq avx512vl",
	};

	for (size_t i = 0; i < 4; i++) {
		struct thaw_cpu_features with = level(levels[i]), without = {0};
		struct names have = {0}, have_not = {0};
		char list[128], *rest = list, *name;

		if (i > 0)
			without = level(levels[i - 1]);
		thaw_cpu_names(&with, collect, &have);
		thaw_cpu_names(&without, collect, &have_not);
		snprintf(list, sizeof(list), "%s", expected[i]);
		while ((name = strsep(&rest, " ")))
			cr_expect(listed(&have, name) && !listed(&have_not, name), "%s: %s",
				  levels[i], name);
	}
}

Test(cpu, unknown_level_is_refused)
{
	struct thaw_cpu_features features = {{7}};

	cr_assert_eq(thaw_cpu_level("x86-64-v5", &features), -1);
	cr_assert_eq(thaw_cpu_level("", &features), -1);
	cr_assert_eq(features.word[0], 7u, "outputs are set only on success");
	memset(&features, 0, sizeof(features));
	cr_assert_str_eq(thaw_cpu_level_of(&features), "below x86-64-v1");
}

Test(cpu, host_has_what_it_has)
{
	struct thaw_cpu_features host, again = level("host"), lowest = level("x86-64-v1");
	char text[64] = "x";

	thaw_cpu_host(&host);
	cr_assert_arr_eq(host.word, again.word, sizeof(host.word));
	cr_assert_eq(thaw_cpu_missing(&host, &host, text, sizeof(text)), 0u);
	cr_assert_str_eq(text, "");
	cr_assert_eq(thaw_cpu_missing(&lowest, &host, text, sizeof(text)), 0u, "%s", text);
}

/* Every feature that the kernel lists and the table has is a feature of the host. */
Test(cpu, host_agrees_with_the_kernel)
{
	struct thaw_cpu_features host, all;
	struct names known = {0}, have = {0};
	FILE *file = fopen("/proc/cpuinfo", "r");
	thaw_autofree char *line = NULL;
	size_t size = 0, shown = 0;

	cr_assert(file);
	memset(&all, 0xff, sizeof(all));
	thaw_cpu_host(&host);
	thaw_cpu_names(&all, collect, &known);
	thaw_cpu_names(&host, collect, &have);
	while (!shown && getline(&line, &size, file) > 0) {
		char *rest = line, *flag;

		if (strncmp(line, "flags", 5) != 0)
			continue;
		while ((flag = strsep(&rest, " \t\n:")))
			if (listed(&known, flag)) {
				cr_expect(listed(&have, flag), "%s", flag);
				shown++;
			}
	}
	fclose(file);
	cr_assert_gt(shown, 10u);
}

/* The compiler's run-time library reads CPUID and XCR0 independently. */
Test(cpu, host_agrees_with_the_compiler)
{
	struct thaw_cpu_features host;
	struct names have = {0};

	thaw_cpu_host(&host);
	thaw_cpu_names(&host, collect, &have);
	__builtin_cpu_init();
#define SAME(ours, theirs)                                                                         \
	cr_expect_eq(listed(&have, ours), __builtin_cpu_supports(theirs) != 0, ours)
	SAME("sse2", "sse2");
	SAME("pni", "sse3");
	SAME("ssse3", "ssse3");
	SAME("sse4_1", "sse4.1");
	SAME("sse4_2", "sse4.2");
	SAME("popcnt", "popcnt");
	SAME("aes", "aes");
	SAME("pclmulqdq", "pclmul");
	SAME("avx", "avx");
	SAME("avx2", "avx2");
	SAME("fma", "fma");
	SAME("fma4", "fma4");
	SAME("xop", "xop");
	SAME("bmi1", "bmi");
	SAME("bmi2", "bmi2");
	SAME("sse4a", "sse4a");
	SAME("gfni", "gfni");
	SAME("vpclmulqdq", "vpclmulqdq");
	SAME("avx512f", "avx512f");
	SAME("avx512vl", "avx512vl");
	SAME("avx512bw", "avx512bw");
	SAME("avx512dq", "avx512dq");
	SAME("avx512cd", "avx512cd");
	SAME("avx512vbmi", "avx512vbmi");
	SAME("avx512_vbmi2", "avx512vbmi2");
	SAME("avx512_vnni", "avx512vnni");
	SAME("avx512_bitalg", "avx512bitalg");
	SAME("avx512_vpopcntdq", "avx512vpopcntdq");
#undef SAME
}

/* No tiles and no protection keys: the record does not have their state. */
Test(cpu, host_shows_nothing_that_an_image_cannot_keep)
{
	struct thaw_cpu_features host;

	thaw_cpu_host(&host);
	cr_assert_eq(host.word[THAW_CPU_XCR0] & ~0xe7u, 0u);
	cr_assert_eq(host.word[THAW_CPU_7_ECX] & (1u << 3 | 1u << 4), 0u); /* pku, ospke */
	cr_assert_eq(host.word[THAW_CPU_7_EDX] & (1u << 22 | 1u << 24 | 1u << 25), 0u); /* amx */
	for (unsigned word = THAW_CPU_XCR0 + 1; word < THAW_CPU_WORDS; word++)
		cr_assert_eq(host.word[word], 0u);
}

Test(cpu, missing_features_are_named)
{
	struct thaw_cpu_features have = level("x86-64-v3"), wanted = level("x86-64-v4"),
				 strange = {0};
	char text[512];

	cr_assert_eq(thaw_cpu_missing(&wanted, &have, text, sizeof(text)), 8u);
	cr_assert_str_eq(
		text,
		"avx512f, avx512dq, avx512cd, avx512bw, avx512vl, opmask_state, zmm_hi256_state, "
		"hi16_zmm_state");
	/* An image of a later version may name unknown features. */
	strange.word[15] = 1u << 31;
	cr_assert_eq(thaw_cpu_missing(&strange, &have, text, sizeof(text)), 1u);
	cr_assert_str_eq(text, "unknown feature 15.31");
}

Test(cpu, missing_features_fit_any_room)
{
	struct thaw_cpu_features have = {0}, wanted;
	char full[8192];
	size_t count;

	memset(&wanted, 0xff, sizeof(wanted));
	count = thaw_cpu_missing(&wanted, &have, full, sizeof(full));
	cr_assert_eq(count, THAW_CPU_WORDS * 32u);
	for (size_t size = 0; size <= 300; size++) {
		char *text = malloc(size + 1); /* on the heap, where an overrun is noticed */

		cr_assert(text);
		text[size] = '\x7e';
		cr_assert_eq(thaw_cpu_missing(&wanted, &have, text, size), count);
		cr_assert_eq(text[size], '\x7e');
		if (size) {
			size_t length = strlen(text);

			cr_assert_lt(length, size);
			cr_assert(size < 8 || strcmp(text + length - 3, "...") == 0, "%s", text);
			cr_assert(size < 8 || strncmp(text, full, length - 3) == 0, "%s", text);
		}
		free(text);
	}
}

/* Whether /proc/cpuinfo has FLAG. */
static bool kernel_says(const char *flag)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[8192], word[64];
	bool found = false;

	cr_assert(file);
	snprintf(word, sizeof(word), " %s ", flag);
	while (!found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = ' ';
		found = strncmp(line, "flags", 5) == 0 && strstr(line, word);
	}
	fclose(file);
	return found;
}

Test(cpu, trial_of_faulting_leaves_no_trace)
{
	unsigned a, b, c, d;
	int first = thaw_cpu_can_fault();

	cr_assert_eq(first, kernel_says("cpuid_fault"));
	cr_assert_eq(thaw_cpu_can_fault(), first);
	cr_assert_neq(__get_cpuid(0, &a, &b, &c, &d), 0); /* a filter would have made it fault */
}
