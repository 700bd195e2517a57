/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state that every invocation must find: registers, mailbox and memory as they were at the
 * ready point. Each invocation makes the cheap checks; `look` makes all of them, and is worth most
 * after the commands that change everything.
 */
#include "tests/conformance/guest/conform.h"

#define PAGE	  THAW_PAGE_SIZE
#define AREA(n)	  (THAW_MAP_BASE + (n)*0x100000ul)
#define HEAP_SIZE 100000u

enum { AREA_DATA, AREA_CONST, AREA_CODE, AREA_TORN, AREA_AGAIN };

static uint64_t global = 0x600d600d600d600d;
static unsigned invocations;
static uint8_t bss_used[3 * PAGE] __attribute__((aligned(4096)));
static uint8_t bss_unused[8 * PAGE] __attribute__((aligned(4096)));
static uint8_t *heap;
static bool avx;

static uint8_t pattern(size_t at)
{
	return (uint8_t)(0xa5 + at * 3 + (at >> 12));
}

static void fill(void *to, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((volatile uint8_t *)to)[i] = pattern(i);
}

static bool is_filled(const void *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (((const uint8_t *)from)[i] != pattern(i))
			return false;
	return true;
}

static bool is_zero(const void *from, size_t length)
{
	const uint8_t *bytes = from;
	size_t i = 0;

	for (; i < length && (uintptr_t)(bytes + i) % 8; i++)
		if (bytes[i])
			return false;
	for (; i + 8 <= length; i += 8)
		if (*(const uint64_t *)(const void *)(bytes + i))
			return false;
	for (; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

static void cpuid(uint32_t leaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(0));
}

static void prepare_processor(bool fsgsbase)
{
	uint32_t out[4];

	cpuid(1, out);
	avx = (out[2] >> 27 & 3) == 3; /* OSXSAVE and AVX */
	entry_has_avx = avx;
	cpuid(7, out);
	entry_has_fsgsbase = fsgsbase && (out[1] & 1);
	fill(entry_vectors, sizeof(entry_vectors));
}

static void map(unsigned area, size_t pages)
{
	thaw_must(thaw_map((void *)AREA(area), pages * PAGE, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
}

/* MOV EAX, 42; RET. */
static const uint8_t answer[] = {0xb8, 42, 0, 0, 0, 0xc3};

static void prepare_areas(void)
{
	map(AREA_DATA, 16);
	fill((void *)AREA(AREA_DATA), 8 * PAGE);
	map(AREA_CONST, 4);
	fill((void *)AREA(AREA_CONST), 4 * PAGE);
	thaw_must(thaw_protect((void *)AREA(AREA_CONST), 4 * PAGE, THAW_MAP_READ) == 0);
	map(AREA_CODE, 2);
	memcpy((void *)AREA(AREA_CODE), answer, sizeof(answer));
	thaw_must(thaw_protect((void *)AREA(AREA_CODE), 2 * PAGE, THAW_MAP_READ | THAW_MAP_EXEC) ==
		  0);
	map(AREA_TORN, 8);
	fill((void *)AREA(AREA_TORN), 8 * PAGE);
	thaw_must(thaw_unmap((void *)(AREA(AREA_TORN) + 2 * PAGE), 4 * PAGE) == 0);
	map(AREA_AGAIN, 4);
	fill((void *)AREA(AREA_AGAIN), 4 * PAGE);
	thaw_must(thaw_unmap((void *)AREA(AREA_AGAIN), 4 * PAGE) == 0);
	map(AREA_AGAIN, 4);
}

void state_prepare(bool fsgsbase)
{
	prepare_processor(fsgsbase);
	prepare_areas();
	fill(bss_used, sizeof(bss_used));
	heap = malloc(HEAP_SIZE);
	thaw_must(heap != NULL);
	fill(heap, HEAP_SIZE);
}

static void check_registers(void)
{
	static const uint8_t zero[] = {0, 2, 3, 4, 5, 8, 9, 10, 11},
			     kept[] = {1, 6, 7, 12, 13, 14, 15};

	for (size_t i = 0; i < sizeof(zero); i++)
		thaw_must(entry_seen.registers[zero[i]] == 0);
	for (size_t i = 0; i < sizeof(kept); i++)
		thaw_must(entry_seen.registers[kept[i]] == entry_before.registers[kept[i]]);
	thaw_must(entry_seen.flags == 0x202);
	thaw_must(entry_seen.selectors[0] == 0x33 && entry_seen.selectors[1] == 0x2b);
	for (unsigned i = 2; i < 6; i++)
		thaw_must(entry_seen.selectors[i] == 0);
	for (unsigned i = 0; i < 2 && entry_has_fsgsbase; i++)
		thaw_must(entry_seen.bases[i] == entry_before.bases[i]);
}

/* FXSAVE's control, status and tag words, MXCSR, x87 registers, XMM registers. */
static void check_vectors(void)
{
	const uint8_t *seen = entry_seen.legacy, *before = entry_before.legacy;

	thaw_must(memcmp(seen, before, 5) == 0);
	thaw_must(memcmp(seen + 24, before + 24, 4) == 0);
	for (unsigned i = 0; i < 8; i++)
		thaw_must(memcmp(seen + 32 + 16 * i, before + 32 + 16 * i, 10) == 0);
	thaw_must(memcmp(seen + 160, before + 160, 256) == 0);
	for (unsigned i = 0; i < 16 && avx; i++)
		thaw_must(memcmp(entry_seen.high + 16 * i, entry_vectors + 32 * i + 16, 16) == 0);
}

/* All of it except the turn, whether the host sleeps, and the request. */
static void check_mailbox(void)
{
	const uint8_t *mailbox = (const uint8_t *)THAW_MAILBOX;
	size_t sleeps = offsetof(struct thaw_mailbox, host_sleeps);
	size_t header = offsetof(struct thaw_mailbox, request);
	size_t behind = header + sizeof(MAILBOX->request);
	size_t window = offsetof(struct thaw_mailbox, request_window), end;

	thaw_must(MAILBOX->request.window_length <= THAW_WINDOW_SIZE);
	end = window + MAILBOX->request.window_length;
	thaw_must(is_zero(mailbox + 8, sleeps - 8));
	thaw_must(is_zero(mailbox + sleeps + 4, header - sleeps - 4));
	thaw_must(is_zero(mailbox + behind, window - behind));
	thaw_must(is_zero(mailbox + end, THAW_MAILBOX_SIZE - end));
}

void state_check(void)
{
	thaw_must(invocations++ == 0);
	thaw_must(global == 0x600d600d600d600d);
	check_registers();
	check_vectors();
	check_mailbox();
}

static void check_memory(void)
{
	thaw_must(is_filled((void *)AREA(AREA_DATA), 8 * PAGE));
	thaw_must(is_zero((void *)(AREA(AREA_DATA) + 8 * PAGE), 8 * PAGE));
	thaw_must(is_filled((void *)AREA(AREA_CONST), 4 * PAGE));
	thaw_must(memcmp((void *)AREA(AREA_CODE), answer, sizeof(answer)) == 0);
	thaw_must(((int (*)(void))AREA(AREA_CODE))() == 42);
	thaw_must(is_filled((void *)AREA(AREA_TORN), 2 * PAGE));
	thaw_must(is_zero((void *)AREA(AREA_AGAIN), 4 * PAGE));
	thaw_must(is_filled(bss_used, sizeof(bss_used)));
	thaw_must(is_zero(bss_unused, sizeof(bss_unused)));
	thaw_must(is_filled(heap, HEAP_SIZE));
}

/* Checks by calls that must be refused that mappings are as they were. */
static void check_ranges(void)
{
	void *torn = (void *)(AREA(AREA_TORN) + 2 * PAGE);
	void *far = (void *)(THAW_MAP_BASE + 0x10000000);

	thaw_must(thaw_map((void *)AREA(AREA_DATA), PAGE, THAW_MAP_READ) == THAW_EINVAL);
	thaw_must(thaw_map((void *)AREA(AREA_CONST), PAGE, THAW_MAP_READ) == THAW_EINVAL);
	thaw_must(thaw_unmap(torn, PAGE) == THAW_EINVAL);
	thaw_must(thaw_unmap(far, PAGE) == THAW_EINVAL);
	thaw_must(thaw_map(torn, 4 * PAGE, THAW_MAP_READ) == 0);
	thaw_must(is_zero(torn, 4 * PAGE));
}

static void look(const char *rest)
{
	(void)rest;
	check_memory();
	check_ranges();
	say("ok");
}

/* Answers with state such as the last x87 instruction, which must be equal everywhere, whatever it
 * is. */
static void registers(const char *rest)
{
	(void)rest;
	for (unsigned i = 0; i < 32; i++)
		say("%02x", entry_seen.legacy[i]);
	say(" avx %d fsgsbase %d", avx, entry_has_fsgsbase);
}

/* Changes all memory. */
static void spoil_memory(const char *rest)
{
	void *far = (void *)(THAW_MAP_BASE + 0x10000000);

	(void)rest;
	global = 0;
	memset((void *)AREA(AREA_DATA), 0xee, 16 * PAGE);
	memset(bss_used, 0xee, sizeof(bss_used));
	memset(bss_unused, 0xee, sizeof(bss_unused));
	memset(heap, 0xee, HEAP_SIZE);
	memset((void *)AREA(AREA_AGAIN), 0xee, 4 * PAGE);
	thaw_must(thaw_map(far, 8 * PAGE, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	memset(far, 0xee, 8 * PAGE);
	heap = malloc(300000);
	thaw_must(heap != NULL);
	memset(heap, 0xee, 300000);
	say("ok");
}

static void spoil_ranges(const char *rest)
{
	(void)rest;
	thaw_must(thaw_unmap((void *)AREA(AREA_DATA), 3 * PAGE) == 0);
	thaw_must(thaw_protect((void *)(AREA(AREA_DATA) + 4 * PAGE), 6 * PAGE, THAW_MAP_READ) == 0);
	thaw_must(thaw_protect((void *)AREA(AREA_CONST), 4 * PAGE,
			       THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	memset((void *)AREA(AREA_CONST), 0xee, 4 * PAGE);
	thaw_must(thaw_protect((void *)AREA(AREA_CODE), PAGE, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	memset((void *)AREA(AREA_CODE), 0xcc, PAGE);
	thaw_must(thaw_protect((void *)AREA(AREA_CODE), PAGE, THAW_MAP_READ | THAW_MAP_EXEC) == 0);
	thaw_must(thaw_unmap((void *)AREA(AREA_TORN), 2 * PAGE) == 0);
	thaw_must(thaw_map((void *)AREA(AREA_TORN), 8 * PAGE - 2 * PAGE,
			   THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	memset((void *)AREA(AREA_TORN), 0xee, 8 * PAGE);
	thaw_must(thaw_unmap((void *)AREA(AREA_AGAIN), 4 * PAGE) == 0);
	say("ok");
}

/* Changes only protections, and writes no byte. */
static void spoil_protections(const char *rest)
{
	(void)rest;
	thaw_must(thaw_protect((void *)AREA(AREA_DATA), 16 * PAGE, THAW_MAP_READ) == 0);
	thaw_must(thaw_protect((void *)AREA(AREA_CODE), 2 * PAGE, THAW_MAP_READ) == 0);
	thaw_must(thaw_protect((void *)AREA(AREA_AGAIN), 4 * PAGE, THAW_MAP_READ | THAW_MAP_EXEC) ==
		  0);
	say("ok");
}

static void write_all(const char *rest)
{
	(void)rest;
	for (size_t i = 0; i < 16; i++)
		*anywhere(AREA(AREA_DATA) + i * PAGE) ^= 0xff;
	for (size_t i = 0; i < 4; i++)
		*anywhere(AREA(AREA_AGAIN) + i * PAGE) ^= 0xff;
	say("ok");
}

/* spoil-registers FLAGS HOW: does not return. */
static void spoil_registers(const char *rest)
{
	uint64_t flags = word(&rest), how = word(&rest);

	MAILBOX->call.status = 0;
	MAILBOX->call.length = 2;
	memcpy(response_window(), "ok", 2);
	entry_dirty_next(flags, (unsigned)how);
}

static void spoil_windows(const char *rest)
{
	(void)rest;
	memset(request_window(), 0xee, THAW_WINDOW_SIZE);
	memset(response_window(), 0xee, THAW_WINDOW_SIZE);
	memset(scratch(), 0xee, THAW_SCRATCH_SIZE);
	memcpy(response_window(), "ok", 2);
	said = 2;
}

const struct command state_commands[] = {
	{"look", look},
	{"registers", registers},
	{"spoil-memory", spoil_memory},
	{"spoil-ranges", spoil_ranges},
	{"spoil-protections", spoil_protections},
	{"write-all", write_all},
	{"spoil-registers", spoil_registers},
	{"spoil-windows", spoil_windows},
	{NULL, NULL},
};
