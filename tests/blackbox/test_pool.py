# SPDX-License-Identifier: Apache-2.0
"""The daemon: start, stop, its lock, kept images, pools that refill."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time

import pytest

from harness import proc, scale, tree, wire
from harness.daemon import Daemon, Place


def test_a_clean_stop_while_busy(serve):
    """SIGTERM with requests in flight: each gets an answer or a clear end, and thawd exits with 0."""
    daemon = serve(["misbehave"])
    with daemon.place.connect("misbehave", timeout=scale.patience(20)) as connection:
        for _ in range(4):
            connection.submit(b"hang", 2_000_000_000)
        time.sleep(0.1)
        assert daemon.stop(20) == 0
        answered = 0
        try:
            for _ in range(4):
                response = connection.receive()
                assert response.exit_code in (124, 125), response
                answered += 1
        except (wire.GoAway, wire.Closed, OSError) as end:
            assert not isinstance(end, TimeoutError)
    assert not list(daemon.place.run.rglob("*.sock"))


def test_sigint_is_as_good(serve):
    daemon = serve(["hello"])
    daemon.family()
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(scale.patience(10)) == 0
    daemon.check_gone()


def test_a_second_daemon_on_the_same_run_directory_is_refused(serve):
    daemon = serve(["counter"])
    place = daemon.place
    second = subprocess.run([tree.THAWD, "--state", place.state, "--run", place.run], stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=scale.patience(20), check=False)
    assert second.returncode == 125 and second.stderr, second
    assert place.thaw_ok("invoke", "counter").strip() == b"1"


def test_two_daemons_on_one_state_directory(serve):
    first = serve(["counter"])
    other = Place()
    try:
        os.rmdir(other.state)
        os.symlink(first.place.state, other.state)
        second = serve(["counter"], place=other)
        assert first.place.thaw_ok("invoke", "counter") == other.thaw_ok("invoke", "counter")
        assert second.stop() == 0
    finally:
        other.remove()


def test_a_run_directory_that_is_too_long_is_refused_in_words(place):
    long = place.base / ("d" * 100)
    done = subprocess.run([tree.THAWD, "--state", place.state, "--run", long], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=scale.patience(20), check=False)
    assert done.returncode == 2 and b"too long for a socket's address" in done.stderr, done
    done = place.thaw("invoke", "hello", "--run", long)
    assert done.returncode == 2 and b"too long for a socket's address" in done.stderr, done


@pytest.mark.parametrize("arguments", [["--bogus"], ["extra"], ["--state"], ["--image-dir"]])
def test_daemon_usage_errors(arguments):
    done = subprocess.run([tree.THAWD, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    assert done.returncode == 2 and done.stderr, done


@pytest.mark.parametrize("option", ["--no-working-sets", "--no-write-sets"])
def test_working_sets_can_be_left_unused(serve, option):
    daemon = serve(["hello"], option)
    assert daemon.place.thaw_ok("invoke", "hello", stdin=b"Ada\n") == b"hello, world\n"


def test_directories_are_made(serve):
    place = Place()
    try:
        os.rmdir(place.state)
        os.rmdir(place.run)
        daemon = Daemon(place)
        proc.wait_until(lambda: place.thaw("stats").returncode == 0, scale.patience(10))
        assert place.state.is_dir() and place.run.is_dir()
        assert place.state.stat().st_mode & 0o022 == 0 and place.run.stat().st_mode & 0o022 == 0
        assert daemon.stop() == 0
    finally:
        place.remove()


def test_stale_sockets_are_swept(serve):
    daemon = serve(["counter"])
    place = daemon.place
    daemon.kill()
    (place.state / "counter.thaw").rename(place.state / "renamed.thaw")
    again = serve([], place=place)
    proc.wait_until(lambda: place.thaw("invoke", "counter").returncode == 127, scale.patience(10))
    assert again.stop() == 0


def test_strange_files_in_the_state_directory_are_left_alone(serve, images):
    place = Place()
    try:
        (place.state / "README").write_text("mine")
        (place.state / "Not-A-Name.thaw").write_text("mine")
        (place.state / "sub.thaw").mkdir()
        os.symlink("/etc/passwd", place.state / "passwd.thaw")
        os.mkfifo(place.state / "pipe.thaw")
        daemon = serve(["counter"], place=place)
        assert place.thaw_ok("invoke", "counter").strip() == b"1"
        assert place.thaw("list").returncode == 0
        assert daemon.stop() == 0
        assert (place.state / "README").read_text() == "mine" and (place.state / "Not-A-Name.thaw").exists()
    finally:
        place.remove()


def test_prewarm_sets_the_number_of_fresh_instances(serve):
    daemon = serve(["hello"])
    place = daemon.place
    for number in (12, 3, 20):
        place.thaw_ok("prewarm", "hello", number)
        proc.wait_until(lambda number=number: len(daemon.clones()) == number, scale.patience(10))
    with place.connect("hello") as connection:
        for _ in range(10):
            assert connection.invoke(b"x").start == "pool"
    proc.wait_until(lambda: len(daemon.clones()) == 20, scale.patience(10))


def test_a_full_pool_serves_from_the_pool(serve):
    daemon = serve(["hello"])
    place = daemon.place
    place.thaw_ok("prewarm", "hello", 30)
    proc.wait_until(lambda: len(daemon.clones()) >= 30, scale.patience(10))
    with place.connect("hello") as connection:
        starts = [connection.invoke(b"x").start for _ in range(20)]
    assert starts == ["pool"] * 20


def test_more_idle_clients_than_threads_that_wait_for_one(serve):
    """A thread waits a while for the client that it has answered; requests of other clients are served nevertheless."""
    daemon = serve(["counter"])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.place.connect("counter", timeout=scale.patience(20))) for _ in range(40)]
        for pause in (0.0, 0.3, 1.5):  # within a thread's patience, and beyond it
            for client in clients:
                assert client.invoke().body.strip() == b"1"
            time.sleep(pause)
            for client in reversed(clients):
                ids = {client.submit(), client.submit()}
                responses = [client.receive(), client.receive()]
                assert {response.id for response in responses} == ids
                assert [response.body.strip() for response in responses] == [b"1", b"1"]
            with daemon.place.connect("counter", timeout=scale.patience(20)) as late:
                assert late.control({"op": "stats"})
                assert late.invoke().body.strip() == b"1"
        # Threads notice clients that hang up while they wait for them, and a stop does not wait for these threads.
        for client in clients[::2]:
            client.invoke()
            client.close()
        for client in clients[1::2]:
            client.invoke()
        assert daemon.stop() == 0


def test_a_prewarm_beyond_reason_is_refused(serve):
    daemon = serve(["hello"])
    done = daemon.place.thaw("prewarm", "hello", 1_000_000)
    assert done.returncode == 2 and b"from 0 to 16384" in done.stderr, done
    done = daemon.place.thaw("prewarm", "hello", 16_384)  # a valid number, above this daemon's own limit
    assert done.returncode == 1 and b"--max-instances" in done.stderr, done
    assert len(daemon.clones()) < 100
    assert daemon.place.thaw("invoke", "hello", stdin=b"x").returncode == 0


def test_an_idle_daemon_is_idle(serve):
    daemon = serve(["hello", "counter"])

    def ticks():
        used = 0
        for pid in [daemon.pid, *daemon.family()]:
            fields = proc.read(pid, "stat").rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12]) if fields else 0
        return used

    time.sleep(0.5)
    before = ticks()
    time.sleep(2)
    assert ticks() - before <= 0.05 * 2 * os.sysconf("SC_CLK_TCK")


def kept_images(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


def image_directory_is_reused(serve, images, directory):
    place = Place()
    try:
        place.put_image(images["spell"], "spell")
        first = serve(["spell"], "--image-dir", directory, place=place)
        answer = place.thaw_ok("invoke", "spell", stdin=b"borwn")
        kept = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept_images(directory)}
        assert kept, "nothing is kept"
        assert first.stop() == 0
        assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept_images(directory)} == kept
        second = serve(["spell"], "--image-dir", directory, place=place)
        assert place.thaw_ok("invoke", "spell", stdin=b"borwn") == answer
        assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept_images(directory)} == kept
        second.kill()
        # The worker may outlive thawd for a moment, and would be taken for the next one.
        proc.wait_until(lambda: not place.served("spell"), scale.patience(10))
        third = serve(["spell"], "--image-dir", directory, place=place)
        assert place.thaw_ok("invoke", "spell", stdin=b"borwn") == answer
        assert all(path.stat().st_mode & 0o077 == 0 for path in kept_images(directory))
        # After a freeze under the same name the old memory is not used for the new image.
        assert place.freeze("spell", "counter", []).returncode == 0
        proc.wait_until(lambda: place.thaw("invoke", "spell").stdout.strip() == b"1", scale.patience(10))
        place.thaw_ok("remove", "spell")
        proc.wait_until(lambda: not kept_images(directory), scale.patience(10))
        assert third.stop() == 0
    finally:
        place.remove()


def test_image_directory_on_tmpfs(serve, images):
    with tempfile.TemporaryDirectory(prefix="tbi", dir="/dev/shm") as directory:
        image_directory_is_reused(serve, images, type(images["spell"])(directory))


def test_image_directory_on_hugetlbfs(serve, images):
    if os.geteuid():
        pytest.skip("only root can mount hugetlbfs")
    pages = "/proc/sys/vm/nr_hugepages"
    with open(pages, encoding="ascii") as file:
        before = file.read()
    directory = tempfile.mkdtemp(prefix="tbh", dir="/tmp")
    try:
        with open(pages, "w", encoding="ascii") as file:
            file.write(str(int(before) + 128))
        with open(pages, encoding="ascii") as file:
            if int(file.read()) < int(before) + 128:
                pytest.skip("the kernel reserves no huge pages here")
        if subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", directory], check=False).returncode:
            pytest.skip("hugetlbfs cannot be mounted here")
        try:
            image_directory_is_reused(serve, images, type(images["spell"])(directory))
        finally:
            subprocess.run(["umount", "-l", directory], check=True)
    finally:
        with open(pages, "w", encoding="ascii") as file:
            file.write(before)
        os.rmdir(directory)


def test_an_image_directory_elsewhere_is_refused_in_words(place):
    done = subprocess.run([tree.THAWD, "--state", place.state, "--run", place.run, "--image-dir", "/proc"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=scale.patience(20), check=False)
    assert done.returncode == 2 and b"/proc is neither tmpfs nor hugetlbfs" in done.stderr, done


def test_spent_clones_are_put_back_or_destroyed_as_told(serve):
    for how in ("recycle", "destroy"):
        daemon = serve(["counter"], "--reuse", how, "--backend", "process")
        with daemon.place.connect("counter") as connection:
            for _ in range(scale.count(200, 40, least=20)):
                assert connection.invoke(b"").body == b"1\n"
        can = 30 in proc.descriptors(daemon.worker())  # a container may forbid mounting procfs
        counters = json.loads(daemon.place.thaw_ok("stats", "counter", "--json"))["counters"]
        assert (counters["recycled"] > 0) == (how == "recycle" and can), counters
        assert daemon.stop() == 0
