/* SPDX-License-Identifier: Apache-2.0 */
/* The program's identity: one process, with the user and group given at freeze. */
#include <linux/capability.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"

long sys_getpid(const uint64_t *a)
{
	(void)a;
	return task_pid();
}

long sys_gettid(const uint64_t *a)
{
	(void)a;
	return task_told(current->tid);
}

long sys_getppid(const uint64_t *a)
{
	(void)a;
	return LINUX_PARENT;
}

long sys_getpgrp(const uint64_t *a)
{
	(void)a;
	return task_pid();
}

static bool is_self(uint64_t pid)
{
	return (int)pid == 0 || task_is_process((int)pid);
}

long sys_getpgid(const uint64_t *a)
{
	return is_self(a[0]) ? task_pid() : -ESRCH;
}

long sys_getsid(const uint64_t *a)
{
	return is_self(a[0]) ? task_pid() : -ESRCH;
}

long sys_setpgid(const uint64_t *a)
{
	return is_self(a[0]) ? 0 : -ESRCH;
}

long sys_setsid(const uint64_t *a)
{
	(void)a;
	return task_pid();
}

long sys_getuid(const uint64_t *a)
{
	(void)a;
	return config.uid;
}

long sys_geteuid(const uint64_t *a)
{
	(void)a;
	return config.uid;
}

long sys_getgid(const uint64_t *a)
{
	(void)a;
	return config.gid;
}

long sys_getegid(const uint64_t *a)
{
	(void)a;
	return config.gid;
}

static long put_three(const uint64_t *addresses, uint32_t id)
{
	for (unsigned i = 0; i < 3; i++)
		if (user_put(addresses[i], &id, sizeof(id)))
			return -EFAULT;
	return 0;
}

long sys_getresuid(const uint64_t *a)
{
	return put_three(a, config.uid);
}

long sys_getresgid(const uint64_t *a)
{
	return put_three(a, config.gid);
}

long sys_getgroups(const uint64_t *a)
{
	(void)a;
	return 0;
}

long sys_setgroups(const uint64_t *a)
{
	(void)a;
	return config.uid == 0 ? 0 : -EPERM;
}

/* Sets an identity as COUNT arguments ask; -1 means no change. Real, effective and saved identity
 * are one. */
static long change(uint32_t *id, const uint64_t *wanted, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t value = (uint32_t)wanted[i];

		if (value == UINT32_MAX || value == *id)
			continue;
		if (config.uid != 0)
			return -EPERM;
		*id = value;
	}
	return 0;
}

long sys_setuid(const uint64_t *a)
{
	return change(&config.uid, a, 1);
}

long sys_setgid(const uint64_t *a)
{
	return change(&config.gid, a, 1);
}

long sys_setreuid(const uint64_t *a)
{
	return change(&config.uid, a, 2);
}

long sys_setregid(const uint64_t *a)
{
	return change(&config.gid, a, 2);
}

long sys_setresuid(const uint64_t *a)
{
	return change(&config.uid, a, 3);
}

long sys_setresgid(const uint64_t *a)
{
	return change(&config.gid, a, 3);
}

long sys_setfsuid(const uint64_t *a)
{
	(void)a;
	return config.uid;
}

long sys_setfsgid(const uint64_t *a)
{
	(void)a;
	return config.gid;
}

/* Sets *WORDS to the number of capability words that the header's version has. For an unknown
 * version sets it to 0 and writes the known version to the header: -EINVAL. */
static int capability_words(uint64_t header, int *words)
{
	struct __user_cap_header_struct head;
	const uint32_t preferred = _LINUX_CAPABILITY_VERSION_3;

	if (user_get(&head, header, sizeof(head)))
		return -EFAULT;
	*words = head.version == _LINUX_CAPABILITY_VERSION_1 ? _LINUX_CAPABILITY_U32S_1
		 : head.version == _LINUX_CAPABILITY_VERSION_2 ||
				 head.version == _LINUX_CAPABILITY_VERSION_3
			 ? _LINUX_CAPABILITY_U32S_3
			 : 0;
	if (*words)
		return 0;
	return user_put(header, &preferred, sizeof(preferred)) ? -EFAULT : -EINVAL;
}

long sys_capget(const uint64_t *a)
{
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
	int words, error = capability_words(a[0], &words);

	/* Without data the call asks for the version. */
	if (!a[1])
		return error == -EINVAL ? 0 : error;
	return error ? error : user_put(a[1], none, (size_t)words * sizeof(none[0]));
}

long sys_capset(const uint64_t *a)
{
	struct __user_cap_data_struct wanted[_LINUX_CAPABILITY_U32S_3];
	int words, error = capability_words(a[0], &words);

	if (error)
		return error;
	if (user_get(wanted, a[1], (size_t)words * sizeof(wanted[0])))
		return -EFAULT;
	for (int i = 0; i < words; i++)
		if (wanted[i].effective || wanted[i].permitted)
			return -EPERM;
	return 0;
}
