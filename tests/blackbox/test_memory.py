# SPDX-License-Identifier: Apache-2.0
"""The memory limit and the cost of an idle clone, as the kernel reports them."""
import time

import pytest

from harness import misdeeds, proc, scale
from harness.daemon import Pulse

MIB = 1 << 20
LIMIT = 32 * MIB
# Pages of the worker and of the shims, and memory that a page fault may add before the limit is noticed.
SLACK = 12 * MIB


def held(daemon):
    """The most private memory, with page tables, of any process below thawd, plus the memory files that they keep alive.
    It is not the sum: a spent clone may still be ending while the next one runs."""
    family = daemon.family()
    own = max((proc.private_bytes(pid) + proc.page_table_bytes(pid) for pid in family), default=0)
    return own + sum(proc.memory_files(family).values())


@pytest.mark.parametrize("deed", misdeeds.MEMORY)
def test_the_limit_holds_after_boot(serve, place, deed):
    done = place.freeze("greedy", "misbehave", ["--memory", "32MiB", "--timeout", "30s"])
    assert done.returncode == 0, done.stderr
    daemon = serve([], place=place)
    place.wait_served("greedy")
    with place.connect("greedy") as connection:
        connection.invoke(misdeeds.OK)
        time.sleep(0.2)  # the pool is full again
        before = held(daemon)
        image = proc.private_files(daemon.clones())
        assert image, "the clones map no image"
        with Pulse(lambda: held(daemon)) as pulse:
            for _ in range(scale.count(20, 3)):
                response = connection.invoke(deed.encode())
                misdeeds.judged(deed, response)
                if deed != "memory-holes":
                    assert LIMIT // 2 <= int(response.body.split()[0]) <= LIMIT, response.body
        assert pulse.highest - before <= LIMIT + SLACK, f"{deed}: {pulse.highest >> 20} MiB, {before >> 20} before"
        after = proc.private_files(daemon.clones())
        assert {file: after.get(file) for file in image} == image, f"{deed} grew the shared image"
        assert connection.invoke(misdeeds.OK).exit_code == 0
    assert daemon.stop() == 0


@pytest.mark.parametrize("deed", misdeeds.MEMORY)
def test_the_limit_holds_during_boot(place, deed):
    freezing = place.start_thaw("freeze", "bomb", "--memory", "32MiB", "--timeout", "30s", "--",
                                misdeeds.PROGRAM, f"--boot={deed}", stdout=-3, stderr=-1, stdin=-3)

    def held_by_freeze():
        family = [freezing.pid, *proc.descendants(freezing.pid)]
        anonymous = sum(proc.kilobytes(pid, "status", "RssAnon") for pid in family)
        return anonymous + sum(proc.memory_files(family).values())

    with Pulse(held_by_freeze, step=0.002) as pulse:
        try:
            _, complaint = freezing.communicate(timeout=scale.patience(60))
        finally:
            freezing.kill()
    assert pulse.highest <= LIMIT + 2 * SLACK, f"{deed}: {pulse.highest >> 20} MiB"
    # A guest that is refused memory may still reach its ready point. Above the limit it is ended, with the reason.
    assert freezing.returncode in (0, 1), complaint
    if freezing.returncode:
        assert b"memory" in complaint, complaint
        assert not list(place.state.iterdir())


def idle_cost(daemon, clones):
    return [proc.private_bytes(pid) + proc.page_table_bytes(pid) for pid in clones]


@pytest.mark.skipif(scale.SLOW_BUILD, reason="a sanitizer's memory is not ours")
@pytest.mark.parametrize("function", ["hello", "spell"])
def test_an_idle_clone_costs_at_most_200_kib(serve, place, function):
    assert place.freeze("idle", function, ["--memory", "64MiB"]).returncode == 0
    daemon = serve([], place=place)
    place.wait_served("idle")
    place.thaw_ok("prewarm", "idle", 40)
    clones = proc.wait_until(lambda: len(daemon.clones()) >= 40 and daemon.clones(), scale.patience(20))
    costs = idle_cost(daemon, clones)
    assert max(costs) <= 200 * 1024, f"{max(costs) >> 10} KiB"
    assert daemon.stop() == 0


@pytest.mark.skipif(scale.SLOW_BUILD, reason="a sanitizer's memory is not ours")
def test_two_thousand_idle_clones_stand(serve):
    number = scale.count(2_000, 300)
    daemon = serve(["hello"])
    place = daemon.place
    place.thaw_ok("prewarm", "hello", number, timeout=scale.patience(120))
    clones = proc.wait_until(lambda: len(daemon.clones()) >= number and daemon.clones(), scale.patience(120), 0.2)
    assert sum(idle_cost(daemon, clones)) <= number * 200 * 1024
    with place.connect("hello") as connection:
        for _ in range(100):
            assert connection.invoke(b"x").exit_code == 0
    assert daemon.stop(30) == 0
