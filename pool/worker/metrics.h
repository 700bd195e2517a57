/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker counts. One table names each figure; the structs and the JSON of `stats` are made
 * from it, and the table in docs/daemon.md is tested against it. Counting is relaxed atomics: any
 * thread, no locks.
 */
#ifndef THAW_METRICS_H
#define THAW_METRICS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "engine/engine.h"
#include "pool/wire/protocol.h"
#include "pool/worker/histogram.h"

/* THAW_COUNTERS(X): X(name, what it counts) since the worker started. */
#define THAW_COUNTERS(X)                                                                           \
	X(requests, "complete requests, and those refused before they were complete")              \
	X(connections, "connections accepted")                                                     \
	X(connections_refused, "connections beyond the limit")                                     \
	X(protocol_errors, "connections closed for a malformed frame")                             \
	X(hang_ups, "invocations ended because their client went away")                            \
	X(cancels, "requests that their client cancelled")                                         \
	X(made, "instances ordered")                                                               \
	X(recycled, "spent instances made fresh again")                                            \
	X(destroyed, "instances destroyed")                                                        \
	X(log_lines, "guest log lines kept")                                                       \
	X(log_dropped, "guest log lines dropped for their rate")                                   \
	X(bytes_in, "request bytes of complete requests")                                          \
	X(bytes_out, "response bytes")

/* THAW_GAUGES(X): X(name, what it is) now. */
#define THAW_GAUGES(X)                                                                             \
	X(pool_target, "fresh instances the pool tries to hold")                                   \
	X(fresh, "fresh instances in the pool")                                                    \
	X(alive, "instances alive: fresh, busy, and spent ones not yet gone")                      \
	X(busy, "instances running a request")                                                     \
	X(queued, "requests waiting for an instance")                                              \
	X(connections_open, "connections open")                                                    \
	X(buffered_bytes, "bytes of bodies held for requests and responses")                       \
	X(threads, "serving threads")

/* THAW_LATENCIES(X): X(name, what it is), in nanoseconds, of the requests that an instance ran. */
#define THAW_LATENCIES(X)                                                                          \
	X(queued, "request complete until an instance was claimed")                                \
	X(run, "hand-over to the guest until it was done")                                         \
	X(total, "request complete until the answer was made")

#define THAW_COUNT_ONE(name, ...)      +1
#define THAW_STATUS_COUNT	       (0 THAW_STATUSES(THAW_COUNT_ONE))
#define THAW_START_COUNT	       (0 THAW_STARTS(THAW_COUNT_ONE))

#define THAW_COUNTER_FIELD(name, what) _Atomic uint64_t name;
#define THAW_LATENCY_FIELD(name, what) struct thaw_histogram name##_ns;
#define THAW_GAUGE_FIELD(name, what)   uint64_t name;

struct thaw_metrics {
	THAW_COUNTERS(THAW_COUNTER_FIELD)
	_Atomic uint64_t status[THAW_STATUS_COUNT];
	_Atomic uint64_t outcome[THAW_OUTCOME_COUNT];
	_Atomic uint64_t start[THAW_START_COUNT];
	THAW_LATENCIES(THAW_LATENCY_FIELD)
};

/* A snapshot, which the caller fills. */
struct thaw_gauges {
	THAW_GAUGES(THAW_GAUGE_FIELD)
};

static inline void thaw_count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/*
 * {"counters": {...}, "gauges": {...}, "statuses": {...}, "outcomes": {...}, "starts": {...},
 *  "latency": {...}}
 * A new reference, or NULL without memory.
 */
json_t *thaw_metrics_json(const struct thaw_metrics *metrics, const struct thaw_gauges *gauges);

#endif
