# SPDX-License-Identifier: Apache-2.0
"""compare.py THAW PROGRAM...: random sequences of calls have the same answers natively and as a function.

The seeds are the same each time. With THAW_TEST_FULL there are fifty times as many. To look into one:
echo SEED STEPS | PROGRAM.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

STEPS = 500
# A request holds so many sequences, which keeps a response small and a difference near its seed.
AT_ONCE = 10


def run(command, request):
    return subprocess.run(command, input=request, capture_output=True, timeout=120, check=False)


def difference(native, thawed):
    seed = b""
    for a, b in zip(native.splitlines() + [None] * 2, thawed.splitlines() + [None] * 2):
        if a != b:
            return f"{seed.decode()}: natively {a!r}, as a function {b!r}"
        if a and a.startswith(b"seed"):
            seed = a
    return "no difference"


def compare(thaw, program, backend, image, seeds):
    frozen = run([thaw, "freeze", "--backend", backend, "--image", image, "random", "--", program], b"")
    if frozen.returncode:
        return f"freeze ended with {frozen.returncode}: {frozen.stderr.decode(errors='replace')}"
    for first in range(1, seeds, AT_ONCE):
        request = "".join(f"{seed} {STEPS}\n" for seed in range(first, first + AT_ONCE)).encode()
        native, thawed = run([program], request), run([thaw, "run", "--backend", backend, image], request)
        if (native.returncode, native.stdout) != (thawed.returncode, thawed.stdout):
            return (f"ended with {native.returncode} natively, {thawed.returncode} as a function; "
                    f"{difference(native.stdout, thawed.stdout)}\n{thawed.stderr.decode(errors='replace')[-500:]}")
    return None


def main(thaw, *programs):
    backend = os.environ.get("THAW_TEST_BACKEND", "process")
    seeds = int(100 * (50 if os.environ.get("THAW_TEST_FULL") else 1) * float(os.environ.get("THAW_TEST_SCALE", "1")))
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        for program in programs:
            wrong = compare(thaw, program, backend, os.path.join(place, "random.thaw"), max(seeds, 2))
            failed += wrong is not None
            print(f"{'not ok' if wrong else 'ok'} {pathlib.Path(program).name}")
            if wrong:
                print(wrong)
    return 1 if failed or not programs else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
