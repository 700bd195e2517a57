# SPDX-License-Identifier: Apache-2.0
"""compare.py THAW PROBE...: each probe prints the same natively and as a function, and ends with the same status."""
import os
import pathlib
import subprocess
import sys
import tempfile

ARGUMENTS = ["one", "two words", "three\nlines"]
STATUS = 42  # main.c's
REQUEST = b"first\nsecond\nlast without an end"


def run(command, **options):
    return subprocess.run(command, input=REQUEST, capture_output=True, timeout=60, **options)


def run_natively(probe):
    return run([probe, *ARGUMENTS], env={"PROBE": "set"})


def agrees(probe, native, thawed):
    """Whether THAWED answered as the program does on the host. On a busy host the program itself may meet a signal a
    moment before the call that it was to interrupt; so before the function is blamed, the host is asked again."""
    for _ in range(4):
        if (thawed.returncode, thawed.stdout) == (native.returncode, native.stdout):
            return True
        native = run_natively(probe)
    return False


def compare(thaw, probe, backend, image, *how):
    native = run_natively(probe)
    if native.returncode != STATUS or not native.stdout:
        return f"as it stands it ended with {native.returncode}: there is nothing to compare with"
    frozen = run([thaw, "freeze", *how, "--backend", backend, "--memory", "128M", "--env", "PROBE=set",
                  "--user", f"{os.getuid()}:{os.getgid()}", "--image", image, "probe", "--",
                  probe, *ARGUMENTS])
    if frozen.returncode:
        return f"freeze ended with {frozen.returncode}: {frozen.stderr.decode(errors='replace')}"
    # Twice: the second invocation finds nothing of the first.
    for _ in range(2):
        thawed = run([thaw, "run", "--backend", backend, image])
        if agrees(probe, native, thawed):
            continue
        wrong = [f"  natively {a!r}, as a function {b!r}" for a, b in
                 zip(native.stdout.splitlines() + [None] * 4, thawed.stdout.splitlines() + [None] * 4) if a != b]
        return "\n".join([f"ended with {native.returncode} natively, {thawed.returncode} as a function", *wrong[:10],
                          thawed.stderr.decode(errors="replace")])
    return None


def main(thaw, *probes):
    backend = os.environ.get("THAW_TEST_BACKEND", "process")
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        for probe in probes:
            wrong = compare(thaw, probe, backend, os.path.join(place, "probe.thaw"))
            # What starts after the thaw learns other ids than what was frozen while it ran.
            if not wrong and probe == probes[0]:
                wrong = compare(thaw, probe, backend, os.path.join(place, "start.thaw"), "--at-start")
            failed += wrong is not None
            print(f"{'not ok' if wrong else 'ok'} {pathlib.Path(probe).name}")
            if wrong:
                print(wrong)
    return 1 if failed or not probes else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
