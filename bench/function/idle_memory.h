/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.idle-clone: what one more fresh instance that waits for its request costs the host.
 * Measured twice, because each way can be wrong alone:
 *
 *   memory.idle-clone      what the kernel's own accounts of memory in use grew by when many
 *                          clones were made, divided by their number. Everything is in it (stacks,
 *                          tables, slab), and so is everybody else's traffic on the machine.
 *   memory.idle-clone.rss  what the kernel accounts to each clone's process: private pages and
 *                          page tables, nothing else. Read from outside: there is no /proc in the
 *                          jail that the clones live in.
 *   memory.active-clone    the same sum once each of the clones has answered one request and is
 *                          not yet gone: what an invocation under way holds.
 *
 * Not MemAvailable: pages that wait on a processor's own free list count as used there, so that
 * megabytes of clones come out of it without a trace.
 */
#ifndef THAW_BENCH_IDLE_MEMORY_H
#define THAW_BENCH_IDLE_MEMORY_H

#include "bench/base/samples.h"
#include "bench/function/measurer.h"

struct thaw_idle_memory {
	struct thaw_samples system;  /* bytes a clone, one sample a round */
	struct thaw_samples private; /* bytes, one sample a clone */
	struct thaw_samples active;  /* as SYSTEM, once each clone has answered a request */
	unsigned disturbed;	     /* rounds left out: use went down while clones were made */
};

#define THAW_IDLE_MEMORY_ROUNDS	  7u  /* to take */
#define THAW_IDLE_MEMORY_ATTEMPTS 21u /* at most, for the disturbed ones */

/* What CLONES more idle clones of FUNCTION cost beside BASE (at most THAW_BENCH_CLONES_BASE) that
 * stand, in an engine of their own: bytes for each of them, and how long it took until all were
 * ready. Those that stand use up what the kernel keeps of processes that are gone, out of which the
 * first hundred would come for nothing; the engine is new because it keeps its mailboxes. BYTES is
 * 0 where use went down meanwhile. PRIVATE, if not NULL, gets the bytes of each. */
int thaw_idle_memory_weigh(const struct thaw_bench_function *function, unsigned base,
			   unsigned clones, uint64_t *bytes, uint64_t *ready_ns,
			   struct thaw_samples *private, struct thaw_error *err);

/* Makes CLONES (at most THAW_BENCH_CLONES) idle clones, THAW_IDLE_MEMORY_ROUNDS times. OUT is
 * zeroed by the caller and freed by thaw_idle_memory_finish(), whatever is returned. */
int thaw_idle_memory_take(struct thaw_measurer *measurer, unsigned clones,
			  struct thaw_idle_memory *out, struct thaw_error *err);
void thaw_idle_memory_finish(struct thaw_idle_memory *memory);

#endif
