# SPDX-License-Identifier: Apache-2.0
"""The client's part of freezing: limits of the boot, what a kill leaves behind, the messages and where they go."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

MISBEHAVE, HELLO, COUNTER = os.environ["MISBEHAVE"], os.environ["HELLO"], os.environ["COUNTER"]


@pytest.fixture(name="place")
def fixture_place(tmp_path):
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path


def start(place, *arguments):
    environment = {**os.environ, "THAW_STATE": str(place / "state"), "THAW_RUN": str(place / "run")}
    return subprocess.Popen([os.environ["THAW"], *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=environment)


def thaw(place, *arguments):
    process = start(place, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.decode()


def descendants(pid):
    found = []
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        found += [int(child), *descendants(int(child))]
    return found


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_boot_that_hangs_ends_at_its_limit(place):
    code, out, err = thaw(place, "freeze", "f", "--boot-timeout", "300ms", "--", MISBEHAVE, "--boot=hang")
    assert code == 124 and out == b"" and err.startswith("thaw: "), err
    assert not list((place / "state").iterdir())


def test_a_killed_freeze_leaves_no_file_and_no_process(place):
    for pause in (0.01, 0.05, 0.2):
        process = start(place, "freeze", "f", "--", MISBEHAVE, "--boot=hang")
        wait_until(lambda process=process: descendants(process.pid))
        time.sleep(pause)
        family = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_until(lambda family=family: not any(map(is_alive, family)))
        assert not list((place / "state").iterdir())
    assert thaw(place, "freeze", "f", "--", HELLO)[0] == 0


def test_a_jailed_process_that_is_killed_is_told_of(place):
    process = start(place, "freeze", "f", "--", MISBEHAVE, "--boot=hang")
    wait_until(lambda: len(descendants(process.pid)) > 1)  # the jailed process, and the guest that boots in it
    os.kill(descendants(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 125 and out == b"" and b"signal 9" in err, err
    assert not list((place / "state").iterdir())


def test_what_freezing_says(place):
    code, out, err = thaw(place, "freeze", "f", "--timeout", "2s", "--", HELLO)
    last = err.splitlines()[-1]
    assert code == 0 and out == b"" and last.startswith("thaw: f: ready in "), err
    assert str(place / "state" / "f.thaw") in last and "backend" in last
    image = json.loads(thaw(place, "inspect", "f", "--json")[1])
    assert image["timeout_ns"] == 2_000_000_000 and image["name"] == "f" and image["args"] == [HELLO]


def test_a_failed_freeze_leaves_the_image_before_it(place):
    assert thaw(place, "freeze", "f", "--", HELLO)[0] == 0
    before = (place / "state" / "f.thaw").read_bytes()
    assert thaw(place, "freeze", "f", "--", MISBEHAVE, "--boot=crash")[0] == 1
    assert (place / "state" / "f.thaw").read_bytes() == before
    assert thaw(place, "freeze", "f", "--", COUNTER)[0] == 0
    assert (place / "state" / "f.thaw").read_bytes() != before


def test_warm_requests_that_cannot_be_read(place):
    code, _, err = thaw(place, "freeze", "f", "--warm", place / "missing", "--", HELLO)
    assert code == 1 and "missing" in err
    big = place / "big"
    with open(big, "wb") as file:
        file.truncate((64 << 20) + 1)
    code, _, err = thaw(place, "freeze", "f", "--warm", big, "--", HELLO)
    assert code == 1 and "64 MiB" in err and str(big) in err


def test_run_says_what_took_how_long(place):
    assert thaw(place, "freeze", "f", "--image", place / "f.thaw", "--", COUNTER)[0] == 0
    code, out, err = thaw(place, "run", "--verbose", place / "f.thaw")
    assert code == 0 and out.strip() == b"1" and "finished" in err


def test_an_image_without_a_working_set_is_smaller(place):
    """--no-working-set and its older name do the same: the list of touched pages is not in the image."""
    sizes = {}
    for option in ("--backend=process", "--no-working-set", "--no-write-set"):
        assert thaw(place, "freeze", "f", "--backend=process", option, "--", COUNTER)[0] == 0
        sizes[option] = (place / "state" / "f.thaw").stat().st_size
    # The compressed bytes of two images differ a little, as each has its own identity and dates.
    assert sizes["--no-working-set"] + 30 < sizes["--backend=process"], sizes
    assert sizes["--no-write-set"] + 30 < sizes["--backend=process"], sizes
