# SPDX-License-Identifier: Apache-2.0
"""An image's age is in the wall clock alone: the other clocks, and every timer on them, go on from the ready point."""
import os
import shutil
import subprocess
import time

import pytest

from harness import tree

BACKENDS = ["kvm", "process"] if tree.kvm_works() else ["process"]
PYTHON = "/usr/bin/python3"
AGE = 3  # seconds that an image waits at least

# Arms a timer of each kind before the ready point, and complains of what is wrong behind it. Times are in milliseconds. A
# long timer has long to go whatever the image's age; a wall timer is due as soon as the image is older than WALL.
CLOCKS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#define LONG 100000
#define SOON 40
#define WALL 1500
#define SLACK 2500 /* less than the image's age, and as much as a slow machine may take */

static void within(const char *what, long low, long got, long high)
{
	if (got < low || got > high)
		printf("%s: %ld is not within %ld..%ld\n", what, got, low, high);
}

static long now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static long asked(clockid_t clock)
{
	struct timespec time;

	syscall(SYS_clock_gettime, clock, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static struct timespec spec(long ms)
{
	return (struct timespec){ms / 1000, ms % 1000 * 1000000};
}

static long of(struct timespec time)
{
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int timer(clockid_t clock, int flags, long first, long period)
{
	const struct itimerspec value = {spec(period), spec(first)};
	int fd = timerfd_create(clock, TFD_NONBLOCK);

	if (timerfd_settime(fd, flags, &value, NULL))
		printf("timerfd_settime: %d\n", errno);
	return fd;
}

static long left(int fd)
{
	struct itimerspec value;

	timerfd_gettime(fd, &value);
	return of(value.it_value);
}

static long expired(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? (long)count : -errno;
}

/* A thread for each kind of wait that another makes: when it ended, by the program's clock. */
static sem_t started;
struct waiter {
	const char *name;
	long (*wait)(void);
	atomic_long ended;
	pthread_t thread;
};

static long by_nanosleep(void)
{
	struct timespec time = spec(SOON);

	return nanosleep(&time, NULL);
}

static long by_sleep_until(void)
{
	struct timespec time = spec(now(CLOCK_MONOTONIC) + SOON);

	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static long by_condition(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t condition;
	pthread_condattr_t kind;
	struct timespec time = spec(now(CLOCK_MONOTONIC) + SOON);

	pthread_condattr_init(&kind);
	pthread_condattr_setclock(&kind, CLOCK_MONOTONIC);
	pthread_cond_init(&condition, &kind);
	pthread_mutex_lock(&mutex);
	return pthread_cond_timedwait(&condition, &mutex, &time) - ETIMEDOUT;
}

static long by_poll(void)
{
	return poll(NULL, 0, SOON);
}

static long by_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(epoll_create1(0), &event, 1, SOON);
}

static long by_long_condition(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	struct timespec time = spec(now(CLOCK_REALTIME) + WALL);

	pthread_mutex_lock(&mutex);
	return pthread_cond_timedwait(&condition, &mutex, &time) - ETIMEDOUT;
}

static long by_wall(void)
{
	struct timespec time = spec(now(CLOCK_REALTIME) + WALL);

	return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &time, NULL);
}

static void *run(void *argument)
{
	struct waiter *waiter = argument;

	sem_post(&started);
	if (waiter->wait())
		printf("%s failed\n", waiter->name);
	waiter->ended = now(CLOCK_MONOTONIC);
	return NULL;
}

static struct waiter waiters[] = {
	{"nanosleep", by_nanosleep}, {"clock_nanosleep", by_sleep_until}, {"condition", by_condition},
	{"poll", by_poll}, {"epoll", by_epoll}, {"wall condition", by_long_condition}, {"wall sleep", by_wall},
};
#define WAITERS (sizeof(waiters) / sizeof(waiters[0]))

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
				   CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
#define CLOCKS (sizeof(clocks) / sizeof(clocks[0]))

static volatile sig_atomic_t alarms;

static void on_signal(int number)
{
	(void)number;
	alarms++;
}

static long uptime(void)
{
	double seconds = 0;
	FILE *file = fopen("/proc/uptime", "r");

	if (fscanf(file, "%lf", &seconds) != 1)
		printf("no uptime\n");
	fclose(file);
	return (long)(seconds * 1000);
}

static long start_time(void)
{
	char line[1000], *at;
	FILE *file = fopen("/proc/self/stat", "r");
	long value = -1;

	if (fgets(line, sizeof(line), file) && (at = strrchr(line, ')')))
		for (int field = 4; field <= 22; field++)
			value = strtol(field == 4 ? at + 3 : at, &at, 10);
	fclose(file);
	return value * 10;
}

int main(void)
{
	const struct itimerval interval = {{0, 0}, {LONG / 1000, 0}};
	struct itimerval current;
	struct itimerspec value = {{0, 0}, spec(LONG)};
	struct sysinfo info;
	struct rusage usage;
	struct tms tms;
	timer_t relative, wall;
	long before[CLOCKS], ticks, wall_before, used;
	int soon, coming, late, periodic, by_clock, canceled;
	char byte;

	signal(SIGALRM, on_signal);
	signal(SIGPROF, on_signal);
	signal(SIGUSR1, on_signal);
	sem_init(&started, 0, 0);
	for (unsigned i = 0; i < WAITERS; i++)
		pthread_create(&waiters[i].thread, NULL, run, &waiters[i]);
	for (unsigned i = 0; i < WAITERS; i++)
		sem_wait(&started);
	alarm(LONG / 1000);
	setitimer(ITIMER_PROF, &interval, NULL);
	timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}, &relative);
	timer_settime(relative, 0, &value, NULL);
	timer_create(CLOCK_REALTIME, &(struct sigevent){.sigev_notify = SIGEV_NONE}, &wall);
	value.it_value = spec(now(CLOCK_REALTIME) + LONG);
	timer_settime(wall, TIMER_ABSTIME, &value, NULL);
	soon = timer(CLOCK_MONOTONIC, 0, SOON, 0);
	coming = timer(CLOCK_BOOTTIME, TFD_TIMER_ABSTIME, now(CLOCK_BOOTTIME) + LONG, 0);
	late = timer(CLOCK_REALTIME, 0, LONG, 0);
	periodic = timer(CLOCK_MONOTONIC, 0, 500, 500);
	by_clock = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME, now(CLOCK_REALTIME) + WALL, 0);
	canceled = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, now(CLOCK_REALTIME) + LONG, 0);
	wall_before = now(CLOCK_REALTIME);
	ticks = times(&tms);
	for (unsigned i = 0; i < CLOCKS; i++)
		before[i] = now(clocks[i]);
	if (read(0, &byte, 1) != 1)
		return 1;

	for (unsigned i = 0; i < CLOCKS; i++)
		within("clock", 0, now(clocks[i]) - before[i], SLACK);
	for (unsigned i = 0; i < CLOCKS; i++)
		within("clock by a call", 0, asked(clocks[i]) - before[i], SLACK);
	within("wall", AGE * 1000 - 100, now(CLOCK_REALTIME) - wall_before, 1000000);
	within("times", 0, (times(&tms) - ticks) * 10, SLACK);
	within("uptime", -20, uptime() - now(CLOCK_MONOTONIC), SLACK);
	sysinfo(&info);
	within("sysinfo", -1000, info.uptime * 1000 - now(CLOCK_MONOTONIC), SLACK);
	getrusage(RUSAGE_SELF, &usage);
	used = usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000;
	within("getrusage", 0, used - before[4], SLACK);
	within("start", -20, now(CLOCK_MONOTONIC) - start_time() - used, SLACK);

	getitimer(ITIMER_PROF, &current);
	within("itimer", LONG - SLACK, current.it_value.tv_sec * 1000 + current.it_value.tv_usec / 1000, LONG);
	within("alarm", LONG - SLACK, alarm(0) * 1000L, LONG + 1000);
	timer_gettime(relative, &value);
	within("posix timer", LONG - SLACK, of(value.it_value), LONG);
	timer_gettime(wall, &value);
	within("posix wall timer", LONG - 1000000, of(value.it_value), LONG - AGE * 1000 + 100);
	within("absolute timerfd", LONG - SLACK, left(coming), LONG);
	within("relative wall timerfd", LONG - SLACK, left(late), LONG);
	within("absolute wall timerfd", 1, expired(by_clock), 1);
	within("canceled timerfd", -ECANCELED, expired(canceled), -ECANCELED);
	within("canceled once", -EAGAIN, expired(canceled), -EAGAIN);
	within("signals", 0, alarms, 0);

	for (unsigned i = 0; i < WAITERS; i++)
		pthread_join(waiters[i].thread, NULL);
	for (unsigned i = 0; i < WAITERS; i++)
		within(waiters[i].name, 0, waiters[i].ended - before[0] + SOON, SLACK);
	poll(&(struct pollfd){soon, POLLIN, 0}, 1, LONG);
	within("timerfd", 1, expired(soon), 1);
	poll(&(struct pollfd){periodic, POLLIN, 0}, 1, LONG);
	within("periodic timerfd", 1, expired(periodic), SLACK / 500);
	printf("done\n");
	return 0;
}
"""


def program(place):
    source, built = place.base / "clocks.c", place.base / "clocks"
    source.write_text(CLOCKS)
    subprocess.run(["cc", "-O1", "-static", f"-DAGE={AGE}", "-pthread", "-o", built, source], check=True)
    return built


def freeze(place, backend, *command, options=()):
    image = place.base / "frozen.thaw"
    place.thaw_ok("freeze", "frozen", "--image", image, "--backend", backend, "--boot-timeout", "300s", *options, "--", *command,
                  timeout=600)
    return image, time.monotonic()


def age(since):
    time.sleep(max(0.0, since + AGE - time.monotonic()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_clocks_go_on_and_timers_keep_what_was_left(place, backend):
    image, frozen = freeze(place, backend, program(place))
    age(frozen)
    for _ in range(2):
        done = place.thaw("run", image, "--backend", backend, "--timeout", "100s", stdin=b"\n", timeout=300)
        assert (done.returncode, done.stdout) == (0, b"done\n"), done


def test_on_a_host_with_a_smaller_uptime(place):
    """As after a reboot, in a time namespace."""
    shift = ["unshare", "--time", "--monotonic", "-1", "--boottime", "-1", "--"]
    if not shutil.which("unshare") or subprocess.run([*shift, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no time namespaces for this user")
    back = str(-int(time.monotonic()) + 5)
    shift = ["unshare", "--time", "--monotonic", back, "--boottime", back, "--"]
    image, frozen = freeze(place, "process", program(place))
    age(frozen)
    done = subprocess.run([*shift, tree.THAW, "run", image, "--timeout", "100s"], input=b"\n", capture_output=True, timeout=300,
                          check=False)
    assert (done.returncode, done.stdout) == (0, b"done\n"), done


PROGRAMS = {
    "asyncio": [PYTHON, "-c", """
import asyncio, sys
async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print((await asyncio.wait_for(reader.read(), 2)).decode().strip())
asyncio.run(main())
"""],
    "perl": ["perl", "-e", "$SIG{ALRM} = sub { die 'late' }; alarm 2; my $x = <STDIN>; alarm 0; print $x"],
    "python-thread": [PYTHON, "-c", """
import sys, threading, time
ticked = threading.Event()
def tick():
    while True:
        time.sleep(0.05)
        ticked.set()
threading.Thread(target=tick, daemon=True).start()
request = sys.stdin.read()
ticked.clear()
print(request.strip() if ticked.wait(30) else 'no tick')
"""],
    "node": ["node", "-e", """
let request = ''
const timer = setTimeout(() => { console.log('late'); process.exit(1) }, 2000)
process.stdin.on('data', piece => request += piece).on('end', () => {
  clearTimeout(timer)
  const tick = setInterval(() => { clearInterval(tick); console.log(request.trim()) }, 20)
})
"""],
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_guard_against_a_late_request_is_not_late_by_the_images_age(place, name):
    command = PROGRAMS[name]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    if os.environ.get("THAW_LAB") == "1":
        pytest.skip("the emulated machine starts it for too long")
    image, frozen = freeze(place, "process", *command, options=["--memory", "256M"])
    age(frozen)
    done = place.thaw("run", image, "--timeout", "60s", stdin=b"in time\n", timeout=300)
    assert (done.returncode, done.stdout) == (0, b"in time\n"), done
