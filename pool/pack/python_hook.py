# SPDX-License-Identifier: Apache-2.0
"""Python's sitecustomize in a Thaw function: gives `random` a new seed in each invocation, and ends it early.

A generator that was seeded before the ready point is the same in every clone. The ready point is the first read
of standard input, so the first read that returns is where an invocation begins: there `random` (and NumPy's
global generator) are seeded anew from the system's randomness, if they were imported by then. Seen are
sys.stdin, sys.stdin.buffer and os.read(0, ...); who reads in another way calls random.seed().

An interpreter that ends takes everything apart, object by object, and so writes to most of its memory; in a clone
each page of that is a copy, made to be thrown away: 95 ms, where the answer took one half. So where nobody can
tell, the last of the atexit functions flushes what is to be flushed and ends the process there. It looks at the
program's own sources before the ready point, and leaves all to Python that might end with another status than 0,
or have output that only taking apart would flush.
"""
import atexit
import io
import os
import re
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


# What a program has that cares how it is taken apart: statuses of its own, destructors, other ways to standard output.
_CARES = re.compile(r"SystemExit|(?<![.\w])(?:exit|quit)\s*\(|_exit|__del__|fdopen|getwriter|/dev/|/proc/|open\(\s*[12]\b"
                    r"|TextIOWrapper|Buffered(?:Writer|RWPair|Random)|FileIO|fileno|\bdup2?\(|stdout\.buffer\s*[,)]|ctypes|cffi")
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_sys_exit = sys.exit
_looked_at = None
_plain = False


def _exit(status=None, /):
    global _plain
    if not (status is None or isinstance(status, int) and status == 0):
        _plain = False
    _sys_exit(status)


def _sources():
    """The names of modules that are not Python's own, with the text of each; None where there is none to read."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name == "__main__" and path is None:
            arguments = sys.orig_argv
            yield name, arguments[arguments.index("-c") + 1] if "-c" in arguments[:-1] else None
        elif name != __name__ and path and (not path.startswith(_LIBRARY) or "-packages" in path):
            try:
                with open(path, encoding="utf-8") as file:
                    yield name, file.read() if path.endswith(".py") else None
            except (OSError, ValueError):
                yield name, None


def _look():
    global _looked_at, _plain
    if _looked_at is None:
        texts = dict(_sources())
        _plain = all(text is not None and not _CARES.search(text) for text in texts.values())
        _looked_at = set(sys.modules)


def _end():
    if not (_begun and _plain) or hasattr(sys, "last_type"):
        return
    for name in set(sys.modules) - _looked_at:
        path = getattr(sys.modules[name], "__file__", None) or _LIBRARY
        if not path.startswith(_LIBRARY) or "-packages" in path:
            return
    try:
        for stream in {sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__} - {None}:
            if not stream.closed:
                stream.flush()
    except Exception:
        return
    os._exit(0)


class _Input(io.FileIO):
    def readinto(self, buffer):
        _look()
        count = super().readinto(buffer)
        _begin()
        return count

    def read(self, size=-1):
        _look()
        data = super().read(size)
        _begin()
        return data

    def readall(self):
        _look()
        data = super().readall()
        _begin()
        return data


def _read(fd, length, /):
    if fd == 0:
        _look()
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
    sys.exit = _exit
    atexit.register(_end)  # the first to be registered is the last to run


_install()

try:  # the one that this host has
    import _host_sitecustomize  # noqa: F401
except ImportError:
    pass
