# SPDX-License-Identifier: Apache-2.0
"""verify and run refuse an image with any byte changed or any tail missing: exit code 126, and the reason."""
import concurrent.futures
import json
import random
import re
import shutil
import time

import pytest

from harness import image_edit, scale, tree
from harness.daemon import Place

REFUSED = 126


@pytest.fixture(scope="module")
def room():
    place = Place()
    yield place
    place.remove()


def damaged_is_refused(room, image, damage, name, also_run):
    path = room.base / f"{name}.thaw"
    path.write_bytes(damage(bytearray(image)))
    try:
        done = room.thaw("verify", path)
        assert done.returncode == REFUSED, f"{name}: verify said {done.returncode}: {done.stderr}"
        assert done.stderr.startswith(b"thaw: ") and done.stdout == b"", (name, done.stderr)
        if also_run:
            done = room.thaw("run", path, stdin=b"x")
            assert done.returncode == REFUSED, f"{name}: run said {done.returncode}: {done.stderr}"
            assert done.stdout == b"" and len(done.stderr) > 20, (name, done.stderr)
    finally:
        path.unlink()


def refuse_all(room, image, damages):
    """DAMAGES: (name, function, whether to run it too)."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(damaged_is_refused, room, image, damage, name, also_run)
                    for name, damage, also_run in damages]:
            job.result()


def flip(at, mask):
    def damage(image):
        image[at] ^= mask
        return image
    return damage


def places_to_try(size, full):
    """With the full counts, every byte; otherwise every fourth byte of the header, and a sample of the rest."""
    if scale.FULL:
        return range(size)
    source = random.Random(size)
    head = range(source.randrange(4), min(512, size), 4)
    return sorted({*head, *source.sample(range(size), min(size, full)), size - 1})


def test_any_flipped_byte(images, room):
    image = images["hello"].read_bytes()
    source = random.Random(11)
    places = places_to_try(len(image), scale.count(500, 300, least=30))
    refuse_all(room, image, [(f"flip{at}", flip(at, source.choice([1, 0x80, 0xff, source.randrange(1, 256)])),
                              index % 5 == 0) for index, at in enumerate(places)])


def test_any_truncation(images, room):
    image = images["hello"].read_bytes()
    lengths = places_to_try(len(image), scale.count(500, 150, least=20))
    refuse_all(room, image, [(f"cut{length}", lambda image, length=length: image[:length], index % 5 == 0)
                             for index, length in enumerate(lengths)])


def test_a_longer_file(images, room):
    image = images["hello"].read_bytes()
    refuse_all(room, image, [("tail1", lambda image: image + b"\0", True),
                             ("tail4096", lambda image: image + bytes(4096), True),
                             ("twice", lambda image: image + image, True)])


def test_not_an_image_at_all(room):
    refuse_all(room, b"", [("empty", lambda _: b"", True), ("zeroes", lambda _: bytes(4096), True),
                           ("text", lambda _: b"#!/bin/sh\necho no\n" * 100, True),
                           ("elf", lambda _: tree.program("hello").read_bytes(), True),
                           ("noise", lambda _: random.Random(5).randbytes(100_000), True)])


def test_the_daemon_refuses_it_and_serves_the_others(serve, images):
    """A damaged image in the state directory: its callers get 126, other functions work, and a repaired file is served."""
    place = Place()
    try:
        place.put_image(images["counter"], "counter")
        broken = place.put_image(images["hello"], "hello")
        image = bytearray(broken.read_bytes())
        image[len(image) // 2] ^= 0xff
        broken.write_bytes(image)
        daemon = serve(["counter"], place=place)
        assert place.thaw_ok("invoke", "counter").strip() == b"1"
        done = place.thaw("invoke", "hello", stdin=b"x")
        assert done.returncode == REFUSED and done.stdout == b"", done
        place.put_image(images["hello"], "hello")
        deadline = time.monotonic() + scale.patience(10)
        while place.thaw("invoke", "hello", stdin=b"x").returncode != 0:
            assert time.monotonic() < deadline, "the repaired image is not served"
            time.sleep(0.1)
        assert daemon.stop() == 0
    finally:
        place.remove()


def scramble(frame):
    """Changes bytes after the frame's header, so that only decoding finds the damage."""
    for at in range(40, min(len(frame) - 40, 2000)):
        frame[at] ^= 0xa5


def test_what_cannot_be_decoded_is_refused_once_it_is_found(room, serve, images):
    """A frame that is not zstd, under right checksums: verify refuses it at once, and the daemon when it reaches that
    frame. The daemon then refuses for good, and does not start workers again and again."""
    whole = images["spell"].read_bytes()
    broken = room.base / "undecodable.thaw"
    broken.write_bytes(image_edit.with_changed_frame(whole, 300, scramble))
    done = room.thaw("verify", broken)
    assert done.returncode == REFUSED and b"decoded" in done.stderr, done
    place = Place()
    try:
        place.put_image(images["counter"], "counter")
        place.put_image(broken, "spell")
        daemon = serve(["counter"], place=place)
        deadline = time.monotonic() + scale.patience(10)
        while True:
            done = place.thaw("invoke", "spell", stdin=b"borwn")
            if done.returncode == REFUSED:
                break
            assert time.monotonic() < deadline, f"it is not refused: {done}"
            time.sleep(0.05)
        assert b"decoded" in done.stderr and done.stdout == b"", done
        starts = daemon.log().count("spell: serving")
        time.sleep(1.5)
        assert daemon.log().count("spell: serving") == starts <= 2
        assert place.thaw_ok("invoke", "counter").strip() == b"1"
        place.put_image(images["spell"], "spell")
        deadline = time.monotonic() + scale.patience(10)
        while place.thaw("invoke", "spell", stdin=b"borwn").returncode != 0:
            assert time.monotonic() < deadline, "the repaired image is not served"
            time.sleep(0.1)
        assert daemon.stop() == 0
    finally:
        place.remove()


def test_the_image_file_is_its_owners_alone(images):
    assert images["hello"].stat().st_mode & 0o777 == 0o600


def test_a_missing_file_is_not_damage(room):
    for command in ("verify", "run", "inspect"):
        done = room.thaw(command, room.base / "nowhere.thaw")
        assert done.returncode == 127 and b"nowhere.thaw: No such file" in done.stderr, (command, done)


def test_an_image_that_shrinks_while_it_is_copied_is_refused(room, images):
    """`thaw list` does not list a partial copy as a whole image."""
    half = room.state / "half.thaw"
    shutil.copyfile(images["hello"], half)
    with open(half, "r+b") as file:
        file.truncate(half.stat().st_size // 2)
    listed = {entry["name"]: entry for entry in json.loads(room.thaw_ok("list", "--json"))["functions"]}
    half.unlink()
    assert listed["half"]["status"] == "damaged" and listed["half"]["image"] is None, listed
    assert re.search(r"should be \d+ bytes long and is \d+", listed["half"]["reason"]), listed
