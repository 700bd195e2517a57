# SPDX-License-Identifier: Apache-2.0
"""`thaw freeze` packs what a program looks for in its project and in this host's libraries, and nothing else."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from harness import tree

PYTHON = "/usr/bin/python3"
HELPER = "def loud(text):\n    return text.upper()\n"
APP = "import sys, helper, parts.deep\nprint(helper.loud(sys.stdin.read().strip()), parts.deep.NUMBER)\n"


@pytest.fixture(name="project")
def _project():
    """A directory of this user alone, with a home directory beside it."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
    (base / "home").mkdir()
    (base / "project").mkdir()
    yield base / "project"
    shutil.rmtree(base, ignore_errors=True)


def write(directory, files):
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def freeze(project, *command, options=(), cwd=None):
    return subprocess.run([tree.THAW, "freeze", "--backend", "process", "--image", str(project.parent / "x.thaw"), *options,
                           "x", "--", *command], cwd=cwd or project, capture_output=True, timeout=300, check=False,
                          env={**os.environ, "HOME": str(project.parent / "home")})


def run(project, request=b"hello\n"):
    return subprocess.run([tree.THAW, "run", str(project.parent / "x.thaw")], input=request, capture_output=True, timeout=60,
                          check=False)


def answer(project, *command, request=b"hello\n", **how):
    frozen = freeze(project, *command, **how)
    assert frozen.returncode == 0, frozen.stderr.decode()
    done = run(project, request)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_modules_beside_a_script(project):
    write(project, {"app.py": APP, "helper.py": HELPER, "parts/__init__.py": "", "parts/deep.py": "NUMBER = 7\n"})
    assert answer(project, PYTHON, "app.py") == "HELLO 7\n"
    # From elsewhere, by its path.
    assert answer(project, PYTHON, str(project / "app.py"), cwd="/") == "HELLO 7\n"
    refused = freeze(project, PYTHON, "app.py", options=("--no-discover",))
    assert refused.returncode != 0 and b"No module named 'helper'" in refused.stderr


def test_what_is_packed_is_listed(project):
    write(project, {"app.py": APP, "helper.py": HELPER, "parts/deep.py": "NUMBER = 7\n"})
    frozen = freeze(project, PYTHON, "-S", "app.py", options=("--verbose",))
    assert frozen.returncode == 0, frozen.stderr
    assert f"packed {project}/helper.py\n".encode() in frozen.stderr
    assert b"--verbose lists them" not in frozen.stderr
    # The output of boots that were not the last is not shown.
    assert b"No module named" not in frozen.stderr


def test_a_module_that_is_imported_for_the_request(project):
    write(project, {"app.py": "import sys\nx = sys.stdin.read()\nimport helper\nprint(helper.loud(x.strip()))\n",
                    "helper.py": HELPER})
    assert answer(project, PYTHON, "app.py") == "HELLO\n"


def test_loose_files_in_a_home_directory(project):
    """From there come the files with the script's ending, and nothing else."""
    home = project.parent / "home"
    write(home, {"app.py": "import sys, os, helper\nsys.stdin.read()\n"
                           "print(helper.loud('x'), sorted(n for n in os.listdir('.') if n[0] != '_'))\n",
                 "helper.py": HELPER, "secret.txt": "secret", "other/thing.py": ""})
    assert answer(project, PYTHON, "app.py", cwd=home) == "X ['app.py', 'helper.py']\n"


LOOK = """
import sys
found = []
for path in {paths!r}:
    try:
        found.append(open(path).read())
    except OSError as error:
        found.append(error.strerror)
sys.stdin.read()
print(found)
"""


def test_secrets_are_not_packed(project):
    outside = project.parent / "outside"
    outside.mkdir()
    write(outside, {"key": "outside"})
    write(project, {"open.txt": "open", ".env": "hidden", ".git/config": "hidden"})
    write(project.parent / "home", {".ssh/id": "key", "plain": "home"})
    (project / "link").symlink_to(outside / "key")
    paths = [str(project / "open.txt"), ".env", ".git/config", "link", str(outside / "key"), "../outside/key",
             str(project.parent / "home/plain"), str(project.parent / "home/.ssh/id")]
    (project / "look.py").write_text(LOOK.format(paths=paths))
    assert answer(project, PYTHON, "look.py") == str(["open"] + ["No such file or directory"] * 7) + "\n"


def test_a_failure_names_what_was_refused(project):
    (project.parent / "outside").mkdir()
    write(project.parent / "outside", {"data.txt": "data"})
    path = str(project.parent / "outside/data.txt")
    (project / "app.py").write_text(f"print(open({path!r}).read())\n")
    frozen = freeze(project, PYTHON, "app.py")
    assert frozen.returncode != 0
    assert f"it looked for {path}, which is on this host: if it may have that, add --file {path}".encode() in frozen.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to own files as another user")
def test_others_files_are_not_taken(project):
    """What another user owns, or may replace, might be a link to something else by the time that it is packed."""
    write(project, {"theirs.txt": "theirs", "open/theirs.txt": "theirs"})
    os.chown(project / "theirs.txt", 65534, 65534)
    (project / "open").chmod(0o777)
    (project / "look.py").write_text(LOOK.format(paths=["theirs.txt", "open/theirs.txt"]))
    assert answer(project, PYTHON, "look.py") == str(["No such file or directory"] * 2) + "\n"


def test_a_listed_directory_has_all_its_names(project):
    """Too large to be taken whole: the names are there, with sizes, and the contents of what was opened."""
    for i in range(30):
        (project / f"part{i}.bin").write_bytes(bytes([i]) * (400 << 10))
    (project / "look.py").write_text(
        "import os, sys\nnames = sorted(os.listdir('.'))\none = open('part3.bin', 'rb').read()\nsys.stdin.read()\n"
        "print(len(names), one == bytes([3]) * (400 << 10), os.path.getsize('part4.bin'))\n"
        "try:\n    open('part4.bin')\nexcept OSError as error:\n    print(error.strerror)\n")
    frozen = freeze(project, PYTHON, "look.py")
    assert frozen.returncode == 0, frozen.stderr
    done = run(project)
    assert done.stdout.decode() == f"31 True {400 << 10}\nNo such file or directory\n"
    assert f"{project}/part4.bin: was seen and not packed".encode() in done.stderr


def test_files_named_behind_an_equals_sign(project):
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere, {"filter.jq": ".a"})
    program = project / "show.sh"
    program.write_text('#!/bin/sh\nread line < "${1#--from=}"\nread request\necho "$line $request"\n')
    program.chmod(0o755)
    assert answer(project, "./show.sh", f"--from={elsewhere}/filter.jq", cwd=project) == ".a hello\n"


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node_modules(project):
    write(project, {"app.js": "const f = require('shout'), h = require('./lib/h');\n"
                              "const s = require('fs').readFileSync(0, 'utf8').trim(); console.log(f(s), h);\n",
          "lib/h.js": "module.exports = 5;\n", "node_modules/shout/package.json": '{"main": "src/index.js"}\n',
          "node_modules/shout/src/index.js": "module.exports = s => s.toUpperCase();\n"})
    assert answer(project, "node", "app.js", options=("--memory", "256M")) == "HELLO 5\n"


@pytest.mark.skipif(not shutil.which("ocaml"), reason="ocaml is not installed")
def test_a_runtimes_own_files(project):
    write(project, {"a.ml": "let () = print_endline (String.uppercase_ascii (read_line ()))\n"})
    assert answer(project, "ocaml", "a.ml") == "HELLO\n"


def test_what_a_scripts_first_line_names_is_no_project(project):
    """The operator did not write it: what lies beside a file that it names is not packed."""
    outside = project.parent / "outside"
    write(outside, {"look.py": LOOK.format(paths=[str(outside / "secret.txt")]), "secret.txt": "secret"})
    (project / "tool").write_text(f"#!{PYTHON} {outside}/look.py\n")
    (project / "tool").chmod(0o755)
    assert answer(project, "./tool") == "['No such file or directory']\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may read it")
def test_the_systems_directories_are_no_project(project):
    assert answer(project, PYTHON, "-c", LOOK.format(paths=["shadow", "passwd-"]), cwd="/etc") == \
        str(["No such file or directory"] * 2) + "\n"


def test_a_large_directory_beside_a_script_is_not_walked_through(project):
    """Packages of others come when they are looked for, and only then."""
    write(project, {"app.py": "import sys\nsys.stdin.read()\nimport late\nprint(late.X)\n", "late.py": "X = 3\n",
                    "node_modules/a/b.py": "", "site-packages/c.py": ""})
    frozen = freeze(project, PYTHON, "app.py", options=("--verbose",))
    assert frozen.returncode == 0 and b"late.py" in frozen.stderr, frozen.stderr
    assert b"b.py" not in frozen.stderr and b"site-packages/c.py" not in frozen.stderr
    assert run(project).stdout == b"3\n"
