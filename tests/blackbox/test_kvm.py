# SPDX-License-Identifier: Apache-2.0
"""What is KVM's own, over the built programs; where it works. scripts/kvm-lab has one."""
import hashlib
import json
import re

import pytest

from harness import image_edit, scale, tree

pytestmark = pytest.mark.skipif(not tree.kvm_works(), reason="KVM does not work here")

BACKENDS = ["kvm", "kvm-generic", "process"]


def test_doctor_says_that_kvm_works(place):
    report = json.loads(place.thaw("doctor", "--json").stdout)
    kvm = next(part for part in report["backends"] if part["name"] == "kvm")
    assert kvm["works"], report
    assert re.search(r"booted, thawed and asked", json.dumps(kvm))


def test_auto_takes_kvm(serve, place):
    done = place.freeze("hello")
    assert done.returncode == 0 and b"kvm backend" in done.stderr, done
    serve(["hello"], place=place)
    assert json.loads(place.thaw_ok("stats", "hello", "--json"))["backend"] == "kvm"


@pytest.mark.parametrize("boot", BACKENDS)
def test_an_image_of_any_backend_runs_on_any(place, boot):
    path = place.base / "moved.thaw"
    done = place.thaw("freeze", "moved", "--backend", boot, "--image", path, "--", tree.program("sha256"))
    assert done.returncode == 0, done.stderr
    wanted = hashlib.sha256(b"moved").hexdigest().encode()
    for backend in BACKENDS:
        assert place.thaw_ok("run", path, "--backend", backend, stdin=b"moved").split()[0] == wanted, backend


def test_an_image_that_needs_more_than_this_processor_is_refused_by_name(place, serve):
    """No image here has AMX (word 4 is EDX of leaf 7), and none of this machine's has AVX-512."""
    path = place.base / "more.thaw"
    assert place.thaw("freeze", "more", "--image", path, "--", tree.program("hello")).returncode == 0
    needy = image_edit.with_cpu_features(path.read_bytes(), 4, 1 << 24)
    path.write_bytes(needy)
    for backend in BACKENDS:
        done = place.thaw("run", path, "--backend", backend)
        assert done.returncode == 126 and b"unknown feature 4.24" in done.stderr, done
    target = place.state / "more.thaw"
    target.write_bytes(needy)
    target.chmod(0o600)
    serve(["more"], place=place)
    done = place.thaw("invoke", "more")
    assert done.returncode == 126 and b"unknown feature 4.24" in done.stderr, done


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "host"])
def test_the_level_is_what_the_image_has(place, level):
    path = place.base / "level.thaw"
    assert place.thaw("freeze", "level", "--cpu", level, "--image", path, "--", tree.program("hello")).returncode == 0
    image = json.loads(place.thaw_ok("inspect", path, "--json"))
    assert image["cpu_level"] == level
    assert ("avx2" in image["cpu_features"]) == (level != "x86-64-v2"), image["cpu_features"]
    assert place.thaw_ok("run", path) == b"hello, world\n"


def test_instances_are_recycled_or_destroyed_as_told(serve):
    for how in ("recycle", "destroy"):
        daemon = serve(["counter"], "--reuse", how, "--backend", "kvm")
        with daemon.place.connect("counter") as connection:
            for _ in range(scale.count(200, 20, least=8)):
                assert connection.invoke(b"").body == b"1\n"
        counters = json.loads(daemon.place.thaw_ok("stats", "counter", "--json"))["counters"]
        assert (counters["recycled"] > 0) == (how == "recycle"), counters
        assert daemon.stop() == 0


def test_a_burst_beyond_the_pool_is_served(serve):
    """Shells and new machines serve what the pool cannot; no invocation sees the state of another."""
    daemon = serve(["counter"], "--pool", "2", "--backend", "kvm")
    connections = [daemon.place.connect("counter") for _ in range(scale.count(64, 16, least=8))]
    try:
        for connection in connections:
            connection.submit(b"")
        for connection in connections:
            assert connection.receive().body == b"1\n"
    finally:
        for connection in connections:
            connection.close()
