/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads for one piece of work. No thread outlives the call. */
#include <pthread.h>
#include <sched.h>

#include "snapshot-format/base/thread.h"
#include "snapshot-format/layout.h"

#define THREADS_MAX 64u

struct crew_member {
	pthread_t thread;
	unsigned number;
	void (*work)(void *context, unsigned worker);
	void *context;
};

static void *member_main(void *argument)
{
	struct crew_member *member = argument;

	member->work(member->context, member->number);
	return NULL;
}

void thaw_parallel_run(unsigned threads, void (*work)(void *context, unsigned worker),
		       void *context)
{
	struct crew_member crew[THREADS_MAX];
	unsigned hired = 1;

	for (; hired < threads && hired < THREADS_MAX; hired++) {
		crew[hired] =
			(struct crew_member){.number = hired, .work = work, .context = context};
		if (thaw_thread_start(&crew[hired].thread, NULL, member_main, &crew[hired]) != 0)
			break;
	}
	work(context, 0);
	for (unsigned i = 1; i < hired; i++)
		pthread_join(crew[i].thread, NULL);
}

/* The CPUs that this process may use: in a container, its share. Asking for them opens no file,
 * which a jail would refuse. */
static unsigned usable_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

unsigned thaw_parallel_threads(unsigned threads, uint64_t pieces)
{
	if (threads == 0)
		threads = usable_cpus();
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (threads > pieces)
		threads = (unsigned)pieces;
	return threads == 0 ? 1 : threads;
}
