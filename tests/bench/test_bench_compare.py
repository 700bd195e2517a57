# SPDX-License-Identifier: Apache-2.0
"""bench-compare fails when a counted figure is dearer than on record, and names it."""
import json
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "bench-compare"
INVOKE = {"name": "invoke.hello", "ns": 12000.0, "exact": True, "exits": 1, "faults": 0, "kvm_run": 1, "other_ioctl": 0,
          "memory": 0}
COLD = {"name": "hello.cold", "ns": 5e7, "exact": False}


def report(path, *figures, kernel="one"):
    path.write_text(json.dumps({"kernel": kernel, "compiler": "cc", "figures": figures}))
    return path


def compare(*arguments):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("change, code, word", [
    ({}, 0, ""),
    ({"ns": 12100.0}, 0, ""),
    ({"ns": 12200.0}, 1, "1.67 % more instructions"),
    ({"exits": 1.5}, 1, "1.5 exits, 1 on record"),
    ({"other_ioctl": 0.01}, 1, "0.01 other ioctls, 0 on record"),
    ({"ns": 9000.0}, 0, ""),
])
def test_an_invocation(tmp_path, change, code, word):
    before = report(tmp_path / "before", INVOKE, COLD)
    now = report(tmp_path / "now", {**INVOKE, **change}, {**COLD, "ns": 9e7})
    done = compare(before, now)
    assert done.returncode == code, done.stdout + done.stderr
    assert word in done.stderr
    assert ("cheaper" in done.stdout) == (change == {"ns": 9000.0})


def test_a_short_one_may_have_forty_instructions_more(tmp_path):
    recycle = {"name": "hello.recycle", "ns": 4000.0, "exact": True}
    before = report(tmp_path / "before", recycle)
    assert compare(before, report(tmp_path / "now", {**recycle, "ns": 4078.0})).returncode == 0
    assert compare(before, report(tmp_path / "now", {**recycle, "ns": 4090.0})).returncode == 1


def test_a_figure_that_is_gone(tmp_path):
    before = report(tmp_path / "before", INVOKE, {**INVOKE, "name": "invoke.pages"}, COLD)
    done = compare(before, report(tmp_path / "now", INVOKE))
    assert done.returncode == 1
    assert "invoke.pages: no longer counted" in done.stderr
    assert "hello.cold" not in done.stderr, "a shorter run leaves out whole functions"


def test_another_kernel_is_allowed_more_and_told(tmp_path):
    before = report(tmp_path / "before", INVOKE)
    done = compare(before, report(tmp_path / "now", {**INVOKE, "ns": 12900.0}, kernel="two"))
    assert done.returncode == 0
    assert "the kernel is two, on record one" in done.stdout
    assert compare(before, report(tmp_path / "now", {**INVOKE, "ns": 13300.0}, kernel="two")).returncode == 1


def test_recording(tmp_path):
    before = report(tmp_path / "before", INVOKE, COLD)
    now = report(tmp_path / "now", {**INVOKE, "ns": 13000.0})
    assert compare(before, now, "--record").returncode == 0
    assert compare(before, now).returncode == 0
    assert {figure["name"] for figure in json.loads(before.read_text())["figures"]} == {"invoke.hello", "hello.cold"}
