# SPDX-License-Identifier: Apache-2.0
"""agree.py IMAGE-TOOL SEED COUNT GOLDEN: the C reader and reader.py must read the same from random images and
refuse the same damaged ones, and reader.py must read from the golden images what their texts say. Prints how many damaged
images each rule caught."""
import collections
import pathlib
import subprocess
import sys
import tempfile

import reader


def main():
    tool, seed, count, golden = sys.argv[1:]
    caught, whole, differ = collections.Counter(), 0, 0
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([tool, "batch", seed, count, directory], check=True, stderr=subprocess.DEVNULL)
        for path in sorted(pathlib.Path(directory).glob("*.thaw")):
            theirs = path.with_suffix(".txt").read_text(encoding="utf-8")
            ours, rule = reader.tell(path.read_bytes())
            if ours != theirs:
                differ += 1
                print(f"seed {seed}, {path.name}: Python says {rule or 'fine'}, C says otherwise:\n{theirs[:200]}")
            if rule:
                caught[rule] += 1
            elif "damaged" not in path.name:
                whole += 1
    for path in pathlib.Path(golden).glob("*.thaw"):
        if reader.tell(path.read_bytes())[0] != path.with_suffix(".txt").read_text(encoding="utf-8"):
            differ += 1
            print(f"{path.name}: differs from its text")
    print(f"{whole} whole images; refused damage:", dict(sorted(caught.items())))
    # The agreement is worth little unless the damage reaches the deep rules.
    return 0 if not differ and whole == int(count) and len(caught) >= 12 else 1


if __name__ == "__main__":
    sys.exit(main())
