# SPDX-License-Identifier: Apache-2.0
"""Each request starts from the image's state and no other."""
import concurrent.futures
import os
import subprocess

from harness import scale, tree
from harness.tree import build_guest
from harness.daemon import Place, run_threads

ONE = b"1"


def test_counter_answers_one_in_a_row(serve):
    daemon = serve(["counter"])
    with daemon.place.connect("counter") as connection:
        for turn in range(scale.count(10_000, 1_500)):
            response = connection.invoke(b"")
            assert (response.outcome, response.exit_code) == ("finished", 0), response
            assert response.body.strip() == ONE, f"turn {turn}: {response.body!r}"


def test_counter_answers_one_to_64_concurrent_clients(serve):
    daemon = serve(["counter"])

    def client(_):
        with daemon.place.connect("counter") as connection:
            for _turn in range(scale.count(200, 20)):
                response = connection.invoke(b"")
                assert response.body.strip() == ONE and response.exit_code == 0, response

    run_threads(client, 64)


def test_counter_answers_one_to_many_client_programs_at_once(serve):
    daemon = serve(["counter"])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: daemon.place.thaw_ok("invoke", "counter"), range(scale.count(400, 64))))
    assert {answer.strip() for answer in answers} == {ONE}


def test_counter_answers_one_pipelined_on_one_connection(serve):
    daemon = serve(["counter"])
    with daemon.place.connect("counter") as connection:
        wanted = {connection.queue_request(b"") for _ in range(64)}
        answers = [connection.receive() for _ in range(64)]
    assert {answer.id for answer in answers} == wanted
    assert all(answer.body.strip() == ONE and answer.exit_code == 0 for answer in answers)


def test_entropy_never_repeats(serve, images):
    """Across clones of one worker, its restarts, two daemons on one image, and runs without a daemon."""
    rounds = scale.count(500, 100)
    seen = []

    def ask(daemon):
        with daemon.place.connect("entropy") as connection:
            for _ in range(rounds):
                response = connection.invoke(b"")
                assert response.exit_code == 0, response
                seen.append(response.body)

    first, second = serve(["entropy"]), serve(["entropy"])
    ask(first)
    ask(second)
    first.stop()
    ask(serve(["entropy"], place=first.place))
    for _ in range(scale.count(20, 5)):
        seen.append(subprocess.run([tree.THAW, "run", images["entropy"]], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, check=True, timeout=60).stdout)
    assert all(len(answer) >= 16 for answer in seen), "too short to be told apart"
    assert len(set(seen)) == len(seen)
    # No word comes twice either, so an answer is not a counter beside a constant.
    words = [word for answer in seen for word in answer.split() if len(word) >= 32]
    assert len(words) >= len(seen) and len(set(words)) == len(words)


def test_a_spent_instance_is_not_seen_again(serve):
    """Whatever misbehave did, counter answers 1 beside it and after it."""
    daemon = serve(["counter", "misbehave"])
    with daemon.place.connect("counter") as good, daemon.place.connect("misbehave") as bad:
        for _ in range(scale.count(100, 20)):
            bad.invoke(b"crash")
            assert good.invoke(b"").body.strip() == ONE


def test_two_functions_do_not_mix(serve, images):
    place = Place()
    try:
        for name in ("hello", "counter", "sha256"):
            place.put_image(images[name], name)
        daemon = serve(["hello", "counter", "sha256"], place=place)
        with place.connect("counter") as counter, place.connect("hello") as hello:
            for _ in range(20):
                assert counter.invoke(b"").body.strip() == ONE
                assert hello.invoke(b"x").body.strip() != ONE
        assert daemon.stop() == 0
    finally:
        place.remove()


def test_no_trace_of_a_marker(serve, place):
    """One invocation writes a marker into all memory and registers that a function has, and no later one finds it. The
    function is built as docs/functions.md says. An image that was warmed by an imprint shows that the search works."""
    program = build_guest(place, "imprint")
    kept, left = os.urandom(16), os.urandom(16)
    warm = place.base / "warm"
    warm.write_bytes(b"I" + inverted(kept))
    assert place.thaw_ok("freeze", "clean", "--", program) == b""
    assert place.thaw_ok("freeze", "tainted", "--warm", warm, "--", program) == b""
    daemon = serve([], place=place)
    place.wait_served("clean", "tainted")
    nothing = b"registers 0 image 0 stack 0 heap 0 mailbox 0 not-zero 0\n"
    with place.connect("clean") as connection:
        for _ in range(scale.count(300, 40)):
            assert len(connection.invoke(b"I" + inverted(left)).body) == 50000
            assert connection.invoke(b"L" + inverted(left)).body == nothing
    with place.connect("tainted") as connection:  # the search finds a marker that is there
        assert b"image 0" not in connection.invoke(b"L" + inverted(kept)).body
    assert daemon.stop() == 0


def inverted(marker):
    return bytes(byte ^ 0xff for byte in marker)
