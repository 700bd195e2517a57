/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that the compiler calls by itself, for shims that have no library. They do not use
 * vector registers, which are the guest's. */
#include "guest-stub/shim/bytes.h"

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(length) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t length)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(length) : "a"(byte) : "memory");
	return to;
}
