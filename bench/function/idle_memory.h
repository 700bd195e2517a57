/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.idle-clone: the cost to the host of one more fresh instance that waits for its request.
 * Measured in two ways, because each alone can mislead:
 *
 *   memory.idle-clone      growth of the kernel's own accounts of memory in use when many clones
 *                          are made, divided by their number. It includes everything (stacks,
 *                          tables, slab), and all other traffic on the machine.
 *   memory.idle-clone.rss  what the kernel accounts to each clone's process: private pages and
 *                          page tables, nothing else. Read from outside: the jail of the clones
 *                          has no /proc.
 *   memory.active-clone    the first sum when each clone has answered one request and still
 *                          exists: what an invocation under way holds.
 *
 * MemAvailable would not do: it counts pages on a processor's own free list as used, so
 * megabytes of clones can come out of that list without a trace.
 */
#ifndef THAW_BENCH_IDLE_MEMORY_H
#define THAW_BENCH_IDLE_MEMORY_H

#include "bench/base/samples.h"
#include "bench/function/measurer.h"

struct thaw_idle_memory {
	struct thaw_samples system;  /* bytes a clone, one sample a round */
	struct thaw_samples private; /* bytes, one sample a clone */
	struct thaw_samples active;  /* as SYSTEM, when each clone has answered a request */
	unsigned disturbed;	     /* rounds left out because use went down meanwhile */
};

#define THAW_IDLE_MEMORY_ROUNDS	  7u  /* rounds to take */
#define THAW_IDLE_MEMORY_ATTEMPTS 21u /* rounds at most, with the disturbed ones */

/* Measures CLONES more idle clones of FUNCTION beside BASE others (at most
 * THAW_BENCH_CLONES_BASE), in an engine of their own: the bytes for each of them, and the time
 * until all were ready. BASE uses up what the kernel keeps of processes that are gone, from which
 * the first hundred clones would come for nothing; the engine is new because an engine keeps its
 * mailboxes. BYTES is 0 where use went down meanwhile. PRIVATE, if not NULL, gets the bytes of
 * each clone. */
int thaw_idle_memory_weigh(const struct thaw_bench_function *function, unsigned base,
			   unsigned clones, uint64_t *bytes, uint64_t *ready_ns,
			   struct thaw_samples *private, struct thaw_error *err);

/* Makes CLONES (at most THAW_BENCH_CLONES) idle clones, THAW_IDLE_MEMORY_ROUNDS times. The caller
 * zeroes OUT, and frees it with thaw_idle_memory_finish() whatever this returns. */
int thaw_idle_memory_take(struct thaw_measurer *measurer, unsigned clones,
			  struct thaw_idle_memory *out, struct thaw_error *err);
void thaw_idle_memory_finish(struct thaw_idle_memory *memory);

#endif
