# SPDX-License-Identifier: Apache-2.0
"""Python's sitecustomize in a Thaw function: gives `random` a new seed in each invocation, and ends Python early.

A generator that was seeded before the ready point is the same in every clone. The ready point is the first read
of standard input, so an invocation begins when that read returns. There the hook seeds `random` (and NumPy's
global generator) anew from the system's randomness, if they have been imported. It sees reads of sys.stdin,
sys.stdin.buffer and os.read(0, ...); a program that reads in another way has to call random.seed() itself.

An interpreter that ends destroys its objects one by one, and so writes to most of its memory. In a clone each of
these pages is copied, only to be thrown away: that took 95 ms, where the answer took half a millisecond. So where
the program cannot tell, the last atexit function flushes the streams and ends the process. The hook looks at the
program's own sources before the ready point. It leaves the end to Python when the program might end with a status
other than 0, or might have output that only the destruction of objects flushes.
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


# Signs that a program cares how Python ends: exit statuses, destructors, other ways to standard output.
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
    """Yields the name and source of each module that is not Python's own; the source is None if unreadable."""
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
    atexit.register(_end)  # registered first, so it runs last


_install()

try:  # the host's own sitecustomize
    import _host_sitecustomize  # noqa: F401
except ImportError:
    pass
