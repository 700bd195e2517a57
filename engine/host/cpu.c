/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU features: one table says what each bit of CPUID means, in which x86-64 level it first
 * appears, and which register state it needs.
 *
 * The table has what a program can use without privilege and what survives in the canonical vCPU
 * record. It leaves out features of the kernel (smep, pcid, ...), and those whose state the record
 * does not carry: AMX tiles, protection keys, shadow stacks, user interrupts, enqcmd, key locker. A
 * bit that an image has and the table lacks counts as a missing feature: a later version may have
 * known its meaning.
 */
#include "engine/host/cpu.h"

#include <asm/hwcap2.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#define XCR0_X87    (1u << 0)
#define XCR0_SSE    (1u << 1)
#define XCR0_AVX    (1u << 2)
#define XCR0_AVX512 (7u << 5)
#define XCR0_KNOWN  (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

/* What instructions in VEX and in EVEX encoding need in XCR0. */
#define NEEDS_AVX    (XCR0_SSE | XCR0_AVX)
#define NEEDS_AVX512 (XCR0_SSE | XCR0_AVX | XCR0_AVX512)

struct feature {
	const char *name; /* as in /proc/cpuinfo */
	uint8_t word;	  /* enum thaw_cpu_word */
	uint8_t bit;
	uint8_t level;	/* first x86-64 level that has it, or 0 */
	uint32_t state; /* XCR0 bits without which it cannot be used */
};

/* clang-format off */
static const struct feature features[] = {
	/* name             word               bit level state */
	{"pni",              THAW_CPU_1_ECX,     0, 2, 0}, /* SSE3 */
	{"pclmulqdq",        THAW_CPU_1_ECX,     1, 0, 0},
	{"ssse3",            THAW_CPU_1_ECX,     9, 2, 0},
	{"fma",              THAW_CPU_1_ECX,    12, 3, NEEDS_AVX},
	{"cx16",             THAW_CPU_1_ECX,    13, 2, 0},
	{"sse4_1",           THAW_CPU_1_ECX,    19, 2, 0},
	{"sse4_2",           THAW_CPU_1_ECX,    20, 2, 0},
	{"movbe",            THAW_CPU_1_ECX,    22, 3, 0},
	{"popcnt",           THAW_CPU_1_ECX,    23, 2, 0},
	{"aes",              THAW_CPU_1_ECX,    25, 0, 0},
	{"xsave",            THAW_CPU_1_ECX,    26, 3, 0},
	/* Not in cpuinfo; programs test it before XGETBV. */
	{"osxsave",          THAW_CPU_1_ECX,    27, 3, 0},
	{"avx",              THAW_CPU_1_ECX,    28, 3, NEEDS_AVX},
	{"f16c",             THAW_CPU_1_ECX,    29, 3, NEEDS_AVX},
	{"rdrand",           THAW_CPU_1_ECX,    30, 0, 0},

	{"fpu",              THAW_CPU_1_EDX,     0, 1, 0},
	{"tsc",              THAW_CPU_1_EDX,     4, 1, 0},
	{"cx8",              THAW_CPU_1_EDX,     8, 1, 0},
	{"cmov",             THAW_CPU_1_EDX,    15, 1, 0},
	{"clflush",          THAW_CPU_1_EDX,    19, 1, 0},
	{"mmx",              THAW_CPU_1_EDX,    23, 1, 0},
	{"fxsr",             THAW_CPU_1_EDX,    24, 1, 0},
	{"sse",              THAW_CPU_1_EDX,    25, 1, 0},
	{"sse2",             THAW_CPU_1_EDX,    26, 1, 0},

	{"fsgsbase",         THAW_CPU_7_EBX,     0, 0, 0},
	{"bmi1",             THAW_CPU_7_EBX,     3, 3, 0},
	{"hle",              THAW_CPU_7_EBX,     4, 0, 0},
	{"avx2",             THAW_CPU_7_EBX,     5, 3, NEEDS_AVX},
	{"bmi2",             THAW_CPU_7_EBX,     8, 3, 0},
	{"erms",             THAW_CPU_7_EBX,     9, 0, 0},
	{"rtm",              THAW_CPU_7_EBX,    11, 0, 0},
	{"avx512f",          THAW_CPU_7_EBX,    16, 4, NEEDS_AVX512},
	{"avx512dq",         THAW_CPU_7_EBX,    17, 4, NEEDS_AVX512},
	{"rdseed",           THAW_CPU_7_EBX,    18, 0, 0},
	{"adx",              THAW_CPU_7_EBX,    19, 0, 0},
	{"avx512ifma",       THAW_CPU_7_EBX,    21, 0, NEEDS_AVX512},
	{"clflushopt",       THAW_CPU_7_EBX,    23, 0, 0},
	{"clwb",             THAW_CPU_7_EBX,    24, 0, 0},
	{"avx512cd",         THAW_CPU_7_EBX,    28, 4, NEEDS_AVX512},
	{"sha_ni",           THAW_CPU_7_EBX,    29, 0, 0},
	{"avx512bw",         THAW_CPU_7_EBX,    30, 4, NEEDS_AVX512},
	{"avx512vl",         THAW_CPU_7_EBX,    31, 4, NEEDS_AVX512},

	{"avx512vbmi",       THAW_CPU_7_ECX,     1, 0, NEEDS_AVX512},
	{"waitpkg",          THAW_CPU_7_ECX,     5, 0, 0},
	{"avx512_vbmi2",     THAW_CPU_7_ECX,     6, 0, NEEDS_AVX512},
	{"gfni",             THAW_CPU_7_ECX,     8, 0, 0},
	{"vaes",             THAW_CPU_7_ECX,     9, 0, NEEDS_AVX},
	{"vpclmulqdq",       THAW_CPU_7_ECX,    10, 0, NEEDS_AVX},
	{"avx512_vnni",      THAW_CPU_7_ECX,    11, 0, NEEDS_AVX512},
	{"avx512_bitalg",    THAW_CPU_7_ECX,    12, 0, NEEDS_AVX512},
	{"avx512_vpopcntdq", THAW_CPU_7_ECX,    14, 0, NEEDS_AVX512},
	{"rdpid",            THAW_CPU_7_ECX,    22, 0, 0},
	{"cldemote",         THAW_CPU_7_ECX,    25, 0, 0},
	{"movdiri",          THAW_CPU_7_ECX,    27, 0, 0},
	{"movdir64b",        THAW_CPU_7_ECX,    28, 0, 0},

	{"avx512_4vnniw",    THAW_CPU_7_EDX,     2, 0, NEEDS_AVX512},
	{"avx512_4fmaps",    THAW_CPU_7_EDX,     3, 0, NEEDS_AVX512},
	{"fsrm",             THAW_CPU_7_EDX,     4, 0, 0},
	{"avx512_vp2intersect", THAW_CPU_7_EDX,  8, 0, NEEDS_AVX512},
	{"serialize",        THAW_CPU_7_EDX,    14, 0, 0},
	{"tsxldtrk",         THAW_CPU_7_EDX,    16, 0, 0},
	{"avx512_fp16",      THAW_CPU_7_EDX,    23, 0, NEEDS_AVX512},

	{"sha512",           THAW_CPU_7_1_EAX,   0, 0, NEEDS_AVX},
	{"sm3",              THAW_CPU_7_1_EAX,   1, 0, NEEDS_AVX},
	{"sm4",              THAW_CPU_7_1_EAX,   2, 0, NEEDS_AVX},
	{"avx_vnni",         THAW_CPU_7_1_EAX,   4, 0, NEEDS_AVX},
	{"avx512_bf16",      THAW_CPU_7_1_EAX,   5, 0, NEEDS_AVX512},
	{"cmpccxadd",        THAW_CPU_7_1_EAX,   7, 0, 0},
	{"fzrm",             THAW_CPU_7_1_EAX,  10, 0, 0},
	{"fsrs",             THAW_CPU_7_1_EAX,  11, 0, 0},
	{"fsrc",             THAW_CPU_7_1_EAX,  12, 0, 0},
	{"avx_ifma",         THAW_CPU_7_1_EAX,  23, 0, NEEDS_AVX},

	{"xsaveopt",         THAW_CPU_D_1_EAX,   0, 0, 0},
	{"xsavec",           THAW_CPU_D_1_EAX,   1, 0, 0},
	{"xgetbv1",          THAW_CPU_D_1_EAX,   2, 0, 0},

	{"lahf_lm",          THAW_CPU_EXT1_ECX,  0, 2, 0},
	{"abm",              THAW_CPU_EXT1_ECX,  5, 3, 0}, /* LZCNT */
	{"sse4a",            THAW_CPU_EXT1_ECX,  6, 0, 0},
	{"misalignsse",      THAW_CPU_EXT1_ECX,  7, 0, 0},
	{"3dnowprefetch",    THAW_CPU_EXT1_ECX,  8, 0, 0},
	{"xop",              THAW_CPU_EXT1_ECX, 11, 0, NEEDS_AVX},
	{"fma4",             THAW_CPU_EXT1_ECX, 16, 0, NEEDS_AVX},
	{"tbm",              THAW_CPU_EXT1_ECX, 21, 0, 0},
	{"mwaitx",           THAW_CPU_EXT1_ECX, 29, 0, 0},

	{"syscall",          THAW_CPU_EXT1_EDX, 11, 1, 0},
	{"mmxext",           THAW_CPU_EXT1_EDX, 22, 0, 0},
	{"rdtscp",           THAW_CPU_EXT1_EDX, 27, 0, 0},
	{"lm",               THAW_CPU_EXT1_EDX, 29, 1, 0},
	{"3dnowext",         THAW_CPU_EXT1_EDX, 30, 0, 0},
	{"3dnow",            THAW_CPU_EXT1_EDX, 31, 0, 0},

	{"clzero",           THAW_CPU_EXT8_EBX,  0, 0, 0},
	{"rdpru",            THAW_CPU_EXT8_EBX,  4, 0, 0},

	/* Register state that the system keeps; not in cpuinfo. */
	{"x87_state",        THAW_CPU_XCR0,      0, 1, 0},
	{"sse_state",        THAW_CPU_XCR0,      1, 1, 0},
	{"avx_state",        THAW_CPU_XCR0,      2, 3, 0},
	{"opmask_state",     THAW_CPU_XCR0,      5, 4, 0},
	{"zmm_hi256_state",  THAW_CPU_XCR0,      6, 4, 0},
	{"hi16_zmm_state",   THAW_CPU_XCR0,      7, 4, 0},
};
/* clang-format on */
#define FEATURES (sizeof(features) / sizeof(features[0]))

static const char *const levels[] = {"x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

static bool has(const struct thaw_cpu_features *set, const struct feature *feature)
{
	return set->word[feature->word] >> feature->bit & 1;
}

static void add(struct thaw_cpu_features *set, const struct feature *feature)
{
	set->word[feature->word] |= 1u << feature->bit;
}

__attribute__((target("xsave"))) static uint32_t read_xcr0(void)
{
	return (uint32_t)_xgetbv(0);
}

/* Reads everything that CPUID says, unmasked. Asks only once how far the leaves go: in a virtual
 * machine each question is an exit, which takes tens of microseconds where that machine is
 * nested. */
static void read_cpuid(struct thaw_cpu_features *raw)
{
	uint32_t *word = raw->word, a, b, c, d;
	const uint32_t last = __get_cpuid_max(0, NULL),
		       last_extended = __get_cpuid_max(1u << 31, NULL);

	if (last >= 1) {
		__cpuid(1, a, b, c, d);
		word[THAW_CPU_1_ECX] = c;
		word[THAW_CPU_1_EDX] = d;
	}
	if (last >= 7) {
		__cpuid_count(7, 0, a, b, c, d);
		word[THAW_CPU_7_EBX] = b;
		word[THAW_CPU_7_ECX] = c;
		word[THAW_CPU_7_EDX] = d;
		if (a >= 1) {
			__cpuid_count(7, 1, a, b, c, d);
			word[THAW_CPU_7_1_EAX] = a;
		}
	}
	if (last >= 0xd) {
		__cpuid_count(0xd, 1, a, b, c, d);
		word[THAW_CPU_D_1_EAX] = a;
	}
	if (last_extended >= 0x80000001) {
		__cpuid(0x80000001, a, b, c, d);
		word[THAW_CPU_EXT1_ECX] = c;
		word[THAW_CPU_EXT1_EDX] = d;
	}
	if (last_extended >= 0x80000008) {
		__cpuid(0x80000008, a, b, c, d);
		word[THAW_CPU_EXT8_EBX] = b;
	}
	/* Without XSAVE there is no XCR0; FXSAVE keeps the two states that every x86-64 processor
	 * has. */
	word[THAW_CPU_XCR0] = XCR0_X87 | XCR0_SSE;
	if (word[THAW_CPU_1_ECX] & bit_OSXSAVE)
		word[THAW_CPU_XCR0] = read_xcr0() & XCR0_KNOWN;
}

static struct thaw_cpu_features host;

static void read_host(void)
{
	struct thaw_cpu_features raw = {0};

	read_cpuid(&raw);
	/* The processor says that it has these instructions; the kernel decides whether programs
	 * may use them. */
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		raw.word[THAW_CPU_7_EBX] &= ~(uint32_t)bit_FSGSBASE;
	for (size_t i = 0; i < FEATURES; i++)
		if (has(&raw, &features[i]) &&
		    (raw.word[THAW_CPU_XCR0] & features[i].state) == features[i].state)
			add(&host, &features[i]);
}

void thaw_cpu_host(struct thaw_cpu_features *out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_host);
	*out = host;
}

int thaw_cpu_level(const char *name, struct thaw_cpu_features *out)
{
	struct thaw_cpu_features set = {0};
	unsigned level = 0;

	if (strcmp(name, "host") == 0) {
		thaw_cpu_host(out);
		return 0;
	}
	for (unsigned i = 0; i < LEVELS; i++)
		if (strcmp(name, levels[i]) == 0)
			level = i + 1;
	if (!level)
		return -1;
	for (size_t i = 0; i < FEATURES; i++)
		if (features[i].level && features[i].level <= level)
			add(&set, &features[i]);
	*out = set;
	return 0;
}

static bool covers(const struct thaw_cpu_features *have, const struct thaw_cpu_features *wanted)
{
	for (unsigned i = 0; i < THAW_CPU_WORDS; i++)
		if (wanted->word[i] & ~have->word[i])
			return false;
	return true;
}

const char *thaw_cpu_level_of(const struct thaw_cpu_features *set)
{
	for (size_t i = LEVELS; i-- > 0;) {
		struct thaw_cpu_features level;

		thaw_cpu_level(levels[i], &level);
		if (covers(set, &level))
			return levels[i];
	}
	return "below x86-64-v1";
}

void thaw_cpu_names(const struct thaw_cpu_features *set,
		    void (*each)(void *context, const char *name), void *context)
{
	for (size_t i = 0; i < FEATURES; i++)
		if (has(set, &features[i]))
			each(context, features[i].name);
}

struct text {
	char *start;
	size_t size, used;
	bool full;
};

/* Appends whole names only; an ellipsis, for which room is kept, stands for those that do not
 * fit. */
static void append_name(struct text *text, const char *name)
{
	static const char more[] = ", ...";
	const char *separator = text->used ? ", " : "";
	size_t length = strlen(separator) + strlen(name);

	if (text->full || text->size == 0)
		return;
	if (text->used + length + sizeof(more) > text->size) {
		text->full = true;
		name = text->used ? more : "...";
		separator = "";
	}
	snprintf(text->start + text->used, text->size - text->used, "%s%s", separator, name);
	text->used = strlen(text->start);
}

static const char *name_of_bit(unsigned word, unsigned bit, char *buffer, size_t size)
{
	for (size_t i = 0; i < FEATURES; i++)
		if (features[i].word == word && features[i].bit == bit)
			return features[i].name;
	snprintf(buffer, size, "unknown feature %u.%u", word, bit);
	return buffer;
}

size_t thaw_cpu_missing(const struct thaw_cpu_features *wanted,
			const struct thaw_cpu_features *have, char *out, size_t size)
{
	struct text text = {.start = out, .size = size};
	size_t count = 0;

	if (size)
		out[0] = '\0';
	for (unsigned word = 0; word < THAW_CPU_WORDS; word++)
		for (unsigned bit = 0; bit < 32; bit++) {
			char unknown[40];

			if (!((wanted->word[word] & ~have->word[word]) >> bit & 1))
				continue;
			append_name(&text, name_of_bit(word, bit, unknown, sizeof(unknown)));
			count++;
		}
	return count;
}

/* Tries it and undoes it at once: this thread executes no CPUID between the two calls. */
int thaw_cpu_can_fault(void)
{
	long enabled = syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0UL);

	if (enabled < 0 || syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0UL))
		return 0;
	thaw_assert(syscall(SYS_arch_prctl, ARCH_SET_CPUID, (unsigned long)enabled) == 0);
	return 1;
}
