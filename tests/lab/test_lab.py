# SPDX-License-Identifier: Apache-2.0
"""scripts/kvm-lab as its users see it: input, output and status, and that a lab without an answer is never a pass."""
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "scripts" / "kvm-lab"
NO_ANSWER = 125
PATIENCE = 600  # seconds; an idle machine needs a few

pytestmark = pytest.mark.skipif("THAW_LAB" in os.environ, reason="this is the lab, and it does not nest")


def lab(*arguments, stdin=b"", **environment):
    return subprocess.run([LAB, *arguments], input=stdin, capture_output=True, timeout=PATIENCE, cwd=ROOT / "tests",
                          env={**os.environ, **environment}, check=False)


def machines():
    """Command lines of the emulators that belong to this checkout."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"qemu-system-x86_64" and any(word.startswith(bytes(ROOT / "build/kvm-lab")) for word in words):
            found.append(path.parent.name)
    return set(found)


def runs():
    return set((ROOT / "build/kvm-lab").glob("run.*"))


@pytest.fixture(scope="session", autouse=True)
def kernel():
    """Fetches the kernel first, with its message on standard error, where tests expect only the command's output."""
    if not (ROOT / "build/kvm-lab/kernel").exists():
        lab("--", "true")


@pytest.fixture(autouse=True)
def nothing_left():
    before = machines(), runs()
    yield
    deadline = time.monotonic() + 30
    while machines() - before[0] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not machines() - before[0]
    assert not runs() - before[1]


def start(command):
    """A lab that says "here" once it runs its command."""
    return subprocess.Popen([LAB, "--", "sh", "-c", "echo here; " + command], cwd=ROOT, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def started(command):
    process = start(command)
    assert process.stdout.readline() == b"here\n"
    return process


def test_every_byte_goes_in_and_comes_out():
    data = random.Random(1).randbytes(1 << 20)
    words = ["", " ", "two words", "it's", '"', "\\", "new\nline\n", "$HOME `id` *", "-n", "--", "é".encode(), b"\xff\x01"]
    done = lab("--", "sh", "-c", 'cat; printf "%s\\0" "$@" >&2; exit 7', "sh", *words, stdin=data)
    assert done.returncode == 7, done.stderr
    assert done.stdout == data
    assert done.stderr.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


MACHINE = """
set -eu
exec 2>&1
test "$PWD" = "$1"
test "$(id -u)" = 0
test -c /dev/kvm
test "$THAW_TEST_WORD" = "a'b
c"
test -z "${OTHER_WORD:-}"
test "$(nproc)" = 2
test -n "$(git ls-files)"
test "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" = tsc
test "$(dpkg-query -W -f '${Status}' gcc)" = "install ok installed"
test "$(stat -f -c %T /tmp /run /dev/shm /root | sort -u)" = tmpfs
test "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs
test "$(stat -f -c %T /dev/hugepages)" = hugetlbfs
if touch /usr/here 2>/dev/null; then exit 1; fi
ip -o addr show lo | grep -q 127.0.0.1
unshare --user --map-root-user --pid --fork --mount-proc true
mkdir /tmp/root
unshare --mount sh -c 'mount -t tmpfs tmpfs /tmp/root && mkdir /tmp/root/old && cd /tmp/root && pivot_root . old'
mkfifo /tmp/pipe
echo again >/dev/stdout
echo from the lab >"$2"
sleep 1000 &
"""


def test_the_machine(tmp_path):
    note = ROOT / "build" / f"lab-note-{os.getpid()}"
    try:
        done = lab("--", "sh", "-c", MACHINE, "sh", ROOT / "tests", note, THAW_TEST_WORD="a'b\nc", OTHER_WORD="x")
        assert done.returncode == 0, done.stdout + done.stderr
        assert note.read_text() == "from the lab\n"
    finally:
        note.unlink(missing_ok=True)


@pytest.mark.parametrize("command, status", [
    (["no-such-command"], 127), (["sh", "-c", "kill -SEGV $$"], 128 + signal.SIGSEGV)])
def test_status(command, status):
    done = lab("--", *command)
    assert done.returncode == status and b"kvm-lab" not in done.stderr, done


@pytest.mark.parametrize("command, last", [
    ("echo c >/proc/sysrq-trigger", b"sysrq triggered crash"), ("echo b >/proc/sysrq-trigger", b"Resetting")])
def test_a_lost_lab_is_no_pass(command, last):
    done = lab("--", "sh", "-c", command)
    assert done.returncode == NO_ANSWER and b"it is gone, while it ran sh" in done.stderr and last in done.stderr, done


def test_a_lab_that_hangs_is_no_pass():
    done = lab("--timeout", "2", "--", "sleep", "1000")
    assert done.returncode == NO_ANSWER and b"no sign of life within 2 seconds, while it ran sleep" in done.stderr, done
    done = lab("--", "true", THAW_LAB_BOOT_TIMEOUT="1")
    assert done.returncode == NO_ANSWER and b"while it booted" in done.stderr, done


@pytest.mark.parametrize("arguments", [[], ["true"], ["--"], ["--memory", "much", "--", "true"], ["--memory", "4G"],
                                       ["--timeout", "0", "--", "true"], ["--fast", "--", "true"]])
def test_usage(arguments):
    done = lab(*arguments)
    assert done.returncode == NO_ANSWER and done.stderr.startswith(b"usage: kvm-lab "), done


def test_an_end_from_outside_leaves_nothing():
    for number, status in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 128 + signal.SIGINT),
                           (signal.SIGKILL, -signal.SIGKILL)):
        before = runs()
        process = started("sleep 1000")
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == status
        if number == signal.SIGKILL:  # the script could not clean up
            for left in runs() - before:
                subprocess.run(["rm", "-r", left], check=True)


def test_it_ends_with_its_reader():
    process = started("yes")
    process.stdout.close()
    process.wait(timeout=PATIENCE)
    assert process.returncode not in (0, NO_ANSWER)
    process.stderr.close()


def test_two_at_once():
    processes = [start(f"exit {status}") for status in (3, 4)]
    for status, process in zip((3, 4), processes):
        said, complaints = process.communicate(timeout=PATIENCE)
        assert process.returncode == status and said == b"here\n", complaints


COUNT = """
import time
def count():
    start = time.monotonic_ns()
    for _ in range(1000):
        time.monotonic_ns()
    return time.monotonic_ns() - start
print(min(count() for _ in range(50)))
"""


def test_instructions_are_counted():
    """The fastest try takes the same in two boots, except for the rate that each kernel measures for its clock."""
    done = [lab("--icount", "--", "/usr/bin/python3", "-I", "-c", COUNT) for _ in range(2)]
    assert [each.returncode for each in done] == [0, 0], done
    first, second = (int(each.stdout) for each in done)
    assert abs(first - second) <= first / 100_000
