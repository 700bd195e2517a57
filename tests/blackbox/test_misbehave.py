# SPDX-License-Identifier: Apache-2.0
"""A bad guest hurts only its caller, who gets the right error."""
import re
import threading
import time

import pytest

from harness import misdeeds, proc, scale

@pytest.mark.parametrize("deed", misdeeds.DEEDS)
def test_each_misdeed_has_its_error(serve, deed):
    outcomes, codes = misdeeds.DEEDS[deed]
    daemon = serve(["misbehave"])
    with daemon.place.connect("misbehave") as connection:
        for _ in range(2):
            misdeeds.judged(deed, connection.invoke(deed.encode(), misdeeds.deadline_ns(deed)))
        assert connection.invoke(misdeeds.OK).exit_code == 0, "the next request is served"
    options = ["--timeout", "100ms"] if deed in misdeeds.ENDLESS else []
    done = daemon.place.thaw("invoke", "misbehave", *options, stdin=deed.encode())
    assert done.returncode in codes, done
    if not outcomes & {"finished", "exited"}:
        assert done.stderr.startswith(b"thaw: ") and done.stderr.count(b"\n") == 1, done.stderr


OF_A_CLONE = re.compile(r"/\d+/(maps|pagemap|syscall)$")


def measure(daemon):
    """(descriptors, resident bytes) of each lasting process: thawd, worker, zygote. Not counted are the worker's three
    descriptors for each clone that it has recycled."""
    worker = daemon.worker()
    clones = [target for target in proc.descriptors(worker).values() if OF_A_CLONE.match(target)]
    assert len(clones) <= 3 * len(daemon.clones(worker)) + 9, "files of clones that have ended"
    return {name: (sum(not OF_A_CLONE.match(target) for target in proc.descriptors(pid).values()), proc.resident_bytes(pid))
            for name, pid in (("thawd", daemon.pid), ("worker", worker), ("zygote", daemon.zygote(worker)))}


def test_a_thousand_misdeeds_among_healthy_traffic(serve):
    daemon = serve(["misbehave"])
    place = daemon.place
    worker, zygote = daemon.worker(), daemon.zygote()
    over, healthy, failures = threading.Event(), [0], []

    def traffic():
        try:
            with place.connect("misbehave") as connection:
                while not over.is_set():
                    response = connection.invoke(misdeeds.OK)
                    assert (response.outcome, response.exit_code) == ("finished", 0), response
                    healthy[0] += 1
                    time.sleep(0.002)
        except BaseException as error:
            failures.append(error)

    clients = [threading.Thread(target=traffic, daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    deeds = list(misdeeds.DEEDS)
    number = scale.count(1_000, 90, least=20)
    early = min(100, number // 2)
    try:
        with place.connect("misbehave") as connection:
            for turn in range(number):
                deed = deeds[turn % len(deeds)]
                misdeeds.judged(deed, connection.invoke(deed.encode(), misdeeds.deadline_ns(deed)))
                if turn == early:
                    before = measure(daemon)
    finally:
        over.set()
        for client in clients:
            client.join()
    assert not failures, failures[0]
    assert healthy[0] >= number // 10, "there was hardly any healthy traffic"
    assert (worker, zygote) == (daemon.worker(), daemon.zygote()), "the worker or the zygote was replaced"

    # The worker's allocator keeps up to a mebibyte of freed memory, and a busy moment may start another thread.
    flat = 2 << 20

    def settled():
        after = measure(daemon)
        return all(after[name][0] <= before[name][0] and
                   (scale.SLOW_BUILD or after[name][1] <= before[name][1] + flat) for name in before)

    try:
        proc.wait_until(settled, 10, 0.1)
    except AssertionError:
        raise AssertionError(f"grew from {before} to {measure(daemon)}") from None
    assert len(daemon.clones()) < 100


def test_a_deadline_is_kept(serve):
    daemon = serve(["misbehave"])
    with daemon.place.connect("misbehave") as connection:
        for milliseconds in (1, 20, 200):
            began = time.monotonic()
            response = connection.invoke(b"hang", milliseconds * 1_000_000)
            took = time.monotonic() - began
            assert (response.outcome, response.exit_code) == ("deadline", 124), response
            assert milliseconds / 1000 * 0.9 <= took < milliseconds / 1000 + scale.patience(2), took
            assert response.run_ns <= took * 1e9


def test_a_caller_cannot_lengthen_the_functions_deadline(place, serve):
    assert place.freeze("brief", "misbehave", ["--timeout", "150ms"]).returncode == 0
    daemon = serve([], place=place)
    place.wait_served("brief")
    began = time.monotonic()
    done = place.thaw("invoke", "brief", "--timeout", "30s", stdin=b"hang")
    assert done.returncode == 124 and time.monotonic() - began < scale.patience(5), done
    assert daemon.stop() == 0


def test_hanging_guests_leave_room_for_others(serve):
    """While a few guests hang, healthy requests are answered long before the hanging ones end."""
    daemon = serve(["misbehave", "hello"])
    with daemon.place.connect("misbehave") as bad, daemon.place.connect("hello") as good:
        hanging = {bad.submit(b"hang", 3_000_000_000) for _ in range(2)}
        for _ in range(20):
            assert good.invoke(b"x").exit_code == 0
        with pytest.raises(TimeoutError):  # nothing has come yet
            bad.pump(time.monotonic())
        assert {bad.receive().id for _ in range(2)} == hanging
