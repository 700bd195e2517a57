/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings: protections, reservations, moves, the heap. */
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

void probe_memory(void)
{
	protections();
	places();
	moves();
	closed_moves();
	stacks_move();
	many_pieces();
	given_up();
	heaps();
}
