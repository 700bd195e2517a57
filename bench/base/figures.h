/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All figures of a run, in one table. The names are promised to programs (docs/benchmarks.md),
 * and every report keeps the order. A figure's limit is the time that the same host needs, in the
 * same run, for the least comparable work; `none` where there is no such work.
 */
#ifndef THAW_BENCH_FIGURES_H
#define THAW_BENCH_FIGURES_H

#include <stdbool.h>

#include "bench/base/config.h"
#include "bench/base/samples.h"

/* X(identifier, name, unit, limit, description). The number of clients of the run is appended to
 * a name that ends in ".c". */
#define THAW_BENCH_FIGURES(X)                                                                      \
	X(cold, "cold", "ns", echo, "boot to first response")                                      \
	X(cold_create, "cold.create", "ns", none, "  opening the backend")                         \
	X(cold_load, "cold.load", "ns", none, "  loading the program")                             \
	X(cold_boot, "cold.boot", "ns", none, "  its boot to the ready point")                     \
	X(cold_answer, "cold.answer", "ns", none, "  first clone to first response")               \
	X(disk, "thaw.disk", "ns", cat, "image file to first response")                            \
	X(disk_create, "thaw.disk.create", "ns", none, "  opening the backend")                    \
	X(disk_load, "thaw.disk.load", "ns", cat, "  reading and unpacking the image")             \
	X(disk_answer, "thaw.disk.answer", "ns", none, "  first clone to first response")          \
	X(memory, "thaw.memory", "ns", echo, "loaded image to first response")                     \
	X(shell, "thaw.shell", "ns", echo, "a machine made ahead, to first response")              \
	X(pool, "thaw.pool", "ns", echo, "ready instance to response")                             \
	X(recycled, "thaw.recycled", "ns", echo, "recycled instance to response")                  \
	X(recycle, "thaw.recycle", "ns", none, "recycling a spent instance")                       \
	X(invoke, "invoke", "ns", echo, "whole invocation, by name")                               \
	X(worker, "invoke.worker", "ns", none, "  of that, in the worker")                         \
	X(run, "invoke.run", "ns", none, "  of that, in the guest and on the way to it")           \
	X(invoke_between, "invoke.interleaved", "ns", echo_between,                                \
	  "one at a time, between all others")                                                     \
	X(invoke_open, "invoke.open", "ns", echo_open, "timed from arrival, stalls charged")       \
	X(invoke_many, "invoke.c", "ns", echo_many, "many clients, back to back")                  \
	X(rate_invoke, "throughput.invoke", "per-second", rate_limit, "sustained, fresh state")    \
	X(echo, "limit.unix-echo", "ns", none, "bare AF_UNIX echo")                                \
	X(echo_between, "limit.unix-echo.interleaved", "ns", none,                                 \
	  "one at a time, between all others")                                                     \
	X(echo_open, "limit.unix-echo.open", "ns", none, "the same arrivals")                      \
	X(echo_many, "limit.unix-echo.c", "ns", none, "many clients, back to back")                \
	X(hand_over, "limit.hand-over", "ns", none, "echo through a waiting process")              \
	X(clone, "limit.clone", "ns", none, "clone+exit+wait, an almost empty process")            \
	X(fault, "limit.page-fault", "ns", none, "a write to a private page of a file")            \
	X(cat, "limit.cat-image", "ns", none, "cat of the image file")                             \
	X(kvm_exit, "limit.kvm-exit", "ns", none, "bare KVM exit and re-entry")                    \
	X(kvm_vm, "limit.kvm-create-vm", "ns", none, "KVM_CREATE_VM")                              \
	X(kvm_vcpu, "limit.kvm-create-vcpu", "ns", none, "KVM_CREATE_VCPU")                        \
	X(rate_echo, "throughput.unix-echo", "per-second", none, "the echo, many clients")         \
	X(rate_hand_over, "throughput.hand-over", "per-second", none, "hand-over, many clients")   \
	X(rate_limit, "limit.throughput", "per-second", none, "hand-over and clone on all cores")  \
	X(spawn, "peer.spawn", "ns", echo, "the same program, a process for each")                 \
	X(prefork, "peer.prefork", "ns", echo, "the same program, pre-forked, shared state")       \
	X(prefork_many, "peer.prefork.c", "ns", echo_many, "many clients, back to back")           \
	X(rate_prefork, "throughput.prefork", "per-second", rate_limit, "pre-forked, many")        \
	X(wasm, "peer.wasm", "ns", echo, "a WebAssembly instance for each, in node")               \
	X(wasm_many, "peer.wasm.c", "ns", echo_many, "many clients, back to back")                 \
	X(rate_wasm, "throughput.wasm", "per-second", rate_limit, "WebAssembly, many")             \
	X(qemu, "peer.qemu-restore", "ns", echo, "a saved machine, restored by QEMU for each")     \
	X(criu, "peer.criu-restore", "ns", echo, "a dumped process, restored by criu for each")    \
	X(idle, "memory.idle-clone", "bytes", none, "an idle clone, system-wide")                  \
	X(idle_rss, "memory.idle-clone.rss", "bytes", none, "  its own pages and tables")          \
	X(active, "memory.active-clone", "bytes", none, "a clone that has answered, system-wide")

#define THAW_ENUM_FIGURE(identifier, name, unit, limit, what) THAW_FIGURE_##identifier,
enum thaw_figure { THAW_FIGURE_none = -1, THAW_BENCH_FIGURES(THAW_ENUM_FIGURE) THAW_FIGURE_COUNT };

/* Peers from the command line follow those of the table. */
#define THAW_BENCH_FIGURES_MAX ((unsigned)THAW_FIGURE_COUNT + THAW_BENCH_PEERS_MAX)

struct thaw_bench_figure {
	char name[64];
	char text[80];	  /* description, for people */
	const char *unit; /* static: "ns", "bytes", "per-second" */
	enum thaw_figure limit;
	struct thaw_percentiles values; /* a count of 0: absent */
	struct thaw_distribution distribution;
	/* The distance between the lowest and the highest median of the run's fifths, relative to
	 * the median of all samples; -1 where there are too few samples. */
	double spread;
};

/* Fills FIGURES[THAW_BENCH_FIGURES_MAX] with names, all absent. CLIENTS is the number in the
 * names of figures of many clients. */
void thaw_figures_init(struct thaw_bench_figure *figures, unsigned clients);

/* Takes percentiles, distribution and spread of SAMPLES. They must be in the order in which they
 * were taken; afterwards they are sorted. */
void thaw_figure_take(struct thaw_bench_figure *figure, struct thaw_samples *samples);

/* The figure's median over its limit's; 0 where either is absent. For rates, above 1 is faster
 * than the limit. */
double thaw_figure_ratio(const struct thaw_bench_figure *figures,
			 const struct thaw_bench_figure *figure);

#endif
