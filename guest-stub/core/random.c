/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The random generator: ChaCha20 with fast key erasure. Each block yields the next key first, so
 * earlier output cannot be computed from a later state. The stack protector's guard comes from a
 * part of the same seed that the generator does not use.
 *
 * The request's seed keys the generator for each invocation. The old key goes in as well, so that a
 * host with weak entropy does not spoil a good key.
 */
#include "guest-stub/core/core.h"

#define KEY_SIZE   32u

#define SEED_WORDS 2u /* of a seed, for the generator */

static THAW_HOT uint8_t key[KEY_SIZE];
static THAW_HOT uint64_t pending[SEED_WORDS];
static THAW_HOT bool seeded;

/* A global, because there is no thread-local storage; the flag -mstack-protector-guard=global. */
THAW_HOT uintptr_t __stack_chk_guard;

static uint32_t load32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static void store32(uint8_t *bytes, uint32_t word)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(word >> 8 * i);
}

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word << bits | word >> (32 - bits);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b, *d = rotate(*d ^ *a, 16);
	*c += *d, *b = rotate(*b ^ *c, 12);
	*a += *b, *d = rotate(*d ^ *a, 8);
	*c += *d, *b = rotate(*b ^ *c, 7);
}

void thaw_core_chacha_block(const uint8_t block_key[32], const uint32_t tail[4], uint8_t out[64])
{
	uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];

	for (unsigned i = 0; i < 8; i++)
		in[4 + i] = load32(block_key + 4 * i);
	for (unsigned i = 0; i < 4; i++)
		in[12 + i] = tail[i];
	for (unsigned i = 0; i < 16; i++)
		x[i] = in[i];
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned j = 0; j < 4; j++)
			quarter_round(&x[j], &x[4 + j], &x[8 + j], &x[12 + j]);
		for (unsigned j = 0; j < 4; j++)
			quarter_round(&x[j], &x[4 + (j + 1) % 4], &x[8 + (j + 2) % 4],
				      &x[12 + (j + 3) % 4]);
	}
	for (unsigned i = 0; i < 16; i++)
		store32(out + 4 * i, x[i] + in[i]);
}

/* Makes one block: its first half becomes the key, its second half is the output. */
static void next_block(uint8_t out[KEY_SIZE])
{
	static const uint32_t zero[4];
	uint8_t block[2 * KEY_SIZE];

	thaw_core_chacha_block(key, zero, block);
	memcpy(key, block, KEY_SIZE);
	memcpy(out, block + KEY_SIZE, KEY_SIZE);
}

/* Mixes a seed that came since the last draw into the key, after replacing the key itself. */
static void take_seed(void)
{
	uint8_t out[KEY_SIZE];

	if (!seeded)
		return;
	seeded = false;
	next_block(out);
	for (unsigned i = 0; i < SEED_WORDS * 8; i++)
		key[i] ^= ((const uint8_t *)pending)[i];
	memset(pending, 0, sizeof(pending));
}

/* Two words of the seed wait for the first draw: most invocations draw nothing, and would otherwise
 * pay for a block or two. The third word is the guard. No stack protector, because the guard
 * changes while this function runs. */
__attribute__((no_stack_protector)) void
thaw_core_random_seed(const uint64_t seed[THAW_SEED_SIZE / 8])
{
	_Static_assert(THAW_SEED_SIZE == 8 * (SEED_WORDS + 1), "a seed is so many words");
	for (unsigned i = 0; i < SEED_WORDS; i++)
		pending[i] ^= seed[i];
	seeded = true;
	/* The guard begins with a zero byte, which ends every string copy that would leak it. */
	__stack_chk_guard = seed[SEED_WORDS] & ~(uintptr_t)0xff;
}

void thaw_random(void *buffer, size_t length)
{
	uint8_t *to = buffer, out[KEY_SIZE];

	take_seed();
	while (length > 0) {
		size_t take = length < KEY_SIZE ? length : KEY_SIZE;

		next_block(out);
		memcpy(to, out, take);
		to += take;
		length -= take;
	}
	memset(out, 0, sizeof(out));
	__asm__ volatile("" ::"r"(out) : "memory"); /* keeps the compiler from dropping the wipe */
}
