# SPDX-License-Identifier: Apache-2.0
"""What /proc says about processes. A process may end at any moment, so a missing process is not an error."""
import ctypes
import os
import pathlib
import re
import signal
import time

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """Makes orphans of the tests' processes children of this process, so that none is missed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def read(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def stat(pid):
    """(state, parent, start time) or None."""
    text = read(pid, "stat")
    if not text:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[19])


def status(pid):
    return dict(line.split(":\t", 1) for line in read(pid, "status").splitlines() if ":\t" in line)


def alive(pid):
    state = stat(pid)
    return state is not None and state[0] not in "ZX"


def identity(pid):
    """(pid, start time), because a number alone may be reused. None when the process has ended."""
    state = stat(pid)
    return state and (pid, state[2])


def still(process):
    return alive(process[0]) and identity(process[0]) == process


def children(pid):
    """Live children of PID, oldest first."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            state = stat(entry)
            if state and state[1] == pid and state[0] not in "ZX":
                found.append((state[2], int(entry)))
    return [child for _, child in sorted(found)]


def descendants(pid):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            state = stat(entry)
            if state and state[0] not in "ZX":
                parents.setdefault(state[1], []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        for child in parents.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def kilobytes(pid, file, *keys):
    """The sum of the lines KEYS of a /proc file, in bytes."""
    wanted = {key + ":" for key in keys}
    return 1024 * sum(int(line.split()[1]) for line in read(pid, file).splitlines()
                      if line.split(None, 1)[0] in wanted)


def private_bytes(pid):
    return kilobytes(pid, "smaps_rollup", "Private_Clean", "Private_Dirty", "Private_Hugetlb")


def page_table_bytes(pid):
    return kilobytes(pid, "status", "VmPTE")


def resident_bytes(pid):
    return kilobytes(pid, "status", "VmRSS")


def descriptors(pid):
    """{number: target}; empty when the process has ended."""
    found = {}
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                pass
    except OSError:
        pass
    return found


def namespace(pid, kind):
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return None


def memory_files(pids):
    """Memory files of images that PIDS hold open or mapped: {(device, inode): bytes allocated}. Mailboxes are memory
    files too, which grow with the number of instances, and are left out."""
    files = {}
    for pid in pids:
        for directory in ("fd", "map_files"):
            base = f"/proc/{pid}/{directory}"
            try:
                names = os.listdir(base)
            except OSError:
                continue
            for name in names:
                try:
                    if re.match(r"/memfd:thaw-image|/dev/shm|/SYSV", os.readlink(f"{base}/{name}")):
                        info = os.stat(f"{base}/{name}")
                        files[info.st_dev, info.st_ino] = info.st_blocks * 512
                except OSError:
                    pass
    return files


def private_files(pids):
    """The same of memory files that PIDS map copy-on-write: for clones, the image."""
    files = {}
    for pid in pids:
        for line in read(pid, "maps").splitlines():
            place, modes, *_ = line.split(None, 5)
            if modes[3] == "p" and "/memfd:" in line:
                start, end = (f"{int(bound, 16):x}" for bound in place.split("-"))
                try:
                    info = os.stat(f"/proc/{pid}/map_files/{start}-{end}")
                    files[info.st_dev, info.st_ino] = info.st_blocks * 512
                except OSError:
                    pass
    return files


def wait_until(condition, seconds, step=0.005):
    """Waits for the condition's first true value and returns it; AssertionError when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(step)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def orphans(known):
    """This process's live children that are not in KNOWN. Children that have ended are reaped on the way."""
    me = os.getpid()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in known:
            state = stat(entry)
            if state and state[1] == me and state[0] == "Z":
                try:
                    os.waitpid(int(entry), os.WNOHANG)
                except ChildProcessError:
                    pass
    return [pid for pid in children(me) if pid not in known]
