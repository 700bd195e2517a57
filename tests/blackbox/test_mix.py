# SPDX-License-Identifier: Apache-2.0
"""Eight functions at once, with crashes and deadlines: no data passes between them, and no resource leaks."""
import hashlib
import random

from harness import proc, scale

EIGHT = ["hello", "counter", "counter2", "entropy", "sha256", "sha2562", "misbehave", "misbehave2"]


def check(name, request, response, seen):
    function = name.rstrip("2")
    if function == "hello":
        assert response.body == b"hello, world\n", response
    if function == "counter":
        assert response.body == b"1\n", response
    if function == "entropy":
        random_part = response.body.split()[0]
        assert random_part not in seen
        seen.add(random_part)
    if function == "sha256":
        assert response.body.split()[0].decode() == hashlib.sha256(request).hexdigest()
    if function == "misbehave":
        wanted = {b"crash": 139, b"illegal": 132, b"abort secret": 134, b"exit 7": 7, b"hang": 124, b"bad-hypercall": 159}
        if request.startswith(b"echo "):
            assert response.body == request[5:] + b"\n" or response.body == request[5:], (request, response)
        else:
            assert response.exit_code == wanted[request], (request, response)


def a_request(chance, name):
    function = name.rstrip("2")
    if function == "sha256":
        return chance.randbytes(chance.choice([0, 10, 5000, 70000]))
    if function == "misbehave":
        deed = chance.choices(["echo", "crash", "illegal", "abort", "exit", "hang", "bad-hypercall"],
                              [60, 8, 8, 8, 8, 1, 7])[0]
        return {"echo": b"echo %d" % chance.randrange(10**9), "abort": b"abort secret",
                "exit": b"exit 7"}.get(deed, deed.encode())
    return b""


def test_thousands_of_invocations_of_eight_functions(images, place, serve):
    chance = random.Random(8)
    for name in EIGHT:
        function = name.rstrip("2")
        if function == "misbehave":
            assert place.freeze(name, function, ["--timeout", "60s"]).returncode == 0
        else:
            place.put_image(images[function], name)
    daemon = serve([], "--pool", "2", place=place)
    place.wait_served(*EIGHT)
    connections = {name: place.connect(name) for name in EIGHT}
    seen, number = set(), scale.count(10_000, 1_500, least=200)
    before = None
    for turn in range(number):
        # The first tenth warms up; the rest is compared with the figures after it.
        if turn == max(100, number // 10):
            before = {pid: holdings(pid) for pid in proc.descendants(daemon.pid)}
        name = chance.choice(EIGHT)
        request = a_request(chance, name)
        timeout = 200_000_000 if request == b"hang" else 0
        check(name, request, connections[name].invoke(request, timeout_ns=timeout), seen)
    for connection in connections.values():
        connection.close()
    assert before
    proc.wait_until(lambda: is_flat(before), scale.patience(10))


def holdings(pid):
    return len(proc.descriptors(pid)), proc.resident_bytes(pid)


def grown(before):
    """The largest growth of any process that still lives: descriptors, bytes."""
    grown = [(0, 0)]
    for pid, (descriptors, resident) in before.items():
        if proc.alive(pid):
            now = holdings(pid)
            grown.append((now[0] - descriptors, now[1] - resident))
    return max(each[0] for each in grown), max(each[1] for each in grown)


def is_flat(before):
    """A virtual machine has two descriptors, and a few machines are being made or ended."""
    descriptors, resident = grown(before)
    return descriptors <= 40 and (scale.SLOW_BUILD or resident <= 32 << 20)
