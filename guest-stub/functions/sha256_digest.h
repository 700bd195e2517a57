/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), in pieces. */
#ifndef THAW_FUNCTIONS_SHA256_DIGEST_H
#define THAW_FUNCTIONS_SHA256_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE  32u
#define SHA256_BLOCK 64u

struct sha256_state {
	uint32_t hash[8];
	uint64_t length;	     /* bytes so far */
	uint8_t block[SHA256_BLOCK]; /* the last LENGTH % 64 of them */
};

void sha256_begin(struct sha256_state *state);
void sha256_add(struct sha256_state *state, const void *bytes, size_t length);
/* STATE is undefined afterwards. */
void sha256_end(struct sha256_state *state, uint8_t digest[SHA256_SIZE]);

#endif
