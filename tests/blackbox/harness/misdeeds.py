# SPDX-License-Identifier: Apache-2.0
"""What the function `misbehave` can be told to do, and what its caller must then be told."""
from . import tree

PROGRAM = tree.program("misbehave")

OK = b"ok"  # the request that it answers like anybody

REFUSED = ({"finished"}, {0})  # it asked for what it may not have, was told no, and said so
SEGMENT = ({"crashed"}, {139})
VIOLATION = ({"violation"}, {159})
BAD_CALL = ({"violation", "crashed"}, {159})  # a system call of its own: the filter's end or the shim's word

# command: (outcomes that are right, exit codes that are right)
DEEDS = {
    "crash": SEGMENT,
    "crash-exec": SEGMENT,
    "crash-stack": SEGMENT,
    "illegal": ({"crashed"}, {132}),
    "divide": ({"crashed"}, {136}),
    "write-text": SEGMENT,
    "smash": ({"aborted", "crashed"}, {134, 139}),
    "hang": ({"deadline"}, {124}),
    "hang-calls": ({"deadline"}, {124}),
    "memory": REFUSED,
    "memory-remap": REFUSED,
    "memory-holes": REFUSED,
    "wx": REFUSED,
    "low": REFUSED,
    "high": REFUSED,
    "shim": SEGMENT,
    "log-flood": ({"finished", "deadline"}, {0, 124}),  # 100,000 lines: on a busy machine it is the deadline's
    "answer-too-much": ({"too_much"}, {153}),
    "bad-hypercall": VIOLATION,
    "bad-shim-call": ({"finished", "violation"}, {0, 159}),
    "bad-length next": VIOLATION,
    "bad-length write": VIOLATION,
    "bad-length log": VIOLATION,
    "bad-length random": VIOLATION,
    "bad-length exit": VIOLATION,
    "bad-length abort": VIOLATION,
    "bad-mailbox": ({"finished", "violation"}, {0, 159}),
    "bad-turn": VIOLATION,
    "call other": REFUSED,
    "syscall": BAD_CALL,
    "fork": BAD_CALL,
    "fork vfork": BAD_CALL,
    "fork clone": BAD_CALL,
    "exit 5": ({"exited"}, {5}),
    "abort so sorry": ({"aborted"}, {134}),
    "status 7": ({"finished"}, {7}),
}

# What a guest that starts with nothing may try, and must not get.
REACHING_OUT = ["wx", "low", "high", "shim", "call other", "syscall", "fork", "fork vfork", "fork clone",
                "bad-hypercall", "bad-length write"]
MEMORY = ["memory", "memory-remap", "memory-holes"]
ENDLESS = {"hang", "hang-calls"}


def deadline_ns(deed):
    """A deadline to send with DEED: short where it is the deadline that ends it, else the function's own."""
    return 100_000_000 if deed in ENDLESS else 0


def judged(deed, response):
    """Asserts that RESPONSE is a right answer to DEED."""
    outcomes, codes = DEEDS[deed]
    assert response.status == "ran", (deed, response)
    assert response.outcome in outcomes and response.exit_code in codes, (deed, response, response.body[:200])
    # A status of the function's own speaks for itself; everything else is told in words.
    own = response.outcome in ("finished", "exited")
    assert bool(response.message) == (not own), (deed, response)
    assert response.message.isprintable() or not response.message, (deed, response)
