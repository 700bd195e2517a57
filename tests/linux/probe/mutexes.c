/* SPDX-License-Identifier: Apache-2.0 */
/* Mutexes that outlive their owner, and mutexes that the kernel hands over. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

/* <linux/futex.h>, which musl does not have. */
#define FUTEX_WAKE	 1
#define FUTEX_LOCK_PI	 6
#define FUTEX_UNLOCK_PI	 7
#define FUTEX_TRYLOCK_PI 8
#define FUTEX_LOCK_PI2	 13
#define WAITERS		 0x80000000u

static pthread_mutex_t early, mutex, second;
static volatile int entered;

static int make(pthread_mutex_t *which, int type, int protocol, int robust)
{
	pthread_mutexattr_t how;

	pthread_mutexattr_init(&how);
	pthread_mutexattr_settype(&how, type);
	if (pthread_mutexattr_setprotocol(&how, protocol))
		return -1;
	pthread_mutexattr_setrobust(&how, robust);
	return pthread_mutex_init(which, &how);
}

static void *lock_and_end(void *argument)
{
	(void)argument;
	pthread_mutex_lock(&mutex);
	pthread_mutex_lock(&second);
	entered = 1;
	usleep(6000);
	return NULL;
}

/* One thread waits for the mutex when its owner ends, and one comes later. */
static void outlived(int protocol)
{
	struct timespec until;
	pthread_t owner;

	make(&mutex, PTHREAD_MUTEX_NORMAL, protocol, PTHREAD_MUTEX_ROBUST);
	make(&second, PTHREAD_MUTEX_NORMAL, protocol, PTHREAD_MUTEX_ROBUST);
	entered = 0;
	pthread_create(&owner, NULL, lock_and_end, NULL);
	while (!entered)
		usleep(100);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 5;
	show(pthread_mutex_timedlock(&mutex, &until));
	show(pthread_mutex_consistent(&mutex));
	show(pthread_mutex_unlock(&mutex));
	show(pthread_mutex_lock(&mutex));
	show(pthread_mutex_unlock(&mutex));
	pthread_join(owner, NULL);
	show(pthread_mutex_trylock(&second));
	show(pthread_mutex_unlock(&second));
	show(pthread_mutex_lock(&second));
	show(pthread_mutex_destroy(&mutex));
}

static void *lock_in_turn(void *argument)
{
	int busy = pthread_mutex_trylock(&mutex), locked = pthread_mutex_lock(&mutex);

	*(int *)argument = busy * 1000 + locked;
	usleep(2000);
	return (void *)(intptr_t)pthread_mutex_unlock(&mutex);
}

static void handed_over(void)
{
	struct timespec past = {1, 0};
	pthread_t others[3];
	int answers[3];
	void *unlocked;

	show(make(&mutex, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED));
	show(pthread_mutex_lock(&mutex));
	show(pthread_mutex_lock(&mutex));
	for (int i = 0; i < 3; i++)
		pthread_create(&others[i], NULL, lock_in_turn, &answers[i]);
	usleep(10000);
	show(pthread_mutex_unlock(&mutex));
	for (int i = 0; i < 3; i++) {
		pthread_join(others[i], &unlocked);
		show(answers[i]);
		show(unlocked);
	}
	show(pthread_mutex_unlock(&mutex));
	show(pthread_mutex_lock(&mutex));
	show(pthread_mutex_timedlock(&mutex, &past));
	show(pthread_mutex_unlock(&mutex));
}

/* ---- The calls themselves ---- */

static uint32_t words[2], unmapped_owner = 0x3ffffffe;
static volatile int caught;

static long lock(uint32_t *word, int command, const struct timespec *until)
{
	return syscall(SYS_futex, word, command, 0, until, NULL, 0);
}

static uint32_t flags(uint32_t word)
{
	return word & 0xc0000000u;
}

static void note(int signal)
{
	caught = signal;
}

static void *contend(void *argument)
{
	struct timespec past = {1, 0}, bad = {1, -1};

	show(lock(&words[0], FUTEX_TRYLOCK_PI, NULL));
	show(flags(words[0]));
	show(lock(&words[0], FUTEX_LOCK_PI, &past));
	show(lock(&words[0], FUTEX_LOCK_PI2, &past));
	show(lock(&words[0], FUTEX_LOCK_PI, &bad));
	show(lock(&words[0], FUTEX_UNLOCK_PI, NULL));
	show(lock(&words[1], FUTEX_LOCK_PI, NULL));
	entered = 1;
	/* A signal does not end the wait. */
	show(lock(&words[0], FUTEX_LOCK_PI, NULL));
	show(caught);
	show((words[0] & 0x3fffffffu) == (uint32_t)syscall(SYS_gettid));
	show(flags(words[0]));
	show(lock(&words[0], FUTEX_UNLOCK_PI, NULL));
	show(words[0]);
	return argument;
}

static void calls(void)
{
	struct sigaction action = {.sa_handler = note};
	pthread_t other;
	long unlocked;

	sigaction(SIGUSR2, &action, NULL);
	words[0] = words[1] = 0;
	entered = caught = 0;
	show(lock(&words[0], FUTEX_UNLOCK_PI, NULL));
	show(lock(&words[0], FUTEX_LOCK_PI, NULL));
	show(flags(words[0]));
	show(lock(&words[0], FUTEX_LOCK_PI, NULL));
	show(lock(&words[0], FUTEX_TRYLOCK_PI, NULL));
	show(lock(&unmapped_owner, FUTEX_LOCK_PI, NULL));
	show(lock(NULL, FUTEX_LOCK_PI, NULL));
	pthread_create(&other, NULL, contend, NULL);
	while (!entered)
		usleep(100);
	usleep(5000);
	show(lock(&words[0], FUTEX_WAKE, NULL));
	/* It waits for us, so we cannot wait for it. */
	show(lock(&words[1], FUTEX_LOCK_PI, NULL));
	pthread_kill(other, SIGUSR2);
	usleep(5000);
	unlocked = lock(&words[0], FUTEX_UNLOCK_PI, NULL);
	pthread_join(other, NULL);
	show(unlocked);
	/* Its owner is gone, and had not listed it as robust. */
	show(lock(&words[1], FUTEX_LOCK_PI, NULL));
	show(flags(words[1]));
	signal(SIGUSR2, SIG_DFL);
}

void probe_mutexes_early(void)
{
	show(make(&early, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED));
	show(pthread_mutex_lock(&early));
}

static void *lock_early(void *argument)
{
	int locked = pthread_mutex_lock(&early);

	(void)argument;
	return (void *)(intptr_t)(1000 * locked + pthread_mutex_unlock(&early));
}

void probe_mutexes(void)
{
	pthread_t other;
	void *result;

	show(pthread_mutex_lock(&early));
	pthread_create(&other, NULL, lock_early, NULL);
	usleep(5000);
	show(pthread_mutex_unlock(&early));
	pthread_join(other, &result);
	show(result);
	outlived(PTHREAD_PRIO_NONE);
	outlived(PTHREAD_PRIO_INHERIT);
	handed_over();
	calls();
}
