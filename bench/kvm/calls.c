/* SPDX-License-Identifier: Apache-2.0 */
/* Counting wrappers; see calls.h. Each thread has its own counts. */
#include "bench/kvm/calls.h"

#include <linux/kvm.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

static _Thread_local struct call_counts counts;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == KVM_RUN)
		counts.kvm_run++;
	else if (request != KVM_GET_STATS_FD)
		counts.other_ioctl++;
	return __real_ioctl(fd, request, argument);
}

#define COUNTED(type, name, parameters, arguments)                                                 \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		counts.memory++;                                                                   \
		return __real_##name arguments;                                                    \
	}

COUNTED(void *, mmap, (void *at, size_t length, int prot, int flags, int fd, off_t offset),
	(at, length, prot, flags, fd, offset))
COUNTED(int, munmap, (void *at, size_t length), (at, length))
COUNTED(int, mprotect, (void *at, size_t length, int prot), (at, length, prot))
COUNTED(int, madvise, (void *at, size_t length, int advice), (at, length, advice))
COUNTED(int, fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length))

void calls_reset(void)
{
	counts = (struct call_counts){0};
}

void calls_read(struct call_counts *out)
{
	*out = counts;
}
