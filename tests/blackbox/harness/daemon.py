# SPDX-License-Identifier: Apache-2.0
"""A private thawd with directories of its own, and the client programs that use it."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from . import proc, scale, tree, wire

# Programs that the tests started. Any other child of the test process is an orphan.
STARTED = set()


class Place:
    """A state and a run directory. Short names: a socket's address holds 107 bytes."""

    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="tb", dir="/tmp"))
        self.state = self.base / "s"
        self.run = self.base / "r"
        for directory in (self.state, self.run):
            directory.mkdir(mode=0o700)
        self.daemon = None  # the one that was started last here

    def remove(self):
        shutil.rmtree(self.base, ignore_errors=True)

    def environment(self, **more):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("THAW_")}
        return {**kept, "THAW_STATE": str(self.state), "THAW_RUN": str(self.run), **more}

    def thaw(self, *args, stdin=b"", timeout=120, env=None):
        """Runs the client; a CompletedProcess with bytes in stdout and stderr."""
        return subprocess.run([tree.THAW, *map(str, args)], input=stdin, capture_output=True, timeout=timeout,
                              env={**self.environment(), **(env or {})}, check=False)

    def thaw_ok(self, *args, **kwargs):
        done = self.thaw(*args, **kwargs)
        assert done.returncode == 0, f"thaw {args}: exit {done.returncode}: {done.stderr.decode(errors='replace')}"
        return done.stdout

    def start_thaw(self, *args, **kwargs):
        process = subprocess.Popen([tree.THAW, *map(str, args)], env=self.environment(), **kwargs)
        STARTED.add(process.pid)
        return process

    def freeze(self, name, function=None, options=None, args=(), **kwargs):
        function = function or name
        options = tree.FREEZE[function] if options is None else options
        return self.thaw("freeze", name, *options, "--", tree.program(function), *args, **kwargs)

    def put_image(self, source, name):
        """Copies an image into the state directory: the same as a freeze, and fast."""
        target = self.state / f"{name}.thaw"
        fresh = self.base / f"{name}.copy"
        shutil.copyfile(source, fresh)
        fresh.chmod(0o600)
        fresh.rename(target)
        return target

    def connect(self, name, timeout=60.0):
        return wire.Connection(self.run, name, timeout)

    def served(self, name):
        """Whether NAME answers a connection at this moment."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                probe.connect(f"{self.run}/fn/{name}.sock")
            return True
        except OSError:
            return False

    def wait_served(self, *names, seconds=20):
        for name in names:
            proc.wait_until(lambda name=name: self.served(name), scale.patience(seconds))


class Daemon:
    """One run of thawd in a place. check_gone() finds processes that it leaves behind."""

    def __init__(self, place, *args, env=None, wait=()):
        self.place = place
        self.log_path = place.base / "thawd.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [tree.THAWD, "--state", place.state, "--run", place.run, *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**place.environment(), **(env or {})})
        STARTED.add(self.process.pid)
        self.pid = self.process.pid
        place.daemon = self
        self.seen = set()
        try:
            place.wait_served(*wait)
        except BaseException:
            self.kill()
            raise AssertionError(f"thawd did not serve {wait}: {self.log()}") from None

    def log(self):
        return self.log_path.read_text(errors="replace")[-4000:]

    def family(self):
        """Every process below thawd. They are remembered, so that none outlives thawd unnoticed."""
        family = proc.descendants(self.pid)
        self.seen.update(filter(None, map(proc.identity, family)))
        return family

    def workers(self):
        self.family()
        return proc.children(self.pid)

    def worker(self):
        """The one worker of a daemon that serves one function."""
        return proc.wait_until(lambda: (self.workers() or [None])[0], scale.patience(10))

    def clones(self, worker=None):
        """The clones of a worker, oldest first. Its oldest child is the zygote."""
        return proc.children(worker or self.worker())[1:]

    def zygote(self, worker=None):
        worker = worker or self.worker()
        return proc.wait_until(lambda: (proc.children(worker) or [None])[0], scale.patience(10))

    def stop(self, seconds=10):
        """Sends SIGTERM and returns the exit code. Fails if any process is left."""
        self.family()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(scale.patience(seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"thawd did not end on SIGTERM: {self.log()}") from None
        self.check_gone()
        return code

    def kill(self):
        """Sends SIGKILL to the front alone: its workers must end by themselves."""
        self.family()
        self.process.kill()
        self.process.wait()
        self.check_gone()

    def check_gone(self):
        try:
            proc.wait_until(lambda: not any(map(proc.still, self.seen)), scale.patience(5))
        finally:
            for process in filter(proc.still, self.seen):
                proc.kill(process[0])
        self.seen.clear()


def run_threads(work, number):
    """Runs WORK(index) in NUMBER threads, and raises the first failure."""
    failures = []

    def guarded(index):
        try:
            work(index)
        except BaseException as error:  # the test raises it
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(index,), daemon=True) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Pulse:
    """Calls a probe repeatedly in the background, and keeps its highest value."""

    def __init__(self, probe, step=0.005):
        self.probe, self.step, self.highest, self.failure = probe, step, 0, None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.beat, daemon=True)

    def beat(self):
        try:
            while not self.over.is_set():
                self.highest = max(self.highest, self.probe())
                time.sleep(self.step)
        except BaseException as error:
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        if self.failure:
            raise self.failure
