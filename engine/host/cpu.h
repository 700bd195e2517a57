/* SPDX-License-Identifier: Apache-2.0 */
/* CPU features by name; engine.h has two more calls on them. One table says what each CPUID bit
 * means. Any thread. */
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

/* Sets *OUT to the features of a level, "x86-64-v1" to "x86-64-v4", or of this host for "host".
 * Returns -1 for another name. */
int thaw_cpu_level(const char *name, struct thaw_cpu_features *out);
/* The name of the highest x86-64 level that FEATURES cover, as "x86-64-v3"; static. */
const char *thaw_cpu_level_of(const struct thaw_cpu_features *features);
/* Calls EACH with the name of every feature that is present, in the order of the table. */
void thaw_cpu_names(const struct thaw_cpu_features *features,
		    void (*each)(void *context, const char *name), void *context);
/* Whether this processor can make CPUID fault in a process (arch_prctl ARCH_SET_CPUID). */
int thaw_cpu_can_fault(void);

#endif
