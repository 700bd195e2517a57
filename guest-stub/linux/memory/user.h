/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's pointers. The core checks each against the table of mappings before it follows it,
 * and so never faults on one.
 */
#ifndef THAW_LINUX_USER_H
#define THAW_LINUX_USER_H

#include "guest-stub/linux/linux.h"

/* Whether the program may read, or write, all of [ADDRESS, ADDRESS + LENGTH). If so the core can do
 * it as well from now on: pages that come on demand are there, and pages that flip are writable
 * for user_writable(). */
bool user_readable(uint64_t address, uint64_t length);
bool user_writable(uint64_t address, uint64_t length);

/* The same for a buffer that was checked before a wait, during which another task may have unmapped
 * it. True for a buffer of the core's own. */
bool user_still_readable(const void *buffer, size_t length);
bool user_still_writable(const void *buffer, size_t length);

/* Copy LENGTH bytes from, or to, the program's memory. 0 or -EFAULT. */
int user_get(void *to, uint64_t from, size_t length);
int user_put(uint64_t to, const void *from, size_t length);

/* Copies the program's string at FROM, of at most SIZE - 1 bytes, and its zero to BUFFER. Returns
 * its length, -EFAULT, or -ENAMETOOLONG with BUFFER full and unterminated. */
long user_string(char *buffer, uint64_t from, size_t size);

/* Copies the program's iovec array of COUNT entries to VECTOR and checks each buffer, for writing
 * if WRITE. Returns the sum of their lengths, -EFAULT or -EINVAL. */
struct user_vector {
	uint8_t *base;
	uint64_t length;
};
#define USER_VECTOR_MAX 1024
long user_vectors(struct user_vector *vector, uint64_t from, uint64_t count, bool write);

#endif
