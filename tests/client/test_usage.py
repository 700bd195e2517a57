# SPDX-License-Identifier: Apache-2.0
"""The command line itself: what each command accepts, prints and returns when no daemon runs."""
import json
import os
import subprocess

import pytest

COMMANDS = ("freeze", "invoke", "run", "list", "inspect", "verify", "prewarm", "stats", "logs", "bench", "remove",
            "doctor", "version")


@pytest.fixture(name="thaw")
def fixture_thaw(tmp_path):
    def thaw(*arguments, stdin=b"", **environment):
        environment = {**os.environ, "THAW_STATE": str(tmp_path / "state"), "THAW_RUN": str(tmp_path / "run"), **environment}
        return subprocess.run([os.environ["THAW"], *map(str, arguments)], input=stdin, capture_output=True, timeout=30,
                              env=environment, check=False)
    return thaw


def says(done, code, *words):
    assert done.returncode == code, done
    assert done.stdout == b"" and done.stderr.startswith(b"thaw: ") and done.stderr.count(b"\n") == 1, done
    for word in words:
        assert word in done.stderr.decode(), done


def test_help_lists_every_command(thaw):
    for arguments in (["--help"], ["help"]):
        text = thaw(*arguments)
        assert text.returncode == 0 and text.stderr == b""
        for command in COMMANDS:
            assert f"\n  {command}" in text.stdout.decode(), command


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(thaw, command):
    for arguments in ([command, "--help"], ["help", command]):
        done = thaw(*arguments)
        assert done.returncode == 0, done
        assert f"thaw {command}" in done.stdout.decode() and "--state" in done.stdout.decode(), done


def test_nearest_command(thaw):
    says(thaw("freez", "x"), 2, "thaw freeze")
    says(thaw("hibernate"), 2, "--help")
    says(thaw("help", "lisst"), 2, "thaw list")
    assert b"Usage: thaw " in thaw("--help").stdout
    says(thaw(), 2, "--help")


@pytest.mark.parametrize("arguments, word", [
    (["freeze", "f"], "PROGRAM"), (["freeze", "F", "--", "x"], "'F'"), (["freeze", "f", "--memory", "1", "--", "x"], "--memory"),
    (["freeze", "f", "--memory", "65G", "--", "x"], "--memory"), (["freeze", "f", "--timeout", "0s", "--", "x"], "--timeout"),
    (["freeze", "f", "--boot-timeout", "0s", "--", "x"], "--boot-timeout"),
    (["freeze", "f", "--env", "=v", "--", "x"], "--env"), (["freeze", "f", "--image", "file", "--", "x"], ".thaw"),
    (["freeze", "f", "--backend", "xen", "--", "x"], "--backend"), (["freeze", "f", "--cpu", "z80", "--", "x"], "--cpu"),
    (["invoke", "f", "request"], "standard input"), (["invoke", "f", "--timeout", "1"], "'1'"), (["prewarm", "f", "16385"], "16384"),
])
def test_usage_errors_name_the_thing(thaw, arguments, word):
    says(thaw(*arguments), 2, word)


def test_no_daemon(thaw, tmp_path):
    for arguments in (["invoke", "f"], ["stats"], ["stats", "f"], ["logs", "f"], ["prewarm", "f", "1"]):
        says(thaw(*arguments), 125, "thawd", str(tmp_path / "run"))


def test_global_options_stand_before_or_after_the_command(thaw, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "bad.thaw").write_bytes(b"not an image")
    for arguments in (["--state", other, "list"], ["list", "--state", other], ["list", f"--state={other}"]):
        done = thaw(*arguments)
        assert done.returncode == 0 and b"damaged" in done.stdout, done


def test_nothing_is_no_error(thaw):
    done = thaw("list")
    assert done.returncode == 0, done
    assert json.loads(thaw("list", "--json").stdout) == {"functions": []}


def test_damaged_images_are_listed_with_the_reason(thaw, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    for number in range(25):  # more than one jailed child reads
        (state / f"bad{number}.thaw").write_bytes(b"\0" * number * 100)
    (state / ".hidden.thaw").write_bytes(b"")
    (state / "directory.thaw").mkdir()
    listed = {entry["name"]: entry for entry in json.loads(thaw("list", "--json").stdout)["functions"]}
    assert len(listed) == 26
    assert all(entry["status"] == "damaged" and entry["reason"] for entry in listed.values()), listed


def test_nearest_function(thaw, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "spell.thaw").write_bytes(b"")
    says(thaw("inspect", "spel"), 127, "'spell'")
    says(thaw("remove", "speel"), 127, "'spell'")
    says(thaw("inspect", "nothing-like-it"), 127, "nothing-like-it")


def test_remove(thaw, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "a.thaw").write_bytes(b"")
    done = thaw("remove", "b", "a")
    assert done.returncode == 127 and not list(state.iterdir()), done


def test_verify_json_says_why(thaw, tmp_path):
    path = tmp_path / "x.thaw"
    path.write_bytes(b"x" * 5000)
    done = thaw("verify", path, "--json")
    verdict = json.loads(done.stdout)
    assert done.returncode == 126 and verdict["ok"] is False and verdict["error"], done


def test_versions(thaw):
    version = json.loads(thaw("version", "--json").stdout)
    assert version["version"] in thaw("version").stdout.decode() and version["image_format"] == 1
    assert thaw("--version").stdout.decode().strip() == f"thaw {version['version']}"


def test_a_request_above_the_limit_is_told_with_the_limit(thaw, tmp_path):
    path = tmp_path / "x.thaw"
    path.write_bytes(b"x")
    done = thaw("run", path, stdin=bytes((64 << 20) + 1))
    says(done, 1, "64 MiB")


def test_a_failed_freeze_leaves_nothing(thaw, tmp_path):
    state = tmp_path / "state"
    for program in ("/nonexistent", "/dev/zero", tmp_path, "/etc/passwd"):
        says(thaw("freeze", "f", "--", program), 1, str(program))
    assert not list(state.iterdir())
