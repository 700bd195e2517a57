/* SPDX-License-Identifier: Apache-2.0 */
/* The time that files get when they change. */
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/host.h"

#define SECOND 1000000000u

struct fs_time fs_now(void)
{
	uint64_t ns = host_wall_ns();

	return (struct fs_time){(int64_t)(ns / SECOND), (uint32_t)(ns % SECOND)};
}
