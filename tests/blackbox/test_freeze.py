# SPDX-License-Identifier: Apache-2.0
"""Freezing: what it refuses and how, what its options do, and freezing a live function again."""
import json
import os
import struct
import threading
import time

import pytest

from harness import misdeeds, proc, scale, tree, wire


def refused(done, *words):
    assert done.returncode == 1 and done.stdout == b"", done
    assert done.stderr.startswith(b"thaw: "), done
    for word in words:
        assert word.lower() in done.stderr.lower(), (word, done.stderr)


@pytest.mark.parametrize("what", ["/bin/ls", "script", "text", "empty", "missing", "directory", "device", "fifo"])
def test_what_is_no_function_is_refused_in_words(place, what):
    path = place.base / what
    if what == "/bin/ls":
        path = "/bin/ls"
    elif what == "script":
        path.write_text("#!/bin/sh\necho hello\n")
    elif what == "text":
        path.write_text("just words\n" * 100)
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "directory":
        path.mkdir()
    elif what == "device":
        path = "/dev/zero"
    elif what == "fifo":
        os.mkfifo(path)
    if hasattr(path, "chmod") and path.exists():
        path.chmod(0o755)
    refused(place.thaw("freeze", "thing", "--", path, timeout=scale.patience(20)), str(path).encode())
    assert not list(place.state.glob("*.thaw"))
    assert not list(place.state.iterdir()), "a remnant in the state directory"


def loaded(program):
    """Where the last byte of an ELF program's segments ends in its file."""
    table, (size, count) = struct.unpack_from("<Q", program, 32)[0], struct.unpack_from("<HH", program, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", program, table + i * size) for i in range(count)]
    return max(offset + length for kind, _, offset, _, _, length, _, _ in segments if kind == 1)


def test_a_truncated_program_is_refused(place):
    whole = tree.program("hello").read_bytes()
    path = place.base / "short"
    for length, complaint in ((1, b"neither an ELF program"), (16, b"not a program"), (63, b"not a program"),
                              (64, b"damaged"), (100, b"damaged"), (500, b"cut short")):
        path.write_bytes(whole[:length])
        path.chmod(0o755)
        refused(place.thaw("freeze", "thing", "--", path), complaint)
    assert not list(place.state.iterdir())
    path.write_bytes(whole[:loaded(whole)])  # the sections behind the segments are lost, and freeze loads none
    place.thaw_ok("freeze", "thing", "--", path)
    assert place.thaw_ok("run", place.state / "thing.thaw", stdin=b"x") == b"hello, world\n"


def test_a_guest_that_ends_before_its_ready_point_is_refused(place):
    for deed in ("crash", "exit 3", "abort too early", "syscall", "bad-hypercall"):
        done = place.thaw("freeze", "early", "--", misdeeds.PROGRAM, f"--boot={deed}")
        refused(done)
        assert len(done.stderr) > 30, done.stderr
    assert not list(place.state.glob("*.thaw"))


def test_a_guest_that_never_gets_ready(place):
    began = time.monotonic()
    freezing = place.start_thaw("freeze", "never", "--", misdeeds.PROGRAM, "--boot=hang", stdin=-3, stdout=-3,
                                stderr=-3)
    time.sleep(0.5)
    assert freezing.poll() is None, f"gave up after {time.monotonic() - began:.1f} s"
    family = [*map(proc.identity, proc.descendants(freezing.pid))]
    freezing.terminate()
    freezing.wait(scale.patience(10))
    proc.wait_until(lambda: not any(map(proc.still, filter(None, family))), scale.patience(5))
    assert not list(place.state.iterdir()), "a remnant in the state directory"


def inspected(place, name):
    return json.loads(place.thaw_ok("inspect", name, "--json"))


def test_options_end_up_in_the_image(place):
    warm = place.base / "warm"
    warm.write_text("x")
    place.thaw_ok("freeze", "full", "--memory", "48MiB", "--timeout", "1500ms", "--env", "COLOUR=blue", "--env",
                  "EMPTY=", "--warm", warm, "--warm", warm, "--backend", "process", "--",
                  tree.program("hello"), "first", "second word")
    image = inspected(place, "full")
    text = json.dumps(image)
    assert "COLOUR=blue" in text and "second word" in text and str(tree.program("hello")) in text
    assert 48 << 20 in image.values() and 1_500_000_000 in image.values(), image
    assert "process" in text
    assert place.thaw("run", place.state / "full.thaw", stdin=b"x").returncode == 0


def test_cpu_level_is_kept_or_said_not_to_be(place):
    """Not every processor can hide features from a process; where it cannot, freeze says so."""
    done = place.thaw("freeze", "old", "--cpu", "x86-64-v2", "--backend", "process", "--", tree.program("hello"))
    assert done.returncode == 0, done
    level = inspected(place, "old")["cpu_level"]
    # Where the level could not be enforced, freeze warns and the image says "host".
    told = b"--cpu x86-64-v2" in done.stderr and b"all of this host's" in done.stderr
    assert level == "x86-64-v2" or level == "host" and told, (level, done)
    place.thaw_ok("freeze", "host", "--cpu", "host", "--", tree.program("hello"))
    assert place.thaw("run", place.state / "host.thaw", stdin=b"x").returncode == 0


def test_warm_requests_leave_their_state_in_the_image(place):
    """counter, warmed by three requests, answers 4 each time."""
    warm = place.base / "warm"
    warm.write_bytes(b"")
    place.thaw_ok("freeze", "warmed", "--warm", warm, "--warm", warm, "--warm", warm, "--", tree.program("counter"))
    for _ in range(3):
        assert place.thaw_ok("run", place.state / "warmed.thaw").strip() == b"4"


def test_image_option_writes_a_file(place):
    path = place.base / "apart.thaw"
    place.thaw_ok("freeze", "apart", "--image", path, "--", tree.program("hello"))
    assert place.thaw("verify", path).returncode == 0
    assert b"hello" in place.thaw_ok("run", path, stdin=b"Ada").lower()
    assert not (place.state / "apart.thaw").exists()


def test_a_backend_that_does_not_work_here_is_refused_in_words(place):
    """A device node alone is no backend: `freeze` uses what `doctor` finds."""
    if tree.kvm_works():
        pytest.skip("KVM works here, and test_kvm.py uses it")
    done = place.thaw("freeze", "hard", "--backend", "kvm", "--", tree.program("hello"))
    assert done.returncode == 125 and done.stderr.startswith(b"thaw: KVM does not work here: "), done


def test_two_freezes_of_one_program_have_two_identities(place):
    for name in ("one", "two"):
        place.freeze(name, "hello")
    assert inspected(place, "one")["uuid"] != inspected(place, "two")["uuid"]


def test_spells_image_is_small(images, place):
    """The file is at most a third of the memory that is not zero."""
    image = json.loads(place.thaw_ok("inspect", images["spell"], "--json"))
    nonzero = next(value for key, value in walk(image) if "nonzero" in key)
    assert images["spell"].stat().st_size * 3 <= nonzero, image


def walk(value, key=""):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, name)
    else:
        yield key, value


def test_freezing_again_swaps_atomically_under_load(serve):
    """While a name is frozen again and again, each answer is a whole answer of one of the images."""
    daemon = serve(["counter"])
    place = daemon.place
    over, answered, failures = threading.Event(), [], []

    def traffic():
        try:
            while not over.is_set():
                with place.connect("counter") as connection:
                    try:
                        for _ in range(10):
                            response = connection.invoke(b"")
                            assert response.exit_code == 0, response
                            answered.append(response.body.strip())
                    except wire.GoAway:
                        continue  # a goaway means "connect again": no request was lost
        except BaseException as error:
            failures.append(error)

    warm = place.base / "warm"
    warm.write_bytes(b"")
    clients = [threading.Thread(target=traffic, daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for turn in range(scale.count(40, 8, least=2)):
            warmth = ["--warm", warm] if turn % 2 == 0 else []
            place.thaw_ok("freeze", "counter", *warmth, "--", tree.program("counter"))
            wanted = b"2" if warmth else b"1"
            proc.wait_until(lambda wanted=wanted: place.thaw_ok("invoke", "counter").strip() == wanted,
                            scale.patience(10))
    finally:
        over.set()
        for client in clients:
            client.join()
    assert not failures, failures[0]
    assert set(answered) <= {b"1", b"2"} and b"2" in answered


def test_freeze_then_invoke_at_once(serve):
    """The running daemon serves an image within a moment of freeze reporting it, and never half an image."""
    daemon = serve([])
    place = daemon.place
    slowest = 0.0
    for turn in range(scale.count(20, 5)):
        name = f"fresh{turn}"
        assert place.freeze(name, "hello").returncode == 0
        began = time.monotonic()
        while True:
            done = place.thaw("invoke", name, stdin=b"x")
            if done.returncode == 0:
                break
            assert done.returncode in (125, 127), done
            assert time.monotonic() - began < scale.patience(3), done
        slowest = max(slowest, time.monotonic() - began)
    print(f"slowest from frozen to served: {slowest:.3f} s")


def test_remove(serve):
    daemon = serve(["hello", "counter"])
    place = daemon.place
    place.thaw_ok("remove", "hello")
    assert not (place.state / "hello.thaw").exists()
    proc.wait_until(lambda: place.thaw("invoke", "hello", stdin=b"x").returncode == 127, scale.patience(10))
    assert b"hello" not in place.thaw_ok("list")
    proc.wait_until(lambda: len(daemon.workers()) == 1, scale.patience(10))
    assert place.thaw_ok("invoke", "counter").strip() == b"1"
    assert place.freeze("hello").returncode == 0
    place.wait_served("hello")
    proc.wait_until(lambda: place.thaw("invoke", "hello", stdin=b"x").returncode == 0, scale.patience(10))
