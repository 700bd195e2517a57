# SPDX-License-Identifier: Apache-2.0
"""A result does not count when the jailed child dies after it, whichever command asked."""
import json
import os
import subprocess

import pytest

THAW, COUNTER = os.environ["THAW"], os.environ["COUNTER"]


@pytest.fixture(name="thaw")
def fixture_thaw(tmp_path):
    def thaw(*arguments, dying):
        environment = {**os.environ, "THAW_STATE": str(tmp_path / "state"), "THAW_RUN": str(tmp_path / "run")}
        if dying:
            environment["LD_PRELOAD"] = os.environ["DIE_AFTER_RESULT"]
        return subprocess.run([THAW, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              env=environment, check=False)
    return thaw


def is_told(text):
    return "signal 4" in text and "after it had sent its result" in text


def test_run(thaw, tmp_path):
    image = tmp_path / "f.thaw"
    assert thaw("freeze", "--image", image, "f", "--", COUNTER, dying=False).returncode == 0
    assert thaw("run", image, dying=False).stdout.strip() == b"1"
    done = thaw("run", image, dying=True)
    assert done.returncode == 125 and done.stdout == b"" and is_told(done.stderr.decode()), done


def test_freeze(thaw, tmp_path):
    done = thaw("freeze", "--image", tmp_path / "f.thaw", "f", "--", COUNTER, dying=True)
    assert done.returncode == 125 and is_told(done.stderr.decode()), done
    assert not (tmp_path / "f.thaw").exists()


def test_image_reports(thaw, tmp_path):
    for name in "ab":
        assert thaw("freeze", name, "--", COUNTER, dying=False).returncode == 0
    done = thaw("verify", tmp_path / "state" / "a.thaw", dying=True)
    assert done.returncode == 125 and done.stdout == b"" and is_told(done.stderr.decode()), done
    listed = json.loads(thaw("list", "--json", dying=True).stdout)["functions"]
    assert [entry["name"] for entry in listed] == ["a", "b"]
    assert all(entry["status"] == "unreadable" and is_told(entry["reason"]) for entry in listed), listed
