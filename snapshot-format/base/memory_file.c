/* SPDX-License-Identifier: Apache-2.0 */
/* Memory files; see memory_file.h. */
#include "snapshot-format/base/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* Since Linux 6.3; older kernels refuse unknown flags, and need neither. */
#define NOEXEC_SEAL 0x0008u
#define EXEC	    0x0010u

int thaw_memory_file(const char *name, int flags, struct thaw_error *err)
{
	unsigned base = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, base | (flags & THAW_MEMORY_FILE_EXEC ? EXEC : NOEXEC_SEAL));

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, base);
	if (fd < 0)
		return thaw_fail_errno(
			err, THAW_ERR_ENGINE, errno, "cannot make a memory file%s",
			errno == EACCES ? " to execute from (sysctl vm.memfd_noexec is 2)" : "");
	return fd;
}

/* The kernel refuses, after a wait of its own of some 150 ms, while a page has a reference that it
 * cannot explain: that of a ring's read, but also that of its own migration or reclaim, which soon
 * goes away. A writable mapping would not. */
#define SEAL_TRIES 20

int thaw_memory_file_seal(int fd, struct thaw_error *err)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	for (int tries = 1; fcntl(fd, F_ADD_SEALS, seals); tries++)
		if (errno != EBUSY || tries == SEAL_TRIES)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot seal the memory of an image");
	return 0;
}
