# SPDX-License-Identifier: Apache-2.0
"""Requests and responses of every size arrive whole; one that is too large is refused with the reason."""
import hashlib
import os
import random

from harness import scale, wire
from harness.daemon import run_threads

MIB = 1 << 20


def digest(body):
    return hashlib.sha256(body).hexdigest().encode()


def test_random_requests_of_one_mebibyte(serve):
    daemon = serve(["sha256"])
    with daemon.place.connect("sha256") as connection:
        for turn in range(scale.count(1_000, 60)):
            body = os.urandom(MIB)
            response = connection.invoke(body)
            assert response.exit_code == 0, f"turn {turn}: {response}"
            assert response.body.split()[0] == digest(body), f"turn {turn}"


def test_empty_requests(serve):
    daemon = serve(["sha256"])
    with daemon.place.connect("sha256") as connection:
        for _ in range(scale.count(1_000, 300)):
            assert connection.invoke(b"").body.split()[0] == digest(b"")


def test_sizes_around_every_boundary(serve):
    """Sizes one below, at and one above the window, a frame's payload and the first frame's room, and their multiples."""
    daemon = serve(["sha256"])
    edges = [1, 4096, wire.PAYLOAD_MAX, wire.PAYLOAD_MAX - wire.REQUEST_HEAD.size, 0x10000, 2 * wire.PAYLOAD_MAX,
             2 * 0x10000, 2 * wire.PAYLOAD_MAX - wire.REQUEST_HEAD.size]
    with daemon.place.connect("sha256") as connection:
        for size in sorted({edge + nudge for edge in edges for nudge in (-1, 0, 1)}):
            body = random.Random(size).randbytes(size)
            response = connection.invoke(body)
            assert response.exit_code == 0 and response.body.split()[0] == digest(body), f"{size} bytes: {response}"


def test_the_client_program_carries_the_same_bytes(serve):
    daemon = serve(["sha256"])
    for size in (0, 1, 65536, MIB + 17, 5 * MIB):
        body = os.urandom(size)
        assert daemon.place.thaw_ok("invoke", "sha256", stdin=body).split()[0] == digest(body)


def test_concurrent_large_requests(serve):
    daemon = serve(["sha256"])

    def client(index):
        source = random.Random(index)
        with daemon.place.connect("sha256") as connection:
            for _ in range(scale.count(20, 4)):
                body = source.randbytes(source.randrange(2 * MIB))
                assert connection.invoke(body).body.split()[0] == digest(body)

    run_threads(client, 16)


def test_64_mebibytes_are_served(serve):
    daemon = serve(["sha256"])
    body = os.urandom(MIB) * 64
    with daemon.place.connect("sha256", timeout=scale.patience(60)) as connection:
        response = connection.invoke(body)
    assert response.status == "ran" and response.exit_code == 0 and response.body.split()[0] == digest(body), response


def test_more_than_the_limit_is_refused_in_words(serve):
    daemon = serve(["sha256"])
    done = daemon.place.thaw("invoke", "sha256", stdin=bytes(wire.REQUEST_MAX + 1))
    assert done.returncode == 1 and done.stdout == b""
    assert b"64" in done.stderr and b"large" in done.stderr, done.stderr
    # On the wire, announcing the length is enough. The connection, or at least the function, keeps working.
    with daemon.place.connect("sha256") as connection:
        connection.send_raw(wire.frame(wire.REQUEST, 7, wire.REQUEST_HEAD.pack(wire.REQUEST_MAX + 1, 0), wire.MORE))
        response = connection.receive()
        assert (response.id, response.status, response.exit_code) == (7, "too_large", 1) and response.message
    assert daemon.place.thaw_ok("invoke", "sha256", stdin=b"").split()[0] == digest(b"")


def test_what_the_functions_answer(serve):
    daemon = serve(["hello", "spell"])
    place = daemon.place
    assert place.thaw_ok("invoke", "hello", stdin=b"Ada\n") == b"hello, world\n"
    answer = place.thaw_ok("invoke", "spell", stdin=b"Teh quick borwn fox\n").decode()
    assert "Teh" in answer and "borwn" in answer and "brown" in answer, answer
    assert "quick" not in answer.split() and "fox" not in answer.split(), answer
    clean = place.thaw_ok("invoke", "spell", stdin=b"The quick brown fox\n").decode()
    assert "quick" not in clean and "brown" not in clean, clean
