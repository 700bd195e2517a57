/* SPDX-License-Identifier: Apache-2.0 */
/* Processor state, ranges, memory maps and first stacks: what is refused, and what comes out of
 * what is taken. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/boot/first_stack.h"
#include "engine/host/cpu.h"
#include "engine/host/guest_state.h"
#include "engine/image/memory_map.h"
#include "snapshot-format/base/memory_file.h"

#define P THAW_PAGE_SIZE

static uint8_t xsave[16384];

static struct thaw_vcpu good_vcpu(void)
{
	struct thaw_vcpu vcpu = {.registers = {[THAW_RIP] = 0x401000, [THAW_RSP] = 0x3ffff0},
				 .xsave_mask = 3,
				 .xsave_length = 576,
				 .xsave = xsave};

	memset(xsave, 0, sizeof(xsave));
	return vcpu;
}

Test(state, good_state_is_taken)
{
	struct thaw_vcpu vcpu = good_vcpu();
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(thaw_vcpu_check(&vcpu, &err), 0, "%s", err.message);
}

Test(state, state_that_would_fault_in_the_shim_is_refused)
{
	struct thaw_error err;

	for (int i = 0; i < 12; i++) {
		struct thaw_vcpu vcpu = good_vcpu();

		switch (i) {
		case 0:
			vcpu.registers[THAW_RIP] = THAW_REGION_END;
			break;
		case 1:
			vcpu.registers[THAW_RSP] = UINT64_MAX;
			break;
		case 2:
			vcpu.registers[THAW_FS_BASE] = UINT64_C(1) << 47;
			break;
		case 3:
			vcpu.registers[THAW_GS_BASE] = UINT64_C(0x8000000000000000);
			break;
		case 4:
			vcpu.xsave_mask = 0;
			break;
		case 5:
			vcpu.xsave_mask |= UINT64_C(1) << 9;
			break; /* PKRU */
		case 6:
			vcpu.xsave_length--;
			break;
		case 7:
			xsave[512] = 4;
			break; /* a component that is not in the mask */
		case 8:
			xsave[520 + 7] = 0x80;
			break; /* compacted */
		case 9:
			xsave[24 + 2] = 1;
			break; /* reserved MXCSR bits */
		case 10:
			xsave[512 + 16] = 1;
			break;
		case 11:
			xsave[512 + 63] = 1;
			break;
		}
		err = (struct thaw_error)THAW_ERROR_INIT;
		cr_expect_lt(thaw_vcpu_check(&vcpu, &err), 0, "case %d", i);
		cr_expect_eq(err.kind, THAW_ERR_IMAGE);
	}
}

Test(state, ranges_that_are_not_the_guests_are_refused)
{
	static const struct thaw_range bad[][2] = {
		{{0, P, 1}},
		{{THAW_REGION_BASE - P, P, 1}},
		{{THAW_REGION_END, P, 1}},
		{{THAW_REGION_END - P, 2 * P, 1}},
		{{0x400000, 0, 1}},
		{{0x400001, P, 1}},
		{{0x400000, P + 1, 1}},
		{{0x400000, UINT64_MAX & ~(P - 1), 1}},
		{{0x400000, P, 0}},
		{{0x400000, P, 2}},
		{{0x400000, P, 7}},
		{{0x400000, P, 9}},
		{{0x400000, 2 * P, 1}, {0x401000, P, 1}},
		{{0x401000, P, 1}, {0x400000, P, 1}},
		{{0x400000, 16 * P, 3}, {0x500000, 2 * P, 3}},
	};
	static const struct thaw_range good[] = {
		{THAW_REGION_BASE, P, 1}, {0x400000, 4 * P, 5}, {THAW_REGION_END - P, P, 3}};

	cr_expect_eq(thaw_ranges_check(good, 3, 17 * P, NULL), 0);
	cr_expect_eq(thaw_ranges_check(good, 3, 6 * P, NULL), 0, "the limit itself is allowed");
	cr_expect_lt(thaw_ranges_check(good, 3, 5 * P, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_lt(thaw_ranges_check(bad[i], bad[i][1].length ? 2 : 1, 17 * P, NULL), 0,
			     "case %zu", i);
	cr_expect_lt(thaw_ranges_check(good, THAW_RANGES_MAX + 1, 17 * P, NULL), 0);
}

static void put(int fd, uint64_t page, const char *text)
{
	cr_assert_eq(pwrite(fd, text, strlen(text), (off_t)(page * P)), (ssize_t)strlen(text));
}

Test(state, maps_cover_the_ranges_and_never_a_hole)
{
	struct thaw_range ranges[] = {{0x100 * P, 0x100 * P, 3}, {0x300 * P, 0x200 * P, 1}};
	struct thaw_guest_memory memory = {.ranges = ranges, .range_count = 2, .limit = 0x1000 * P};
	struct thaw_memory_map map;
	struct stat before, after;
	uint64_t total = 0;

	memory.fd = thaw_memory_file("test", 0, NULL);
	cr_assert_eq(ftruncate(memory.fd, (off_t)THAW_REGION_END), 0);
	put(memory.fd, 0x50, "outside of every range");
	put(memory.fd, 0x100, "first page");
	put(memory.fd, 0x104, "after a short gap");
	put(memory.fd, 0x1ff, "last page of a range");
	put(memory.fd, 0x350, "after a long gap");
	cr_assert_eq(thaw_memory_map_make(&memory, true, &map, NULL), 0);
	fstat(memory.fd, &before);
	free(map.pieces);
	/* Asked again without filling, the answer is the same: the short gap is data now. */
	cr_assert_eq(thaw_memory_map_make(&memory, false, &map, NULL), 0);
	fstat(memory.fd, &after);
	cr_assert_eq(before.st_blocks, after.st_blocks);
	cr_assert_eq(map.count, 6);
	cr_assert_eq(map.pieces[0].start, 0x100 * P);
	cr_assert_eq(map.pieces[0].length, 5 * P);
	cr_assert(map.pieces[0].backed);
	cr_assert_not(map.pieces[1].backed);
	cr_assert(map.pieces[2].backed);
	cr_assert_eq(map.pieces[2].start, 0x1ff * P);
	cr_assert_eq(map.pieces[3].start, 0x300 * P);
	cr_assert_eq(map.pieces[4].start, 0x350 * P);
	for (size_t i = 0; i < map.count; i++)
		total += map.pieces[i].length;
	cr_assert_eq(total, 0x300 * P);
	free(map.pieces);
	close(memory.fd);
}

Test(state, a_scattered_guest_is_still_a_bounded_number_of_pieces)
{
	struct thaw_range range = {0x1000 * P, 0x100000 * P, 3};
	struct thaw_guest_memory memory = {
		.ranges = &range, .range_count = 1, .limit = 0x100000 * P};
	struct thaw_memory_map map;

	memory.fd = thaw_memory_file("test", 0, NULL);
	cr_assert_eq(ftruncate(memory.fd, (off_t)THAW_REGION_END), 0);
	for (uint64_t page = 0; page < 3 * THAW_PIECES_MAX; page++)
		put(memory.fd, 0x1000 + page * 40,
		    "x"); /* gaps longer than the shortest that is kept */
	cr_assert_eq(thaw_memory_map_make(&memory, true, &map, NULL), 0);
	cr_assert_leq(map.count, THAW_PIECES_MAX);
	free(map.pieces);
	close(memory.fd);
}

/* Pieces of one page each, with a hole as long behind each of them but the last. */
Test(state, no_more_pieces_than_a_backend_has_room_for)
{
	struct thaw_range range = {0x1000 * P, 0, 3};
	struct thaw_guest_memory memory = {
		.ranges = &range, .range_count = 1, .limit = 0x100000 * P};
	struct thaw_memory_map map;
	struct thaw_error err = THAW_ERROR_INIT;

	memory.fd = thaw_memory_file("test", 0, NULL);
	cr_assert_eq(ftruncate(memory.fd, (off_t)THAW_REGION_END), 0);
	for (uint64_t page = 0; page < THAW_PIECES_MAX + 1; page += 2)
		put(memory.fd, 0x1000 + page, "x");
	range.length = THAW_PIECES_MAX * P;
	cr_assert_eq(thaw_memory_map_make(&memory, false, &map, &err), 0, "%s", err.message);
	cr_expect_eq(map.count, THAW_PIECES_MAX);
	free(map.pieces);
	range.length += P;
	cr_expect_lt(thaw_memory_map_make(&memory, false, &map, &err), 0);
	cr_expect_eq(err.kind, THAW_ERR_IMAGE);
	close(memory.fd);
}

/* The record that a guest leaves, in a window of WINDOW bytes. */
#define WINDOW 0x10000u
static _Alignas(8) uint8_t window[WINDOW];

static struct thaw_ready *good_record(const struct thaw_vcpu *asked)
{
	struct thaw_ready *record = (struct thaw_ready *)window;

	memset(window, 0, sizeof(window));
	record->abi_version = THAW_ABI_VERSION;
	record->range_count = 1;
	record->ranges[0].start = 0x400000;
	record->ranges[0].length = 2 * P;
	record->ranges[0].prot = 5;
	memcpy(record->registers, asked->registers, sizeof(record->registers));
	record->xsave_mask = asked->xsave_mask;
	record->xsave_length = asked->xsave_length;
	return record;
}

Test(state, a_record_of_the_ready_point_is_taken_as_it_was_asked_for_or_not_at_all)
{
	static struct thaw_ready_state ready;
	const struct thaw_vcpu asked = good_vcpu();
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(thaw_ready_take(good_record(&asked), WINDOW, 2 * P, &asked, &ready, &err), 0,
		     "%s", err.message);
	cr_expect_eq(ready.range_count, 1);
	cr_expect_eq(ready.ranges[0].length, 2 * P);
	cr_expect_eq(ready.vcpu.registers[THAW_RIP], asked.registers[THAW_RIP]);
	cr_expect_eq(ready.vcpu.xsave_length, asked.xsave_length);
	free((void *)(uintptr_t)ready.vcpu.xsave);
	for (int i = 0; i < 8; i++) {
		struct thaw_ready *record = good_record(&asked);
		size_t size = WINDOW;

		switch (i) {
		case 0:
			record->abi_version++;
			break;
		case 1:
			record->range_count = THAW_RANGES_MAX + 1;
			break;
		case 2:
			record->xsave_mask |= 4;
			break;
		case 3:
			record->xsave_length += 64;
			break;
		case 4: /* the vector state would end behind the window */
			size = sizeof(*record) + asked.xsave_length - 1;
			break;
		case 5:
			record->registers[THAW_RIP] = THAW_REGION_END;
			break;
		case 6:
			record->ranges[0].prot = 7;
			break;
		case 7: /* more than its limit */
			record->ranges[0].length = 3 * P;
			break;
		}
		err = (struct thaw_error)THAW_ERROR_INIT;
		cr_expect_lt(thaw_ready_take(record, size, 2 * P, &asked, &ready, &err), 0,
			     "case %d", i);
		cr_expect_eq(err.kind, THAW_ERR_FAILURE, "case %d: %s", i, err.message);
	}
}

Test(state, the_first_stack_is_system_vs)
{
	char a0[] = "prog", a1[] = "--x=1", e0[] = "K=V";
	char *args[] = {a0, a1, NULL}, *env[] = {e0, NULL};
	struct thaw_elf elf = {
		.entry = 0x401000, .phdr_address = 0x400040, .phdr_count = 4, .phdr_size = 56};
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t base, *word;
	uint8_t *bytes;
	size_t length;

	cr_assert_eq(thaw_first_stack_make(&elf, args, env, &bytes, &length, &err), 0, "%s",
		     err.message);
	base = THAW_STACK_TOP - length;
	word = (uint64_t *)bytes;
	cr_assert_eq(base % 16, 0);
	cr_assert_eq(word[0], 2);
	cr_assert_str_eq((char *)bytes + (word[1] - base), "prog");
	cr_assert_str_eq((char *)bytes + (word[2] - base), "--x=1");
	cr_assert_eq(word[3], 0);
	cr_assert_str_eq((char *)bytes + (word[4] - base), "K=V");
	cr_assert_eq(word[5], 0);
	for (word += 6; word[0] != AT_NULL; word += 2)
		if (word[0] == AT_ENTRY)
			cr_assert_eq(word[1], 0x401000);
	free(bytes);
	cr_assert_eq(thaw_first_stack_make(&elf, NULL, NULL, &bytes, &length, &err), 0);
	cr_assert_eq(((uint64_t *)bytes)[0], 0);
	free(bytes);
}

Test(state, a_first_stack_that_would_not_fit_is_refused)
{
	char *args[] = {malloc(THAW_STACK_SIZE), NULL};
	struct thaw_elf elf = {0};
	struct thaw_error err = THAW_ERROR_INIT;
	uint8_t *bytes;
	size_t length;

	memset(args[0], 'a', THAW_STACK_SIZE - 1);
	args[0][THAW_STACK_SIZE - 1] = '\0';
	cr_assert_lt(thaw_first_stack_make(&elf, args, NULL, &bytes, &length, &err), 0);
	cr_assert_eq(err.kind, THAW_ERR_USAGE);
	free(args[0]);
}
