# SPDX-License-Identifier: Apache-2.0
"""The client program: exit codes, the content of standard output, JSON, error messages."""
import json
import os
import pty
import subprocess

import pytest

from harness import scale, tree

USAGE, ENGINE, CANNOT_RUN, NO_SUCH = 2, 125, 126, 127


def complaint(done, code, *words):
    """A failure has CODE, nothing on standard output, and one line that begins with "thaw: " and contains WORDS."""
    assert done.returncode == code, done
    assert done.stdout == b"", done
    assert done.stderr.startswith(b"thaw: "), done
    for word in words:
        assert word.encode() in done.stderr, done


@pytest.mark.parametrize("arguments", [
    [], ["fly"], ["--bogus"], ["invoke"], ["invoke", "a", "b"], ["invoke", "--timeout"], ["prewarm", "hello"],
    ["invoke", "hello", "--timeout", "soon"], ["invoke", "hello", "--timeout", "-1s"], ["prewarm", "hello", "many"],
    ["prewarm", "hello", "-3"], ["prewarm", "hello", "99999999999999999999"], ["run"], ["verify"], ["inspect"],
    ["remove"], ["logs"], ["bench"], ["freeze"], ["freeze", "hello"], ["freeze", "hello", "--"],
    ["freeze", "hello", "--memory", "lots", "--", "x"], ["freeze", "hello", "--memory", "0", "--", "x"],
    ["freeze", "hello", "--backend", "magic", "--", "x"], ["freeze", "hello", "--cpu", "8086", "--", "x"],
    ["freeze", "hello", "--env", "no-equals-sign", "--", "x"], ["list", "extra"], ["bench", "hello", "--runs", "0"],
])
def test_usage_errors(place, arguments):
    done = place.thaw(*arguments)
    assert done.returncode == USAGE and done.stdout == b"" and done.stderr, done


@pytest.mark.parametrize("name", ["", "UPPER", ".hidden", "-dash", "a/b", "../a", "a" * 64, "sp ace", "n\nl", "ü"])
def test_bad_names_are_usage_errors(place, name):
    for arguments in (["invoke", "--", name], ["remove", "--", name]):
        done = place.thaw(*arguments)
        assert done.returncode == USAGE and done.stdout == b"", (arguments, done)
    done = place.thaw("freeze", name, "--", tree.program("hello")) if not name.startswith("-") else None
    assert done is None or done.returncode == USAGE, done
    assert not any(place.state.iterdir())


def test_longest_name(serve, place):
    name = "a" * 63
    done = place.freeze(name, "hello")
    assert done.returncode == 0, done.stderr
    daemon = serve([], place=place)
    place.wait_served(name)
    assert place.thaw_ok("invoke", name, stdin=b"x")
    assert daemon.stop() == 0


def test_help_and_version(place):
    for arguments in (["--help"], ["help"], ["version"], ["--version"]):
        done = place.thaw(*arguments)
        assert done.returncode == 0 and done.stdout, (arguments, done)
    assert b"thaw" in place.thaw_ok("version")
    text = place.thaw_ok("--help").decode()
    for command in ("freeze", "invoke", "run", "list", "inspect", "verify", "prewarm", "stats", "logs", "bench",
                    "remove", "doctor", "version"):
        assert command in text, f"help does not name {command}"


def test_no_daemon_is_125_and_no_function_127(place, serve):
    complaint(place.thaw("invoke", "hello", stdin=b"x"), ENGINE, "thawd")
    daemon = serve(["hello"], place=place)
    complaint(place.thaw("invoke", "nobody", stdin=b"x"), NO_SUCH, "nobody")
    for command in (["stats", "nobody"], ["logs", "nobody"], ["prewarm", "nobody", 2], ["inspect", "nobody"],
                    ["remove", "nobody"], ["bench", "nobody"]):
        complaint(place.thaw(*command), NO_SUCH, "nobody")
    assert daemon.stop() == 0
    complaint(place.thaw("invoke", "hello", stdin=b"x"), ENGINE)


def test_deadline_is_124(serve):
    daemon = serve(["misbehave"])
    complaint(daemon.place.thaw("invoke", "misbehave", "--timeout", "200ms", stdin=b"hang"), 124, "deadline")


def test_the_guests_own_exit_code(serve):
    daemon = serve(["misbehave"])
    for code in (1, 7, 42, 255):
        done = daemon.place.thaw("invoke", "misbehave", stdin=f"status {code}".encode())
        assert done.returncode == code, done


def test_run_needs_no_daemon(images, place):
    assert b"hello" in place.thaw_ok("run", images["hello"], stdin=b"Ada").lower()
    for _ in range(2):
        assert place.thaw_ok("run", images["counter"]).strip() == b"1"
    done = place.thaw("run", images["misbehave"], stdin=b"status 9")
    assert done.returncode == 9, done


def parsed(place, *arguments):
    return json.loads(place.thaw_ok(*arguments, "--json"))


def test_json_listings(serve):
    daemon = serve(["hello", "counter"])
    place = daemon.place
    listing = parsed(place, "list")
    entries = listing if isinstance(listing, list) else listing["functions"]
    assert {entry["name"] for entry in entries} == {"hello", "counter"}
    image = parsed(place, "inspect", "hello")
    assert image["name"] == "hello" and len(image["uuid"]) == 36
    assert parsed(place, "inspect", place.state / "hello.thaw") == image
    place.thaw_ok("invoke", "counter")
    assert parsed(place, "stats", "counter")
    assert parsed(place, "stats")
    assert parsed(place, "doctor")
    parsed(place, "logs", "counter")


def test_plain_listings_name_what_is_there(serve):
    daemon = serve(["hello", "counter"])
    place = daemon.place
    for command in (["list"], ["stats"]):
        text = place.thaw_ok(*command)
        assert b"hello" in text and b"counter" in text, (command, text)
    assert b"hello" in place.thaw_ok("inspect", "hello")


def test_list_works_without_a_daemon(place, images):
    assert place.thaw("list").returncode == 0
    place.put_image(images["hello"], "hello")
    assert b"hello" in place.thaw_ok("list")


def test_data_on_standard_output_and_all_else_on_standard_error(serve, images):
    daemon = serve(["hello", "misbehave"])
    place = daemon.place
    assert place.thaw("invoke", "hello", stdin=b"x").stderr == b""
    frozen = place.freeze("again", "hello")
    assert frozen.returncode == 0 and frozen.stdout == b""
    assert place.thaw("verify", images["hello"]).returncode == 0
    crashed = place.thaw("invoke", "misbehave", stdin=b"crash")
    assert crashed.stdout == b"" and crashed.stderr.count(b"\n") == 1


def test_state_and_run_options_win_over_the_environment(serve):
    daemon = serve(["hello"])
    place = daemon.place
    elsewhere = {"THAW_STATE": "/nonexistent/s", "THAW_RUN": "/nonexistent/r"}
    done = place.thaw("invoke", "hello", "--run", place.run, stdin=b"x", env=elsewhere)
    assert done.returncode == 0, done
    done = place.thaw("list", "--state", place.state, "--run", place.run, env=elsewhere)
    assert done.returncode == 0 and b"hello" in done.stdout, done


def test_logs_hold_what_the_guest_said(serve):
    daemon = serve(["misbehave"])
    place = daemon.place
    place.thaw_ok("invoke", "misbehave", stdin=b"log-flood")
    logs = place.thaw_ok("logs", "misbehave")
    assert logs and len(logs) < 4 << 20
    logs.decode()  # valid text, whatever the guest logged
    assert not any(byte < 32 and byte not in b"\n\t" for byte in logs)


def test_verify_says_so(place, images):
    done = place.thaw("verify", images["hello"])
    assert done.returncode == 0
    complaint(place.thaw("verify", "/etc/passwd"), CANNOT_RUN)


def test_doctor(place):
    done = place.thaw("doctor")
    report = parsed(place, "doctor")
    works = {part["name"]: part["works"] for part in report["backends"]}
    assert set(works) == {"process", "kvm"} and works["process"], "these tests run on it"
    assert done.returncode == 0 and b"seccomp" in done.stdout, done
    assert {check["name"] for check in report["host"]["checks"]} >= {"seccomp", "jail", "clock"}


def test_standard_output_that_is_full_is_a_failure(serve):
    daemon = serve(["hello"])
    with open("/dev/full", "wb") as full:
        done = subprocess.run([tree.THAW, "invoke", "hello"], input=b"x", stdout=full, stderr=subprocess.PIPE,
                              env=daemon.place.environment(), timeout=60, check=False)
    assert done.returncode == 1 and done.stderr, done


def test_closed_standard_streams(serve):
    """When standard streams are closed at the start, the client does not take a socket for one of them."""
    daemon = serve(["hello"])
    done = subprocess.run(["/bin/sh", "-c", f"exec {tree.THAW} invoke hello <&-"], capture_output=True,
                          env=daemon.place.environment(), timeout=60, check=False)
    assert done.returncode == 1 and done.stdout == b"" and b"cannot read the request" in done.stderr, done
    done = subprocess.run(["/bin/sh", "-c", f"exec {tree.THAW} invoke hello >&-"], input=b"x", stderr=subprocess.PIPE,
                          env=daemon.place.environment(), timeout=60, check=False)
    assert done.returncode == 1 and b"cannot write to standard output" in done.stderr, done
    done = subprocess.run(["/bin/sh", "-c", f"exec {tree.THAW} invoke hello >&- 2>&-"], input=b"x",
                          env=daemon.place.environment(), timeout=60, check=False)
    assert done.returncode == 1, done


def test_freezing_shows_progress_on_a_terminal(place):
    master, slave = pty.openpty()
    process = place.start_thaw("freeze", "shown", "--", tree.program("spell"), stdin=-3, stdout=-3, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    assert process.wait(scale.patience(30)) == 0
    assert shown.strip(), "a terminal saw nothing"
