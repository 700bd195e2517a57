/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the generators of random sequences share. Standard input has lines "SEED STEPS"; for each the
 * program prints what every call answered. The sequence depends on the seed alone, and no answer
 * depends on time, so the output is the same natively and as a function.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t state; /* of the generator */
static unsigned step;  /* of the sequence */

static unsigned draw(unsigned below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

/* Prints what CALL answered, and the error if that is -1. */
static void tell(const char *call, long a, long b, long result)
{
	int error = errno;

	printf("%u %s %ld %ld: %ld %s\n", step, call, a, b, result,
	       result == -1 ? strerror(error) : "");
}

/* Runs the sequences that standard input asks for: BEGIN, then STEPS random ones of the COUNT calls, and
 * CHECK (may be NULL) after each ten. */
static int run_sequences(void (*begin)(void), void (*const calls[])(void), unsigned count,
			 void (*check)(void))
{
	unsigned long long seed;
	unsigned steps;

	while (scanf("%llu %u", &seed, &steps) == 2) {
		state = seed;
		printf("seed %llu\n", seed);
		begin();
		for (step = 0; step < steps; step++) {
			calls[draw(count)]();
			if (check && step % 10 == 9)
				check();
		}
	}
	return 0;
}

#endif
