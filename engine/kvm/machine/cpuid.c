/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest sees of the processor: among the features that programs use, those of its image;
 * among those that only ring 0 uses, the ones that the shim needs. The leaves about the host's
 * topology, timers and performance counters are not shown.
 */
#include "engine/kvm/machine/cpuid.h"

#include <stdlib.h>
#include <string.h>

#include "engine/host/cpu.h"
#include "engine/host/guest_state.h"

#define CR4_UMIP     (UINT64_C(1) << 11)
#define CR4_FSGSBASE (UINT64_C(1) << 16)
#define CR4_SMEP     (UINT64_C(1) << 20)
#define CR4_SMAP     (UINT64_C(1) << 21)

enum part { EAX, EBX, ECX, EDX };

/* Where CPUID has each word of an image's features, and the bits of it that ring 0 keeps. */
static const struct place {
	uint32_t function, index;
	uint8_t part, word;
	uint32_t kernel;
} places[] = {
	/* OSXSAVE follows CR4 by itself. */
	{1, 0, ECX, THAW_CPU_1_ECX, 0},
	/* PSE, MSR, PAE, PGE and PAT, which long mode takes for granted; not MCE, APIC, MTRR. */
	{1, 0, EDX, THAW_CPU_1_EDX, 1u << 3 | 1u << 5 | 1u << 6 | 1u << 13 | 1u << 16},
	/* SMEP and SMAP. */
	{7, 0, EBX, THAW_CPU_7_EBX, 1u << 7 | 1u << 20},
	/* UMIP. */
	{7, 0, ECX, THAW_CPU_7_ECX, 1u << 2},
	{7, 0, EDX, THAW_CPU_7_EDX, 0},
	{7, 1, EAX, THAW_CPU_7_1_EAX, 0},
	{0xd, 1, EAX, THAW_CPU_D_1_EAX, 0},
	{0x80000001, 0, ECX, THAW_CPU_EXT1_ECX, 0},
	/* SYSCALL, NX, 1 GiB pages, long mode. */
	{0x80000001, 0, EDX, THAW_CPU_EXT1_EDX, 1u << 11 | 1u << 20 | 1u << 26 | 1u << 29},
	{0x80000008, 0, EBX, THAW_CPU_EXT8_EBX, 0},
};

static uint32_t *part_of(struct kvm_cpuid_entry2 *entry, enum part part)
{
	switch (part) {
	case EAX:
		return &entry->eax;
	case EBX:
		return &entry->ebx;
	case ECX:
		return &entry->ecx;
	default:
		return &entry->edx;
	}
}

void kvm_cpuid_features(const struct kvm_cpuid2 *supported, struct thaw_cpu_features *out)
{
	struct thaw_cpu_features host, found = {0};

	thaw_cpu_host(&host);
	for (uint32_t i = 0; i < supported->nent; i++) {
		struct kvm_cpuid_entry2 entry = supported->entries[i];

		for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++)
			if (entry.function == places[k].function && entry.index == places[k].index)
				found.word[places[k].word] = *part_of(&entry, places[k].part);
		if (entry.function == 0xd && entry.index == 0)
			found.word[THAW_CPU_XCR0] = entry.eax;
	}
	/* KVM derives OSXSAVE from CR4, and a machine begins with it set there. */
	if (found.word[THAW_CPU_1_ECX] & 1u << 26)
		found.word[THAW_CPU_1_ECX] |= 1u << 27;
	for (unsigned word = 0; word < THAW_CPU_WORDS; word++)
		out->word[word] = found.word[word] & host.word[word];
}

static bool is_shown(uint32_t function)
{
	static const uint32_t shown[] = {0,	     1,		 2,	     4,
					 7,	     0xd,	 0x80000000, 0x80000001,
					 0x80000002, 0x80000003, 0x80000004, 0x80000005,
					 0x80000006, 0x80000007, 0x80000008, 0x8000001d};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (shown[i] == function)
			return true;
	return false;
}

static void limit(struct kvm_cpuid_entry2 *entry, const struct thaw_cpu_features *features)
{
	uint32_t xcr0 = features->word[THAW_CPU_XCR0];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (entry->function == places[i].function && entry->index == places[i].index)
			*part_of(entry, places[i].part) &=
				features->word[places[i].word] | places[i].kernel;
	if (entry->function == 1)
		entry->ebx &= 0xffff; /* one processor, with number 0 */
	/* The rest of leaf 7 names instructions that no image records but that programs would
	 * find. */
	if (entry->function == 7 && entry->index >= 1)
		entry->ebx = entry->ecx = entry->edx = 0;
	if (entry->function == 7 && entry->index >= 2)
		entry->eax = 0;
	if (entry->function == 0xd && entry->index == 0) {
		entry->eax = xcr0;
		entry->edx = 0;
		entry->ebx = entry->ecx = thaw_xsave_size(xcr0);
	}
	if (entry->function == 0xd && entry->index == 1)
		entry->ebx = entry->ecx = entry->edx = 0;
	if (entry->function == 0xd && entry->index >= 2 &&
	    (entry->index >= 32 || !(xcr0 >> entry->index & 1)))
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
}

struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm_cpuid2 *supported,
				  const struct thaw_cpu_features *features)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + supported->nent * sizeof(struct kvm_cpuid_entry2));

	if (!cpuid)
		return NULL;
	for (uint32_t i = 0; i < supported->nent; i++) {
		struct kvm_cpuid_entry2 entry = supported->entries[i];

		if (!is_shown(entry.function))
			continue;
		limit(&entry, features);
		cpuid->entries[cpuid->nent++] = entry;
	}
	return cpuid;
}

uint64_t kvm_cpuid_cr4(const struct kvm_cpuid2 *cpuid)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != 7 || entry->index != 0)
			continue;
		bits |= entry->ebx & 1u << 0 ? CR4_FSGSBASE : 0;
		bits |= entry->ebx & 1u << 7 ? CR4_SMEP : 0;
		bits |= entry->ebx & 1u << 20 ? CR4_SMAP : 0;
		bits |= entry->ecx & 1u << 2 ? CR4_UMIP : 0;
	}
	return bits;
}
