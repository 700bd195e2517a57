/* SPDX-License-Identifier: Apache-2.0 */
/* What test_leak.c asks of guest_secret.c. */
#ifndef TEST_KVM_SECRET_H
#define TEST_KVM_SECRET_H

#include <stdint.h>

#define SECRET_AVX	1u
#define SECRET_FSGSBASE 2u

struct secret_order {
	uint64_t secret[2]; /* canonical, each half for itself */
	uint64_t number;    /* what the gate is called with in the end; 0: nothing is done at all */
	uint64_t flags;
};

#endif
