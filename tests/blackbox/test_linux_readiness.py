# SPDX-License-Identifier: Apache-2.0
"""When a Linux program is ready, what it is told of its files, and that its threads take turns: as natively."""
import os
import subprocess

import pytest

from harness import tree

BACKENDS = ["kvm", "process"] if tree.kvm_works() else ["process"]

# name: what reads the request, by looking again and again or through other calls than read().
READERS = {
    "poll": "struct pollfd p = {0, POLLIN, 0}; while (poll(&p, 1, 0) == 0) usleep(1000);",
    "poll-busy": "struct pollfd p = {0, POLLIN, 0}; while (poll(&p, 1, 0) == 0) sched_yield();",
    "select": "for (;;) { fd_set s; struct timeval z = {0, 0}, t = {0, 1000}; FD_ZERO(&s); FD_SET(0, &s);"
              " if (select(1, &s, 0, 0, &z) > 0) break; select(0, 0, 0, 0, &t); }",
    "epoll": "struct timespec t = {0, 1000000}; add(e, 0, EPOLLIN);"
             " while (epoll_wait(e, &out, 1, 0) == 0) clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0);",
    "left": "int n = 0; while (!ioctl(0, FIONREAD, &n) && !n) poll(0, 0, 1);",
    "again": "int n; fcntl(0, F_SETFL, O_NONBLOCK); while ((n = read(0, text, 99)) < 0 && errno == EAGAIN) usleep(1000);"
             " write(1, text, n);",
    "poll-on-set": "struct pollfd p = {e, POLLIN, 0}; add(e, 0, EPOLLIN); printf(\"%d\\n\", poll(&p, 1, -1)); fflush(stdout);",
    "select-on-set": "fd_set s; FD_ZERO(&s); FD_SET(e, &s); add(e, 0, EPOLLIN);"
                     " printf(\"%d\\n\", select(e + 1, &s, 0, 0, 0)); fflush(stdout);",
    "set-in-sets": "int o = epoll_create1(0), oo = epoll_create1(0); add(e, 0, EPOLLIN | EPOLLET); add(o, e, EPOLLIN);"
                   " add(oo, o, EPOLLIN | EPOLLET); printf(\"%d\\n\", epoll_wait(oo, &out, 1, -1)); fflush(stdout);",
    "splice": "while (splice(0, 0, 1, 0, 65536, 0) > 0) ;",
    "tee": "long n = tee(0, 1, 65536, 0); printf(\" %ld\\n\", n); fflush(stdout);",
    "vmsplice": "struct iovec v = {text, 3}; long n = vmsplice(0, &v, 1, 0); write(1, text, n);",
}

READER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
static char text[100];
static struct epoll_event out;
static void add(int set, int fd, unsigned events)
{
	struct epoll_event event = {.events = events};
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}
int main(void)
{
	int e = epoll_create1(0);
	long got;
	(void)add, (void)out;
	{ BODY }
	while ((got = read(0, text, sizeof(text))) > 0)
		if (write(1, text, got) != got)
			return 1;
	close(e);
	return 7;
}
"""

# The main thread never waits; the other one must come to its turn, by each kind of call.
TURNS = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <linux/futex.h>
#include <unistd.h>
static atomic_int turn;
static void *other(void *argument)
{
	(void)argument;
	for (int i = 0; i < 50; i++) {
		while (turn % 2 == 0)
			syscall(SYS_getppid);
		turn++;
	}
	return 0;
}
int main(void)
{
	int e = epoll_create1(0), f = eventfd(0, EFD_NONBLOCK), word = 0;
	struct epoll_event event = {.events = EPOLLIN}, out;
	uint64_t value = 1;
	pthread_t thread;
	char text[100];
	long got = read(0, text, sizeof(text));
	epoll_ctl(e, EPOLL_CTL_ADD, f, &event);
	pthread_create(&thread, 0, other, 0);
	for (int i = 0; i < 50; i++) {
		turn++;
		while (turn % 2) {
			value = 1;
			write(f, &value, 8);
			epoll_wait(e, &out, 1, -1);
			read(f, &value, 8);
			syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0);
		}
	}
	pthread_join(thread, 0);
	printf("%d %ld\n", turn, got);
	return 0;
}
"""

# Timers whose signals go to a thread: the C library's own (SIGEV_THREAD), and one that the program names.
TIMERS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
static atomic_int fired, told, where, overrun, tid;
static void notify(union sigval value) { fired += value.sival_int; }
static void handle(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	told = info->si_value.sival_int + info->si_code;
	overrun = info->si_overrun;
	where = (int)syscall(SYS_gettid);
}
static void *other(void *argument)
{
	sigset_t set = *(sigset_t *)argument;
	tid = (int)syscall(SYS_gettid);
	while (!where)
		usleep(500);
	pthread_sigmask(SIG_BLOCK, &set, 0);
	where = 0;
	tid = -tid;
	while (overrun >= 0)
		usleep(500);
	usleep(20000);
	pthread_sigmask(SIG_UNBLOCK, &set, 0);
	return 0;
}
int main(void)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify};
	struct itimerspec once = {{0, 0}, {0, 1000000}}, often = {{0, 1000000}, {0, 1000000}}, off = {0};
	timer_t timer, named;
	pthread_t thread;
	sigset_t set;
	char byte;
	while (read(0, &byte, 1) > 0)
		;
	event.sigev_value.sival_int = 5;
	printf("create %d\n", timer_create(CLOCK_MONOTONIC, &event, &timer));
	timer_settime(timer, 0, &once, 0);
	for (int i = 0; i < 1000 && !fired; i++)
		usleep(1000);
	printf("fired %d\n", fired);
	sigaction(SIGRTMIN + 1, &action, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	pthread_create(&thread, 0, other, &set);
	while (!tid)
		usleep(500);
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = SIGRTMIN + 1;
	event.sigev_value.sival_int = 42;
	event.sigev_notify_thread_id = tid;
	printf("named %d\n", timer_create(CLOCK_MONOTONIC, &event, &named));
	timer_settime(named, 0, &once, 0);
	while (tid > 0)
		usleep(500);
	printf("told %d, overrun %d\n", told, overrun);
	timer_settime(named, 0, &often, 0);
	overrun = -1;
	pthread_join(thread, 0);
	timer_settime(named, 0, &off, 0);
	printf("in the thread %d, missed some %d\n", where == -tid, overrun > 5);
	event.sigev_notify_thread_id = 999999;
	printf("no such thread %d %d\n", timer_create(CLOCK_MONOTONIC, &event, &named), errno);
	event.sigev_notify = 77;
	printf("no such way %d %d\n", timer_create(CLOCK_MONOTONIC, &event, &named), errno);
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = 65;
	printf("no such signal %d %d\n", timer_create(CLOCK_MONOTONIC, &event, &named), errno);
	return 0;
}
"""

BANNER = r"""
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	char text[100];
	for (int i = 0; i < LINES; i++)
		printf("line %d of what is written before the first read\n", i);
	fflush(stdout);
	long got = read(0, text, sizeof(text));
	return got > 0 && write(1, text, got) == got ? 0 : 1;
}
"""


def build(place, name, source, *flags, compiler=None):
    path = place / f"{name}.c"
    path.write_text(source)
    command = (compiler or os.environ.get("CC", "cc")).split()
    subprocess.run([*command, "-w", "-O1", "-pthread", *flags, "-o", str(place / name), str(path)], check=True)
    return str(place / name)


def freeze(backend, image, *command, options=()):
    return subprocess.run([tree.THAW, "freeze", "--backend", backend, "--image", str(image), *options, "f", "--",
                           *command], capture_output=True, timeout=300, check=False)


def compare(backend, place, program, request=b"the request\n", options=(), times=2):
    native = subprocess.run(f"{program} | cat; exit ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash", input=request,
                            capture_output=True, timeout=60, check=False)
    frozen = freeze(backend, place / "image.thaw", program, options=options)
    assert frozen.returncode == 0, frozen.stderr
    for _ in range(times):
        thawed = subprocess.run([tree.THAW, "run", "--backend", backend, str(place / "image.thaw")], input=request,
                                capture_output=True, timeout=300, check=False)
        assert (thawed.returncode, thawed.stdout) == (native.returncode, native.stdout), thawed.stderr


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reader", READERS)
def test_the_ready_point_is_found(tmp_path, backend, reader):
    # Without a working set: the empty request that records it is one that "left" looks for in vain, as it does natively.
    compare(backend, tmp_path, build(tmp_path, "reader", READER.replace("BODY", READERS[reader])),
            options=("--no-working-set",))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_at_work_is_not_ready(tmp_path, backend):
    """It looks and sleeps, but does something else as well: what it does comes before the image."""
    body = ("struct pollfd p = {0, POLLIN, 0}; for (int i = 0; i < 20 && poll(&p, 1, 0) == 0; i++)"
            " { usleep(1000); write(1, \".\", 1); } while (poll(&p, 1, 0) == 0) usleep(1000);")
    program = build(tmp_path, "reader", READER.replace("BODY", body))
    frozen = freeze(backend, tmp_path / "image.thaw", program)
    assert frozen.returncode == 0, frozen.stderr
    thawed = subprocess.run([tree.THAW, "run", "--backend", backend, str(tmp_path / "image.thaw")], input=b"x",
                            capture_output=True, timeout=60, check=False)
    assert (thawed.returncode, thawed.stdout) == (7, b"." * 20 + b"x")


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_take_turns(tmp_path, backend):
    compare(backend, tmp_path, build(tmp_path, "turns", TURNS))


@pytest.mark.parametrize("libc", ["cc", "musl-gcc"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_timer_signals_a_thread(tmp_path, backend, libc):
    if subprocess.run(["which", libc], capture_output=True, check=False).returncode:
        pytest.skip(f"{libc} is not installed")
    compare(backend, tmp_path, build(tmp_path, "timers", TIMERS, compiler=libc))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_written_before_the_ready_point_is_whole(tmp_path, backend):
    compare(backend, tmp_path, build(tmp_path, "banner", BANNER, "-DLINES=8000"))


def test_more_than_a_response_holds_fails(tmp_path):
    program = build(tmp_path, "banner", BANNER, "-DLINES=1500000")
    frozen = freeze("process", tmp_path / "image.thaw", program, options=("--memory", "256M"))
    assert frozen.returncode != 0 and b"standard output before its ready point" in frozen.stderr
    frozen = freeze("process", tmp_path / "image.thaw", program, options=("--memory", "32M"))
    assert frozen.returncode != 0 and b"no memory to keep" in frozen.stderr


def test_a_program_that_ends_shows_what_it_wrote(tmp_path):
    script = "echo first; echo; printf 'cannot open \\033[1mconfig\\n'; echo 'and to the log' >&2; exit 2"
    frozen = freeze("process", tmp_path / "image.thaw", "/bin/sh", "-c", script)
    assert frozen.returncode != 0
    for text in (b"first", b"cannot open ?[1mconfig", b"and to the log", b"status 2"):
        assert text in frozen.stderr
