# SPDX-License-Identifier: Apache-2.0
"""Fixtures: images that are frozen once, private places and daemons, and the check that nothing is left behind."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import proc, scale, tree  # noqa: E402
from harness.daemon import STARTED, Daemon, Place  # noqa: E402


def pytest_configure(config):
    proc.become_subreaper()


@pytest.fixture(scope="session")
def images():
    """{name: image file}, frozen by `thaw freeze` once for the whole session, on first use."""
    place = Place()

    class Images(dict):
        def __missing__(self, name):
            done = place.freeze(name)
            assert done.returncode == 0, f"freeze {name}: {done.stderr.decode(errors='replace')}"
            self[name] = place.state / f"{name}.thaw"
            return self[name]

    yield Images()
    place.remove()


@pytest.fixture
def place():
    place = Place()
    yield place
    place.remove()


@pytest.fixture
def serve(images):
    """serve(names, *thawd arguments): a daemon that serves copies of the frozen images, ready to answer."""
    daemons, places = [], []

    def start(names=(), *args, place=None, env=None):
        if place is None:
            place = Place()
            places.append(place)
        for name in names:
            if not (place.state / f"{name}.thaw").exists():
                place.put_image(images[name], name)
        daemon = Daemon(place, *args, env=env, wait=names)
        daemons.append(daemon)
        return daemon

    yield start
    try:
        for daemon in daemons:
            if daemon.process.poll() is None:
                assert daemon.stop() == 0, f"thawd ended badly: {daemon.log()}"
                left = sorted(str(path) for path in daemon.place.run.rglob("*.sock"))
                assert not left, f"sockets left behind: {left}"
    finally:
        for daemon in daemons:
            if daemon.process.poll() is None:
                daemon.kill()
        for place in places:
            place.remove()


@pytest.fixture(autouse=True)
def nothing_left():
    """After each test: no orphan of a process that the tests started is left."""
    yield
    try:
        proc.wait_until(lambda: not proc.orphans(STARTED), scale.patience(5))
    except AssertionError:
        left = {pid: proc.read(pid, "cmdline").replace("\0", " ") for pid in proc.orphans(STARTED)}
        for pid in left:
            proc.kill(pid)
        raise AssertionError(f"processes left behind: {left}") from None


def pytest_collection_modifyitems(config, items):
    if not tree.THAW.exists() or not tree.THAWD.exists():
        pytest.exit(f"build the programs first: no {tree.THAW}", returncode=1)
