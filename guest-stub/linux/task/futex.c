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
#include "guest-stub/linux/task/waiters.h"

struct futex_waiter {
	struct waiter waiter; /* first: a waiter is its futex_waiter */
	struct shared_word word;
	uint32_t bits;
	bool woken;
};

static struct waiters waiters = WAITERS_INIT(waiters);

static struct futex_waiter *first_waiter(void)
{
	return (struct futex_waiter *)waiters.first;
}

static struct futex_waiter *next_waiter(const struct futex_waiter *one)
{
	return (struct futex_waiter *)one->waiter.next;
}

static bool is_woken(void *context)
{
	return ((struct futex_waiter *)context)->woken;
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
	struct futex_waiter waiter = {.word = word, .bits = bits};
	long result;

	if (*(const volatile uint32_t *)address != value)
		return -EAGAIN;
	waiters_add(&waiters, &waiter.waiter);
	result = task_wait(is_woken, &waiter, deadline_ns);
	if (waiter.woken)
		return 0;
	waiters_remove(&waiters, &waiter.waiter);
	return result;
}

/* As in Linux, COUNT below 1 counts as 1. */
static int wake(struct shared_word word, int count, uint32_t bits)
{
	int woken = 0;

	for (struct futex_waiter *waiter = first_waiter(), *next; waiter; waiter = next) {
		next = next_waiter(waiter);
		if (!is_word(waiter->word, word) || !(waiter->bits & bits))
			continue;
		waiters_remove(&waiters, &waiter->waiter);
		waiter->woken = true;
		if (++woken >= count)
			break;
	}
	return woken;
}

int futex_wake(uint64_t address, int count)
{
	return wake(shared_word(address), count, FUTEX_BITSET_MATCH_ANY);
}

static long requeue(struct shared_word from, int wake_count, struct shared_word to, int move_count)
{
	int woken = wake_count ? wake(from, wake_count, FUTEX_BITSET_MATCH_ANY) : 0, moved = 0;

	for (struct futex_waiter *waiter = first_waiter(); waiter && moved < move_count;
	     waiter = next_waiter(waiter)) {
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
	if (operation > FUTEX_OP_XOR)
		return -ENOSYS;
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
	default: /* FUTEX_OP_XOR */
		*(int *)two = old ^ argument;
		break;
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

/* Whether a word of the program may be at ADDRESS. Linux does not look at the memory of a private
 * futex that it only compares addresses for. */
static long check_word(uint64_t address, bool private)
{
	if (address % sizeof(uint32_t))
		return -EINVAL;
	return private || user_readable(address, sizeof(uint32_t)) ? 0 : -EFAULT;
}

static long do_wait(const uint64_t *a, bool private, uint32_t bits, uint64_t deadline_ns)
{
	long error = bits ? check_word(a[0], private) : -EINVAL;

	if (error)
		return error;
	if (!user_readable(a[0], sizeof(uint32_t)))
		return -EFAULT;
	return wait_for(a[0], word_at(a[0], a[1]), (uint32_t)a[2], bits, deadline_ns);
}

static long do_wake(const uint64_t *a, bool private, uint32_t bits)
{
	long error = bits ? check_word(a[0], private) : -EINVAL;

	if (error)
		return error;
	return mutex_has_waiters(a[0]) ? -EINVAL : wake(word_at(a[0], a[1]), (int)a[2], bits);
}

static long do_requeue(const uint64_t *a, bool private, bool compares)
{
	long error = (int)a[2] < 0 || (int)a[3] < 0 ? -EINVAL : check_word(a[0], private);

	if (!error)
		error = check_word(a[4], private);
	if (error)
		return error;
	if (compares) {
		if (!user_readable(a[0], sizeof(uint32_t)))
			return -EFAULT;
		if (*(const volatile uint32_t *)a[0] != (uint32_t)a[5])
			return -EAGAIN;
	}
	return requeue(word_at(a[0], a[1]), (int)a[2], word_at(a[4], a[1]), (int)a[3]);
}

static long do_wake_op(const uint64_t *a, bool private)
{
	long error = check_word(a[0], private);

	if (!error)
		error = check_word(a[4], private);
	if (error)
		return error;
	return wake_op(word_at(a[0], a[1]), (int)a[2], a[4], word_at(a[4], a[1]), (int)a[3],
		       (uint32_t)a[5]);
}

/* Sets *DEADLINE_NS to the end of COMMAND's wait; 0: never. FUTEX_WAIT has a relative time, the others
 * an absolute one, and FUTEX_LOCK_PI has always one of the wall clock. */
static long read_deadline(uint64_t address, int command, bool wall, uint64_t *deadline_ns)
{
	*deadline_ns = 0;
	switch (command) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		return address ? time_deadline(address, command != FUTEX_WAIT,
					       wall || command == FUTEX_LOCK_PI, deadline_ns)
			       : 0;
	default:
		return 0;
	}
}

long sys_futex(const uint64_t *a)
{
	int command = (int)a[1] & FUTEX_CMD_MASK;
	bool wall = a[1] & FUTEX_CLOCK_REALTIME, private = a[1] & FUTEX_PRIVATE_FLAG;
	uint64_t deadline_ns;
	long error = read_deadline(a[3], command, wall, &deadline_ns);

	if (error)
		return error;
	if (wall && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI2)
		return -ENOSYS;
	switch (command) {
	case FUTEX_WAIT:
		return do_wait(a, private, FUTEX_BITSET_MATCH_ANY, deadline_ns);
	case FUTEX_WAIT_BITSET:
		return do_wait(a, private, (uint32_t)a[5], deadline_ns);
	case FUTEX_WAKE:
		return do_wake(a, private, FUTEX_BITSET_MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return do_wake(a, private, (uint32_t)a[5]);
	case FUTEX_REQUEUE:
		return do_requeue(a, private, false);
	case FUTEX_CMP_REQUEUE:
		return do_requeue(a, private, true);
	case FUTEX_WAKE_OP:
		return do_wake_op(a, private);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		error = check_word(a[0], private);
		return error ? error : mutex_lock(a[0], true, deadline_ns);
	case FUTEX_TRYLOCK_PI:
		error = check_word(a[0], private);
		return error ? error : mutex_lock(a[0], false, 0);
	case FUTEX_UNLOCK_PI:
		return mutex_unlock(a[0]);
	default:
		log_once(LOG_KEY_FUTEX, "refused: futex command %d (ENOSYS)", command);
		return -ENOSYS;
	}
}
