# SPDX-License-Identifier: Apache-2.0
"""What was drawn or cached before the ready point does not make two invocations alike: ids are new, marked pages are empty."""
import os
import re
import shutil
import subprocess

import pytest

from harness import scale, tree

BACKENDS = ["kvm", "process"] if tree.kvm_works() else ["process"]
SLOW = os.environ.get("THAW_LAB") == "1"

# A C library's flavour: the compiler, and what it is called with.
LIBRARIES = {"glibc": ["cc"], "glibc-static": ["cc", "-static"], "musl": ["musl-gcc"]}

# Answers "what, expected, got" for each thing that is not as it should be, and the ids of this invocation.
IDS = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define tid() ((int)syscall(SYS_gettid))
#define send(group, thread, number) ((int)syscall(SYS_tgkill, group, thread, number))
#define same(expected, got) check(#got, expected, got)

static int boot_pid, boot_other, now_other, caught, sender, reason;
static sem_t go, done;
static pthread_t other;

static void check(const char *what, long expected, long got)
{
	if (expected != got)
		printf("%s: %ld, and not %ld\n", what, got, expected);
}

static void handler(int number, siginfo_t *info, void *context)
{
	(void)context;
	caught = number;
	sender = info->si_pid;
	reason = info->si_code;
}

static int took(int result)
{
	int was = caught;

	caught = 0;
	return result == 0 && was == SIGUSR1 && sender == getpid();
}

static void *helper(void *argument)
{
	(void)argument;
	boot_other = tid();
	sem_post(&done);
	sem_wait(&go);
	now_other = tid();
	sem_post(&done);
	sem_wait(&go);
	return NULL;
}

static void *note(void *argument)
{
	*(int *)argument = tid();
	return NULL;
}

/* The number behind FIELD in a file, or in its first line without one. */
static int number_in(const char *path, const char *field)
{
	char line[512];
	int number = -1;
	FILE *file = fopen(path, "r");

	if (!file)
		return -errno;
	while (number < 0 && fgets(line, sizeof(line), file))
		if (!field || !strncmp(line, field, strlen(field)))
			number = atoi(line + (field ? strlen(field) : 0));
	fclose(file);
	return number;
}

static int number_of(int id, const char *format, const char *field)
{
	char path[100];

	snprintf(path, sizeof(path), format, id);
	return number_in(path, field);
}

/* How many names of a directory are ids; whether ID is one, in *HAS. */
static int ids_in(const char *path, int id, int *has)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int count = 0;

	for (*has = 0; (entry = readdir(directory));) {
		count += atoi(entry->d_name) > 0;
		*has |= atoi(entry->d_name) == id;
	}
	closedir(directory);
	return count;
}

static int link_of(const char *path, int *thread)
{
	char text[100] = "";
	int process = 0;

	*thread = 0;
	if (readlink(path, text, sizeof(text) - 1) < 0)
		return -errno;
	sscanf(text, "%d/task/%d", &process, thread);
	return process;
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	pthread_mutexattr_t checked;
	pthread_mutex_t mutex;
	pthread_t fresh;
	struct rlimit limit;
	cpu_set_t cpus;
	int me, thread, has, later = 0;

	pthread_mutexattr_init(&checked);
	pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&mutex, &checked);
	pthread_mutex_lock(&mutex);
	sigaction(SIGUSR1, &action, NULL);
	sem_init(&go, 0, 0);
	sem_init(&done, 0, 0);
	boot_pid = getpid();
	pthread_create(&other, NULL, helper, NULL);
	sem_wait(&done);
	getchar();

	me = getpid();
	if (me == boot_pid || me < 1000)
		printf("the process id is %d, and was %d\n", me, boot_pid);
	sem_post(&go);
	sem_wait(&done);
	/* All that tells an id tells the same. */
	same(me, (int)syscall(SYS_getpid));
	same(me, tid());
	same(me + 1, now_other);
	same(me, getpgrp());
	same(me, getsid(0));
	same(1, getppid());
	same(me, link_of("/proc/self", &thread));
	same(me, link_of("/proc/thread-self", &thread));
	same(me, thread);
	same(me, number_in("/proc/self/stat", NULL));
	same(me, number_in("/proc/self/status", "Tgid:"));
	same(me, number_in("/proc/thread-self/status", "Pid:"));
	same(me, number_of(me, "/proc/%d/stat", NULL));
	same(me, number_of(me, "/proc/self/task/%d/stat", NULL));
	same(now_other, number_of(now_other, "/proc/self/task/%d/status", "Pid:"));
	same(me, number_of(now_other, "/proc/self/task/%d/status", "Tgid:"));
	same(1, ids_in("/proc", me, &has));
	same(1, has);
	same(2, ids_in("/proc/self/task", now_other, &has));
	same(1, has);
	same(-ENOENT, number_in("/proc/999999/stat", NULL));
	/* All that takes an id takes it, and what a C library or the program has kept from the boot. */
	same(me, getsid(me));
	same(me, getpgid(boot_pid));
	same(-1, getsid(999999));
	same(1, took(kill(me, SIGUSR1)));
	same(1, took(kill(boot_pid, SIGUSR1)));
	same(1, took(kill(-me, SIGUSR1)));
	same(1, took(raise(SIGUSR1)));
	same(SI_TKILL, reason);
	same(1, took(pthread_kill(pthread_self(), SIGUSR1)));
	same(0, pthread_kill(other, 0));
	same(0, send(me, now_other, 0));
	same(0, send(boot_pid, boot_other, 0));
	same(-1, send(me, me + 7, 0));
	same(-1, kill(999999, 0));
	same(0, sched_getaffinity(me, sizeof(cpus), &cpus) < 0);
	same(0, sched_getaffinity(boot_other, sizeof(cpus), &cpus) < 0);
	same(-1, sched_getaffinity(999999, sizeof(cpus), &cpus));
	same(0, prlimit(me, RLIMIT_NOFILE, NULL, &limit));
	same(0, prlimit(boot_other, RLIMIT_NOFILE, NULL, &limit));
	same(-1, prlimit(999999, RLIMIT_NOFILE, NULL, &limit));
	/* A mutex knows its owner by what the C library has kept. */
	same(EDEADLK, pthread_mutex_lock(&mutex));
	same(0, pthread_mutex_unlock(&mutex));
	/* Threads that begin now have ids of this generation, and directories while they live. */
	pthread_create(&fresh, NULL, note, &later);
	pthread_join(fresh, NULL);
	same(1, later > me + 1 && later < me + 100);
	same(-ENOENT, number_of(later, "/proc/self/task/%d/stat", NULL));
	sem_post(&go);
	same(0, pthread_join(other, NULL));
	same(1, ids_in("/proc/self/task", me, &has));
	same(me, getpid());
	printf("%d %d\n", me, later);
	return 0;
}
"""


@pytest.fixture
def build(place):
    """build(C, name, library, *flags): a program."""
    def make(source, name="program", library="glibc", flags=()):
        compiler = LIBRARIES[library]
        if not shutil.which(compiler[0]):
            pytest.skip(f"{compiler[0]} is not installed")
        path, built = place.base / f"{name}.c", place.base / f"{name}-{library}"
        path.write_text(source)
        subprocess.run([*compiler, "-O1", "-pthread", "-o", built, path, *flags], check=True)
        return built
    return make


def freeze(place, backend, *command, options=()):
    image = place.base / "frozen.thaw"
    done = place.thaw("freeze", "frozen", "--image", image, "--backend", backend, "--boot-timeout", "300s", *options,
                      "--", *command, timeout=600)
    assert done.returncode == 0, done
    return image, done.stderr.decode(errors="replace")


@pytest.mark.parametrize("library", ["glibc-static"] if SLOW else list(LIBRARIES))
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_has_new_ids_that_agree(place, build, backend, library):
    image, _ = freeze(place, backend, build(IDS, library=library))
    told = set()
    for _ in range(2):
        done = place.thaw("run", image, "--backend", backend, stdin=b"\n", timeout=300)
        assert done.returncode == 0 and re.fullmatch(rb"\d+ \d+\n", done.stdout), done
        told.add(done.stdout.split()[0])
    assert len(told) == 2, told


def test_a_served_process_has_another_id_each_time(place, serve, build):
    """Also where the clone is one that was recycled."""
    program = build(r"""
#include <stdio.h>
#include <unistd.h>
int main(void) { int boot = getpid(); getchar(); printf("%d %d\n", getpid(), boot); return 0; }
""")
    place.thaw_ok("freeze", "ids", "--backend", BACKENDS[0], "--", program)
    serve(place=place, names=())
    place.wait_served("ids")
    number = scale.count(1000, 100, least=8)
    with place.connect("ids", timeout=600) as connection:
        told = [connection.invoke(b"\n").body.split() for _ in range(number)]
    assert len({now for now, _ in told}) == number and {boot for _, boot in told} == {b"2"}, told


# Marks memory in each way, and tells what is left of it in a child of fork() (with an argument) or in a clone: a letter for
# each page, "1" as it was, "0" empty, "-" not there.
MARKS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 8

static char *pages(int count)
{
	char *at = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(at, 1, count * PAGE);
	return at;
}

static void show(const char *what, char *at, int count)
{
	printf("%s ", what);
	for (int i = 0; i < count; i++) {
		unsigned char there;
		char *page = at + i * PAGE, sum = 0;

		if (mincore(page, PAGE, &there)) {
			printf("-");
			continue;
		}
		for (int j = 0; j < PAGE; j++)
			sum |= page[j];
		printf("%d", sum);
	}
	printf("\n");
}

static void advise(char *at, int first, int count, int advice)
{
	if (madvise(at + first * PAGE, count * PAGE, advice))
		printf("advice %d: %d\n", advice, errno);
}

static char *tried[16];
static int counts[16], trial;

static char *tries(char *at, int count)
{
	counts[trial] = count;
	return tried[trial++] = at;
}

int main(int argc, char **argv)
{
	int file = open(argv[0], O_RDONLY);
	char *at, *moved, *shared, *mapped, *large, byte;

	/* Parts of a mapping; taken back. */
	at = tries(pages(PAGES), PAGES);
	advise(at, 1, 3, MADV_WIPEONFORK);
	advise(at, 2, 1, MADV_KEEPONFORK);
	advise(at, 6, 1, MADV_WIPEONFORK);
	/* What changes a mapping keeps the mark. */
	at = tries(pages(PAGES), PAGES);
	advise(at, 0, PAGES, MADV_WIPEONFORK);
	mprotect(at, 2 * PAGE, PROT_READ);
	mprotect(at + 2 * PAGE, PAGE, PROT_NONE);
	mprotect(at + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	madvise(at + 6 * PAGE, PAGE, MADV_DONTNEED);
	memset(at + 6 * PAGE, 1, PAGE);
	/* A new mapping in its place has none. */
	at = tries(pages(PAGES), PAGES);
	advise(at, 0, PAGES, MADV_WIPEONFORK);
	mmap(at + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	memset(at + PAGE, 1, 2 * PAGE);
	/* Moved and grown. */
	at = pages(2);
	advise(at, 0, 2, MADV_WIPEONFORK);
	moved = tries(mremap(at, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE), 4);
	memset(moved, 1, 4 * PAGE);
	at = pages(2);
	moved = tries(mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, pages(2)), 2);
	/* Closed at the fork and opened after it. */
	at = tries(pages(2), 2);
	advise(at, 0, 2, MADV_WIPEONFORK);
	mprotect(at, PAGE, PROT_NONE);
	/* So large that nobody would clear it by hand. */
	large = tries(pages(1000), 1000);
	advise(large, 1, 998, MADV_WIPEONFORK);
	/* The heap, and what cannot be wiped. */
	at = tries((char *)(((unsigned long)sbrk(4 * PAGE) + PAGE - 1) & ~(PAGE - 1ul)), 2);
	memset(at, 1, 2 * PAGE);
	advise(at, 0, 1, MADV_WIPEONFORK);
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	advise(shared, 0, 1, MADV_WIPEONFORK);
	advise(mapped, 0, 1, MADV_WIPEONFORK);
	advise(mapped, 0, 1, MADV_KEEPONFORK);
	advise(shared + 1, 0, 1, MADV_WIPEONFORK);
	at = pages(3);
	munmap(at + PAGE, PAGE);
	advise(tries(at, 3), 0, 3, MADV_WIPEONFORK);
	advise(at, 0, 0, MADV_WIPEONFORK);
	munmap(tried[1] + 5 * PAGE, PAGE); /* last, since a mapping might go there */
	fflush(stdout);

	if (argc == 1) {
		if (read(0, &byte, 1) != 1)
			return 1;
	} else if (fork()) {
		int status;

		wait(&status);
		return 0;
	}
	mprotect(tried[5], PAGE, PROT_READ | PROT_WRITE);
	for (int i = 0; i < trial; i++)
		show(i == 6 ? "large" : "pages", tried[i], counts[i]);
	return 0;
}
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clone_has_of_marked_memory_what_a_child_has(place, serve, build, backend):
    program = build(MARKS)
    native = subprocess.run([program, "fork"], capture_output=True, timeout=60, check=True).stdout
    assert native.count(b"pages") == 8 and b"large 1" + b"0" * 998 + b"1\n" in native, native
    image, _ = freeze(place, backend, program)
    for _ in range(2):
        assert place.thaw_ok("run", image, "--backend", backend, stdin=b"\n", timeout=300) == native


LISTENER = r"""
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "/dev/thaw/generation"

static int polled(int fd)
{
	struct pollfd entry = {fd, POLLIN, 0};

	return poll(&entry, 1, 0) == 1 ? entry.revents : 0;
}

static uint64_t line_of(int fd, int at)
{
	char line[32] = "";
	long got = at < 0 ? read(fd, line, sizeof(line) - 1) : pread(fd, line, sizeof(line) - 1, at);

	return got > 0 && line[got - 1] == '\n' ? strtoull(line, NULL, 10) : UINT64_MAX;
}

int main(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET}, got;
	int set = epoll_create1(0), fd = open(PATH, O_RDONLY), unread = open(PATH, O_RDONLY), late;
	const volatile uint64_t *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	const volatile uint64_t *private = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
	const volatile uint64_t *untouched = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	struct stat status;
	char byte;

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	fstat(fd, &status);
	/* Each call on a line of its own: their order matters. */
	printf("%lu ", line_of(fd, -1));
	printf("%lu ", line_of(fd, -1));
	printf("%lu %lu|", *shared, private[0]);
	printf("%d %d|", polled(fd), epoll_wait(set, &got, 1, 0));
	printf("%d %d|", open(PATH, O_RDWR), S_ISCHR(status.st_mode) ? 1 : 0);
	fflush(stdout);
	if (read(0, &byte, 1) != 1)
		return 1;
	late = open(PATH, O_RDONLY);
	printf("%d %d %d|", polled(fd), polled(late), polled(unread));
	printf("%d ", epoll_wait(set, &got, 1, 0));
	printf("%d|", epoll_wait(set, &got, 1, 0));
	printf("%lu ", line_of(fd, -1));
	printf("%d %d ", polled(fd), polled(unread));
	printf("%lu|", line_of(fd, -1));
	printf("%lu %lu %lu %lu %lu ", line_of(fd, 0), line_of(late, -1), *shared, private[0], *untouched);
	printf("%lu|%lu %lu\n", line_of(unread, 0), shared[1], private[512]);
	return 0;
}
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thaw_is_announced(place, build, backend):
    image, _ = freeze(place, backend, build(LISTENER))
    told = set()
    for _ in range(2):
        answer = place.thaw_ok("run", image, "--backend", backend, stdin=b"\n", timeout=300).decode()
        none = str(2**64 - 1)  # the line was read to its end
        boot, ready, refused, polls, edges, read, numbers, rest = answer.strip().split("|")
        assert (boot, ready, refused, rest) == (f"0 {none} 0 0", "0 0", "-1 1", "0 0"), answer
        assert (polls, edges) == ("1 0 1", "1 0"), answer
        number, *after = read.split()
        assert after == ["0", "1", none] and set(numbers.split()) == {number} and number != "0", answer
        told.add(number)
    assert len(told) == 2


# Generators that are at work before the ready point, in C; "flags" is how they are linked.
OPENSSL = r"""
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
static void show(const unsigned char *bytes) { for (int i = 0; i < 16; i++) printf("%02x", bytes[i]); printf(" "); }
int main(void)
{
	unsigned char bytes[16];
	EVP_PKEY *key;
	size_t size = 16;
	RAND_bytes(bytes, 16);
	RAND_priv_bytes(bytes, 16);
	getchar();
	RAND_bytes(bytes, 16);
	show(bytes);
	RAND_priv_bytes(bytes, 16);
	show(bytes);
	key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	EVP_PKEY_get_raw_public_key(key, NULL, &size);
	if (size == 32) {
		unsigned char public[32];
		EVP_PKEY_get_raw_public_key(key, public, &size);
		show(public);
	}
	return 0;
}
"""
GCRYPT = r"""
#include <gcrypt.h>
#include <stdio.h>
static void show(enum gcry_random_level level, int print)
{
	unsigned char bytes[16];
	gcry_randomize(bytes, 16, level);
	for (int i = 0; i < 16 && print; i++)
		printf("%02x", bytes[i]);
	printf(print ? " " : "");
}
int main(void)
{
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	show(GCRY_STRONG_RANDOM, 0);
	gcry_create_nonce((unsigned char[16]){0}, 16);
	getchar();
	show(GCRY_STRONG_RANDOM, 1);
	show(GCRY_WEAK_RANDOM, 1);
	unsigned char nonce[16];
	gcry_create_nonce(nonce, 16);
	for (int i = 0; i < 16; i++)
		printf("%02x", nonce[i]);
	return 0;
}
"""
# A generator with a buffer of its own that looks only at a page with MADV_WIPEONFORK, as BoringSSL's does.
WIPED = r"""
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
static unsigned char buffer[256], *page;
static int left;
static void draw(unsigned char *out)
{
	if (!*page || left < 16) {
		getrandom(buffer, sizeof(buffer), 0);
		left = sizeof(buffer);
		*page = 1;
	}
	memcpy(out, buffer + (left -= 16), 16);
}
int main(void)
{
	unsigned char bytes[16];
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(page, 4096, MADV_WIPEONFORK);
	draw(bytes);
	getchar();
	draw(bytes);
	for (int i = 0; i < 16; i++)
		printf("%02x", bytes[i]);
	return 0;
}
"""
LISTENING = WIPED.replace("madvise(page, 4096, MADV_WIPEONFORK);", """
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, open("/dev/thaw/generation", O_RDONLY), 0);
""").replace("!*page ", "memcmp(&seen, page, 8) ").replace("*page = 1;", "memcpy(&seen, page, 8);").replace(
    "static int left;", "static int left;\nstatic unsigned long long seen = -1;").replace(
    "#include <stdio.h>", "#include <fcntl.h>\n#include <stdio.h>").replace(
    "page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);", "")
GO = """
package main
import ("bufio"; "crypto/rand"; "fmt"; "os")
func main() {
	b := make([]byte, 16)
	rand.Read(b)
	bufio.NewReader(os.Stdin).ReadString('\\n')
	rand.Read(b)
	fmt.Printf("%x", b)
}
"""


def simple(header, draw):
    """A program that draws 16 bytes by one expression, before its ready point and after it."""
    return f"""
#include <stdio.h>
#include <{header}>
int main(void) {{ unsigned char bytes[16]; {draw}; getchar(); {draw};
	for (int i = 0; i < 16; i++) printf("%02x", bytes[i]); return 0; }}
"""


COMPILED = {"openssl": (OPENSSL, ["-lcrypto"]), "libgcrypt": (GCRYPT, ["-lgcrypt"]),
            "libbsd": (simple("bsd/stdlib.h", "arc4random_buf(bytes, 16)"), ["-lbsd"]),
            "libsodium": (simple("sodium.h", "sodium_init(), randombytes_buf(bytes, 16)"), ["-lsodium"]),
            "wipeonfork": (WIPED, []), "generation": (LISTENING, []),
            "libuuid": ("""
#include <stdio.h>
#include <uuid/uuid.h>
int main(void) { uuid_t id; char text[40]; uuid_generate_random(id); getchar(); uuid_generate_random(id);
	uuid_unparse(id, text); printf("%s", text); return 0; }
""", ["-luuid"])}
SCRIPTS = {
    "node": ["node", "-e", """
const crypto = require('crypto')
crypto.randomBytes(8)
require('fs').readFileSync(0)
const pair = crypto.generateKeyPairSync('x25519', {publicKeyEncoding: {type: 'spki', format: 'der'},
                                                   privateKeyEncoding: {type: 'pkcs8', format: 'der'}})
require('fs').writeSync(1, [crypto.randomUUID(), crypto.randomBytes(16).toString('hex'), crypto.randomInt(2 ** 47),
                            pair.publicKey.toString('hex'), crypto.getRandomValues(new Uint32Array(4)).join('-')].join(' '))
process.exit(0)
"""],
    "node-unused": ["node", "-e", """
require('fs').readFileSync(0)
require('fs').writeSync(1, require('crypto').randomUUID())
process.exit(0)
"""],
    "python-ssl": ["/usr/bin/python3", "-c", """
import secrets, ssl, sys, uuid
ssl.create_default_context(); ssl.RAND_bytes(8); secrets.token_hex(); uuid.uuid4()
sys.stdin.read()
print(ssl.RAND_bytes(16).hex(), secrets.token_hex(), uuid.uuid4())
"""],
    "ruby-openssl": ["ruby", "-ropenssl", "-rsecurerandom", "-e", """
OpenSSL::Random.random_bytes(8); SecureRandom.hex
STDIN.read
print OpenSSL::Random.random_bytes(16).unpack1('H*'), ' ', SecureRandom.hex, ' ', SecureRandom.uuid
"""],
    "php": ["php", "-r", """
random_bytes(8); openssl_random_pseudo_bytes(8);
fgets(STDIN);
echo bin2hex(random_bytes(16)), ' ', bin2hex(openssl_random_pseudo_bytes(16));
"""],
    "perl-urandom": ["perl", "-e", """
sub draw { open my $f, '<:raw', '/dev/urandom'; sysread $f, my $b, 16; unpack 'H*', $b }
draw; <STDIN>; print draw
"""],
}


def compile_or_skip(build, name):
    source, flags = COMPILED[name]
    try:
        return build(source, flags=flags)
    except subprocess.CalledProcessError:
        pytest.skip(f"what {name} needs is not installed")


def command_of(place, build, name):
    if name in COMPILED:
        return [compile_or_skip(build, name)]
    if name == "go":
        if not shutil.which("go"):
            pytest.skip("go is not installed")
        (place.base / "draw.go").write_text(GO)
        subprocess.run(["go", "build", "-o", place.base / "draw", place.base / "draw.go"], check=True, env={
            **os.environ, "GOCACHE": str(place.base / "cache"), "GOFLAGS": "-mod=mod", "HOME": str(place.base)})
        return [place.base / "draw"]
    if not shutil.which(SCRIPTS[name][0]):
        pytest.skip(f"{SCRIPTS[name][0]} is not installed")
    return SCRIPTS[name]


@pytest.mark.parametrize("name", ["wipeonfork", "generation"] if SLOW else [*COMPILED, "go", *SCRIPTS])
def test_no_two_invocations_share_what_a_generator_gives(place, serve, build, name):
    """The generators were at work before the ready point, and some of them keep bytes for later."""
    place.thaw_ok("freeze", "draw", "--backend", BACKENDS[0], "--memory", "256M", "--boot-timeout", "300s", "--",
                  *command_of(place, build, name), timeout=600)
    serve(place=place, names=())
    place.wait_served("draw")
    number = scale.count(1000, 60, least=6)
    with place.connect("draw", timeout=600) as connection:
        answers = [connection.invoke(b"\n").body.split() for _ in range(number)]
    drawn = [token for answer in answers for token in answer]
    assert len(answers[0]) > 0 and len(drawn) == number * len(answers[0]), answers
    assert len(set(drawn)) == len(drawn), answers[:3]


@pytest.mark.parametrize("command,drawn", [
    (["openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-pass", "pass:k"], True),
    (["busybox", "cat"], False), (["perl", "-e", "<STDIN>; print 1"], False),
    (["/usr/bin/python3", "-c", "import random, sys; sys.stdin.read()"], False),
], ids=["openssl", "busybox", "perl", "python"])
def test_freeze_tells_what_was_drawn_and_what_to_do(place, command, drawn):
    """A salt that was drawn before the request came is in every answer; at the start nothing has been drawn."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    image, told = freeze(place, "process", *command)
    assert ("random bytes before its ready point" in told and "--at-start" in told) == drawn, told
    if not drawn:
        return
    assert len({place.thaw_ok("run", image, stdin=b"secret") for _ in range(2)}) == 1
    image, told = freeze(place, "process", *command, options=["--at-start"])
    assert "random bytes" not in told
    assert len({place.thaw_ok("run", image, stdin=b"secret") for _ in range(2)}) == 2
