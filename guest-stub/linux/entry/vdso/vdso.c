/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO: functions that the C library calls instead of the system calls for time. They read the
 * invocation's clock parameters in the mailbox, where the host puts them, and the core's variables
 * (host/vvar.h). Anything but a plain reading of a clock is left to the system call.
 */
#include <asm/unistd.h>
#include <linux/time.h>
#include <stddef.h>

#include "guest-stub/linux/host/vvar.h"
#include "thaw/abi.h"

#define SECOND_NS 1000000000u

/* The tree is compiled with hidden visibility, and a version script cannot export hidden
 * symbols. */
#pragma GCC visibility push(default)
int __vdso_clock_gettime(int clock, struct timespec *out);
int __vdso_gettimeofday(struct timeval *out, struct timezone *zone);
int __vdso_clock_getres(int clock, struct timespec *out);
long __vdso_time(long *out);
int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);
#pragma GCC visibility pop

static long call2(long number, long a, long b)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b)
			 : "rcx", "r11", "memory");
	return result;
}

static const volatile struct thaw_clock *parameters(void)
{
	return &((const volatile struct thaw_mailbox *)THAW_MAILBOX)->request.clock;
}

static uint64_t since_base(const volatile struct thaw_clock *clock)
{
	uint32_t low, high;
	uint64_t now, base = clock->tsc_base;

	/* The fence keeps the processor from reading the counter ahead of earlier instructions. */
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
	now = (uint64_t)high << 32 | low;
	if (now < base)
		return 0;
	return (uint64_t)((__extension__(unsigned __int128)(now - base) * clock->mult) >>
			  clock->shift);
}

int __vdso_clock_gettime(int clock, struct timespec *out)
{
	const volatile struct thaw_clock *from = parameters();
	uint64_t ns;

	if (from->mult == 0)
		return (int)call2(__NR_clock_gettime, clock, (long)out);
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		ns = from->wall_ns + since_base(from);
		break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
		ns = vvar.monotonic_ns + since_base(from);
		break;
	default:
		return (int)call2(__NR_clock_gettime, clock, (long)out);
	}
	out->tv_sec = (long)(ns / SECOND_NS);
	out->tv_nsec = (long)(ns % SECOND_NS);
	return 0;
}

int __vdso_gettimeofday(struct timeval *out, struct timezone *zone)
{
	const volatile struct thaw_clock *from = parameters();
	uint64_t ns;

	if (from->mult == 0 || zone)
		return (int)call2(__NR_gettimeofday, (long)out, (long)zone);
	if (!out)
		return 0;
	ns = from->wall_ns + since_base(from);
	out->tv_sec = (long)(ns / SECOND_NS);
	out->tv_usec = (long)(ns % SECOND_NS / 1000);
	return 0;
}

int __vdso_clock_getres(int clock, struct timespec *out)
{
	return (int)call2(__NR_clock_getres, clock, (long)out);
}

long __vdso_time(long *out)
{
	const volatile struct thaw_clock *from = parameters();
	long seconds;

	if (from->mult == 0)
		return call2(__NR_time, (long)out, 0);
	seconds = (long)((from->wall_ns + since_base(from)) / SECOND_NS);
	if (out)
		*out = seconds;
	return seconds;
}

int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
	(void)unused;
	if (cpu)
		*cpu = 0;
	if (node)
		*node = 0;
	return 0;
}
