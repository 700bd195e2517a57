# SPDX-License-Identifier: Apache-2.0
"""`thaw bench` when no daemon serves the function: its figures, its output, and that it leaves nothing behind."""
import hashlib
import html
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ["THAW_BUILD"])
THAW = BUILD / "pool" / "thaw"
COLD = {"cold", "cold.create", "cold.load", "cold.boot", "cold.answer"}
NAMES = COLD | {
    "thaw.disk", "thaw.disk.create", "thaw.disk.load", "thaw.disk.answer", "thaw.memory", "thaw.pool",
    "invoke", "invoke.worker", "invoke.run", "invoke.interleaved", "invoke.open", "invoke.c16", "throughput.invoke",
    "limit.unix-echo", "limit.unix-echo.interleaved", "limit.unix-echo.open", "limit.unix-echo.c16", "limit.hand-over", "limit.clone", "limit.page-fault",
    "limit.cat-image", "limit.throughput", "throughput.unix-echo", "throughput.hand-over",
    "peer.spawn", "peer.prefork", "peer.prefork.c16", "throughput.prefork",
    "memory.idle-clone", "memory.idle-clone.rss", "memory.active-clone"}
WASM = {"peer.wasm", "peer.wasm.c3", "throughput.wasm"}
# Figures that a backend, or a machine, may lack.
OPTIONAL = {"thaw.recycled", "thaw.recycle", "limit.kvm-exit", "limit.kvm-create-vm", "limit.kvm-create-vcpu"}
LIGHT = {"thaw.pool", "invoke", "invoke.worker", "invoke.run", "limit.unix-echo"}


@pytest.fixture
def place(tmp_path):
    """State, run and temporary directories of this test's own, with `hello` frozen from a copy of its program."""
    for name in ("state", "run", "tmp"):
        (tmp_path / name).mkdir(mode=0o700)
    shutil.copy(BUILD / "guest-stub" / "functions" / "hello", tmp_path / "hello")
    shutil.copy(BUILD / "bench" / "peers" / "hello", tmp_path / "hello-linux")
    done = thaw(tmp_path, "freeze", "hello", "--", tmp_path / "hello")
    assert done.returncode == 0, done.stderr
    return tmp_path


def unit(name):
    if name.startswith("memory."):
        return "bytes"
    return "per-second" if name.startswith("throughput.") or name == "limit.throughput" else "ns"


def environment(place):
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(place / "tmp"),
            "THAW_STATE": str(place / "state"), "THAW_RUN": str(place / "run")}


def thaw(place, *arguments):
    return subprocess.run([THAW, *map(str, arguments)], env=environment(place), capture_output=True, text=True,
                          timeout=300, check=False)


def processes_of(place):
    """Processes whose arguments name a folder of this test."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(place).encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            pass
    return found


def nothing_left(place):
    deadline = time.monotonic() + 20
    while processes_of(place) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_of(place) and not list((place / "tmp").iterdir())


@pytest.mark.parametrize("options", [(), ("--closed-loop",)])
def test_every_figure_without_a_daemon(place, options):
    done = thaw(place, "bench", "hello", "--runs", 20, "--json", place / "figures.json", *options)
    assert done.returncode == 0, done.stderr
    assert "temporary" in done.stderr, "it says whose daemon was measured"
    report = json.loads((place / "figures.json").read_text())
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert NAMES <= set(figures)
    for name, figure in figures.items():
        assert figure["unit"] == unit(name)
        assert isinstance(figure["ratio_to_limit"], (float, type(None)))
        assert 0 < figure["p50"] <= figure["p90"] <= figure["p99"] <= figure["p999"] <= figure["max"], figure
    assert {figures[name]["count"] for name in LIGHT} == {20}
    assert report["host"]["backend"] == "process"
    assert report["run"]["mode"] == ("closed-loop" if options else "paced")
    assert report["run"]["response_bytes"] == len("hello, world\n")
    # Always true: a standing instance needs no boot; the guest's time is part of the worker's, and that is part of the trip.
    assert figures["thaw.pool"]["p50"] < figures["cold"]["p50"]
    assert figures["invoke.run"]["p50"] <= figures["invoke.worker"]["p50"] <= figures["invoke"]["p50"]
    # A stage is a part of its whole, and ratios agree with their figures.
    for whole, parts in (("cold", COLD - {"cold"}), ("thaw.disk", {name for name in NAMES if name.startswith("thaw.disk.")})):
        assert sum(figures[part]["p50"] for part in parts) <= 3 * figures[whole]["p50"]
    ratio = figures["invoke"]["p50"] / figures["limit.unix-echo"]["p50"]
    assert figures["invoke"]["ratio_to_limit"] == pytest.approx(ratio)
    assert {entry["name"] for entry in report["series"]} >= {"throughput.invoke", "throughput.prefork"}
    for name in NAMES:
        assert name in done.stdout
    assert nothing_left(place)


def test_the_page_has_the_numbers_of_the_json(place):
    done = thaw(place, "bench", "hello", "--runs", 5, "--concurrency", 3, "--rate", 100, "--json", place / "figures.json",
                "--html", place / "page.html", "--peer", "shell=cat >/dev/null; echo hello, world", "--peer", "bad=exit 3",
                "--peer", "dead=kill -9 $$")
    assert done.returncode == 0, done.stderr
    report = json.loads((place / "figures.json").read_text())
    page = (place / "page.html").read_text()
    assert json.loads(html.unescape(re.search(r'<pre id="report">(.*?)</pre>', page, re.S)[1])) == report
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert {"invoke.c3", "limit.unix-echo.c3", "peer.shell", "peer.bad"} <= set(figures)
    assert report["run"]["rate"] == 100 and report["run"]["clients"] == 3
    for figure in figures.values():
        for key in ("p50", "p90", "p99", "p999", "max"):
            assert f'title="{figure[key]} {figure["unit"]}"' in page, figure["name"]
    # So do the bars and the points of the drawings.
    bars = dict(re.findall(r'<div class="way" title="([^":]+): p50 (\d+) ns">', page))
    assert {"cold", "thaw.disk", "invoke", "limit.unix-echo", "peer.spawn", "peer.prefork"} <= set(bars)
    assert all(int(p50) == figures[name]["p50"] for name, p50 in bars.items())
    drawn = [(name, float(x), float(y)) for name, x, y in re.findall(r'data-series="([^"]+)" data-x="([^"]+)" data-y="([^"]+)"', page)]
    assert drawn and sorted(drawn) == sorted((entry["name"], *point) for entry in report["series"] for point in entry["points"])
    # A peer that fails is noted; a peer that dies has no figure.
    assert any("peer.bad exits with 3" in note for note in report["notes"])
    assert "peer.dead" not in figures and any("peer.dead is absent" in note for note in report["notes"])
    assert nothing_left(place)


def noted(report, peer):
    return [note for note in report["notes"] if note.startswith(f"{peer} is absent: ")]


def test_all_peers_are_measured_or_missed_with_a_reason(place):
    done = thaw(place, "bench", "hello", "--runs", 5, "--concurrency", 3, "--all-peers", "--json", place / "figures.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((place / "figures.json").read_text())
    figures = {figure["name"] for figure in report["figures"]}
    for peer in ("peer.wasm", "peer.qemu-restore", "peer.criu-restore"):
        assert (peer in figures) != bool(noted(report, peer)), (peer, report["notes"])
    if shutil.which("node") and (BUILD / "bench/peers/hello.wasm").exists():
        assert WASM <= figures
    if shutil.which("qemu-system-x86_64"):
        assert "peer.qemu-restore" in figures
    # Each peer answers as the function does; otherwise a note would say so.
    assert not [note for note in report["notes"] if "answers" in note], report["notes"]
    assert nothing_left(place)


def test_peers_that_are_not_installed_are_missed(place):
    """With the folder of the test as PATH there is no node, no QEMU and no criu."""
    done = subprocess.run([THAW, "bench", "hello", "--runs", "1", "--all-peers", "--json", "-"],
                          env=environment(place) | {"PATH": str(place)}, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for peer, word in (("peer.wasm", "node"), ("peer.qemu-restore", "QEMU"), ("peer.criu-restore", "criu")):
        assert [word in note and "not installed" in note for note in noted(report, peer)] == [True], report["notes"]


def frame(request):
    return len(request).to_bytes(8, "little") + request


def ask(connection, request):
    connection.sendall(frame(request))
    got = b""
    while len(got) < 8 or len(got) < 8 + int.from_bytes(got[:8], "little"):
        piece = connection.recv(65536)
        assert piece, "the server hung up"
        got += piece
    return got[8:]


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_a_webassembly_instance_is_fresh_for_each_request():
    if not (BUILD / "bench/peers/counter.wasm").exists():
        pytest.skip("no modules: clang and lld are not installed")
    answers = {"counter": [(b"x", b"1\n"), (b"x", b"1\n")],
               "sha256": [(b"abc", b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"),
                          (bytes(300_000), hashlib.sha256(bytes(300_000)).hexdigest().encode() + b"\n")],
               "spell": [(b"Teh borwn fox", b"Teh: the, tech, tea, tee, tel\nborwn: brown, born, boron\n")]}
    for name, expected in answers.items():
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as connection:
            listener.bind(b"")
            listener.listen()
            with subprocess.Popen([shutil.which("node"), BUILD / "bench/peers/wasm_server.js", BUILD / f"bench/peers/{name}.wasm"],
                                  stdin=listener.fileno(), stderr=subprocess.DEVNULL) as server:
                connection.connect(listener.getsockname())
                for request, answer in expected:
                    assert ask(connection, request) == answer
                # Two requests in pieces that end anywhere.
                request, answer = expected[0]
                for byte in frame(request):
                    connection.sendall(bytes([byte]))
                connection.sendall(frame(request)[:3])
                connection.sendall(frame(request)[3:])
                got = b""
                while len(got) < 2 * (8 + len(answer)):
                    piece = connection.recv(65536)
                    assert piece, "the server hung up"
                    got += piece
                assert got == 2 * frame(answer)
                server.kill()


def test_json_on_standard_output_is_nothing_but_json(place):
    done = thaw(place, "bench", "hello", "--runs", 5, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert {figure["name"] for figure in json.loads(done.stdout)["figures"]} >= NAMES


def test_a_request_of_ones_own(place):
    request = place / "request"
    request.write_bytes(b"x" * 200_000)
    done = thaw(place, "bench", "hello", "--runs", 5, "--json", "-", "--request", request)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["request_bytes"] == 200_000


def test_a_program_that_is_gone_has_no_cold_start(place):
    (place / "hello").unlink()
    done = thaw(place, "bench", "hello", "--runs", 5, "--json", "-")
    assert done.returncode == 0, done.stderr
    names = {figure["name"] for figure in json.loads(done.stdout)["figures"]}
    assert names - OPTIONAL == NAMES - COLD
    assert "cold is absent" in done.stderr and str(place / "hello") in done.stderr


def test_interrupted_it_clears_up(place):
    with subprocess.Popen([THAW, "bench", "hello", "--runs", "1000000"], env=environment(place),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not list((place / "tmp").glob("*/run/fn/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.poll() is None and list((place / "tmp").glob("*/run/fn/*")), "its daemon runs"
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "interrupted" in stderr
    assert nothing_left(place)


@pytest.mark.parametrize("arguments, code, word", [
    (("bench", "nobody"), 127, "nobody"),
    (("bench",), 2, "NAME"),
    (("bench", "hello", "--runs", "0"), 2, "--runs"),
    (("bench", "hello", "more"), 2, "more"),
    (("bench", "hello", "--concurrency", "0"), 2, "--concurrency"),
    (("bench", "hello", "--peer", "nocommand"), 2, "NAME=COMMAND"),
    (("bench", "hello", "--peer", "spawn=true"), 2, "taken"),
    (("bench", "hello", "--peer", "wasm.c16=true"), 2, "taken"),
    (("bench", "hello", "--html", "/nonexistent/page", "--runs", "1"), 1, "/nonexistent/page"),
    (("bench", "hello", "--request", "/nonexistent"), 1, "/nonexistent"),
    (("bench", "hello", "--json", "/nonexistent/file", "--runs", "1"), 1, "/nonexistent/file"),
])
def test_refusals(place, arguments, code, word):
    done = thaw(place, *arguments)
    assert done.returncode == code, done.stderr
    assert word in done.stderr


def test_damage_is_told(place):
    image = place / "state" / "hello.thaw"
    damaged = bytearray(image.read_bytes())
    damaged[100] ^= 1
    image.write_bytes(damaged)
    assert thaw(place, "bench", "hello").returncode == 126


@pytest.mark.parametrize("name, request_text, answer", [
    ("hello", "", "hello, world\n"),
    ("counter", "x", "1\n"),
    ("sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"),
])
def test_a_peer_answers_as_its_function(name, request_text, answer):
    done = subprocess.run([BUILD / "bench" / "peers" / name], input=request_text, capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, answer)
