/* SPDX-License-Identifier: Apache-2.0 */
/* The Linux core as a program file, like any other program that is booted. */
#include "engine/boot/linux_core.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/memory_file.h"

extern const uint8_t thaw_linux_core[], thaw_linux_core_end[];

int thaw_linux_core_file(struct thaw_error *err)
{
	size_t size = (size_t)(thaw_linux_core_end - thaw_linux_core);
	thaw_autoclose int fd = thaw_memory_file("thaw-linux", 0, err);

	if (fd < 0)
		return -1;
	if (write(fd, thaw_linux_core, size) != (ssize_t)size)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot write the Linux core to memory");
	return thaw_take_fd(&fd);
}
