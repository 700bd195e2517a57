/* SPDX-License-Identifier: Apache-2.0 */
/* Futexes: one list of all waiters, in the order in which they came. A word of a shared mapping is
 * the same under each of its addresses, unless the futex is private. */
#include <linux/futex.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/shared.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

/* Lies on the core stack of the waiting task. */
struct waiter {
	struct waiter *next, **link;
	struct shared_word word;
	uint32_t bits;
	bool woken;
};

static struct waiter *first, **last = &first;

static void enlist(struct waiter *waiter)
{
	waiter->next = NULL;
	waiter->link = last;
	*last = waiter;
	last = &waiter->next;
}

static void delist(struct waiter *waiter)
{
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	else
		last = waiter->link;
}

static bool is_woken(void *context)
{
	return ((struct waiter *)context)->woken;
}

/* What tells the word at ADDRESS from others, for a command with the flags of COMMAND. */
static struct shared_word word_at(uint64_t address, uint64_t command)
{
	return command & FUTEX_PRIVATE_FLAG ? (struct shared_word){NULL, address}
					    : shared_word(address);
}

static bool is_word(struct shared_word one, struct shared_word other)
{
	return one.at == other.at && one.home == other.home;
}

static long wait_for(uint64_t address, struct shared_word word, uint32_t value, uint32_t bits,
		     uint64_t deadline_ns)
{
	struct waiter waiter = {.word = word, .bits = bits};
	long result;

	if (bits == 0)
		return -EINVAL;
	if (*(const volatile uint32_t *)address != value)
		return -EAGAIN;
	enlist(&waiter);
	result = task_wait(is_woken, &waiter, deadline_ns);
	if (waiter.woken)
		return 0;
	delist(&waiter);
	return result;
}

static int wake(struct shared_word word, int count, uint32_t bits)
{
	int woken = 0;

	for (struct waiter *waiter = first, *next; waiter && woken < count; waiter = next) {
		next = waiter->next;
		if (!is_word(waiter->word, word) || !(waiter->bits & bits))
			continue;
		delist(waiter);
		waiter->woken = true;
		woken++;
	}
	return woken;
}

int futex_wake(uint64_t address, int count)
{
	return wake(shared_word(address), count, FUTEX_BITSET_MATCH_ANY);
}

static long requeue(struct shared_word from, int wake_count, struct shared_word to, int move_count)
{
	int woken = wake(from, wake_count, FUTEX_BITSET_MATCH_ANY), moved = 0;

	for (struct waiter *waiter = first; waiter && moved < move_count; waiter = waiter->next) {
		if (!is_word(waiter->word, from))
			continue;
		waiter->word = to;
		moved++;
	}
	return woken + moved;
}

/* FUTEX_WAKE_OP: changes the second word, wakes the waiters of the first, and those of the second
 * if its old value compares. */
static long wake_op(struct shared_word one, int count, uint64_t two, struct shared_word word_two,
		    int count_two, uint32_t code)
{
	int operation = code >> 28 & 7, comparison = code >> 24 & 15;
	int argument = (int)(code << 8) >> 20, against = (int)(code << 20) >> 20, old, woken;
	bool holds;

	if (code >> 31)
		argument = 1 << (argument & 31);
	if (!user_writable(two, 4))
		return -EFAULT;
	old = *(int *)two;
	switch (operation) {
	case FUTEX_OP_SET:
		*(int *)two = argument;
		break;
	case FUTEX_OP_ADD:
		*(int *)two = (int)((unsigned)old + (unsigned)argument);
		break;
	case FUTEX_OP_OR:
		*(int *)two = old | argument;
		break;
	case FUTEX_OP_ANDN:
		*(int *)two = old & ~argument;
		break;
	case FUTEX_OP_XOR:
		*(int *)two = old ^ argument;
		break;
	default:
		return -ENOSYS;
	}
	switch (comparison) {
	case FUTEX_OP_CMP_EQ:
		holds = old == against;
		break;
	case FUTEX_OP_CMP_NE:
		holds = old != against;
		break;
	case FUTEX_OP_CMP_LT:
		holds = old < against;
		break;
	case FUTEX_OP_CMP_LE:
		holds = old <= against;
		break;
	case FUTEX_OP_CMP_GT:
		holds = old > against;
		break;
	case FUTEX_OP_CMP_GE:
		holds = old >= against;
		break;
	default:
		return -ENOSYS;
	}
	woken = wake(one, count, FUTEX_BITSET_MATCH_ANY);
	return holds ? woken + wake(word_two, count_two, FUTEX_BITSET_MATCH_ANY) : woken;
}

/* Reads when a wait ends; 0: never. FUTEX_WAIT has a relative time, the others an absolute one;
 * FUTEX_LOCK_PI has always one of the wall clock. */
static long read_deadline(uint64_t address, int command, bool wall, uint64_t *deadline_ns)
{
	*deadline_ns = 0;
	wall |= command == FUTEX_LOCK_PI;
	if (!address)
		return 0;
	return time_deadline(address, command != FUTEX_WAIT, wall, deadline_ns);
}

long sys_futex(const uint64_t *a)
{
	int command = (int)a[1] & FUTEX_CMD_MASK;
	bool wall = a[1] & FUTEX_CLOCK_REALTIME;
	struct shared_word word;
	uint64_t deadline_ns;
	long error;

	if (a[0] % 4)
		return -EINVAL;
	if (!user_readable(a[0], 4))
		return -EFAULT;
	word = word_at(a[0], a[1]);
	switch (command) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		error = read_deadline(a[3], command, wall, &deadline_ns);
		if (error)
			return error;
		return wait_for(a[0], word, (uint32_t)a[2],
				command == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY : (uint32_t)a[5],
				deadline_ns);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		error = read_deadline(a[3], command, wall, &deadline_ns);
		return error ? error : mutex_lock(a[0], true, deadline_ns);
	case FUTEX_TRYLOCK_PI:
		return mutex_lock(a[0], false, 0);
	case FUTEX_UNLOCK_PI:
		return mutex_unlock(a[0]);
	case FUTEX_WAKE:
		if (mutex_has_waiters(a[0]))
			return -EINVAL;
		return wake(word, (int)a[2], FUTEX_BITSET_MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return (uint32_t)a[5] ? wake(word, (int)a[2], (uint32_t)a[5]) : -EINVAL;
	case FUTEX_REQUEUE:
		return requeue(word, (int)a[2], word_at(a[4], a[1]), (int)a[3]);
	case FUTEX_CMP_REQUEUE:
		if (*(const volatile uint32_t *)a[0] != (uint32_t)a[5])
			return -EAGAIN;
		return requeue(word, (int)a[2], word_at(a[4], a[1]), (int)a[3]);
	case FUTEX_WAKE_OP:
		return wake_op(word, (int)a[2], a[4], word_at(a[4], a[1]), (int)a[3],
			       (uint32_t)a[5]);
	default:
		log_once(LOG_KEY_FUTEX, "refused: futex command %d (ENOSYS)", command);
		return -ENOSYS;
	}
}
