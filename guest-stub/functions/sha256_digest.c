/* SPDX-License-Identifier: Apache-2.0 */
/* See sha256_digest.h. Plain C, because the baseline processor has no instructions for SHA-256. */
#include "guest-stub/functions/sha256_digest.h"

#include <thaw/guest.h>

/* The fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/* The fractional parts of the square roots of the first eight primes. */
static const uint32_t initial[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word >> bits | word << (32 - bits);
}

static uint32_t load(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static void compress(uint32_t hash[8], const uint8_t *block)
{
	uint32_t w[64];
	uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3];
	uint32_t e = hash[4], f = hash[5], g = hash[6], h = hash[7];

	for (unsigned i = 0; i < 16; i++)
		w[i] = load(block + 4 * i);
	for (unsigned i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) +
		       (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
	}
	for (unsigned i = 0; i < 64; i++) {
		uint32_t t = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			     ((e & f) ^ (~e & g)) + constants[i] + w[i];
		uint32_t u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			     ((a & b) ^ (a & c) ^ (b & c));

		h = g, g = f, f = e, e = d + t;
		d = c, c = b, b = a, a = t + u;
	}
	hash[0] += a, hash[1] += b, hash[2] += c, hash[3] += d;
	hash[4] += e, hash[5] += f, hash[6] += g, hash[7] += h;
}

void sha256_begin(struct sha256_state *state)
{
	memcpy(state->hash, initial, sizeof(initial));
	state->length = 0;
}

void sha256_add(struct sha256_state *state, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	size_t used = state->length % SHA256_BLOCK;

	state->length += length;
	if (used > 0) {
		size_t take = length < SHA256_BLOCK - used ? length : SHA256_BLOCK - used;

		memcpy(state->block + used, from, take);
		from += take;
		length -= take;
		if (used + take < SHA256_BLOCK)
			return;
		compress(state->hash, state->block);
	}
	for (; length >= SHA256_BLOCK; from += SHA256_BLOCK, length -= SHA256_BLOCK)
		compress(state->hash, from);
	memcpy(state->block, from, length);
}

void sha256_end(struct sha256_state *state, uint8_t digest[SHA256_SIZE])
{
	uint8_t padding[SHA256_BLOCK + 8] = {0x80};
	uint64_t bits = state->length * 8;
	/* The padding is a one bit, zeros up to eight bytes short of a block, and the length. */
	size_t zeros = (SHA256_BLOCK + 56 - 1 - state->length % SHA256_BLOCK) % SHA256_BLOCK;

	for (unsigned i = 0; i < 8; i++)
		padding[1 + zeros + i] = (uint8_t)(bits >> (56 - 8 * i));
	sha256_add(state, padding, 1 + zeros + 8);
	for (unsigned i = 0; i < SHA256_SIZE; i++)
		digest[i] = (uint8_t)(state->hash[i / 4] >> (24 - 8 * (i % 4)));
}
