# SPDX-License-Identifier: Apache-2.0
"""A Linux program's memory: what counts against its limit, what it is told, and where its mappings may be."""
import os
import shutil
import subprocess

import pytest

from harness import tree
from test_linux_readiness import BACKENDS, build, compare, freeze

HEAD = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <pthread.h>
#include <unistd.h>
static long request(void) { char text[100]; return read(0, text, sizeof(text)); }
static char *map(void *at, size_t length, int prot, int flags)
{
	return mmap(at, length, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}
"""

# Natively it would fill new memory, which a program here reads to find it zero.
os.environ.pop("MALLOC_PERTURB_", None)

# Ten times the limit is mapped, and little of it is touched, at both sides of the ready point.
SPARSE = HEAD + r"""
static char bss[200 << 20];
int main(void)
{
	char *heap = malloc(50 << 20), *more[8], *end = sbrk(40 << 20);
	int fd = open("FILE", O_RDONLY);
	char *file = mmap(0, 200 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	heap[30 << 20] = bss[150 << 20] = end[20 << 20] = 1;
	file[4096] += 1;
	for (int i = 0; i < 8; i++)
		more[i] = map(0, 60 << 20, PROT_READ | PROT_WRITE, 0);
	request();
	for (int i = 0; i < 8; i++)
		memset(more[i] + (i << 20), i, 100000);
	bss[7] = 3;
	printf("%d %d %d %d\n", heap[30 << 20] + heap[5], bss[150 << 20] + bss[7], end[20 << 20], more[7][7 << 20]);
	printf("%d %d %d\n", file[4096], file[(100 << 20) + 5], file[(200 << 20) - 1]);
	return 0;
}
"""

# A page here and a page there: more pieces than the host has ranges for.
SCATTERED = HEAD + r"""
int main(void)
{
	char *at = map(0, 1ul << 30, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	unsigned long sum = 0;
	request();
	for (unsigned long i = 0; i < 1500; i++)
		at[i * 7919 % 1500 * 200000] = 1;
	for (unsigned long i = 0; i < 1500; i++)
		sum += at[i * 200000];
	printf("%lu\n", sum);
	return 0;
}
"""

GREEDY = HEAD + r"""
int main(void)
{
	if (BEFORE)
		request();
	for (int i = 0; i < 100; i++)
		memset(map(0, 4 << 20, PROT_READ | PROT_WRITE, 0), 1, 4 << 20);
	request();
	return 0;
}
"""

# What the call itself refuses, as Linux refuses obvious overcommitment.
REFUSED = HEAD + r"""
int main(void)
{
	char *at = malloc(100 << 20);
	if (!at)
		return 9;
	request();
	return 0;
}
"""

# As Haskell's runtime reserves its heap, .NET's does, and as it steps down.
RESERVES = HEAD + r"""
int main(void)
{
	size_t length = (size_t)1 << 40;
	char *at = MAP_FAILED;
	for (int i = 0; i < 1000 && (at == MAP_FAILED || (size_t)at < (size_t)8 << 30); i++) {
		at = map((char *)0x4200000000 + 4096 * i, length, PROT_NONE, MAP_NORESERVE);
		if (at == MAP_FAILED)
			length -= length / 8;
		else if ((size_t)at < (size_t)8 << 30)
			munmap(at, length);
	}
	mprotect(at + (1 << 20), 1 << 20, PROT_READ | PROT_WRITE);
	at[1 << 20] = 5;
	request();
	printf("%d %d\n", (size_t)at >= (size_t)8 << 30, at[1 << 20]);
	return 0;
}
"""

FIXED = r"""
#include <stdio.h>
static char big[8 << 20] = {1};
int main(void)
{
	int c = getchar();
	big[5 << 20] = 3;
	printf("%c %d %d\n", c, big[5 << 20], big[0]);
	return 0;
}
"""

# One thread waits for a set already when another puts standard input into it: Haskell's IO manager.
LATE = HEAD + r"""
static int set;
static void *wait(void *argument)
{
	struct epoll_event event;
	(void)argument;
	printf("%d ", epoll_wait(set, &event, 1, -1));
	return 0;
}
int main(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	pthread_t thread;
	set = epoll_create1(0);
	pthread_create(&thread, 0, wait, 0);
	usleep(1000);
	epoll_ctl(set, EPOLL_CTL_ADD, 0, &event);
	pthread_join(thread, 0);
	printf("%ld\n", request());
	return 0;
}
"""


def run(backend, image, request=b"x\n"):
    return subprocess.run([tree.THAW, "run", "--backend", backend, str(image)], input=request, capture_output=True, timeout=300,
                          check=False)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_mapped_and_not_touched_does_not_count(tmp_path, backend):
    data = tmp_path / "data"
    with open(data, "wb") as file:
        file.seek(4096)
        file.write(b"\x41")
        file.seek((100 << 20) + 5)
        file.write(b"\x07")
        file.truncate(200 << 20)
    compare(backend, tmp_path, build(tmp_path, "sparse", SPARSE.replace("FILE", str(data))),
            options=("--memory", "210M", "--file", str(data)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_may_touch_more_places_than_there_are_ranges(tmp_path, backend):
    compare(backend, tmp_path, build(tmp_path, "scattered", SCATTERED), options=("--memory", "1G"), times=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("source, limit", [(GREEDY.replace("BEFORE", "0"), "48M"), (REFUSED, "48M")], ids=["touched", "refused"])
def test_a_boot_over_the_limit_says_so(tmp_path, backend, source, limit):
    frozen = freeze(backend, tmp_path / "f.thaw", build(tmp_path, "over", source), options=("--memory", limit))
    last = frozen.stderr.splitlines()[-1]
    assert frozen.returncode and b"memory: needs more than its limit of 48M (asked for " in last, frozen.stderr
    assert b"in use); freeze it with a larger --memory" in last


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_invocation_over_the_limit_says_so(tmp_path, backend):
    program = build(tmp_path, "over", GREEDY.replace("BEFORE", "1"))
    assert freeze(backend, tmp_path / "f.thaw", program, options=("--memory", "48M", "--no-working-set")).returncode == 0
    ran = run(backend, tmp_path / "f.thaw")
    assert ran.returncode == 134 and b"memory: needs more than its limit of 48M (asked for " in ran.stderr, ran.stderr


def test_a_program_that_does_not_fit_says_so(tmp_path):
    frozen = freeze("process", tmp_path / "f.thaw", build(tmp_path, "large", FIXED), options=("--memory", "2M"))
    assert frozen.returncode and b"memory: needs more than its limit of 2M (asked for " in frozen.stderr, frozen.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reservation_that_does_not_fit_is_refused_until_it_does(tmp_path, backend):
    compare(backend, tmp_path, build(tmp_path, "reserves", RESERVES))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("base", ["0x10000", "0x200000", "0x3c0000", "0x10000000"])
def test_a_program_may_be_linked_anywhere(tmp_path, backend, base):
    compare(backend, tmp_path, build(tmp_path, "fixed", FIXED, "-static", "-no-pie", f"-Wl,-Ttext-segment={base}"))


def test_a_clash_with_the_stack_is_named(tmp_path):
    program = build(tmp_path, "clash", "void _start(void) { for (;;) ; }", "-static", "-nostdlib", "-no-pie",
                    "-Wl,-Ttext-segment=0xdff900000")
    frozen = freeze("process", tmp_path / "f.thaw", program)
    assert frozen.returncode and b"where its stack is" in frozen.stderr, frozen.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_standard_input_may_come_to_a_set_that_is_waited_for(tmp_path, backend):
    compare(backend, tmp_path, build(tmp_path, "late", LATE))


PROGRAMS = {
    "node": ["node", "-e", 'console.log(require("fs").readFileSync(0).length)'],
    "php": ["php", "-n", "-d", "display_startup_errors=0", "-r", 'echo strlen(stream_get_contents(STDIN)), "\\n";'],
    "xz": ["xz", "-6", "-c"],
    "zstd": ["zstd", "-19", "-c"],
    "mlr": ["mlr", "--ojson", "cat"],
    "pandoc": ["pandoc", "-t", "html"],
    "shellcheck": ["shellcheck", "-s", "sh", "-"],
    "sbcl": ["sbcl", "--noinform", "--non-interactive", "--eval", "(print (read-line))"],
}
FILES = {"pandoc": ["--dir", "/usr/share/pandoc"], "sbcl": ["--dir", "/usr/lib/sbcl", "--env", "SBCL_HOME=/usr/lib/sbcl"]}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_default_is_enough(tmp_path, name):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    request = b"echo 1\n"
    native = subprocess.run(PROGRAMS[name], input=request, capture_output=True, timeout=60, check=False)
    frozen = freeze("process", tmp_path / "f.thaw", *PROGRAMS[name], options=FILES.get(name, ()))
    assert frozen.returncode == 0, frozen.stderr
    for _ in range(3):
        ran = run("process", tmp_path / "f.thaw", request)
        assert (ran.returncode, ran.stdout) == (native.returncode, native.stdout), ran.stderr


JAVA = "public class Hello { public static void main(String[] a) throws Exception {" \
       " System.out.println(System.in.readAllBytes().length); } }"


def test_the_default_is_enough_for_java(tmp_path):
    if not shutil.which("javac"):
        pytest.skip("no Java compiler is installed")
    (tmp_path / "Hello.java").write_text(JAVA)
    subprocess.run(["javac", "Hello.java"], cwd=tmp_path, check=True, timeout=120)
    home = subprocess.run(["readlink", "-f", shutil.which("java")], capture_output=True, text=True, check=True).stdout.strip()
    options = ["--dir", home.removesuffix("/bin/java"), "--dir", f"{tmp_path}:/hello"]
    for place in subprocess.run(["find", "/etc", "-maxdepth", "1", "-name", "java-*"], capture_output=True, text=True,
                                check=True).stdout.split():
        options += ["--dir", place]
    frozen = freeze("process", tmp_path / "f.thaw", "java", "-cp", "/hello", "Hello", options=options)
    assert frozen.returncode == 0, frozen.stderr
    for _ in range(3):
        assert run("process", tmp_path / "f.thaw", b"12345").stdout == b"5\n"
