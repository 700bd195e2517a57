# SPDX-License-Identifier: Apache-2.0
"""Unchanged Linux programs on every backend of this machine. Each image gives, on each backend, the answer that the program
gives on the host; each invocation of a served function is like the first."""
import json
import os
import shutil
import sqlite3
import subprocess

import pytest

from harness import proc, scale, tree

BACKENDS = ["kvm", "kvm-generic", "process"] if tree.kvm_works() else ["process"]
# The emulated machine takes half a minute to freeze some of them.
SLOW = os.environ.get("THAW_LAB") == "1"
PYTHON = "/usr/bin/python3"

# name: the command and the request. HERE is a directory with `handler.py`, `script.sh` and `shop.db`.
PROGRAMS = {
    "wc": (["busybox", "wc"], b"a b c\nd e\n"),
    "sort": (["busybox", "sort", "-n"], b"10\n9\n-1\n"),
    "awk": (["busybox", "awk", "BEGIN { for (i = 0; i < 100; i++) t[i] = i * i } { n += NF; print t[NR], $2 } END { print n }"],
            b"a b\nc d\n"),
    "sed": (["busybox", "sed", "-e", "s/o/0/g", "-e", "s/\\(w\\)/[\\1]/"], b"hello world\n"),
    "sha256sum": (["busybox", "sha256sum"], b"hello" * 10000),
    "gzip": (["busybox", "gzip", "-c"], b"hello " * 10000),
    "sh": (["busybox", "sh", "HERE/script.sh"], b"some words\n3\n"),
    "jq": (["jq", "-c", ".a | map(tostring)"], b'{"a": [1, 2.5, "x"]}'),
    "lua": (["lua5.4", "-e", "local t = {} for i = 1, 100 do t[i] = i ^ 0.5 end local s = io.read('a') "
                             "print(s:upper(), t[50], string.format('%.10g', math.sin(1)))"], b"abc"),
    "perl": (["perl", "-e", "my %h = map { $_ => $_ ** 2 } 1..100; my @l = <STDIN>; chomp @l; "
                            "print join(',', sort @l), qq( $h{7}\\n); printf qq(%.12f\\n), exp(1); exit 3"], b"def\nabc\n"),
    "sqlite3": (["sqlite3", "HERE/shop.db"], b"insert into item values (4, 'pear', 0.1); "
                                           b"select count(*), sum(price), group_concat(name) from item;\n"),
    "duk": (["duk", "--run-stdin"], b"print(JSON.stringify({a: [1, 0.1 + 0.2, Math.sin(1)], b: 'x'.repeat(3)}))"),
    "gawk": (["gawk", 'BEGIN { x = "A" } { print x, $2, length($0), sqrt(NR), strftime("%Y", 0) }'], b"a b\nc d\n"),
    "bc": (["bc", "-l"], b"scale=30; 4*a(1)\n2^200\n"),
    "python": ([PYTHON, "HERE/handler.py", "HERE/journal"], b'{"text": "some words", "n": 17}'),
}
OPTIONS = {"python": ["--memory", "256M"]}

SCRIPT = """\
table=; for i in 1 2 3 4; do table="$table $((i * i))"; done
trap
read a b; read n
trap "echo ends" EXIT
echo "$a" >>${0%/*}/journal
while read l; do echo "journal: $l"; done <${0%/*}/journal
i=0; while [ $i -lt $n ]; do echo "$a-$i ${b%s}"; i=$((i + 1)); done
printf "%05d%s\\n" $n "$table"
seen=$((seen + 1)); echo $seen
exit 5
"""

HANDLER = """\
import sys, json, re, hashlib, datetime, decimal, os, random, signal
digests = {i: hashlib.sha256(str(i).encode()).hexdigest() for i in range(300)}
word = re.compile(r'\\w+')
calls = 0
request = json.loads(sys.stdin.read())
calls += 1
with open(sys.argv[1], 'a') as journal:
    journal.write('was here\\n')
with open(sys.argv[1]) as journal:
    lines = len(journal.readlines())
handler = signal.getsignal(signal.SIGUSR1).name
caught = []
signal.signal(signal.SIGUSR1, lambda number, frame: caught.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
blocks = [bytearray(300000 + i) for i in range(100)]
del blocks[::2]
held = sum(map(len, blocks))
print(json.dumps({
    'words': word.findall(request['text']), 'digest': digests[request['n']],
    'seventh': str(decimal.Decimal(1) / decimal.Decimal(7)), 'power': 0.1 ** 3.5,
    'day': datetime.datetime.fromtimestamp(86400, datetime.timezone.utc).isoformat(),
    'calls': calls, 'lines': lines, 'handler': handler, 'caught': caught, 'held': held}))
if request.get('chance'):
    print(random.random(), os.urandom(8).hex(), datetime.datetime.now().timestamp())
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("programs")
    (directory / "script.sh").write_text(SCRIPT)
    (directory / "handler.py").write_text(HANDLER)
    (directory / "journal").write_text("")
    with sqlite3.connect(directory / "shop.db") as connection:
        connection.execute("create table item(id integer primary key, name text, price real)")
        connection.executemany("insert into item values (?, ?, ?)", [(1, "apple", 1.5), (2, "plum", 0.25), (3, "fig", 3)])
    return directory


def command(name, directory):
    args, request = PROGRAMS[name]
    if not shutil.which(args[0], path="/usr/bin:/bin"):
        pytest.skip(f"{args[0]} is not installed")
    return [arg.replace("HERE", str(directory)) for arg in args], request


@pytest.fixture(scope="module")
def frozen(directory, tmp_path_factory):
    """frozen(name, backend): the image; it is frozen once."""
    place, known = tmp_path_factory.mktemp("images"), {}

    def freeze(name, backend):
        if (name, backend) not in known:
            args, _ = command(name, directory)
            image = place / f"{name}.{backend}.thaw"
            done = subprocess.run([tree.THAW, "freeze", name, "--backend", backend, "--image", image, "--boot-timeout", "300s",
                                   *OPTIONS.get(name, []), "--file", directory / "journal", "--", *args],
                                  capture_output=True, timeout=600, check=False)
            assert done.returncode == 0, done
            known[name, backend] = image
        return known[name, backend]
    return freeze


@pytest.fixture(scope="module")
def expected(directory):
    """expected(name): (status, output) of the program on the host. Its files are restored afterwards."""
    known = {}

    def run(name):
        if name not in known:
            args, request = command(name, directory)
            kept = {path: path.read_bytes() for path in directory.iterdir()}
            done = subprocess.run(args, input=request, capture_output=True, timeout=600, check=False)
            for path, content in kept.items():
                path.write_bytes(content)
            assert done.stdout, f"{name} itself says nothing, so nothing would be compared: {done}"
            known[name] = (done.returncode, done.stdout)
        return known[name]
    return run


# (program, frozen on, run on): each pair of backends once, and the largest program under another processor than at its boot.
CROSSINGS = [("wc", "kvm", "kvm"), ("wc", "kvm", "kvm-generic"), ("wc", "kvm", "process"),
             ("sqlite3", "process", "kvm"), ("sqlite3", "process", "kvm-generic"), ("sqlite3", "process", "process"),
             ("python", "kvm", "kvm"), ("python", "kvm", "process")]
if scale.FULL or not SLOW:
    CROSSINGS = [(name, boot, backend) for name in PROGRAMS for boot in BACKENDS for backend in BACKENDS]


@pytest.mark.parametrize("name,boot,backend", CROSSINGS)
def test_an_image_answers_as_the_program_does(place, frozen, expected, name, boot, backend):
    image, request = frozen(name, boot), PROGRAMS[name][1]
    done = place.thaw("run", image, "--backend", backend, "--timeout", "300s", stdin=request, timeout=600)
    assert (done.returncode, done.stdout) == expected(name), done.stderr.decode(errors="replace")


@pytest.mark.parametrize("backend", [BACKENDS[0]] if SLOW and not scale.FULL else sorted({BACKENDS[0], "process"}))
def test_a_clone_that_was_put_back_is_as_new(place, serve, frozen, expected, backend):
    """Files, globals, handlers and mappings are the image's each time; random numbers are new; clones are recycled."""
    names = ["sh", "sqlite3", "python"]
    for name in names:
        place.put_image(frozen(name, BACKENDS[0] if name == "python" else "process"), name)
    serve([], "--pool", "1", "--backend", backend, place=place)
    place.wait_served(*names)
    seen, number = set(), scale.count(1000, 25, least=6)
    for name in names:
        with place.connect(name, timeout=600) as connection:
            for _ in range(number):
                check(name, connection, expected(name), seen)
        # The last clone may still be being recycled. A process that does not rest in time is destroyed, a machine never is.
        least = 1 if backend == "process" else number
        proc.wait_until(lambda: recycled(place, name) >= least, scale.patience(20), 0.1)


def recycled(place, name):
    return json.loads(place.thaw_ok("stats", name, "--json"))["counters"]["recycled"]


def test_the_time_is_read_without_a_call(place):
    """Reading the clock makes no call, not even within the guest. `thaw` itself runs it: its jail hides the host's clock."""
    clock = next(check for check in json.loads(place.thaw("doctor", "--json").stdout)["host"]["checks"]
                 if check["name"] == "clock")
    if clock["state"] != "ok":
        pytest.skip(f"the host's clock is {clock['detail']}")
    image = place.base / "clock.thaw"
    place.thaw_ok("freeze", "clock", "--trace", "--backend", "process", "--image", image, "--", tree.BUILD / "bench/kvm/clock-reader")
    for backend in BACKENDS:
        done = place.thaw("run", image, "--backend", backend, stdin=b"100\n")
        assert done.returncode == 0 and b"trace: read(0," in done.stderr and b"clock_gettime" not in done.stderr, done


def check(name, connection, expected, seen):
    status, output = expected
    request = PROGRAMS[name][1]
    if name == "python":
        request = request.replace(b"}", b', "chance": true}')
    response = connection.invoke(request, timeout_ns=300_000_000_000)
    body = response.body
    if name == "python":
        body, _, chances = body.strip().rpartition(b"\n")
        body += b"\n"
        for chance in chances.split():
            assert chance not in seen, (chance, seen)
            seen.add(chance)
    assert (response.exit_code, body) == (status, output), response
