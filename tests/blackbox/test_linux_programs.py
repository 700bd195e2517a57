# SPDX-License-Identifier: Apache-2.0
"""Linux programs that a compiler or a runtime makes difficult: code written at run time, runtimes of other languages."""
import json
import shutil
import subprocess
import time

import pytest

from harness import proc, scale

CODE = r"""
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static uint8_t *code;

static int call(int at)
{
	int (*function)(void);
	uint8_t *from = code + at;

	memcpy(&function, &from, sizeof(function));
	return function();
}

static int make(int at, int value)
{
	memcpy(code + at, "\xb8\0\0\0\0\xc3", 6); /* mov $0, %eax; ret */
	memcpy(code + at + 1, &value, sizeof(value));
	return call(at);
}
"""


@pytest.fixture
def program(place):
    """program(C): the program CODE followed by C, compiled."""
    def build(text):
        source = place.base / "program.c"
        source.write_text(CODE + text)
        subprocess.run(["cc", "-O1", "-static", "-o", place.base / "program", source], check=True)
        return place.base / "program"
    return build


def test_an_instruction_that_writes_into_its_own_page_ends_the_program(place, program):
    # incl 64(%rip); ret: it works natively, and is the one thing that cannot work here.
    built = program(r"""
int main(void)
{
	code = mmap(NULL, 8192, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	getchar();
	memcpy(code, "\xff\x05\x40\0\0\0\xc3", 7);
	printf("before\n");
	fflush(stdout);
	return call(0);
}
""")
    image = place.base / "own.thaw"
    place.thaw_ok("freeze", "own", "--image", image, "--backend", "process", "--", built)
    done = place.thaw("run", image, stdin=b"\n")
    assert (done.returncode, done.stdout) == (139, b"before\n"), done
    assert b"writes into its own page" in done.stderr, done


def test_code_is_as_frozen_in_every_invocation(place, serve, program):
    """Each invocation changes pages between code and data, and a recycled clone has them as in the image."""
    built = program(r"""
int main(void)
{
	int sum = 0;

	code = mmap(NULL, 1 << 20, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 256; i++)
		make(i * 4096, i);
	getchar();
	for (int i = 0; i < 256; i += 5)
		sum += call(i * 4096);
	for (int i = 0; i < 256; i += 17)
		sum += 1000 * make(i * 4096, i + 1);
	printf("%d\n", sum);
	return 0;
}
""")
    place.thaw_ok("freeze", "code", "--", built)
    sum_of = sum(range(0, 256, 5)) + 1000 * sum(i + 1 for i in range(0, 256, 17))
    daemon = serve(place=place, names=())
    place.wait_served("code")
    for _ in range(60):
        assert place.thaw_ok("invoke", "code", stdin=b"\n") == b"%d\n" % sum_of
    # The clones are recycled, although executable pages cannot be, where the host allows recycling at all.
    can = 30 in proc.descriptors(daemon.worker())
    assert (json.loads(place.thaw_ok("stats", "code", "--json"))["counters"]["recycled"] > 0) == can


def test_what_is_refused_names_the_fix_and_what_is_no_news_is_not_told(place):
    """Looking up a user asks for the name cache, which a host may lack: that is not worth a warning."""
    source, built, image = place.base / "p.c", place.base / "p", place.base / "p.thaw"
    source.write_text(r"""
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
int main(int argc, char **argv)
{
	struct passwd *root = getpwnam("root");
	void *at = argc > 1 ? mmap(NULL, 1 << 30, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;

	getchar();
	printf("%s %d\n", root ? root->pw_dir : "nobody", at == MAP_FAILED);
	return 0;
}
""")
    subprocess.run(["cc", "-o", built, source], check=True)
    for arguments, answer, told in ([], b"/root 0\n", False), (["x"], b"/root 1\n", True):
        done = place.thaw("freeze", "p", "--image", image, "--backend", "process", "--", built, *arguments)
        assert done.returncode == 0, done
        assert b"refused" not in done.stderr and (b"freeze it with a larger --memory" in done.stderr) == told, done
        assert place.thaw_ok("run", image, stdin=b"\n") == answer


def test_threads_cost_what_their_stacks_have_touched(place):
    """Forty stacks of 8 MiB under a limit of 64 MiB, before and after the ready point; program and core touch them."""
    source, built, image = place.base / "p.c", place.base / "p", place.base / "p.thaw"
    source.write_text(r"""
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static int zeroes, sum;
static void *work(void *argument)
{
	char deep[300000];

	sum += read(zeroes, deep + 100000, 70000) == 70000;
	memset(deep, 1, 1000);
	memset(deep + sizeof(deep) - 1000, 1, 1000);
	sum += deep[100000] + deep[0] + deep[299999] + (argument != NULL);
	return NULL;
}
static void run(void)
{
	pthread_t threads[40];

	for (int i = 0; i < 40; i++)
		pthread_create(&threads[i], NULL, work, threads);
	for (int i = 0; i < 40; i++)
		pthread_join(threads[i], NULL);
}
int main(void)
{
	zeroes = open("/dev/zero", O_RDONLY);
	run();
	getchar();
	run();
	printf("%d\n", sum);
	return 0;
}
""")
    subprocess.run(["cc", "-O1", "-pthread", "-o", built, source], check=True)
    place.thaw_ok("freeze", "p", "--image", image, "--backend", "process", "--", built)
    for _ in range(2):
        assert place.thaw_ok("run", image, stdin=b"\n") == b"320\n"


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node_with_its_compiler(place):
    script, image = place.base / "s.js", place.base / "s.thaw"
    script.write_text("""
const table = new Map(); for (let i = 0; i < 1000; i++) table.set('k' + i, i);
function slow(n) { return n < 2 ? n : slow(n - 1) + slow(n - 2); }
slow(20);
const request = JSON.parse(require('fs').readFileSync(0, 'utf8') || '{}');
const made = new Function('n', 'let s = 0; for (let i = 0; i < n; i++) s += i; return s');
process.stdout.write(JSON.stringify({ found: table.get(request.key), slow: slow(24), made: made(100000) }));
""")
    place.thaw_ok("freeze", "s", "--memory", "128M", "--image", image, "--backend", "process", "--", "node", script)
    for key in 1, 2:
        answer = json.loads(place.thaw_ok("run", image, stdin=b'{"key": "k%d"}' % key))
        assert answer == {"found": key, "slow": 46368, "made": 4999950000}


@pytest.mark.skipif(not shutil.which("gron"), reason="gron is not installed")
def test_a_program_in_go(place):
    image = place.base / "gron.thaw"
    place.thaw_ok("freeze", "gron", "--image", image, "--backend", "process", "--", "gron")
    request = json.dumps({"a": list(range(1000)), "b": {"c": "x" * 100}}).encode()
    native = subprocess.run(["gron"], input=request, capture_output=True, check=True).stdout
    for _ in range(2):
        assert place.thaw_ok("run", image, stdin=request) == native


@pytest.mark.parametrize("command", [
    ["bash", "-c", "read x; y=$(echo hi); echo no $x"],
    ["perl", "-e", "$x = <STDIN>; $y = `echo hi`; print 'no ', $x if !defined $y"],
    ["busybox", "sh", "-c", "read x; y=$(echo hi); echo no $x"],
    ["ruby", "-e", "x = STDIN.read; begin; `echo hi`; rescue SystemCallError; puts \"no #{x}\"; end"],
], ids=lambda command: command[0])
def test_a_refused_fork_is_not_tried_again(place, command):
    """Programs retry after EAGAIN. The warning names the program, here in the run and in the empty warm request."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    image = place.base / "fork.thaw"
    frozen = place.thaw("freeze", "fork", "--image", image, "--backend", "process", "--boot-timeout", "60s", "--", *command)
    assert frozen.returncode == 0, frozen
    begun = time.monotonic()
    done = place.thaw("run", image, "--timeout", "20s", stdin=b"go\n")
    assert time.monotonic() - begun < scale.patience(4), done
    for stderr in frozen.stderr, done.stderr:
        assert stderr.count(b"thaw: warning: ") == 1 and b"asked for another process" in stderr and command[0].encode() in stderr
    if command[0] in ("perl", "ruby"):  # shells end, as they do when a fork fails
        assert done.stdout == b"no go\n", done
