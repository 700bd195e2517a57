/* SPDX-License-Identifier: Apache-2.0 */
/* Times and deadlines, read from the program and from the clocks. */
#include "guest-stub/linux/task/time.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/user.h"

struct linux_timespec time_split(uint64_t ns)
{
	return (struct linux_timespec){(int64_t)(ns / SECOND_NS), (int64_t)(ns % SECOND_NS)};
}

int time_get(uint64_t address, uint64_t *ns)
{
	struct linux_timespec value;

	if (user_get(&value, address, sizeof(value)))
		return -EFAULT;
	if (value.seconds < 0 || value.nanoseconds < 0 || value.nanoseconds >= (int64_t)SECOND_NS)
		return -EINVAL;
	/* Beyond 190 years the exact time does not matter, and sums cannot overflow. */
	if (value.seconds > 6000000000)
		value.seconds = 6000000000;
	*ns = (uint64_t)value.seconds * SECOND_NS + (uint64_t)value.nanoseconds;
	return 0;
}

uint64_t time_after(uint64_t ns)
{
	return host_monotonic_ns() + ns + 1;
}

int time_deadline(uint64_t address, bool absolute, bool wall, uint64_t *deadline_ns)
{
	uint64_t ns, now;
	int error = time_get(address, &ns);

	if (error)
		return error;
	if (absolute) {
		now = wall ? host_wall_ns() : host_monotonic_ns();
		ns = ns > now ? ns - now : 0;
	}
	*deadline_ns = time_after(ns);
	return 0;
}

/* At boot, counts from the first call. */
uint64_t time_used_ns(void)
{
	static uint64_t start_ns, start_generation = UINT64_MAX;
	uint64_t now = host_monotonic_ns();

	if (start_generation != host_generation()) {
		start_generation = host_generation();
		start_ns = now;
	}
	return now - start_ns;
}
