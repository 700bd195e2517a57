#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libthaw.so exports exactly the functions that <thaw.h> declares, and each has the prefix thaw_."""
import re
import subprocess
import sys

library, header = sys.argv[1:]
lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout.splitlines()
exported = {line.split()[2].split("@")[0] for line in lines if line.split()[1] in "TtDdBbRrWVi"}
text = re.sub(r"/\*.*?\*/", "", open(header, encoding="utf-8").read(), flags=re.S)
text = re.sub(r"#define.*", "", text)
declared = set(re.findall(r"THAW_API[^;(]*?(\w+)\(", text))
assert declared, "no declaration found: has the header's style changed?"
assert all(name.startswith("thaw_") for name in exported), exported
assert exported == declared, f"only exported: {exported - declared}; only declared: {declared - exported}"
