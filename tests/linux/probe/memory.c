/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings: protections, reservations, moves, the heap. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

#define P 4096ul

static void protections(void)
{
	char *at = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(at, 'a', 8 * P);
	show(mprotect(at + P, P, PROT_NONE));
	show(write(STDERR_FILENO, at + P, 1)); /* EFAULT */
	show(mprotect(at + P, P, PROT_READ));
	show(at[P]); /* the content is back */
	show(at[2 * P]);
	show(syscall(SYS_read, 1000, at + P, 1));
	show(mprotect(at + 1, P, PROT_READ));
	show(mprotect(at, 0, PROT_READ));
	show(munmap(at + 3 * P, P));
	show(mprotect(at, 8 * P, PROT_READ | PROT_WRITE)); /* a hole: ENOMEM */
	show(munmap(at + 3 * P, P));			   /* nothing there is fine */
	show(madvise(at, P, MADV_DONTNEED));
	show(at[0]);
	show(munmap(at, 8 * P));
	show(munmap(at + 1, P));
	show(munmap(at, 0));
}

static void places(void)
{
	char *at =
		mmap(NULL, 64 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *there;

	show(mprotect(at + P, 2 * P, PROT_READ | PROT_WRITE));
	at[P] = 1;
	there = mmap(at + P, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
	show(there - at);
	show(there[0]);
	errno = 0;
	there = mmap(at + P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		     0);
	show(there == MAP_FAILED ? errno : 0);
	there = mmap(at + 1, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	show(there == MAP_FAILED ? errno : 0);
	there = mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	show(there == MAP_FAILED ? errno : 0);
	there = mmap(NULL, P, PROT_READ, MAP_PRIVATE, 1000, 0);
	show(there == MAP_FAILED ? errno : 0);
	there = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	there[5] = 9;
	show(there[5]);
	show(munmap(there, P));
	show(munmap(at, 64 * P));
}

static void moves(void)
{
	char *at = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to;

	memset(at, 'm', 4 * P);
	to = mremap(at, 4 * P, 64 * P, MREMAP_MAYMOVE);
	show(to == MAP_FAILED);
	show(to[4 * P - 1]);
	show(to[4 * P]);
	to[63 * P] = 3;
	show(mremap(to, 64 * P, 2 * P, 0) == to);
	show(to[P]);
	show(mremap(to, 0, P, 0) == MAP_FAILED ? errno : 0);
	show(mremap(to + 1, P, P, 0) == MAP_FAILED ? errno : 0);
	show(munmap(to, 2 * P));
	show(mremap(to, P, 2 * P, MREMAP_MAYMOVE) == MAP_FAILED ? errno : 0);
}

/* A closed page moves with its content, and a closed mapping of a file grows by the file. */
static void closed_moves(void)
{
	char *at = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("letters", 0);
	char *letters, *to;

	memset(at, 'c', 2 * P);
	show(mprotect(at, 2 * P, PROT_NONE));
	to = mremap(at, 2 * P, 16 * P, MREMAP_MAYMOVE);
	show(mprotect(to, 16 * P, PROT_READ));
	show(to[0] * 1000 + to[2 * P - 1]);
	show(to[2 * P]);
	show(munmap(to, 16 * P));
	show(ftruncate(fd, 3 * P) + pwrite(fd, "f", 1, 2 * P));
	letters = mmap(NULL, P, PROT_NONE, MAP_PRIVATE, fd, 0);
	at = mmap(NULL, 4 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	to = mremap(letters, P, 3 * P, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	show(mprotect(to, 3 * P, PROT_READ));
	show(to[2 * P]);
	show(munmap(at, 4 * P) + close(fd));
}

static void heaps(void)
{
	char *old = (char *)syscall(SYS_brk, 0);
	void *blocks[64];
	unsigned sum = 0;

	show(syscall(SYS_brk, old + 10 * P) - (long)old);
	old[10 * P - 1] = 4;
	show(syscall(SYS_brk, old) - (long)old);
	show(syscall(SYS_brk, 16) - (long)old);
	for (unsigned i = 0; i < 64; i++) {
		blocks[i] = malloc(1ul << i % 20);
		memset(blocks[i], (int)i, 1ul << i % 20);
	}
	for (unsigned i = 0; i < 64; i++) {
		blocks[i] = realloc(blocks[i], (1ul << i % 20) + 100);
		sum += *(unsigned char *)blocks[i];
		free(blocks[i]);
	}
	show(sum);
}

/* A file whose pages are filled with their numbers from 1 on; the last is half a page. */
static int numbered_file(unsigned pages)
{
	char page[P];
	int fd = memfd_create("numbered", 0);

	for (unsigned i = 0; i < pages; i++) {
		memset(page, (int)i + 1, P);
		if (write(fd, page, i + 1 < pages ? P : P / 2) < 0)
			perror("write");
	}
	return fd;
}

static void given_up(void)
{
	int fd = numbered_file(5);
	char *at = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, P);
	char *shared = mmap(NULL, 5 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *anonymous = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	show(close(fd));
	memset(at, 'x', 4 * P);
	show(madvise(at + P, 2 * P, MADV_DONTNEED));
	show(at[P - 1] * 10000 + at[P] * 100 + at[2 * P]);
	show(at[3 * P]);
	show(mprotect(at, 4 * P, PROT_READ));
	show(madvise(at, P, MADV_DONTNEED));
	show(at[0]);
	show(mprotect(at + 3 * P, P, PROT_NONE));
	show(madvise(at + 3 * P, P, MADV_DONTNEED));
	show(mprotect(at + 3 * P, P, PROT_READ));
	show(at[3 * P] * 100 + at[4 * P - 1]);
	show(munmap(at + P, 3 * P));
	at = mremap(at, P, 3 * P, MREMAP_MAYMOVE);
	show(at == MAP_FAILED ? errno : at[0] * 10000 + at[P] * 100 + at[2 * P]);
	show(munmap(at, 3 * P));
	shared[0] = anonymous[0] = 'y';
	show(madvise(shared, 5 * P, MADV_DONTNEED));
	show(madvise(anonymous, P, MADV_DONTNEED));
	show(shared[0] * 1000 + shared[P]);
	show(anonymous[0]);
	show(munmap(shared, 5 * P) + munmap(anonymous, P));
}

/* Memory that comes on demand moves after none of it, a part, and half of it was touched. */
static void stacks_move(void)
{
	for (unsigned touched = 0; touched < 3; touched++) {
		char *at = mmap(NULL, 600 * P, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		char *to;

		if (touched)
			memset(at + 300 * P, 's', touched == 1 ? P : 300 * P);
		to = mremap(at, 600 * P, 5000 * P, MREMAP_MAYMOVE);
		show(to == MAP_FAILED ? errno : 0);
		if (to == MAP_FAILED)
			continue;
		show(to[300 * P] * 1000 + to[599 * P]);
		to[4999 * P] = 't';
		show(to[4999 * P]);
		show(munmap(to, 5000 * P));
	}
}

/* Asks for more pieces than the core has room for. It may refuse some, but must unmap all
 * others. */
static void many_pieces(void)
{
	char *base = mmap(NULL, 20000 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long kept = 0;

	show(munmap(base, 20000 * P));
	for (unsigned long i = 0; i < 10000; i++)
		if (mmap(base + 2 * i * P, P, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
			break;
		else
			kept++;
	show(kept > 5000);
	for (unsigned long i = 0; i < kept; i++)
		if (munmap(base + 2 * i * P, P)) {
			show(errno);
			break;
		}
	base = mmap(NULL, 100 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	show(base == MAP_FAILED);
	show(munmap(base, 100 * P));
}

/* Anonymous memory with all rights but execution. */
static char *map_at(char *at, unsigned long length, int flags)
{
	return mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

/* Whether /proc/self/maps has all of [AT, AT + LENGTH) in one line. */
static int in_one_line(const char *at, unsigned long length)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512];
	int found = 0;

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			found |= start <= (unsigned long)at && (unsigned long)at + length <= end;
	if (maps)
		fclose(maps);
	return found;
}

/* A large mapping of which little is touched. */
static void large(void)
{
	const unsigned long length = 64ul << 20;
	char *at = map_at(NULL, length, 0), *to;
	unsigned char there[3] = {7, 7, 7};
	int fd = numbered_file(5);

	show(mincore(at + (32ul << 20), 3 * P, there));
	show(there[0] | there[1] | there[2]);
	at[40ul << 20] = 1;
	show(mincore(at + (40ul << 20), P, there));
	show(there[0]);
	show(at[(40ul << 20) + 1] + at[length - 1]);
	show(in_one_line(at, length));
	show(pread(fd, at + (8ul << 20), 4ul << 20, 0));
	show(at[(8ul << 20) + 4 * P]);
	show(mprotect(at + (20ul << 20), 30ul << 20, PROT_READ));
	show(pread(fd, at + (19ul << 20), 4ul << 20, 0));
	show(pread(fd, at + (20ul << 20), 1, 0)); /* EFAULT */
	show(at[40ul << 20] + at[21ul << 20]);
	show(mprotect(at, length, PROT_NONE));
	show(mprotect(at, length, PROT_READ | PROT_WRITE));
	show(at[40ul << 20] * 100 + at[8ul << 20]);
	to = mremap(at, length, length + P, MREMAP_MAYMOVE);
	show(to == MAP_FAILED ? errno : to[40ul << 20] * 100 + to[8ul << 20] + to[length]);
	show(madvise(to, length, MADV_DONTNEED));
	show(to[40ul << 20] + to[8ul << 20]);
	show(madvise(to + length / 2, 2 * P, 23 /* MADV_POPULATE_WRITE */));
	show(mincore(to + length / 2, 2 * P, there));
	show(there[0] + there[1]);
	show(mlock(to, 2 * P));
	show(munmap(to, length + P));
	show(madvise(to, P, 22 /* MADV_POPULATE_READ */));
	at = map_at(NULL, 4ul << 20, MAP_POPULATE);
	show(mincore(at + (2ul << 20), 3 * P, there));
	show(there[0] + there[1] + there[2]);
	show(munmap(at, 4ul << 20) + close(fd));
	at = map_at(NULL, 1ul << 46, 0);
	show(at == MAP_FAILED ? errno : 0);
}

/* Where a mapping goes that names a place. */
static void hints(void)
{
	char *base = map_at(NULL, 16ul << 20, 0), *low = (char *)0x53000000, *at;

	show(munmap(base, 16ul << 20));
	at = map_at(base + (8ul << 20), P, 0);
	show(at - base);
	show(map_at(base + (8ul << 20) + 5, P, 0) != at); /* taken: elsewhere */
	show(map_at(at, P, MAP_FIXED_NOREPLACE) == MAP_FAILED ? errno : 0);
	show(map_at(at, P, MAP_FIXED | MAP_FIXED_NOREPLACE) == MAP_FAILED ? errno : 0);
	show(map_at(at + P, P, MAP_FIXED_NOREPLACE) - base);
	show(map_at(low, 1ul << 20, MAP_32BIT) - low);
	show(map_at(low, 1ul << 20, MAP_32BIT) != low);
	show((unsigned long)map_at(NULL, P, MAP_32BIT) < 0x80000000);
	show(munmap(low, 1ul << 20));
	show(munmap(at, 2 * P));
}

static sigjmp_buf recovery;

static void recover(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	siglongjmp(recovery, info->si_code);
}

/* Uses more stack than there is. */
static int descend(volatile char *above, unsigned long left)
{
	volatile char frame[2000];

	frame[0] = above ? above[0] : 1;
	return left ? descend(frame, left - 1) + frame[0] : 0;
}

/* Memory that grows down: the first stack, whose end is a gap, and a mapping. */
static void grows_down(void)
{
	static char alternate[65536];
	const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction action = {.sa_sigaction = recover, .sa_flags = SA_SIGINFO | SA_ONSTACK},
			 old;
	char *base = map_at(NULL, 32ul << 20, 0), *at;
	int code;

	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, &old);
	code = sigsetjmp(recovery, 1);
	if (!code)
		show(descend(NULL, 1ul << 40));
	show(code); /* SEGV_MAPERR */
	show(munmap(base, 32ul << 20));
	at = map_at(base + (16ul << 20), 4 * P, MAP_GROWSDOWN | MAP_FIXED);
	at[-8 * (long)P] = 3;
	show(at[-8 * (long)P] + at[-1]);
	show(map_at(base + (14ul << 20), P, MAP_FIXED) == MAP_FAILED);
	code = sigsetjmp(recovery, 1);
	if (!code)
		*(volatile char *)(base + (14ul << 20) + 2 * P) = 1; /* less than a gap above it */
	show(code);
	sigaction(SIGSEGV, &old, NULL);
	show(munmap(base + (14ul << 20), 4ul << 20));
}

void probe_memory(void)
{
	protections();
	places();
	moves();
	closed_moves();
	stacks_move();
	many_pieces();
	given_up();
	large();
	hints();
	grows_down();
	heaps();
}
