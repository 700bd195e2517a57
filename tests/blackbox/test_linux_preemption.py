# SPDX-License-Identifier: Apache-2.0
"""A thread that makes no call is preempted, and a timer that is due ends its loop, as natively. All of its state is kept."""
import json
import os
import shutil
import signal
import subprocess

import pytest

from harness import proc, scale, tree

BACKENDS = ["kvm", "process"] if tree.kvm_works() else ["process"]
PYTHON = "/usr/bin/python3"
REQUEST = b"the request\n"
LAB = os.environ.get("THAW_LAB") == "1"
# What the programs' loops take, in milliseconds. The emulated machine needs longer for the same number of ticks.
LOOP_MS = 2000 if LAB else 20000 if scale.FULL else 1500

# Each thread waits for the other one in a loop without a call; ROUNDS times, before the ready point and in an invocation.
SPIN = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#define ROUNDS 10
static volatile int turn, end;
static void *other(void *argument)
{
	for (int i = 0; i < ROUNDS; i++) {
		while (turn % 2 == 0)
			;
		turn++;
	}
	return argument;
}
static void spin(void)
{
	pthread_t thread;
	pthread_create(&thread, 0, other, 0);
	for (int i = 0; i < ROUNDS; i++) {
		turn++;
		while (turn % 2)
			;
	}
	pthread_join(thread, 0);
}
static void *always(void *argument)
{
	while (!end)
		;
	return argument;
}
int main(void)
{
	char text[100];
	pthread_t thread;
	long got;
	spin();
	pthread_create(&thread, 0, always, 0); /* is in its loop when the program is frozen */
	got = read(0, text, sizeof(text));
	spin();
	end = 1;
	pthread_join(thread, 0);
	printf("%d %ld\n", turn, got);
	return 0;
}
"""

# Every kind of timer, first before the ready point and then in the invocation; and a jump out of a handler.
TIMERS = r"""
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile int seen, value;
static sigjmp_buf back;
static void note(int signal, siginfo_t *info, void *context)
{
	(void)context;
	seen += signal != 0;
	value = info->si_value.sival_int;
}
static void jump(int signal)
{
	siglongjmp(back, signal);
}
static void loops(void)
{
	struct itimerval once = {{0, 0}, {0, 30000}}, often = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
	int kinds[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
	int signals[] = {SIGALRM, SIGVTALRM, SIGPROF};
	for (int i = 0; i < 3; i++) {
		struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | (i == 1 ? SA_RESTART : 0)};
		sigaction(signals[i], &action, 0);
		seen = 0;
		setitimer(kinds[i], &once, 0);
		while (!seen)
			;
		printf("%d: %d\n", kinds[i], seen);
	}
	seen = 0;
	setitimer(ITIMER_REAL, &often, 0);
	while (seen < 5)
		;
	setitimer(ITIMER_REAL, &off, 0);
	for (int i = 0; i < 2; i++) {
		struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value = {7}};
		struct itimerspec at = {{0, 0}, {0, 20000000}};
		struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
		timer_t timer;
		sigaction(SIGRTMIN + 1, &action, 0);
		seen = value = 0;
		timer_create(i ? CLOCK_REALTIME : CLOCK_MONOTONIC, &event, &timer);
		timer_settime(timer, 0, &at, 0);
		while (!seen)
			;
		timer_delete(timer);
		printf("timer: %d %d\n", seen, value);
	}
	signal(SIGALRM, jump);
	for (int i = 0; i < 3; i++) {
		if (!sigsetjmp(back, 1)) {
			setitimer(ITIMER_REAL, &once, 0);
			for (;;)
				;
		}
		printf("out\n");
	}
	fflush(stdout);
}
int main(void)
{
	char text[100];
	loops();
	if (read(0, text, sizeof(text)) != 12)
		return 1;
	loops();
	signal(SIGALRM, SIG_DFL);
	alarm(1);
	for (;;)
		;
}
"""

# Each thread keeps patterns in every register, in the flags and below its stack pointer, and loops without a call.
STATE = r"""
#define _GNU_SOURCE
#include <cpuid.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#define AREA 4096
struct both {
	_Alignas(64) uint8_t in_area[AREA]; /* for XRSTOR and XSAVE */
	_Alignas(64) uint8_t out_area[AREA];
	/* rax rbx rdx rsi rdi rbp r8..r15, one unused, the flags; and what is below the stack pointer */
	uint64_t in[16], out[16], in_below[16], out_below[16], mask, loops;
};
/* Loads all from *both, loops, and stores all. RCX counts; no instruction in between changes flags or memory. */
void hold(struct both *both);
__asm__(
	".text\nhold:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"mov %rdi, %rcx\n"
	"mov 8704(%rcx), %eax; mov 8708(%rcx), %edx\n"
	"xrstor64 (%rcx)\n"
	".set i, 0\n.rept 15\n mov 8192+256+i*8(%rcx), %rax\n mov %rax, -128+i*8(%rsp)\n .set i, i+1\n.endr\n"
	"mov 8192+15*8(%rcx), %rax\n mov %rcx, -8(%rsp)\n"
	"sub $136, %rsp; push %rax; popfq; lea 136(%rsp), %rsp\n"
	"mov 8192+0*8(%rcx), %rax; mov 8192+1*8(%rcx), %rbx; mov 8192+2*8(%rcx), %rdx; mov 8192+3*8(%rcx), %rsi\n"
	"mov 8192+4*8(%rcx), %rdi; mov 8192+5*8(%rcx), %rbp; mov 8192+6*8(%rcx), %r8; mov 8192+7*8(%rcx), %r9\n"
	"mov 8192+8*8(%rcx), %r10; mov 8192+9*8(%rcx), %r11; mov 8192+10*8(%rcx), %r12; mov 8192+11*8(%rcx), %r13\n"
	"mov 8192+12*8(%rcx), %r14; mov 8192+13*8(%rcx), %r15; mov 8712(%rcx), %rcx\n"
	"1: lea -1(%rcx), %rcx; jrcxz 2f; jmp 1b\n"
	"2: mov -8(%rsp), %rcx\n"
	"mov %rax, 8320+0*8(%rcx); mov %rbx, 8320+1*8(%rcx); mov %rdx, 8320+2*8(%rcx); mov %rsi, 8320+3*8(%rcx)\n"
	"mov %rdi, 8320+4*8(%rcx); mov %rbp, 8320+5*8(%rcx); mov %r8, 8320+6*8(%rcx); mov %r9, 8320+7*8(%rcx)\n"
	"mov %r10, 8320+8*8(%rcx); mov %r11, 8320+9*8(%rcx); mov %r12, 8320+10*8(%rcx); mov %r13, 8320+11*8(%rcx)\n"
	"mov %r14, 8320+12*8(%rcx); mov %r15, 8320+13*8(%rcx)\n"
	".set i, 0\n.rept 15\n mov -128+i*8(%rsp), %rax\n mov %rax, 8192+384+i*8(%rcx)\n .set i, i+1\n.endr\n"
	"pushfq; pop %rax; cld; mov %rax, 8320+15*8(%rcx)\n"
	"mov 8704(%rcx), %eax; mov 8708(%rcx), %edx; xsave64 4096(%rcx)\n"
	"fninit\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"ret\n");
static volatile int end;
static volatile long last;
static long changes;
static uint64_t sizes[16], places[16];

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
	return *seed;
}

static void *thread(void *argument)
{
	uint64_t seed = 88172645463325252 + 977 * (long)argument, i;
	static const uint64_t flags[] = {0x1, 0x4, 0x10, 0x40, 0x80, 0x400, 0x800};
	struct both *both = aligned_alloc(64, sizeof(*both));
	uint32_t low, high;
	_Static_assert(__builtin_offsetof(struct both, in) == 8192 && __builtin_offsetof(struct both, mask) == 8704, "");
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	memset(both, 0, sizeof(*both));
	while (!end) {
		memset(both->out_area, 0, AREA);
		both->mask = low & 0xe7;
		both->loops = LOOPS + draw(&seed) % LOOPS;
		for (i = 0; i < 15; i++)
			both->in[i] = draw(&seed), both->in_below[i] = draw(&seed);
		both->in[15] = 0x202;
		for (i = 0; i < 7; i++)
			both->in[15] |= draw(&seed) & 1 ? flags[i] : 0;
		*(uint16_t *)both->in_area = 0x37f | (draw(&seed) & 0xc00); /* the x87's rounding */
		*(uint16_t *)(both->in_area + 2) = (draw(&seed) & 7) << 11; /* its top of stack */
		both->in_area[4] = 0xff;
		*(uint32_t *)(both->in_area + 24) = 0x1f80 | (draw(&seed) & 0xe03f);
		for (i = 0; i < 8; i++) {
			*(uint64_t *)(both->in_area + 32 + 16 * i) = draw(&seed) | 1ull << 63;
			*(uint16_t *)(both->in_area + 40 + 16 * i) = draw(&seed) % 0x7ffe + 1;
		}
		for (i = 160; i < 416; i += 8)
			*(uint64_t *)(both->in_area + i) = draw(&seed);
		*(uint64_t *)(both->in_area + 512) = both->mask;
		for (int c = 2; c < 8; c++)
			for (i = 0; both->mask >> c & 1 && i < sizes[c]; i += 8)
				*(uint64_t *)(both->in_area + places[c] + i) = draw(&seed);
		if (last != (long)argument)
			changes++;
		last = (long)argument;
		hold(both);
		if (memcmp(both->in, both->out, 14 * 8) || (both->in[15] ^ both->out[15]) & 0xcd5)
			printf("registers differ\n");
		if (memcmp(both->in_below, both->out_below, 15 * 8))
			printf("the red zone differs\n");
		if (memcmp(both->in_area, both->out_area, 5) || memcmp(both->in_area + 24, both->out_area + 24, 4))
			printf("control words differ\n");
		for (i = 0; i < 8; i++)
			if (memcmp(both->in_area + 32 + 16 * i, both->out_area + 32 + 16 * i, 10))
				printf("x87 registers differ\n");
		if (memcmp(both->in_area + 160, both->out_area + 160, 256))
			printf("xmm registers differ\n");
		for (int c = 2; c < 8; c++)
			if (both->mask >> c & 1 && memcmp(both->in_area + places[c], both->out_area + places[c], sizes[c]))
				printf("vector component %d differs\n", c);
	}
	return 0;
}

int main(void)
{
	pthread_t threads[3];
	struct timespec from, now;
	char text[100];
	unsigned b, c, d, a;
	for (int i = 2; i < 8; i++)
		if (__get_cpuid_count(0xd, i, &a, &b, &c, &d))
			sizes[i] = a, places[i] = b;
	for (long i = 1; i < 3; i++)
		pthread_create(&threads[i], 0, thread, (void *)i);
	if (read(0, text, sizeof(text)) < 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &from);
	pthread_create(&threads[0], 0, thread, (void *)3);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < LOOP_MS);
	end = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], 0);
	fprintf(stderr, "%ld changes\n", changes);
	printf("kept %d\n", changes > 10);
	return 0;
}
"""

# Ticks find the core at work: calls without end in two threads, beside a third one without any.
BUSY = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile int end, alarms;
static void *calls(void *argument)
{
	long bad = 0;
	while (!end) {
		char *page = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < 16; i++)
			bad += page[4096 * i] != 0, page[4096 * i] = 1;
		bad += syscall(SYS_getppid) < 0;
		munmap(page, 65536);
	}
	return (void *)bad;
}
static void *none(void *argument)
{
	unsigned long sum = 0, other = 0;
	while (!end) {
		sum += 3, other += 3;
		__asm__ volatile("" : "+r"(sum), "+r"(other));
	}
	return (void *)(sum - other);
}
static void note(int signal)
{
	alarms += signal == SIGALRM;
}
int main(void)
{
	void *(*work[])(void *) = {calls, none, calls, none};
	struct itimerval often = {{0, 3000}, {0, 3000}};
	struct timespec from, now;
	pthread_t threads[4];
	char text[100];
	void *bad;
	long all = 0;
	if (read(0, text, sizeof(text)) < 0)
		return 1;
	signal(SIGALRM, note);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], 0, work[i], 0);
	setitimer(ITIMER_REAL, &often, 0);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < LOOP_MS);
	end = 1;
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &bad);
		all += (long)bad;
	}
	printf("%ld bad, %s\n", all, alarms > 5 ? "alarms" : "no alarms");
	return 0;
}
"""

# Ends at once, with threads in their loops and timers armed.
LEFT = r"""
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static int number;
static void *always(void *argument)
{
	for (;;)
		number++;
	return argument;
}
static void note(int signal)
{
	(void)signal;
}
int main(void)
{
	struct itimerval often = {{0, 1000}, {0, 1000}};
	struct timespec from, now;
	char text[10] = "";
	pthread_t thread;
	if (read(0, text, sizeof(text)) < 1)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &from);
	if (text[0] == 'w') { /* leaves nothing behind, and sees nothing */
		printf("%d\n", number);
		return 0;
	}
	signal(SIGALRM, note);
	setitimer(ITIMER_REAL, &often, 0);
	pthread_create(&thread, 0, always, 0);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec < 11000000);
	printf("left\n");
	return 0;
}
"""

ALARM = """
import signal, sys
class Late(Exception): pass
def late(number, frame): raise Late
signal.signal(signal.SIGALRM, late)
def forever():
    while True: pass
def limited(seconds):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try: forever()
    except Late: print("late", flush=True)
limited(0.05)
text = sys.stdin.read()
limited(0.05)
signal.alarm(1)
try: forever()
except Late: print("late", text)
"""

THREADS = """
import sys, threading
def work(into):
    n = 0
    while not stop: n += 1
    into.append(n > 0)
def count():
    n = 0
    for i in range(300000): n += i
    return n
done, stop = [], False
threads = [threading.Thread(target=work, args=(done,)) for _ in range(3)]
for t in threads: t.start()
count()
text = sys.stdin.read()
print(count(), text)
stop = True
for t in threads: t.join()
print(done)
"""

GO = """
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

func spin() {
	for {
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	go spin()
	time.Sleep(10 * time.Millisecond)
	text, _ := io.ReadAll(os.Stdin)
	go spin()
	for i := 0; i < 3; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	runtime.GC()
	fmt.Printf("done %s", text)
}
"""

JAVA = """
public class Spin {
	static volatile boolean go;
	static int n;
	public static void main(String[] args) throws Exception {
		byte[] text = System.in.readAllBytes();
		Thread t = new Thread(() -> { go = true; });
		t.start();
		while (!go) ;
		Thread s = new Thread(() -> { for (;;) n++; });
		s.setDaemon(true);
		s.start();
		Thread.sleep(20);
		System.gc();
		System.out.print("done " + new String(text));
	}
}
"""


def build(place, name, source, *flags, compiler=None):
    path = place / f"{name}.c"
    path.write_text(source)
    command = (compiler or os.environ.get("CC", "cc")).split()
    subprocess.run([*command, "-w", "-O1", "-pthread", f"-DLOOP_MS={LOOP_MS}", "-DLOOPS=200000", *flags, "-o",
                    str(place / name), str(path)], check=True)
    return str(place / name)


def freeze(backend, image, *command, options=()):
    done = subprocess.run([tree.THAW, "freeze", "--backend", backend, "--image", str(image), "--boot-timeout", "300s",
                           *options, "f", "--", *command], capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return image


def run(backend, image, request=REQUEST, timeout="300s"):
    return subprocess.run([tree.THAW, "run", "--backend", backend, "--timeout", timeout, str(image)], input=request,
                          capture_output=True, timeout=600, check=False)


def compare(backend, place, *command, options=(), times=2):
    native = subprocess.run(command, input=REQUEST, capture_output=True, timeout=300, check=False)
    status = native.returncode if native.returncode >= 0 else 128 - native.returncode
    image = freeze(backend, place / "image.thaw", *command, options=options)
    for _ in range(times):
        thawed = run(backend, image)
        assert (thawed.returncode, thawed.stdout) == (status, native.stdout), thawed.stderr.decode(errors="replace")
    return thawed


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_that_loop_take_turns(tmp_path, backend):
    # Without a working set: the empty request that records it is one whose length the program prints.
    compare(backend, tmp_path, build(tmp_path, "spin", SPIN))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_timer_ends_a_loop(tmp_path, backend):
    thawed = compare(backend, tmp_path, build(tmp_path, "timers", TIMERS), options=("--no-working-set",))
    assert thawed.returncode == 128 + signal.SIGALRM


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_state_is_kept(tmp_path, backend):
    thawed = compare(backend, tmp_path, build(tmp_path, "state", STATE), options=("--no-working-set",), times=1)
    assert thawed.stdout == b"kept 1\n", thawed


@pytest.mark.parametrize("backend", BACKENDS)
def test_ticks_find_the_core_at_work(tmp_path, backend):
    program = build(tmp_path, "busy", BUSY)
    thawed = run(backend, freeze(backend, tmp_path / "image.thaw", program, options=("--no-working-set",)))
    assert (thawed.returncode, thawed.stdout) == (0, b"0 bad, alarms\n"), thawed


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deadline_ends_loops(tmp_path, backend):
    image = freeze(backend, tmp_path / "image.thaw", build(tmp_path, "left", LEFT.replace("11000000)", "1e18)")),
                   options=("--no-working-set",))
    thawed = run(backend, image, timeout="1s")
    assert thawed.returncode != 0 and b"time limit" in thawed.stderr or b"deadline" in thawed.stderr, thawed


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_tick_outlives_its_invocation(tmp_path, place, serve, backend):
    """Invocations that leave threads in loops and timers armed alternate with others, in the same recycled clones."""
    image = freeze(backend, tmp_path / "image.thaw", build(tmp_path, "left", LEFT), options=("--no-working-set",))
    place.put_image(image, "left")
    serve([], "--pool", "1", "--backend", backend, place=place)
    place.wait_served("left")
    number = scale.count(10000, 1000, least=20)
    with place.connect("left", timeout=600) as connection:
        for i in range(number):
            leaves = i % 10 == 0
            response = connection.invoke(b"left" if leaves else b"well", timeout_ns=300_000_000_000)
            assert (response.exit_code, response.body) == (0, b"left\n" if leaves else b"0\n"), (i, response)

    def recycled():
        return json.loads(place.thaw_ok("stats", "left", "--json"))["counters"]["recycled"]

    # The last clone may still be being recycled. A process that does not rest in time is destroyed, a machine never is.
    proc.wait_until(lambda: recycled() >= (number // 2 if backend == "process" else number), scale.patience(20), 0.1)


@pytest.mark.parametrize("script", ["ALARM", "THREADS"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_python(tmp_path, backend, script):
    path = tmp_path / "script.py"
    path.write_text({"ALARM": ALARM, "THREADS": THREADS}[script])
    compare(backend, tmp_path, PYTHON, str(path), options=("--memory", "256M"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_go(tmp_path, backend):
    compiler = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not compiler:
        pytest.skip("go is not installed")
    (tmp_path / "spin.go").write_text(GO)
    subprocess.run([compiler, "build", "-o", "spin", "spin.go"], cwd=tmp_path, check=True, timeout=600,
                   env={**os.environ, "GO111MODULE": "off", "GOCACHE": os.environ.get("GOCACHE", str(tmp_path / "cache"))})
    compare(backend, tmp_path, str(tmp_path / "spin"), options=("--memory", "512M"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_java(tmp_path, backend):
    if not shutil.which("javac"):
        pytest.skip("javac is not installed")
    (tmp_path / "Spin.java").write_text(JAVA)
    subprocess.run(["javac", "Spin.java"], cwd=tmp_path, check=True, timeout=600)
    home = os.path.dirname(os.path.dirname(os.path.realpath(shutil.which("java"))))
    links = [os.path.realpath(f"{home}/{name}") for name in ("conf/security", "lib/jvm.cfg")]
    settings = {os.path.dirname(link) for link in links if not link.startswith(home)}
    directories = [word for directory in (home, *settings) for word in ("--dir", directory)]
    compare(backend, tmp_path, f"{home}/bin/java", "-Xmx128m", "-cp", str(tmp_path), "Spin",
            options=("--memory", "2G", *directories, "--file", str(tmp_path / "Spin.class")))
