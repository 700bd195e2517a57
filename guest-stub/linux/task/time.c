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

uint64_t time_now_for(uint64_t deadline_ns)
{
	return deadline_ns & TIME_WALL ? host_wall_ns() | TIME_WALL : host_monotonic_ns();
}

bool time_has_come(uint64_t deadline_ns)
{
	return time_now_for(deadline_ns) >= deadline_ns;
}

uint64_t time_left(uint64_t deadline_ns)
{
	uint64_t now = time_now_for(deadline_ns);

	return deadline_ns > now ? deadline_ns - now : 0;
}

int time_deadline(uint64_t address, bool absolute, bool wall, uint64_t *deadline_ns)
{
	uint64_t ns;
	int error = time_get(address, &ns);

	if (error)
		return error;
	if (absolute)
		*deadline_ns = wall ? ns | TIME_WALL : ns ? ns : 1;
	else
		*deadline_ns = time_after(ns);
	return 0;
}

static uint64_t started_ns;

void time_init(void)
{
	started_ns = host_monotonic_ns();
}

uint64_t time_started_ns(void)
{
	return started_ns;
}

uint64_t time_used_ns(void)
{
	return host_monotonic_ns() - started_ns;
}
