/* SPDX-License-Identifier: Apache-2.0 */
/* The order that test_leak.c sends to guest_secret.c. */
#ifndef TEST_KVM_SECRET_H
#define TEST_KVM_SECRET_H

#include <stdint.h>

#define SECRET_AVX	1u
#define SECRET_FSGSBASE 2u

struct secret_order {
	uint64_t secret[2]; /* each half is a canonical address */
	uint64_t number;    /* the number of the last call; 0: do nothing at all */
	uint64_t flags;
};

#endif
