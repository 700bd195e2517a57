# SPDX-License-Identifier: Apache-2.0
"""Paths of the tree, the build and the built programs."""
import functools
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("THAW_BUILD", ROOT / "build")).resolve()
THAW = BUILD / "pool" / "thaw"
THAWD = BUILD / "pool" / "thawd"
FUNCTIONS = BUILD / "guest-stub" / "functions"

# The options with which each function is frozen; all others stay at their defaults.
FREEZE = {
    "hello": [],
    "counter": [],
    "entropy": [],
    "sha256": [],
    "spell": [],
    "misbehave": ["--memory", "64MiB"],
}


@functools.cache
def kvm_works():
    """Whether a trial guest runs: the device node alone proves nothing."""
    report = subprocess.run([THAW, "doctor", "--json"], capture_output=True, check=False).stdout
    return next(part for part in json.loads(report)["backends"] if part["name"] == "kvm")["works"]


def program(name):
    return FUNCTIONS / name


def build_guest(place, name):
    """Builds guests/NAME.c as a user outside the tree does: one cc line with the flags of pkg-config."""
    source = pathlib.Path(__file__).parents[1] / "guests" / f"{name}.c"
    return compile_guest(source, place.base / name)


def compile_guest(source, target):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(BUILD / "meson-uninstalled")}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "thaw-guest"], env=environment, capture_output=True,
                           text=True, check=True).stdout.split()
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", target, source, *flags], check=True)
    return target
