/* SPDX-License-Identifier: Apache-2.0 */
/* Rounding of addresses and sizes to pages and other powers of two. */
#ifndef THAW_ROUND_H
#define THAW_ROUND_H

#include <stdint.h>

/* UNIT is a power of two. */
static inline uint64_t thaw_round_down(uint64_t value, uint64_t unit)
{
	return value & ~(unit - 1);
}

/* UNIT is a power of two. The caller has checked that VALUE + UNIT does not overflow; where it
 * does, the result is 0. */
static inline uint64_t thaw_round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

#endif
