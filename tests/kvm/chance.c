/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers that a seed repeats, and counts that can be scaled; see plain.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tests/kvm/plain.h"

uint64_t plain_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (*seed * UINT64_C(2685821657736338717)) >> 16;
}

uint64_t plain_seed(const char *test)
{
	const char *asked = getenv("THAW_TEST_SEED");
	uint64_t seed = asked ? strtoull(asked, NULL, 0) : 0;

	while (!seed)
		if (getrandom(&seed, sizeof(seed), 0) < 0)
			seed = 1;
	fprintf(stderr, "%s: THAW_TEST_SEED=%#llx\n", test, (unsigned long long)seed);
	return seed;
}

unsigned plain_scaled(unsigned count)
{
	const char *scale = getenv("THAW_TEST_SCALE");
	double scaled = scale ? count * strtod(scale, NULL) : count;

	return scaled < 1 ? 1 : (unsigned)scaled;
}
