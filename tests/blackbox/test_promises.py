# SPDX-License-Identifier: Apache-2.0
"""The six promises of the design, "What always holds": one test each that says it whole. Depth is in the other files."""
import hashlib
import json
import os
import random
import time

from harness import misdeeds, proc, scale, tree


def test_promise_1_fresh_state(serve):
    """No byte that one invocation produced is visible to the next; entropy and time are new in each."""
    daemon = serve(["counter", "entropy", "misbehave"])
    place = daemon.place
    answers = []
    with place.connect("counter") as counter, place.connect("entropy") as entropy, \
            place.connect("misbehave") as bad:
        for _ in range(scale.count(500, 100)):
            assert counter.invoke(b"").body.strip() == b"1"
            answers.append(entropy.invoke(b"").body)
            bad.invoke(b"crash")
    assert len(set(answers)) == len(answers)


def test_promise_2_start_with_nothing(serve):
    """A clone has no file, no descriptor, no privilege, no network, and few system calls."""
    daemon = serve(["hello"])
    clone = proc.wait_until(lambda: (daemon.clones() or [None])[0], scale.patience(10))
    status = proc.status(clone)
    assert proc.descriptors(clone) == {}
    assert os.listdir(f"/proc/{clone}/root/") == []
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0
    assert proc.namespace(clone, "net") != proc.namespace("self", "net")


def test_promise_2_a_call_that_is_not_granted(serve):
    daemon = serve(["misbehave"])
    with daemon.place.connect("misbehave") as connection:
        for deed in misdeeds.REACHING_OUT:
            response = connection.invoke(deed.encode())
            misdeeds.judged(deed, response)
            assert b"survived" not in response.body, (deed, response.body)
        assert connection.invoke(misdeeds.OK).exit_code == 0


def test_promise_3_one_bad_guest_hurts_one_caller(serve):
    """Each misdeed ends its own invocation with a clear error; the next request is served, by the same worker."""
    daemon = serve(["misbehave", "counter"])
    workers = daemon.workers()
    with daemon.place.connect("misbehave") as bad, daemon.place.connect("counter") as good:
        for deed in misdeeds.DEEDS:
            misdeeds.judged(deed, bad.invoke(deed.encode(), misdeeds.deadline_ns(deed)))
            assert bad.invoke(misdeeds.OK).exit_code == 0 and good.invoke(b"").body.strip() == b"1"
    assert daemon.workers() == workers


def test_promise_4_nothing_is_lost(serve):
    """An image that freeze reported is whole and is served, although the daemon was killed meanwhile and after."""
    daemon = serve(["counter"])
    place = daemon.place
    for turn in range(3):
        freezing = place.start_thaw("freeze", f"kept{turn}", "--", tree.program("hello"), stdin=-3, stdout=-3, stderr=-3)
        time.sleep(random.Random(turn).uniform(0, 0.1))
        daemon.kill()
        assert freezing.wait(scale.patience(20)) == 0
        daemon = serve([], place=place)
        for kept in range(turn + 1):
            assert place.thaw("verify", place.state / f"kept{kept}.thaw").returncode == 0
            place.wait_served(f"kept{kept}")
            with place.connect(f"kept{kept}") as connection:
                assert connection.invoke(b"x").exit_code == 0
    assert daemon.stop() == 0


def test_promise_4_a_damaged_image_is_never_run(images, place):
    image = bytearray(images["counter"].read_bytes())
    for at in (0, 8, 200, len(image) // 3, len(image) // 2, len(image) - 1):
        damaged = bytearray(image)
        damaged[at] ^= 0x10
        path = place.base / "damaged.thaw"
        path.write_bytes(damaged)
        done = place.thaw("run", path)
        assert done.returncode == 126 and done.stdout == b"" and done.stderr.startswith(b"thaw: "), (at, done)


def test_promise_5_same_image_either_backend(images, place):
    """An image is tied to CPU features that it names, not to the backend that booted it, nor to a place or a run."""
    image = json.loads(place.thaw_ok("inspect", images["sha256"], "--json"))
    assert image["cpu_level"] in ("x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4", "host")
    assert "sse2" in image["cpu_features"]
    elsewhere = place.base / "moved.thaw"
    elsewhere.write_bytes(images["sha256"].read_bytes())
    wanted = hashlib.sha256(b"moved").hexdigest().encode()
    assert place.thaw_ok("run", elsewhere, stdin=b"moved").split()[0] == wanted
    # test_kvm.py has all pairs of backends, where there is KVM.
    report = json.loads(place.thaw("doctor", "--json").stdout)
    working = [part["name"] for part in report["backends"] if part["works"]]
    assert "process" in working
    for backend in working:
        assert place.thaw_ok("run", elsewhere, "--backend", backend, stdin=b"moved").split()[0] == wanted


# An image is its identity, its policy, ranges of memory and one vCPU. A device's state would need another member.
IMAGE_MEMBERS = {"name", "uuid", "created_ns", "creator", "program", "args", "env", "abi_version", "memory_size",
                 "timeout_ns", "boot_ns", "warm_requests", "backend", "cpu_level", "cpu_features", "sizes", "counts",
                 "ranges", "entry", "stack", "xsave_mask", "file"}
REGION = range(0x10000, 0x1000000000)  # a guest's addresses; docs/abi.md


def test_promise_6_no_device_enumeration(serve):
    """Nothing is opened, probed or read on the way from image to request. A fresh clone has made no read and no write,
    has no descriptor, and maps no file but the image, its mailbox and the shim."""
    daemon = serve(["hello"])
    looked_at = 0
    for clone in proc.wait_until(daemon.clones, scale.patience(10)):
        counted = dict(line.split(": ") for line in proc.read(clone, "io").splitlines())
        files = {line.split(None, 5)[5] for line in proc.read(clone, "maps").splitlines() if line.split()[4] != "0"}
        if not counted or not files:
            continue  # it was used up while we looked
        looked_at += 1
        assert (counted["syscr"], counted["syscw"]) == ("0", "0"), counted
        assert proc.descriptors(clone) == {}
        assert files == {f"/memfd:thaw-{what} (deleted)" for what in ("image", "shim", "arena")}, files
    assert looked_at, "no clone stood still long enough"


def test_promise_6_no_device_in_the_daemon(serve):
    """The front and the worker hold no device but /dev/null, and /dev/kvm where KVM works. tests/jail/test_seal.c shows
    that no call on /dev/kvm can make an interrupt controller, a timer or another device."""
    daemon = serve(["hello"])
    assert daemon.place.thaw_ok("invoke", "hello") == b"hello, world\n"
    allowed = {"/dev/null", "/dev/kvm"} if tree.kvm_works() else {"/dev/null"}
    for pid in (daemon.pid, daemon.worker()):
        held = proc.descriptors(pid)
        assert held, pid
        assert {target for target in held.values() if target.startswith(("/dev/", "/sys/"))} <= allowed, held


def test_promise_6_no_device_in_an_image(images, place):
    image = json.loads(place.thaw_ok("inspect", images["hello"], "--json"))
    assert set(image) == IMAGE_MEMBERS
    assert set(image["sizes"]) == {"mapped", "nonzero", "stored", "file"}
    assert set(image["counts"]) == {"ranges", "extents", "frames"}
    assert len(image["ranges"]) == image["counts"]["ranges"] > 0
    for piece in image["ranges"]:
        first = int(piece["start"], 16)
        assert first in REGION and first + piece["length"] - 1 in REGION, piece
