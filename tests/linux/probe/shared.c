/* SPDX-License-Identifier: Apache-2.0 */
/* Shared mappings of files: one with the file and with one another. Random sequences of them are in
 * tests/linux/random; here is what those leave out. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

#define P 4096ul

enum { FUTEX_WAIT_ = 0, FUTEX_WAKE_ = 1 };

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

static char *map_shared(int fd, size_t length, int prot)
{
	return mmap(NULL, length, prot, MAP_SHARED, fd, 0);
}

static int map_error(int fd, int prot, int flags)
{
	char *at;

	errno = 0;
	at = mmap(NULL, P, prot, flags, fd, 0);
	if (at != MAP_FAILED)
		munmap(at, P);
	return errno;
}

/* One memory file, written at one address and executed at another, as compilers do it. */
static void code_twice(void)
{
	static const unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax, 0; ret */
	int fd = memfd_create("code", 0), sum = 0;
	char *write_at, *run_at;
	int (*run)(void);

	show(ftruncate(fd, 64 * P));
	write_at = map_shared(fd, 64 * P, PROT_READ | PROT_WRITE);
	run_at = map_shared(fd, 64 * P, PROT_READ | PROT_EXEC);
	memcpy(&run, &run_at, sizeof(run));
	for (int i = 0; i < 300; i++) {
		memcpy(write_at, code, sizeof(code));
		write_at[1] = (char)i;
		sum += run();
	}
	show(sum);
	/* The next round's code lies in another page while this one's runs. */
	for (unsigned long page = 0; page < 64; page++) {
		memcpy(write_at + page * P, code, sizeof(code));
		write_at[page * P + 1] = (char)(page + 1);
		run_at += page ? P : 0;
		memcpy(&run, &run_at, sizeof(run));
		sum += run();
	}
	show(sum);
	run_at -= 63 * P;
	/* As .NET does it: a short mapping for each change. */
	for (int i = 0; i < 50; i++) {
		char *brief = map_shared(fd, P, PROT_READ | PROT_WRITE);

		brief[1] = (char)i;
		munmap(brief, P);
		memcpy(&run, &run_at, sizeof(run));
		sum += run();
	}
	show(sum);
	show(mprotect(run_at, P, PROT_READ | PROT_WRITE));
	run_at[1] = 7;
	show(write_at[1]);
	show(mprotect(run_at, P, PROT_READ | PROT_EXEC));
	show(run());
	show(munmap(write_at, 64 * P) + munmap(run_at, 64 * P) + close(fd));
}

static void rights(void)
{
	char path[] = "/tmp/probe-rights-XXXXXX";
	int fd = mkstemp(path), read_only = open(path, O_RDONLY), write_only = open(path, O_WRONLY);
	char *at;

	show(ftruncate(fd, P));
	show(map_error(read_only, PROT_READ | PROT_WRITE, MAP_SHARED)); /* EACCES */
	show(map_error(read_only, PROT_READ | PROT_WRITE, MAP_PRIVATE));
	show(map_error(write_only, PROT_WRITE, MAP_SHARED)); /* EACCES */
	show(map_error(fd, PROT_READ, MAP_SHARED_VALIDATE));
	show(map_error(-1, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS)); /* EINVAL */
	at = map_shared(read_only, P, PROT_READ);
	show(mprotect(at, P, PROT_READ | PROT_WRITE)); /* EACCES */
	show(pwrite(fd, "x", 1, 5));
	show(at[5]);
	show(close(fd) + close(read_only) + close(write_only) + unlink(path));
	show(at[5]);
	show(msync(at, P, MS_SYNC));
	show(msync(at, P, MS_SYNC | MS_ASYNC)); /* EINVAL */
	show(munmap(at, P));
	show(msync(at, P, MS_SYNC)); /* ENOMEM */
}

static void seals(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING), other = memfd_create("plain", 0);
	char *at;

	show(fcntl(fd, F_GET_SEALS));
	show(fcntl(other, F_GET_SEALS));
	show(fcntl(other, F_ADD_SEALS, F_SEAL_WRITE)); /* EPERM */
	show(fcntl(STDIN_FILENO, F_GET_SEALS));	       /* EINVAL */
	show(ftruncate(fd, 2 * P));
	at = map_shared(fd, 2 * P, PROT_READ | PROT_WRITE);
	at[P] = 's';
	show(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)); /* EBUSY */
	show(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	show(ftruncate(fd, P));		  /* EPERM */
	show(ftruncate(fd, 3 * P));	  /* EPERM */
	show(pwrite(fd, "xy", 2, 2 * P)); /* EPERM */
	show(pwrite(fd, "xy", 2, 1));
	show(at[1]);
	show(munmap(at, 2 * P));
	show(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
	show(pwrite(fd, "xy", 2, 1));				 /* EPERM */
	show(map_error(fd, PROT_READ | PROT_WRITE, MAP_SHARED)); /* EPERM */
	show(map_error(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE));
	show(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, P)); /* EPERM */
	show(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));			       /* EPERM */
	show(fcntl(fd, F_GET_SEALS));
	show(close(fd) + close(other));
}

/* The word that the threads wait for has two addresses. */
static uint32_t *words[2];

static void *wake_by_the_other(void *unused)
{
	(void)unused;
	__atomic_store_n(words[1], 1, __ATOMIC_SEQ_CST);
	while (syscall(SYS_futex, words[1], FUTEX_WAKE_, 1, NULL, NULL, 0) == 0)
		sched_yield();
	return NULL;
}

static void futexes(void)
{
	int fd = memfd_create("futex", 0);
	pthread_t thread;

	show(ftruncate(fd, P));
	words[0] = (uint32_t *)(void *)map_shared(fd, P, PROT_READ | PROT_WRITE);
	words[1] = (uint32_t *)(void *)map_shared(fd, P, PROT_READ | PROT_WRITE);
	pthread_create(&thread, NULL, wake_by_the_other, NULL);
	/* The second wait is for a wait that came too late. */
	if (syscall(SYS_futex, words[0], FUTEX_WAIT_, 0, NULL, NULL, 0))
		syscall(SYS_futex, words[0], FUTEX_WAIT_, 1, NULL, NULL, 0);
	show(__atomic_load_n(words[0], __ATOMIC_SEQ_CST));
	pthread_join(thread, NULL);
	show(munmap(words[0], P) + munmap(words[1], P) + close(fd));
}

/* Calls whose memory and whose file are the same pages. */
static void calls_on_it(void)
{
	int fd = memfd_create("self", 0), pipes[2];
	char *one, *two, bytes[8];

	show(ftruncate(fd, 4 * P));
	one = map_shared(fd, 4 * P, PROT_READ | PROT_WRITE);
	two = map_shared(fd, 4 * P, PROT_READ | PROT_WRITE);
	memset(one, 'a', P);
	show(pwrite(fd, two, P, P));
	show(one[P] * 1000 + two[2 * P - 1]);
	show(pread(fd, two + 2 * P, P, P));
	show(one[2 * P]);
	show(pipe(pipes));
	one[3 * P] = 'p';
	show(write(pipes[1], two + 3 * P, 1));
	two[3 * P] = 'q';
	show(read(pipes[0], one + 3 * P + 1, 1));
	show(two[3 * P] * 1000 + two[3 * P + 1]);
	show(read(fd, bytes, 8));
	show(bytes[0]);
	show(madvise(one, P, MADV_REMOVE));
	show(two[0] * 1000 + two[P]);
	show(close(pipes[0]) + close(pipes[1]) + close(fd));
	one[5] = 5;
	show(two[5]);
	show(munmap(one, 4 * P));
	show(two[5]);
	show(munmap(two, 4 * P));
}

void probe_shared(void)
{
	code_twice();
	rights();
	seals();
	futexes();
	calls_on_it();
}
