# SPDX-License-Identifier: Apache-2.0
"""The files of a Linux program: what freeze packs by itself, what it packs on request, and what the program sees, which is
the same in every invocation. Where possible the answers are compared with those of the host."""
import io
import os
import shutil
import sqlite3
import subprocess
import tarfile

import pytest

from harness import tree

SHELL = shutil.which("busybox", path="/usr/bin:/bin")
PYTHON = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(not SHELL, reason="busybox is not installed")


@pytest.fixture
def function(place):
    """function(*options, args=...): freezes on the process backend, and returns run(stdin)."""
    def freeze(*options, args, status=0, cwd=None, say=()):
        image = place.base / "function.thaw"
        image.unlink(missing_ok=True)
        done = subprocess.run([tree.THAW, "freeze", "function", "--image", image, "--backend", "process", *options,
                               "--", *args], capture_output=True, cwd=cwd, env=place.environment(), timeout=120)
        assert done.returncode == status, done
        for words in say:
            assert words.encode() in done.stderr, done.stderr
        return lambda stdin=b"": place.thaw("run", image, "--backend", "process", stdin=stdin)
    return freeze


def answer(run, stdin=b""):
    done = run(stdin)
    assert done.returncode == 0, done
    return done.stdout


def shell(script):
    """A shell with built-in tools: only the processes of its own applets are missing."""
    return [SHELL, "sh", "-c", "read line; " + script]


def test_a_file_at_its_own_path_and_at_another(place, function):
    text = place.base / "text"
    text.write_text("some words\n")
    run = function("--file", text, "--file", f"{text}:/etc/deep/er", args=shell(f"read a <{text}; read b </etc/deep/er; echo $a-$b"))
    assert answer(run, b"\n") == b"some words-some words\n"


def test_a_directory_with_links_modes_and_an_empty_file(place, function):
    top = place.base / "top"
    (top / "below").mkdir(parents=True)
    (top / "below" / "file").write_text("found\n")
    (top / "link").symlink_to("below/file")
    (top / "out").symlink_to("../elsewhere")
    (top / "empty").touch()
    os.mkfifo(top / "fifo")
    run = function("--dir", f"{top}:/data", args=[SHELL, "sh", "-c", "read x; cd /data; for f in *; do echo $f; done; read a <link; "
                                                  "echo $a; [ -e out ] || echo dangling; [ -s empty ] || echo empty"],
                   say=["left out 1 sockets, devices and other special files"])
    assert answer(run, b"\n") == b"below\nempty\nlink\nout\nfound\ndangling\nempty\n"


def test_arguments_that_name_files_are_packed(place, function):
    (place.base / "words").write_text("b\na\n")
    run = function(args=[SHELL, "sort", "words", "-"], cwd=place.base)
    assert answer(run, b"c\n") == b"a\nb\nc\n"


def test_a_script_brings_its_interpreter(place, function):
    script = place.base / "script"
    script.write_text(f"#!{SHELL} sh\nread line\necho \"$0: $line: $1\"\n")
    script.chmod(0o755)
    run = function(args=["./script", "one"], cwd=place.base)
    assert answer(run, b"hello\n") == b"./script: hello: one\n"


def test_a_root_from_a_tar_archive(place, function):
    archive = place.base / "root.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(SHELL, "bin/tool")
        for name, text in (("etc/greeting", b"from the archive\n"), ("../outside", b"x"), ("/absolute", b"y")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "tool"
        tar.addfile(link)
        device = tarfile.TarInfo("dev/sda")
        device.type, device.devmajor, device.devminor = tarfile.BLKTYPE, 8, 0
        tar.addfile(device)
    run = function("--root", archive, args=["sh", "-c", "read x; read a </etc/greeting; echo $a; cd /; for f in *; do echo $f; done"])
    assert answer(run, b"\n").splitlines()[0] == b"from the archive"
    assert {b"absolute", b"outside", b"bin"} <= set(answer(run, b"\n").splitlines())
    assert not (place.base.parent / "outside").exists()


def test_what_is_written_is_gone_in_the_next_invocation(place, function):
    log = place.base / "log"
    log.write_text("one\n")
    log.chmod(0o644)
    run = function("--file", log, args=shell(f"echo two >>{log}; while read l; do echo $l; done <{log}; "
                                             "[ -e /tmp/y ] && echo STALE; echo >/tmp/y && echo made"))
    for _ in range(3):
        assert answer(run, b"\n") == b"one\ntwo\nmade\n"
    assert log.read_text() == "one\n"


def test_environment_directory_and_user_are_what_was_asked_for(function):
    run = function("--env", "A=b c", "--cwd", "/srv/here", "--user", "1234:77",
                   args=shell("echo $A; pwd; echo ${HOME:-none}; { echo no >/etc/passwd; } 2>/dev/null || echo refused"))
    assert answer(run, b"\n") == b"b c\n/srv/here\n/\nrefused\n"


def test_devices(function):
    run = function(args=shell("echo gone >/dev/null; echo out >/dev/stdout; echo full 2>/dev/null >/dev/full || echo full; "
                              "{ read x </dev/tty; } 2>/dev/null || echo none; [ -c /dev/urandom ] && echo device"))
    assert answer(run, b"\n") == b"out\nfull\nnone\ndevice\n"


def test_what_is_wrong_is_said_with_the_thing_and_the_fix(place, function):
    plain = place.base / "plain"
    plain.write_text("words")
    function("--file", place.base / "missing", args=[SHELL, "cat"], status=1, say=["missing", "No such file"])
    function("--file", place.base, args=[SHELL, "cat"], status=2, say=["--dir"])
    function("--file", f"{plain}:relative", args=[SHELL, "cat"], status=2, say=["absolute path of the guest"])
    function("--dir", place.base / "nowhere", args=[SHELL, "cat"], status=1, say=["nowhere"])
    function("--root", plain, args=[SHELL, "cat"], status=1, say=[str(plain)])
    function("--cwd", "here", args=[SHELL, "cat"], status=2, say=["--cwd"])
    function("--user", "nobody-has-this-name", args=[SHELL, "cat"], status=2, say=["give a number"])
    function(args=["no-such-program-anywhere"], status=1, say=["no-such-program-anywhere", "PATH"])
    function(args=[plain], status=1, say=["chmod +x"])
    plain.chmod(0o755)
    function(args=[plain], status=1, say=["#!"])
    function("--file", plain, args=[tree.program("hello")], status=2, say=["native function"])


def test_a_library_that_is_missing_is_named(place, function):
    source, library, program = place.base / "l.c", place.base / "libmine.so", place.base / "program"
    source.write_text("int mine(void) { return 7; }\n")
    main = place.base / "m.c"
    main.write_text("#include <stdio.h>\nint mine(void); int main(void) { getchar(); printf(\"%d\\n\", mine()); return 0; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    subprocess.run(["cc", "-o", program, main, "-L", place.base, "-lmine"], check=True)
    function(args=[program], status=1, say=["libmine.so", "--file"])
    run = function("--file", f"{library}:/lib/x86_64-linux-gnu/libmine.so", args=[program])
    assert answer(run, b"\n") == b"7\n"
    subprocess.run(["cc", "-o", program, main, "-L", place.base, "-lmine", "-Wl,-rpath,$ORIGIN"], check=True)
    assert answer(function(args=[program]), b"\n") == b"7\n"


def test_what_is_asked_for_by_name_goes_over_the_rest(place, function):
    """--file goes over --root and over found files, and a later option over an earlier one; links of a root count."""
    root, text, link = place.base / "root", place.base / "text", place.base / "link"
    below = root / str(place.base)[1:]
    (root / "bin").mkdir(parents=True)
    shutil.copy(SHELL, root / "bin" / "busybox")
    (root / "real").mkdir()
    below.parent.mkdir(parents=True)
    below.symlink_to("/real")
    (root / "real" / "text").write_text("of the root\n")
    (root / "real" / "link").write_text("of the root\n")
    (root / "real" / "turned").symlink_to("text")
    text.write_text("of the host\n")
    (place.base / "turned").write_text("turned\n")
    link.symlink_to("elsewhere")
    (place.base / "elsewhere").write_text("linked\n")
    show = ["/bin/busybox", "sh", "-c", f"read x; cd {place.base}; read a <text; read b <link; read c <turned; echo $a, $b, $c"]
    assert answer(function("--root", root, args=show), b"\n") == b"of the root, of the root, of the root\n"
    run = function("--file", text, "--root", root, "--file", link, "--file", place.base / "turned", args=show)
    assert answer(run, b"\n") == b"of the host, linked, turned\n"
    run = function("--root", root, "--file", link, "--file", f"{text}:{link}", args=show)
    assert answer(run, b"\n") == b"of the root, of the host, of the root\n"
    run = function("--root", root, "--file", f"{text}:{link}", "--file", link, args=show)
    assert answer(run, b"\n") == b"of the root, linked, of the root\n"


def test_a_file_stays_where_the_host_has_a_link(place, function):
    """A file that freeze finds by itself never replaces a file that an option named."""
    source, main = place.base / "l.c", place.base / "m.c"
    main.write_text("#include <stdio.h>\nint mine(void); int main(void) { getchar(); printf(\"%d\\n\", mine()); return 0; }\n")
    for number in (1, 2):
        source.write_text(f"int mine(void) {{ return {number}; }}\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libmine.so", "-o", place.base / f"libmine.so.{number}", source],
                       check=True)
    (place.base / "libmine.so").symlink_to("libmine.so.1")
    subprocess.run(["cc", "-o", place.base / "program", main, "-L", place.base, "-lmine", "-Wl,-rpath,$ORIGIN"], check=True)
    assert answer(function(args=[place.base / "program"]), b"\n") == b"1\n"
    run = function("--file", f"{place.base}/libmine.so.2:{place.base}/libmine.so", args=[place.base / "program"])
    assert answer(run, b"\n") == b"2\n"


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="sqlite3 is not installed")
def test_a_database_is_read_and_written(place, function):
    database = place.base / "some.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table t(a integer primary key, b text)")
        connection.executemany("insert into t values (?, ?)", [(i, "x" * 50) for i in range(2000)])
    for mode in ("delete", "wal"):
        query = (f"pragma journal_mode={mode}; begin; insert into t select a + 10000, b from t; commit; "
                 "select count(*), sum(a) from t; delete from t where a % 2; vacuum; select count(*) from t;\n").encode()
        run = function(args=["sqlite3", database])
        copy = place.base / "copy.db"
        shutil.copy(database, copy)
        expected = subprocess.run(["sqlite3", copy], input=query, capture_output=True, check=True).stdout
        assert answer(run, query) == expected
        assert answer(run, query) == expected


@pytest.mark.skipif(not os.path.exists(PYTHON), reason="python3 is not installed")
def test_python_finds_its_library_and_a_directory_of_ones_own(place, function):
    package = place.base / "code" / "mine"
    package.mkdir(parents=True)
    for i in range(50):
        (package / f"part{i}.py").write_text(f"value = {i}\n")
    (package / "__init__.py").write_text("")
    script = place.base / "code" / "handler.py"
    script.write_text(
        "import sys, json, os, tempfile, importlib\n"
        "request = json.loads(sys.stdin.read())\n"
        "parts = [importlib.import_module(f'mine.part{i}').value for i in request['parts']]\n"
        "with tempfile.NamedTemporaryFile() as f:\n"
        "    f.write(b'z' * 100000); f.flush(); size = os.stat(f.name).st_size\n"
        "names = sorted(n for n in os.listdir(os.path.dirname(__file__)) if n[0] != '_')\n"
        "import mmap\n"
        "with open(__file__, 'rb') as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:\n"
        "    mapped = m[:6] == b'import'\n"
        "print(json.dumps([parts, size, names, mapped, os.path.exists(sys.executable or '/'), os.getcwd() == os.path.realpath('.')]))\n")
    request = b'{"parts": [3, 1, 49]}'
    run = function("--dir", place.base / "code", args=[PYTHON, script])
    expected = subprocess.run([PYTHON, "-B", script], input=request, capture_output=True, check=True).stdout
    assert answer(run, request) == expected
    assert answer(run, request) == expected


@pytest.mark.skipif(not os.path.exists(PYTHON), reason="python3 is not installed")
def test_pythons_generator_is_seeded_anew_in_each_invocation(place, function):
    run = function("--env", "PYTHONDONTWRITEBYTECODE=1", args=[PYTHON, "-c", (
        "import random, sys; early = random.random(); line = sys.stdin.readline().strip(); "
        "print(early, random.random(), line, input(), sys.stdin.read(), sys.stdin.name, sys.stdin.encoding)")])
    first, second = (answer(run, "über\nb\nc".encode()).decode().split() for _ in range(2))
    assert first[0] == second[0] and first[1] != second[1]
    assert first[2:] == second[2:] == ["über", "b", "c", "<stdin>", "utf-8"]
