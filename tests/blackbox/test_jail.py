# SPDX-License-Identifier: Apache-2.0
"""What processes with hostile input can reach, read from outside."""
import os
import re

import pytest

from harness import misdeeds, proc, scale

NAMESPACES = ["mnt", "net", "ipc", "uts", "pid"]
CAPABILITIES = ["CapInh", "CapPrm", "CapEff", "CapAmb"]


@pytest.fixture
def family(serve):
    """(daemon, {role: [pid]}) of a daemon with one function and a few clones."""
    daemon = serve(["hello"])
    daemon.place.thaw_ok("prewarm", "hello", 4)
    worker = daemon.worker()
    # The pool was larger: wait until the clones that it gives up have ended.
    clones = proc.wait_until(lambda: len(daemon.clones(worker)) == 4 and daemon.clones(worker), scale.patience(10))
    return daemon, {"worker": [worker], "zygote": [daemon.zygote(worker)], "clone": clones}


def everyone(roles):
    return [(role, pid) for role, pids in roles.items() for pid in pids]


def test_no_privileges(family):
    for role, pid in everyone(family[1]):
        status = proc.status(pid)
        assert status["NoNewPrivs"] == "1", role
        assert all(int(status[name], 16) == 0 for name in CAPABILITIES), (role, status)


def test_system_call_filter(family):
    for role, pid in everyone(family[1]):
        status = proc.status(pid)
        assert status["Seccomp"] == "2" and int(status["Seccomp_filters"]) >= 1, (role, status["Seccomp"])


def test_own_namespaces(family):
    daemon, roles = family
    weaker = [kind for kind in NAMESPACES if proc.namespace(roles["worker"][0], kind) == proc.namespace(daemon.pid, kind)]
    if weaker and os.geteuid():
        pytest.skip(f"this host gives an ordinary user no namespaces of its own: {weaker}")
    for role, pid in everyone(roles):
        for kind in NAMESPACES:
            if kind == "pid":  # the zygote and its clones share the worker's
                continue
            assert proc.namespace(pid, kind) != proc.namespace(daemon.pid, kind), (role, kind)
    assert len(proc.status(roles["worker"][0])["NSpid"].split()) > 1, "the worker is not in a PID namespace of its own"


def test_no_file_in_sight(family):
    for role, pid in everyone(family[1]):
        root = f"/proc/{pid}/root/"
        assert os.listdir(root) == [], f"{role} sees {os.listdir(root)}"
        assert os.statvfs(root).f_flag & os.ST_RDONLY, f"{role} could write to its root"


def test_user_of_its_own(family):
    daemon, roles = family
    if os.geteuid():
        pytest.skip("only root can give a worker a user of its own")
    for role, pid in everyone(roles):
        assert set(proc.status(pid)["Uid"].split()) != {"0"} and "0" not in proc.status(pid)["Uid"].split(), role
        assert proc.status(pid)["Groups"].split() == [], role


def test_descriptors(family):
    """A worker has the descriptors that serving needs; the zygote and its clones have none."""
    _, roles = family
    for role in ("zygote", "clone"):
        for pid in roles[role]:
            assert proc.descriptors(pid) == {}, role
    # The last three are files of its clones, in a procfs of its own PID namespace that is mounted nowhere.
    expected = re.compile(r"socket:|pipe:|anon_inode:|/memfd:|/dev/null$|/thawd\.log$|/\d+/(maps|pagemap|syscall)$")
    for number, target in proc.descriptors(roles["worker"][0]).items():
        if (number, target) == (30, "/"):
            continue
        assert expected.match(target) or target.endswith("thawd.log"), f"the worker holds {number}: {target}"
        assert "io_uring" not in target, "the ring outlived the start"


def test_no_core_dumps_and_bounded_resources(family):
    for role, pid in everyone(family[1]):
        limits = proc.read(pid, "limits")
        assert re.search(r"Max core file size\s+0\s", limits), role
    for pid in family[1]["clone"]:
        limits = proc.read(pid, "limits")
        # The function's 64 MiB, and what the shim has besides.
        space = int(re.search(r"Max address space\s+(\d+)\s+\1\s", limits)[1])
        assert 64 << 20 <= space <= 72 << 20, limits
        assert re.search(r"Max processes\s+0\s+0\s", limits), limits


def test_a_clone_sees_one_mailbox(family):
    """A clone maps its own mailbox, and shares no other writable memory."""
    places = set()
    for pid in family[1]["clone"]:
        shared = [line for line in proc.read(pid, "maps").splitlines() if re.match(r"\S+ .{3}s", line)]
        size = sum(int(end, 16) - int(start, 16) for start, end in
                   (line.split()[0].split("-") for line in shared))
        assert 0 < size <= 2 * 0x1000 + 2 * 0x10000, shared
        places.add(tuple(line.split()[2] + line.split()[4] for line in shared))
    assert len(places) == len(family[1]["clone"]), "two clones share a mailbox"


def test_nothing_is_writable_and_executable(family):
    for role, pid in everyone(family[1]):
        bad = [line for line in proc.read(pid, "maps").splitlines() if re.match(r"\S+ .wx", line)]
        assert not bad, (role, bad)


def test_low_addresses_are_not_mapped(family):
    for pid in family[1]["clone"]:
        first = proc.read(pid, "maps").split("-", 1)[0]
        assert int(first, 16) >= 0x10000


def test_sockets_and_directories_are_the_owners_alone(family):
    place = family[0].place
    assert os.stat(place.run / "fn" / "hello.sock").st_mode & 0o077 == 0 or \
        os.stat(place.run / "fn").st_mode & 0o077 == 0 or os.stat(place.run).st_mode & 0o077 == 0
    assert os.stat(place.state / "hello.thaw").st_mode & 0o777 == 0o600


def test_freeze_boots_in_the_jail(place):
    """A booting guest is as sealed as a running one."""
    freezing = place.start_thaw("freeze", "slow", "--", misdeeds.PROGRAM, "--boot=hang", stdin=-3, stdout=-3, stderr=-3)
    try:
        def booting():
            return [pid for pid in proc.descendants(freezing.pid) if proc.status(pid).get("Seccomp") == "2"]

        for pid in proc.wait_until(booting, scale.patience(10)):
            status = proc.status(pid)
            assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0
            assert proc.namespace(pid, "net") != proc.namespace(freezing.pid, "net") or os.geteuid()
    finally:
        freezing.kill()
        freezing.wait()
