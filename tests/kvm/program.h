/* SPDX-License-Identifier: Apache-2.0 */
/* The small programs that test_differential.c makes and guest_program.c runs. */
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
	PROGRAM_FREE,	     /* the block of slot ARGUMENT */
	PROGRAM_HASH_BLOCK,  /* read that block */
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

/* The response of an empty program: addresses of image memory to use. */
struct program_places {
	uint64_t data, zeroes, length;
};

/* The response of any other program. */
struct program_result {
	uint64_t hash, steps;
};

#endif
