/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of CPU features; see cpu_choice.h. */
#include "engine/boot/cpu_choice.h"

#include <stdio.h>
#include <string.h>

#include "engine/host/cpu.h"

#define DEFAULT_LEVEL 3 /* v3 at most: what fleets have in common */

/* A level, and with it the instructions that save and restore its vector state: the shims use them,
 * so programs see them. The levels below v3 leave them out. */
static int take_level(const char *level, struct thaw_cpu_features *out)
{
	if (thaw_cpu_level(level, out))
		return -1;
	out->word[THAW_CPU_1_ECX] |= 1u << 26 | 1u << 27; /* XSAVE, OSXSAVE */
	out->word[THAW_CPU_XCR0] |= 3;			  /* x87, SSE */
	return 0;
}

/* A library with entropy from the processor would keep from the boot what a request's seed gives
 * anew: without RDRAND and RDSEED it asks the guest. No level has the two. */
static void hide_entropy(struct thaw_cpu_features *chosen)
{
	chosen->word[THAW_CPU_1_ECX] &= ~(1u << 30);
	chosen->word[THAW_CPU_7_EBX] &= ~(1u << 18);
}

/* For a backend that hides features: the image has no more than its level. */
static int choose_shown(const char *wanted, const struct thaw_cpu_features *host,
			struct thaw_cpu_features *chosen, const char **level,
			struct thaw_error *err)
{
	static const char *const levels[] = {"x86-64-v1", "x86-64-v2", "x86-64-v3"};
	char missing[256];

	if (wanted && !strcmp(wanted, "host")) {
		*chosen = *host;
		hide_entropy(chosen);
		*level = "host";
		return 0;
	}
	for (int i = DEFAULT_LEVEL; !wanted && i > 0; i--) {
		take_level(levels[i - 1], chosen);
		if (thaw_cpu_missing(chosen, host, missing, sizeof(missing)) == 0)
			wanted = levels[i - 1];
	}
	if (!wanted || take_level(wanted, chosen) ||
	    thaw_cpu_missing(chosen, host, missing, sizeof(missing)))
		return thaw_fail(err, THAW_ERR_FAILURE, "this processor lacks, for %s: %s",
				 wanted ? wanted : levels[0], missing);
	*level = wanted;
	return 0;
}

/* Nothing stands between a process and the CPUID instruction, so fewer features than the host's
 * cannot be shown. */
static void choose_all(const struct thaw_boot_config *config, const struct thaw_cpu_features *host,
		       struct thaw_cpu_features *chosen, const char **level)
{
	char text[256];

	*chosen = *host;
	*level = "host";
	if (!config->notice || (config->cpu_level && !strcmp(config->cpu_level, "host")))
		return;
	snprintf(text, sizeof(text),
		 "the process backend cannot hide CPU features%s%s: the image is marked with all "
		 "of this host's (%s and more)",
		 config->cpu_level ? ", not even for --cpu " : "",
		 config->cpu_level ? config->cpu_level : "", thaw_cpu_level_of(host));
	config->notice(config->context, text);
}

int thaw_cpu_choose(const struct thaw_boot_config *config, bool hides,
		    const struct thaw_cpu_features *host, struct thaw_cpu_features *chosen,
		    const char **level, struct thaw_error *err)
{
	struct thaw_cpu_features known;

	if (config->cpu_level && thaw_cpu_level(config->cpu_level, &known))
		return thaw_fail(err, THAW_ERR_USAGE,
				 "unknown CPU level '%s': x86-64-v1 to x86-64-v4, or host",
				 config->cpu_level);
	if (hides)
		return choose_shown(config->cpu_level, host, chosen, level, err);
	choose_all(config, host, chosen, level);
	return 0;
}
