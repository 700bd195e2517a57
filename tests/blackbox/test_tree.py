# SPDX-License-Identifier: Apache-2.0
"""The tree itself: headers compile alone, links lead somewhere, the library exports only its own names, and the one line of
the documents builds a function outside the tree."""
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from harness import tree

TRACKED = [pathlib.Path(line) for line in subprocess.run(
    ["git", "-C", tree.ROOT, "ls-files"], capture_output=True, text=True, check=False).stdout.splitlines()]
HEADERS = [str(path) for path in TRACKED if path.suffix == ".h"]
DOCUMENTS = [str(path) for path in TRACKED if path.suffix == ".md"]


@pytest.mark.parametrize("header", HEADERS)
def test_header_compiles_alone(header):
    compiler = shlex.split(os.environ.get("CC", "cc"))
    done = subprocess.run([*compiler, "-std=gnu17", "-D_GNU_SOURCE", '-DTHAW_VERSION="0"', "-Wall", "-Werror", "-Wundef",
                           "-fsyntax-only", "-I", tree.ROOT, "-I", tree.ROOT / "guest-stub" / "include", "-x", "c", "-"],
                          input=f'#include "{header}"\n', text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = re.sub(r"```.*?```", "", (tree.ROOT / document).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:|#", target):
            continue
        path = (tree.ROOT / document).parent / target.partition("#")[0]
        assert path.exists(), f"{document} links to {target}"


def test_the_tree_is_known():
    """Without git's list the tests here would look at nothing."""
    assert len(HEADERS) > 100 and len(DOCUMENTS) > 20


def test_every_file_names_its_licence():
    bare = [str(path) for path in TRACKED if path.suffix in (".c", ".h", ".py", ".S", ".build")
            and "SPDX-License-Identifier: Apache-2.0" not in (tree.ROOT / path).read_text()[:300]]
    assert not bare


def test_every_folder_says_what_it_is_for():
    folders = {path.parent for path in TRACKED if path.suffix in (".c", ".h")} - {pathlib.Path(".")}
    missing = [str(folder) for folder in folders
               if not any((tree.ROOT / parent / "README.md").exists() for parent in (folder, *folder.parents[:-1]))]
    assert not missing


def library():
    found = sorted((tree.BUILD / "pool" / "libthaw").glob("libthaw.so*"))
    shared = [path for path in found if path.is_file() and not path.is_symlink() and path.suffix != ".p"]
    assert shared, "no libthaw.so was built"
    return shared[0]


def test_library_exports_its_own_names_only():
    done = subprocess.run(["nm", "-D", "--defined-only", library()], capture_output=True, text=True, check=True)
    names = [line.split()[-1].split("@")[0] for line in done.stdout.splitlines()]
    names = [name for name in names if not name.startswith(("LIBTHAW", "THAW_"))]
    declared = re.findall(r"THAW_API [^;(]*?\*?(thaw_\w+)\(", (tree.ROOT / "pool" / "libthaw" / "thaw.h").read_text())
    assert sorted(names) == sorted(declared)


def test_installed_library_is_usable(tmp_path, serve):
    """meson install, pkg-config, a C program of ten lines, as outside the tree."""
    daemon = serve(["hello"])
    environment = {**os.environ, "DESTDIR": str(tmp_path)}
    subprocess.run(["meson", "install", "-C", tree.BUILD, "--no-rebuild", "--quiet"], env=environment, check=True,
                   stdout=subprocess.DEVNULL)
    description = next(tmp_path.rglob("thaw.pc"))
    environment |= {"PKG_CONFIG_PATH": str(description.parent), "PKG_CONFIG_SYSROOT_DIR": str(tmp_path)}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "thaw"], env=environment, capture_output=True, text=True,
                           check=True).stdout.split()
    source = tmp_path / "client.c"
    source.write_text("""
        #include <stdio.h>
        #include <thaw.h>
        int main(int argc, char **argv)
        {
                struct thaw_connection *connection;
                struct thaw_client_error err;
                struct thaw_response response = {0};
                if (argc != 2 || thaw_connect(argv[1], "hello", &connection, &err) < 0)
                        return 1;
                if (thaw_invoke(connection, "Ada", 3, 0, &response, &err) < 0)
                        return 2;
                fwrite(response.body, 1, response.length, stdout);
                thaw_response_clear(&response);
                thaw_disconnect(connection);
                return 0;
        }
    """)
    sanitizers = ["-fsanitize=address,undefined"] if os.environ.get("THAW_TEST_SANITIZED") else []
    subprocess.run(["cc", "-o", tmp_path / "client", source, *sanitizers, *flags], check=True)
    library_directory = next(tmp_path.rglob("libthaw.so")).parent
    done = subprocess.run([tmp_path / "client", daemon.place.run], capture_output=True, timeout=60, check=False,
                          env={**os.environ, "LD_LIBRARY_PATH": str(library_directory)})
    assert done.returncode == 0 and b"hello" in done.stdout.lower(), done


def test_the_readmes_own_function(place):
    """The function that README.md shows compiles, freezes, and answers as README.md says."""
    text = (tree.ROOT / "README.md").read_text()
    source = place.base / "shout.c"
    source.write_text(re.search(r"```c\n(.*?)```", text, re.DOTALL).group(1))
    program = tree.compile_guest(source, place.base / "shout")
    place.thaw_ok("freeze", "shout", "--", program)
    assert place.thaw_ok("run", place.state / "shout.thaw", stdin=b"hello there\n") == b"HELLO THERE\n"


def test_what_is_embedded_is_stripped():
    """Programs that are embedded in programs have no debug information, which made them five times as large."""
    client = tree.THAW.read_bytes()
    for name in ("linux/thaw-linux", "shim/process/thaw-shim-process"):
        embedded = (tree.BUILD / "guest-stub" / f"{name}.stripped").read_bytes()
        assert embedded in client and b".debug_" not in embedded, name
