# SPDX-License-Identifier: Apache-2.0
"""Python's sitecustomize in a Thaw function: gives `random` a new seed in each invocation.

A generator that was seeded before the ready point is the same in every clone. The ready point is the first read
of standard input, so the first read that returns is where an invocation begins: there `random` (and NumPy's
global generator) are seeded anew from the system's randomness, if they were imported by then. Seen are
sys.stdin, sys.stdin.buffer and os.read(0, ...); who reads in another way calls random.seed().
"""
import io
import os
import sys

_os_read = os.read
_begun = False


def _begin():
    global _begun
    if _begun:
        return
    _begun = True
    os.read = _os_read
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()


class _Input(io.FileIO):
    def readinto(self, buffer):
        count = super().readinto(buffer)
        _begin()
        return count

    def read(self, size=-1):
        data = super().read(size)
        _begin()
        return data

    def readall(self):
        data = super().readall()
        _begin()
        return data


def _read(fd, length, /):
    data = _os_read(fd, length)
    if fd == 0:
        _begin()
    return data


def _install():
    old = sys.stdin
    if old is None:
        return
    raw = _Input(0, closefd=False)
    raw.name = old.name
    new = io.TextIOWrapper(io.BufferedReader(raw), encoding=old.encoding, errors=old.errors,
                           line_buffering=old.line_buffering)
    new.mode = "r"
    sys.stdin = sys.__stdin__ = new
    os.read = _read


_install()

try:  # the one that this host has
    import _host_sitecustomize  # noqa: F401
except ImportError:
    pass
