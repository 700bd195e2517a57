# SPDX-License-Identifier: Apache-2.0
"""kill -9 of any process at any moment: an image is whole or absent, and service comes back."""
import json
import random
import time

from harness import proc, scale, tree, wire

ROUNDS = scale.count(50, 8, least=3)


ANSWER = {"counter": b"1\n", "hello": b"hello, world\n"}


def answers(place, name="counter"):
    """Whether a request is served now. Any refusal counts as "not now"; a wrong answer fails the test."""
    try:
        with place.connect(name, timeout=10) as connection:
            response = connection.invoke(b"")
            # 137: the clone that ran the request was killed.
            right = response.body == ANSWER[name] if response.exit_code == 0 else response.exit_code in (125, 137)
            assert right, response
            return response.exit_code == 0
    except (OSError, wire.Closed, wire.GoAway):
        return False


def back_in_service(place, seconds=1.0, name="counter"):
    """Waits until NAME answers. The bound is a second; a loaded machine gets more."""
    began = time.monotonic()

    def back():
        assert place.daemon.process.poll() is None, f"thawd died: {place.daemon.log()}"
        return answers(place, name)

    try:
        proc.wait_until(back, scale.patience(seconds) * 3)
    except AssertionError:
        raise AssertionError(f"{name} did not come back: {place.daemon.log()}") from None
    return time.monotonic() - began


def test_freeze_killed_at_any_moment(place):
    """`thaw list` lists every image that freeze reported, and lists only whole images."""
    source = random.Random(1)
    began = time.monotonic()
    place.thaw_ok("freeze", "whole", "--", tree.program("hello"))
    span = time.monotonic() - began
    reported = {"whole"}
    for turn in range(ROUNDS):
        name = f"half{turn}"
        freezing = place.start_thaw("freeze", name, "--", tree.program("hello"), stdin=-3, stdout=-3, stderr=-3)
        time.sleep(source.uniform(0, span * 1.2))
        if freezing.poll() is None:
            freezing.kill()
        if freezing.wait() == 0:
            reported.add(name)
    listed = {entry["name"] for entry in functions(place)}
    assert reported <= listed, f"lost: {reported - listed}"
    for name in listed:
        assert place.thaw("verify", place.state / f"{name}.thaw").returncode == 0, name
        assert place.thaw("run", place.state / f"{name}.thaw", stdin=b"x").returncode == 0, name


def functions(place):
    listing = json.loads(place.thaw_ok("list", "--json"))
    return listing if isinstance(listing, list) else listing["functions"]


def test_freeze_over_a_live_image_killed_at_any_moment(place):
    """The old image is there, or the new one."""
    source = random.Random(2)
    place.thaw_ok("freeze", "live", "--", tree.program("hello"))
    for _ in range(ROUNDS):
        freezing = place.start_thaw("freeze", "live", "--", tree.program("hello"), stdin=-3, stdout=-3, stderr=-3)
        time.sleep(source.uniform(0, 0.3))
        freezing.kill()
        freezing.wait()
        assert place.thaw("verify", place.state / "live.thaw").returncode == 0
    assert [entry["name"] for entry in functions(place)] == ["live"]


def killed_again_and_again(serve, choose, seed):
    daemon = serve(["counter"])
    source = random.Random(seed)
    slowest = 0.0
    assert answers(daemon.place)
    for turn in range(ROUNDS):
        time.sleep(source.uniform(0, 0.05))
        victim = choose(daemon)
        if turn % 2:  # with a request in flight, which must get an answer or an end
            with daemon.place.connect("counter", timeout=scale.patience(10)) as connection:
                try:
                    connection.queue_request(b"")
                    connection.flush()
                    proc.kill(victim)
                    response = connection.receive()
                    assert response.exit_code != 0 or response.body.strip() == b"1", response
                except (OSError, wire.Closed, wire.GoAway) as error:
                    assert not isinstance(error, TimeoutError), "silence"
        else:
            proc.kill(victim)
        slowest = max(slowest, back_in_service(daemon.place))
    assert daemon.process.poll() is None, daemon.log()
    print(f"slowest return to service: {slowest:.3f} s")


def test_worker_killed_at_any_moment(serve):
    killed_again_and_again(serve, lambda daemon: daemon.worker(), 3)


def test_zygote_killed_at_any_moment(serve):
    killed_again_and_again(serve, lambda daemon: daemon.zygote(), 4)


def test_clone_killed_at_any_moment(serve):
    def some_clone(daemon):
        return proc.wait_until(lambda: (daemon.clones() or [None])[-1], scale.patience(5))

    killed_again_and_again(serve, some_clone, 5)


def test_thawd_killed_at_any_moment(serve):
    """The workers die with thawd, its old sockets do not hinder the next thawd, and every image is served again."""
    daemon = serve(["counter", "hello"])
    place = daemon.place
    source = random.Random(6)
    slowest = 0.0
    for _ in range(ROUNDS):
        time.sleep(source.uniform(0, 0.2))
        daemon.kill()
        daemon = serve([], place=place)
        slowest = max(slowest, back_in_service(place), back_in_service(place, name="hello"))
    print(f"slowest return to service: {slowest:.3f} s")
    assert daemon.stop() == 0


def test_thawd_killed_while_functions_come_and_go(serve, images):
    daemon = serve(["counter"])
    place = daemon.place
    source = random.Random(7)
    for turn in range(max(3, ROUNDS // 4)):
        freezing = place.start_thaw("freeze", "late", "--", tree.program("hello"), stdin=-3, stdout=-3, stderr=-3)
        time.sleep(source.uniform(0, 0.2))
        daemon.kill()
        assert freezing.wait(scale.patience(20)) == 0, f"turn {turn}: freeze needs no daemon"
        daemon = serve([], place=place)
        back_in_service(place)
        place.wait_served("late")
        with place.connect("late") as connection:
            assert connection.invoke(b"x").exit_code == 0
        place.thaw_ok("remove", "late")
    assert daemon.stop() == 0


def test_a_worker_that_keeps_dying_does_not_take_the_daemon_along(serve):
    """A worker is killed faster than it comes up. Its callers are told "not now"; another function answers all the
    time, on one connection."""
    daemon = serve(["counter", "hello"])
    place = daemon.place
    # The number of clones tells which of the two workers is hello's.
    place.thaw_ok("prewarm", "hello", 3)
    others = proc.wait_until(lambda: [worker for worker in daemon.workers() if len(daemon.clones(worker)) == 3],
                             scale.patience(10))
    assert len(others) == 1
    stop = time.monotonic() + 3
    killed, served = set(), 0
    with place.connect("hello", timeout=scale.patience(10)) as other:
        while time.monotonic() < stop:
            for worker in set(daemon.workers()) - set(others):
                proc.kill(worker)
                killed.add(worker)
            time.sleep(0.02)
            answers(place, "counter")
            assert other.invoke(b"").body == ANSWER["hello"]
            served += 1
    assert len(killed) >= 2 and served >= 10
    assert others[0] in daemon.workers()
    back_in_service(place, 20)
    back_in_service(place, 20, "hello")
