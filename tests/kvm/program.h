/* SPDX-License-Identifier: Apache-2.0 */
/* The little programs that test_differential.c makes and guest_program.c runs. */
#ifndef TEST_KVM_PROGRAM_H
#define TEST_KVM_PROGRAM_H

#include <stdint.h>

#define PROGRAM_SLOTS 16u /* blocks of the heap */

enum program_code {
	PROGRAM_MAP, /* of [address, address + length), with protection ARGUMENT */
	PROGRAM_UNMAP,
	PROGRAM_PROTECT,
	PROGRAM_WRITE,	     /* VALUE at ADDRESS */
	PROGRAM_FILL,	     /* a word of each page of [address, address + length) */
	PROGRAM_HASH,	     /* eight words of each page */
	PROGRAM_ALLOCATE,    /* LENGTH bytes for slot ARGUMENT, filled */
	PROGRAM_FREE,	     /* what slot ARGUMENT has */
	PROGRAM_HASH_BLOCK,  /* the same, read */
	PROGRAM_SET_VECTORS, /* registers and control words from VALUE */
	PROGRAM_HASH_VECTORS,
	PROGRAM_LOG,
	PROGRAM_CODES
};

struct program_step {
	uint8_t code, argument;
	uint16_t reserved;
	uint32_t value;
	uint64_t address, length;
};

/* An empty program's response: where there is memory of the image to play with. */
struct program_places {
	uint64_t data, zeroes, length;
};

/* Any other's. */
struct program_result {
	uint64_t hash, steps;
};

#endif
