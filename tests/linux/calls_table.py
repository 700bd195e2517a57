# SPDX-License-Identifier: Apache-2.0
"""calls_table.py CALLS.H LINUX.MD [--write]: the documentation's table of system calls is the core's own."""
import pathlib
import re
import sys

BEGIN, END = "<!-- calls: begin -->\n", "<!-- calls: end -->\n"
ROW = re.compile(r'X\(\s*(\w+),\s*(FULL|PARTIAL|REFUSED|ABSENT),\s*"\w*",\s*(\w+),\s*((?:"[^"]*"\s*)+)\)')
GROUP = re.compile(r"/\* (?!SPDX)([^:\n]+): .*?\*/\s*#define LINUX_CALLS_\w+\(X\)(.*?)\n\n", re.S)


def table(source):
    source = source.replace("\\\n", "\n")
    lines, seen = [], set()
    for title, body in GROUP.findall(source):
        lines += [f"\n**{title}**\n", "| call | | |", "|---|---|---|"]
        for name, support, error, note in ROW.findall(body):
            assert name not in seen, f"{name} is in the table twice"
            seen.add(name)
            note = "".join(re.findall(r'"([^"]*)"', note)).replace("|", "\\|")
            how = {"FULL": "yes", "PARTIAL": "partly", "REFUSED": f"no: {error}", "ABSENT": f"no: {error}"}[support]
            lines.append(f"| `{name}` | {how} | {note} |")
    wanted = len(re.findall(r"\bX\(\s*\w+,\s*(?:FULL|PARTIAL|REFUSED|ABSENT)", source))
    assert len(seen) == wanted and wanted > 200, f"understood {len(seen)} of {wanted} rows"
    return "\n".join(lines).lstrip("\n") + "\n"


def main(calls, document, *flags):
    page = pathlib.Path(document)
    text = page.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    right = head + BEGIN + table(pathlib.Path(calls).read_text()) + END + tail
    if "--write" in flags:
        page.write_text(right)
    elif right != text:
        print(f"{document} is not as {calls} has it; run {sys.argv[0]} with --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
