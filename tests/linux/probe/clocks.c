/* SPDX-License-Identifier: Apache-2.0 */
/* Time, entropy, identity and the system. */
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

static int64_t ns(struct timespec time)
{
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

void probe_clocks(void)
{
	struct timespec before, after, direct, nap = {0, 3000000};
	struct timeval day;
	struct utsname name;
	struct rusage usage;
	struct tms tms;
	unsigned char random[2][16];
	cpu_set_t cpus;

	clock_gettime(CLOCK_MONOTONIC, &before);
	show(nanosleep(&nap, NULL));
	clock_gettime(CLOCK_MONOTONIC, &after);
	show(ns(after) - ns(before) >= 3000000 && ns(after) - ns(before) < 3000000000);
	/* The C library's clock, by the vDSO, and the system call agree. */
	clock_gettime(CLOCK_REALTIME, &before);
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &direct);
	show(ns(direct) >= ns(before) && ns(direct) - ns(before) < 1000000000);
	gettimeofday(&day, NULL);
	show(day.tv_sec - direct.tv_sec >= 0 && day.tv_sec - direct.tv_sec <= 1);
	show(time(NULL) - direct.tv_sec <= 1);
	show(before.tv_sec > 1700000000);
	show(clock_gettime(1000, &before));
	show(clock_getres(CLOCK_MONOTONIC, &before));
	show(before.tv_nsec);
	nap.tv_nsec = 1000000000;
	show(nanosleep(&nap, NULL));
	show(uname(&name));
	printf("%s %s\n", name.sysname, name.machine);
	show(getrandom(random[0], 16, 0));
	show(getrandom(random[1], 16, GRND_NONBLOCK));
	show(memcmp(random[0], random[1], 16) != 0);
	show(getrandom(random[0], 16, 0x100));
	show(syscall(SYS_getrandom, 16, 16, 0));
	show(getrusage(RUSAGE_SELF, &usage));
	show(times(&tms) > 0);
	show(getpid() == getpgrp() || getpid() > 0);
	show(sched_getaffinity(0, sizeof(cpus), &cpus));
	show(CPU_COUNT(&cpus) > 0);
	show(getpriority(PRIO_PROCESS, 0) >= 0); /* the tests may run under nice */
	show(syscall(9999));
	show(syscall(SYS_membarrier, -1, 0, 0));
}
