/* SPDX-License-Identifier: Apache-2.0 */
/* Reading directories: getdents64, and its predecessor getdents. */
#include "guest-stub/linux/calls_declared.h"

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/memory/user.h"

static long entries(int fd, uint64_t address, uint64_t length)
{
	struct file *file = file_get(fd);
	long result;

	if (!file)
		return -EBADF;
	if (length > INT32_MAX)
		length = INT32_MAX;
	if (!file->operations->entries)
		result = -ENOTDIR;
	else if (!user_writable(address, length))
		result = -EFAULT;
	else
		result = file->operations->entries(file, (void *)address, length);
	file_drop(file);
	return result;
}

long sys_getdents64(const uint64_t *a)
{
	return entries((int)a[0], a[1], a[2]);
}

/* The older record has the type behind the name. It has the same size, because ours has a byte to
 * spare behind the name, so each record is rewritten in place. */
long sys_getdents(const uint64_t *a)
{
	long result = entries((int)a[0], a[1], a[2]);

	for (long at = 0; at < result;) {
		uint8_t *entry = (uint8_t *)a[1] + at;
		uint16_t size;
		uint8_t type = entry[18];

		memcpy(&size, entry + 16, sizeof(size));
		memmove(entry + 18, entry + 19, size - 19u);
		entry[size - 1] = type;
		at += size;
	}
	return result;
}
