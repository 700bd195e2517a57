# SPDX-License-Identifier: Apache-2.0
"""The protocol on fn/NAME.sock, from a client that libthaw's authors did not write, and from hostile ones."""
import hashlib
import json
import os
import random
import resource
import struct
import time

import pytest

from harness import misdeeds, proc, scale, wire

SECOND_NS = 1_000_000_000


def healthy(daemon, name="counter"):
    with daemon.place.connect(name) as connection:
        response = connection.invoke(misdeeds.OK if name == "misbehave" else b"")
        assert response.exit_code == 0, response
        return True


def test_answers_say_how_they_came_to_be(serve):
    daemon = serve(["counter"])
    daemon.place.thaw_ok("prewarm", "counter", 2)
    with daemon.place.connect("counter") as connection:
        time.sleep(0.2)
        began = time.monotonic_ns()
        response = connection.invoke(b"")
        took = time.monotonic_ns() - began
    assert response.status == "ran" and response.outcome == "finished" and response.message == ""
    assert response.start == "pool"
    assert 0 < response.run_ns <= response.total_ns <= took
    assert response.queued_ns <= response.total_ns


def test_256_requests_in_flight_and_no_more(serve):
    daemon = serve(["sha256"])
    with daemon.place.connect("sha256") as connection:
        wanted = {connection.queue_request(os.urandom(100)) for _ in range(wire.IN_FLIGHT_MAX)}
        answers = [connection.receive() for _ in range(wire.IN_FLIGHT_MAX)]
        assert {answer.id for answer in answers} == wanted
        assert all(answer.exit_code == 0 for answer in answers)
        assert connection.invoke(b"").exit_code == 0
    half = wire.REQUEST_HEAD.pack(10, 0)
    with daemon.place.connect("sha256", timeout=scale.patience(5)) as connection:
        for frame_id in range(wire.IN_FLIGHT_MAX):
            connection.send_raw(wire.frame(wire.REQUEST, frame_id, half, wire.MORE))
        assert connection.control({"op": "stats"})["counters"]["protocol_errors"] == 0, "so many are no mistake"
        with pytest.raises(wire.WireError, match="too many requests are unanswered"):
            connection.send_raw(wire.frame(wire.REQUEST, wire.IN_FLIGHT_MAX, half, wire.MORE))
            connection.receive()
    assert healthy(daemon, "sha256")


def test_ids_are_the_clients_choice_and_may_be_used_again(serve):
    daemon = serve(["counter"])
    with daemon.place.connect("counter") as connection:
        for frame_id in (0, 1, 1, (1 << 64) - 1, 0):
            connection.submit(b"", frame_id=frame_id)
            assert connection.receive().id == frame_id


def test_pieces_of_two_requests_may_alternate(serve):
    daemon = serve(["sha256"])
    bodies = {11: os.urandom(300_000), 12: os.urandom(200_000)}
    with daemon.place.connect("sha256") as connection:
        queues = []
        for frame_id, body in bodies.items():
            connection.queue_request(body, frame_id=frame_id)
            queues.append(list(connection.outgoing))
            connection.outgoing.clear()
        while any(queues):
            for queue in queues:
                if queue:
                    connection.outgoing.append(queue.pop(0))
        for _ in bodies:
            response = connection.receive()
            assert response.body.split()[0] == hashlib.sha256(bodies[response.id]).hexdigest().encode()


def test_a_slow_request_does_not_hold_up_a_fast_one(serve):
    daemon = serve(["misbehave"])
    daemon.place.thaw_ok("prewarm", "misbehave", 4)
    with daemon.place.connect("misbehave") as connection:
        slow = connection.submit(b"hang", 2 * SECOND_NS)
        fast = connection.submit(misdeeds.OK)
        first = connection.receive()
        assert first.id == fast and first.exit_code == 0
        second = connection.receive()
        assert second.id == slow and second.outcome == "deadline"


def test_a_client_that_was_answered_is_listened_to(serve):
    """The thread that answered reads on by itself, and must not keep the connection to itself for the next guest."""
    daemon = serve(["misbehave"])
    daemon.place.thaw_ok("prewarm", "misbehave", 4)
    with daemon.place.connect("misbehave") as connection:
        for _ in range(20):
            for _ in range(5):
                assert connection.invoke(misdeeds.OK).exit_code == 0
            slow = connection.submit(b"hang", 60 * SECOND_NS)
            fast = [connection.submit(misdeeds.OK) for _ in range(2)]
            assert sorted(connection.receive().id for _ in fast) == sorted(fast)
            assert isinstance(connection.control({"op": "stats"}), dict)
            connection.cancel(slow)
            response = connection.receive()
            assert response.id == slow and response.outcome == "cancelled"


def test_cancel_ends_the_invocation_and_is_answered(serve):
    daemon = serve(["misbehave"])
    with daemon.place.connect("misbehave") as connection:
        began = time.monotonic()
        frame_id = connection.submit(b"hang", 60 * SECOND_NS)
        time.sleep(0.1)
        connection.cancel(frame_id)
        response = connection.receive(scale.patience(10))
        assert response.id == frame_id and response.outcome == "cancelled" and response.exit_code == 125
        assert time.monotonic() - began < scale.patience(10)
        connection.cancel(frame_id)  # too late is no error: the answer was on its way
        connection.cancel(424242)
        assert connection.invoke(misdeeds.OK).exit_code == 0


def gauge(daemon, name, which):
    return json.loads(daemon.place.thaw_ok("stats", name, "--json"))["gauges"][which]


def busy_seconds(pids):
    """CPU seconds that PIDS have used."""
    ticks = 0
    for pid in pids:
        fields = proc.read(pid, "stat").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12]) if fields else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def test_hanging_up_ends_the_invocation(serve):
    """A guest that spins for a caller who is gone would burn a core until its deadline."""
    daemon = serve(["misbehave"])
    for turn in range(5):
        connection = daemon.place.connect("misbehave")
        connection.submit(b"hang", 300 * SECOND_NS)
        proc.wait_until(lambda: gauge(daemon, "misbehave", "busy") == 1, scale.patience(10))
        connection.close()
        proc.wait_until(lambda: gauge(daemon, "misbehave", "busy") == 0, scale.patience(10))

    def quiet():
        family = daemon.family()
        before = busy_seconds(family)
        time.sleep(0.3)
        return busy_seconds(family) - before < 0.1

    proc.wait_until(quiet, scale.patience(10))
    assert healthy(daemon, "misbehave")


def test_a_slow_client_does_not_hold_an_instance(serve):
    """A request that trickles in claims nothing; a response nobody reads holds no clone."""
    daemon = serve(["counter"])
    slow = [daemon.place.connect("counter") for _ in range(64)]
    for connection in slow:
        connection.send_raw(wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(1 << 20, 0) + b"x" * 1000, wire.MORE))
    for _ in range(50):
        assert healthy(daemon)
    assert gauge(daemon, "counter", "buffered_bytes") == 64 * 1000, "what has come of them is held"
    assert gauge(daemon, "counter", "busy") == 0, "and no instance"
    for connection in slow:
        connection.close()
    assert healthy(daemon)
    proc.wait_until(lambda: gauge(daemon, "counter", "buffered_bytes") == 0, scale.patience(10))


def test_answers_that_nobody_reads_do_not_stop_the_others(serve):
    daemon = serve(["misbehave"])
    lazy = [daemon.place.connect("misbehave") for _ in range(8)]
    for connection in lazy:
        for _ in range(100):  # fewer in all than may wait, so that nobody is told "busy"
            connection.queue_request(b"nonsense")
        connection.flush()
    for _ in range(20):
        assert healthy(daemon, "misbehave")
    for connection in lazy:
        connection.close()
    assert healthy(daemon, "misbehave")


def test_a_full_queue_says_busy_at_once(serve):
    daemon = serve(["misbehave"])
    connections = [daemon.place.connect("misbehave") for _ in range(8)]
    try:
        for connection in connections:
            for _ in range(wire.IN_FLIGHT_MAX):
                connection.queue_request(b"hang", 120 * SECOND_NS)
            connection.flush()
        # Far more than run and wait by default, and none ends by itself: the last ones are told at once. Guests
        # that spin on every core make "at once" slow, so the patience is for the machine.
        answer = connections[-1].receive(scale.patience(20))
        assert answer.status == "busy" and answer.exit_code == 125 and answer.message, answer
        assert answer.start == "none" and answer.outcome is None
    finally:
        for connection in connections:
            connection.close()
    proc.wait_until(lambda: healthy(daemon, "misbehave"), scale.patience(20))


# What is sent, and a part of what must be said.
HOSTILE = {
    "version 0": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(0, 0), version=0), "not of version 1"),
    "version 2": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(0, 0), version=2), "not of version 1"),
    "type 0": (wire.frame(0, 1), "may not send frames of this type"),
    "type 200": (wire.frame(200, 1), "may not send frames of this type"),
    "a worker's type": (wire.frame(wire.RESPONSE, 1, bytes(wire.RESPONSE_HEAD.size)), "may not send frames of this type"),
    "unknown flags": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(0, 0), 0x8000), "flags that version 1"),
    "half a head": (wire.frame(wire.REQUEST, 1)[:7], "shorter than a frame's header"),
    "a length that lies (more)": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(0, 0), length=4000), "length field"),
    "a length that lies (less)": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(4, 0) + b"abcd", length=3),
                                  "length field"),
    "a huge length": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(0, 0), length=0xffffffff), "length field"),
    "half a request head": (wire.frame(wire.REQUEST, 1, b"abc"), "too short for its struct"),
    "more body than announced": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(1, 0) + b"four"), "carries more"),
    "less body than announced": (wire.frame(wire.REQUEST, 1, wire.REQUEST_HEAD.pack(9, 0) + b"four"), "ends before the request's length"),
    "a body that never began": (wire.frame(wire.REQUEST_DATA, 5, b"data"), "belongs to no request"),
}
HOSTILE_CONTROL = {
    "no JSON": (b"{\"op\": ", "is a JSON object"),
    "deep JSON": (b"[" * 50_000, "is a JSON object"),
    "JSON that is deep and right": (b"{\"op\": \"stats\", \"x\": " + b"[" * 1000 + b"]" * 1000 + b"}",
                                    "is a JSON object"),
    "NUL": (b"{\"op\":\"st\0ats\"}", "is a JSON object"),
    "unknown": (b"{\"op\": \"format the disk\"}", "must be"),
    "no object": (b"[1, 2]", "is a JSON object"),
    "a negative count": (b"{\"op\": \"prewarm\", \"count\": -1}", "from 0 to 16384"),
    "a mad count": (b"{\"op\": \"prewarm\", \"count\": 1e300}", "from 0 to 16384"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_frame(serve, what):
    """The client gets the reason and then the end of the connection. The worker lives and serves everybody else."""
    daemon = serve(["counter"])
    worker = daemon.worker()
    message, complaint = HOSTILE[what]
    with daemon.place.connect("counter") as bystander:
        with daemon.place.connect("counter", timeout=scale.patience(5)) as connection:
            connection.send_raw(message)
            with pytest.raises(wire.WireError, match=complaint):
                connection.receive()
            with pytest.raises(wire.Closed):
                connection.receive()
        assert bystander.invoke(b"").exit_code == 0
    assert healthy(daemon) and daemon.worker() == worker


@pytest.mark.parametrize("what", HOSTILE_CONTROL)
def test_hostile_control(serve, what):
    """The worker answers with the reason, and the connection goes on."""
    daemon = serve(["counter"])
    worker = daemon.worker()
    text, complaint = HOSTILE_CONTROL[what]
    with daemon.place.connect("counter", timeout=scale.patience(5)) as connection:
        reply = connection.control_text(text)
        assert set(reply) == {"error", "code"} and complaint in reply["error"] and reply["code"] == 2, reply
        assert connection.invoke(b"").exit_code == 0
    assert healthy(daemon) and daemon.worker() == worker


def test_the_same_id_twice_at_once_is_an_error(serve):
    daemon = serve(["misbehave"])
    with daemon.place.connect("misbehave", timeout=scale.patience(5)) as connection:
        connection.submit(b"hang", 2 * SECOND_NS, frame_id=9)
        with pytest.raises(wire.WireError, match="the id of an unanswered request is used again"):
            connection.submit(b"", frame_id=9)
            connection.receive()
    assert healthy(daemon, "misbehave")


def test_random_frames(serve):
    daemon = serve(["counter"])
    worker = daemon.worker()
    source = random.Random(20)
    for _ in range(scale.count(2_000, 300)):
        with daemon.place.connect("counter", timeout=scale.patience(5)) as connection:
            try:
                for _frame in range(source.randrange(1, 6)):
                    payload = source.randbytes(source.choice([0, 1, 16, 20, 56, 4000]))
                    if source.random() < 0.5:
                        payload = struct.pack("=QQ", source.choice([0, 4, len(payload), 1 << 63]), 0) + payload
                    message = bytearray(wire.frame(source.choice([1, 2, 3, 4, 1, 1, source.randrange(256)]),
                                                   source.randrange(4), payload, source.choice([0, 0, 1])))
                    if source.random() < 0.3:
                        message[source.randrange(len(message))] ^= 1 << source.randrange(8)
                    connection.send_raw(message)
            except (wire.WireError, wire.Closed, KeyError, OSError):
                pass
    assert healthy(daemon)
    assert daemon.worker() == worker, "the worker was killed by a frame"


CONNECTIONS_MAX = 1024  # pool/wire/PROTOCOL.md


def turned_away(connection):
    """Whether the worker says that it has too many connections; False while it says nothing."""
    try:
        connection.pump(time.monotonic() + 0.05)
    except TimeoutError:
        return False
    except wire.WireError as error:
        assert "too many connections" in str(error), error
        return True
    raise AssertionError("the worker says something to a connection that asked nothing")


def test_many_connections_that_say_nothing(serve):
    """The worker holds as many connections as the bound, refuses the next ones in words, and fills places that get free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CONNECTIONS_MAX + 512), hard))
    daemon = serve(["counter"])
    silent = []
    try:
        for _ in range(CONNECTIONS_MAX):
            silent.append(daemon.place.connect("counter", timeout=scale.patience(10)))
        # The last one that fits is served, with all the others open.
        assert silent[-1].invoke(b"").body.strip() == b"1"
        assert silent[-1].control({"op": "stats"})["gauges"]["connections_open"] == CONNECTIONS_MAX
        for _ in range(20):
            with daemon.place.connect("counter", timeout=scale.patience(10)) as beyond:
                proc.wait_until(lambda beyond=beyond: turned_away(beyond), scale.patience(10))
        assert silent[0].invoke(b"").body.strip() == b"1", "one that is held was dropped for others"
        counters = silent[0].control({"op": "stats"})["counters"]
        assert counters["connections_refused"] == 20, counters
        for connection in silent[1:11]:
            connection.close()
        proc.wait_until(lambda: healthy(daemon), scale.patience(5))
    finally:
        for connection in silent:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # The connection that asks for the figure is the one that is left.
    proc.wait_until(lambda: gauge(daemon, "counter", "connections_open") == 1, scale.patience(10))
    assert healthy(daemon)


def test_control_stats_prewarm_logs(serve):
    """Each answer tells what happened on this connection."""
    daemon = serve(["misbehave"])
    with daemon.place.connect("misbehave") as connection:
        before = connection.control({"op": "stats"})
        assert connection.control({"op": "prewarm", "count": 3}) == {"ready": 3}
        assert connection.invoke(misdeeds.OK).exit_code == 0
        assert connection.invoke(b"abort in so many words").outcome == "aborted"
        after = connection.control({"op": "stats"})
        assert after["gauges"]["pool_target"] == 3 != before["gauges"]["pool_target"]
        for group, name, more in (("counters", "requests", 2), ("counters", "connections", 0), ("statuses", "ran", 2),
                                  ("outcomes", "finished", 1), ("outcomes", "aborted", 1), ("outcomes", "crashed", 0)):
            assert after[group][name] - before[group][name] == more, (group, name, before, after)
        assert after["latency"]["run"]["count"] - before["latency"]["run"]["count"] == 2
        logs = connection.control({"op": "logs"})
        assert any("in so many words" in line["text"] for line in logs["lines"]), logs
        assert connection.control({"op": "logs", "since": logs["next"]}) == {"lines": [], "next": logs["next"]}
