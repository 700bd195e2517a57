/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and what they wait for. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

#define THREADS 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static __thread int own;
static int counter, turn, destroyed, started_once;
static sem_t items;

static void start_once(void)
{
	started_once++;
}

static void destroy(void *value)
{
	destroyed += (int)(intptr_t)value;
}

static void *take_turns(void *argument)
{
	int me = (int)(intptr_t)argument;

	own = me;
	pthread_once(&once, start_once);
	pthread_setspecific(key, argument);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&lock);
		while (turn != me)
			pthread_cond_wait(&changed, &lock);
		counter++;
		turn = (turn + 1) % THREADS;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		if (i % 10 == 0)
			sched_yield();
	}
	return (void *)(intptr_t)(own * 10);
}

static void *give(void *argument)
{
	(void)argument;
	for (int i = 0; i < 5; i++) {
		usleep(1000);
		sem_post(&items);
	}
	return NULL;
}

static void *never(void *argument)
{
	(void)argument;
	for (;;)
		pause();
	return NULL;
}

static void *compute(void *argument)
{
	double sum = (double)(intptr_t)argument;

	/* Vector registers are a thread's own. */
	for (int i = 1; i < 1000; i++) {
		sum += 1.0 / i;
		if (i % 100 == 0)
			sched_yield();
	}
	*(double *)pthread_getspecific(key) = sum;
	return NULL;
}

static void *compute_outer(void *argument)
{
	static double results[THREADS];
	double *result = &results[(intptr_t)argument];

	pthread_setspecific(key, result);
	compute(argument);
	pthread_setspecific(key, NULL);
	return result;
}

static void time_out(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 2000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&lock);
	show(pthread_cond_timedwait(&changed, &lock, &until));
	pthread_mutex_unlock(&lock);
	show(sem_timedwait(&items, &until));
}

/* Unmaps or protects the buffer for which another thread waits. */
struct taken {
	int ends[2];
	char *buffer;
	int protection; /* -1: unmapped */
	long written;
};

static struct taken prepare(int protection)
{
	struct taken taken = {.protection = protection};

	taken.buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	show(pipe(taken.ends));
	return taken;
}

static void take_away(const struct taken *taken)
{
	if (taken->protection < 0)
		munmap(taken->buffer, 4096);
	else
		mprotect(taken->buffer, 4096, taken->protection);
}

static void *take_and_write(void *argument)
{
	struct taken *taken = argument;

	usleep(1000);
	take_away(taken);
	taken->written = write(taken->ends[1], "12345678", 8);
	return NULL;
}

static void *take_and_read(void *argument)
{
	const struct taken *taken = argument;
	static char all[0x10000];
	size_t got = 0;

	got += (size_t)read(taken->ends[0], all, 1); /* the writer has begun */
	take_away(taken);
	while (got < sizeof(all))
		got += (size_t)read(taken->ends[0], all, sizeof(all) - got);
	return NULL;
}

static void read_into(int protection)
{
	struct taken taken = prepare(protection);
	pthread_t thread;

	pthread_create(&thread, NULL, take_and_write, &taken);
	show(read(taken.ends[0], taken.buffer, 8));
	pthread_join(thread, NULL);
	show(taken.written);
	show(close(taken.ends[0]) + close(taken.ends[1]));
}

static void write_from(int protection)
{
	static char large[0x10000];
	struct taken taken = prepare(protection);
	const struct iovec vectors[2] = {{large, sizeof(large)}, {taken.buffer, 4096}};
	pthread_t thread;

	pthread_create(&thread, NULL, take_and_read, &taken);
	show(writev(taken.ends[1], vectors, 2));
	pthread_join(thread, NULL);
	show(close(taken.ends[0]) + close(taken.ends[1]));
}

static void counter_into(void)
{
	struct taken taken = prepare(PROT_NONE);
	pthread_t thread;
	int counter_fd = eventfd(0, 0);

	show(close(taken.ends[0]) + close(taken.ends[1]));
	taken.ends[1] = counter_fd;
	pthread_create(&thread, NULL, take_and_write, &taken);
	show(read(counter_fd, taken.buffer, 8));
	pthread_join(thread, NULL);
	show(taken.written);
	show(close(counter_fd));
}

static void buffers_that_go(void)
{
	read_into(-1);
	read_into(PROT_NONE);
	read_into(PROT_READ);
	write_from(-1);
	write_from(PROT_NONE);
	counter_into();
}

void probe_threads(void)
{
	pthread_t threads[THREADS];
	void *result;
	long sum = 0;

	pthread_barrier_init(&barrier, NULL, THREADS);
	pthread_key_create(&key, destroy);
	sem_init(&items, 0, 0);
	for (intptr_t i = 0; i < THREADS; i++)
		show(pthread_create(&threads[i], NULL, take_turns, (void *)i));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		sum += (intptr_t)result;
	}
	printf("threads %d %ld %d %d %d\n", counter, sum, destroyed, started_once, own);
	pthread_create(&threads[0], NULL, give, NULL);
	for (int i = 0; i < 5; i++)
		show(sem_wait(&items));
	pthread_join(threads[0], NULL);
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, compute_outer, (void *)i);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		printf("computed %.9f\n", *(double *)result);
	}
	time_out();
	buffers_that_go();
	pthread_create(&threads[0], NULL, never, NULL);
	show(pthread_cancel(threads[0]));
	show(pthread_join(threads[0], &result));
	show(result == PTHREAD_CANCELED);
	pthread_create(&threads[0], NULL, never, NULL);
	pthread_detach(threads[0]);
}
