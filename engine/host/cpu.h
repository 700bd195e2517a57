/* SPDX-License-Identifier: Apache-2.0 */
/* CPU features by name: what a guest saw, what this host has, what is missing. One table says which
 * CPUID bit is what. */
#ifndef THAW_CPU_H
#define THAW_CPU_H

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

/* Words of struct thaw_cpu_features; snapshot-format/SPEC.md has the same table. */
enum thaw_cpu_word {
	THAW_CPU_1_ECX,
	THAW_CPU_1_EDX,
	THAW_CPU_7_EBX,
	THAW_CPU_7_ECX,
	THAW_CPU_7_EDX,
	THAW_CPU_7_1_EAX,
	THAW_CPU_D_1_EAX,
	THAW_CPU_EXT1_ECX,
	THAW_CPU_EXT1_EDX,
	THAW_CPU_EXT8_EBX,
	THAW_CPU_XCR0
	/* the rest is reserved, zero */
};

/* Features of a level ("x86-64-v1" .. "x86-64-v4"), or of this host for "host"; -1 for an unknown
 * name. */
int thaw_cpu_level(const char *name, struct thaw_cpu_features *out);
/* The highest x86-64 level that FEATURES cover: "x86-64-v3"; static. */
const char *thaw_cpu_level_of(const struct thaw_cpu_features *features);
/* Calls EACH with the name of every feature present, in table order. */
void thaw_cpu_names(const struct thaw_cpu_features *features,
		    void (*each)(void *context, const char *name), void *context);
/* Whether this processor can make CPUID fault in a process (arch_prctl ARCH_SET_CPUID). */
int thaw_cpu_can_fault(void);

#endif
