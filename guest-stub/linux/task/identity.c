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

/* ---- Users and groups ---- */

/* Files are checked by the effective identity, which is config's. The real and the saved one are those of
 * the freeze until a call changes them. */
struct identity {
	uint32_t *effective;
	uint32_t real, saved;
	bool changed;
};

static struct identity user = {.effective = &config.uid};
static struct identity group = {.effective = &config.gid};

static uint32_t real_of(const struct identity *identity)
{
	return identity->changed ? identity->real : *identity->effective;
}

static uint32_t saved_of(const struct identity *identity)
{
	return identity->changed ? identity->saved : *identity->effective;
}

static long set_all(struct identity *identity, uint32_t real, uint32_t effective, uint32_t saved)
{
	*identity->effective = effective;
	identity->real = real;
	identity->saved = saved;
	identity->changed = true;
	return 0;
}

/* Whether the program may take ID on: root may take any. */
static bool may_take(const struct identity *identity, uint32_t id, bool saved_too)
{
	return config.uid == 0 || id == UINT32_MAX || id == real_of(identity) ||
	       id == *identity->effective || (saved_too && id == saved_of(identity));
}

static uint32_t or_else(uint32_t id, uint32_t otherwise)
{
	return id == UINT32_MAX ? otherwise : id;
}

static long set_one(struct identity *identity, uint32_t id)
{
	if (id == UINT32_MAX)
		return -EINVAL;
	if (config.uid == 0)
		return set_all(identity, id, id, id);
	if (id != real_of(identity) && id != saved_of(identity))
		return -EPERM;
	return set_all(identity, real_of(identity), id, saved_of(identity));
}

static long set_two(struct identity *identity, uint32_t real, uint32_t effective)
{
	uint32_t new = or_else(effective, *identity->effective);
	bool saves =
		real != UINT32_MAX || (effective != UINT32_MAX && effective != real_of(identity));

	if (!may_take(identity, real, false) || !may_take(identity, effective, true))
		return -EPERM;
	return set_all(identity, or_else(real, real_of(identity)), new,
		       saves ? new : saved_of(identity));
}

static long set_three(struct identity *identity, const uint64_t *a)
{
	for (int i = 0; i < 3; i++)
		if (!may_take(identity, (uint32_t)a[i], true))
			return -EPERM;
	return set_all(identity, or_else((uint32_t)a[0], real_of(identity)),
		       or_else((uint32_t)a[1], *identity->effective),
		       or_else((uint32_t)a[2], saved_of(identity)));
}

static long put_three(const struct identity *identity, const uint64_t *addresses)
{
	const uint32_t ids[3] = {real_of(identity), *identity->effective, saved_of(identity)};

	for (unsigned i = 0; i < 3; i++)
		if (user_put(addresses[i], &ids[i], sizeof(ids[i])))
			return -EFAULT;
	return 0;
}

long sys_getuid(const uint64_t *a)
{
	(void)a;
	return real_of(&user);
}

long sys_geteuid(const uint64_t *a)
{
	(void)a;
	return config.uid;
}

long sys_getgid(const uint64_t *a)
{
	(void)a;
	return real_of(&group);
}

long sys_getegid(const uint64_t *a)
{
	(void)a;
	return config.gid;
}

long sys_getresuid(const uint64_t *a)
{
	return put_three(&user, a);
}

long sys_getresgid(const uint64_t *a)
{
	return put_three(&group, a);
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

long sys_setuid(const uint64_t *a)
{
	return set_one(&user, (uint32_t)a[0]);
}

long sys_setgid(const uint64_t *a)
{
	return set_one(&group, (uint32_t)a[0]);
}

long sys_setreuid(const uint64_t *a)
{
	return set_two(&user, (uint32_t)a[0], (uint32_t)a[1]);
}

long sys_setregid(const uint64_t *a)
{
	return set_two(&group, (uint32_t)a[0], (uint32_t)a[1]);
}

long sys_setresuid(const uint64_t *a)
{
	return set_three(&user, a);
}

long sys_setresgid(const uint64_t *a)
{
	return set_three(&group, a);
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
	struct __user_cap_header_struct head;
	int words, error = capability_words(a[0], &words);

	/* Without data the call asks for the version. */
	if (!a[1])
		return error == -EINVAL ? 0 : error;
	if (!error && user_get(&head, a[0], sizeof(head)))
		error = -EFAULT;
	if (!error && head.pid < 0)
		error = -EINVAL;
	if (!error && head.pid && !task_by_tid(head.pid))
		error = -ESRCH;
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
