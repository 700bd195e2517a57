/* SPDX-License-Identifier: Apache-2.0 */
/* The system as the program sees it: its name, limits, entropy, prctl and other small calls. */
#include <asm/prctl.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/draws.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/cpu.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

/* Of an image whose tree does not tell its limit. A modest figure keeps programs that size their heap
 * by it from asking for much. */
#define MEMORY_SHOWN (256ul << 20)

long sys_uname(const uint64_t *a)
{
	static const struct new_utsname name = {
		.sysname = "Linux",
		.nodename = "thaw",
		.release = "6.1.0-thaw",
		.version = "#1 Thaw",
		.machine = "x86_64",
		.domainname = "(none)",
	};

	return user_put(a[0], &name, sizeof(name));
}

uint64_t system_memory(void)
{
	uint64_t mapped = memory_mapped();

	if (config.memory_limit)
		return config.memory_limit;
	return mapped > MEMORY_SHOWN / 2 ? 2 * mapped : MEMORY_SHOWN;
}

long sys_sysinfo(const uint64_t *a)
{
	uint64_t mapped = memory_mapped();
	struct sysinfo info;

	memset(&info, 0, sizeof(info));
	info.uptime = (long)(host_monotonic_ns() / SECOND_NS);
	info.totalram = system_memory();
	info.freeram = mapped < info.totalram ? info.totalram - mapped : 0;
	info.procs = 1;
	info.mem_unit = 1;
	return user_put(a[0], &info, sizeof(info));
}

/* As much as can be reserved. */
#define ADDRESSES (48ul << 30)

/* These limits are remembered and shown, and that of descriptors is enforced. What really limits is
 * the function's memory and time. */
static struct rlimit64 limits[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = {RLIM64_INFINITY, RLIM64_INFINITY},
	[RLIMIT_FSIZE] = {RLIM64_INFINITY, RLIM64_INFINITY},
	[RLIMIT_DATA] = {RLIM64_INFINITY, RLIM64_INFINITY},
	[RLIMIT_STACK] = {LINUX_STACK, RLIM64_INFINITY},
	[RLIMIT_CORE] = {0, 0},
	[RLIMIT_RSS] = {RLIM64_INFINITY, RLIM64_INFINITY},
	[RLIMIT_NPROC] = {TASKS_MAX, TASKS_MAX},
	[RLIMIT_NOFILE] = {FILES_MAX, FILES_MAX},
	[RLIMIT_MEMLOCK] = {RLIM64_INFINITY, RLIM64_INFINITY},
	/* Runtimes reserve a part of this: .NET half of it, newer Haskell two thirds. */
	[RLIMIT_AS] = {ADDRESSES, RLIM64_INFINITY},
	[RLIMIT_LOCKS] = {RLIM64_INFINITY, RLIM64_INFINITY},
	[RLIMIT_SIGPENDING] = {1024, 1024},
	[RLIMIT_MSGQUEUE] = {0, 0},
	[RLIMIT_NICE] = {0, 0},
	[RLIMIT_RTPRIO] = {0, 0},
	[RLIMIT_RTTIME] = {RLIM64_INFINITY, RLIM64_INFINITY},
};

void system_limit(unsigned resource, uint64_t *soft, uint64_t *hard)
{
	*soft = limits[resource].rlim_cur;
	*hard = limits[resource].rlim_max;
}

static long set_limit(unsigned resource, const struct rlimit64 *new)
{
	if (new->rlim_cur > new->rlim_max)
		return -EINVAL;
	if (new->rlim_max > limits[resource].rlim_max)
		return -EPERM;
	limits[resource] = *new;
	if (resource == RLIMIT_NOFILE)
		file_set_limit(new->rlim_cur);
	return 0;
}

long sys_prlimit64(const uint64_t *a)
{
	struct rlimit64 new;

	if ((int)a[0] != 0 && !task_by_tid((int)a[0]))
		return -ESRCH;
	if (a[1] >= RLIM_NLIMITS)
		return -EINVAL;
	if (a[2] && user_get(&new, a[2], sizeof(new)))
		return -EFAULT;
	if (a[3] && user_put(a[3], &limits[a[1]], sizeof(new)))
		return -EFAULT;
	return a[2] ? set_limit((unsigned)a[1], &new) : 0;
}

long sys_getrlimit(const uint64_t *a)
{
	return a[0] >= RLIM_NLIMITS ? -EINVAL : user_put(a[1], &limits[a[0]], sizeof(limits[0]));
}

long sys_setrlimit(const uint64_t *a)
{
	struct rlimit64 new;

	if (a[0] >= RLIM_NLIMITS)
		return -EINVAL;
	if (user_get(&new, a[1], sizeof(new)))
		return -EFAULT;
	return set_limit((unsigned)a[0], &new);
}

long sys_getrandom(const uint64_t *a)
{
	uint64_t length = a[1] < INT32_MAX ? a[1] : INT32_MAX;

	if (a[2] & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	if (!user_writable(a[0], length))
		return -EFAULT;
	draw_random((void *)a[0], length, a[2] & (GRND_NONBLOCK | GRND_INSECURE));
	return (long)length;
}

long sys_arch_prctl(const uint64_t *a)
{
	uint64_t value;

	switch ((int)a[0]) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (a[1] >= THAW_BASE_END)
			return -EPERM;
		if ((int)a[0] == ARCH_SET_FS)
			segments_set(a[1], segments_gs());
		else
			segments_set(segments_fs(), a[1]);
		return 0;
	case ARCH_GET_FS:
	case ARCH_GET_GS:
		value = (int)a[0] == ARCH_GET_FS ? segments_fs() : segments_gs();
		return user_put(a[1], &value, sizeof(value));
	case ARCH_GET_CPUID:
		return 1;
	case ARCH_SET_CPUID:
		return -ENODEV;
	default:
		return -EINVAL;
	}
}

static long set_name(uint64_t address)
{
	char name[TASK_NAME_SIZE] = "";
	long length = user_string(name, address, sizeof(name));

	if (length == -EFAULT)
		return length;
	name[TASK_NAME_SIZE - 1] = '\0';
	memcpy(current->name, name, sizeof(name));
	return 0;
}

long sys_prctl(const uint64_t *a)
{
	static int dumpable = 1, death_signal, no_new_privileges, subreaper;

	switch ((int)a[0]) {
	case PR_SET_NAME:
		return set_name(a[1]);
	case PR_GET_NAME:
		return user_put(a[1], current->name, sizeof(current->name));
	case PR_SET_DUMPABLE:
		if (a[1] > 1)
			return -EINVAL;
		dumpable = (int)a[1];
		return 0;
	case PR_GET_DUMPABLE:
		return dumpable;
	case PR_SET_PDEATHSIG:
		death_signal = (int)a[1];
		return 0;
	case PR_GET_PDEATHSIG:
		return user_put(a[1], &death_signal, sizeof(death_signal));
	case PR_SET_NO_NEW_PRIVS:
		no_new_privileges = 1;
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return no_new_privileges;
	case PR_SET_CHILD_SUBREAPER:
		subreaper = a[1] != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return user_put(a[1], &subreaper, sizeof(subreaper));
	case PR_GET_SECCOMP:
	case PR_GET_KEEPCAPS:
	case PR_GET_SECUREBITS:
	case PR_CAPBSET_READ:
	case PR_GET_TIMING:
	case PR_GET_THP_DISABLE:
		return 0;
	case PR_SET_KEEPCAPS:
	case PR_SET_TIMERSLACK:
	case PR_SET_THP_DISABLE:
	case PR_SET_PTRACER:
		return 0;
	case PR_GET_TIMERSLACK:
		return 50000;
	default:
		/* PR_SET_VMA names anonymous memory. Every malloc asks for it and expects it to
		 * fail, so it is not logged. */
		if ((int)a[0] != PR_SET_VMA)
			log_once(LOG_KEY_PRCTL, "refused: prctl(%d) (EINVAL)", (int)a[0]);
		return -EINVAL;
	}
}

long sys_personality(const uint64_t *a)
{
	return (uint32_t)a[0] == UINT32_MAX || a[0] == 0 ? 0 : -EINVAL;
}

long sys_getcpu(const uint64_t *a)
{
	const uint32_t zero = 0;

	if ((a[0] && user_put(a[0], &zero, sizeof(zero))) ||
	    (a[1] && user_put(a[1], &zero, sizeof(zero))))
		return -EFAULT;
	return 0;
}
