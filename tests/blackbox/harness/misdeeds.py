# SPDX-License-Identifier: Apache-2.0
"""What the function `misbehave` can be told to do, and what its caller must then be told."""
import re

from . import tree

PROGRAM = tree.program("misbehave")

OK = b"ok"  # the request that it answers like anybody

REFUSED = ({"finished"}, {0})  # it asked for what it may not have, was told no, and said so
SEGMENT = ({"crashed"}, {139})
VIOLATION = ({"violation"}, {159})
BAD_CALL = ({"crashed"}, {159})  # a system call of its own

# command: (outcomes that are right, exit codes that are right)
DEEDS = {
    "crash": SEGMENT,
    "crash-exec": SEGMENT,
    "crash-stack": SEGMENT,
    "illegal": ({"crashed"}, {132}),
    "divide": ({"crashed"}, {136}),
    "write-text": SEGMENT,
    "smash": ({"aborted"}, {134}),
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
    "bad-shim-call": VIOLATION,
    "bad-length next": VIOLATION,
    "bad-length write": VIOLATION,
    "bad-length log": VIOLATION,
    "bad-length random": VIOLATION,
    "bad-length exit": VIOLATION,
    "bad-length abort": VIOLATION,
    "bad-mailbox": ({"finished"}, {0}),  # the guest spoils its own mailbox, but for the turn
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

# What the answer says, or the message where there is no answer. A deed that was not done says something else.
SAYS = {
    "crash": r"Segmentation fault \(address 0\)",
    "crash-exec": r"Segmentation fault \(address 0x(\w+)\) at 0x\1$",
    "crash-stack": r"Segmentation fault",
    "illegal": r"Illegal instruction",
    "divide": r"Floating point exception",
    "write-text": r"Segmentation fault",
    "smash": r"stack smashing detected",
    "hang": r"the deadline passed",
    "hang-calls": r"the deadline passed",
    "memory": r"^\d+ bytes$",
    "memory-remap": r"^\d+ bytes$",
    "memory-holes": r"^2048 pages, 0 not zero$",
    "wx": r"^refused: -\d+$",
    "low": r"^refused: -\d+$",
    "high": r"^refused: -\d+$",
    "shim": r"Segmentation fault \(address 0x1000000000\)",
    "log-flood": r"^\d+ lines, \d+ dropped$|the deadline passed",
    "answer-too-much": r"larger than the limit of 67108864 bytes",
    "bad-hypercall": r"hypercall 0x3f$",
    "bad-shim-call": r"hypercall 0x7f$",
    "bad-length next": r"a response piece of length 0xfffffffffffffffe$",
    "bad-length write": r"a response piece of length 0xfffffffffffffffe$",
    "bad-length log": r"a log line of length",
    "bad-length random": r"random bytes",
    "bad-length exit": r"a response piece of length",
    "bad-length abort": r"an abort message of length",
    "bad-mailbox": r"^scribbled$",
    "bad-turn": r"hypercall 0xffffffff$",
    "call other": r"^refused: -1$",
    "syscall": r"it made system call 41,",
    "fork": r"it made system call 57,",
    "fork vfork": r"it made system call 58,",
    "fork clone": r"it made system call 56,",
    "exit 5": r"^leaving$",
    "abort so sorry": r"so sorry$",
    "status 7": r"^$",
}
assert SAYS.keys() == DEEDS.keys()

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
    said = response.body.decode().rstrip("\n") if own else response.message
    assert re.search(SAYS[deed], said), (deed, response, said)
