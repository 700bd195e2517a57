# SPDX-License-Identifier: Apache-2.0
"""A shared mapping of a file and the file are one thing: each program answers as on the host."""
import ctypes.util
import os
import shutil
import subprocess

import pytest

from harness import scale, tree

BACKENDS = ["kvm", "process"] if tree.kvm_works() else ["process"]
PYTHON = "/usr/bin/python3"

# The request is read between two transactions, so that some of a mapping was written before the ready point.
LMDB = r"""
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define CHECK(call) do { int error_ = (call); if (error_) { printf("%s: %s\n", #call, mdb_strerror(error_)); exit(1); } } while (0)
static MDB_env *env;
static MDB_dbi dbi;
static void put(int from, int to, int at_once)
{
	MDB_txn *txn;
	for (int i = from; i < to;) {
		CHECK(mdb_txn_begin(env, NULL, 0, &txn));
		CHECK(mdb_dbi_open(txn, NULL, MDB_CREATE, &dbi));
		for (int end = i + at_once; i < end; i++) {
			char name[32], text[64];
			MDB_val key = {(size_t)sprintf(name, "key %d", i * 7919 % 10007), name};
			MDB_val value = {(size_t)sprintf(text, "%0*d", 20 + i % 30, i), text};
			CHECK(mdb_put(txn, dbi, &key, &value, 0));
		}
		CHECK(mdb_txn_commit(txn));
	}
}
static void tell(void)
{
	unsigned long count = 0, sum = 0;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	CHECK(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
	CHECK(mdb_dbi_open(txn, NULL, 0, &dbi));
	CHECK(mdb_cursor_open(txn, dbi, &cursor));
	for (; !mdb_cursor_get(cursor, &key, &value, MDB_NEXT); count++)
		for (size_t i = 0; i < value.mv_size; i++)
			sum = sum * 31 + ((unsigned char *)value.mv_data)[i];
	mdb_txn_abort(txn);
	printf("%lu %lx\n", count, sum);
}
static void open_it(const char *place, unsigned flags)
{
	CHECK(mdb_env_create(&env));
	CHECK(mdb_env_set_mapsize(env, 32ul << 20));
	CHECK(mdb_env_open(env, place, flags, 0644));
}
int main(int argc, char **argv)
{
	char place[] = "/tmp/lmdb-XXXXXX", request[16];
	(void)argc;
	if (!mkdtemp(place))
		return 1;
	open_it(place, (unsigned)atoi(argv[1]));
	put(0, 100, 10);
	if (read(0, request, sizeof(request)) < 0)
		return 1;
	put(100, 1000, 10);
	put(1000, 2000, 1000);
	tell();
	mdb_env_close(env);
	open_it(place, 0);
	tell();
	return 0;
}
"""

GDBM = r"""
#include <gdbm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char path[] = "/tmp/gdbm-XXXXXX";
static GDBM_FILE base;
static void put(int from, int to)
{
	for (int i = from; i < to; i++) {
		char name[32], text[64];
		datum key = {name, sprintf(name, "key %d", i)}, value = {text, sprintf(text, "value %d", i * i) + 1};
		if (gdbm_store(base, key, value, GDBM_REPLACE))
			printf("store: %s\n", gdbm_strerror(gdbm_errno));
	}
}
int main(void)
{
	char request[16];
	long found = 0;
	close(mkstemp(path));
	base = gdbm_open(path, 0, GDBM_NEWDB, 0644, NULL);
	put(0, 100);
	if (!base || read(0, request, sizeof(request)) < 0)
		return 1;
	put(50, 1000);
	gdbm_close(base);
	base = gdbm_open(path, 0, GDBM_READER, 0, NULL);
	for (datum key = gdbm_firstkey(base); key.dptr; key = gdbm_nextkey(base, key)) {
		datum value = gdbm_fetch(base, key);
		found += value.dptr ? atoi(value.dptr + 6) % 1000 : -1000000;
	}
	printf("%ld\n", found);
	return 0;
}
"""

PYTHON_MMAP = """\
import mmap, os, sys
path = '/tmp/mapped-%d' % os.getpid()
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.truncate(path, 20000)
before = mmap.mmap(fd, 0)
before[0:5] = b'early'
sys.stdin.read()
before[5:10] = b'later'
before.flush()
print(open(path, 'rb').read(10))
os.pwrite(fd, b'world', 4094)
print(before[4094:4099], before.find(b'world'))
after = mmap.mmap(fd, 8192, access=mmap.ACCESS_READ)
print(after[0:10], after[4094:4099])
with open(path, 'r+b', buffering=0) as file:
    file.seek(8)
    file.write(b'file')
print(before[0:12], after[0:12], before.size())
before.resize(40000)
before[39999] = 7
print(os.stat(path).st_size, os.pread(fd, 1, 39999))
os.unlink(path)
os.close(fd)
before[1] = 90
print(after[0:3], len(before))
"""

# A program whose own bytes change while it runs: two mappings of one memory file, made before the ready point. What one
# invocation writes the next one may not see.
TWICE = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
int main(void)
{
	int fd = memfd_create("code", 0), now, next;
	unsigned char *run_at, *write_at, text[16] = "";
	int (*run)(void);
	if (ftruncate(fd, 1 << 20))
		return 1;
	run_at = mmap(0, 1 << 20, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	write_at = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(write_at, code, sizeof(code));
	memcpy(&run, &run_at, sizeof(run));
	if (read(0, text, sizeof(text)) < 0)
		return 1;
	now = run();
	write_at[1] += text[0];
	write_at[5000] += text[0];
	next = run();
	printf("%d %d %d\n", now, next, run_at[5000]);
	return 0;
}
"""

# An instruction that runs from the page that it writes to, by another address: Linux goes on, a function cannot.
ITSELF = r"""
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static const unsigned char code[] = {0x88, 0x47, 0x40, 0xc3}; /* mov [rdi + 64], al; ret */
int main(void)
{
	int fd = memfd_create("code", 0);
	char *run_at, *write_at;
	void (*run)(char *at);
	if (read(0, &fd, 0) || ftruncate(fd, 4096))
		return 1;
	run_at = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	write_at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(write_at, code, sizeof(code));
	memcpy(&run, &run_at, sizeof(run));
	run(write_at);
	return 0;
}
"""

SHARED_MEMORY = r"""
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
	int one = shm_open("/segment", O_RDWR | O_CREAT | O_EXCL, 0600), two = shm_open("/segment", O_RDWR, 0);
	char *a, *b, text[16] = "";
	sem_t *first, *second;
	struct stat status;
	if (ftruncate(one, 10000) || read(0, text, 10) < 0)
		return 1;
	a = mmap(0, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
	b = mmap(0, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, two, 0);
	a[9999] = text[0];
	first = sem_open("/turns", O_CREAT, 0600, 0);
	second = sem_open("/turns", 0);
	sem_post(first);
	fstat(two, &status);
	printf("%c %ld %d %d %d\n", b[9999], (long)status.st_size, sem_trywait(second), sem_trywait(first), shm_unlink("/segment"));
	return sem_unlink("/turns");
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    place = tmp_path_factory.mktemp("shared")

    def build(name, source, *libraries):
        for library in libraries:
            if not ctypes.util.find_library(library[2:]):
                pytest.skip(f"{library[2:]} is not installed")
        program, file = place / name, place / f"{name}.c"
        file.write_text(source)
        done = subprocess.run([*os.environ.get("CC", "cc").split(), "-O1", "-pthread", file, "-o", program, *libraries],
                              capture_output=True, check=False)
        if done.returncode and libraries and b"No such file" in done.stderr:
            pytest.skip(f"the header of {libraries[0][2:]} is not installed")
        assert done.returncode == 0, done.stderr.decode()
        return program

    return build


def compare(place, backend, command, request=b"x", leaves=()):
    """The program answers as on the host, twice: the second invocation finds nothing of the first. LEAVES are files that it
    leaves on the host, of which the function may not know."""
    native = subprocess.run(command, input=request, capture_output=True, check=False, timeout=scale.patience(60))
    for path in filter(os.path.exists, leaves):
        os.unlink(path)
    image = place.base / "shared.thaw"
    place.thaw_ok("freeze", "shared", "--memory", "128M", "--backend", backend, "--image", image, "--", *command, timeout=600)
    for _ in range(2):
        done = place.thaw("run", image, "--backend", backend, stdin=request, timeout=600)
        assert (done.returncode, done.stdout) == (native.returncode, native.stdout), done.stderr.decode(errors="replace")
        assert done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("flags", [0, 0x80000], ids=["", "writemap"])
def test_lmdb_finds_what_it_committed(place, compiled, backend, flags):
    compare(place, backend, [compiled("lmdb", LMDB, "-llmdb"), str(flags)])


@pytest.mark.parametrize("backend", BACKENDS)
def test_gdbm_finds_what_it_stored(place, compiled, backend):
    compare(place, backend, [compiled("gdbm", GDBM, "-lgdbm")])


@pytest.mark.parametrize("backend", BACKENDS)
def test_python_maps_a_file(place, backend, tmp_path):
    script = tmp_path / "mapped.py"
    script.write_text(PYTHON_MMAP)
    compare(place, backend, [PYTHON, "-I", "-S", script])


@pytest.mark.parametrize("backend", BACKENDS)
def test_shared_memory_and_semaphores_have_names(place, compiled, backend):
    compare(place, backend, [compiled("segment", SHARED_MEMORY)])


@pytest.mark.parametrize("backend", BACKENDS)
def test_sqlite_keeps_a_log(place, backend):
    if not shutil.which("sqlite3"):
        pytest.skip("sqlite3 is not installed")
    request = (b"pragma journal_mode = wal; create table t (a integer primary key, b text);\n"
               + b"".join(b"insert into t values (%d, 'text %d');\n" % (i, i * i) for i in range(200))
               + b"pragma wal_checkpoint; update t set b = b || '!' where a % 3 = 0;\n"
                 b"select count(*), sum(length(b)), max(b) from t; pragma journal_mode; pragma integrity_check;\n")
    path = f"/tmp/thaw-test-{os.getpid()}.db"
    compare(place, backend, ["sqlite3", path], request, leaves=[f"{path}{end}" for end in ("", "-wal", "-shm")])


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_invocation_sees_what_another_wrote(place, compiled, serve, backend):
    """Code is written at one address and runs at another. Each invocation begins with the image's."""
    program = compiled("twice", TWICE)
    place.thaw_ok("freeze", "twice", "--backend", backend, "--", program, timeout=600)
    serve([], "--pool", "1", "--backend", backend, place=place)
    place.wait_served("twice")
    for i in range(scale.count(100, 10)):
        add = 1 + i % 80
        done = place.thaw_ok("invoke", "twice", stdin=bytes([add]))
        assert done.split() == [b"42", b"%d" % (42 + add), b"%d" % add]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_instruction_that_cannot_go_on_ends_the_program(place, compiled, backend):
    image = place.base / "itself.thaw"
    place.thaw_ok("freeze", "itself", "--backend", backend, "--image", image, "--at-start", "--", compiled("itself", ITSELF),
                  timeout=600)
    done = place.thaw("run", image, "--backend", backend)
    assert done.returncode == 128 + 11 and b"needs it in another as well" in done.stderr
