# SPDX-License-Identifier: Apache-2.0
"""python_ends.py THAW: a frozen Python program ends as it does natively, although the hook may end it early."""
import os
import subprocess
import sys
import tempfile

PYTHON = "/usr/bin/python3"
REQUEST = b"one\ntwo\n"
CASES = {
    "at its end, with an atexit function": 'import sys, atexit\natexit.register(lambda: print("bye", end=""))\nprint(sys.stdin.read())',
    "by sys.exit": "import sys\nprint(len(sys.stdin.read()))\nsys.exit(3)",
    "by sys.exit with an empty text": 'import sys\nsys.stdin.read()\nsys.exit("")',
    "with a writer of its own": 'import sys, io\nw = io.TextIOWrapper(sys.stdout.buffer)\nw.write(sys.stdin.read())',
    "by SystemExit": 'import sys\nprint(len(sys.stdin.read()), end="")\nraise SystemExit(4)',
    "by an exception": "import sys\nprint(len(sys.stdin.read()))\n1 / 0",
    "with a destructor": 'import sys\nclass A:\n    def __del__(self):\n        print("gone")\na = A()\nsys.stdin.read()',
}


def run(command):
    return subprocess.run(command, input=REQUEST, capture_output=True, timeout=60)


def main(thaw):
    if not os.path.exists(PYTHON):
        print(f"{PYTHON} is missing")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        image = os.path.join(place, "ends.thaw")
        for how, script in CASES.items():
            native = run([PYTHON, "-c", script])
            frozen = run([thaw, "freeze", "--backend", "process", "--image", image, "ends", "--", PYTHON, "-c", script])
            thawed = run([thaw, "run", image])
            same = not frozen.returncode and (native.returncode, native.stdout) == (thawed.returncode, thawed.stdout)
            failed += not same
            print(f"{'ok' if same else 'not ok'} {how}")
            if not same:
                print(native, frozen, thawed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
