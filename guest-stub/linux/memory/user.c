/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from and to the program's memory. */
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/memory/memory.h"

bool user_still_readable(const void *buffer, size_t length)
{
	return (uint64_t)buffer >= LINUX_MMAP_TOP || user_readable((uint64_t)buffer, length);
}

bool user_still_writable(const void *buffer, size_t length)
{
	return (uint64_t)buffer >= LINUX_MMAP_TOP || user_writable((uint64_t)buffer, length);
}

int user_get(void *to, uint64_t from, size_t length)
{
	if (!user_readable(from, length))
		return -EFAULT;
	memcpy(to, (const void *)from, length);
	return 0;
}

int user_put(uint64_t to, const void *from, size_t length)
{
	if (!user_writable(to, length))
		return -EFAULT;
	memcpy((void *)to, from, length);
	return 0;
}

long user_string(char *buffer, uint64_t from, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		/* One check for each page is enough: no other task runs meanwhile. */
		if ((i == 0 || (from + i) % THAW_PAGE_SIZE == 0) && !user_readable(from + i, 1))
			return -EFAULT;
		buffer[i] = ((const char *)from)[i];
		if (!buffer[i])
			return (long)i;
	}
	return -ENAMETOOLONG;
}

long user_vectors(struct user_vector *vector, uint64_t from, uint64_t count, bool write)
{
	uint64_t total = 0;

	if (count > USER_VECTOR_MAX)
		return -EINVAL;
	if (user_get(vector, from, count * sizeof(*vector)))
		return -EFAULT;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t base = (uint64_t)vector[i].base, length = vector[i].length;

		if (length > INT64_MAX || (total += length) > INT64_MAX)
			return -EINVAL;
		if (!(write ? user_writable(base, length) : user_readable(base, length)))
			return -EFAULT;
	}
	return (long)total;
}
