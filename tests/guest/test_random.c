/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's random generator: its block function by RFC 8439, and the promises of seeding. */
#include <criterion/criterion.h>

#include "tests/guest/native.h"

extern uintptr_t __stack_chk_guard;

/* RFC 8439, 2.3.2. */
Test(random, chacha20_block)
{
	static const uint8_t want[64] = {
		0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
		0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
		0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
		0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
		0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e,
	};
	/* Counter 1, nonce 00:00:00:09:00:00:00:4a:00:00:00:00. */
	static const uint32_t tail[4] = {1, 0x09000000, 0x4a000000, 0};
	uint8_t key[32], got[64];

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	thaw_core_chacha_block(key, tail, got);
	cr_assert_arr_eq(got, want, sizeof(want));
}

/* RFC 8439, A.1, test vector 1: all zero. */
Test(random, chacha20_block_of_nothing)
{
	static const uint8_t want[16] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90,
					 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28};
	static const uint32_t tail[4];
	static const uint8_t key[32];
	uint8_t got[64];

	thaw_core_chacha_block(key, tail, got);
	cr_assert_arr_eq(got, want, sizeof(want));
}

static void seed_with(uint8_t byte)
{
	uint64_t seed[THAW_SEED_SIZE / 8];

	memset(seed, byte, sizeof(seed));
	thaw_core_random_seed(seed);
}

/* A clone is the same memory with another seed: recreate the state from the same history and seed
 * it anew. */
Test(random, clones_of_one_state_differ_by_their_seed)
{
	uint8_t first[64], second[64];
	uintptr_t guard;

	seed_with(1);
	guard = __stack_chk_guard;
	thaw_random(first, sizeof(first));
	seed_with(2);
	thaw_random(second, sizeof(second));
	cr_assert_arr_neq(first, second, sizeof(first));
	cr_assert_neq(__stack_chk_guard, guard, "the stack guard is new in each invocation");
	cr_assert_eq(__stack_chk_guard & 0xff, 0, "a string cannot copy the guard");
}

Test(random, one_seed_with_two_histories_differs)
{
	uint8_t first[64], second[64];

	seed_with(1);
	thaw_random(first, sizeof(first));
	seed_with(1);
	thaw_random(second, sizeof(second));
	cr_assert_arr_neq(first, second, sizeof(first), "what the generator held is mixed in");
}

Test(random, fills_exactly_what_was_asked)
{
	uint8_t bytes[300];

	for (size_t length = 0; length < 200; length++) {
		unsigned different = 0;

		memset(bytes, 0xa5, sizeof(bytes));
		thaw_random(bytes + 8, length);
		for (size_t i = 0; i < 8; i++)
			cr_assert(bytes[i] == 0xa5 && bytes[8 + length + i] == 0xa5, "length %zu",
				  length);
		for (size_t i = 0; i < length; i++)
			different += bytes[8 + i] != 0xa5;
		cr_assert_geq(different, length * 9 / 10 - (length < 10 ? length * 9 / 10 : 3));
	}
}
