/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine made for tests of the worker: it implements the functions of engine/engine.h that the
 * worker calls, and is linked instead of the engine. Its instances are a few words; they fail,
 * wait and are lost on command. It checks each call against the rules in engine.h, and aborts when
 * one is broken: an instance runs once, by one thread, is recycled only when spent, and so on.
 *
 * An engine is shared memory, so a test may script the engine of a worker that it forked. Every
 * function may be called by any thread of any process that has the engine.
 *
 * A request says by its first word what the "guest" does:
 *   hold      waits until fake_release(), then echoes. So do slow and very:
 *   slow      first calls slow(false), as a guest does that takes THAW_SLOW_NS
 *   very      first calls slow(false) and slow(true)
 *   big N     responds with N bytes, 'x' each
 *   half      the first time: responds in part, and its instance is lost; then: echoes
 *   log N     logs N lines, then echoes
 *   exit      exits with code 3, after an echo
 *   crash     crashes, after an echo
 * Any other request is echoed.
 */
#ifndef TEST_FAKE_ENGINE_H
#define TEST_FAKE_ENGINE_H

#include <stdbool.h>

#include "engine/engine.h"

/* A new engine with no instance, whose instances are ready, far and not prefaulted when made. */
struct thaw_engine *fake_engine_new(void);
void fake_engine_free(struct thaw_engine *engine);

/* ---- Scripting ---- */

/* What thaw_engine_backend() says; THAW_BACKEND_PROCESS at first. */
void fake_set_backend(struct thaw_engine *engine, enum thaw_backend_kind kind);
/* The next COUNT creations fail with MESSAGE. */
void fake_fail_creates(struct thaw_engine *engine, unsigned count, const char *message);
/* Instances made from now on are not ready until fake_make_ready(). */
void fake_make_slowly(struct thaw_engine *engine);
/* Every instance is ready, and those made from now on are. */
void fake_make_ready(struct thaw_engine *engine);
/* The next COUNT runs end as `lost`. */
void fake_lose_runs(struct thaw_engine *engine, unsigned count);
/* Instance NUMBER dies now: a run of it, under way or to come, ends as `lost`. */
void fake_lose(struct thaw_engine *engine, unsigned number);
/* Recycling is refused, or takes at least TAKES_NS before it succeeds. */
void fake_set_recycle(struct thaw_engine *engine, bool refused, uint64_t takes_ns);
/* How long outcomes say that runs took; 1000 at first. */
void fake_set_run_ns(struct thaw_engine *engine, uint64_t run_ns);
/* COUNT more runs that hold go on. */
void fake_release(struct thaw_engine *engine, unsigned count);

/* ---- Looking ---- */

struct fake_counts {
	unsigned created, destroyed, alive; /* `created` without those that failed */
	unsigned runs;			    /* begun, lost ones too */
	unsigned holding;		    /* runs that wait for fake_release() */
	unsigned recycled, prefaulted, killed;
};
struct fake_counts fake_get_counts(struct thaw_engine *engine);
/* Waits until COUNT runs hold. */
void fake_await_holding(struct thaw_engine *engine, unsigned count);
/* Waits until COUNT runs have begun in all. */
void fake_await_runs(struct thaw_engine *engine, unsigned count);

/* ---- One instance; they are numbered from 1 in the order of their creation ---- */

unsigned fake_number(const struct thaw_instance *instance);
void fake_set_ready(struct thaw_engine *engine, unsigned number, bool ready);
void fake_set_near(struct thaw_engine *engine, unsigned number, bool near);
void fake_set_prefaulted(struct thaw_engine *engine, unsigned number, bool prefaulted);
bool fake_is_alive(struct thaw_engine *engine, unsigned number);

/* ---- Acting in the middle of a call ---- */

enum fake_call { FAKE_CREATE, FAKE_RUN, FAKE_PREFAULT, FAKE_RECYCLE, FAKE_DESTROY, FAKE_KILL };
/* Has HOOK called at the beginning of each such call, with none of the engine's locks held; for
 * engines and hooks of one process. NULL: none. */
void fake_set_hook(struct thaw_engine *engine, void (*hook)(void *context, enum fake_call call),
		   void *context);

#endif
