/* SPDX-License-Identifier: Apache-2.0 */
/* Random calls of futex(2) by one thread: what each command answers, and what it does to the words. */
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/random/random.h"

#define WORDS	4
#define MUTEXES 2
#define NOBODY	0x3ffffff0u /* no thread has this id */

static uint32_t words[WORDS], mutexes[MUTEXES];
static uint32_t *read_only;

/* Mostly a word of ours. A page that can only be read is used as a private futex: what Linux says to
 * a shared one depends on what it is a page of. */
static void *pick(long *which, int *command)
{
	*which = (long)draw(WORDS + 6);
	switch (*which) {
	case WORDS:
		return (char *)words + 1;
	case WORDS + 1:
		return NULL;
	case WORDS + 2:
		return (void *)(uintptr_t)0x1000;
	case WORDS + 3:
		*command |= FUTEX_PRIVATE_FLAG;
		return read_only;
	default:
		return &words[*which % WORDS];
	}
}

static void show_words(void)
{
	for (int i = 0; i < WORDS; i++)
		printf(" %x", words[i]);
	/* Whether a mutex has an owner: its id is another one each time. */
	for (int i = 0; i < MUTEXES; i++)
		printf(" %d|%x", (mutexes[i] & FUTEX_TID_MASK) != 0, mutexes[i] & ~FUTEX_TID_MASK);
	puts("");
}

static int count(void)
{
	static const int counts[] = {0, 1, 2, -1, INT32_MAX, INT32_MIN};

	return counts[draw(COUNT_OF(counts))];
}

/* All of these are over at once. */
static const struct timespec *timeout(void)
{
	static const struct timespec times[] = {{0, 0},	 {0, 1},  {0, 1000},
						{-1, 0}, {0, -1}, {0, 1000000000}};
	unsigned which = draw(COUNT_OF(times) + 1);

	return which < COUNT_OF(times) ? &times[which] : (const struct timespec *)(uintptr_t)8;
}

static int flags(void)
{
	return (draw(2) ? FUTEX_PRIVATE_FLAG : 0) | (draw(5) ? 0 : FUTEX_CLOCK_REALTIME);
}

static void wait_on(void)
{
	static const int commands[] = {FUTEX_WAIT, FUTEX_WAIT_BITSET};
	int command = commands[draw(2)] | flags();
	long which;
	uint32_t *word = pick(&which, &command);
	uint32_t value = draw(2) ? words[which % WORDS] : draw(3);

	tell("wait", which, command,
	     syscall(SYS_futex, word, command, value, timeout(), NULL, draw(3)));
}

static void wake(void)
{
	static const int commands[] = {FUTEX_WAKE, FUTEX_WAKE_BITSET};
	int command = commands[draw(2)] | flags();
	long which;
	uint32_t *word = pick(&which, &command);

	tell("wake", which, command,
	     syscall(SYS_futex, word, command, count(), NULL, NULL, draw(3)));
}

static void requeue(void)
{
	static const int commands[] = {FUTEX_REQUEUE, FUTEX_CMP_REQUEUE};
	int command = commands[draw(2)] | flags();
	long from, to;
	uint32_t *one = pick(&from, &command), *two = pick(&to, &command);
	uint32_t value = draw(2) ? words[from % WORDS] : draw(3);

	tell("requeue", from * 100 + to, command,
	     syscall(SYS_futex, one, command, count(), (long)count(), two, value));
}

static void wake_op(void)
{
	int command = FUTEX_WAKE_OP | flags();
	long from, to;
	uint32_t *one = pick(&from, &command), *two = pick(&to, &command);
	uint32_t code = draw(16) << 28 | draw(8) << 24 | draw(16) << 12 | draw(16);

	tell("wake_op", from * 100 + to, (long)code,
	     syscall(SYS_futex, one, command, count(), (long)count(), two, code));
	show_words();
}

static void lock(void)
{
	static const int commands[] = {FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI,
				       FUTEX_UNLOCK_PI, FUTEX_LOCK_PI2};
	int command = commands[draw(COUNT_OF(commands))] | flags();
	long which = (long)draw(MUTEXES);
	uint32_t *word = draw(5) ? &mutexes[which] : pick(&which, &command);

	if (word >= words && word < words + WORDS)
		return;
	tell("lock", which, command, syscall(SYS_futex, word, command, 0, timeout(), NULL, 0));
	show_words();
}

static void unknown(void)
{
	static const int commands[] = {14, 50, 127, 2};
	int command = commands[draw(COUNT_OF(commands))] | flags();
	long which;
	uint32_t *word = pick(&which, &command);

	tell("unknown", which, command, syscall(SYS_futex, word, command, 1, NULL, NULL, 0));
}

static void set(void)
{
	static const uint32_t values[] = {
		0, 0, FUTEX_OWNER_DIED, FUTEX_WAITERS, FUTEX_WAITERS | NOBODY, NOBODY};

	words[draw(WORDS)] = draw(3);
	mutexes[draw(MUTEXES)] = values[draw(COUNT_OF(values))];
}

static void robust_list(void)
{
	static struct robust_list_head head;
	static const size_t sizes[] = {0, sizeof(head), 25};
	void *old = NULL;
	size_t size = sizes[draw(3)];

	tell("robust", 0, (long)size, syscall(SYS_set_robust_list, &head, size));
	tell("list", 0, 0, syscall(SYS_get_robust_list, draw(2) ? 0 : INT32_MAX, &old, &size));
	printf(" %d %zu\n", old == &head, size);
}

static void begin(void)
{
	memset(words, 0, sizeof(words));
	memset(mutexes, 0, sizeof(mutexes));
	syscall(SYS_set_robust_list, NULL, sizeof(struct robust_list_head));
	if (!read_only)
		read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void)
{
	static void (*const calls[])(void) = {wait_on, wait_on, wake, wake,    requeue,	    wake_op,
					      wake_op, lock,	lock, unknown, robust_list, set};

	return run_sequences(begin, calls, COUNT_OF(calls), NULL);
}
