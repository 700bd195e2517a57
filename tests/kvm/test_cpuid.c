/* SPDX-License-Identifier: Apache-2.0 */
/* The processor features that a guest is shown. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/host/cpu.h"
#include "engine/host/guest_state.h"
#include "engine/kvm/machine/cpuid.h"
#include "tests/kvm/plain.h"

TestSuite(kvm_cpuid, .timeout = 60);

/* The leaves in which programs look for features, and the bits there that only ring 0 uses: SDM
 * vol. 2, CPUID; AMD APM vol. 3, appendix E. */
static const struct {
	uint32_t function, index;
	unsigned part; /* eax, ebx, ecx, edx */
	enum thaw_cpu_word word;
	uint32_t kernel;
} words[] = {{1, 0, 2, THAW_CPU_1_ECX, 0},
	     {1, 0, 3, THAW_CPU_1_EDX, 0x00012068},
	     {7, 0, 1, THAW_CPU_7_EBX, 0x00100080},
	     {7, 0, 2, THAW_CPU_7_ECX, 0x00000004},
	     {7, 0, 3, THAW_CPU_7_EDX, 0},
	     {7, 1, 0, THAW_CPU_7_1_EAX, 0},
	     {0xd, 1, 0, THAW_CPU_D_1_EAX, 0},
	     {0x80000001, 0, 2, THAW_CPU_EXT1_ECX, 0},
	     {0x80000001, 0, 3, THAW_CPU_EXT1_EDX, 0x24100800},
	     {0x80000008, 0, 1, THAW_CPU_EXT8_EBX, 0}};
#define WORDS (sizeof(words) / sizeof(words[0]))

static const struct {
	uint32_t function, index;
} leaves[] = {{0, 0},	       {1, 0},		{2, 0},		 {4, 0},	  {4, 1},
	      {5, 0},	       {6, 0},		{7, 0},		 {7, 1},	  {7, 2},
	      {0xa, 0},	       {0xb, 0},	{0xb, 1},	 {0xd, 0},	  {0xd, 1},
	      {0xd, 2},	       {0xd, 5},	{0xd, 9},	 {0xd, 17},	  {0xf, 0},
	      {0x12, 0},       {0x14, 0},	{0x15, 0},	 {0x16, 0},	  {0x19, 0},
	      {0x1d, 1},       {0x1e, 0},	{0x1f, 0},	 {0x24, 0},	  {0x40000000, 0},
	      {0x40000001, 0}, {0x80000000, 0}, {0x80000001, 0}, {0x80000002, 0}, {0x80000007, 0},
	      {0x80000008, 0}, {0x8000000a, 0}, {0x8000001d, 0}, {0x8000001e, 0}, {0x8000001f, 0},
	      {0x80000021, 0}};
#define LEAVES (sizeof(leaves) / sizeof(leaves[0]))

/* A processor that has every feature. */
static struct kvm_cpuid2 *make_full(void)
{
	struct kvm_cpuid2 *full =
		calloc(1, sizeof(*full) + LEAVES * sizeof(struct kvm_cpuid_entry2));

	for (size_t i = 0; i < LEAVES; i++)
		full->entries[i] = (struct kvm_cpuid_entry2){.function = leaves[i].function,
							     .index = leaves[i].index,
							     .eax = UINT32_MAX,
							     .ebx = UINT32_MAX,
							     .ecx = UINT32_MAX,
							     .edx = UINT32_MAX};
	full->nent = LEAVES;
	return full;
}

static const struct kvm_cpuid_entry2 *leaf_of(const struct kvm_cpuid2 *cpuid, uint32_t function,
					      uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	return NULL;
}

static uint32_t part_of(const struct kvm_cpuid_entry2 *leaf, unsigned part)
{
	const uint32_t parts[] = {leaf->eax, leaf->ebx, leaf->ecx, leaf->edx};

	return parts[part];
}

static void check_words(const struct kvm_cpuid2 *seen, const struct thaw_cpu_features *features)
{
	for (size_t i = 0; i < WORDS; i++) {
		const struct kvm_cpuid_entry2 *leaf =
			leaf_of(seen, words[i].function, words[i].index);
		uint32_t wanted = features->word[words[i].word];

		cr_assert_not_null(leaf);
		cr_expect_eq(part_of(leaf, words[i].part) & ~words[i].kernel,
			     wanted & ~words[i].kernel, "leaf %#x.%u", words[i].function,
			     words[i].index);
		cr_expect_eq(part_of(leaf, words[i].part) & words[i].kernel, words[i].kernel,
			     "leaf %#x.%u", words[i].function, words[i].index);
	}
}

Test(kvm_cpuid, a_guest_sees_the_features_of_its_image_and_no_others)
{
	uint64_t seed = plain_seed("cpuid");
	struct kvm_cpuid2 *full = make_full();

	for (unsigned round = 0; round < 50; round++) {
		struct thaw_cpu_features features = {0};
		struct kvm_cpuid2 *seen;

		for (size_t i = 0; i < WORDS; i++)
			features.word[words[i].word] = (uint32_t)plain_random(&seed);
		features.word[THAW_CPU_XCR0] = 3;
		seen = kvm_cpuid_make(full, &features);
		check_words(seen, &features);
		free(seen);
	}
	free(full);
}

Test(kvm_cpuid, no_leaf_tells_of_features_that_no_image_can_name)
{
	struct thaw_cpu_features features = {.word = {[THAW_CPU_XCR0] = 3}};
	struct kvm_cpuid2 *full = make_full(), *seen = kvm_cpuid_make(full, &features);
	static const uint32_t hidden[] = {
		5,    0xa,  0xb,  0xf,	0x12,	    0x14,	0x15,	    0x16,	0x19,
		0x1d, 0x1e, 0x1f, 0x24, 0x40000000, 0x40000001, 0x8000000a, 0x8000001e, 0x8000001f};
	const struct kvm_cpuid_entry2 *leaf;

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		leaf = leaf_of(seen, hidden[i], 0);
		cr_expect(!leaf || !(leaf->eax | leaf->ebx | leaf->ecx | leaf->edx), "leaf %#x",
			  hidden[i]);
	}
	/* One processor, number 0: the upper half of leaf 1's EBX has the number, and how many. */
	leaf = leaf_of(seen, 1, 0);
	cr_assert_not_null(leaf);
	cr_expect_eq(leaf->ebx >> 16, 0, "%#x", leaf->ebx);
	/* AVX-VNNI-INT8, AVX10, APX and their like, which programs use where they find them. */
	leaf = leaf_of(seen, 7, 1);
	cr_expect(!leaf || !(leaf->ebx | leaf->ecx | leaf->edx));
	leaf = leaf_of(seen, 7, 2);
	cr_expect(!leaf || !(leaf->eax | leaf->ebx | leaf->ecx | leaf->edx));
	free(seen);
	free(full);
}

Test(kvm_cpuid, the_vector_state_is_the_images)
{
	struct thaw_cpu_features host, features = {.word = {[THAW_CPU_XCR0] = 3}};
	struct kvm_cpuid2 *full = make_full(), *seen;
	const struct kvm_cpuid_entry2 *leaf;

	thaw_cpu_host(&host);
	for (unsigned avx = 0; avx < 2; avx++) {
		if (avx && !(host.word[THAW_CPU_XCR0] & 4))
			break;
		features.word[THAW_CPU_XCR0] = avx ? 7 : 3;
		seen = kvm_cpuid_make(full, &features);
		leaf = leaf_of(seen, 0xd, 0);
		cr_expect_eq(leaf->eax, avx ? 7u : 3u);
		cr_expect_eq(leaf->edx, 0);
		cr_expect_eq(leaf->ebx, thaw_xsave_size(leaf->eax));
		cr_expect_eq(leaf->ecx, leaf->ebx);
		cr_expect_eq(leaf_of(seen, 0xd, 2)->eax != 0, avx);
		cr_expect_eq(leaf_of(seen, 0xd, 5)->eax, 0);
		cr_expect_eq(leaf_of(seen, 0xd, 17)->eax, 0);
		/* No supervisor components: XSAVE in ring 3 would not save them. */
		cr_expect_eq(leaf_of(seen, 0xd, 1)->ecx | leaf_of(seen, 0xd, 1)->edx, 0);
		free(seen);
	}
	free(full);
}

Test(kvm_cpuid, cr4_follows_what_the_guest_sees)
{
	struct thaw_cpu_features features = {.word = {[THAW_CPU_XCR0] = 3}};
	struct kvm_cpuid2 *full = make_full(), *seen = kvm_cpuid_make(full, &features);

	/* SMEP, SMAP and UMIP are on whatever the image has; FSGSBASE depends on the image. */
	cr_expect_eq(kvm_cpuid_cr4(seen), UINT64_C(0x300800));
	free(seen);
	features.word[THAW_CPU_7_EBX] = 1;
	seen = kvm_cpuid_make(full, &features);
	cr_expect_eq(kvm_cpuid_cr4(seen), UINT64_C(0x310800));
	free(seen);
	full->nent = 1; /* a processor without these features */
	seen = kvm_cpuid_make(full, &features);
	cr_expect_eq(kvm_cpuid_cr4(seen), 0);
	free(seen);
	free(full);
}

Test(kvm_cpuid, what_kvm_lacks_is_missing_by_name)
{
	struct thaw_cpu_features host, have;
	struct kvm_cpuid2 *full = make_full();
	char names[4096];

	thaw_cpu_host(&host);
	kvm_cpuid_features(full, &have);
	cr_expect_eq(thaw_cpu_missing(&host, &have, names, sizeof(names)), 0, "%s", names);
	for (unsigned word = 0; word < THAW_CPU_WORDS; word++)
		cr_expect_eq(have.word[word] & ~host.word[word], 0, "word %u", word);
	/* Without SSE4.2, whatever else there is. */
	for (uint32_t i = 0; i < full->nent; i++)
		if (full->entries[i].function == 1)
			full->entries[i].ecx &= ~(1u << 20);
	kvm_cpuid_features(full, &have);
	if (host.word[THAW_CPU_1_ECX] >> 20 & 1) {
		cr_expect_eq(thaw_cpu_missing(&host, &have, names, sizeof(names)), 1);
		cr_expect_str_eq(names, "sse4_2");
	}
	full->nent = 0;
	kvm_cpuid_features(full, &have);
	cr_expect_gt(thaw_cpu_missing(&host, &have, names, sizeof(names)), 10);
	free(full);
}
